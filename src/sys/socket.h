// Sockets: messages with a file descriptor beside them (SCM_RIGHTS, unix(7)).
#pragma once
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "file.h"

namespace nsjs::sys {

inline Result<Fd> socket(int family, int type, int protocol) {
  return to_fd(__NR_socket, raw(__NR_socket, family, type | SOCK_CLOEXEC, protocol));
}

inline Status socketpair(int type, int pair[2]) {
  return to_status(__NR_socketpair, raw(__NR_socketpair, AF_UNIX, type | SOCK_CLOEXEC, 0, as_arg(pair)));
}

inline Status pipe2(int pair[2], int flags) { return to_status(__NR_pipe2, raw(__NR_pipe2, as_arg(pair), flags | O_CLOEXEC)); }

namespace detail {

template <class T>
void put_control(msghdr& message, int type, const T& value) {
  auto* header = reinterpret_cast<cmsghdr*>(static_cast<char*>(message.msg_control) + message.msg_controllen);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(sizeof value);
  *reinterpret_cast<T*>(CMSG_DATA(header)) = value;
  message.msg_controllen += CMSG_SPACE(sizeof value);
}

constexpr std::size_t kControlSize = CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(ucred));

}  // namespace detail

// What goes beside a message: a descriptor, and a process. The kernel translates its pid into the receiver's namespace.
struct Beside {
  int fd = -1;
  int pid = 0;
};

inline Result<long> send(int fd, const void* data, std::size_t size, Beside beside = {}) {
  iovec part{const_cast<void*>(data), size};
  alignas(cmsghdr) char control[detail::kControlSize] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  if (beside.fd >= 0) detail::put_control(message, SCM_RIGHTS, beside.fd);
  if (beside.pid != 0) {
    const ucred process{beside.pid, static_cast<uid_t>(raw(__NR_geteuid)), static_cast<gid_t>(raw(__NR_getegid))};
    detail::put_control(message, SCM_CREDENTIALS, process);
  }
  const long result = raw(__NR_sendmsg, fd, as_arg(&message), MSG_NOSIGNAL);
  return {result, to_status(__NR_sendmsg, result)};
}

struct Received {
  long size = 0;
  Fd fd;
  int pid = 0;  // with SO_PASSCRED
};

inline Result<Received> receive(int fd, void* data, std::size_t size, int flags) {
  iovec part{data, size};
  alignas(cmsghdr) char control[detail::kControlSize] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const long result = raw(__NR_recvmsg, fd, as_arg(&message), flags | MSG_CMSG_CLOEXEC);
  Result<Received> received;
  received.status = to_status(__NR_recvmsg, result);
  received.value.size = result;
  if (!received.ok()) return received;
  for (std::size_t at = 0; at + sizeof(cmsghdr) <= message.msg_controllen;) {
    auto* header = reinterpret_cast<cmsghdr*>(control + at);
    if (header->cmsg_len < sizeof(cmsghdr)) break;
    at += CMSG_ALIGN(header->cmsg_len);
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_RIGHTS) received.value.fd = Fd(*reinterpret_cast<const int*>(CMSG_DATA(header)));
    if (header->cmsg_type == SCM_CREDENTIALS) received.value.pid = reinterpret_cast<const ucred*>(CMSG_DATA(header))->pid;
  }
  return received;
}

}  // namespace nsjs::sys

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

constexpr std::size_t kCredentialsSize = CMSG_SPACE(sizeof(ucred));

// With `pid` the message speaks of that process: the kernel translates the number into the receiver's pid namespace.
inline Result<long> send(int fd, const void* data, std::size_t size, int pid = 0) {
  iovec part{const_cast<void*>(data), size};
  alignas(cmsghdr) char control[kCredentialsSize] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (pid != 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    auto* header = reinterpret_cast<cmsghdr*>(control);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_CREDENTIALS;
    header->cmsg_len = CMSG_LEN(sizeof(ucred));
    *reinterpret_cast<ucred*>(CMSG_DATA(header)) = {pid, static_cast<uid_t>(raw(__NR_geteuid)), static_cast<gid_t>(raw(__NR_getegid))};
  }
  const long result = raw(__NR_sendmsg, fd, as_arg(&message), MSG_NOSIGNAL);
  return {result, to_status(__NR_sendmsg, result)};
}

struct Received {
  long size = 0;
  int pid = 0;  // with SO_PASSCRED: of the sender, or of whom it speaks
};

inline Result<Received> receive(int fd, void* data, std::size_t size, int flags) {
  iovec part{data, size};
  alignas(cmsghdr) char control[kCredentialsSize] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const long result = raw(__NR_recvmsg, fd, as_arg(&message), flags | MSG_CMSG_CLOEXEC);
  Received received{result, 0};
  const auto* header = reinterpret_cast<const cmsghdr*>(control);
  if (result >= 0 && message.msg_controllen >= CMSG_LEN(sizeof(ucred)) && header->cmsg_type == SCM_CREDENTIALS)
    received.pid = reinterpret_cast<const ucred*>(CMSG_DATA(header))->pid;
  return {received, to_status(__NR_recvmsg, result)};
}

}  // namespace nsjs::sys

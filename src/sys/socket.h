// Sockets: messages that carry file descriptors (SCM_RIGHTS, unix(7)).
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

constexpr unsigned kMaxFdsBeside = 72;
constexpr std::size_t kControlSize = CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(kMaxFdsBeside * sizeof(int));

// Ancillary data of a message, unix(7).
struct Beside {
  int pid = 0;  // SCM_CREDENTIALS: the kernel translates it into the receiver's pid namespace
  const int* fds = nullptr;
  unsigned count = 0;
};

// Writes control messages one after the other into a buffer.
class ControlWriter {
 public:
  void* add(int type, std::size_t size) {
    auto* header = reinterpret_cast<cmsghdr*>(bytes_ + size_);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(size);
    size_ += CMSG_SPACE(size);
    return CMSG_DATA(header);
  }
  void attach(msghdr& message) {
    message.msg_control = bytes_;
    message.msg_controllen = size_;
  }

 private:
  alignas(cmsghdr) char bytes_[kControlSize] = {};
  std::size_t size_ = 0;
};

// `word` is passed as an extra argument that sendmsg(2) ignores; a seccomp filter sees it.
inline Result<long> send(int fd, const void* data, std::size_t size, const Beside& beside = {}, long word = 0) {
  iovec part{const_cast<void*>(data), size};
  ControlWriter control;
  if (beside.pid != 0) {
    auto* about = static_cast<ucred*>(control.add(SCM_CREDENTIALS, sizeof(ucred)));
    *about = {beside.pid, static_cast<uid_t>(raw(__NR_geteuid)), static_cast<gid_t>(raw(__NR_getegid))};
  }
  if (beside.count != 0) {
    auto* fds = static_cast<int*>(control.add(SCM_RIGHTS, beside.count * sizeof(int)));
    for (unsigned index = 0; index < beside.count; ++index) fds[index] = beside.fds[index];
  }
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  control.attach(message);
  const long result = raw(__NR_sendmsg, fd, as_arg(&message), MSG_NOSIGNAL, word);
  return {result, to_status(__NR_sendmsg, result)};
}

struct Received {
  long size = 0;
  int pid = 0;  // with SO_PASSCRED: of the sender, or the one that the sender has set
  unsigned count = 0;
  Fd fds[kMaxFdsBeside];
};

// Takes over a descriptor, or closes it if there is no room.
inline void take_fd(Received& received, int number) {
  Fd fd(number);
  if (received.count < kMaxFdsBeside) received.fds[received.count++] = std::move(fd);
}

inline Status receive(int fd, void* data, std::size_t size, int flags, Received& received) {
  iovec part{data, size};
  alignas(cmsghdr) char control[kControlSize] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  received.size = raw(__NR_recvmsg, fd, as_arg(&message), flags | MSG_CMSG_CLOEXEC);
  NSJS_TRY(to_status(__NR_recvmsg, received.size));
  const auto* at = reinterpret_cast<const cmsghdr*>(control);
  for (std::size_t left = message.msg_controllen; left >= sizeof *at;) {
    const std::size_t length = at->cmsg_len - CMSG_LEN(0);
    if (at->cmsg_len < CMSG_LEN(0) || at->cmsg_len > left || at->cmsg_level != SOL_SOCKET) break;
    if (at->cmsg_type == SCM_CREDENTIALS) received.pid = reinterpret_cast<const ucred*>(CMSG_DATA(at))->pid;
    if (at->cmsg_type == SCM_RIGHTS)
      for (std::size_t index = 0; index < length / sizeof(int); ++index)
        take_fd(received, reinterpret_cast<const int*>(CMSG_DATA(at))[index]);
    const std::size_t step = CMSG_SPACE(length);
    if (step >= left) break;
    left -= step;
    at = reinterpret_cast<const cmsghdr*>(reinterpret_cast<const unsigned char*>(at) + step);
  }
  return {};
}

}  // namespace nsjs::sys

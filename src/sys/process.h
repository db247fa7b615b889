// Processes: clone3(2), pidfds, waitid(2), poll(2), execve(2), signals.
#pragma once
#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>

#include "file.h"

namespace nsjs::sys {

// The processes that waitid(2) waits for.
constexpr int kAllChildren = 0;  // P_ALL
constexpr int kOneChild = 1;     // P_PID
constexpr int kPidfdType = 3;    // P_PIDFD

// If a seccomp filter hides clone3(2), as in containers, clone(2) still creates a process without namespaces of its
// own.
inline Result<long> clone3(clone_args args) {
  constexpr std::uint64_t kOnlyClone3 = ~0xffffffffull | 0x7e020000;  // flags above 32 bits, and namespaces
  const long result = raw(__NR_clone3, as_arg(&args), sizeof args);
  if (result != -ENOSYS || (args.flags & kOnlyClone3) != 0) return {result, to_status(__NR_clone3, result)};
  const long cloned = raw(__NR_clone, static_cast<long>(args.flags | args.exit_signal), 0, static_cast<long>(args.pidfd), 0, 0);
  return {cloned, to_status(__NR_clone, cloned)};
}

inline Result<Fd> pidfd_open(int pid, unsigned flags = 0) { return to_fd(__NR_pidfd_open, raw(__NR_pidfd_open, pid, flags)); }

inline Status pidfd_send_signal(int pidfd, int signal) {
  return to_status(__NR_pidfd_send_signal, raw(__NR_pidfd_send_signal, pidfd, signal, 0, 0));
}

inline Status waitid(int type, int id, siginfo_t* info, int options, struct rusage* usage) {
  return to_status(__NR_waitid, raw(__NR_waitid, type, id, as_arg(info), options, as_arg(usage)));
}

// Waits for an event; timeout in milliseconds, -1 for none. The signal mask stays as it is.
inline Result<long> ppoll(pollfd* fds, unsigned count, long timeout_ms) {
  timespec timeout{timeout_ms / 1000, timeout_ms % 1000 * 1000000};
  const long result = raw(__NR_ppoll, as_arg(fds), count, timeout_ms < 0 ? 0 : as_arg(&timeout), 0, 8);
  return {result, to_status(__NR_ppoll, result)};
}

inline Status execve(const char* path, char* const* argv, char* const* envp) {
  return to_status(__NR_execve, raw(__NR_execve, as_arg(path), as_arg(argv), as_arg(envp)));
}

inline Status sigprocmask(int how, std::uint64_t set) {
  return to_status(__NR_rt_sigprocmask, raw(__NR_rt_sigprocmask, how, as_arg(&set), 0, sizeof set));
}

inline Result<Fd> signalfd(std::uint64_t set, int flags) {
  return to_fd(__NR_signalfd4, raw(__NR_signalfd4, -1, as_arg(&set), sizeof set, flags));
}

inline Status reset_signal(int signal) {
  struct KernelSigaction {
    void* handler;
    unsigned long flags;
    void* restorer;
    std::uint64_t mask;
  } const fallback{};
  return to_status(__NR_rt_sigaction, raw(__NR_rt_sigaction, signal, as_arg(&fallback), 0, sizeof(std::uint64_t)));
}

// Resets every signal to its default action: a signal that Node ignores (SIGPIPE) must not stay ignored in the program.
inline Status reset_signals() {
  for (int signal = 1; signal <= 64; ++signal)
    if (signal != SIGKILL && signal != SIGSTOP) NSJS_TRY(reset_signal(signal));
  return {};
}

inline std::uint64_t microseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1000000 + static_cast<std::uint64_t>(time.tv_usec);
}

inline Status setpgid() { return to_status(__NR_setpgid, raw(__NR_setpgid, 0, 0)); }
inline Status setsid() { return to_status(__NR_setsid, raw(__NR_setsid)); }
inline Status setns(int fd, int type) { return to_status(__NR_setns, raw(__NR_setns, fd, type)); }
inline Status unshare(unsigned long flags) { return to_status(__NR_unshare, raw(__NR_unshare, static_cast<long>(flags))); }
inline Status sethostname(const char* name, std::size_t size) {
  return to_status(__NR_sethostname, raw(__NR_sethostname, as_arg(name), static_cast<long>(size)));
}
inline Status setdomainname(const char* name, std::size_t size) {
  return to_status(__NR_setdomainname, raw(__NR_setdomainname, as_arg(name), static_cast<long>(size)));
}

[[noreturn]] inline void exit_group(int status) {
  for (;;) raw(__NR_exit_group, status);
}

}  // namespace nsjs::sys

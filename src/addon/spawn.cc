#include "spawn.h"

#include <sched.h>
#include <cerrno>

#include "../sys/process.h"
#include "stack.h"

namespace nsjs {
namespace {

constexpr int kStagingFd = kFirstFd + static_cast<int>(kMaxPassedFds) + 64;  // above every final number

struct Child {
  int image;
  const Passed* passed;
  Status status;  // shared memory: the child writes, the parent reads after the child is gone or has executed
};

// DANGER: shares Node's memory. Raw system calls only; no malloc, no lock, no errno, no credentials.
Status run_child(const Child& child) {
  int staged[kMaxPassedFds + 4];
  for (unsigned index = 0; index < child.passed->count; ++index) {
    NSJS_TRY_VALUE(fd, sys::fcntl(child.passed->fds[index], F_DUPFD_CLOEXEC, kStagingFd));
    staged[index] = static_cast<int>(fd);
  }
  NSJS_TRY_VALUE(image, sys::fcntl(child.image, F_DUPFD_CLOEXEC, kStagingFd));
  for (unsigned index = 0; index < child.passed->count; ++index) NSJS_TRY(sys::dup3(staged[index], kFirstFd + static_cast<int>(index), 0));
  static char name[] = "nsjs";
  char* argv[] = {name, nullptr};
  char* envp[] = {nullptr};
  return sys::to_status(__NR_execveat, sys::raw(__NR_execveat, image, sys::as_arg(""), sys::as_arg(argv), sys::as_arg(envp), 0x1000));
}

int child_main(void* argument) {
  auto* child = static_cast<Child*>(argument);
  child->status = run_child(*child);
  sys::exit_group(127);
}

}  // namespace

Result<Keeper> spawn_keeper(int image, const Passed& passed) {
  Result<Keeper> result;
  const Stack stack;
  if (!stack.ok()) {
    result.status = {12, __NR_mmap};  // ENOMEM
    return result;
  }
  Child child{image, &passed, {}};
  int pidfd = -1;
  int pid = -1;
  {
    const BlockedSignals blocked;
    pid = clone(child_main, stack.top(), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &child, &pidfd);
  }
  if (pid < 0) {
    result.status = {errno, __NR_clone};
    return result;
  }
  result.value.pid = pid;
  result.value.pidfd = Fd(pidfd);
  if (!child.status.ok()) {
    siginfo_t info{};
    (void)sys::waitid(sys::kPidfdType, pidfd, &info, WEXITED, nullptr);
    result.status = child.status;
  }
  return result;
}

}  // namespace nsjs

#include <linux/errno.h>
#include "../../sys/cred.h"
#include "../../sys/process.h"
#include "../../sys/socket.h"
#include "../init.h"
#include "../ops.h"
#include "../path.h"

namespace nsjs::ops {
namespace {

constexpr unsigned kMaxMapNumbers = 3 * 340;

Status write_proc(int pid, const char* name, Text text) {
  NSJS_TRY_VALUE(file, sys::openat(sys::kCwd, ProcPath(pid, name).text, O_WRONLY));
  return write_all(file.get(), text.data, text.size);
}

// Closes every descriptor, so that nobody waits for one, and never outlives the keeper: the keeper may have died before
// PR_SET_PDEATHSIG took effect.
[[noreturn]] void wait_to_be_killed(long keeper) {
  if (!sys::close_range(0, ~0u, 0).ok() || !sys::prctl(PR_SET_PDEATHSIG, SIGKILL).ok()) sys::exit_group(1);
  if (sys::raw(__NR_getppid) != keeper) sys::exit_group(1);
  for (;;) (void)sys::ppoll(nullptr, 0, -1);
}

Status map_and_open(Context& context, const Op& op, int pid) {
  NSJS_TRY(write_proc(pid, "uid_map", context.plan.text(op.arg[1])));
  NSJS_TRY(write_proc(pid, "gid_map", context.plan.text(op.arg[2])));
  NSJS_TRY_VALUE(ns, sys::openat(sys::kCwd, ProcPath(pid, "ns/user").text, O_RDONLY));
  context.slots[op.arg[0]].fd = std::move(ns);
  return {};
}

// The kernel charges inotify watches, message queues and namespaces in a user namespace to the id that created it. Only
// the effective id changes, for this call: the file system uid stays, so that the keeper may still put init into a
// cgroup.
Status clone_as(std::uint32_t owner, clone_args& args, Result<long>& pid) {
  if (owner != 0) {
    NSJS_TRY(sys::seteuid(owner));
    (void)sys::raw(__NR_setfsuid, 0);
  }
  pid = sys::clone3(args);
  if (owner == 0 || pid.value == 0) return pid.status;
  const Status back = sys::seteuid(0);
  // Try once more after a failure: only with its own id can the keeper remove what it has created.
  if (!back.ok()) (void)sys::seteuid(0);
  return back.ok() ? pid.status : back;
}

Status go_home(int mounts, int root) {
  NSJS_TRY(sys::setns(mounts, CLONE_NEWNS));
  NSJS_TRY(sys::fchdir(root));
  return sys::chroot(".");
}

// Init starts with a copy of the keeper's mount namespace. If there is an empty mount namespace, the keeper enters it
// first, so that the copy holds nothing of the host, and then returns to its own namespace and root.
Status clone_in(int mounts, std::uint32_t owner, clone_args& args, Result<long>& pid) {
  if (mounts < 0) return clone_as(owner, args, pid);
  NSJS_TRY_VALUE(home, sys::openat(sys::kCwd, "/proc/self/ns/mnt", O_RDONLY));
  NSJS_TRY_VALUE(root, sys::openat(sys::kCwd, "/", O_PATH | O_DIRECTORY));
  NSJS_TRY(sys::setns(mounts, CLONE_NEWNS));
  const Status cloned = clone_as(owner, args, pid);
  if (pid.value == 0) return {};
  const Status back = go_home(home.get(), root.get());
  return cloned.ok() ? back : cloned;
}

}  // namespace

Status Owner(Context& context, const Op& op) {
  context.owner = 0;
  for (const char* at = context.plan.text(op.arg[0]).data; *at != 0; ++at)
    context.owner = context.owner * 10 + static_cast<unsigned>(*at - '0');
  return {};
}

// The keeper becomes non-dumpable only here: an unprivileged keeper could not write the maps of a child that starts
// non-dumpable.
Status Clone(Context& context, const Op& op) {
  int go[2] = {-1, -1};
  NSJS_TRY(sys::pipe2(go, 0));
  Fd read_end(go[0]);
  context.go = Fd(go[1]);
  context.owns_pids = (op.arg[0] & CLONE_NEWPID) != 0;

  context.proc_slot = op.arg[3];

  int pidfd = -1;
  clone_args args{};
  args.flags = op.arg[0] | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  if (op.arg[1] != kNoSlot) {
    args.flags |= 0x200000000ull;  // CLONE_INTO_CGROUP
    args.cgroup = static_cast<std::uint64_t>(context.fd(op.arg[1]));
  }
  Result<long> pid{-1, {}};
  const Status status = clone_in(context.fd(op.arg[2]), context.owner, args, pid);
  if (pid.value == 0) {
    context.go = std::move(read_end);
    init(context);
  }
  context.init = Fd(pidfd);
  context.init_pid = static_cast<int>(pid.value);
  NSJS_TRY(status);
  if (!context.owns_pids) NSJS_TRY(sys::prctl(PR_SET_CHILD_SUBREAPER, 1));
  return sys::prctl(PR_SET_DUMPABLE, 0);
}

Status WriteInit(Context& context, const Op& op) {
  return write_proc(context.init_pid, context.plan.text(op.arg[0]).data, context.plan.text(op.arg[1]));
}

// Runs a set-id program of the system that knows which ids the caller may map. Its error message is not read.
Status MapBy(Context& context, const Op& op) {
  const Text path = context.plan.text(op.arg[0]);
  const Text numbers = context.plan.text(op.arg[1]);
  char pid[12];
  const char* argv[kMaxMapNumbers + 3] = {path.data, write_number(pid, context.init_pid)};
  unsigned count = 2;
  for (const char* at = numbers.data; at < numbers.data + numbers.size; ++at) {
    if (count == kMaxMapNumbers + 2) return {EINVAL, __NR_execve};
    argv[count++] = at;
    while (*at != 0) ++at;
  }
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  NSJS_TRY_VALUE(child, sys::clone3(args));
  if (child == 0) {
    char* const envp[] = {nullptr};
    (void)sys::execve(path.data, const_cast<char* const*>(argv), envp);
    sys::exit_group(1);
  }
  const Fd helper(pidfd);
  siginfo_t info{};
  NSJS_TRY(sys::waitid(sys::kPidfdType, helper.get(), &info, WEXITED, nullptr));
  return info.si_code == CLD_EXITED && info.si_status == 0 ? Status{} : Status{EPERM, __NR_execve};
}

Status OpenInit(Context& context, const Op& op) {
  NSJS_TRY_VALUE(file, sys::openat(sys::kCwd, ProcPath(context.init_pid, context.plan.text(op.arg[1]).data).text, O_RDONLY));
  context.slots[op.arg[0]].fd = std::move(file);
  return {};
}

// An idle child keeps the namespace alive until a descriptor refers to it.
Status UserNs(Context& context, const Op& op) {
  const long keeper = sys::raw(__NR_getpid);
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_NEWUSER | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  NSJS_TRY_VALUE(pid, sys::clone3(args));
  if (pid == 0) wait_to_be_killed(keeper);
  const Fd child(pidfd);
  const Status status = map_and_open(context, op, static_cast<int>(pid));
  NSJS_TRY(sys::pidfd_send_signal(child.get(), SIGKILL));
  siginfo_t info{};
  NSJS_TRY(sys::waitid(sys::kPidfdType, child.get(), &info, WEXITED, nullptr));
  return status;
}

Status Hold(Context& context, const Op& op) {
  if (op.arg[0] != kNoSlot) context.slots[op.arg[0]].held = true;
  return {};
}

}  // namespace nsjs::ops

#include <linux/errno.h>
#include <sys/mman.h>

#include "../../sys/cred.h"
#include "../../sys/process.h"
#include "../../sys/socket.h"
#include "../ops.h"
#include "../path.h"
#include "../programs.h"

namespace nsjs::ops {
namespace {

constexpr unsigned long kNoMagicLinks = 0x02;
constexpr unsigned kSetTerminal = 0x540e;     // TIOCSCTTY
constexpr unsigned kSetWindowSize = 0x5414;   // TIOCSWINSZ
constexpr unsigned kSetPtyLock = 0x40045431;  // TIOCSPTLCK
constexpr unsigned kGetPtyPeer = 0x5441;      // TIOCGPTPEER

unsigned count(Text list) {
  unsigned entries = 0;
  for (const char* at = list.data; at < list.data + list.size; at = after(at)) ++entries;
  return entries;
}

char** fill(char** to, Text list) {
  for (const char* at = list.data; at < list.data + list.size; at = after(at)) *to++ = const_cast<char*>(at);
  *to++ = nullptr;
  return to;
}

// Like execvp(3): skips a candidate that is missing, remembers EACCES, and returns any other error.
Status exec_first(Text candidates, char* const* argv, char* const* envp) {
  Status answer{ENOENT, __NR_execve};
  for (const char* at = candidates.data; at < candidates.data + candidates.size; at = after(at)) {
    const Status status = sys::execve(at, argv, envp);
    if (status.err == EACCES) answer = status;
    if (status.err != ENOENT && status.err != ENOTDIR && status.err != EACCES) return status;
  }
  return answer;
}

constexpr unsigned kNproc = 6;  // RLIMIT_NPROC
constexpr std::uint64_t kFirstGuess = 64;

// Whether one more task can be started under a limit.
Result<bool> can_start(std::uint64_t limit, std::uint64_t hard) {
  Result<bool> answer;
  answer.status = sys::prlimit(kNproc, limit, hard);
  if (!answer.status.ok()) return answer;
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const auto pid = sys::clone3(args);
  if (pid.status.err == EAGAIN) return answer;
  answer.status = pid.status;
  if (!pid.ok()) return answer;
  if (pid.value == 0) sys::exit_group(0);
  const Fd child(pidfd);
  siginfo_t info{};
  answer.status = sys::waitid(sys::kPidfdType, child.get(), &info, WEXITED, nullptr);
  answer.value = true;
  return answer;
}

Status say_ready(const Context& context) {
  Record ready{};
  ready.kind = RecordKind::kStarted;
  ready.id[kUser] = context.id[kUser];
  return sys::write(context.out, &ready, sizeof ready).status;
}

}  // namespace

Status StartProgram(Context& context, const Op& op) { return start_program(context, {op.arg[0] != 0, op.arg[1] != 0, op.arg[2] != 0}); }

Status ReleaseProgram(Context& context, const Op&) { return release_program(context); }

Status SendFd(Context& context, const Op& op) {
  Record record{};
  record.kind = RecordKind::kFd;
  record.program = context.program;
  record.status = static_cast<std::int32_t>(op.arg[1]);
  const int fd = context.fd(op.arg[0]);
  sys::Beside beside;
  beside.fds = &fd;
  beside.count = 1;
  return sys::send(context.out, &record, sizeof record, beside).status;
}

// Opens a new terminal of the devpts that the path leads to. The slave is opened through the master, never by name.
Status OpenPty(Context& context, const Op& op) {
  const int unlocked = 0;
  NSJS_TRY_VALUE(master, sys::openat2(context.base(op.arg[2]), context.plan.text(op.arg[3]).data, O_RDWR | O_NOCTTY, 0, kNoMagicLinks));
  NSJS_TRY(sys::ioctl(master.get(), kSetPtyLock, sys::as_arg(&unlocked)).status);
  NSJS_TRY_VALUE(slave, sys::ioctl(master.get(), kGetPtyPeer, O_RDWR | O_NOCTTY | O_CLOEXEC));
  Fd low(static_cast<int>(slave));
  const unsigned short size[4] = {static_cast<unsigned short>(op.arg[5]), static_cast<unsigned short>(op.arg[4]), 0, 0};
  NSJS_TRY(sys::ioctl(low.get(), kSetWindowSize, sys::as_arg(&size)).status);
  NSJS_TRY_VALUE(high, move_high(std::move(low)));
  context.slots[op.arg[0]].fd = std::move(master);
  context.slots[op.arg[1]].fd = std::move(high);
  return {};
}

Status Session(Context&, const Op&) { return sys::setsid(); }

Status Terminal(Context& context, const Op& op) { return sys::ioctl(context.fd(op.arg[0]), kSetTerminal, 0).status; }

Status Rlimit(Context&, const Op& op) {
  const auto wide = [&op](unsigned low) { return (static_cast<std::uint64_t>(op.arg[low + 1]) << 32) | op.arg[low]; };
  const Status status = sys::prlimit(op.arg[0], wide(1), wide(3));
  // In a sandbox of nsjs a seccomp filter denies the call; that is no failure if the limits are already in force.
  if (status.err != EPERM) return status;
  std::uint64_t now[2] = {};
  NSJS_TRY(sys::getrlimit(op.arg[0], now));
  return now[0] == wide(1) && now[1] == wide(3) ? Status{} : status;
}

// No file shows how many tasks the kernel counts for a user, so this searches for the lowest limit at which one more
// task can be started.
Status NprocAbove(Context&, const Op& op) {
  std::uint64_t limits[2] = {};
  NSJS_TRY(sys::getrlimit(kNproc, limits));
  const std::uint64_t hard = limits[1];
  std::uint64_t refused = 0;
  std::uint64_t fits = kFirstGuess;
  for (;; fits *= 2) {
    if (fits >= hard) return {};  // the existing limit is lower
    NSJS_TRY_VALUE(can, can_start(fits, hard));
    if (can) break;
    refused = fits;
  }
  while (fits - refused > 1) {
    const std::uint64_t middle = refused + (fits - refused) / 2;
    NSJS_TRY_VALUE(can, can_start(middle, hard));
    (can ? fits : refused) = middle;
  }
  // A user whom RLIMIT_NPROC does not restrict would run without a limit.
  if (fits == 1) return {EPERM, __NR_prlimit64};
  const std::uint64_t limit = fits - 1 + op.arg[0];
  return limit < hard ? sys::prlimit(kNproc, limit, limit) : sys::prlimit(kNproc, hard, hard);
}

Status Umask(Context&, const Op& op) { return sys::umask(op.arg[0]); }

Status Dup(Context& context, const Op& op) { return sys::dup3(context.fd(op.arg[0]), static_cast<int>(op.arg[1]), 0); }

// Marks the descriptors close-on-exec and does not close them: the exec channel must live until exec.
Status CloseFrom(Context&, const Op& op) { return sys::close_range(op.arg[0], ~0u, 4 /* CLOSE_RANGE_CLOEXEC */); }

// Never through /proc/self/fd: such a link could lead outside of the root (CVE-2024-21626).
Status Chdir(Context& context, const Op& op) {
  NSJS_TRY_VALUE(directory, sys::openat2(sys::kCwd, context.plan.text(op.arg[0]).data, O_PATH | O_DIRECTORY, 0, kNoMagicLinks));
  return sys::fchdir(directory.get());
}

Status Exec(Context& context, const Op& op) {
  const Text argv_list = context.plan.text(op.arg[1]);
  const Text envp_list = context.plan.text(op.arg[2]);
  const std::size_t size = (count(argv_list) + count(envp_list) + 2) * sizeof(char*);
  const long memory = sys::raw(__NR_mmap, 0, static_cast<long>(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  NSJS_TRY(sys::to_status(__NR_mmap, memory));
  auto** argv = reinterpret_cast<char**>(memory);
  char** envp = fill(argv, argv_list);
  fill(envp, envp_list);
  NSJS_TRY(sys::sigprocmask(SIG_SETMASK, 0));
  NSJS_TRY(say_ready(context));
  return exec_first(context.plan.text(op.arg[0]), argv, envp);
}

}  // namespace nsjs::ops

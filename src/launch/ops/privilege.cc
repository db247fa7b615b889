#include <linux/errno.h>
#include "../../sys/cred.h"

#include "../../sys/process.h"
#include "../../sys/socket.h"
#include "../ops.h"

namespace nsjs::ops {
namespace {

constexpr unsigned kCapabilities = 64;

// Texts are aligned to four bytes only.
std::uint64_t word_at(const char* bytes) {
  const auto* halves = reinterpret_cast<const std::uint32_t*>(bytes);
  return static_cast<std::uint64_t>(halves[1]) << 32 | halves[0];
}

sock_fprog filter_of(Text filter) {
  sock_fprog program{};
  program.len = static_cast<unsigned short>(filter.size / sizeof(sock_filter));
  program.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(filter.data));
  return program;
}

std::uint64_t mask(const Op& op) { return (static_cast<std::uint64_t>(op.arg[1]) << 32) | op.arg[0]; }

}  // namespace

// Every change of credentials clears the signal, so the plan repeats this operation. The parent may have died before;
// getppid(2) is always 0 in a new pid namespace, so this checks the pipe from the keeper.
Status DeathSignal(Context& context, const Op&) {
  NSJS_TRY(sys::prctl(PR_SET_PDEATHSIG, SIGKILL));
  pollfd keeper{context.go.get(), POLLIN, 0};
  NSJS_TRY(sys::ppoll(&keeper, 1, 0).status);
  if ((keeper.revents & POLLHUP) != 0) sys::exit_group(1);
  return {};
}

Status Dumpable(Context&, const Op& op) { return sys::prctl(PR_SET_DUMPABLE, op.arg[0]); }

Status SetGroups(Context& context, const Op& op) {
  const Text groups = context.plan.text(op.arg[0]);
  return sys::setgroups(groups.size / 4, reinterpret_cast<const std::uint32_t*>(groups.data));
}

Status SetIds(Context&, const Op& op) {
  NSJS_TRY(sys::setresgid(op.arg[1]));
  return sys::setresuid(op.arg[0]);
}

// A kernel without keyrings has no keys to leak.
Status Keyring(Context&, const Op&) {
  const Status status = sys::join_session_keyring();
  return status.err == ENOSYS ? Status{} : status;
}

Status BoundCaps(Context&, const Op& op) {
  for (unsigned capability = 0; capability < kCapabilities; ++capability) {
    if ((mask(op) >> capability & 1) != 0) continue;
    const Status status = sys::prctl(PR_CAPBSET_DROP, capability);
    if (status.err == EINVAL) break;  // beyond the last capability of this kernel
    NSJS_TRY(status);
  }
  return {};
}

// Capabilities that must survive exec have to be ambient, unless the program's id is 0.
Status SetCaps(Context& context, const Op& op) {
  const Text text = context.plan.text(op.arg[0]);
  if (text.size != 4 * sizeof(std::uint64_t)) return {EINVAL, __NR_capset};
  std::uint64_t sets[4];  // effective, permitted, inheritable, ambient
  for (unsigned set = 0; set < 4; ++set) sets[set] = word_at(text.data + set * sizeof(std::uint64_t));
  NSJS_TRY(sys::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL));
  NSJS_TRY(sys::capset(sets[0], sets[1], sets[2]));
  for (unsigned capability = 0; capability < kCapabilities; ++capability)
    if ((sets[3] >> capability & 1) != 0) NSJS_TRY(sys::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability));
  return {};
}

Status Securebits(Context&, const Op& op) { return sys::prctl(PR_SET_SECUREBITS, op.arg[0]); }
Status NoNewPrivs(Context&, const Op&) { return sys::prctl(PR_SET_NO_NEW_PRIVS, 1); }

Status Seccomp(Context& context, const Op& op) { return sys::seccomp_filter(filter_of(context.plan.text(op.arg[0])), op.arg[1]).status; }

// Until Node has the listener, no process would answer a notification. The filter allows this one sendmsg(2), which
// carries a number that no program knows.
Status SeccompNotify(Context& context, const Op& op) {
  NSJS_TRY_VALUE(number, sys::seccomp_filter(filter_of(context.plan.text(op.arg[0])), op.arg[1]));
  const Fd listener(static_cast<int>(number));
  Record record{};
  record.kind = RecordKind::kFd;
  record.program = context.program;
  record.status = static_cast<std::int32_t>(op.arg[2]);
  const int fd = listener.get();
  sys::Beside beside;
  beside.fds = &fd;
  beside.count = 1;
  const std::uint64_t word = static_cast<std::uint64_t>(op.arg[4]) << 32 | op.arg[3];
  return sys::send(context.out, &record, sizeof record, beside, static_cast<long>(word)).status;
}

}  // namespace nsjs::ops

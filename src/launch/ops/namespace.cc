#include <linux/errno.h>
#include "../../sys/cred.h"
#include "../../sys/process.h"
#include "../../sys/socket.h"
#include "../ops.h"
#include "../path.h"

namespace nsjs::ops {
namespace {

Status write_below(int proc, const char* name, Text text) {
  NSJS_TRY_VALUE(file, sys::openat(proc, name, O_WRONLY));
  return write_all(file.get(), text.data, text.size);
}

// The process shares the mm of the launcher, whose owner has no id here: without PR_SET_DUMPABLE the process may not
// write its own /proc files.
Status enter_user_ns(int proc, Text uid_map, Text gid_map) {
  NSJS_TRY(sys::prctl(PR_SET_DUMPABLE, 1));
  NSJS_TRY(sys::unshare(CLONE_NEWUSER));
  NSJS_TRY(write_below(proc, "self/setgroups", {"deny", 4}));
  NSJS_TRY(write_below(proc, "self/uid_map", uid_map));
  return write_below(proc, "self/gid_map", gid_map);
}

struct MadeUserNs {
  int fd = -1;
  Status status;
};

Status enter_lock(int proc) {
  static constexpr Text kSelfMap{"0 0 1", 5};
  NSJS_TRY(enter_user_ns(proc, kSelfMap, kSelfMap));
  return write_below(proc, "sys/user/max_user_namespaces", {"1", 1});
}

[[noreturn]] void make_locked_user_ns(const Context& context, const Op& op, int report) {
  const int proc = context.proc.get();
  MadeUserNs made;
  if (op.arg[3] != 0) made.status = enter_lock(proc);
  if (made.status.ok()) made.status = enter_user_ns(proc, context.plan.text(op.arg[1]), context.plan.text(op.arg[2]));
  if (made.status.ok()) {
    auto ns = sys::openat(proc, "self/ns/user", O_RDONLY);
    made.status = ns.status;
    made.fd = ns.value.release();
  }
  (void)sys::write(report, &made, sizeof made);
  sys::exit_group(0);
}

struct Ack {
  nlmsghdr header;
  nlmsgerr error;
  char rest[512];
};

}  // namespace

Status Unshare(Context&, const Op& op) { return sys::unshare(op.arg[0]); }

Status SetNs(Context& context, const Op& op) {
  NSJS_TRY(sys::setns(context.fd(op.arg[0]), static_cast<int>(op.arg[1])));
  // The id of the program's user namespace, as found when it was created.
  if (op.arg[1] == CLONE_NEWUSER && context.inner_user != 0) context.id[kUser] = context.inner_user;
  return {};
}

Status OpenOwn(Context& context, const Op& op) {
  NSJS_TRY_VALUE(file, sys::openat(context.base(op.arg[1]), context.plan.text(op.arg[2]).data, O_RDONLY));
  context.slots[op.arg[0]].fd = std::move(file);
  return {};
}

Status InnerUserNs(Context& context, const Op& op) {
  NSJS_TRY(enter_user_ns(context.proc.get(), context.plan.text(op.arg[0]), context.plan.text(op.arg[1])));
  NSJS_TRY_VALUE(inode, sys::inode(context.proc.get(), "self/ns/user"));
  context.id[kUser] = inode;
  return {};
}

// For programs that start later. A helper that shares init's descriptor table creates the namespace and leaves a
// descriptor of it there. With a lock there is one more namespace in between: the namespace below uses up its limit, so
// that no other can be created beside it.
Status LockedUserNs(Context& context, const Op& op) {
  if (context.slots[op.arg[0]].fd.is_open()) return {};
  int report[2] = {-1, -1};
  NSJS_TRY(sys::pipe2(report, 0));
  const Fd read_end(report[0]);
  const Fd write_end(report[1]);
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_FILES | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  NSJS_TRY_VALUE(pid, sys::clone3(args));
  if (pid == 0) make_locked_user_ns(context, op, write_end.get());
  const Fd helper(pidfd);
  siginfo_t info{};
  NSJS_TRY(sys::waitid(sys::kPidfdType, helper.get(), &info, WEXITED, nullptr));
  MadeUserNs made{};
  NSJS_TRY(sys::fcntl(read_end.get(), F_SETFL, O_NONBLOCK).status);
  const auto got = sys::read(read_end.get(), &made, sizeof made);
  if (got.value != static_cast<long>(sizeof made)) return {EPROTO, __NR_clone3};  // it exited without a message
  NSJS_TRY(made.status);
  context.slots[op.arg[0]].fd = Fd(made.fd);
  NSJS_TRY_VALUE(inode, sys::inode_of(made.fd));
  context.inner_user = inode;
  return {};
}

Status SetHostname(Context& context, const Op& op) {
  const Text name = context.plan.text(op.arg[0]);
  return sys::sethostname(name.data, name.size);
}

Status SetDomainname(Context& context, const Op& op) {
  const Text name = context.plan.text(op.arg[0]);
  return sys::setdomainname(name.data, name.size);
}

Status Sysctl(Context& context, const Op& op) {
  const Text pairs = context.plan.text(op.arg[0]);
  NSJS_TRY_VALUE(directory, sys::openat(context.proc.get(), "sys", O_PATH | O_DIRECTORY));
  for (const char* at = pairs.data; at < pairs.data + pairs.size;) {
    const char* path = at;
    const char* value = after(path);
    at = after(value);
    const Status status = write_below(directory.get(), path, {value, static_cast<std::uint32_t>(at - value - 1)});
    if (!status.ok() && status.err != ENOENT) return status;
  }
  return {};
}

Status Netlink(Context& context, const Op& op) {
  const Text request = context.plan.text(op.arg[1]);
  NSJS_TRY_VALUE(socket, sys::socket(AF_NETLINK, SOCK_RAW, static_cast<int>(op.arg[0])));
  NSJS_TRY(sys::send(socket.get(), request.data, request.size).status);
  Ack ack{};
  sys::Received received;
  NSJS_TRY(sys::receive(socket.get(), &ack, sizeof ack, 0, received));
  if (received.size < static_cast<long>(sizeof ack.header + sizeof ack.error.error) || ack.header.nlmsg_type != NLMSG_ERROR)
    return {EPROTO, __NR_recvmsg};
  return {-ack.error.error, __NR_sendmsg};
}

}  // namespace nsjs::ops

#include "../../sys/cred.h"
#include "../../sys/process.h"
#include "../../sys/socket.h"
#include "../ops.h"
#include "../path.h"

namespace nsjs::ops {
namespace {

Status write_self(int proc, const char* name, Text text) {
  NSJS_TRY_VALUE(file, sys::openat(proc, name, O_WRONLY));
  return write_all(file.get(), text.data, text.size);
}

struct Ack {
  nlmsghdr header;
  nlmsgerr error;
  char rest[512];
};

}  // namespace

Status Unshare(Context&, const Op& op) { return sys::unshare(op.arg[0]); }

// The process shares the launcher's mm, whose owner is nobody here: without PR_SET_DUMPABLE its own /proc files are not its own.
Status InnerUserNs(Context& context, const Op& op) {
  const int proc = context.proc.get();
  NSJS_TRY(sys::prctl(PR_SET_DUMPABLE, 1));
  NSJS_TRY(sys::unshare(CLONE_NEWUSER));
  NSJS_TRY(write_self(proc, "self/setgroups", {"deny", 4}));
  NSJS_TRY(write_self(proc, "self/uid_map", context.plan.text(op.arg[0])));
  NSJS_TRY(write_self(proc, "self/gid_map", context.plan.text(op.arg[1])));
  NSJS_TRY_VALUE(inode, sys::inode(proc, "self/ns/user"));
  context.id[kUser] = inode;
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

Status Netlink(Context& context, const Op& op) {
  const Text request = context.plan.text(op.arg[1]);
  NSJS_TRY_VALUE(socket, sys::socket(AF_NETLINK, SOCK_RAW, static_cast<int>(op.arg[0])));
  NSJS_TRY(sys::send(socket.get(), request.data, request.size).status);
  Ack ack{};
  NSJS_TRY_VALUE(received, sys::receive(socket.get(), &ack, sizeof ack, 0));
  if (received.size < static_cast<long>(sizeof ack.header + sizeof ack.error.error) || ack.header.nlmsg_type != NLMSG_ERROR)
    return {71, __NR_recvmsg};  // EPROTO
  return {-ack.error.error, __NR_sendmsg};
}

}  // namespace nsjs::ops

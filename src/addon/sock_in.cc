// Sockets born in another network namespace. The calling thread never leaves its own: a child that shares this process's
// table of descriptors (and its memory) enters the namespace, makes the sockets and ends; they are simply here.
#include <sched.h>
#include <cerrno>

#include "../sys/socket.h"
#include "bind.h"
#include "stack.h"
#include "values.h"

namespace nsjs {
namespace {

// One socket, as lib/sys/socket.ts lays it out.
struct Request {
  std::int32_t family;
  std::int32_t type;
  std::int32_t protocol;
  std::int32_t backlog;  // -1: no listen(2)
  std::int32_t reuse;    // SO_REUSEADDR
  std::int32_t address_size;
  std::int32_t fd;   // result
  std::int32_t err;  // result: errno
  std::int32_t nr;   // result: system call
  std::int32_t transparent;
  unsigned char address[128];
};
static_assert(sizeof(Request) == 168);

struct Child {
  int user;
  int net;
  Request* requests;
  std::size_t count;
  Status status;
};

Status make(Request& request) {
  // SOCK_NONBLOCK and SOCK_CLOEXEC: the descriptor goes to libuv.
  NSJS_TRY_VALUE(socket, sys::socket(request.family, request.type | SOCK_NONBLOCK, request.protocol));
  const int on = 1;
  const auto option = [&](int level, int name) {
    return sys::to_status(__NR_setsockopt, sys::raw(__NR_setsockopt, socket.get(), level, name, sys::as_arg(&on), sizeof on));
  };
  if (request.reuse != 0) NSJS_TRY(option(SOL_SOCKET, SO_REUSEADDR));
  if (request.transparent != 0) NSJS_TRY(option(0 /* SOL_IP */, 19 /* IP_TRANSPARENT */));
  if (request.address_size > 0)
    NSJS_TRY(sys::to_status(__NR_bind, sys::raw(__NR_bind, socket.get(), sys::as_arg(request.address), request.address_size)));
  if (request.backlog >= 0) NSJS_TRY(sys::to_status(__NR_listen, sys::raw(__NR_listen, socket.get(), request.backlog)));
  request.fd = socket.release();
  return {};
}

// DANGER: shares Node's memory. Raw system calls only; no malloc, no lock, no errno.
Status run_child(Child& child) {
  if (child.user >= 0) NSJS_TRY(sys::setns(child.user, CLONE_NEWUSER));
  NSJS_TRY(sys::setns(child.net, CLONE_NEWNET));
  for (std::size_t index = 0; index < child.count; ++index) {
    const Status status = make(child.requests[index]);
    child.requests[index].err = status.err;
    child.requests[index].nr = static_cast<std::int32_t>(status.nr);
  }
  return {};
}

int child_main(void* argument) {
  auto* child = static_cast<Child*>(argument);
  child->status = run_child(*child);
  sys::exit_group(0);
}

Status start(Child& child) {
  const Stack stack;
  if (!stack.ok()) return {ENOMEM, __NR_mmap};
  int pid = -1;
  {
    const BlockedSignals blocked;
    // No exit signal: nobody else waits for it, and no handler of SIGCHLD is woken.
    pid = clone(child_main, stack.top(), CLONE_VM | CLONE_VFORK | CLONE_FILES, &child);
  }
  if (pid < 0) return {errno, __NR_clone};
  siginfo_t info{};
  NSJS_TRY(sys::waitid(1 /* P_PID */, pid, &info, WEXITED | static_cast<int>(0x80000000) /* __WCLONE */, nullptr));
  return child.status;
}

}  // namespace

// results: [errno, system call]; each request has its own
napi_value socket_in(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  std::size_t size = 0;
  std::size_t unused = 0;
  auto* requests = static_cast<Request*>(arguments.typed_array(2, &size));
  auto* results = static_cast<std::int32_t*>(arguments.typed_array(3, &unused));
  Child child{arguments.int32(0), arguments.int32(1), requests, size / sizeof(Request), {}};
  const Status status = start(child);
  results[0] = status.err;
  results[1] = static_cast<std::int32_t>(status.nr);
  return nullptr;
}

}  // namespace nsjs

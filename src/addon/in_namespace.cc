// Creates sockets in another network namespace, creates namespaces, and opens files whose content depends on the
// namespace of the opener. The calling thread never leaves its own namespaces: a child that shares the descriptor table
// and the memory of this process enters the namespace, handles the requests and exits. The descriptors then belong to
// this process.
#include "../sys/socket.h"
#include "bind.h"
#include "stack.h"

namespace nsjs {
namespace {

// One request, in the layout of lib/sys/in-namespace.ts.
struct Request {
  std::int32_t kind;
  std::int32_t family;
  std::int32_t type;  // of a socket; flags of a file
  std::int32_t protocol;
  std::int32_t backlog;  // -1: no listen(2)
  std::int32_t reuse;    // SO_REUSEADDR
  std::int32_t transparent;
  std::int32_t size;  // of an address or a text
  std::int32_t fd;    // result
  std::int32_t err;   // result: errno
  std::int32_t nr;    // result: system call
  std::int32_t unused;
  unsigned char data[256];  // address; path; path, NUL, text
};
static_assert(sizeof(Request) == 304);

enum Kind : std::int32_t { kSocket, kOpen, kWrite };

struct Child {
  int user;
  int net;
  bool fresh;  // a new network namespace
  Request* requests;
  std::size_t count;
  Status status;
};

Status set_option(int socket, int level, int name) {
  const int on = 1;
  return sys::to_status(__NR_setsockopt, sys::raw(__NR_setsockopt, socket, level, name, sys::as_arg(&on), sizeof on));
}

Status make_socket(Request& request) {
  // SOCK_NONBLOCK and SOCK_CLOEXEC: the descriptor goes to libuv.
  NSJS_TRY_VALUE(socket, sys::socket(request.family, request.type | SOCK_NONBLOCK, request.protocol));
  if (request.reuse != 0) NSJS_TRY(set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR));
  if (request.transparent != 0) {
    const bool six = request.family == AF_INET6;
    NSJS_TRY(set_option(socket.get(), six ? 41 /* SOL_IPV6 */ : 0 /* SOL_IP */, six ? 75 /* IPV6_TRANSPARENT */ : 19 /* IP_TRANSPARENT */));
  }
  if (request.size > 0) NSJS_TRY(sys::to_status(__NR_bind, sys::raw(__NR_bind, socket.get(), sys::as_arg(request.data), request.size)));
  if (request.backlog >= 0) NSJS_TRY(sys::to_status(__NR_listen, sys::raw(__NR_listen, socket.get(), request.backlog)));
  request.fd = socket.release();
  return {};
}

Status open_file(Request& request) {
  NSJS_TRY_VALUE(file, sys::openat(sys::kCwd, reinterpret_cast<const char*>(request.data), request.type));
  request.fd = file.release();
  return {};
}

Status write_file(const Request& request) {
  const auto* path = reinterpret_cast<const char*>(request.data);
  std::int32_t length = 0;
  while (request.data[length] != 0) ++length;
  NSJS_TRY_VALUE(file, sys::openat(sys::kCwd, path, O_WRONLY));
  return sys::write(file.get(), path + length + 1, static_cast<std::size_t>(request.size - length - 1)).status;
}

Status act(Request& request) {
  switch (request.kind) {
    case kSocket:
      return make_socket(request);
    case kOpen:
      return open_file(request);
    default:
      return write_file(request);
  }
}

// DANGER: shares Node's memory. Raw system calls only; no malloc, no lock, no errno.
Status run_child(Child& child) {
  if (child.user >= 0) NSJS_TRY(sys::setns(child.user, CLONE_NEWUSER));
  if (child.net >= 0) NSJS_TRY(sys::setns(child.net, CLONE_NEWNET));
  if (child.fresh) NSJS_TRY(sys::unshare(CLONE_NEWNET));
  for (std::size_t index = 0; index < child.count; ++index) {
    Request& request = child.requests[index];
    const Status status = act(request);
    request.err = status.err;
    request.nr = static_cast<std::int32_t>(status.nr);
  }
  return {};
}

int child_main(void* argument) {
  auto* child = static_cast<Child*>(argument);
  child->status = run_child(*child);
  sys::exit_group(0);
}

}  // namespace

// `user`, `net`: namespaces to enter, -1 for none. `fresh`: 1 creates a network namespace, 2 creates it in a new user
// namespace. results: [errno, system call] of the child as a whole; each request has its own.
void in_namespace(const Napi::CallbackInfo& info) {
  const int fresh = info[2].As<Napi::Number>();
  auto bytes = info[3].As<Napi::Uint8Array>();
  auto results = info[4].As<Napi::Int32Array>();
  auto* requests = reinterpret_cast<Request*>(bytes.Data());
  Child child{info[0].As<Napi::Number>(), info[1].As<Napi::Number>(), fresh != 0, requests, bytes.ByteLength() / sizeof(Request), {}};
  Status status = run_beside(child_main, &child, fresh == 2 ? CLONE_NEWUSER : 0);
  if (status.ok()) status = child.status;
  results[0] = status.err;
  results[1] = static_cast<std::int32_t>(status.nr);
}

}  // namespace nsjs

// clone3(2) followed by exec in the child, which never returns into JavaScript. The child is a copy (no CLONE_VM), so
// it may have namespaces of its own. It makes raw system calls only.
#include <algorithm>
#include <vector>

#include "../sys/socket.h"
#include "bind.h"
#include "stack.h"

namespace nsjs {
namespace {

struct Exec {
  const char* path;
  char* const* argv;
  char* const* envp;
  const std::int32_t* fds;  // indexed by number in the child; -1 stays closed
  unsigned count;
  int go;      // the child reads one byte from it before it goes on
  int status;  // the child writes here why it could not execute
};

constexpr unsigned kMaxFds = 64;

// DANGER: a copy of a multithreaded process. Raw system calls only; no malloc, no lock, no destructor.
Status run_child(const Exec& exec) {
  char go = 0;
  const auto got = sys::read(exec.go, &go, 1);
  if (got.value != 1) return {4, __NR_read};  // EINTR: the parent has closed its end
  const int first = static_cast<int>(exec.count);
  int staged[kMaxFds];
  for (unsigned number = 0; number < exec.count; ++number) {
    if (exec.fds[number] < 0) continue;
    NSJS_TRY_VALUE(high, sys::fcntl(exec.fds[number], F_DUPFD_CLOEXEC, first));
    staged[number] = static_cast<int>(high);
  }
  NSJS_TRY_VALUE(status, sys::fcntl(exec.status, F_DUPFD_CLOEXEC, first));
  for (unsigned number = 0; number < exec.count; ++number) {
    if (exec.fds[number] < 0)
      (void)sys::raw(__NR_close, number);
    else
      NSJS_TRY(sys::dup3(staged[number], static_cast<int>(number), 0));
  }
  NSJS_TRY(sys::close_range(exec.count, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */));
  NSJS_TRY(sys::reset_signals());
  NSJS_TRY(sys::sigprocmask(SIG_SETMASK, 0));
  const Status failed = sys::execve(exec.path, exec.argv, exec.envp);
  (void)sys::write(static_cast<int>(status), &failed, sizeof failed);
  sys::exit_group(127);  // exec.status may be a descriptor of the program by now
}

[[noreturn]] void child(const Exec& exec) {
  const Status status = run_child(exec);
  (void)sys::write(exec.status, &status, sizeof status);
  sys::exit_group(127);
}

// Splits NUL-separated strings into a vector of pointers into `text`, with a null pointer at its end.
std::vector<char*> split(Napi::Uint8Array text) {
  std::vector<char*> words;
  auto* bytes = reinterpret_cast<char*>(text.Data());
  for (std::size_t at = 0; at < text.ByteLength(); ++at) {
    if (at == 0 || bytes[at - 1] == 0) words.push_back(bytes + at);
  }
  words.push_back(nullptr);
  return words;
}

struct Pipe {
  Fd read;
  Fd write;
};

Status open_pipe(Pipe& pipe) {
  int ends[2] = {-1, -1};
  NSJS_TRY(sys::pipe2(ends, 0));
  pipe = {Fd(ends[0]), Fd(ends[1])};
  return {};
}

Result<long> clone_child(clone_args& args, const Exec& exec, int go_write) {
  const BlockedSignals blocked;
  const long result = sys::raw(__NR_clone3, sys::as_arg(&args), sizeof args);
  if (result == 0) {
    sys::raw(__NR_close, go_write);
    child(exec);
  }
  return {result, sys::to_status(__NR_clone3, result)};
}

}  // namespace

// results: [errno, system call, pid, pidfd, pipe end that releases the child, pipe end that reports a failed exec]
void clone_exec(const Napi::CallbackInfo& info) {
  auto* args = reinterpret_cast<clone_args*>(info[0].As<Napi::BigUint64Array>().Data());
  const auto argv = split(info[2].As<Napi::Uint8Array>());
  const auto envp = split(info[3].As<Napi::Uint8Array>());
  auto fds = info[4].As<Napi::Int32Array>();
  auto results = info[5].As<Napi::Int32Array>();
  Exec exec{};
  exec.path = reinterpret_cast<const char*>(info[1].As<Napi::Uint8Array>().Data());
  exec.argv = argv.data();
  exec.envp = envp.data();
  exec.fds = fds.Data();
  exec.count = static_cast<unsigned>(std::min<std::size_t>(fds.ElementLength(), kMaxFds));
  Pipe go;
  Pipe status;
  int pidfd = -1;
  args->pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  Result<long> pid{0, open_pipe(go)};
  if (pid.ok()) pid.status = open_pipe(status);
  exec.go = go.read.get();
  exec.status = status.write.get();
  if (pid.ok()) pid = clone_child(*args, exec, go.write.get());
  results[0] = pid.status.err;
  results[1] = static_cast<std::int32_t>(pid.status.nr);
  if (!pid.ok()) return;
  results[2] = static_cast<std::int32_t>(pid.value);
  results[3] = pidfd;
  results[4] = go.write.release();
  results[5] = status.read.release();
}

}  // namespace nsjs

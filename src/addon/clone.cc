// clone3(2) followed by exec in the child, which never returns into JavaScript. The child is a copy (no CLONE_VM), so
// it may have namespaces of its own. It makes raw system calls only.
#include "../sys/socket.h"
#include "bind.h"
#include "stack.h"
#include "values.h"

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

// Splits NUL-separated strings into a vector of pointers into `text`.
unsigned split(char* text, std::size_t size, char** words, unsigned most) {
  unsigned count = 0;
  for (std::size_t at = 0; at < size && count < most; ++at) {
    if (at == 0 || text[at - 1] == 0) words[count++] = text + at;
  }
  words[count] = nullptr;
  return count;
}

constexpr unsigned kMaxWords = 4096;

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

Exec read_exec(const Arguments<6>& arguments, char** argv, char** envp) {
  std::size_t size = 0;
  Exec exec{};
  exec.path = static_cast<const char*>(arguments.typed_array(1, &size));
  auto* words = static_cast<char*>(arguments.typed_array(2, &size));
  split(words, size, argv, kMaxWords);
  words = static_cast<char*>(arguments.typed_array(3, &size));
  split(words, size, envp, kMaxWords);
  exec.argv = argv;
  exec.envp = envp;
  exec.fds = static_cast<const std::int32_t*>(arguments.typed_array(4, &size));
  exec.count = static_cast<unsigned>(size < kMaxFds ? size : kMaxFds);
  return exec;
}

}  // namespace

// results: [errno, system call, pid, pidfd, pipe end that releases the child, pipe end that reports a failed exec]
napi_value clone_exec(napi_env env, napi_callback_info info) {
  static thread_local char* argv[kMaxWords + 1];
  static thread_local char* envp[kMaxWords + 1];
  const Arguments<6> arguments(env, info);
  std::size_t size = 0;
  auto* args = static_cast<clone_args*>(arguments.typed_array(0, &size));
  auto* results = static_cast<std::int32_t*>(arguments.typed_array(5, &size));
  Exec exec = read_exec(arguments, argv, envp);
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
  if (!pid.ok()) return nullptr;
  results[2] = static_cast<std::int32_t>(pid.value);
  results[3] = pidfd;
  results[4] = go.write.release();
  results[5] = status.read.release();
  return nullptr;
}

}  // namespace nsjs

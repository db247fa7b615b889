#include "launch.h"

#include <sys/mman.h>

#include <cstring>

#include "../sys/process.h"
#include "../sys/socket.h"
#include "spawn.h"
#include "stdio.h"

extern "C" const unsigned char nsjs_launcher_image[];
extern "C" const unsigned char nsjs_launcher_image_end[];

namespace nsjs {
namespace {

std::size_t image_size() { return static_cast<std::size_t>(nsjs_launcher_image_end - nsjs_launcher_image); }

// Sealed, so that no program can change the image that the next sandbox starts from (CVE-2019-5736).
Status open_image(Environment& environment) {
  if (environment.image.is_open()) return {};
  constexpr unsigned kExec = 0x10;  // MFD_EXEC, Linux 6.3
  auto memory = sys::memfd_create("nsjs", MFD_CLOEXEC | MFD_ALLOW_SEALING | kExec);
  if (memory.status.err == EINVAL) memory = sys::memfd_create("nsjs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  NSJS_TRY(memory.status);
  NSJS_TRY_VALUE(written, sys::write(memory.value.get(), nsjs_launcher_image, image_size()));
  if (static_cast<std::size_t>(written) != image_size()) return {EIO, __NR_write};
  NSJS_TRY(sys::fcntl(memory.value.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE).status);
  environment.image = std::move(memory.value);
  return {};
}

Status open_node(Environment& environment) {
  if (environment.node.is_open()) return {};
  NSJS_TRY_VALUE(pidfd, sys::pidfd_open(static_cast<int>(sys::raw(__NR_getpid))));
  environment.node = std::move(pidfd);
  return {};
}

struct Launch {
  Fd plan;
  Pair control;
  Pair init;
  Stdio stdio;
  Passed passed{};
};

Status open_channels(Launch& launch) {
  for (Pair* pair : {&launch.control, &launch.init}) {
    int ends[2] = {-1, -1};
    NSJS_TRY(sys::socketpair(SOCK_SEQPACKET, ends));
    pair->ours = Fd(ends[0]);
    pair->theirs = Fd(ends[1]);
  }
  const int on = 1;
  return sys::to_status(__NR_setsockopt,
                        sys::raw(__NR_setsockopt, launch.init.ours.get(), SOL_SOCKET, SO_PASSCRED, sys::as_arg(&on), sizeof on));
}

Status start(Environment& environment, Launch& launch, int launcher, Result<Keeper>& keeper) {
  NSJS_TRY(open_node(environment));
  if (launcher < 0) NSJS_TRY(open_image(environment));
  keeper = spawn_keeper(environment.door, launcher < 0 ? environment.image.get() : launcher, launch.passed);
  return keeper.status;
}

Status prepare(Environment& environment, const Napi::CallbackInfo& info, Launch& launch) {
  auto plan = info[0].As<Napi::Uint8Array>();
  auto stdio = info[1].As<Napi::Int32Array>();
  NSJS_TRY(open_channels(launch));
  NSJS_TRY(open_node(environment));
  NSJS_TRY_VALUE(written, write_plan(plan.Data(), plan.ByteLength()));
  launch.plan = std::move(written);
  launch.passed = {{launch.control.theirs.get(), launch.plan.get(), environment.node.get(), launch.init.theirs.get()}, 4};
  const Owner owner{info[3].As<Napi::Number>(), info[4].As<Napi::Number>()};
  NSJS_TRY(open_stdio(launch.stdio, stdio.Data(), stdio.ElementLength(), owner));
  bool opened = false;
  for (std::size_t index = 0; index < stdio.ElementLength(); ++index) {
    int& passed = launch.passed.fds[launch.passed.count++];
    passed = launch.stdio.theirs[index];
    if (stdio[index] != kEmptyMounts && stdio[index] != kProc) continue;
    // The namespace and the procfs are created together and must be used together.
    if (!opened) NSJS_TRY(environment.mounts.open());
    opened = true;
    passed = stdio[index] == kProc ? environment.mounts.proc() : environment.mounts.mounts();
  }
  return {};
}

}  // namespace

// Starting the process takes some 300 μs, of which reading the arguments takes less than one.
// results: [errno, system call, pid, this side's descriptor of each stdio entry or -1 …]
Napi::Value launch(const Napi::CallbackInfo& info) {
  auto results = info[5].As<Napi::Int32Array>();
  Environment& environment = Environment::of(info.Env());
  Launch launch;
  Result<Keeper> keeper;
  Status status = prepare(environment, info, launch);
  if (status.ok()) status = start(environment, launch, info[2].As<Napi::Number>(), keeper);
  results[0] = status.err;
  results[1] = static_cast<std::int32_t>(status.nr);
  if (!status.ok()) return info.Env().Undefined();

  auto* session = new Session(environment, std::move(launch.control.ours), std::move(launch.init.ours), std::move(keeper.value.pidfd));
  results[2] = keeper.value.pid;
  session->take(launch.stdio, results.Data() + 3, results.ElementLength() - 3);
  return Napi::External<Session>::New(info.Env(), session);
}

Napi::Value image(const Napi::CallbackInfo& info) {
  auto buffer = Napi::ArrayBuffer::New(info.Env(), image_size());
  std::memcpy(buffer.Data(), nsjs_launcher_image, image_size());
  return buffer;
}

}  // namespace nsjs

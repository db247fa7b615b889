#include "launch.h"

#include <sys/mman.h>

#include "../sys/socket.h"
#include "spawn.h"
#include "stdio.h"
#include "values.h"

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

Status prepare(Environment& environment, const Arguments<6>& arguments, Launch& launch) {
  std::size_t plan_size = 0;
  std::size_t stdio_count = 0;
  const void* plan = arguments.typed_array(0, &plan_size);
  const auto* stdio = static_cast<const std::int32_t*>(arguments.typed_array(1, &stdio_count));
  NSJS_TRY(open_channels(launch));
  NSJS_TRY(open_node(environment));
  NSJS_TRY_VALUE(written, write_plan(plan, plan_size));
  launch.plan = std::move(written);
  launch.passed = {{launch.control.theirs.get(), launch.plan.get(), environment.node.get(), launch.init.theirs.get()}, 4};
  const Owner owner{static_cast<unsigned>(arguments.int32(3)), static_cast<unsigned>(arguments.int32(4))};
  NSJS_TRY(open_stdio(launch.stdio, stdio, stdio_count, owner));
  bool opened = false;
  for (std::size_t index = 0; index < stdio_count; ++index) {
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

// results: [errno, system call, pid, this side's descriptor of each stdio entry or -1 …]
napi_value launch(napi_env env, napi_callback_info info) {
  const Arguments<6> arguments(env, info);
  std::size_t result_count = 0;
  auto* results = static_cast<std::int32_t*>(arguments.typed_array(5, &result_count));
  Environment& environment = Environment::of(env);
  Launch launch;
  Result<Keeper> keeper;
  Status status = prepare(environment, arguments, launch);
  if (status.ok()) status = start(environment, launch, arguments.int32(2), keeper);
  results[0] = status.err;
  results[1] = static_cast<std::int32_t>(status.nr);
  if (!status.ok()) return nullptr;

  auto* session = new Session(environment, std::move(launch.control.ours), std::move(launch.init.ours), std::move(keeper.value.pidfd));
  results[2] = keeper.value.pid;
  session->take(launch.stdio, results + 3, result_count - 3);
  napi_value external = nullptr;
  napi_create_external(env, session, nullptr, nullptr, &external);
  return external;
}

napi_value image(napi_env env, napi_callback_info) {
  void* data = nullptr;
  napi_value buffer = nullptr;
  napi_create_arraybuffer(env, image_size(), &data, &buffer);
  for (std::size_t index = 0; index < image_size(); ++index) static_cast<unsigned char*>(data)[index] = nsjs_launcher_image[index];
  return buffer;
}

}  // namespace nsjs

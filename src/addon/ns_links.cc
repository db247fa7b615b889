// Reads all namespaces of one process in one call: listing the namespaces of the host needs this hundreds of times.
#include <fcntl.h>

#include "../sys/fd.h"
#include "bind.h"

namespace nsjs {
namespace {

// Returns 4026531833 for `net:[4026531833]`.
std::uint32_t inode_in(const char* link, long size) {
  std::uint32_t inode = 0;
  for (long index = 0; index < size; ++index)
    if (link[index] >= '0' && link[index] <= '9') inode = inode * 10 + static_cast<std::uint32_t>(link[index] - '0');
  return inode;
}

}  // namespace

// (directory, names, inodes) -> -errno. `names` are NUL-terminated, one for each inode. An inode stays zero if its link
// cannot be read.
Napi::Value ns_links(const Napi::CallbackInfo& info) {
  auto directory = info[0].As<Napi::Uint8Array>();
  const auto* name = reinterpret_cast<const char*>(info[1].As<Napi::Uint8Array>().Data());
  auto inodes = info[2].As<Napi::Uint32Array>();
  const long opened = sys::raw(__NR_openat, AT_FDCWD, sys::as_arg(directory.Data()), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (opened < 0) return Napi::Number::New(info.Env(), static_cast<double>(opened));
  const Fd fd(static_cast<int>(opened));
  for (std::size_t index = 0; index < inodes.ElementLength(); ++index) {
    char link[64] = {};
    const long size = sys::raw(__NR_readlinkat, fd.get(), sys::as_arg(name), sys::as_arg(link), sizeof link);
    inodes[index] = inode_in(link, size);
    while (*name++ != 0) {
    }
  }
  return Napi::Number::New(info.Env(), 0);
}

}  // namespace nsjs

// Reads all namespaces of one process in one call: listing the namespaces of the host needs this hundreds of times.
#include <fcntl.h>

#include "../sys/fd.h"
#include "bind.h"
#include "values.h"

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
napi_value ns_links(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  std::size_t length = 0;
  const auto* directory = static_cast<const char*>(arguments.typed_array(0, &length));
  const auto* name = static_cast<const char*>(arguments.typed_array(1, &length));
  auto* inodes = static_cast<std::uint32_t*>(arguments.typed_array(2, &length));
  const long opened = sys::raw(__NR_openat, AT_FDCWD, sys::as_arg(directory), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (opened < 0) return number(env, opened);
  const Fd fd(static_cast<int>(opened));
  for (std::size_t index = 0; index < length; ++index) {
    char link[64] = {};
    const long size = sys::raw(__NR_readlinkat, fd.get(), sys::as_arg(name), sys::as_arg(link), sizeof link);
    inodes[index] = inode_in(link, size);
    while (*name++ != 0) {
    }
  }
  return number(env, 0);
}

}  // namespace nsjs

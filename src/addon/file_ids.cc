// Identifies many files, and when they were changed, in one call, because this runs for each sandbox.
#include <sys/stat.h>

#include <cstring>

#include "../sys/raw.h"
#include "bind.h"
#include "values.h"

namespace nsjs {
namespace {

constexpr unsigned kUntimed = 2;
constexpr unsigned kTimed = 3;
constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

struct FileId {
  std::uint64_t words[kTimed];  // device, inode, time of the last change of the file or its inode in ns
};

FileId identify(const char* path) {
  struct stat found {};
  constexpr int kCwd = -100;
  if (sys::raw(__NR_newfstatat, kCwd, sys::as_arg(path), sys::as_arg(&found), 0) != 0) return {};
  const auto& changed = found.st_ctim;
  return {{found.st_dev, found.st_ino,
           static_cast<std::uint64_t>(changed.tv_sec) * kNsPerSecond + static_cast<std::uint64_t>(changed.tv_nsec)}};
}

// NUL-terminated paths and a FileId of each. Without times a FileId has only its first two words.
struct Files {
  explicit Files(const Arguments<3>& arguments)
      : path(static_cast<const char*>(arguments.typed_array(0, &length))),
        ids(static_cast<std::uint64_t*>(arguments.typed_array(1, &length))),
        words(arguments.int32(2) != 0 ? kTimed : kUntimed) {}

  // Stops when `each` returns false.
  template <class Each>
  bool every(Each each) {
    for (std::size_t at = 0; at + words <= length; at += words, path += std::strlen(path) + 1) {
      if (!each(ids + at, identify(path).words, words * sizeof(std::uint64_t))) return false;
    }
    return true;
  }

  std::size_t length = 0;
  const char* path;
  std::uint64_t* ids;
  std::size_t words;
};

}  // namespace

// (paths, ids, timed): fills in ids; zeros for a file that cannot be examined
napi_value file_ids(napi_env env, napi_callback_info info) {
  Files({env, info}).every([](void* id, const void* found, std::size_t size) {
    std::memcpy(id, found, size);
    return true;
  });
  return nullptr;
}

// (paths, ids, timed) -> 1 if all files still have these ids, else 0
napi_value same_files(napi_env env, napi_callback_info info) {
  const bool same =
      Files({env, info}).every([](const void* id, const void* found, std::size_t size) { return std::memcmp(id, found, size) == 0; });
  return number(env, same ? 1 : 0);
}

}  // namespace nsjs

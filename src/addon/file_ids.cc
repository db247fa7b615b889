// Identifies many files, and when they were changed, in one call, because this runs for each sandbox.
#include <sys/stat.h>

#include <cstring>

#include "../sys/raw.h"
#include "bind.h"

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
  explicit Files(const Napi::CallbackInfo& info)
      : path(reinterpret_cast<const char*>(info[0].As<Napi::Uint8Array>().Data())),
        ids(info[1].As<Napi::BigUint64Array>()),
        words(info[2].As<Napi::Number>().Int32Value() != 0 ? kTimed : kUntimed) {}

  // Stops when `each` returns false.
  template <class Each>
  bool every(Each each) {
    for (std::size_t at = 0; at + words <= ids.ElementLength(); at += words, path += std::strlen(path) + 1) {
      if (!each(ids.Data() + at, identify(path).words, words * sizeof(std::uint64_t))) return false;
    }
    return true;
  }

  const char* path;
  Napi::BigUint64Array ids;
  std::size_t words;
};

}  // namespace

// (paths, ids, timed): fills in ids; zeros for a file that cannot be examined
void file_ids(const Napi::CallbackInfo& info) {
  Files(info).every([](void* id, const void* found, std::size_t size) {
    std::memcpy(id, found, size);
    return true;
  });
}

// (paths, ids, timed) -> 1 if all files still have these ids, else 0
Napi::Value same_files(const Napi::CallbackInfo& info) {
  const bool same =
      Files(info).every([](const void* id, const void* found, std::size_t size) { return std::memcmp(id, found, size) == 0; });
  return Napi::Number::New(info.Env(), same ? 1 : 0);
}

}  // namespace nsjs

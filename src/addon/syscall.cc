// System calls for nsjs/sys. lib/sys knows the layout of each call and passes its arguments as numbers, bigints and
// buffers.
#include <cstring>
#include <vector>

#include "bind.h"
#include "values.h"

namespace nsjs {
namespace {

constexpr unsigned kMaxArguments = 6;

// An argument is a number, a bigint (all 64 bits), a buffer or typed array (its address), or null.
long word(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  if (type == napi_number) {
    std::int64_t number = 0;
    napi_get_value_int64(env, value, &number);
    return number;
  }
  if (type == napi_bigint) {
    std::uint64_t number = 0;
    bool lossless = false;
    napi_get_value_bigint_uint64(env, value, &number, &lossless);
    return static_cast<long>(number);
  }
  void* data = nullptr;
  if (type == napi_object) napi_get_typedarray_info(env, value, nullptr, nullptr, &data, nullptr, nullptr);
  return sys::as_arg(data);
}

struct Call {
  long nr = 0;
  long words[kMaxArguments] = {};

  [[nodiscard]] long make() const { return sys::raw(nr, words[0], words[1], words[2], words[3], words[4], words[5]); }
};

// A call that may block; it runs on a thread of libuv's pool. The references keep its buffers alive and in place.
struct Work {
  Call call;
  long owner[2] = {-1, -1};  // uid and gid for access to files, or -1
  long result = 0;
  napi_async_work work = nullptr;
  napi_ref callback = nullptr;
  std::vector<napi_ref> buffers;
};

// Changes the file system ids of the calling thread only; the kernel checks access to files with them (setfsuid(2)).
void be(long uid, long gid) {
  (void)sys::raw(__NR_setfsgid, gid);
  (void)sys::raw(__NR_setfsuid, uid);
}

void run(napi_env, void* data) {
  auto* work = static_cast<Work*>(data);
  const bool as_other = work->owner[0] >= 0;
  if (as_other) be(work->owner[0], work->owner[1]);
  work->result = work->call.make();
  if (as_other) be(sys::raw(__NR_geteuid), sys::raw(__NR_getegid));
}

void finish(napi_env env, napi_status, void* data) {
  auto* work = static_cast<Work*>(data);
  napi_value callback = nullptr;
  napi_value global = nullptr;
  napi_get_reference_value(env, work->callback, &callback);
  napi_get_global(env, &global);
  for (napi_ref buffer : work->buffers) napi_delete_reference(env, buffer);
  napi_delete_reference(env, work->callback);
  napi_delete_async_work(env, work->work);
  napi_value result = number(env, work->result);
  delete work;
  napi_call_function(env, global, callback, 1, &result, nullptr);
}

}  // namespace

// (number, argument …) -> result, -errno
napi_value syscall_now(napi_env env, napi_callback_info info) {
  const Arguments<1 + kMaxArguments> arguments(env, info);
  Call call;
  call.nr = arguments.int32(0);
  for (unsigned index = 0; index < kMaxArguments; ++index) call.words[index] = word(env, arguments[index + 1]);
  return number(env, call.make());
}

// (callback, uid or -1, gid, number, argument …): callback(result)
napi_value syscall_later(napi_env env, napi_callback_info info) {
  const Arguments<4 + kMaxArguments> arguments(env, info);
  auto* work = new Work;
  work->owner[0] = arguments.int32(1) == -1 ? -1 : static_cast<std::uint32_t>(arguments.int32(1));
  work->owner[1] = static_cast<std::uint32_t>(arguments.int32(2));
  work->call.nr = arguments.int32(3);
  for (unsigned index = 0; index < kMaxArguments; ++index) {
    napi_value value = arguments[index + 4];
    work->call.words[index] = word(env, value);
    napi_valuetype type = napi_undefined;
    napi_typeof(env, value, &type);
    if (type != napi_object) continue;
    napi_ref reference = nullptr;
    napi_create_reference(env, value, 1, &reference);
    work->buffers.push_back(reference);
  }
  napi_create_reference(env, arguments[0], 1, &work->callback);
  napi_value name = nullptr;
  napi_create_string_utf8(env, "nsjs:syscall", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(env, nullptr, name, run, finish, work, &work->work);
  napi_queue_async_work(env, work->work);
  return nullptr;
}

// (buffer) -> its address, for structures that contain pointers
napi_value address(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  napi_value result = nullptr;
  napi_create_bigint_uint64(env, static_cast<std::uint64_t>(word(env, arguments[0])), &result);
  return result;
}

}  // namespace nsjs

// System calls for nsjs/sys. lib/sys knows the layout of each call and passes its arguments as numbers, bigints and
// buffers.
#include "bind.h"

#include "../sys/process.h"
#include "stdio.h"

namespace nsjs {
namespace {

constexpr unsigned kMaxArguments = 6;

// An argument is a number, a bigint (all 64 bits), a buffer or typed array (its address), or null.
long word(const Napi::Value& value) {
  switch (value.Type()) {
    case napi_number:
      return value.As<Napi::Number>().Int64Value();
    case napi_bigint: {
      bool lossless = false;
      return static_cast<long>(value.As<Napi::BigInt>().Uint64Value(&lossless));
    }
    case napi_object: {
      // Napi::TypedArray has no address, whatever the type of the elements.
      void* data = nullptr;
      napi_get_typedarray_info(value.Env(), value, nullptr, nullptr, &data, nullptr, nullptr);
      return sys::as_arg(data);
    }
    default:
      return 0;
  }
}

struct Call {
  Call(const Napi::CallbackInfo& info, unsigned first) : nr(info[first].As<Napi::Number>().Int32Value()) {
    for (unsigned index = 0; index < kMaxArguments; ++index) words[index] = word(info[first + 1 + index]);
  }

  [[nodiscard]] long make() const { return sys::raw(nr, words[0], words[1], words[2], words[3], words[4], words[5]); }

  long nr;
  long words[kMaxArguments];
};

// Changes the file system ids of the calling thread only; the kernel checks access to files with them (setfsuid(2)).
void be(long uid, long gid) {
  (void)sys::raw(__NR_setfsgid, gid);
  (void)sys::raw(__NR_setfsuid, uid);
}

// A call that may block; it runs on a thread of libuv's pool. The references keep its buffers alive and in place.
class Later : public Napi::AsyncWorker {
 public:
  explicit Later(const Napi::CallbackInfo& info)
      : AsyncWorker(info[0].As<Napi::Function>(), "nsjs:syscall"),
        call_(info, 3),
        owner_{info[1].As<Napi::Number>(), info[2].As<Napi::Number>()} {
    for (unsigned index = 0; index < kMaxArguments; ++index)
      if (const Napi::Value value = info[4 + index]; value.IsObject()) buffers_[index] = Napi::Persistent(value.As<Napi::Object>());
  }

  void Execute() override {
    const bool as_other = owner_.uid != kNoId;
    if (as_other) be(owner_.uid, owner_.gid);
    result_ = call_.make();
    if (as_other) be(sys::raw(__NR_geteuid), sys::raw(__NR_getegid));
  }

  std::vector<napi_value> GetResult(Napi::Env env) override { return {Napi::Number::New(env, static_cast<double>(result_))}; }

 private:
  Call call_;
  Owner owner_;
  long result_ = 0;
  Napi::ObjectReference buffers_[kMaxArguments];
};

}  // namespace

// (number, argument …) -> result, -errno
Napi::Value syscall_now(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), static_cast<double>(Call(info, 0).make())); }

// (callback, uid or -1, gid, number, argument …): callback(result)
void syscall_later(const Napi::CallbackInfo& info) { (new Later(info))->Queue(); }

// (buffer) -> its address, for structures that contain pointers
Napi::Value address(const Napi::CallbackInfo& info) { return Napi::BigInt::New(info.Env(), static_cast<std::uint64_t>(word(info[0]))); }

}  // namespace nsjs

// Reads arguments from JavaScript and makes results for it. lib/native/addon.ts is the only caller and passes the right
// types, so a failed conversion yields zero and never throws.
#pragma once
#include <node_api.h>

#include "../sys/process.h"

namespace nsjs {

template <std::size_t count>
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    std::size_t given = count;
    napi_get_cb_info(env, info, &given, values_, nullptr, nullptr);
  }
  napi_value operator[](unsigned index) const { return values_[index]; }

  [[nodiscard]] std::int32_t int32(unsigned index) const {
    std::int32_t value = 0;
    napi_get_value_int32(env_, values_[index], &value);
    return value;
  }

  void* typed_array(unsigned index, std::size_t* length) const {
    void* data = nullptr;
    *length = 0;
    napi_get_typedarray_info(env_, values_[index], nullptr, length, &data, nullptr, nullptr);
    return data;
  }

  template <class T>
  T* external(unsigned index) const {
    void* data = nullptr;
    napi_get_value_external(env_, values_[index], &data);
    return static_cast<T*>(data);
  }

 private:
  napi_env env_;
  napi_value values_[count] = {};
};

inline napi_value number(napi_env env, long value) {
  napi_value result = nullptr;
  napi_create_int64(env, value, &result);
  return result;
}

// Returns the descriptor, which the caller then owns, or -errno.
inline napi_value take(napi_env env, Result<Fd> result) { return number(env, result.ok() ? result.value.release() : -result.status.err); }

}  // namespace nsjs

#pragma once
#include <node_api.h>

#include "session.h"

namespace nsjs {

napi_value launch(napi_env env, napi_callback_info info);         // (plan, stdio, image, uid, gid, results) -> session
napi_value watch(napi_env env, napi_callback_info info);          // (session, callback) -> -errno
napi_value adopt(napi_env env, napi_callback_info info);          // (session): streams own its pipe ends from now on
napi_value receive(napi_env env, napi_callback_info info);        // (session, channel, buffer, results) -> size, -errno
napi_value spawn_program(napi_env env, napi_callback_info info);  // (session, id, plan, stdio, uid, gid, results)
napi_value send(napi_env env, napi_callback_info info);           // (session, channel, bytes) -> size, -errno
napi_value fd(napi_env env, napi_callback_info info);             // (session, channel) -> fd
napi_value hold(napi_env env, napi_callback_info info);           // (session, fds)
napi_value ref(napi_env env, napi_callback_info info);            // (session, on)
napi_value close_session(napi_env env, napi_callback_info info);  // (session, keeperEnded)
napi_value image(napi_env env, napi_callback_info info);          // () -> the embedded launcher as ArrayBuffer

}  // namespace nsjs

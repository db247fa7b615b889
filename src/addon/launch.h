#pragma once
#include "session.h"

namespace nsjs {

Napi::Value launch(const Napi::CallbackInfo& info);         // (plan, stdio, image, uid, gid, results) -> session
Napi::Value watch(const Napi::CallbackInfo& info);          // (session, callback) -> -errno
void adopt(const Napi::CallbackInfo& info);                 // (session): streams own its pipe ends from now on
Napi::Value receive(const Napi::CallbackInfo& info);        // (session, channel, buffer, results) -> size, -errno
void spawn_program(const Napi::CallbackInfo& info);         // (session, id, plan, stdio, uid, gid, results)
Napi::Value send(const Napi::CallbackInfo& info);           // (session, channel, bytes) -> size, -errno
Napi::Value fd(const Napi::CallbackInfo& info);             // (session, channel) -> fd
void hold(const Napi::CallbackInfo& info);                  // (session, fds)
void ref(const Napi::CallbackInfo& info);                   // (session, on)
Napi::Value close_session(const Napi::CallbackInfo& info);  // (session, keeperEnded)
Napi::Value image(const Napi::CallbackInfo& info);          // () -> the embedded launcher as ArrayBuffer

}  // namespace nsjs

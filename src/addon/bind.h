// Functions of the addon that nsjs/sys and the rest of the library are built on.
#pragma once
#include <napi.h>

namespace nsjs {

Napi::Value syscall_now(const Napi::CallbackInfo& info);   // (number, argument …) -> result, -errno
void syscall_later(const Napi::CallbackInfo& info);        // (callback, uid, gid, number, …): callback(result)
Napi::Value address(const Napi::CallbackInfo& info);       // (buffer) -> address, a bigint
void clone_exec(const Napi::CallbackInfo& info);           // (clone_args, path, argv, envp, fds, results)
void in_namespace(const Napi::CallbackInfo& info);         // (userFd, netFd, fresh, requests, results)
Napi::Value empty_mounts(const Napi::CallbackInfo& info);  // () -> -errno
void make_net(const Napi::CallbackInfo& info);             // (sysctls)
Napi::Value take_net(const Napi::CallbackInfo& info);      // (wait) -> fd, -1
Napi::Value ns_links(const Napi::CallbackInfo& info);      // (directory, names, inodes) -> -errno
void file_ids(const Napi::CallbackInfo& info);             // (paths, ids, timed): fills in ids
Napi::Value same_files(const Napi::CallbackInfo& info);    // (paths, ids, timed) -> 1 or 0
Napi::Value watch_fd(const Napi::CallbackInfo& info);      // (fd, events, callback) -> watch, -errno
void ref_watch(const Napi::CallbackInfo& info);            // (watch, on)
Napi::Value keep_fd(const Napi::CallbackInfo& info);       // (fd) -> false if there is no room
void drop_fd(const Napi::CallbackInfo& info);              // (fd)
void unwatch_fd(const Napi::CallbackInfo& info);           // (watch)

}  // namespace nsjs

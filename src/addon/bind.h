// Functions of the addon that nsjs/sys and the rest of the library are built on.
#pragma once
#include <node_api.h>

namespace nsjs {

napi_value syscall_now(napi_env env, napi_callback_info info);    // (number, argument …) -> result, -errno
napi_value syscall_later(napi_env env, napi_callback_info info);  // (callback, uid, gid, number, …): callback(result)
napi_value address(napi_env env, napi_callback_info info);        // (buffer) -> address, a bigint
napi_value clone_exec(napi_env env, napi_callback_info info);     // (clone_args, path, argv, envp, fds, results)
napi_value in_namespace(napi_env env, napi_callback_info info);   // (userFd, netFd, fresh, requests, results)
napi_value empty_mounts(napi_env env, napi_callback_info info);   // () -> -errno
napi_value make_net(napi_env env, napi_callback_info info);       // (sysctls)
napi_value take_net(napi_env env, napi_callback_info info);       // (wait) -> fd, -1
napi_value ns_links(napi_env env, napi_callback_info info);       // (directory, names, inodes) -> -errno
napi_value file_ids(napi_env env, napi_callback_info info);       // (paths, ids, timed): fills in ids
napi_value same_files(napi_env env, napi_callback_info info);     // (paths, ids, timed) -> 1 or 0
napi_value watch_fd(napi_env env, napi_callback_info info);       // (fd, events, callback) -> watch, -errno
napi_value ref_watch(napi_env env, napi_callback_info info);      // (watch, on)
napi_value keep_fd(napi_env env, napi_callback_info info);        // (fd) -> false if there is no room
napi_value drop_fd(napi_env env, napi_callback_info info);        // (fd)
napi_value unwatch_fd(napi_env env, napi_callback_info info);     // (watch)

}  // namespace nsjs

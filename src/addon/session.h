// One running launcher as Node sees it: its two channels, its pidfd, and the ends of pipes not yet handed over.
#pragma once
#include <node_api.h>
#include <uv.h>

#include "../plan/wire.h"
#include "../sys/fd.h"
#include "mounts.h"
#include "spare_net.h"
#include "spawn.h"
#include "stdio.h"

namespace nsjs {

struct Environment;
class FdWatch;

enum Channel : unsigned { kControlChannel, kInitChannel, kKeeperEnd, kChannels };

// Lives until its keeper is reaped, even if the environment ends before: the asynchronous cleanup hook waits for it.
class Session {
 public:
  Session(Environment& environment, Fd control, Fd init, Fd keeper);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  // Calls back with the number of a channel each time it can be read. Without a watch the owner polls.
  int watch(napi_env env, napi_value callback);
  void ref(bool on);
  // The other end of the channel is gone: nothing more comes from it.
  void stop(Channel channel);
  // This side's ends of the pairs become `loose`; `numbers` receives them.
  void take(Stdio& stdio, std::int32_t* numbers, std::size_t count);
  // Ends the sandbox: the keeper sees its channel close.
  void close_channels();
  // To be called when the keeper has ended; frees the session.
  int close();

  [[nodiscard]] int fd(Channel channel) const { return fds_[channel].get(); }

  static constexpr unsigned kMaxLoose = kMaxPassedFds;
  static constexpr unsigned kMaxHeld = 32;
  Fd held[kMaxHeld];    // closed with the session
  Fd loose[kMaxLoose];  // this side's pipe ends until TypeScript has made streams of them

  Session* next = nullptr;
  Session* previous = nullptr;

 private:
  struct Poll {
    uv_poll_t handle;
    Session* session;
    Channel channel;
    bool active;
  };

  static void on_readable(uv_poll_t* handle, int status, int events);
  static void on_closed(uv_handle_t* handle);
  void free_if_done();

  Environment& environment_;
  Fd fds_[kChannels];
  Poll polls_[kChannels] = {};
  unsigned open_handles_ = 0;
  bool watched_ = false;
  bool closing_ = false;
  napi_ref callback_ = nullptr;

  friend struct Environment;
  class FdWatch;
};

// What one Node environment (main thread or worker) owns. No globals: each worker has its own.
struct Environment {
  explicit Environment(napi_env environment);
  ~Environment();

  napi_env env;
  uv_loop_t* loop = nullptr;
  Fd node;   // pidfd of this process, for the keepers to watch
  Fd image;  // sealed memfd that holds the launcher
  static constexpr unsigned kMaxKept = 32;
  Fd kept[kMaxKept];  // TypeScript's, which end with the environment at the latest
  Door door;
  EmptyMounts mounts;
  SpareNet net;
  Session* sessions = nullptr;
  FdWatch* watches = nullptr;
  bool ending = false;
  napi_async_cleanup_hook_handle hook = nullptr;

  static Environment& of(napi_env env);
  template <class Member>
  void add(Member*& list, Member* member) {
    member->next = list;
    if (list != nullptr) list->previous = member;
    list = member;
  }
  template <class Member>
  void remove(Member*& list, Member* member) {
    (member->previous != nullptr ? member->previous->next : list) = member->next;
    if (member->next != nullptr) member->next->previous = member->previous;
    finish_if_idle();
  }

 private:
  static void on_cleanup(napi_async_cleanup_hook_handle handle, void* data);
  void finish_if_idle();
};

// Calls back into JavaScript from the event loop.
void call_back(napi_env env, napi_value callback, int argument);

}  // namespace nsjs

// One running launcher: its two channels, its pidfd, and pipe ends that TypeScript has not taken over yet.
#pragma once
#include <napi.h>
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

  static Session& of(const Napi::Value& external) { return *external.As<Napi::External<Session>>().Data(); }

  // Calls `callback`, unless it is empty, with the number of a channel each time that channel becomes readable. Without
  // a watch the owner polls.
  int watch(Napi::Function callback);
  void ref(bool on);
  // Stops watching a channel whose peer has closed it. Closes it too, unless it is the pidfd of the keeper.
  void stop(Channel channel);
  // Moves this side's ends of the pairs to `loose`, and writes their numbers to `numbers`.
  void take(Stdio& stdio, std::int32_t* numbers, std::size_t count);
  // Ends the sandbox: the keeper sees EOF on its channel.
  void close_channels();
  // Call this when the keeper has ended. Reaps it, frees the session, and returns the exit status, or the negated
  // signal number.
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
  bool closing_ = false;
  Napi::FunctionReference callback_;
};

// The state of one Node environment (main thread or worker). There are no globals: each worker has its own.
struct Environment {
  explicit Environment(Napi::Env environment);
  ~Environment();

  Napi::Env env;
  uv_loop_t* loop = nullptr;
  Fd node;   // pidfd of this process, for the keepers to watch
  Fd image;  // sealed memfd that holds the launcher
  static constexpr unsigned kMaxKept = 32;
  Fd kept[kMaxKept];  // of objects in TypeScript; closed with the environment at the latest
  Door door;
  EmptyMounts mounts;
  SpareNet net;
  Session* sessions = nullptr;
  FdWatch* watches = nullptr;
  bool ending = false;
  napi_async_cleanup_hook_handle hook = nullptr;

  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }
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

// Calls a JavaScript function from the event loop.
void call_back(Napi::Function callback, int argument);

}  // namespace nsjs

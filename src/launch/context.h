// The state of one launcher process. clone3(2) copies it from keeper to init, and from init to a program's child.
#pragma once
#include "../plan/reader.h"
#include "../sys/fd.h"
#include "clock.h"

namespace nsjs {

constexpr unsigned kMaxLastWords = 16;

struct Slot {
  Fd fd;
  bool held = false;  // the keeper keeps it open for the life of the sandbox
};

struct Context {
  Plan plan;
  Slot slots[kMaxSlots];
  int out = kControlFd;  // where this process sends records: control channel, init's channel, exec pipe
  int init_pid = 0;
  std::uint32_t owner = 0;            // host id that creates the user namespace, 0 for this process's id
  Fd init;                            // pidfd of init, in the keeper
  Fd go;                              // pipe from keeper to init: one byte is `go`, EOF means that the keeper has died
  std::uint32_t proc_slot = kNoSlot;  // procfs for init, if it does not see the one of the host
  Fd proc;                            // the host's procfs, opened by init before the old root is detached
  bool owns_pids = true;              // the sandbox has its own pid namespace: killing init kills all processes
  std::uint64_t id[kNamespaces] = {};
  std::uint64_t inner_user = 0;  // id of the user namespace that init has created for programs
  bool clean_signals = false;    // every signal already has its default action
  bool verifies = false;         // init sends files of /proc/<pid> of each program that starts
  bool paused = false;           // new programs wait until the sandbox is resumed
  bool out_of_memory = false;    // the sandbox ran out of memory and was ended
  Fd oom;                        // eventfd, readable when the memory limit was reached
  Fd oom_control;                // memory.oom_control, with the number of OOM kills
  Fd last_words[kMaxLastWords];  // files that `after` reads, by step, if already open
  Clock clock;                   // keeper: of the sandbox; init: of the program that is started next
  std::uint32_t program = 0;     // number of the program: in its child, and in init while it starts it

  [[nodiscard]] int fd(std::uint32_t slot) const { return slot == kNoSlot ? -1 : slots[slot].fd.get(); }
  // The directory that a path starts from: a slot, or the working directory.
  [[nodiscard]] int base(std::uint32_t slot) const { return slot == kNoSlot ? -100 : slots[slot].fd.get(); }
  void close_slots(bool held_too) {
    for (Slot& slot : slots)
      if (held_too || !slot.held) slot.fd.reset();
  }
};

}  // namespace nsjs

// What one launcher process knows. Copied by clone3 from keeper to init and from init to a program's child.
#pragma once
#include "../plan/reader.h"
#include "../sys/fd.h"
#include "clock.h"

namespace nsjs {

constexpr unsigned kMaxLastWords = 16;

struct Slot {
  Fd fd;
  bool held = false;  // stays open for the life of the sandbox
};

struct Context {
  Plan plan;
  Slot slots[kMaxSlots];
  int out = kControlFd;  // where this process reports: control channel, init's channel, exec pipe
  int init_pid = 0;
  std::uint32_t owner = 0;            // of the user namespace that is made, 0 for this process's own id
  Fd init;                            // pidfd, in the keeper
  Fd go;                              // pipe from keeper to init: `go` is one byte, the keeper's death is its end
  std::uint32_t proc_slot = kNoSlot;  // the procfs that init is given, where it has not the host's at hand
  Fd proc;                            // the host's procfs, opened by init before the old root is detached
  bool owns_pids = true;              // the sandbox has a pid namespace of its own: killing init kills all
  std::uint64_t id[kNamespaces] = {};
  std::uint64_t inner_user = 0;  // of programs that enter one which init has made
  bool clean_signals = false;    // every signal has its default action already
  bool verifies = false;         // tells what the kernel says of each program that starts
  bool paused = false;           // what is started waits until it is let go on
  bool out_of_memory = false;    // and the sandbox was ended for it
  Fd oom;                        // readable when the kernel has met the limit of memory
  Fd oom_control;                // and what it has done about it
  Fd last_words[kMaxLastWords];  // what `after` reads, by its step, where the keeper has opened it before
  Clock clock;                   // of the sandbox in the keeper; in init of the program that is started next
  std::uint32_t program = 0;     // which one it is about: in its child, and in init while it is started

  [[nodiscard]] int fd(std::uint32_t slot) const { return slot == kNoSlot ? -1 : slots[slot].fd.get(); }
  // The directory a path starts from: a slot, or the working directory.
  [[nodiscard]] int base(std::uint32_t slot) const { return slot == kNoSlot ? -100 : slots[slot].fd.get(); }
  void close_slots(bool held_too) {
    for (Slot& slot : slots)
      if (held_too || !slot.held) slot.fd.reset();
  }
};

}  // namespace nsjs

// The programs that init has started and not reaped yet.
#pragma once
#include <new>

#include "../plan/wire.h"
#include "../sys/fd.h"
#include "../sys/result.h"
#include "clock.h"

namespace nsjs {

struct Program {
  std::uint32_t id = 0;
  int pid = 0;
  Fd pidfd;
  Fd exec;  // init's end of the exec channel; EOF after `ready` means that exec has succeeded
  Clock clock;
  Record ready{};
  bool waiting = false;  // it has done `beside` and waits to be released
  bool started = false;
  bool failed = false;
  bool last = false;  // the sandbox ends with it
};

// The empty table is all zero, so an unused table takes no memory.
class Programs {
 public:
  constexpr Programs() = default;
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;

  // Returns nullptr when the table is full.
  Program* add(std::uint32_t id) {
    unsigned free = 0;
    while (free < kMaxPrograms && used_[free]) ++free;
    if (free == kMaxPrograms) return nullptr;
    used_[free] = true;
    if (free >= end_) end_ = free + 1;
    auto* program = new (storage_[free]) Program;
    program->id = id;
    return program;
  }

  void remove(Program* program) {
    const auto index = static_cast<unsigned>(program - at(0));
    program->~Program();
    used_[index] = false;
    while (end_ > 0 && !used_[end_ - 1]) --end_;
  }

  // One past the last place in use.
  [[nodiscard]] unsigned end() const { return end_; }
  // Returns nullptr for a place that is not in use.
  Program* operator[](unsigned index) { return used_[index] ? at(index) : nullptr; }

  template <class Test>
  Program* find(Test test) {
    for (unsigned index = 0; index < end_; ++index)
      if (used_[index] && test(*at(index))) return at(index);
    return nullptr;
  }

 private:
  Program* at(unsigned index) { return std::launder(reinterpret_cast<Program*>(storage_[index])); }

  unsigned end_ = 0;
  bool used_[kMaxPrograms] = {};
  alignas(Program) unsigned char storage_[kMaxPrograms][sizeof(Program)] = {};
};

extern Programs g_programs;

struct Context;

// How init and a program's child synchronize.
struct Gate {
  bool waits;    // the child does `beside` and then waits for release_program()
  bool has_net;  // the child sends init the network namespace that it has created
  bool last;     // the sandbox ends with it
};

// Forks the child of the program of the plan, with the number context.program.
Status start_program(Context& context, Gate gate);
// Waits until the child of the first program has done `beside`, enters the namespace that it sends, and releases it.
Status release_program(Context& context);
// Releases programs that were started while the sandbox was paused.
void release_all();
// Forwards the records of the program's child. At EOF the program runs, has failed, or was killed before it could
// report.
void read_exec_channel(Context& context, Program& program);

}  // namespace nsjs

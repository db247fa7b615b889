// Telling Node that a program runs.
#pragma once

namespace nsjs {

struct Context;
struct Program;

// Node must know: what it can't be told of ends the sandbox. Only who owns the pid namespace may speak for another process in it; elsewhere
// the number is the host's anyway.
void send_started(Context& context, Program& program);

}  // namespace nsjs

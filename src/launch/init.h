#pragma once
#include "run.h"

namespace nsjs {

// PID 1 of the sandbox: waits for `go`, sets the sandbox up from inside, starts the program, reaps, ends with the program.
[[noreturn]] void init(Context& context);

}  // namespace nsjs

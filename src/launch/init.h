#pragma once
#include "run.h"

namespace nsjs {

// PID 1 of the sandbox. Waits for `go`, sets the sandbox up from inside, starts programs and reaps them. A one-shot run
// ends with its program.
[[noreturn]] void init(Context& context);

}  // namespace nsjs

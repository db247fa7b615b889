#pragma once
#include "run.h"

namespace nsjs {

// Sets the sandbox up from outside, waits until it has ended, cleans up, sends the last record and exits.
[[noreturn]] void keep(Context& context);

}  // namespace nsjs

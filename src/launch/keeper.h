#pragma once
#include "run.h"

namespace nsjs {

// Sets the sandbox up from outside, keeps watch until it has ended, cleans up, reports and exits.
[[noreturn]] void keep(Context& context);

}  // namespace nsjs

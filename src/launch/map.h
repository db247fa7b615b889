// A plan is in a memfd that Node has written and keeps no descriptor of.
#pragma once
#include "../plan/reader.h"

namespace nsjs {

// Maps and checks the plan; EINVAL if it is not a valid plan.
Status map_plan(int fd, Plan& plan);
void unmap_plan(const Plan& plan);

}  // namespace nsjs

// A plan lies in a memfd that Node has written and keeps no end of.
#pragma once
#include "../plan/reader.h"

namespace nsjs {

// Maps and checks the plan; EINVAL for one that is none.
Status map_plan(int fd, Plan& plan);
void unmap_plan(const Plan& plan);

}  // namespace nsjs

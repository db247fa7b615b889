// Waiting for children, for init and for the keeper of a sandbox that shares the host's pid namespace.
#pragma once

namespace nsjs {

constexpr int kWaitAll = 0x40000000;  // __WALL

// Kills every descendant until none is left. Needs PR_SET_CHILD_SUBREAPER, so that grandchildren come to this process.
void kill_descendants();

}  // namespace nsjs

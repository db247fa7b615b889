// Waiting for children, for init and for the keeper of a sandbox that shares the host's pid namespace.
#pragma once

namespace nsjs {

constexpr int kWaitAll = 0x40000000;  // __WALL

// Kills every descendant until none is left. Needs PR_SET_CHILD_SUBREAPER, so that grandchildren come to this process.
// `list` is the file of proc(5) that holds the pids; it must be one that no program can have made.
void kill_descendants(int directory, const char* list);

}  // namespace nsjs

// Waiting for children, for init and for the keeper of a sandbox that shares the host's pid namespace.
#pragma once

namespace nsjs {

constexpr int kWaitAll = 0x40000000;  // __WALL

// Kills every descendant until none is left. Needs PR_SET_CHILD_SUBREAPER, so that grandchildren come to this process.
// `list` is the file of proc(5) that holds the pids, `proc` how paths in that begin, both seen from `directory`; no program can have made
// them.
void kill_descendants(int directory, const char* proc, const char* list);

}  // namespace nsjs

// Waiting for descendants, used by init and keeper of a sandbox that shares the host's pid namespace.
#pragma once

namespace nsjs {

constexpr int kWaitAll = 0x40000000;  // __WALL

// Kills every descendant until none is left. Needs PR_SET_CHILD_SUBREAPER, so that orphaned grandchildren become
// children of this process. `list` is the file of proc(5) with the pids of the children, `proc` the prefix of the paths
// of a process, both relative to `directory`. The procfs must be one that no program can have created.
void kill_descendants(int directory, const char* proc, const char* list);

}  // namespace nsjs

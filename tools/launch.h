// Starts the ranks of a run on this machine as copies of this program, with the variables that
// torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
#pragma once

#include <string>

namespace cleared::tools {

// Runs `ranks` copies with the same arguments and returns the exit code of the first that failed,
// or 0. SIGINT and SIGTERM go to all of them; when one fails the others are told to end, and killed
// when they do not. When one was lost (killed by a signal that did not come through here, or
// stopped while others end) all are started again, up to `restarts` times; then the answer is
// exit_busy. One that crashed (SIGABRT, SIGSEGV, SIGILL, SIGFPE) would do so again: exit_internal.
// Call from a process that has one thread. Error{io} when they cannot be started.
int launch_ranks(int ranks, char** argv, int restarts = 0);

// For a process that some launcher started as a rank: SIGTERM when the launcher dies.
void end_with_parent();

// For a rank that has lost another: one line, and exit_busy at once, whatever other threads do.
[[noreturn]] void end_lost(const std::string& line);

}  // namespace cleared::tools

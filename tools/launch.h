// Starts the ranks of a run on this machine as copies of this program, with the variables that
// torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
#pragma once

#include <optional>
#include <string>

namespace cleared::tools {

struct LaunchOptions {
  int ranks = 1;
  int restarts = 0;          // of all ranks together, when one was lost
  std::optional<int> least;  // after them fewer ranks go on, a power of two, down to so many
};

// Runs `ranks` copies with the same arguments and returns the exit code of the first that failed,
// or 0. SIGINT and SIGTERM go to all of them; when one fails the others are told to end, and killed
// when they do not. When one was lost (killed by a signal that did not come through here, or
// stopped while others end) all are started again, up to `restarts` times; then, as often, the
// greatest power of two of ranks that is smaller, down to `least`, without the place (LOCAL_RANK,
// and so the GPU) of what was lost last; then the answer is exit_busy. One that crashed (SIGABRT,
// SIGSEGV, SIGILL, SIGFPE) would do so again: exit_internal. Call from a process that has one
// thread. Error{io} when they cannot be started.
int launch_ranks(const LaunchOptions& options, char** argv);

// For a process that some launcher started as a rank: SIGTERM when the launcher dies.
void end_with_parent();

// For a rank that has lost another: one line, and exit_busy at once, whatever other threads do.
[[noreturn]] void end_lost(const std::string& line);

}  // namespace cleared::tools

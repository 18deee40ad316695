// What a worker child gives up before it reads the first byte of footage: files, network, new
// programs, memory and time without bound. For the one thread of a child that was just started.
#pragma once

#include <cstdint>

namespace cleared::curate {

struct SandboxLimits {
  uint64_t memory_bytes = uint64_t{2} << 30;  // address space
  uint64_t cpu_s = 3600;
  uint64_t output_bytes = uint64_t{1} << 30;  // of any one file that it was handed
};

// For good: resource limits, Landlock (no file can be opened; skipped on a kernel without it) and
// seccomp (only the calls that decoding needs; opening a file fails, a socket or a new program
// kills the process). Open descriptors above `highest_fd` are closed. Error{unsupported} when
// seccomp is not to be had. Under a sanitizer, which needs what is forbidden here, only CPU time is
// limited.
void enter_sandbox(const SandboxLimits& limits, int highest_fd);

}  // namespace cleared::curate

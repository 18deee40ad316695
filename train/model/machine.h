// What has to be settled about the machine before the first product, and what a checkpoint records
// about it, because the bits of a result depend on it.
#pragma once

#include <string>

namespace cleared::train {

struct Machine {
  std::string cpu;         // model name
  std::string features;    // "avx2,fma,avx512f,..." of those that change the bits
  std::string capability;  // what PyTorch's own kernels use, as "AVX2"
  std::string onednn_isa;  // the cap on oneDNN, or "all"
  std::string libtorch;    // its version
  std::string gpu;         // model name, or "none"
  int threads = 1;
};

// Call once, first in main, before any thread is started and any tensor is made. Caps oneDNN below
// AMX where the processor announces AMX but hides how its tiles are laid out (CPUID leaf 1Dh is
// empty), which would end in SIGILL; says so in one log line. Turns deterministic algorithms on and
// TF32 off, and sets the number of threads (0: as many as there are cores).
Machine prepare_machine(int threads);

// "cpu=... features=... threads=...": one line for checkpoints and logs.
std::string describe(const Machine& machine);

}  // namespace cleared::train

// What has to be settled about the machine before the first product, and what a checkpoint records
// about it, because the bits of a result depend on it.
#pragma once

#include <cstdint>
#include <string>

#include "train/model/product.h"

namespace cleared::train {

struct Machine {
  std::string cpu;         // model name; of a run on several kinds all of them
  std::string vendor;      // of the processor, as it says itself
  std::string features;    // "avx2,fma,avx512f,..." of those that change the bits
  std::string capability;  // what PyTorch's own kernels use, as "AVX2"
  std::string onednn_isa;  // the cap on oneDNN, or "all"
  std::string products;    // the library of float32 products: "mkl" or "onednn"
  std::string libtorch;    // its version
  std::string libraries;   // loaded_libraries() of train/version.h; empty: not known
  std::string gpu;         // model name, or "none"
  std::string settings;    // " NAME=value" of variables that are set and change the bits
  std::string decoder;     // decoder_digest() of train/data/decoder.h; empty: nothing is decoded
  int threads = 1;
};

// What an x86 processor says of itself, as far as it matters here; 0 where it has no such leaf.
struct Cpuid {
  std::string vendor{};  // "GenuineIntel", "AuthenticAMD"
  uint32_t leaf1_ecx = 0;
  uint32_t leaf7_ebx = 0, leaf7_ecx = 0, leaf7_edx = 0;  // subleaf 0
  uint32_t leaf7_1_eax = 0;                              // subleaf 1
  uint32_t leaf1d_1_eax = 0;                             // palette 1 of AMX: bytes of its tiles
};
// Machine::features of such a processor.
std::string features_of(const Cpuid& cpu);
// The cap on oneDNN that it needs: below AMX where that is announced and the tiles are not
// described. Empty: none.
std::string onednn_cap_of(const Cpuid& cpu);
// Which library multiplies float32 matrices there: oneDNN on AMD's processors with AVX-512, where
// it is an eighth faster than MKL (docs/performance.md), MKL everywhere else.
Products products_of(const Cpuid& cpu);

// Call once, first in main, before any thread is started and any tensor is made. Caps oneDNN below
// AMX where the processor announces AMX but hides how its tiles are laid out (CPUID leaf 1Dh is
// empty), which would end in SIGILL; says so in one log line. Turns deterministic algorithms on and
// TF32 off, and sets the number of threads (0: as many as there are cores).
Machine prepare_machine(int threads);

// "cpu=... features=... threads=...": one line for checkpoints and logs.
std::string describe(const Machine& machine);

// Whether that line, of a checkpoint, is of such a machine. One of before libraries were in it says
// nothing of them.
bool is_described(const Machine& machine, const std::string& line);

// The same of what must be equal on all ranks: the vendor for the model name, for processors of one
// cluster often differ in a letter of it, and without the decoder, which is no arithmetic of ours.
std::string kind_of(const Machine& machine);

}  // namespace cleared::train

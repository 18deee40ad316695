#include "train/model/machine.h"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include "ledger/base/log.h"
#include "train/model/memory.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#ifdef CLEARED_CUDA
#include <cuda_runtime_api.h>
#endif

namespace cleared::train {
namespace {

struct Processor {
  std::string name = "unknown";
  std::string features;
  bool tiles_hidden = false;  // AMX announced, its tile palette not described
};

#if defined(__x86_64__)
Processor look_at_processor() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  Processor cpu;
  const auto add = [&](bool there, const char* feature) {
    if (there) cpu.features += (cpu.features.empty() ? "" : ",") + std::string(feature);
  };
  if (__get_cpuid(1, &a, &b, &c, &d)) add(c & bit_FMA, "fma");
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    const bool amx = (d >> 24) & 1;  // AMX-TILE
    add(b & bit_AVX2, "avx2");
    add(b & bit_AVX512F, "avx512f");
    add((c >> 11) & 1, "avx512_vnni");
    add((d >> 23) & 1, "avx512_fp16");
    add((d >> 22) & 1, "amx_bf16");
    unsigned top = 0;
    if (__get_cpuid_count(7, 1, &top, &b, &c, &d)) add((top >> 5) & 1, "avx512_bf16");
    a = 0;
    cpu.tiles_hidden = amx && (!__get_cpuid_count(0x1D, 1, &a, &b, &c, &d) || a == 0);
  }
  return cpu;
}
#else
Processor look_at_processor() {
  return {};
}
#endif

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

// All GPUs of a machine are taken to be of one kind.
std::string gpu_name() {
#ifdef CLEARED_CUDA
  cudaDeviceProp gpu{};
  if (::cudaGetDeviceProperties(&gpu, 0) == cudaSuccess) return gpu.name;
#endif
  return "none";
}

}  // namespace

Machine prepare_machine(int threads) {
  const Processor cpu = look_at_processor();
  constexpr const char* kCap = "ONEDNN_MAX_CPU_ISA";
  if (cpu.tiles_hidden && std::getenv(kCap) == nullptr) {
    ::setenv(kCap, "AVX512_CORE_FP16", 1);
    log(Level::warn, "train.machine",
        {{"onednn_isa", "AVX512_CORE_FP16"}, {"why", "AMX is announced but its tiles are hidden"}});
  }
  if (threads <= 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  use_pooled_memory();
  at::set_num_threads(threads);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  // Would fill every new tensor with NaN, to show reads of what was never written.
  at::globalContext().setDeterministicFillUninitializedMemory(false);
  // float32 means float32, and partial sums of bfloat16 products stay float32.
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowBF16ReductionCuBLAS(false);

  const char* cap = std::getenv(kCap);
  return {.cpu = processor_name(),
          .features = cpu.features,
          .capability = at::get_cpu_capability(),
          .onednn_isa = cap != nullptr ? cap : "all",
          .libtorch = TORCH_VERSION,
          .gpu = gpu_name(),
          .threads = at::get_num_threads()};
}

std::string describe(const Machine& machine) {
  std::ostringstream out;
  out << "cpu=\"" << machine.cpu << "\" features=" << machine.features
      << " capability=" << machine.capability << " onednn_isa=" << machine.onednn_isa
      << " libtorch=" << machine.libtorch;
  if (machine.gpu != "none") out << " gpu=\"" << machine.gpu << "\"";
  out << " threads=" << machine.threads;
  return std::move(out).str();
}

}  // namespace cleared::train

#include "train/model/machine.h"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include "ledger/base/log.h"
#include "ledger/digest.h"
#include "train/model/memory.h"
#include "train/version.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#ifdef CLEARED_CUDA
#include <cuda_runtime_api.h>
#endif

namespace cleared::train {
namespace {

Cpuid look_at_processor() {
  Cpuid cpu;
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d)) {
    for (const unsigned word : {b, d, c}) {
      for (int bit = 0; bit < 32; bit += 8) cpu.vendor += static_cast<char>(word >> bit);
    }
  }
  if (__get_cpuid(1, &a, &b, &c, &d)) cpu.leaf1_ecx = c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    cpu.leaf7_ebx = b;
    cpu.leaf7_ecx = c;
    cpu.leaf7_edx = d;
  }
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) cpu.leaf7_1_eax = a;
  if (__get_cpuid_count(0x1D, 1, &a, &b, &c, &d)) cpu.leaf1d_1_eax = a;
#endif
  return cpu;
}

// Those of MKL, oneDNN and cuBLAS. What PyTorch's own kernels were told is in get_cpu_capability.
std::string settings_of_libraries() {
  std::string out;
  for (const char* name :
       {"MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DYNAMIC", "MKL_NUM_THREADS", "DNNL_MAX_CPU_ISA",
        "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE", "CUBLAS_WORKSPACE_CONFIG",
        "NVIDIA_TF32_OVERRIDE"}) {
    if (const char* value = std::getenv(name)) out += " " + std::string(name) + "=" + value;
  }
  return out;
}

bool has(uint32_t word, int bit) {
  return ((word >> bit) & 1) != 0;
}

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

std::string features_of(const Cpuid& cpu) {
  const std::pair<bool, const char*> all[] = {
      {has(cpu.leaf1_ecx, 12), "fma"},          {has(cpu.leaf7_ebx, 5), "avx2"},
      {has(cpu.leaf7_ebx, 16), "avx512f"},      {has(cpu.leaf7_ecx, 11), "avx512_vnni"},
      {has(cpu.leaf7_edx, 23), "avx512_fp16"},  {has(cpu.leaf7_edx, 22), "amx_bf16"},
      {has(cpu.leaf7_1_eax, 5), "avx512_bf16"},
  };
  std::string features;
  for (const auto& [there, name] : all) {
    if (there) features += (features.empty() ? "" : ",") + std::string(name);
  }
  return features;
}

std::string onednn_cap_of(const Cpuid& cpu) {
  const bool tiles = has(cpu.leaf7_edx, 24);
  return tiles && cpu.leaf1d_1_eax == 0 ? "AVX512_CORE_FP16" : "";
}

Products products_of(const Cpuid& cpu) {
  const bool avx512 = has(cpu.leaf7_ebx, 16) && has(cpu.leaf7_ebx, 17) &&  // F, DQ
                      has(cpu.leaf7_ebx, 30) && has(cpu.leaf7_ebx, 31);    // BW, VL
  return cpu.vendor == "AuthenticAMD" && avx512 ? Products::onednn : Products::mkl;
}

Machine prepare_machine(int threads) {
  const Cpuid cpu = look_at_processor();
  constexpr const char* kCap = "ONEDNN_MAX_CPU_ISA";
  const std::string needed = onednn_cap_of(cpu);
  if (!needed.empty() && std::getenv(kCap) == nullptr) {
    ::setenv(kCap, needed.c_str(), 1);
    log(Level::warn, "train.machine",
        {{"onednn_isa", needed}, {"why", "AMX is announced but its tiles are hidden"}});
  }
  ::setenv("KINETO_LOG_LEVEL", "99",
           0);  // else a trace comes with lines about GPUs that are not there
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
  // A oneDNN that was told to do with less may have no product for it.
  const bool capped = cap != nullptr || std::getenv("DNNL_MAX_CPU_ISA") != nullptr;
  const Products products = capped ? Products::mkl : products_of(cpu);
  set_products(products);
  return {.cpu = processor_name(),
          .vendor = cpu.vendor,
          .features = features_of(cpu),
          .capability = at::get_cpu_capability(),
          .onednn_isa = cap != nullptr ? cap : "all",
          .products = products == Products::onednn ? "onednn" : "mkl",
          .libtorch = TORCH_VERSION,
          .libraries = loaded_libraries(),
          .gpu = gpu_name(),
          .settings = settings_of_libraries(),
          .decoder = {},
          .threads = at::get_num_threads()};
}

std::string describe(const Machine& machine) {
  std::ostringstream out;
  out << "cpu=\"" << machine.cpu << "\" features=" << machine.features
      << " capability=" << machine.capability << " onednn_isa=" << machine.onednn_isa
      << (machine.products == "mkl" ? "" : " products=" + machine.products)
      << " libtorch=" << machine.libtorch;
  if (machine.gpu != "none") out << " gpu=\"" << machine.gpu << "\"";
  if (!machine.libraries.empty()) {
    out << " libraries=" << to_hex(ledger::sha256(machine.libraries));
  }
  out << machine.settings;
  if (!machine.decoder.empty()) out << " decoder=" << machine.decoder;
  out << " threads=" << machine.threads;
  return std::move(out).str();
}

bool is_described(const Machine& machine, const std::string& line) {
  Machine known = machine;
  if (line.find(" libraries=") == std::string::npos) known.libraries.clear();
  return line == describe(known);
}

std::string kind_of(const Machine& machine) {
  Machine kind = machine;
  kind.cpu = machine.vendor;
  kind.decoder.clear();
  return describe(kind);
}

}  // namespace cleared::train

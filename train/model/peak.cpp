#include "train/model/peak.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/matmul.h>
#include <sys/resource.h>

#ifdef CLEARED_CUDA
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>
#endif

#include "ledger/base/bytes.h"
#include "ledger/base/error.h"
#include "train/environment.h"

namespace cleared::train {
namespace {

using PeakClock = std::chrono::steady_clock;

}  // namespace

void wait_for(at::Device device) {
#ifdef CLEARED_CUDA
  if (device.is_cuda()) c10::cuda::device_synchronize();
#endif
  static_cast<void>(device);
}

double measure_peak(at::Device device, at::ScalarType type, double seconds) {
  const at::NoGradGuard no_grad;
  const int64_t n = device.is_cpu() ? 1024 : 8192;
  // Not of one value, which draws less power and so may run faster.
  const Tensor a =
      at::linspace(-1, 1, n * n, at::TensorOptions(device).dtype(at::kFloat)).view({n, n}).to(type);
  const double flop =
      2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  const auto start = PeakClock::now();
  double best = 0;
  while (std::chrono::duration<double>(PeakClock::now() - start).count() < seconds) {
    const auto before = PeakClock::now();
    const Tensor product = at::matmul(a, a);
    wait_for(device);
    const double took = std::chrono::duration<double>(PeakClock::now() - before).count();
    best = std::max(best, flop / took);
  }
  return best;
}

uint64_t free_bytes(at::Device device) {
#ifdef CLEARED_CUDA
  if (device.is_cuda()) {
    size_t left = 0, all = 0;
    if (::cudaMemGetInfo(&left, &all) == cudaSuccess) return left;
    return 0;
  }
#endif
  static_cast<void>(device);
  std::ifstream info("/proc/meminfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("MemAvailable:")) return std::stoull(line.substr(13)) * 1024;
  }
  return 0;
}

uint64_t peak_bytes(at::Device device) {
#ifdef CLEARED_CUDA
  if (device.is_cuda()) {
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(device.index());
    return static_cast<uint64_t>(stats.reserved_bytes[0].peak);  // 0: of pools of all sizes
  }
#endif
  static_cast<void>(device);
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

FoundDevice find_device(int local_rank) {
#ifdef CLEARED_CUDA
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr && *visible == '\0') return {};
  int gpus = 0;
  const cudaError_t counted = ::cudaGetDeviceCount(&gpus);
  if (counted != cudaSuccess || gpus == 0) {
    static_cast<void>(::cudaGetLastError());  // said once is enough
    return {at::kCPU,
            std::string("none ") +
                (counted == cudaSuccess ? "no device is visible" : ::cudaGetErrorString(counted))};
  }
  const auto index = static_cast<c10::DeviceIndex>(local_rank % gpus);
  c10::cuda::set_device(index);
  cudaDeviceProp about{};
  if (const cudaError_t asked = ::cudaGetDeviceProperties(&about, index); asked != cudaSuccess) {
    return {at::kCPU, std::string("none ") + ::cudaGetErrorString(asked)};
  }
  const std::string_view id(about.uuid.bytes, sizeof about.uuid.bytes);
  return {{at::kCUDA, index}, "gpu " + to_hex(as_bytes(id))};
#else
  static_cast<void>(local_rank);
  return {};
#endif
}

at::Device first_device() {
  const FoundDevice found = find_device(0);
  if (const std::string trouble = device_trouble({found.says}); !trouble.empty()) {
    throw Error(Errc::config, "device: ", trouble);
  }
  return found.device;
}

}  // namespace cleared::train

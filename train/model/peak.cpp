#include "train/model/peak.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/matmul.h>
#include <sys/resource.h>

#ifdef CLEARED_CUDA
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>
#endif

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

uint64_t peak_resident_bytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

at::Device first_device() {
#ifdef CLEARED_CUDA
  if (c10::cuda::device_count() > 0) return {at::kCUDA, 0};
#endif
  return at::kCPU;
}

}  // namespace cleared::train

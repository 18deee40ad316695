// How much arithmetic this machine does, measured: what step times are compared with, because a
// data sheet says nothing about the machine at hand. One thread calls it; it uses as many as
// at::get_num_threads().
#pragma once

#include <cstdint>
#include <string>

#include "train/model/tensor.h"

namespace cleared::train {

// FLOP/s of square matrix products of `type` on `device`, the best of some, for about `seconds`.
double measure_peak(at::Device device, at::ScalarType type, double seconds = 0.5);

// Returns when all that was queued on `device` is done.
void wait_for(at::Device device);

// Bytes that a process could still take on `device`: of its memory, or of the machine's. 0 when
// nobody says.
uint64_t free_bytes(at::Device device);

// Most memory that this process has held at once on `device`, in bytes: of its tensors on a GPU,
// else of the machine.
uint64_t peak_bytes(at::Device device);

struct FoundDevice {
  at::Device device = at::kCPU;
  std::string says = "cpu";  // "gpu ID", another for each, or "none WHY" where a GPU should be
};
// Where a rank computes: a build with CUDA on a GPU, unless CUDA_VISIBLE_DEVICES is set and empty,
// others on the CPU. Makes the GPU the current one.
FoundDevice find_device(int local_rank);

// The same for a program that is no rank. Error{config} where a GPU should be.
at::Device first_device();

}  // namespace cleared::train

// How much arithmetic this machine does, measured: what step times are compared with, because a
// data sheet says nothing about the machine at hand. One thread calls it; it uses as many as
// at::get_num_threads().
#pragma once

#include <cstdint>

#include "train/model/tensor.h"

namespace cleared::train {

// FLOP/s of square matrix products of `type` on `device`, the best of some, for about `seconds`.
double measure_peak(at::Device device, at::ScalarType type, double seconds = 0.5);

// Returns when all that was queued on `device` is done.
void wait_for(at::Device device);

// Bytes that a process could still take on `device`: of its memory, or of the machine's. 0 when
// nobody says.
uint64_t free_bytes(at::Device device);

// Most memory that this process has held at once on the machine, in bytes.
uint64_t peak_resident_bytes();

// Where the ranks of this build compute: the first GPU, if there is one and the build can use it.
at::Device first_device();

}  // namespace cleared::train

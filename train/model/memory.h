// Memory of tensors on the CPU. What the C library maps anew for every large tensor has to be
// zeroed and paged in by the kernel each time, a tenth of a training step, and aligned blocks of any
// size take it long; here blocks are kept for the next tensor of about their size, in slabs of huge
// pages.
#pragma once

#include <cstddef>
#include <functional>

namespace cleared::train {

// Calls `body`. Where there is not enough memory, of the machine or of a GPU, Error{io} says so,
// and what helps.
void with_memory(const std::function<void()>& body);

// LibTorch takes CPU memory from the pool from now on. Call once, before any tensor is made.
void use_pooled_memory();

// What the pool serves a request of `bytes` with; 0: it leaves the request to the C library.
size_t pooled_size(size_t bytes);

}  // namespace cleared::train

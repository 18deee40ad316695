// The product that most of a step is: x with a layer's weight. By the library that is fastest on
// this processor, so its bits belong to the processor (train/model/machine.h).
#pragma once

#include "train/model/tensor.h"

namespace cleared::train {

// Which library multiplies float32 matrices on the CPU. mkl is what LibTorch takes for them.
enum class Products { mkl, onednn };

// For all threads, before the first product. prepare_machine() calls it.
void set_products(Products products);

// x [..., K] times weight_NK transposed: [..., N], both of one type, float32 or bfloat16, any
// device, with gradients. Thread rule of autograd.
Tensor product(const Tensor& x, const Tensor& weight_NK);

}  // namespace cleared::train

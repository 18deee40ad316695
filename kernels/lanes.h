// One text for the arithmetic of an element, whether it is one float, a vector of Highway
// (lanes-inl.h) or a CUDA thread: kernels write `o.fma(a, b, c)` for a type `O` of this shape.
#pragma once

#include <cmath>

#include "kernels/bf16.h"
#include "kernels/device.h"

namespace cleared::kernels {

struct OneLane {
  using V = float;
  CLEARED_HD V set(float x) const { return x; }
  CLEARED_HD V load(const float* p) const { return *p; }
  CLEARED_HD V load(const Bf16* p) const { return to_float(*p); }
  CLEARED_HD void store(V x, float* p) const { *p = x; }
  CLEARED_HD void store(V x, Bf16* p) const { *p = to_bf16(x); }
  CLEARED_HD V add(V a, V b) const { return a + b; }
  CLEARED_HD V sub(V a, V b) const { return a - b; }
  CLEARED_HD V mul(V a, V b) const { return a * b; }
  CLEARED_HD V div(V a, V b) const { return a / b; }
  CLEARED_HD V fma(V a, V b, V c) const { return ::fmaf(a, b, c); }    // a b + c
  CLEARED_HD V fnma(V a, V b, V c) const { return ::fmaf(-a, b, c); }  // c - a b
  CLEARED_HD V sqrt(V x) const { return ::sqrtf(x); }
  CLEARED_HD V exp(V x) const { return ::expf(x); }
};

}  // namespace cleared::kernels

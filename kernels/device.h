// Lets the arithmetic of a kernel be one text for g++ and nvcc, and a CUDA stream be passed without
// the CUDA headers.
#pragma once

#ifdef __CUDACC__
#define CLEARED_HD __host__ __device__
#else
#define CLEARED_HD
#endif

struct CUstream_st;

namespace cleared::kernels {
using Stream = CUstream_st*;  // cudaStream_t
}

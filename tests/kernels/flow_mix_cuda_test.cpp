// Both halves of the kernel on one random input. Built by the cuda preset; skips aloud without a
// GPU.
#include <random>
#include <vector>

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "kernels/flow_mix.h"

namespace cleared::kernels {
namespace {

// Floats on the device, from and to the host.
class DeviceFloats {
 public:
  explicit DeviceFloats(const std::vector<float>& host) : count_(host.size()) {
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data_), bytes()), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(data_, host.data(), bytes(), cudaMemcpyHostToDevice), cudaSuccess);
  }
  DeviceFloats(const DeviceFloats&) = delete;
  DeviceFloats& operator=(const DeviceFloats&) = delete;
  ~DeviceFloats() { cudaFree(data_); }
  float* data() const { return data_; }
  std::vector<float> host() const {
    std::vector<float> out(count_);
    EXPECT_EQ(cudaMemcpy(out.data(), data_, bytes(), cudaMemcpyDeviceToHost), cudaSuccess);
    return out;
  }

 private:
  size_t bytes() const { return count_ * sizeof(float); }
  float* data_ = nullptr;
  size_t count_;
};

TEST(FlowMixCuda, AgreesWithTheReference) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    GTEST_SKIP() << "no CUDA device: the device half of flow_mix was compiled and not run";
  }
  constexpr int64_t kB = 3;
  constexpr int64_t kM = 1001;  // no multiple of a block of threads
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  const auto draw = [&](int64_t n) {
    std::vector<float> out(static_cast<size_t>(n));
    for (float& value : out) value = normal(random);
    return out;
  };
  const std::vector<float> x_BM = draw(kB * kM);
  const std::vector<float> noise_BM = draw(kB * kM);
  const std::vector<float> t_B = {0.0F, 0.3F, 1.0F};
  std::vector<float> want_BM(x_BM.size());
  flow_mix_cpu({x_BM.data(), noise_BM.data(), t_B.data(), want_BM.data(), kB, kM});

  const DeviceFloats x(x_BM);
  const DeviceFloats noise(noise_BM);
  const DeviceFloats t(t_B);
  const DeviceFloats z(std::vector<float>(x_BM.size(), 0.0F));
  flow_mix_cuda({x.data(), noise.data(), t.data(), z.data(), kB, kM}, nullptr);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  const std::vector<float> got_BM = z.host();
  // The device may fuse the multiplication and the addition: one rounding less.
  for (size_t i = 0; i < got_BM.size(); ++i) ASSERT_NEAR(got_BM[i], want_BM[i], 1e-6F) << i;
}

}  // namespace
}  // namespace cleared::kernels

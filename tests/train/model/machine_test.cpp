#include "train/model/machine.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cleared::train {
namespace {

// Before every test of this program: one thread, so that tests side by side do not wait for each
// other's cores, and products that are safe.
class OneThread : public ::testing::Environment {
 public:
  void SetUp() override { prepare_machine(1); }
};
const auto* const kOneThread = ::testing::AddGlobalTestEnvironment(new OneThread);

TEST(Machine, IsReadyForProductsAndSaysWhatItIs) {
  const Machine machine = prepare_machine(1);
  EXPECT_EQ(machine.threads, 1);
  EXPECT_EQ(at::get_num_threads(), 1);
  EXPECT_TRUE(at::globalContext().deterministicAlgorithms());
  const std::string text = describe(machine);
  for (const char* part : {"cpu=", "features=", "libtorch=2.", "threads=1"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  // The product that dies with SIGILL where AMX is announced and unusable.
  const at::Tensor x = at::ones({256, 256}, at::kBFloat16);
  EXPECT_EQ(at::mm(x, x)[0][0].item<float>(), 256.0f);
}

}  // namespace
}  // namespace cleared::train

#include "train/model/machine.h"

#include <cstdlib>

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

// Words as processors give them; the bits are those of Intel's manual, volume 2A, CPUID. An AMX
// that is announced by a machine's host and not described cannot be used.
TEST(Machine, CapsOneDnnWhereTilesAreAnnouncedAndNotDescribed) {
  constexpr uint32_t kFma = 1U << 12, kAvx2 = 1U << 5, kAvx512 = 1U << 16, kVnni = 1U << 11;
  constexpr uint32_t kFp16 = 1U << 23, kAmxBf16 = 1U << 22, kAmxTile = 1U << 24, kBf16 = 1U << 5;
  const Cpuid old = {.leaf1_ecx = kFma, .leaf7_ebx = kAvx2};
  const Cpuid avx512 = {.leaf1_ecx = kFma,
                        .leaf7_ebx = kAvx2 | kAvx512,
                        .leaf7_ecx = kVnni,
                        .leaf7_edx = kFp16,
                        .leaf7_1_eax = kBf16};
  Cpuid whole = avx512;
  whole.leaf7_edx |= kAmxBf16 | kAmxTile;
  whole.leaf1d_1_eax = 0x04002000;  // 8192 bytes, 1024 a tile
  Cpuid hidden = whole;
  hidden.leaf1d_1_eax = 0;
  struct Case {
    Cpuid cpu;
    const char *features, *cap;
  };
  const std::string all = "fma,avx2,avx512f,avx512_vnni,avx512_fp16,";
  const std::string amx = all + "amx_bf16,avx512_bf16", none = all + "avx512_bf16";
  const Case cases[] = {
      {{}, "", ""},
      {old, "fma,avx2", ""},
      {avx512, none.c_str(), ""},
      {whole, amx.c_str(), ""},
      {hidden, amx.c_str(), "AVX512_CORE_FP16"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(features_of(c.cpu), c.features);
    EXPECT_EQ(onednn_cap_of(c.cpu), c.cap) << c.features;
  }
}

// Processors of one cluster are of one kind where their names differ in a letter; of two makers
// they are not, whatever both announce.
TEST(Machine, IsOfAKindByWhatChangesBits) {
  Machine one;
  one.cpu = "Xeon 8480+";
  one.vendor = "GenuineIntel";
  one.features = "fma,avx2";
  Machine other = one;
  other.cpu = "Xeon 8480C";
  other.decoder = "of another program";
  EXPECT_EQ(kind_of(one), kind_of(other));
  EXPECT_NE(describe(one), describe(other));
  const std::pair<std::string Machine::*, const char*> changes[] = {
      {&Machine::vendor, "AuthenticAMD"},
      {&Machine::features, "fma,avx2,avx512f"},
      {&Machine::capability, "DEFAULT"},
      {&Machine::onednn_isa, "SSE41"},
      {&Machine::products, "onednn"},
      {&Machine::libtorch, "2.14"},
      {&Machine::libraries, "libm.so.6 00ff\n"},
      {&Machine::gpu, "H100"},
      {&Machine::settings, " MKL_CBWR=AVX2"}};
  for (const auto& [field, value] : changes) {
    other = one;
    other.*field = value;
    EXPECT_NE(kind_of(one), kind_of(other)) << value;
  }
}

// The libraries that compute are named, and a line of before they were says nothing of them.
TEST(Machine, KnowsWhatALineOfACheckpointIsOf) {
  Machine machine = prepare_machine(1);
  for (const char* library : {"libtorch_cpu.so ", "libm.so.6 ", "libc.so.6 "}) {
    EXPECT_NE(machine.libraries.find(library), std::string::npos) << machine.libraries;
  }
  const std::string line = describe(machine);
  EXPECT_TRUE(is_described(machine, line));
  const size_t at = line.find(" libraries=");
  ASSERT_NE(at, std::string::npos) << line;
  const std::string before = line.substr(0, at) + line.substr(line.find(' ', at + 1));
  EXPECT_TRUE(is_described(machine, before));
  EXPECT_FALSE(is_described(machine, before + "0"));
  machine.libraries += "libpreloaded.so 00ff\n";
  EXPECT_FALSE(is_described(machine, line));
}

// The bits of EBX of leaf 7: AVX-512 F, DQ, BW, VL.
TEST(Machine, MultipliesByTheFasterLibraryOfItsKind) {
  constexpr uint32_t kAll = 1U << 16 | 1U << 17 | 1U << 30 | 1U << 31;
  EXPECT_EQ(products_of({.vendor = "AuthenticAMD", .leaf7_ebx = kAll}), Products::onednn);
  EXPECT_EQ(products_of({.vendor = "AuthenticAMD", .leaf7_ebx = 1U << 16}), Products::mkl);
  EXPECT_EQ(products_of({.vendor = "GenuineIntel", .leaf7_ebx = kAll}), Products::mkl);
  EXPECT_EQ(products_of({}), Products::mkl);
  const Machine machine = prepare_machine(1);
  EXPECT_EQ(describe(machine).find(" products=onednn") != std::string::npos,
            machine.products == "onednn");
  ::setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16", 0);
  if (std::getenv("ONEDNN_MAX_CPU_ISA") == std::string("AVX512_CORE_FP16")) {
    EXPECT_EQ(prepare_machine(1).products, "mkl");
  }
  if (machine.onednn_isa == "all") ::unsetenv("ONEDNN_MAX_CPU_ISA");
}

TEST(Machine, SaysWhatItsLibrariesWereTold) {
  ::setenv("MKL_CBWR", "COMPATIBLE", 1);
  const std::string told = describe(prepare_machine(1));
  ::unsetenv("MKL_CBWR");
  EXPECT_NE(told.find(" MKL_CBWR=COMPATIBLE"), std::string::npos) << told;
  EXPECT_EQ(describe(prepare_machine(1)).find("MKL_CBWR"), std::string::npos);
}

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

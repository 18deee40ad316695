#include "train/checkpoint.h"

#include <fstream>

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "tests/train/model/support.h"
#include "train/run_folder.h"

namespace cleared::train {
namespace {

namespace fs = std::filesystem;

// Bytes that this process has read so far, from the page cache or not.
uint64_t bytes_read() {
  std::ifstream in("/proc/self/io");
  std::string word;
  uint64_t number = 0;
  in >> word >> number;
  return number;
}

// Weights of a hundred gigabytes take minutes to hash.
TEST(Checkpoint, IsReadAndHashedOnceToGoOnFrom) {
  const testing::TemporaryFolder run;
  const ledger::SignerKey key = ledger::new_signer_key("trainer");
  const Digest sample = ledger::sha256("sample");
  const std::string digest = ledger::digest_name(sample);

  State state;
  state.set_run("tiny");
  state.set_step(1);
  state.set_permit(digest);
  state.set_config(digest);
  state.set_code_version("1");
  state.set_seed(7);
  state.set_ranks(1);
  state.set_threads(1);
  state.set_machine("abacus");
  state.set_origin("test.example/ledger");
  state.set_tree_size(9);
  state.set_tree_root(digest);
  state.set_order_first_step(0);
  state.set_samples_root(digest);
  state.set_first_loss(1);
  state.set_smooth_loss(1);
  CheckpointTensors tensors;
  tensors.model.emplace("w", at::linspace(-1, 1, 1 << 20));
  tensors.ema.emplace("w", at::linspace(-1, 1, 1 << 20));
  tensors.optimiser.emplace("m.w", at::linspace(0, 1, 1 << 20));
  Span span(0, std::make_shared<const Places>(Places{{sample, {sample, 0, 1'000'000}}}));
  span.codec({});
  span.step({.step = 0, .loss = 1, .gradient_norm = 1, .applied = true, .samples = {sample}});
  const fs::path folder = write_checkpoint(run.path(), state, tensors,
                                           {read_file("../configs/nano.textproto"), {}}, span, key);

  const uint64_t before = bytes_read();
  if (before == 0) GTEST_SKIP() << "the kernel does not count what is read";
  EXPECT_EQ(find_checkpoint(run.path(), {}), 1U);
  const Checkpoint back = read_checkpoint(folder, {{"trainer", key.verifier}});
  const uint64_t once = bytes_read() - before, all = (uint64_t{1} << 20) * 4 * 3;
  EXPECT_GE(once, all);
  EXPECT_LT(once, all + all / 10);
  EXPECT_TRUE(at::equal(back.tensors.model.at("w"), tensors.model.at("w")));
  EXPECT_EQ(back.weights_metadata, weights_metadata(state, span));

  // Without its totals it would have consumed nothing.
  std::string sums = read_file(folder / "SHA256SUMS");
  const size_t line = sums.find("  totals.txt") - 64;
  write_file(folder / "SHA256SUMS", sums.erase(line, sums.find('\n', line) + 1 - line));
  fs::remove(folder / "totals.txt");
  EXPECT_THROW(read_checkpoint(folder, {}), Error);
}

}  // namespace
}  // namespace cleared::train

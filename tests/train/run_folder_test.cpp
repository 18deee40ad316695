#include "train/run_folder.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "tests/train/gate_fixture.h"

namespace cleared::train {
namespace {

namespace fs = std::filesystem;

fs::path write_step(const fs::path& run, uint64_t step) {
  CheckpointWriter writer(run, step);
  writer.write("weights.safetensors", "weights of " + std::to_string(step));
  writer.write("optimizer.safetensors", "moments of " + std::to_string(step));
  writer.write("state.textproto", "state.textproto");
  return writer.commit();
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(RunFolder, FindsTheNewestCheckpointOrTheOneAskedFor) {
  const TemporaryFolder run;
  EXPECT_EQ(find_checkpoint(run.path(), {}), std::nullopt);
  write_step(run.path(), 9);
  write_step(run.path(), 100);
  write_step(run.path(), 1'000'000);
  EXPECT_EQ(find_checkpoint(run.path(), {}), 1'000'000u);
  EXPECT_EQ(find_checkpoint(run.path(), 100), 100u);
  EXPECT_EQ(find_checkpoint(run.path(), 0), std::nullopt);
  EXPECT_NE(error_of([&] { find_checkpoint(run.path(), 8); }).find("step-000008"),
            std::string::npos);
}

TEST(RunFolder, RefusesADamagedCheckpointAndNamesTheLastGoodOne) {
  struct Case {
    std::function<void(const fs::path&)> harm;
    const char* says;
  };
  const Case cases[] = {
      {[](const fs::path& f) { write_file(f / "weights.safetensors", "Weights of 3"); },
       "weights.safetensors was changed"},
      {[](const fs::path& f) { fs::remove(f / "state.textproto"); }, "state.textproto is missing"},
      {[](const fs::path& f) { fs::remove(f / "SHA256SUMS"); }, "SHA256SUMS"},
      {[](const fs::path& f) { write_file(f / "SHA256SUMS", "x\n"); }, "SHA256SUMS"},
      {[](const fs::path& f) { write_file(f / "more", ""); }, "more does not belong"},
      {[](const fs::path& f) {
         write_file(f / "more", "");
         write_file(f / "SHA256SUMS",
                    read_file(f / "SHA256SUMS") + to_hex(ledger::sha256("")) + "  more\n");
       },
       "more does not belong"},
      {[](const fs::path& f) {
         write_file(f / "SHA256SUMS",
                    read_file(f / "SHA256SUMS") + read_file(f / "SHA256SUMS").substr(0, 86));
       },
       "SHA256SUMS is not as a run writes it"},
  };
  for (const Case& c : cases) {
    const TemporaryFolder run;
    for (const uint64_t step : {1, 2, 3}) write_step(run.path(), step);
    c.harm(step_folder(run.path(), 3));
    EXPECT_EQ(find_checkpoint(run.path(), {}), 3u);  // asks nobody yet
    const auto read = [&] {
      try {
        verify_checkpoint(step_folder(run.path(), 3));
      } catch (const Error& damage) {
        name_last_good(run.path(), 3, damage);
      }
    };
    const std::string error = error_of(read);
    EXPECT_NE(error.find(c.says), std::string::npos) << error;
    EXPECT_NE(error.find("--from 2"), std::string::npos) << error;

    write_file(step_folder(run.path(), 2) / "state.textproto", "other");
    EXPECT_NE(error_of(read).find("--from 1"), std::string::npos);
    write_file(step_folder(run.path(), 1) / "state.textproto", "other");
    EXPECT_NE(error_of(read).find("no good one before it"), std::string::npos);
  }
}

TEST(RunFolder, GivenForACheckpointSaysWhichAreInIt) {
  const TemporaryFolder run;
  for (const uint64_t step : {1, 20}) write_step(run.path(), step);
  const std::string error = error_of([&] { listed_files(run.path()); });
  EXPECT_NE(error.find("it is a run's folder"), std::string::npos) << error;
  EXPECT_NE(error.find(step_folder(run.path(), 20).string()), std::string::npos) << error;
}

TEST(RunFolder, IsWholeOrAbsent) {
  const TemporaryFolder run;
  {
    CheckpointWriter writer(run.path(), 5);
    writer.write("weights.safetensors", "half");
  }
  EXPECT_TRUE(fs::is_empty(run.path()));
  write_step(run.path(), 5);
  EXPECT_THROW(CheckpointWriter(run.path(), 5), Error);  // never replaced
}

// sha256sum of coreutils reads what we write.
TEST(RunFolder, WritesSumsThatOthersCheck) {
  const TemporaryFolder run;
  const fs::path folder = write_step(run.path(), 1);
  EXPECT_EQ(std::system(
                ("cd " + folder.string() + " && sha256sum --quiet --strict -c SHA256SUMS").c_str()),
            0);
}

TEST(RunFolder, SetsAsideAndDeletesNothing) {
  const TemporaryFolder run;
  for (const uint64_t step : {1, 2, 3}) write_step(run.path(), step);
  EXPECT_EQ(set_aside_after(run.path(), 1), 2u);
  EXPECT_EQ(find_checkpoint(run.path(), {}), 1u);
  verify_checkpoint(run.path() / "superseded-1" / "step-000003");
  set_aside_all(run.path());
  EXPECT_EQ(find_checkpoint(run.path(), {}), std::nullopt);
  verify_checkpoint(run.path() / "superseded-2" / "step-000001");
}

TEST(RunFolder, KeepsTheNewest) {
  const TemporaryFolder run;
  for (const uint64_t step : {1, 2, 3}) write_step(run.path(), step);
  prune(run.path(), 0);
  EXPECT_EQ(find_checkpoint(run.path(), 1), 1u);
  prune(run.path(), 2);
  EXPECT_THROW(find_checkpoint(run.path(), 1), Error);
  EXPECT_EQ(find_checkpoint(run.path(), 2), 2u);
  for (const uint64_t step : {4, 5, 6, 7}) write_step(run.path(), step);
  prune(run.path(), 2, 2);
  EXPECT_EQ(checkpoint_steps(run.path()), (std::vector<uint64_t>{2, 4, 6, 7}));
}

// A checkpoint that is being deleted is none, and what stops a deletion stops no run.
TEST(RunFolder, DeletesWholeOrNotAtAll) {
  const TemporaryFolder run;
  for (const uint64_t step : {1, 2, 3}) write_step(run.path(), step);
  // In the way of the second one's hidden name.
  const fs::path hidden = run.path() / ".pruned-step-000002";
  make_folders(hidden / "more");
  prune(run.path(), 1);
  EXPECT_EQ(checkpoint_steps(run.path()), (std::vector<uint64_t>{2, 3}));
  verify_checkpoint(step_folder(run.path(), 2));
  make_folders(run.path() / ".partial-step-000009");
  sweep(run.path());
  EXPECT_FALSE(fs::exists(hidden));
  EXPECT_FALSE(fs::exists(run.path() / ".partial-step-000009"));
  prune(run.path(), 1);
  EXPECT_EQ(checkpoint_steps(run.path()), (std::vector<uint64_t>{3}));
}

}  // namespace
}  // namespace cleared::train

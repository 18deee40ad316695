// Runs whose checkpoints have their tensors in several files: the same as in one, wherever a
// checkpoint goes.
#include <chrono>
#include <csignal>
#include <cstring>
#include <map>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ledger/attestation.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "tests/train/forgery.h"
#include "tests/train/train_program.h"
#include "train/run_folder.h"
#include "train/tensor_index.h"

namespace cleared::train {
namespace {

using testing::HasSubstr;
using testing::Not;

class SeveralFiles : public TrainRun {
 protected:
  static GateFixture make_split(const std::string& file_bytes, uint64_t steps = 6,
                                const std::string& every = "3") {
    const std::string usual = "every: 3 keep: 0";
    std::string config = tiny_config(steps);
    config.replace(config.find(usual), usual.size(),
                   "every: " + every + " keep: 0 file_bytes: " + file_bytes);
    return GateFixture(config, {sample_video(0), sample_video(1), sample_video(2)});
  }
  static std::string auditor(const GateFixture& f) {
    const fs::path path = f.folder() / "auditor.trust";
    write_file(path, read_file(f.paths().trust) + read_file(f.folder() / "trainer.pub"));
    return path;
  }
  static Ended replay(const GateFixture& f, const std::vector<std::string>& more) {
    return train(std::vector<std::string>{"replay", f.folder() / "a", "--permit", f.paths().permit,
                                          "--trust", auditor(f), "--shards", f.paths().shards,
                                          "--curate", CLEARED_CURATE} +
                 more);
  }
  static Ended sample(const GateFixture& f, const fs::path& checkpoint) {
    return train({"sample", "--checkpoint", checkpoint, "--out", f.folder() / "a.gif", "--release",
                  f.folder() / "a.release", "--trust", f.folder() / "trust-release", "--notices",
                  f.paths().notices});
  }
};

constexpr const char* kIndex = "weights.safetensors.index.json";

TEST_F(SeveralFiles, HoldWhatOneFileHolds) {
  const GateFixture one = make();
  ASSERT_EQ(run(one, "a").code, 0);
  GateFixture f = make_split("20000");
  ASSERT_EQ(run(f, "a", kTwoRanks + std::vector<std::string>{"--until", "3"}).code, 0);
  const Ended resumed = run(f, "a");
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_THAT(resumed.output, HasSubstr("from step-000003"));

  const fs::path whole = one.folder() / "a/step-000006", last = f.folder() / "a/step-000006";
  EXPECT_EQ(read_file(last / "tensors.txt"), read_file(whole / "tensors.txt"));
  const State state = state_of(last);
  EXPECT_EQ(state.tensors(), state_of(whole).tensors());
  EXPECT_FALSE(fs::exists(last / "weights.safetensors"));
  EXPECT_TRUE(fs::exists(whole / "weights.safetensors"));
  EXPECT_FALSE(fs::exists(whole / kIndex));

  // The index stands for the weights wherever a digest does, and for the files that it names.
  const std::string weights = ledger::digest_name(ledger::sha256(read_file(last / kIndex)));
  EXPECT_EQ(state.weights(), weights);
  const auto index = parse_index(read_file(last / kIndex), "weights", "index");
  EXPECT_GT(index.digests.size(), 2u);
  const auto statement = ledger::parse_statement(
      ledger::parse_envelope(read_file(last / "statement.dsse.json")).payload);
  EXPECT_EQ(statement.subjects[0].name, kIndex);
  for (const auto& subject : statement.subjects) {
    EXPECT_THAT(subject.name, Not(HasSubstr("-of-"))) << "the ledger's record grows with it";
  }
  const auto facts = outbox(f.folder() / "a");
  EXPECT_TRUE(std::any_of(facts.begin(), facts.end(), [&](const ledger::Fact& fact) {
    return fact.checkpoint().step() == 6 &&
           "sha256:" + to_hex(std::as_bytes(std::span(fact.checkpoint().digest()))) == weights;
  }));
  const std::string sums = read_file(last / "SHA256SUMS");
  EXPECT_EQ("sha256:" + sums.substr(0, 64), weights);

  for (const char* from : {"0", "3"}) {
    const Ended again = replay(f, {"--from", from});
    EXPECT_EQ(again.code, 0) << again.output;
    EXPECT_THAT(again.output, HasSubstr("bit for bit"));
  }
  const Ended start = train({"step0", f.folder() / "a", "--trust", auditor(f)});
  EXPECT_EQ(start.code, 0) << start.output;
  f.release(read_sums(last).at(1).digest);
  EXPECT_EQ(sample(f, last).code, 3);  // a file is not what is released
  f.release(*ledger::parse_digest_name(weights));
  const Ended clip = sample(f, last);
  EXPECT_EQ(clip.code, 0) << clip.output;
  const Ended eval = train({"eval", "--checkpoint", last, "--permit", f.paths().permit, "--trust",
                            auditor(f), "--shards", f.paths().shards, "--notices",
                            f.paths().notices, "--curate", CLEARED_CURATE, "--samples", "1"});
  EXPECT_EQ(eval.code, 0) << eval.output;
}

// Whoever reads it: 65, and a line with the file and the way out.
TEST_F(SeveralFiles, OfWhichOneWasChangedAreNotGoneOnFrom) {
  GateFixture f = make_split("20000", 9);
  ASSERT_EQ(run(f, "a", {"--until", "6"}).code, 0);
  const fs::path last = f.folder() / "a/step-000006";
  const std::string name = read_sums(last).at(2).name;
  ASSERT_THAT(name, HasSubstr("weights-00002-of-"));
  const fs::path file = last / name;
  f.release(ledger::sha256(read_file(last / kIndex)));
  const std::string good = read_file(file);
  ASSERT_FALSE(good.empty());
  const auto expect = [&](const std::string& says) {
    const Ended resumed = run(f, "a");
    EXPECT_EQ(resumed.code, 65) << resumed.output;
    EXPECT_THAT(resumed.output, HasSubstr(name + says));
    EXPECT_THAT(resumed.output, HasSubstr("--from 3"));
    for (const Ended& ended : {sample(f, last), replay(f, {"--from", "3"}),
                               train({"step0", f.folder() / "a", "--trust", auditor(f)})}) {
      EXPECT_EQ(ended.code, 65) << ended.output;
      EXPECT_THAT(ended.output, HasSubstr(name + says));
    }
  };
  std::string bad = good;
  bad.back() ^= 1;
  write_file(file, bad);
  expect(" was changed: its digest is not the one in SHA256SUMS");
  sum_again(last);
  expect(" was changed: its digest is not the one in " + std::string(kIndex));
  fs::remove(file);
  expect(" is missing");
  write_file(file, good);
  sum_again(last);
  EXPECT_EQ(run(f, "a").code, 0);
  EXPECT_EQ(read_sums(f.folder() / "a/step-000009")[0].name, kIndex);
}

using Json = nlohmann::json;

// The tensors of safetensors files, as their headers have them and their bytes, and put together
// again as a run writes such a file.
using RawTensors = std::map<std::string, std::pair<Json, std::string>>;

void read_raw(const std::string& file, RawTensors& all, Json& metadata) {
  uint64_t size = 0;
  std::memcpy(&size, file.data(), sizeof size);
  const Json header = Json::parse(file.substr(8, size));
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      metadata = entry;
      continue;
    }
    const uint64_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    all[name] = {entry, file.substr(8 + size + begin, end - begin)};
  }
}

std::string format_raw(const RawTensors& tensors, const Json& metadata) {
  Json header = {{"__metadata__", metadata}};
  std::string bytes;
  for (const auto& [name, tensor] : tensors) {
    header[name] = tensor.first;
    header[name]["data_offsets"] = {bytes.size(), bytes.size() + tensor.second.size()};
    bytes += tensor.second;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t size = text.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + text + bytes;
}

// What an index of `stem` names, in files of up to so many bytes with an index that fits.
void split_again(Forgery& forgery, const std::string& stem, uint64_t file_bytes) {
  RawTensors all;
  Json metadata;
  for (const auto& [name, bytes] : forgery.more) {
    if (is_part_name(name, stem)) read_raw(bytes, all, metadata);
  }
  std::erase_if(forgery.more, [&](const auto& file) { return is_part_name(file.first, stem); });
  std::vector<RawTensors> files(1);
  TensorIndex index;
  uint64_t filled = 0;
  for (const auto& [name, tensor] : all) {
    const uint64_t size = tensor.second.size();
    if (!files.back().empty() && filled + size > file_bytes) files.emplace_back(), filled = 0;
    files.back().emplace(name, tensor);
    filled += size, index.total_size += size;
  }
  const bool weights = stem == kWeightsStem;
  std::string& name = weights ? forgery.weights_name : forgery.optimiser_name;
  std::string& first = weights ? forgery.weights : forgery.optimiser;
  if (files.size() == 1) {
    name = whole_name(stem);
    first = format_raw(all, metadata);
    return;
  }
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string part = part_name(stem, i + 1, files.size());
    const std::string& bytes = forgery.more[part] = format_raw(files[i], metadata);
    index.digests.emplace(part, ledger::sha256(bytes));
    for (const auto& tensor : files[i]) index.file_of.emplace(tensor.first, part);
  }
  first = format_index(index);
}

// Every tensor is there, in files with an index that fits, signed by the trainer; but a run of this
// config would have put them into other files.
TEST_F(SeveralFiles, AreThoseThatTheRunWouldHaveWritten) {
  const GateFixture f = make_split("20000");
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path last = f.folder() / "a/step-000006", kept = f.folder() / "kept";
  fs::copy(last, kept, fs::copy_options::recursive);
  const auto forge_split = [&](const std::string& stem, uint64_t file_bytes) {
    fs::remove_all(last);
    fs::copy(kept, last, fs::copy_options::recursive);
    forge(f, f.folder() / "a", 6,
          [&](Forgery& forgery) { split_again(forgery, stem, file_bytes); });
  };
  forge_split("weights", 20000);
  ASSERT_EQ(read_file(last / kIndex), read_file(kept / kIndex));
  const Ended same = replay(f, {"--from", "3"});
  ASSERT_EQ(same.code, 0) << same.output;
  const std::pair<std::string, uint64_t> rows[] = {
      {"weights", 1}, {"weights", 1 << 30}, {"optimizer", 40000}};
  for (const auto& [stem, file_bytes] : rows) {
    forge_split(stem, file_bytes);
    const Ended ended = replay(f, {"--from", "3"});
    EXPECT_EQ(ended.code, 65) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr("step-000006: " + stem));
    EXPECT_THAT(ended.output, HasSubstr("a run with file_bytes 20000 has it in " + stem));
  }
}

// A checkpoint of many files takes longest to write: killed at whatever moment, it is there whole
// or not at all.
TEST_F(SeveralFiles, AreThereAllOrNoneWhenARunIsKilled) {
  constexpr uint64_t kSteps = 12;
  const GateFixture one = make(kSteps);
  ASSERT_EQ(run(one, "a").code, 0);
  const GateFixture f = make_split("1", kSteps, "1");
  std::mt19937 random(7);
  size_t halves = 0;
  for (int kill = 0; kill < 6; ++kill) {
    Process process(CLEARED_TRAIN, run_args(f, "a"));
    ASSERT_TRUE(process.wait_for("step ")) << process.output();
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 400));
    process.send(SIGKILL);
    process.wait();
    for (const auto& entry : fs::directory_iterator(f.folder() / "a")) {
      halves += entry.path().filename().string().starts_with(".partial-") ? 1 : 0;
    }
    for (const uint64_t step : checkpoint_steps(f.folder() / "a")) {
      EXPECT_NO_THROW(verify_checkpoint(step_folder(f.folder() / "a", step))) << step;
    }
  }
  EXPECT_GT(halves, 0u) << "no kill met a checkpoint that was being written";
  const Ended done = run(f, "a");
  ASSERT_EQ(done.code, 0) << done.output;
  EXPECT_EQ(state_of(f.folder() / "a/step-000012").tensors(),
            state_of(one.folder() / "a/step-000012").tensors());
}

}  // namespace
}  // namespace cleared::train

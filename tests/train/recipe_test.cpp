// Choices of a recipe that must not cost exactness: Muon, blocks that are computed again, samples
// of which another part is seen each time, outliers, several averages.
#include <algorithm>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "ledger/digest.h"
#include "ledger/shard.h"
#include "tests/train/train_program.h"
#include "train/run_folder.h"

namespace cleared::train {
namespace {

using testing::HasSubstr;

std::string recipe(const std::string& model, const std::string& optimiser) {
  std::string text = tiny_config(6, 4);
  text.replace(text.find("layers: 1 heads"), 9, "layers: 2" + model);
  return text.replace(text.find("ema: 0.9"), 8, "ema: 0.9" + optimiser);
}

class TrainRecipe : public TrainRun {
 protected:
  // The tensors of a run's last checkpoint, by their digest.
  static std::string tensors(const GateFixture& f, const std::string& out,
                             const std::vector<std::string>& more = {}, uint64_t step = 6) {
    const Ended ended = run(f, out, more);
    EXPECT_EQ(ended.code, 0) << ended.output;
    return ended.code == 0 ? state_of(step_folder(f.folder() / out, step)).tensors() : ended.output;
  }
  // One rank makes the steps from 3 on again.
  static void expect_replay(const GateFixture& f, const std::string& out) {
    const fs::path trust = f.folder() / "auditor.trust";
    write_file(trust, read_file(f.folder() / "trust") + read_file(f.folder() / "trainer.pub"));
    const Ended audit = train({"replay", f.folder() / out, "--from", "3", "--permit",
                               f.paths().permit, "--trust", trust, "--shards", f.paths().shards,
                               "--curate", CLEARED_CURATE, "--nproc-per-node", "1"});
    EXPECT_EQ(audit.code, 0) << audit.output;
  }
  static GateFixture of(const std::string& config) {
    return GateFixture(config, {sample_video(0), sample_video(1), sample_video(2)});
  }
};

TEST_F(TrainRecipe, ByMuonARunIsTheSameBrokenOffOnMoreRanksAndMadeAgain) {
  const GateFixture f = of(recipe("", " muon_momentum: 0.95"));
  const std::string straight = tensors(f, "straight");
  ASSERT_EQ(run(f, "broken", {"--until", "3"}).code, 0);
  EXPECT_EQ(tensors(f, "broken"), straight);
  EXPECT_EQ(tensors(f, "two", kTwoRanks), straight);
  const std::string manifest = read_file(f.folder() / "straight/step-000006/tensors.txt");
  EXPECT_THAT(manifest, HasSubstr(" optimiser.m.blocks.0.f1.weight "));
  EXPECT_THAT(manifest, testing::Not(HasSubstr(" optimiser.v.blocks.0.f1.weight ")));

  expect_replay(f, "two");
  EXPECT_NE(tensors(of(recipe("", "")), "adamw"), straight);
}

// The text encoder at another rate: matrices that Muon steps, and what is left to AdamW.
TEST_F(TrainRecipe, ATextEncodersOwnRateIsTheSameBrokenOffOnMoreRanksAndMadeAgain) {
  const auto with_share = [](const std::string& share) {
    std::string text = recipe("", " muon_momentum: 0.95");
    return text.replace(text.find("dropout: 0.1"), 12, "dropout: 0.1" + share);
  };
  const GateFixture f = of(with_share(" learning_rate_share: 0.1"));
  ASSERT_EQ(run(f, "broken", {"--until", "3"}).code, 0);
  const std::string broken = tensors(f, "broken");
  EXPECT_EQ(tensors(f, "two", kTwoRanks), broken);
  expect_replay(f, "two");
  const std::string plain = tensors(of(with_share("")), "plain");
  EXPECT_EQ(tensors(of(with_share(" learning_rate_share: 1")), "one"), plain);
  EXPECT_NE(plain, broken);
}

TEST_F(TrainRecipe, PartsOfSamplesAreTheSameBrokenOffOnMoreRanksAndMadeAgain) {
  const auto varied = [](const std::string& vary) {
    std::string text = tiny_config(6, 4) + vary;
    return text.replace(text.find("width: 64 height: 64 frames: 16"), 31,
                        "width: 32 height: 64 frames: 8");
  };
  const GateFixture f = of(varied("vary { start: true crop: true mirror: true }"));
  const std::string straight = tensors(f, "straight");
  ASSERT_EQ(run(f, "broken", {"--until", "3"}).code, 0);
  EXPECT_EQ(tensors(f, "broken"), straight);
  EXPECT_EQ(tensors(f, "two", kTwoRanks), straight);
  expect_replay(f, "two");
  // Each of them matters; mirroring and cropping not to the codec.
  std::set<std::string> others = {straight, tensors(of(varied("")), "run")};
  for (const char* part : {"start", "crop", "mirror"}) {
    others.insert(tensors(of(varied("vary { " + std::string(part) + ": true }")), "run"));
  }
  EXPECT_EQ(others.size(), 5u);
}

TEST_F(TrainRecipe, WhatIsLeftOutIsOnRecordAndTheSameBrokenOffOnMoreRanksAndMadeAgain) {
  std::string text = recipe("", " guard { steps: 4 above: 1.0001 }");
  text.replace(text.find("steps: 6"), 8, "steps: 12");
  const GateFixture f = of(text);
  const Ended ended = run(f, "straight");
  ASSERT_EQ(ended.code, 0) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("run.outlier"));
  std::string lines;
  for (const uint64_t step : {3, 6, 9, 12}) {
    lines += read_file(step_folder(f.folder() / "straight", step) / "steps.txt");
  }
  EXPECT_THAT(lines, testing::AllOf(HasSubstr(" applied "), HasSubstr(" skipped ")));
  const std::string straight = state_of(f.folder() / "straight/step-000012").tensors();
  ASSERT_EQ(run(f, "broken", {"--until", "6"}).code, 0);
  EXPECT_EQ(tensors(f, "broken", {}, 12), straight);
  EXPECT_EQ(tensors(f, "two", kTwoRanks, 12), straight);
  expect_replay(f, "two");
}

TEST_F(TrainRecipe, AClipIsSampledFromTheAverageThatIsAskedFor) {
  GateFixture f = of(recipe("", " ema: 0.3"));
  const std::string straight = tensors(f, "straight");
  ASSERT_EQ(run(f, "broken", {"--until", "3"}).code, 0);
  EXPECT_EQ(tensors(f, "broken"), straight);
  EXPECT_EQ(tensors(f, "two", kTwoRanks), straight);
  expect_replay(f, "two");
  const fs::path checkpoint = f.folder() / "two/step-000006";
  f.release(*ledger::parse_digest_name(state_of(checkpoint).weights()));
  const auto sample = [&](const std::vector<std::string>& which) {
    const fs::path gif = f.folder() / "a.gif";
    fs::remove(gif);
    const Ended ended = train(
        std::vector<std::string>{"sample", "--checkpoint", checkpoint, "--release",
                                 f.folder() / "a.release", "--trust", f.folder() / "trust-release",
                                 "--notices", f.paths().notices, "--out", gif} +
        which);
    return ended.code == 0 ? read_file(gif) : ended.output;
  };
  const std::string first = sample({});
  EXPECT_EQ(first.substr(0, 3), "GIF") << first;
  EXPECT_EQ(sample({"--ema", "0.9"}), first);
  EXPECT_NE(sample({"--ema", "0.3"}), first);
  EXPECT_EQ(sample({"--ema", "0.3"}).substr(0, 3), "GIF");
  EXPECT_THAT(sample({"--ema", "0.5"}), HasSubstr("no average of decay 0.5, but of 0.9 0.3"));
}

TEST_F(TrainRecipe, BlocksComputedAgainGiveTheSameWeights) {
  const std::string kept = tensors(of(recipe("", "")), "kept");
  const GateFixture again = of(recipe(" recompute: true", ""));
  EXPECT_EQ(tensors(again, "again"), kept);
  EXPECT_EQ(tensors(again, "two", kTwoRanks), kept);
}

// By a good part of what the plan says: 8 layers of 2,048 tokens and their hidden layers.
TEST_F(TrainRecipe, BlocksComputedAgainTakeLessMemory) {
  const auto peak = [](const std::string& more) {
    std::string text = tiny_config(3, 8) + "micro_batches: 1\n";
    const std::string tiny = "dim: 24 layers: 1 heads: 1 ffn: 24";
    text.replace(text.find(tiny), tiny.size(), "dim: 192 layers: 8 heads: 3 ffn: 768" + more);
    const GateFixture f = of(text);
    const Ended ended = run(f, "run", {"--json", "--until", "2"});
    EXPECT_EQ(ended.code, 0) << ended.output;
    uint64_t most = 0;
    std::istringstream lines(ended.output);
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, false);
      if (json.is_object()) most = std::max(most, json.value("memory_bytes", uint64_t{0}));
    }
    return most;
  };
  const uint64_t kept = peak(""), again = peak(" recompute: true");
  EXPECT_GT(again, 0u);
  EXPECT_LT(again + (uint64_t{150} << 20), kept)
      << (kept >> 20) << " and " << (again >> 20) << " MiB";
}

// A shard of the same three clips twice, under another name, so that it is of a bucket.
void add_shard(const GateFixture& f, const std::string& name) {
  std::vector<ledger::SampleMembers> samples;
  for (int i = 0; i < 6; ++i) {
    const std::string number = std::to_string(i);
    samples.push_back(
        {.key = name.substr(0, name.find('-')) + number,
         .members = {{"webm", sample_video(i % 3)}, {"json", "{}"}, {"txt", name + " " + number}},
         .clip = ledger::sha256(name + number),
         .duration_us = 1'000'000});
  }
  ledger::write_shard(f.folder() / "shards", name, samples, {"demo-licence@1"});
}

std::string buckets(const std::string& more) {
  std::string text = tiny_config(6, 2) + "micro_batches: 2\n" + more;
  return text.replace(text.find("layers: 1 heads"), 9, "layers: 2");
}

TEST_F(TrainRecipe, StepsOfSeveralShapesAreTheSameOnAnyRanksBrokenOffAndMadeAgain) {
  GateFixture f = of(tiny_config());
  add_shard(f, "wide-000000.tar");
  f.adopt(
      buckets("bucket { shards: \"wide-\" width: 64 height: 32 frames: 8 batch: 4 shift: 2 }\n"),
      f.folder() / "shards");
  const std::string straight = tensors(f, "straight");
  ASSERT_EQ(run(f, "broken", {"--until", "3"}).code, 0);
  EXPECT_EQ(tensors(f, "broken"), straight);
  EXPECT_EQ(tensors(f, "two", kTwoRanks), straight);

  const std::string trust = f.folder() / "both.trust";
  write_file(trust, read_file(f.folder() / "trust") + read_file(f.folder() / "trainer.pub"));
  const std::vector<std::string> gate = {"--permit", f.paths().permit, "--trust",  trust,
                                         "--shards", f.paths().shards, "--curate", CLEARED_CURATE};
  const std::vector<std::string> replay = {"replay", f.folder() / "two", "--from",
                                           "3",      "--nproc-per-node", "1"};
  const Ended audit = train(replay + gate);
  EXPECT_EQ(audit.code, 0) << audit.output;
  // A shard that is called otherwise is of another shape: other steps, and that is seen.
  fs::copy(f.folder() / "shards", f.folder() / "renamed");
  for (const char* end : {"", ".manifest"}) {
    fs::rename(f.folder() / "renamed" / (std::string("demo-000000.tar") + end),
               f.folder() / "renamed" / (std::string("wide-000001.tar") + end));
  }
  std::string manifest = read_file(f.folder() / "renamed/wide-000001.tar.manifest");
  manifest.replace(manifest.find("demo-000000"), 11, "wide-000001");
  write_file(f.folder() / "renamed/wide-000001.tar.manifest", manifest);
  std::vector<std::string> other = gate;
  std::replace(other.begin(), other.end(), f.paths().shards.string(),
               (f.folder() / "renamed").string());
  const Ended renamed = train(replay + other);
  EXPECT_EQ(renamed.code, 1) << renamed.output;
  EXPECT_THAT(renamed.output, HasSubstr("step 3 disagrees"));

  const fs::path checkpoint = f.folder() / "straight/step-000006";
  const Ended measured =
      train(std::vector<std::string>{"eval", "--checkpoint", checkpoint, "--notices",
                                     f.paths().notices, "--clips", "1"} +
            gate);
  EXPECT_EQ(measured.code, 0) << measured.output;
  f.release(*ledger::parse_digest_name(state_of(checkpoint).weights()));
  const auto sample = [&](const std::string& shape) {
    return train({"sample", "--checkpoint", checkpoint, "--release", f.folder() / "a.release",
                  "--trust", f.folder() / "trust-release", "--notices", f.paths().notices,
                  "--scale", "1", "--shape", shape, "--out", f.folder() / "a.gif"});
  };
  const Ended wide = sample("64x32x8");
  ASSERT_EQ(wide.code, 0) << wide.output;
  const std::string gif = read_file(f.folder() / "a.gif");
  EXPECT_EQ(gif.substr(6, 4), std::string("\x40\0\x20\0", 4));  // 64 x 32
  EXPECT_EQ(sample("64x32x16").code, 2);
}

// Pictures beside clips: of one frame, from a shard of their own, through autoencoder, latents and
// transformer.
TEST_F(TrainRecipe, PicturesAndClipsLearnTogether) {
  const std::string clip =
      "clip { width: 32 height: 32 frames: 13 frames_per_second: 16 }\n"
      "codec { vae { dim: 4 channels: 4 blocks: 1 } }\n";
  const auto without = [](std::string text, const std::string& start) {
    const size_t at = text.find("\n" + start) + 1;
    return text.erase(at, text.find('\n', at) + 1 - at);
  };
  const auto still = [](const std::string& shards) {
    return "bucket { shards: \"" + shards + "\" width: 64 height: 32 frames: 1 batch: 4 }\n";
  };
  const std::string base = without(without(tiny_config(4), "clip"), "codec") + clip;
  std::string vae = base + still("still-") + "stage: AUTOENCODER\n";
  for (const char* part : {"model", "text", "preview"}) vae = without(vae, part);
  vae.replace(vae.find("[GENERATOR, VAE, TEXT_ENCODER]"), 30, "[VAE]");

  GateFixture f = of(tiny_config());
  add_shard(f, "still-000000.tar");
  f.adopt(vae, f.folder() / "shards");
  const Ended trained = run(f, "vae");
  ASSERT_EQ(trained.code, 0) << trained.output;
  const fs::path autoencoder = f.folder() / "vae/step-000004";
  const std::string trust = f.folder() / "both.trust";
  write_file(trust, read_file(f.folder() / "trust") + read_file(f.folder() / "trainer.pub"));
  const Ended encoded =
      train({"encode", "--checkpoint", autoencoder, "--out", f.folder() / "latents", "--permit",
             f.paths().permit, "--trust", trust, "--shards", f.paths().shards, "--notices",
             f.paths().notices, "--curate", CLEARED_CURATE});
  ASSERT_EQ(encoded.code, 0) << encoded.output;
  EXPECT_TRUE(fs::exists(f.folder() / "latents/latent-still-000000.tar"));

  f.adopt(base + still("latent-still-"), f.folder() / "latents");
  const std::vector<std::string> with_vae = {"--vae", autoencoder};
  const std::string straight = tensors(f, "run", with_vae, 4);
  EXPECT_EQ(tensors(f, "two", with_vae + kTwoRanks, 4), straight);
}

}  // namespace
}  // namespace cleared::train

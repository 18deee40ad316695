// From footage to a transformer by way of an autoencoder and latent shards, all of it as small as
// it gets; and what is measured, planned and traced on the way.
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "tests/train/train_program.h"
#include "train/data/webm.h"
#include "train/run_folder.h"

namespace cleared::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::json;

const std::string kVae = "codec { vae { dim: 4 channels: 4 blocks: 1 } }\n";
const std::string kClip = "clip { width: 32 height: 32 frames: 13 frames_per_second: 16 }\n";

// The last line: what comes before it may be warnings.
Json last_json(std::string output) {
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return Json::parse(output.substr(output.rfind('\n') + 1), nullptr, false);
}

std::string without_line(const std::string& text, const std::string& start) {
  const size_t at = text.find("\n" + start) + 1;
  return text.substr(0, at) + text.substr(text.find('\n', at) + 1);
}

// How often a file has been opened since. Closing is watched, too, for events that are alike and
// follow one another become one.
class Opens {
 public:
  explicit Opens(const fs::path& file) : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    EXPECT_GE(::inotify_add_watch(fd_, file.c_str(), IN_OPEN | IN_CLOSE), 0) << file;
  }
  ~Opens() { ::close(fd_); }
  Opens(const Opens&) = delete;
  Opens& operator=(const Opens&) = delete;
  int count() const {
    int bytes = 0;
    EXPECT_EQ(::ioctl(fd_, FIONREAD, &bytes), 0);
    return bytes / static_cast<int>(2 * sizeof(inotify_event));
  }

 private:
  int fd_;
};

std::string common(uint64_t steps) {
  std::string text = without_line(tiny_config(steps), "codec");
  return without_line(text, "clip") + kClip + kVae;
}

std::string vae_config_text(uint64_t steps = 6) {
  std::string text = common(steps);
  for (const char* part : {"model", "text", "preview"}) text = without_line(text, part);
  return replaced(text, "[GENERATOR, VAE, TEXT_ENCODER]", "[VAE]") + "stage: AUTOENCODER\n";
}

std::string latent_config_text(uint64_t steps = 6) {
  std::string text = replaced(common(steps), "ffn: 24 }", "ffn: 24 patch: 2 }");
  text = replaced(text, "dropout: 0.1 }", "dropout: 0.1 vocabulary: 262 }");
  return text + "flow { shift: 2 }\n";
}

constexpr int kSide = 64;
constexpr size_t kRow = size_t{3} * kSide;

// Its first 16, as training has them.
Frames frames_of(const std::string& webm) {
  const GateFixture f(tiny_config(), {webm});
  const ledger::Gate gate(f.options());
  return Decoder({.program = CLEARED_CURATE, .width = kSide, .height = kSide, .frames = 16})
      .decode(gate.clear(0, 1));
}

Frames mirrored(const Frames& frames) {
  Frames out(frames.size());
  for (size_t at = 0; at < frames.size(); ++at) {
    const size_t row = at / kRow, x = at % kRow / 3, channel = at % 3;
    out[row * kRow + (kSide - 1 - x) * 3 + channel] = frames[at];
  }
  return out;
}

class TrainStages : public TrainRun {
 protected:
  static std::vector<std::string> with_gate(const GateFixture& f, std::vector<std::string> args) {
    const GatePaths paths = f.paths();
    return args + std::vector<std::string>{"--permit", paths.permit,  "--trust",   both_trusted(f),
                                           "--shards", paths.shards,  "--notices", paths.notices,
                                           "--curate", CLEARED_CURATE};
  }
  // The approver of the permit and the trainer of the checkpoint.
  static std::string both_trusted(const GateFixture& f) {
    const fs::path path = f.folder() / "both.trust";
    write_file(path, read_file(f.folder() / "trust") + read_file(f.folder() / "trainer.pub"));
    return path;
  }
  // What --extraction wrote, and what it said.
  static std::pair<std::string, Json> tested(const GateFixture& f,
                                             const std::vector<std::string>& more = {}) {
    fs::remove(f.folder() / "a.extraction");
    const Ended ended = train(
        with_gate(f, {"eval", "--json", "--checkpoint", f.folder() / "a/step-000006", "--clips",
                      "16", "--samples", "1", "--release", f.folder() / "a.release", "--extraction",
                      f.folder() / "a.extraction", "--key", f.trainer_key()}) +
        more);
    EXPECT_EQ(ended.code, 0) << ended.output;
    if (ended.code != 0) return {};
    return {read_file(f.folder() / "a.extraction"), last_json(ended.output)};
  }
  static void release(GateFixture& f) {
    f.release(*ledger::parse_digest_name(state_of(f.folder() / "a/step-000006").weights()));
  }
  // Beside those that the fixture permits.
  static void write_another_shard(const GateFixture& f) {
    ledger::write_shard(
        f.folder() / "more", "more-000000.tar",
        {{.key = "other",
          .members = {{"webm", sample_video(2)}, {"json", "{}"}, {"txt", "another"}},
          .clip = ledger::sha256("another clip"),
          .duration_us = 1'000'000}},
        {"demo-licence@1"});
  }
};

// Like a step, each sample is asked for: the revocation comes with the first that is decoded.
TEST_F(TrainStages, MeasuringStopsWhenARevocationArrives) {
  GateFixture f(tiny_config(6), {sample_video(0), sample_video(1), sample_video(2)});
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path checkpoint = f.folder() / "a/step-000006";
  f.release(*ledger::parse_digest_name(state_of(checkpoint).weights()));
  f.revoke();
  fs::rename(f.paths().notices / "one.revocation", f.folder() / "one.revocation");
  const fs::path curate = f.folder() / "curate.sh";
  write_file(curate, "#!/bin/sh\ncp '" + (f.folder() / "one.revocation").string() + "' '" +
                         f.paths().notices.string() + "'\nexec '" CLEARED_CURATE "' \"$@\"\n");
  fs::permissions(curate, fs::perms::owner_all);
  const std::vector<std::string> until[] = {
      {"--clips", "0"},                       // the next sample
      {"--samples", "1"},                     // what else clips are compared with
      {"--samples", "1", "--nearest", "0"}};  // the same sample, to compare with
  for (const auto& some : until) {
    fs::remove(f.paths().notices / "one.revocation");
    std::vector<std::string> args =
        with_gate(f, std::vector<std::string>{"eval", "--checkpoint", checkpoint, "--release",
                                              f.folder() / "a.release"} +
                         some);
    args.back() = curate;
    const Ended measured = train(args);
    EXPECT_EQ(measured.code, 3) << measured.output;
    EXPECT_THAT(measured.output, HasSubstr("revoked"));
    EXPECT_THAT(measured.output, Not(HasSubstr("nearest")));
  }
}

// What the weights learned from is the release's to judge: the permit is about what is read here.
TEST_F(TrainStages, EvalMakesClipsOfReleasedWeightsAlone) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const auto eval = [&](const std::vector<std::string>& more) {
    return train(with_gate(f, {"eval", "--checkpoint", f.folder() / "a/step-000006"}) + more);
  };
  const std::vector<std::string> release = {"--release", f.folder() / "a.release"};
  const Ended none = eval({});
  EXPECT_EQ(none.code, 0) << none.output;
  EXPECT_THAT(none.output, AllOf(HasSubstr("no clips were made"), Not(HasSubstr("nearest"))));
  f.release(*ledger::parse_digest_name(state_of(f.folder() / "a/step-000003").weights()));
  const Ended others = eval(release);
  EXPECT_EQ(others.code, 3) << others.output;
  EXPECT_THAT(others.output, HasSubstr("release_other_weights"));
  f.release(*ledger::parse_digest_name(state_of(f.folder() / "a/step-000006").weights()));
  const Ended released = eval(release);
  EXPECT_EQ(released.code, 0) << released.output;
  EXPECT_THAT(released.output, HasSubstr("nearest of"));
}

// No clip is made of weights once the gate has said no: not with the last checkpoint, and not by
// the thread that was making one.
TEST_F(TrainStages, ARunThatIsRevokedShowsNothingMore) {
  const auto seldom = [](const std::string& text) {
    return replaced(text, "every: 3", "every: 90000");
  };
  std::string captions;
  for (int i = 0; i < 16; ++i) captions += "caption: \"" + std::to_string(i) + "\" ";
  const std::string slow =
      replaced(tiny_config(100'000), "steps: 1 guidance", "steps: 1000 guidance");
  const struct {
    const char* command;
    std::string config;
  } cases[] = {{"run", seldom(tiny_config(100'000))},
               {"vae", seldom(vae_config_text(100'000))},
               {"run", slow}};
  for (const auto& c : cases) {
    GateFixture f(c.config, {sample_video(0), sample_video(1), sample_video(2)});
    auto args = run_args(f, "a", kTwoRanks);
    args[0] = c.command;
    Process process(CLEARED_TRAIN, args);
    ASSERT_TRUE(process.wait_for("step 5/")) << process.output();
    f.revoke();
    EXPECT_EQ(process.wait(), 3) << process.output();
    EXPECT_THAT(process.output(), HasSubstr("stopped after step"));
    EXPECT_EQ(images(f.folder() / "a"), 0U) << c.config;
  }
}

// To be trained on is not to be measured by: a permit that says EVALUATE, too, was judged for it.
// Nothing is learned, so nothing counts: footage whose passes are all taken may be looked at.
TEST_F(TrainStages, NobodyMeasuresByFootageThatIsNotPermittedForIt) {
  const auto only_train = [](ledger::Permit& p) {
    p.mutable_purpose()->clear_also();
    p.mutable_purpose()->add_also(ledger::GENERATE_INTERNAL);
  };
  GateFixture f = make();
  f.permit(only_train);
  const Ended trained = run(f, "a");
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_EQ(images(f.folder() / "a"), 2U);
  const auto eval = [&] {
    return train(with_gate(f, {"eval", "--checkpoint", f.folder() / "a/step-000006"}));
  };
  const Ended refused = eval();
  EXPECT_EQ(refused.code, 3) << refused.output;
  EXPECT_THAT(refused.output,
              AllOf(HasSubstr("permit_other_purpose"), HasSubstr("does not say EVALUATE"),
                    HasSubstr("--evaluate"), Not(HasSubstr("t 0.05"))));
  f.permit([](ledger::Permit& p) { p.mutable_shard(0)->set_max_passes(0); });
  EXPECT_EQ(run(f, "b").code, 3);
  const Ended measured = eval();
  EXPECT_EQ(measured.code, 0) << measured.output;
  EXPECT_THAT(measured.output, HasSubstr("3 samples it consumed"));
}

// What an autoencoder shows is footage beside what becomes of it, and how good it is is measured by
// footage, too: both are left out, in one line, and the work goes on.
TEST_F(TrainStages, AnAutoencoderIsNotShownByFootageThatIsNotPermittedForIt) {
  GateFixture f(vae_config_text(), {sample_video(0), sample_video(1), sample_video(2)});
  f.permit([](ledger::Permit& p) {
    p.mutable_purpose()->clear_also();
    p.mutable_purpose()->add_also(ledger::ENCODE);
  });
  const Ended silent = run(f, "vae");
  ASSERT_EQ(silent.code, 0) << silent.output;
  EXPECT_THAT(silent.output,
              AllOf(HasSubstr("run.no_preview"), HasSubstr("does not say EVALUATE")));
  EXPECT_EQ(images(f.folder() / "vae"), 0U);
  const auto encode = [&](const std::string& out) {
    return train(with_gate(
        f, {"encode", "--checkpoint", f.folder() / "vae/step-000006", "--out", f.folder() / out}));
  };
  const Ended unmeasured = encode("latents");
  ASSERT_EQ(unmeasured.code, 0) << unmeasured.output;
  EXPECT_THAT(unmeasured.output, AllOf(HasSubstr("does not say EVALUATE"), Not(HasSubstr(" dB"))));

  f.permit();
  const Ended shown = run(f, "shown");
  ASSERT_EQ(shown.code, 0) << shown.output;
  EXPECT_EQ(images(f.folder() / "shown"), 2U);
  EXPECT_EQ(state_of(f.folder() / "shown/step-000006").tensors(),
            state_of(f.folder() / "vae/step-000006").tensors());
  const Ended measured = encode("measured");
  ASSERT_EQ(measured.code, 0) << measured.output;
  EXPECT_THAT(measured.output, HasSubstr(" dB from the footage"));
  EXPECT_EQ(read_file(f.folder() / "measured/latent-000000.tar"),
            read_file(f.folder() / "latents/latent-000000.tar"));
}

// Footage whose licence lists TRAIN and not ENCODE may be trained on; no latent of it is made.
TEST_F(TrainStages, NobodyEncodesFootageThatIsNotPermittedForIt) {
  GateFixture f(vae_config_text(), {sample_video(0), sample_video(1)});
  f.permit([](ledger::Permit& p) {
    p.mutable_purpose()->clear_also();
    p.mutable_purpose()->add_also(ledger::EVALUATE);
  });
  const Ended trained = run(f, "vae");
  ASSERT_EQ(trained.code, 0) << trained.output;
  const auto encode = [&] {
    return train(with_gate(f, {"encode", "--checkpoint", f.folder() / "vae/step-000006", "--out",
                               f.folder() / "latents"}));
  };
  const Ended refused = encode();
  EXPECT_EQ(refused.code, 3) << refused.output;
  EXPECT_THAT(refused.output, AllOf(HasSubstr("permit_other_purpose"),
                                    HasSubstr("does not say ENCODE"), HasSubstr("--encode")));
  EXPECT_FALSE(fs::exists(f.folder() / "latents"));
  f.permit([](ledger::Permit& p) {
    p.mutable_purpose()->clear_also();
    p.mutable_purpose()->add_also(ledger::ENCODE);
  });
  const Ended encoded = encode();
  EXPECT_EQ(encoded.code, 0) << encoded.output;
}

// The permit was judged for clips of its own footage. What an autoencoder, or the checkpoint that a
// run goes on from, learned from beside it may be revoked, or not to be shown.
TEST_F(TrainStages, WeightsThatLearnedFromWhatIsNotPermittedAreNotShown) {
  GateFixture f(vae_config_text(), {sample_video(0), sample_video(1)});
  ASSERT_EQ(run(f, "own").code, 0);
  write_another_shard(f);
  f.adopt(vae_config_text(), f.folder() / "more");
  ASSERT_EQ(run(f, "other").code, 0);

  f.adopt(latent_config_text(), f.folder() / "shards");
  const auto with = [&](const char* vae) {
    return std::vector<std::string>{"--vae", f.folder() / vae / "step-000006"};
  };
  const Ended shown = run(f, "shown", with("own"));
  EXPECT_EQ(shown.code, 0) << shown.output;
  EXPECT_EQ(images(f.folder() / "shown"), 2U);
  const Ended silent = run(f, "silent", with("other") + std::vector<std::string>{"--until", "3"});
  EXPECT_EQ(silent.code, 0) << silent.output;
  EXPECT_THAT(silent.output,
              HasSubstr("the autoencoder learned from clips that are not in the permit (1)"));
  EXPECT_EQ(images(f.folder() / "silent"), 0U);
  const Ended unknown = run(f, "silent");  // what it goes on with is in the checkpoint
  EXPECT_EQ(unknown.code, 0) << unknown.output;
  EXPECT_THAT(unknown.output, HasSubstr("what the autoencoder learned from is not known"));
  EXPECT_EQ(images(f.folder() / "silent"), 0U);

  f.adopt(tiny_config(), f.folder() / "more");
  ASSERT_EQ(run(f, "run", {"--until", "3"}).code, 0);
  f.adopt(tiny_config(), f.folder() / "shards");
  const Ended resumed = run(f, "run");
  EXPECT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_THAT(resumed.output,
              HasSubstr("step-000003 learned from clips that are not in the permit (1)"));
  EXPECT_EQ(images(f.folder() / "run"), 1U);
}

TEST_F(TrainStages, AutoencoderThenLatentsThenTransformer) {
  // Its tensors in several files: whatever reads an autoencoder reads such.
  GateFixture f(replaced(vae_config_text(), "keep: 0", "keep: 0 file_bytes: 20000"),
                {sample_video(0), sample_video(1), sample_video(2)});
  auto vae_args = run_args(f, "vae");
  vae_args[0] = "vae";
  const Ended vae = train(vae_args);
  ASSERT_EQ(vae.code, 0) << vae.output;
  const fs::path autoencoder = f.folder() / "vae/step-000006";

  // Broken off and gone on with, it comes to the same weights; and so does an auditor.
  const Ended twice = run(f, "again", {"--until", "3"});
  ASSERT_EQ(twice.code, 0) << twice.output;
  ASSERT_EQ(run(f, "again").code, 0);
  EXPECT_EQ(state_of(autoencoder).tensors(), state_of(f.folder() / "again/step-000006").tensors());
  const Ended audit =
      train({"replay", f.folder() / "vae", "--permit", f.paths().permit, "--trust", both_trusted(f),
             "--shards", f.paths().shards, "--curate", CLEARED_CURATE});
  EXPECT_EQ(audit.code, 0) << audit.output;
  const Ended start = train({"step0", f.folder() / "vae", "--trust", both_trusted(f)});
  EXPECT_EQ(start.code, 0) << start.output;

  const auto encode_args = with_gate(
      f, {"encode", "--json", "--checkpoint", autoencoder, "--out", f.folder() / "latents"});
  const Ended encoded = train(encode_args);
  ASSERT_EQ(encoded.code, 0) << encoded.output;
  const Json report = last_json(encoded.output);
  EXPECT_EQ(report["samples"], 3);
  EXPECT_EQ(report["shards"], 1);
  EXPECT_GT(report["psnr_db"].get<double>(), 3);
  const std::string tar = read_file(f.folder() / "latents/latent-000000.tar");
  EXPECT_THAT(tar, HasSubstr("\"derived_from\":{\"shard\":\"" +
                             ledger::digest_name(ledger::shard_root(f.manifest()))));

  // What the ledger is told: the same clips under a new root.
  const auto facts = ledger::read_bundle(report["bundle"].get<std::string>());
  ASSERT_EQ(facts.size(), 4u);
  EXPECT_EQ(facts[0].shard().licence(0), "demo-licence@1");
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(facts[i + 1].sample().clip(), f.manifest().samples[i].clip.text());
    EXPECT_NE(facts[i + 1].sample().digest(), f.manifest().samples[i].digest.text());
  }
  const Json again = last_json(train(encode_args).output);
  EXPECT_EQ(again["present"], 1);
  EXPECT_EQ(again["bundle"], report["bundle"]);
  auto other_codec = encode_args;
  *std::find(other_codec.begin(), other_codec.end(), autoencoder.string()) =
      f.folder() / "vae/step-000003";
  const Ended mixed = train(other_codec);
  EXPECT_EQ(mixed.code, 65) << mixed.output;
  EXPECT_THAT(mixed.output, HasSubstr("latents/latent-000000.tar is there and was not made"));
  EXPECT_EQ(read_file(f.folder() / "latents/latent-000000.tar"), tar);

  // From latents and from video: the same codec, so the same first loss, and the same again.
  f.adopt(latent_config_text(), f.folder() / "latents");
  const Ended none = run(f, "none");
  EXPECT_EQ(none.code, 78) << none.output;
  EXPECT_THAT(none.output, HasSubstr("--vae"));
  const std::vector<std::string> with_vae = {"--vae", autoencoder};
  const std::string first_file = read_sums(autoencoder).at(1).name;
  ASSERT_TRUE(is_part_name(first_file, "weights")) << first_file;
  const Opens opens(autoencoder / first_file);
  const Ended latent = run(f, "latent", with_vae + std::vector<std::string>{"--json"});
  ASSERT_EQ(latent.code, 0) << latent.output;
  EXPECT_EQ(opens.count(), 1);
  const State state = state_of(f.folder() / "latent/step-000006");
  EXPECT_EQ(state.vae(), state_of(autoencoder).weights());
  EXPECT_THAT(read_file(f.folder() / "latent/step-000006/tensors.txt"),
              AllOf(HasSubstr(" codec.pairs Long 5 2"), HasSubstr(" codec.vae.enc.first.weight ")));
  const Ended replayed = train({"replay", f.folder() / "latent", "--permit", f.paths().permit,
                                "--trust", both_trusted(f), "--shards", f.paths().shards,
                                "--curate", CLEARED_CURATE, "--vae", autoencoder});
  EXPECT_EQ(replayed.code, 0) << replayed.output;

  f.release(ledger::sha256(read_file(f.folder() / "latent/step-000006/weights.safetensors")));
  const Ended eval =
      train(with_gate(f, {"eval", "--json", "--checkpoint", f.folder() / "latent/step-000006",
                          "--clips", "2", "--release", f.folder() / "a.release"}));
  ASSERT_EQ(eval.code, 0) << eval.output;
  const Json measured = last_json(eval.output);
  EXPECT_EQ(measured["seen"], 3);
  EXPECT_EQ(measured["others"], 0);
  EXPECT_EQ(measured["loss_by_time"].size(), 10u);
  const Json &early = measured["loss_by_time"][0], &late = measured["loss_by_time"][9];
  EXPECT_GT(early["seen"].get<double>(), 0);
  // Little noise leads to a nearer clip than much does.
  EXPECT_GT(early["seen_psnr_db"].get<double>(), late["seen_psnr_db"].get<double>());
  EXPECT_TRUE(late["others_psnr_db"].is_null());
  EXPECT_EQ(measured["nearest"].size(), 2u);
  EXPECT_EQ(measured["frames"], 3 * 13);
  EXPECT_LE(measured["nearest"][0]["distance"].get<int>(), 256);

  const Ended sampled = train({"sample", "--checkpoint", f.folder() / "latent/step-000006", "--out",
                               f.folder() / "out.gif", "--caption", "caption 1", "--release",
                               f.folder() / "a.release", "--trust", f.folder() / "trust-release",
                               "--notices", f.paths().notices});
  EXPECT_EQ(sampled.code, 0) << sampled.output;

  f.adopt(latent_config_text(), f.folder() / "shards");
  const Ended video = run(f, "video", with_vae);
  ASSERT_EQ(video.code, 0) << video.output;
  // What was consumed as latents is the same footage as video: nothing is held out, and an
  // extraction test compares with all of it.
  const Ended footage = train(with_gate(
      f, {"eval", "--json", "--checkpoint", f.folder() / "latent/step-000006", "--samples", "1",
          "--clips", "16", "--release", f.folder() / "a.release", "--extraction",
          f.folder() / "a.extraction", "--key", f.trainer_key(), "--vae", autoencoder}));
  ASSERT_EQ(footage.code, 0) << footage.output;
  EXPECT_EQ(last_json(footage.output)["seen"], 1);
  EXPECT_EQ(last_json(footage.output)["held_out"], 0);
  EXPECT_THAT(read_file(f.folder() / "a.extraction"),
              AllOf(HasSubstr("compared: 3"), HasSubstr("consumed: 3")));

  // An autoencoder makes no clips.
  f.release(*ledger::parse_digest_name(state_of(autoencoder).weights()));
  const Ended no_clips =
      train({"sample", "--checkpoint", autoencoder, "--out", f.folder() / "vae.gif", "--caption",
             "caption 1", "--release", f.folder() / "a.release", "--trust",
             f.folder() / "trust-release", "--notices", f.paths().notices});
  EXPECT_EQ(no_clips.code, 78) << no_clips.output;
  EXPECT_THAT(no_clips.output, HasSubstr("is of an autoencoder"));

  // Latents of another autoencoder are not taken for ours.
  f.adopt(latent_config_text(), f.folder() / "latents");
  const Ended other = run(f, "other", {"--vae", f.folder() / "vae/step-000003"});
  EXPECT_EQ(other.code, 65) << other.output;
  EXPECT_THAT(other.output, HasSubstr("its latent was made by codec"));

  // A latent has no other parts to show.
  f.adopt(latent_config_text() + "vary { start: true }\n", f.folder() / "latents");
  const Ended varied = run(f, "varied", with_vae);
  EXPECT_EQ(varied.code, 78) << varied.output;
  EXPECT_THAT(varied.output, HasSubstr("leave vary out"));
}

TEST_F(TrainStages, EvalTellsApartWhatTheRunConsumed) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  // A second shard, which the run was not permitted.
  write_another_shard(f);
  f.adopt(read_file(f.config_path()), f.folder() / "more");
  const Ended ended = train(with_gate(
      f, {"eval", "--json", "--checkpoint", f.folder() / "a/step-000006", "--clips", "1"}));
  ASSERT_EQ(ended.code, 0) << ended.output;
  const Json report = last_json(ended.output);
  EXPECT_EQ(report["seen"], 0);
  EXPECT_EQ(report["held_out"], 1);
  EXPECT_TRUE(report["loss_by_time"][3]["seen"].is_null());
  EXPECT_GT(report["loss_by_time"][3]["held_out"].get<double>(), 0);
  EXPECT_GT(report["psnr_db"].get<double>(), 15);
}

// Whoever has the weights may use any of them: the nearest that one comes is what is signed.
TEST_F(TrainStages, AnExtractionTestIsOfEveryAverage) {
  const std::string averages = replaced(tiny_config(), "ema: 0.9", "ema: 0.9 ema: 0.1");
  const std::string sampler = replaced(averages, "steps: 1 guidance: 1", "steps: 24 guidance: 2");
  GateFixture f(replaced(sampler, "learning_rate: 1e-3", "learning_rate: 1e-1"),
                {sample_video(0), sample_video(1), sample_video(2)});
  ASSERT_EQ(run(f, "a").code, 0);
  f.release(*ledger::parse_digest_name(state_of(f.folder() / "a/step-000006").weights()));
  const auto eval = [&](const std::vector<std::string>& more) {
    return train(with_gate(f, {"eval", "--json", "--checkpoint", f.folder() / "a/step-000006",
                               "--clips", "16", "--release", f.folder() / "a.release"}) +
                 more);
  };
  const std::vector<std::string> signed_test = {"--extraction", f.folder() / "a.extraction",
                                                "--key", f.trainer_key()};
  const Json tested = last_json(eval(signed_test).output)["nearest"];
  const Json one = last_json(eval({"--ema", "0.9"}).output)["nearest"],
             other = last_json(eval({"--ema", "0.1"}).output)["nearest"];
  ASSERT_EQ(tested.size(), 16U);
  bool matters = false;
  for (size_t i = 0; i < tested.size(); ++i) {
    const int first = one[i]["distance"], second = other[i]["distance"];
    EXPECT_LE(tested[i]["distance"].get<int>(), std::min(first, second));
    matters = matters || second < first;
  }
  EXPECT_TRUE(matters);
  EXPECT_EQ(eval(signed_test + std::vector<std::string>{"--ema", "0.9"}).code, 2);
}

// A run that takes other parts of longer samples, and mirrors them, can give back any of that.
TEST_F(TrainStages, AnExtractionTestLooksAtAllThatTheRunMayHaveSeen) {
  const std::string config = tiny_config() + "vary { start: true mirror: true }\n";
  GateFixture f(config, {sample_video(0), sample_video(1), sample_video(2)});
  ASSERT_EQ(run(f, "a").code, 0);
  release(f);
  // The fourth second of two of its samples is a clip that it makes, the second one mirrored.
  std::vector<ledger::SampleMembers> samples;
  for (const std::string number : {"0", "1", "2"}) {
    std::string video = sample_video(2);
    if (number != "2") {
      const fs::path made = f.folder() / (number + ".webm"), shown = f.folder() / "shown.webm";
      const Ended ended = train({"sample",
                                 "--checkpoint",
                                 f.folder() / "a/step-000006",
                                 "--out",
                                 made,
                                 "--caption",
                                 "caption " + number,
                                 "--seed",
                                 number,
                                 "--steps",
                                 "24",
                                 "--guidance",
                                 "2",
                                 "--release",
                                 f.folder() / "a.release",
                                 "--trust",
                                 f.folder() / "trust-release",
                                 "--notices",
                                 f.paths().notices,
                                 "--curate",
                                 CLEARED_CURATE});
      ASSERT_EQ(ended.code, 0) << ended.output;
      const Frames clip = frames_of(read_file(made)), last = number == "1" ? mirrored(clip) : clip;
      Frames all;
      for (int second = 0; second < 3; ++second) {
        const Frames one = frames_of(sample_video(second));
        all.insert(all.end(), one.begin(), one.end());
      }
      all.insert(all.end(), last.begin(), last.end());
      write_webm(shown, all, {.program = CLEARED_CURATE, .width = kSide, .height = kSide});
      video = read_file(shown);
    }
    samples.push_back({.key = "clip" + number,
                       .members = {{"webm", video}, {"json", "{}"}, {"txt", "caption " + number}},
                       .clip = ledger::sha256("clip " + number),
                       .duration_us = 4'000'000});
  }
  ledger::write_shard(f.folder() / "long", "long-000000.tar", samples, {"demo-licence@1"});
  f.adopt(config, f.folder() / "long");
  const auto [note, report] = tested(f);
  EXPECT_EQ(report["frames"], 64 + 64 + 16);
  EXPECT_EQ(report["compared"], 3);
  for (const size_t copy : {0, 1}) {
    EXPECT_LE(report["nearest"][copy]["distance"], 31) << copy;
    EXPECT_EQ(report["nearest"][copy]["sample"], "clip" + std::to_string(copy));
  }
  EXPECT_THAT(note, Not(HasSubstr("copies: 0")));
  EXPECT_THAT(note, HasSubstr("compared: 3"));
}

// Neither the samples that are measured, nor the config's preview, are the test's.
TEST_F(TrainStages, AnExtractionTestAsksForCaptionsOfAllThatWasConsumed) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  release(f);
  write_another_shard(f);
  fs::copy(f.folder() / "more", f.folder() / "shards");
  f.adopt(read_file(f.config_path()), f.folder() / "shards");
  const auto [note, report] = tested(f, {"--seed", "5"});
  std::multiset<std::string> captions;
  for (const Json& clip : report["nearest"]) captions.insert(clip["caption"].get<std::string>());
  EXPECT_EQ(captions.size(), 16U);
  for (const char* caption : {"caption 0", "caption 1", "caption 2"}) {
    EXPECT_GE(captions.count(caption), 5U) << caption;
  }
  EXPECT_THAT(note, AllOf(HasSubstr("captions: 3"), HasSubstr("steps: 24"),
                          HasSubstr("guidance: 2"), HasSubstr("seed: 5")));
}

// The licences of what an autoencoder learned from bind what is made with it, too.
TEST_F(TrainStages, WhatItsAutoencoderConsumedIsNotHeldOut) {
  GateFixture f(vae_config_text(), {sample_video(0), sample_video(1)});
  write_another_shard(f);
  f.adopt(vae_config_text(), f.folder() / "more");
  ASSERT_EQ(run(f, "vae").code, 0);
  f.adopt(latent_config_text(), f.folder() / "shards");
  const std::string autoencoder = f.folder() / "vae/step-000006";
  ASSERT_EQ(run(f, "a", {"--vae", autoencoder}).code, 0);
  release(f);
  fs::copy(f.folder() / "more", f.folder() / "shards");
  f.adopt(latent_config_text(), f.folder() / "shards");
  const auto eval = [&](const std::vector<std::string>& more) {
    return train(with_gate(f, {"eval", "--checkpoint", f.folder() / "a/step-000006"}) + more);
  };
  const Ended unknown = eval({});
  EXPECT_EQ(unknown.code, 0) << unknown.output;
  EXPECT_THAT(unknown.output,
              AllOf(HasSubstr("consumed is not known: give the checkpoint"),
                    HasSubstr("2 samples it consumed, 1 it did not"), Not(HasSubstr("held out"))));
  const std::string note = f.folder() / "a.extraction";
  const Ended untestable = eval({"--clips", "16", "--release", f.folder() / "a.release",
                                 "--extraction", note, "--key", f.trainer_key()});
  EXPECT_EQ(untestable.code, 2) << untestable.output;
  EXPECT_THAT(untestable.output, AllOf(HasSubstr("with --vae"), Not(HasSubstr("nearest"))));
  EXPECT_FALSE(fs::exists(note));
  const Ended other = eval({"--vae", f.folder() / "vae/step-000003"});
  EXPECT_EQ(other.code, 2) << other.output;
  EXPECT_THAT(other.output, HasSubstr("did not come with"));

  const Json known = last_json(eval({"--json", "--vae", autoencoder}).output);
  EXPECT_EQ(known["seen"], 3);
  EXPECT_EQ(known["held_out"], 0);
  const auto [test, report] = tested(f, {"--vae", autoencoder});
  EXPECT_THAT(test,
              AllOf(HasSubstr("compared: 3"), HasSubstr("consumed: 3"), HasSubstr("captions: 3")));
}

// One sample is measured, and what is generated is compared with all three that were consumed.
TEST_F(TrainStages, EvalComparesClipsWithMoreThanItMeasures) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  f.release(*ledger::parse_digest_name(state_of(f.folder() / "a/step-000006").weights()));
  const auto eval = [&](const std::vector<std::string>& more) {
    const Ended ended = train(
        with_gate(f, {"eval", "--json", "--checkpoint", f.folder() / "a/step-000006", "--samples",
                      "1", "--clips", "1", "--release", f.folder() / "a.release"}) +
        more);
    EXPECT_EQ(ended.code, 0) << ended.output;
    return last_json(ended.output);
  };
  const Json all = eval({}), one = eval({"--nearest", "1"}), none = eval({"--nearest", "0"});
  EXPECT_EQ(all["seen"], 1);
  EXPECT_EQ(all["consumed"], 3);
  EXPECT_EQ(all["compared"], 3);
  EXPECT_EQ(all["frames"], 3 * 16);
  EXPECT_EQ(one["compared"], 2);
  EXPECT_EQ(none["compared"], 1);
  EXPECT_LE(all["nearest"][0]["distance"], none["nearest"][0]["distance"]);
}

TEST_F(TrainStages, EveryStepIsALineAndATraceIsOneFile) {
  const GateFixture f = make();
  const Ended ended = run(f, "a", {"--json", "--profile", "2"});
  ASSERT_EQ(ended.code, 0) << ended.output;
  std::istringstream lines(ended.output);
  int steps = 0;
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_discarded()) {  // a line of our own log, not of the library that traces
      EXPECT_THAT(line, testing::HasSubstr(" rank=0 "));
      continue;
    }
    if (json.value("event", "") != "step") continue;
    EXPECT_EQ(json["step"], steps++);
    EXPECT_GT(json["tokens_per_s"].get<double>(), 0);
    EXPECT_GT(json["peak_share"].get<double>(), 0);
    EXPECT_GT(json["memory_bytes"].get<uint64_t>(), uint64_t{10} << 20);
    EXPECT_GE(json["eta_s"].get<double>(), 0);
  }
  EXPECT_EQ(steps, 6);
  const fs::path file = f.folder() / "a/trace.json";
  EXPECT_THAT(ended.output, testing::HasSubstr("run.trace file=" + file.string()));
  const Json trace = Json::parse(read_file(file));
  EXPECT_GT(trace["traceEvents"].size(), 100u);
}

TEST_F(TrainStages, APlanSaysWhetherItFits) {
  const Ended nano = train({"plan", "../configs/nano.textproto", "--json"});
  EXPECT_EQ(nano.code, 0) << nano.output;
  const Json plan = last_json(nano.output);
  EXPECT_GT(plan["measured_flops_per_s"].get<double>(), 1e8);
  EXPECT_GT(plan["step_seconds"].get<double>(), 0);
  EXPECT_TRUE(plan["fits"]);
  const Ended large = train({"plan", "../configs/14b.textproto"});
  EXPECT_EQ(large.code, 1) << large.output;
  EXPECT_THAT(large.output, HasSubstr("does not fit here"));
  EXPECT_THAT(large.output, HasSubstr("checkpoints and the next, in files of up to 4.66 GiB"));
  const Ended uneven = train({"plan", "../configs/nano.textproto", "--nproc-per-node", "3"});
  EXPECT_EQ(uneven.code, 1);
  EXPECT_THAT(uneven.output, HasSubstr("cannot be shared equally"));
  EXPECT_EQ(train({"plan", "/none"}).code, 66);
}

}  // namespace
}  // namespace cleared::train

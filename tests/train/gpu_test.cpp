// The train program on a GPU: one rank, as torchrun would start it, so that NCCL is between it and
// itself. Built by the cuda preset; skips aloud without a GPU. What the loss should be is what the
// same program says without one.
#include <cstdlib>
#include <optional>

#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/digest.h"
#include "tests/train/train_program.h"

namespace cleared::train {
namespace {

using testing::HasSubstr;

class TrainOnGpu : public TrainRun {
 protected:
  void SetUp() override {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
      GTEST_SKIP() << "no CUDA device: training was built for it and not run";
    }
    if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) visible_ = visible;
    TrainRun::SetUp();
    show_gpus();
    const std::pair<const char*, const char*> told[] = {{"RANK", "0"},
                                                        {"WORLD_SIZE", "1"},
                                                        {"LOCAL_RANK", "0"},
                                                        {"MASTER_ADDR", "127.0.0.1"},
                                                        {"MASTER_PORT", "29517"}};
    for (const auto& [name, value] : told) ::setenv(name, value, 1);
  }
  void show_gpus() const {
    if (visible_) ::setenv("CUDA_VISIBLE_DEVICES", visible_->c_str(), 1);
    else ::unsetenv("CUDA_VISIBLE_DEVICES");
  }

 private:
  std::optional<std::string> visible_;
};

class PrecisionOnGpu : public TrainOnGpu, public testing::WithParamInterface<const char*> {
 protected:
  static GateFixture make_of_type(uint64_t steps) {
    return GateFixture(tiny_config(steps) + "precision: " + GetParam() + "\n",
                       {sample_video(0), sample_video(1), sample_video(2)});
  }
};
INSTANTIATE_TEST_SUITE_P(Of, PrecisionOnGpu, testing::Values("FLOAT32", "BF16"),
                         [](const auto& type) { return std::string(type.param); });

TEST_F(TrainOnGpu, SpeaksThroughNccl) {
  Process process(CLEARED_DIST_RANK, {"device"});
  EXPECT_EQ(process.wait(), 0) << process.output();
  EXPECT_THAT(process.output(), HasSubstr("nccl sum 6 broadcast 6 parts 6 gathered 6\n"));
}

TEST_P(PrecisionOnGpu, GivesTheSameBitsEachTimeAndWhenKilledAndReplayed) {
  const GateFixture f = make_of_type(40);
  const Ended first = run(f, "a"), second = run(f, "b");
  ASSERT_EQ(first.code, 0) << first.output;
  ASSERT_EQ(second.code, 0) << second.output;
  EXPECT_THAT(first.output, HasSubstr("nccl"));
  const std::string want = state_of(f.folder() / "a/step-000040").tensors();
  EXPECT_EQ(state_of(f.folder() / "b/step-000040").tensors(), want);
  {
    Process process(CLEARED_TRAIN, run_args(f, "c"));
    ASSERT_TRUE(process.wait_for("step-000006")) << process.output();
    process.send(SIGKILL);
    process.wait();
  }
  ASSERT_EQ(run(f, "c").code, 0);
  EXPECT_EQ(state_of(f.folder() / "c/step-000040").tensors(), want);

  write_file(f.folder() / "auditor",
             read_file(f.paths().trust) + read_file(f.folder() / "trainer.pub"));
  const Ended replayed = train({"replay", f.folder() / "a", "--permit", f.paths().permit, "--trust",
                                f.folder() / "auditor", "--shards", f.paths().shards, "--curate",
                                CLEARED_CURATE, "--steps", "40"});
  EXPECT_EQ(replayed.code, 0) << replayed.output;
  EXPECT_THAT(replayed.output, HasSubstr("bit for bit"));
}

TEST_P(PrecisionOnGpu, LosesAsTheProcessorDoes) {
  const GateFixture f = make_of_type(6);
  ASSERT_EQ(run(f, "gpu").code, 0);
  ::setenv("CUDA_VISIBLE_DEVICES", "", 1);
  const Ended cpu = run(f, "cpu");
  show_gpus();
  ASSERT_EQ(cpu.code, 0) << cpu.output;
  const State on_gpu = state_of(f.folder() / "gpu/step-000006");
  const State on_cpu = state_of(f.folder() / "cpu/step-000006");
  EXPECT_NE(on_gpu.machine(), on_cpu.machine());
  // The output layer starts at zero, so the first loss is of the data alone.
  const double tolerance = GetParam() == std::string("BF16") ? 1e-2 : 1e-4;
  EXPECT_NEAR(on_gpu.first_loss(), on_cpu.first_loss(), 1e-5 * on_cpu.first_loss());
  EXPECT_NEAR(on_gpu.smooth_loss(), on_cpu.smooth_loss(), tolerance * on_cpu.smooth_loss());
}

// A clip by the GPU, the same each time; and losses, pictures and looks by it.
TEST_F(TrainOnGpu, SamplesAndMeasuresThere) {
  GateFixture f(tiny_config(6), {sample_video(0), sample_video(1), sample_video(2)});
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path checkpoint = f.folder() / "a/step-000006";
  f.release(ledger::sha256(read_file(checkpoint / "weights.safetensors")));
  const auto sample = [&](const char* out) {
    const Ended ended =
        train({"sample", "--checkpoint", checkpoint, "--out", f.folder() / out, "--release",
               f.folder() / "a.release", "--trust", f.folder() / "trust-release", "--notices",
               f.paths().notices, "--threads", "1"});
    EXPECT_EQ(ended.code, 0) << ended.output;
    return read_file(f.folder() / out);
  };
  EXPECT_EQ(sample("a.gif"), sample("b.gif"));
  const Ended eval = train({"eval", "--json", "--checkpoint", checkpoint, "--curate",
                            CLEARED_CURATE, "--permit", f.paths().permit, "--trust",
                            f.folder() / "trust-release", "--shards", f.paths().shards, "--notices",
                            f.paths().notices, "--release", f.folder() / "a.release"});
  EXPECT_EQ(eval.code, 0) << eval.output;
}

// Without any GPU in sight by the driver's word; CUDA has it that an index it does not know hides
// all of them.
TEST_F(TrainOnGpu, RefusesToComputeOnTheProcessorUnasked) {
  const GateFixture f = make();
  ::setenv("CUDA_VISIBLE_DEVICES", "-1", 1);
  const Ended ended = run(f, "a");
  show_gpus();
  EXPECT_EQ(ended.code, 78) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("device: this build computes on GPUs and finds none"));
}

TEST_F(TrainOnGpu, AnAutoencoderHasTheSameBitsEachTime) {
  const std::string config = R"(
    name: "vae"
    purpose {
      use: TRAIN model: "cleared-base" component: [VAE] field_of_use: "film" compute_territory: "US"
    }
    seed: 7 steps: 4 batch: 2 stage: AUTOENCODER log_every: 1
    clip { width: 32 height: 32 frames: 13 frames_per_second: 16 }
    codec { vae { dim: 4 channels: 4 blocks: 1 } }
    optimiser { learning_rate: 1e-3 warmup_steps: 1 decay_steps: 2 beta1: 0.9 beta2: 0.95
                weight_decay: 0.01 clip_norm: 1 ema: 0.9 }
    checkpoints { every: 4 keep: 0 })";
  const GateFixture f(config, {sample_video(0), sample_video(1), sample_video(2)});
  const auto vae = [&](const char* out) {
    std::vector<std::string> args = run_args(f, out);
    args[0] = "vae";
    return train(args);
  };
  const Ended first = vae("a"), second = vae("b");
  ASSERT_EQ(first.code, 0) << first.output;
  ASSERT_EQ(second.code, 0) << second.output;
  EXPECT_EQ(state_of(f.folder() / "a/step-000004").tensors(),
            state_of(f.folder() / "b/step-000004").tensors());
}

}  // namespace
}  // namespace cleared::train

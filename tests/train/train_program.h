// The train program under test, on three real clips and a model as small as it gets.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/bundle.h"
#include "ledger/textproto.h"
#include "tests/train/gate_fixture.h"
#include "tests/train/loopback.h"
#include "tests/train/process.h"
#include "train/checkpoint.pb.h"

namespace cleared::train {

// `text` with its first `a`, which is there, as `b`.
inline std::string replaced(std::string text, const std::string& a, const std::string& b) {
  return text.replace(text.find(a), a.size(), b);
}

namespace fs = std::filesystem;

struct Ended {
  int code = 0;
  std::string output;
};

class TrainRun : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(CLEARED_CURATE)) GTEST_SKIP() << "curate is not built: " << CLEARED_CURATE;
    ::setenv("CUDA_VISIBLE_DEVICES", "", 1);  // several ranks, on however many GPUs: on none
  }

  static std::vector<std::string> gate_args(const GateFixture& f) {
    const GatePaths paths = f.paths();
    return {"--config",  f.config_path(), "--permit",   paths.permit, "--trust",
            paths.trust, "--shards",      paths.shards, "--notices",  paths.notices};
  }
  static std::vector<std::string> run_args(const GateFixture& f, const std::string& out,
                                           const std::vector<std::string>& more = {}) {
    std::vector<std::string> args = {
        "run", "--key", f.trainer_key(), "--out", f.folder() / out, "--curate", CLEARED_CURATE};
    for (const std::string& arg : gate_args(f)) args.push_back(arg);
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  // What /usr/bin/env is told to start one of two ranks as a launcher does.
  static std::vector<std::string> one_of_two(const std::string& rank, int port,
                                             const std::vector<std::string>& args) {
    std::vector<std::string> all = {
        "RANK=" + rank,       "WORLD_SIZE=2",          "LOCAL_RANK=" + rank,
        "LOCAL_WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + std::to_string(port),
        CLEARED_TRAIN};
    all.insert(all.end(), args.begin(), args.end());
    return all;
  }
  static Ended train(const std::vector<std::string>& args) {
    Process process(CLEARED_TRAIN, args);
    const int code = process.wait();
    return {code, process.output()};
  }
  static Ended run(const GateFixture& f, const std::string& out,
                   const std::vector<std::string>& more = {}) {
    return train(run_args(f, out, more));
  }
  static State state_of(const fs::path& checkpoint) {
    State state;
    ledger::parse_textproto(read_file(checkpoint / "state.textproto"), "state", state);
    return state;
  }
  static std::vector<ledger::Fact> outbox(const fs::path& run) {
    std::vector<ledger::Fact> facts;
    for (const auto& entry : fs::directory_iterator(run / "outbox")) {
      for (const auto& fact : ledger::read_bundle(entry.path())) facts.push_back(fact);
    }
    return facts;
  }

  // Clips in the TensorBoard of a run.
  static size_t images(const fs::path& run) {
    size_t count = 0;
    for (const auto& entry : fs::directory_iterator(run / "tensorboard")) {
      const std::string events = read_file(entry.path());
      for (size_t at = 0; (at = events.find("GIF89a", at)) != std::string::npos; ++at) ++count;
    }
    return count;
  }

  GateFixture make(uint64_t steps = 6) {
    return GateFixture(tiny_config(steps), {sample_video(0), sample_video(1), sample_video(2)});
  }
};

inline const std::vector<std::string> kTwoRanks = {"--nproc-per-node", "2"};

inline std::vector<std::string> operator+(std::vector<std::string> a,
                                          const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace cleared::train

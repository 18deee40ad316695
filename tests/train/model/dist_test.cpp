#include "train/model/dist.h"

#include <map>
#include <string>
#include <thread>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "tests/train/loopback.h"
#include "tests/train/model/support.h"
#include "train/model/divergence.h"

namespace cleared::train {
namespace {

std::vector<testing::Output> run_world(int size, const std::string& act, int port = free_port(),
                                       const std::string& more = "") {
  const std::string common =
      "env CUDA_VISIBLE_DEVICES= OMP_WAIT_POLICY=passive MASTER_ADDR=127.0.0.1 MASTER_PORT=" +
      std::to_string(port) + " WORLD_SIZE=" + std::to_string(size) + more;
  std::vector<testing::Output> outputs(static_cast<size_t>(size));
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < size; ++rank) {
      threads.emplace_back([&, rank] {
        outputs[static_cast<size_t>(rank)] = testing::run_command(
            common + " RANK=" + std::to_string(rank) + " " CLEARED_DIST_RANK " " + act);
      });
    }
  }
  return outputs;
}

TEST(World, TwoRanksTellEachOtherWhatTheyShould) {
  for (const auto& [status, text] : run_world(2, "talk")) {
    EXPECT_EQ(status, 0) << text;
    EXPECT_EQ(text,
              "sum 3\nbroadcast 15\ngathered 0 2\ntexts <> <xxx>\ntold a\tb\nagree 1 0\n"
              "backend gloo\n");
  }
}

// The socket stays bound from before the ranks start, so nobody else can take its port.
TEST(World, RankZeroServesOnTheSocketThatItIsGiven) {
  const int port = free_port();
  const Fd socket = bind_loopback(port);
  ASSERT_TRUE(socket);
  const std::string given = " CLEARED_STORE_SOCKET=" + std::to_string(socket.get());
  for (const auto& [status, text] : run_world(2, "talk", port, given)) {
    EXPECT_EQ(status, 0) << text;
  }
}

TEST(World, OneRankNeedsNobody) {
  ::setenv("CUDA_VISIBLE_DEVICES", "", 1);  // as for all worlds here: several ranks, on no GPU
  World world({});
  EXPECT_TRUE(world.agree("x"));
  EXPECT_EQ(world.all_gather("x"), std::vector<std::string>{"x"});
  EXPECT_EQ(world.broadcast("x"), "x");
  EXPECT_EQ(world.backend(), "none");
  world.barrier();
}

// As any other world does, by an address and a port.
TEST(World, OneRankCanBeAWorldOfItsOwn) {
  const auto outputs = run_world(1, "device");
  EXPECT_EQ(outputs[0].status, 0) << outputs[0].text;
  EXPECT_EQ(outputs[0].text, "gloo sum 6 broadcast 6 parts 6 gathered 6\n");
}

TEST(Divergence, NamesTheTensorAndTheRanksThatTurnedABit) {
  const std::string count = "tensor count of rank", end = " is not what the others have\n";
  const std::string weights = "all the same\ntensor weights of rank 1" + end;
  const std::map<int, std::string> says = {
      {1, "all the same\nall the same\nall the same\n"},
      {2, weights + count + " 1" + end},
      {4, weights + count + "s 1, 3" + end},
  };
  for (const auto& [size, text] : says) {
    for (const auto& output : run_world(size, "part")) {
      EXPECT_EQ(output.status, 0);
      EXPECT_EQ(output.text, text) << size;
    }
  }
}

// One of many words, whichever it is and whichever of its bits.
TEST(Divergence, AnyBitCounts) {
  const Tensor tensor = at::arange(200'003, at::kInt);  // several pieces, the last one odd
  const int64_t before = fingerprint(tensor).item<int64_t>();
  for (const int64_t word : {0L, 1L, 65'535L, 65'536L, 131'072L, 200'002L}) {
    for (const int bit : {0, 1, 15, 30, 31}) {
      const Tensor other = tensor.clone();
      other[word].bitwise_xor_(static_cast<int64_t>(static_cast<int32_t>(1U << bit)));
      EXPECT_NE(fingerprint(other).item<int64_t>(), before) << word << " " << bit;
    }
  }
  EXPECT_EQ(fingerprint(tensor.clone()).item<int64_t>(), before);
  EXPECT_NE(fingerprint(tensor.flip({0})).item<int64_t>(), before);
}

TEST(World, RanksThatComputeOnOtherDevicesAreRefusedBeforeTheyCompute) {
  const std::pair<const char*, const char*> rows[] = {
      {" DEVICE_OF_1='none no driver'",
       "error: device: rank 1: this build computes on GPUs and finds none: no driver; an empty "
       "CUDA_VISIBLE_DEVICES has it compute on the CPU\n"},
      {" DEVICE_OF_0='gpu a'",
       "error: device: rank 0 computes on a GPU, rank 1 on the CPU: it must be the same on every "
       "machine\n"},
      {" DEVICE_OF_0='gpu a' DEVICE_OF_1='gpu a'",
       "error: device: ranks 0 and 1 would share a GPU: start one rank for each, no more\n"},
  };
  for (const auto& [said, line] : rows) {
    for (const auto& [status, text] : run_world(2, "talk", free_port(), said)) {
      EXPECT_EQ(status, 78) << text;
      EXPECT_EQ(text, line);
    }
  }
  for (const auto& [status, text] : run_world(1, "talk", free_port(), " DEVICE_OF_0='none x'")) {
    EXPECT_EQ(status, 78) << text;
  }
}

TEST(World, DevicesThatGoTogether) {
  EXPECT_EQ(device_trouble({"cpu"}), "");
  EXPECT_EQ(device_trouble({"cpu", "cpu"}), "");
  EXPECT_EQ(device_trouble({"gpu a", "gpu b"}), "");
  EXPECT_NE(device_trouble({"gpu a", "gpu b", "gpu a"}), "");
}

TEST(DataParallel, GradientsAreMeansWhateverTheNumberOfRanks) {
  const auto alone = run_world(1, "train"), pair = run_world(2, "train");
  ASSERT_EQ(alone[0].status, 0) << alone[0].text;
  EXPECT_EQ(pair[0].text, pair[1].text);
  EXPECT_EQ(pair[0].text, alone[0].text);  // to the digits that are printed
}

// Weights, moments and average after some steps, to the bit; and the Reducer's to its tolerance.
TEST(DataParallel, ExactSumsAreTheSameBitsOnOneTwoAndFourRanks) {
  const auto alone = run_world(1, "exact 4"), pair = run_world(2, "exact 4"),
             four = run_world(4, "exact 4"), eight = run_world(1, "exact 8");
  ASSERT_EQ(alone[0].status, 0) << alone[0].text;
  ASSERT_NE(alone[0].text.find("bits "), std::string::npos) << alone[0].text;
  for (const auto& ranks : {pair, four}) {
    for (const auto& [status, text] : ranks) EXPECT_EQ(text, alone[0].text);
  }
  EXPECT_NE(eight[0].text, alone[0].text);  // another number of micro-batches is another run
  const auto sum_of = [](const std::string& text) { return std::stod(text.substr(4)); };
  const double exact = sum_of(alone[0].text);
  for (const int size : {1, 2}) {
    const double reduced = sum_of(run_world(size, "reducer")[0].text);
    EXPECT_NEAR(reduced, exact, 1e-5 * exact) << size;
  }
}

// A gradient of 1,287 values: in one piece, and in pieces that do not divide it.
TEST(DataParallel, ExactSumsAreTheSameBitsInPiecesOfAnySize) {
  const auto whole = run_world(2, "exact 4");
  ASSERT_EQ(whole[0].status, 0) << whole[0].text;
  for (const char* piece : {"1000", "37"}) {
    for (const int ranks : {2, 4}) {
      for (const auto& [status, text] : run_world(ranks, std::string("exact 4 ") + piece)) {
        EXPECT_EQ(text, whole[0].text) << piece << " by " << ranks;
      }
    }
  }
}

TEST(DataParallel, RefusesRanksThatCannotShareTheMicroBatches) {
  const std::tuple<int64_t, int, int64_t> rows[] = {{4, 1, 4}, {4, 2, 2}, {4, 4, 1}, {1, 1, 1},
                                                    {8, 2, 4}, {4, 3, 0}, {4, 8, 0}, {3, 1, 0},
                                                    {0, 1, 0}, {6, 2, 0}, {-4, 1, 0}};
  for (const auto& [micro_batches, ranks, share] : rows) {
    try {
      EXPECT_EQ(micro_batches_of_a_rank(micro_batches, ranks), share);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::config);
      EXPECT_EQ(share, 0) << error.what();
    }
  }
}

TEST(World, ARankThatNeverComesIsAReasonToTryAgain) {
  for (const char* rank : {"0", "1"}) {
    const auto [status, text] = testing::run_command(
        "env CUDA_VISIBLE_DEVICES= MASTER_ADDR=127.0.0.1 MASTER_PORT=" +
        std::to_string(free_port()) + " WORLD_SIZE=2 TIMEOUT_S=2 RANK=" + rank +
        " " CLEARED_DIST_RANK " talk");
    EXPECT_EQ(status, 75) << text;
    EXPECT_NE(text.find("error: ranks: join: "), std::string::npos) << text;
    EXPECT_NE(text.find("not all of them came"), std::string::npos) << text;
  }
}

TEST(World, TheDeathOfARankIsAnErrorThatSaysSo) {
  const auto outputs = run_world(2, "die");
  EXPECT_EQ(outputs[0].status, 75) << outputs[0].text;
  EXPECT_TRUE(outputs[0].text.starts_with("error: ranks: ")) << outputs[0].text;
  EXPECT_EQ(std::count(outputs[0].text.begin(), outputs[0].text.end(), '\n'), 1);
}

// Sums are on their way while backward() makes others: it is there that a rank waits for one that
// is gone.
TEST(DataParallel, TheDeathOfARankIsNoticedInBackward) {
  const auto outputs = run_world(2, "die_in_backward");
  EXPECT_EQ(outputs[0].status, 75) << outputs[0].text;
  EXPECT_TRUE(outputs[0].text.starts_with("error: ranks: all_")) << outputs[0].text;
  EXPECT_EQ(std::count(outputs[0].text.begin(), outputs[0].text.end(), '\n'), 1);
}

class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& values) : values_(values) {
    for (const char* name :
         {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
          "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RESTART_COUNT", "SLURM_PROCID",
          "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NNODES", "OMPI_COMM_WORLD_RANK",
          "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
          "CLEARED_RANK_SILENCE_MS", "CLEARED_STORE_SOCKET"}) {
      ::unsetenv(name);
    }
    for (const auto& [name, value] : values_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const auto& [name, value] : values_) ::unsetenv(name.c_str());
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  std::map<std::string, std::string> values_;
};

// rank/size/local rank/address/port/store runs/attempt, and whether it joins, or what the error
// names.
std::string understood() try {
  const WorldOptions o = world_from_environment();
  return std::to_string(o.rank) + "/" + std::to_string(o.size) + "/" +
         std::to_string(o.local_rank) + "/" + o.address + "/" + std::to_string(o.port) + "/" +
         std::to_string(o.store_runs) + "/" + std::to_string(o.attempt) + (o.join ? " joins" : "");
} catch (const Error& error) {
  EXPECT_EQ(error.code(), Errc::config);
  const std::string text = error.what();
  return "bad " + text.substr(0, text.find_first_of("= "));
}

TEST(World, UnderstandsThreeLaunchers) {
  const std::pair<std::map<std::string, std::string>, std::string> rows[] = {
      {{}, "0/1/0/127.0.0.1/29500/0/0"},
      {{{"RANK", "3"},
        {"WORLD_SIZE", "8"},
        {"LOCAL_RANK", "1"},
        {"MASTER_ADDR", "node7"},
        {"MASTER_PORT", "1234"}},
       "3/8/1/node7/1234/0/0 joins"},
      {{{"RANK", "0"},
        {"WORLD_SIZE", "2"},
        {"LOCAL_RANK", "0"},
        {"MASTER_ADDR", "h"},
        {"TORCHELASTIC_USE_AGENT_STORE", "True"},
        {"TORCHELASTIC_RESTART_COUNT", "2"}},
       "0/2/0/h/29500/1/2"},
      {{{"SLURM_PROCID", "1"},
        {"SLURM_NTASKS", "2"},
        {"SLURM_LOCALID", "1"},
        {"SLURM_NNODES", "1"}},
       "1/2/1/127.0.0.1/29500/0/0"},
      {{{"OMPI_COMM_WORLD_RANK", "1"},
        {"OMPI_COMM_WORLD_SIZE", "4"},
        {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
        {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}},
       "1/4/1/127.0.0.1/29500/0/0"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"SLURM_PROCID", "5"}, {"SLURM_NTASKS", "9"}},
       "0/1/0/127.0.0.1/29500/0/0"},
      {{{"RANK", "2"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h"}}, "bad RANK"},
      {{{"RANK", "-1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h"}}, "bad RANK"},
      {{{"RANK", "one"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h"}}, "bad RANK"},
      {{{"RANK", "0x"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h"}}, "bad RANK"},
      {{{"RANK", "0"}}, "bad WORLD_SIZE"},
      {{{"WORLD_SIZE", "2"}}, "bad RANK"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "0"}}, "bad WORLD_SIZE"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "2"}}, "bad MASTER_ADDR"},
      {{{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}, {"SLURM_NNODES", "2"}}, "bad MASTER_ADDR"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"MASTER_PORT", "70000"}}, "bad MASTER_PORT"},
      {{{"CLEARED_RANK_SILENCE_MS", "1 s"}}, "bad CLEARED_RANK_SILENCE_MS"},
      {{{"CLEARED_STORE_SOCKET", "-1"}}, "bad CLEARED_STORE_SOCKET"},
  };
  for (const auto& [variables, expected] : rows) {
    const Environment environment(variables);
    EXPECT_EQ(understood(), expected);
  }
}

}  // namespace
}  // namespace cleared::train

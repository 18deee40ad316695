// How runs end and go on when machines, disks and people are as they are.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "ledger/key.h"
#include "ledger/note.h"
#include "ledger/notes.pb.h"
#include "tests/train/forgery.h"
#include "tests/train/train_program.h"
#include "train/run_folder.h"

namespace cleared::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using TrainOperation = TrainRun;

TEST_F(TrainOperation, OneRunHasAFolderAtATime) {
  const GateFixture f = make(100'000);
  Process first(CLEARED_TRAIN, run_args(f, "a"));
  ASSERT_TRUE(first.wait_for("step 2/")) << first.output();
  const Ended second = run(f, "a");
  EXPECT_EQ(second.code, 75) << second.output;
  EXPECT_THAT(second.output, HasSubstr("another process"));
  first.send(SIGTERM);
  EXPECT_EQ(first.wait(), 75);
}

TEST_F(TrainOperation, ResumeNeverStartsFromTheSeed) {
  const GateFixture f = make();
  const Ended endless = run(f, "a", {"--until", "-1"});
  EXPECT_EQ(endless.code, 2) << endless.output;
  EXPECT_THAT(endless.output, HasSubstr("--until: -1 is below 0"));
  EXPECT_FALSE(fs::exists(f.folder() / "a"));
  auto args = run_args(f, "a");
  args[0] = "resume";
  const Ended nothing = train(args);
  EXPECT_EQ(nothing.code, 66) << nothing.output;
  EXPECT_THAT(nothing.output, HasSubstr("no checkpoint to go on from"));
  ASSERT_EQ(run(f, "a", {"--until", "3"}).code, 0);
  const Ended resumed = train(args);
  EXPECT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_THAT(resumed.output, HasSubstr("from step-000003"));

  write_file(f.folder() / "a/step-000006/totals.txt", "");
  const Ended damaged = train(args);
  EXPECT_EQ(damaged.code, 65);
  EXPECT_THAT(damaged.output, AllOf(HasSubstr("totals.txt was changed"),
                                    HasSubstr("last good one is"), HasSubstr("--from 3")));
}

// Two nodes that go on with copies of one folder make other bits of the same steps, perhaps: they
// are two runs, and the ledger takes what both consumed.
TEST_F(TrainOperation, ACopyOfARunIsAnotherRun) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a", {"--until", "3"}).code, 0);
  fs::copy(f.folder() / "a", f.folder() / "b", fs::copy_options::recursive);
  const Ended own = run(f, "a"), other = run(f, "b");
  ASSERT_EQ(own.code, 0) << own.output;
  ASSERT_EQ(other.code, 0) << other.output;
  EXPECT_THAT(own.output, Not(HasSubstr("run.copied")));
  EXPECT_THAT(other.output, HasSubstr("run.copied"));
  const std::string name = state_of(f.folder() / "a/step-000003").run();
  EXPECT_EQ(state_of(f.folder() / "a/step-000006").run(), name);
  const State copy = state_of(f.folder() / "b/step-000006");
  EXPECT_NE(copy.run(), name);
  EXPECT_THAT(read_file(f.folder() / "b/run.textproto"), HasSubstr("before: \"" + name + "\""));
  // It is the copy's run from there on, and one of a folder of before it said where it is.
  std::string file = read_file(f.folder() / "b/run.textproto");
  write_file(f.folder() / "b/run.textproto", file.substr(0, file.find("place:")));
  ASSERT_EQ(run(f, "b", {"--from", "6"}).code, 0);
  EXPECT_EQ(read_file(f.folder() / "b/run.textproto"), file);
}

// The launcher starts all ranks again when one was killed, and the run comes to the same bits.
TEST_F(TrainOperation, GoesOnByItselfWhenARankIsLost) {
  const GateFixture f = make(40);
  ASSERT_EQ(run(f, "a", kTwoRanks).code, 0);
  {
    Process process(CLEARED_TRAIN, run_args(f, "b", kTwoRanks));
    ASSERT_TRUE(process.wait_for("step-000006")) << process.output();
    const auto ranks = children_of(process.pid());
    ASSERT_EQ(ranks.size(), 2u);
    ::kill(ranks[1], SIGKILL);
    EXPECT_EQ(process.wait(), 0) << process.output();
    EXPECT_THAT(process.output(), HasSubstr("launch.restart"));
  }
  EXPECT_EQ(state_of(f.folder() / "a/step-000040").tensors(),
            state_of(f.folder() / "b/step-000040").tensors());

  Process once(CLEARED_TRAIN,
               run_args(f, "c", kTwoRanks + std::vector<std::string>{"--restarts", "0"}));
  ASSERT_TRUE(once.wait_for("step 2/")) << once.output();
  const auto ranks = children_of(once.pid());
  ASSERT_EQ(ranks.size(), 2u);
  ::kill(ranks[0], SIGKILL);
  EXPECT_EQ(once.wait(), 75) << once.output();
}

// A rank that is stopped, as by a frozen machine, closes no connection: the others miss its beat,
// and the launcher ends it and starts all again.
TEST_F(TrainOperation, GoesOnByItselfWhenARankIsStopped) {
  const GateFixture f = make(40);
  ASSERT_EQ(run(f, "a").code, 0);
  for (const size_t rank : {0, 1}) {
    const std::string out = "stopped-" + std::to_string(rank);
    Process process(CLEARED_TRAIN, run_args(f, out, kTwoRanks));
    ASSERT_TRUE(process.wait_for("step-000006")) << process.output();
    const auto ranks = children_of(process.pid());
    ASSERT_EQ(ranks.size(), 2u);
    const auto start = std::chrono::steady_clock::now();
    ::kill(ranks[rank], SIGSTOP);
    ASSERT_TRUE(process.wait_for("launch.restart")) << process.output();
    const auto took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took, std::chrono::minutes(1)) << "1.2 s where nothing else runs";
    EXPECT_THAT(process.output(),
                HasSubstr("rank " + std::to_string(rank) + (rank == 0 ? "" : " on ")));
    EXPECT_THAT(process.output(), HasSubstr("was silent for"));
    EXPECT_EQ(process.wait(), 0) << process.output();
    EXPECT_EQ(state_of(f.folder() / "a/step-000040").tensors(),
              state_of(f.folder() / out / "step-000040").tensors());
  }
}

// A rank that dies at once, each time that it is started: the others go on without it, where they
// may, and without its place.
TEST_F(TrainOperation, GoesOnByItselfWithFewerRanksWhenOneKeepsBeingLost) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const auto soon = [](const auto& is_so) {
    for (int i = 0; i < 6000; ++i) {
      if (is_so()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  };
  for (const size_t victim : {0, 1}) {
    const std::string out = "without-" + std::to_string(victim);
    Process process(
        CLEARED_TRAIN,
        run_args(f, out,
                 kTwoRanks + std::vector<std::string>{"--restarts", "1", "--nproc-min", "1"}));
    pid_t dead = 0;
    std::vector<pid_t> ranks;
    for (int attempt = 0; attempt < 2; ++attempt) {
      ASSERT_TRUE(soon([&] {
        ranks = children_of(process.pid());
        return ranks.size() == 2 && ranks[victim] > dead;
      })) << process.output();
      dead = std::max(ranks[0], ranks[1]);
      ::kill(ranks[victim], SIGKILL);
    }
    ASSERT_TRUE(process.wait_for("ranks=1")) << process.output();
    EXPECT_TRUE(soon([&] {
      ranks = children_of(process.pid());
      if (ranks.size() != 1) return false;
      std::ifstream in("/proc/" + std::to_string(ranks[0]) + "/environ");
      const std::string environment((std::istreambuf_iterator<char>(in)), {});
      const std::string place = "LOCAL_RANK=" + std::to_string(1 - victim);
      return environment.find("WORLD_SIZE=1") != std::string::npos &&
             environment.find(place) != std::string::npos;
    })) << process.output();
    EXPECT_EQ(process.wait(), 0) << process.output();
    EXPECT_EQ(state_of(f.folder() / "a/step-000006").tensors(),
              state_of(f.folder() / out / "step-000006").tensors());
  }
  const Ended more = run(f, "b", kTwoRanks + std::vector<std::string>{"--nproc-min", "3"});
  EXPECT_EQ(more.code, 2) << more.output;
}

// Without the launcher's help: exit 75, and the same command with a rank less comes to the same
// bits.
TEST_F(TrainOperation, GoesOnWithFewerRanksToTheSameBits) {
  const GateFixture f = make(40);
  ASSERT_EQ(run(f, "a").code, 0);
  {
    Process process(CLEARED_TRAIN,
                    run_args(f, "b", kTwoRanks + std::vector<std::string>{"--restarts", "0"}));
    ASSERT_TRUE(process.wait_for("step-000006")) << process.output();
    const auto ranks = children_of(process.pid());
    ASSERT_EQ(ranks.size(), 2u);
    ::kill(ranks[1], SIGSTOP);
    EXPECT_EQ(process.wait(), 75) << process.output();
  }
  const Ended rest = run(f, "b");
  EXPECT_EQ(rest.code, 0) << rest.output;
  EXPECT_THAT(rest.output, AllOf(HasSubstr("from step-0000"), Not(HasSubstr("other bits"))));
  EXPECT_EQ(state_of(f.folder() / "a/step-000040").tensors(),
            state_of(f.folder() / "b/step-000040").tensors());
}

TEST_F(TrainOperation, SaysWhenAnotherNumberOfRanksGivesOtherBits) {
  const GateFixture f(tiny_config() + "gradients: REDUCER\n",
                      {sample_video(0), sample_video(1), sample_video(2)});
  ASSERT_EQ(run(f, "a", {"--until", "3"}).code, 0);
  const Ended rest = run(f, "a", kTwoRanks);
  EXPECT_EQ(rest.code, 0) << rest.output;
  EXPECT_THAT(rest.output, HasSubstr("another number of ranks gives other bits"));
}

// What a rank was doing when another was killed, or which of them heard of it first, does not
// matter: its line names the one that was lost and where it ran.
TEST_F(TrainOperation, EveryRankNamesTheOneThatWasLost) {
  const GateFixture f(tiny_config(100'000, 4), {sample_video(0), sample_video(1), sample_video(2)});
  for (size_t i = 0; i < 10; ++i) {
    Process process(CLEARED_TRAIN,
                    run_args(f, std::to_string(i),
                             {"--nproc-per-node", "4", "--threads", "1", "--restarts", "0"}));
    ASSERT_TRUE(process.wait_for("step " + std::to_string(2 + i) + "/")) << process.output();
    const auto ranks = children_of(process.pid());
    ASSERT_EQ(ranks.size(), 4U);
    const size_t lost = i % 4;
    ::kill(ranks[lost], SIGKILL);
    EXPECT_EQ(process.wait(), 75) << process.output();
    size_t lines = 0;
    std::istringstream output(process.output());
    for (std::string line; std::getline(output, line);) {
      if (!line.starts_with("train: ")) continue;
      ++lines;
      EXPECT_THAT(line, HasSubstr("ranks: rank " + std::to_string(lost) + " on "));
    }
    EXPECT_EQ(lines, 3U) << process.output();
  }
}

// As timeout(1) and some schedulers send it: to the process, and then to its group.
TEST_F(TrainOperation, ToldTwiceToEndItStillWritesACheckpoint) {
  const GateFixture f = make(100'000);
  Process process(CLEARED_TRAIN, run_args(f, "a"));
  ASSERT_TRUE(process.wait_for("step 2/")) << process.output();
  process.send(SIGTERM);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  process.send(SIGTERM);
  EXPECT_EQ(process.wait(), 75) << process.output();
  EXPECT_FALSE(fs::is_empty(f.folder() / "a/outbox"));
}

TEST_F(TrainOperation, RanksEndWithTheirLauncher) {
  const GateFixture f = make(100'000);
  Process process(CLEARED_TRAIN, run_args(f, "a", kTwoRanks));
  ASSERT_TRUE(process.wait_for("step 2/")) << process.output();
  const auto ranks = children_of(process.pid());
  ASSERT_EQ(ranks.size(), 2u);
  process.send(SIGKILL);
  for (const pid_t rank : ranks) {
    for (int i = 0; i < 1200 && !is_gone(rank); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    EXPECT_TRUE(is_gone(rank)) << rank;
  }
  process.wait();
  // SIGTERM reached them, so the step they were at is in a checkpoint.
  EXPECT_FALSE(fs::is_empty(f.folder() / "a/outbox"));
}

// A weight that is not a number makes the next loss not one: nothing is applied, the checkpoint
// before stays the newest, and the line names what was consumed.
TEST_F(TrainOperation, StopsBeforeAnUpdateThatIsNotFinite) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a", {"--until", "3"}).code, 0);
  const fs::path folder = f.folder() / "a";
  forge(f, folder, 3, [](Forgery& forgery) {
    forgery.weights.replace(forgery.weights.size() - 4, 4, "\xff\xff\xff\x7f");  // a NaN
  });
  const Ended ended = run(f, "a", kTwoRanks);
  EXPECT_EQ(ended.code, 65) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("step 3: loss nan"));
  EXPECT_THAT(ended.output, HasSubstr("nothing was applied; look at its samples (clip"));
  EXPECT_FALSE(fs::exists(folder / "step-000006"));
  EXPECT_TRUE(fs::exists(folder / "step-000003"));
}

// Files may not grow past a limit, as on a disk that is full: the run ends with 74, what was
// written before stays, and nothing is there in half.
TEST_F(TrainOperation, AFullDiskLosesNothing) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a", {"--until", "3"}).code, 0);
  std::string command = "ulimit -f 40; trap '' XFSZ; exec " + std::string(CLEARED_TRAIN);
  for (const std::string& arg : run_args(f, "a")) command += " '" + arg + "'";
  Process process("/bin/bash", {"-c", command});
  EXPECT_EQ(process.wait(), 74) << process.output();
  for (const auto& entry : fs::directory_iterator(f.folder() / "a")) {
    const std::string name = entry.path().filename().string();
    EXPECT_THAT(name, AllOf(Not(HasSubstr("partial")), Not(HasSubstr("step-000006"))));
  }
  EXPECT_EQ(run(f, "a").code, 0);
  EXPECT_TRUE(fs::exists(f.folder() / "a/step-000006"));
}

// What one checkpoint was to tell of is lost, and so nothing after it is told either.
TEST_F(TrainOperation, NothingIsWrittenAfterACheckpointThatCouldNotBe) {
  std::string config = tiny_config(100'000);
  config.replace(config.find("every: 3"), 8, "every: 20");
  const GateFixture f(config, {sample_video(0), sample_video(1), sample_video(2)});
  const fs::path a = f.folder() / "a";
  make_folders(a);
  write_file(a / "outbox", "no folder");
  const Ended ended = run(f, "a", kTwoRanks);
  EXPECT_EQ(ended.code, 74) << ended.output;
  EXPECT_EQ(checkpoint_steps(a), (std::vector<uint64_t>{20}));
  fs::remove(a / "outbox");
  const Ended rest = run(f, "a", {"--until", "40"});
  ASSERT_EQ(rest.code, 0) << rest.output;
  std::map<uint64_t, std::string> previous;  // by the step that a receipt begins at
  for (const ledger::Fact& fact : outbox(a)) {
    if (!fact.has_receipt()) continue;
    ledger::ReceiptText text;
    ledger::parse_textproto(ledger::parse_note(fact.receipt().note()).text, "receipt", text);
    previous[text.receipt().first_step()] = text.receipt().previous();
  }
  EXPECT_EQ(previous, (std::map<uint64_t, std::string>{
                          {0, ""}, {20, state_of(a / "step-000020").receipt()}}));
}

// A rank was lost before the run had begun where it was told to, or after.
TEST_F(TrainOperation, RestartsBeginWhereTheyWereTold) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const auto again = [&](const std::vector<std::string>& where) {
    Process process("/usr/bin/env",
                    std::vector<std::string>{"RANK=0", "WORLD_SIZE=1",
                                             "MASTER_PORT=" + std::to_string(free_port()),
                                             "TORCHELASTIC_RESTART_COUNT=1", CLEARED_TRAIN} +
                        run_args(f, "a", where));
    EXPECT_EQ(process.wait(), 0) << process.output();
    return process.output();
  };
  EXPECT_THAT(again({"--fresh"}), HasSubstr("from the seed"));
  EXPECT_THAT(again({"--fresh"}), HasSubstr("from step-000006"));
  fs::remove(f.folder() / "a/launch.txt");
  EXPECT_THAT(again({"--from", "3"}), HasSubstr("from step-000003"));
  EXPECT_THAT(again({"--from", "3"}), HasSubstr("from step-000006"));
}

TEST_F(TrainOperation, SaysWhenAnotherProgramGoesOn) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a", {"--until", "3"}).code, 0);
  forge(f, f.folder() / "a", 3,
        [](Forgery& forgery) { forgery.state.set_code_version("cleared 0.0 another"); });
  const Ended ended = run(f, "a");
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("another program may give other bits"));
}

// The command, quoted for a shell.
std::string quoted(const std::vector<std::string>& args) {
  std::string command = CLEARED_TRAIN;
  for (const std::string& arg : args) command += " '" + arg + "'";
  return command;
}

TEST_F(TrainOperation, AReaderThatGoesAwayEndsNothing) {
  const GateFixture f = make();
  for (const char* ranks : {"1", "2"}) {
    Process process("/bin/bash",
                    {"-c", quoted(run_args(f, ranks, {"--json", "--nproc-per-node", ranks})) +
                               " | head -1; exit ${PIPESTATUS[0]}"});
    EXPECT_EQ(process.wait(), 0) << process.output();
    EXPECT_THAT(process.output(), Not(HasSubstr("launch.restart")));
    EXPECT_TRUE(fs::exists(f.folder() / ranks / "step-000006")) << process.output();
  }
}

TEST_F(TrainOperation, OutputThatCannotBeWrittenIsNoSuccess) {
  const GateFixture f = make();
  for (const auto& args : {std::vector<std::string>{"plan", "--json", f.config_path()},
                           std::vector<std::string>{"--help"},
                           std::vector<std::string>{"check"} + gate_args(f), run_args(f, "a")}) {
    Process process("/bin/bash", {"-c", quoted(args) + " >/dev/full"});
    EXPECT_EQ(process.wait(), 74) << process.output();
    EXPECT_THAT(process.output(), HasSubstr("train: stdout: "));
  }
  EXPECT_TRUE(fs::exists(f.folder() / "a/step-000006"));  // the run goes to its end
}

// Memory ends as a disk does: with a line, a code of its own, and the checkpoints that were there.
TEST_F(TrainOperation, TooLittleMemorySaysWhatHelps) {
  std::string config = tiny_config(6);
  config.replace(config.find("dim: 24"), 7, "dim: 2048");
  config.replace(config.find("ffn: 24"), 7, "ffn: 262144");  // 2 GiB a matrix
  const GateFixture f(config, {sample_video(0), sample_video(1), sample_video(2)});
  std::string command = "ulimit -Sv 2000000; exec " + std::string(CLEARED_TRAIN);
  for (const std::string& arg : run_args(f, "a")) command += " '" + arg + "'";
  Process process("/bin/bash", {"-c", command});
  EXPECT_EQ(process.wait(), 74) << process.output();
  EXPECT_THAT(process.output(),
              HasSubstr("memory: not enough on this machine: lower batch or raise "
                        "micro_batches"));
}

// One rank was given something else than the other: both say so, before anything is trained.
TEST_F(TrainOperation, RanksThatWereGivenDifferentThingsDoNotStart) {
  GateFixture f = make();
  const fs::path config = f.folder() / "other.textproto", permit = f.folder() / "other.permit";
  write_file(config, read_file(f.config_path()) + "# another\n");
  fs::copy(f.paths().permit, permit);
  f.permit([](ledger::Permit& p) { p.mutable_shard(0)->set_max_passes(1000); });
  struct Case {
    fs::path ours, other;
    int code;
    const char* says;
  };
  const fs::path curate = f.folder() / "curate";
  fs::copy_file(CLEARED_CURATE, curate);
  fs::copy_file(fs::path(CLEARED_CURATE).parent_path() / "curate-media",
                f.folder() / "curate-media");
  std::ofstream(f.folder() / "curate-media", std::ios::app) << "another build";
  const Case cases[] = {{f.config_path(), config, 78, "different configs"},
                        {f.paths().permit, permit, 3, "permits_differ"},
                        {CLEARED_CURATE, curate, 78, "same curate and curate-media"}};
  for (const Case& c : cases) {
    const int port = free_port();
    const auto rank = [&](const char* number, const fs::path& given) {
      auto args = run_args(f, "a");
      *std::find(args.begin(), args.end(), c.ours.string()) = given;
      return one_of_two(number, port, args);
    };
    Process first("/usr/bin/env", rank("0", c.ours));
    Process second("/usr/bin/env", rank("1", c.other));
    EXPECT_EQ(first.wait(), c.code) << first.output();
    EXPECT_EQ(second.wait(), c.code) << second.output();
    EXPECT_THAT(first.output(), HasSubstr(c.says));
    EXPECT_FALSE(fs::exists(f.folder() / "a/lock"));
  }
  const std::pair<std::vector<std::string>, const char*> flags[] = {
      {{"--until", "3"}, "different --until"},
      {{"--threads", "2"}, "different --threads"},
      {{"--leave-out-revoked"}, "different --leave-out-revoked"}};
  for (const auto& [flag, says] : flags) {
    const int port = free_port();
    Process first("/usr/bin/env", one_of_two("0", port, run_args(f, "a")));
    Process second("/usr/bin/env", one_of_two("1", port, run_args(f, "a", flag)));
    EXPECT_EQ(first.wait(), 78) << first.output();
    EXPECT_EQ(second.wait(), 78) << second.output();
    EXPECT_THAT(first.output(), HasSubstr(says));
  }
}

// Sums that one rank makes with other instructions than the other would be in the weights of both,
// and no comparison of the ranks would show it: they hold the same.
TEST_F(TrainOperation, RanksWhoseArithmeticDiffersDoNotStart) {
  const GateFixture f = make();
  for (const char* setting : {"ATEN_CPU_CAPABILITY=default", "ONEDNN_MAX_CPU_ISA=SSE41",
                              "MKL_ENABLE_INSTRUCTIONS=SSE4_2"}) {
    const int port = free_port();
    Process first("/usr/bin/env", one_of_two("0", port, run_args(f, "a")));
    Process second("/usr/bin/env",
                   std::vector<std::string>{setting} + one_of_two("1", port, run_args(f, "a")));
    EXPECT_EQ(first.wait(), 78) << setting << first.output();
    EXPECT_EQ(second.wait(), 78) << setting << second.output();
    EXPECT_THAT(first.output(), HasSubstr("their arithmetic is not the same: rank 0 has "));
    EXPECT_THAT(first.output(), HasSubstr("rank 1 "));
    EXPECT_FALSE(fs::exists(f.folder() / "a/lock")) << setting;
  }
}

// Programs of one build compute with whatever libraries are loaded: half the cosines of one rank
// would be in the weights of both.
TEST_F(TrainOperation, RanksWithOtherLibrariesDoNotStart) {
  const GateFixture f = make();
  for (const char* odd : {"0", "1"}) {
    const int port = free_port();
    const auto rank = [&](const std::string& number) {
      const std::string preload = number == odd ? CLEARED_PRELOADED : "";
      return std::vector<std::string>{"LD_PRELOAD=" + preload} +
             one_of_two(number, port, run_args(f, "a"));
    };
    Process first("/usr/bin/env", rank("0")), second("/usr/bin/env", rank("1"));
    EXPECT_EQ(first.wait(), 78) << first.output();
    EXPECT_EQ(second.wait(), 78) << second.output();
    EXPECT_THAT(first.output(), AllOf(HasSubstr("their libraries are not the same"),
                                      HasSubstr("libpreloaded.so ")));
    EXPECT_FALSE(fs::exists(f.folder() / "a/lock"));
  }
}

// A replay with other libraries is one on another machine, and says so; a checkpoint of before
// libraries were in it is of this one.
TEST_F(TrainOperation, AReplayKnowsWhetherItHasTheRunsLibraries) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path trust = f.folder() / "auditor.trust";
  write_file(trust, read_file(f.paths().trust) + read_file(f.folder() / "trainer.pub"));
  const auto replay = [&](const std::string& preload) {
    Process process("/usr/bin/env",
                    {"LD_PRELOAD=" + preload, CLEARED_TRAIN, "replay", "--json", f.folder() / "a",
                     "--permit", f.paths().permit, "--trust", trust, "--shards", f.paths().shards,
                     "--curate", CLEARED_CURATE});
    process.wait();
    return process.output();
  };
  EXPECT_THAT(replay(""), AllOf(HasSubstr("\"agrees\":true"), HasSubstr("\"same_machine\":true")));
  EXPECT_THAT(replay(CLEARED_PRELOADED), HasSubstr("\"same_machine\":false"));
}

// Of a tensor in the weights of a checkpoint.
std::string bytes_of(const fs::path& checkpoint, const std::string& tensor) {
  const std::string file = read_file(checkpoint / "weights.safetensors");
  uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof header);
  const auto range = nlohmann::json::parse(file.substr(8, header))[tensor]["data_offsets"];
  return file.substr(8 + header + range[0].get<size_t>(),
                     range[1].get<size_t>() - range[0].get<size_t>());
}

// Turns a bit over wherever `bytes` lie in the memory of a process; returns how often.
size_t turn_a_bit(pid_t pid, const std::string& bytes) {
  const std::string proc = "/proc/" + std::to_string(pid);
  const Fd memory(::open((proc + "/mem").c_str(), O_RDWR | O_CLOEXEC));
  std::ifstream maps(proc + "/maps");
  size_t found = 0;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    char rights[8] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %7s", &begin, &end, rights) != 3) continue;
    if (rights[0] != 'r' || rights[1] != 'w' || end - begin > (1U << 30)) continue;
    std::string region(end - begin, '\0');
    const ssize_t size =
        ::pread(memory.get(), region.data(), region.size(), static_cast<off_t>(begin));
    region.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
    for (size_t at = region.find(bytes); at != std::string::npos; at = region.find(bytes, at + 1)) {
      const char other = static_cast<char>(bytes[0] ^ 1);
      const auto where = static_cast<off_t>(begin + at);
      found += ::pwrite(memory.get(), &other, 1, where) == 1 ? 1 : 0;
    }
  }
  return found;
}

// Bad memory of one machine. The weights of this run hardly move, so that the test knows which
// bytes they are.
TEST_F(TrainOperation, RanksWhoseWeightsPartWriteNoCheckpoint) {
  std::string config = tiny_config(100'000);
  config.replace(config.find("1e-3"), 4, "1e-30");
  const GateFixture f(config, {sample_video(0), sample_video(1), sample_video(2)});
  const fs::path run = f.folder() / "a";
  const int port = free_port();
  Process first("/usr/bin/env", one_of_two("0", port, run_args(f, "a")));
  Process second("/usr/bin/env", one_of_two("1", port, run_args(f, "a")));
  ASSERT_TRUE(first.wait_for("checkpoint ")) << first.output();
  const std::string weights = bytes_of(run / "step-000003", "model.inp.weight");
  const size_t turned = turn_a_bit(second.pid(), weights);
  if (turned == 0) GTEST_SKIP() << "this process may not write the memory of another";
  EXPECT_EQ(first.wait(), 65) << first.output();
  EXPECT_EQ(second.wait(), 65) << second.output();
  EXPECT_THAT(first.output(), HasSubstr(": after it tensor "));
  EXPECT_THAT(first.output(), HasSubstr(".inp.weight of rank 1 is not what the others have"));
  // The newest checkpoint is of before.
  const auto steps = checkpoint_steps(run);
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(bytes_of(step_folder(run, steps.back()), "model.inp.weight"), weights);
  EXPECT_THAT(first.output(), HasSubstr("step " + std::to_string(steps.back() + 2) + ": after it"));
}

}  // namespace
}  // namespace cleared::train

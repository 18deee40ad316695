// The launchers that clusters have, run for real on this machine: torchrun and Slurm. Each comes to
// the same bits as one rank that nobody launched. They skip aloud where they are not installed.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <thread>

#include <gmock/gmock.h>
#include <unistd.h>

#include "ledger/base/file.h"
#include "tests/train/train_program.h"

namespace cleared::train {
namespace {

using testing::HasSubstr;

using TrainLaunchers = TrainRun;

// PyPI's torch with all it depends on: pip install torch==2.15.0.
TEST_F(TrainLaunchers, TorchrunStartsRanksAndStartsThemAgain) {
  const char* python = std::getenv("CLEARED_TORCH_PYTHON");
  if (python == nullptr) {
    GTEST_SKIP() << "CLEARED_TORCH_PYTHON names no Python that has all of torch";
  }
  const GateFixture f = make(40);
  ASSERT_EQ(run(f, "a").code, 0);
  const std::vector<std::string> torchrun = {
      "-m",   "torch.distributed.run", "--no-python", "--nproc-per-node",
      "2",    "--max-restarts",        "2",           "--rdzv-backend",
      "c10d", "--rdzv-endpoint",       "127.0.0.1:0", CLEARED_TRAIN};
  Process process(python, torchrun + run_args(f, "b"));
  ASSERT_TRUE(process.wait_for("2 ranks over gloo")) << process.output();
  ASSERT_TRUE(process.wait_for("step-000006")) << process.output();
  // Its children are the ranks; the second one is killed.
  const Ended ranks = [&] {
    Process ps("/bin/ps", {"--ppid", std::to_string(process.pid()), "-o", "pid=,comm="});
    const int code = ps.wait();
    return Ended{code, ps.output()};
  }();
  std::istringstream lines(ranks.output);
  std::vector<pid_t> pids;
  std::string name;
  for (pid_t pid = 0; lines >> pid >> name;) {
    if (name == "train") pids.push_back(pid);
  }
  ASSERT_EQ(pids.size(), 2u) << ranks.output;
  ::kill(pids[1], SIGKILL);
  EXPECT_EQ(process.wait(), 0) << process.output();
  EXPECT_THAT(process.output(), HasSubstr("from step-0000"));
  EXPECT_EQ(state_of(f.folder() / "a/step-000040").tensors(),
            state_of(f.folder() / "b/step-000040").tensors());
}

// An abort is a bug and no loss: started again it would come to the same, four times over.
TEST_F(TrainLaunchers, ARankThatCrashesIsNotStartedAgain) {
  const GateFixture f = make(40);
  for (const int signal : {SIGABRT, SIGSEGV}) {
    Process process(CLEARED_TRAIN, run_args(f, std::to_string(signal), kTwoRanks));
    ASSERT_TRUE(process.wait_for("step 2/")) << process.output();
    const auto ranks = children_of(process.pid());
    ASSERT_EQ(ranks.size(), 2U);
    ::kill(ranks[1], signal);
    EXPECT_EQ(process.wait(), 70) << process.output();
    EXPECT_THAT(process.output(), HasSubstr("train: rank 1 crashed ("));
    EXPECT_EQ(process.output().find("launch.restart"), std::string::npos) << process.output();
  }
}

// A cluster of one node: munged, slurmctld and slurmd with nothing but files below a folder.
class Slurm {
 public:
  explicit Slurm(const fs::path& folder) : folder_(folder) {
    for (const char* name : {"state", "spool"}) fs::create_directories(folder / name);
    write_file(folder / "munge.key", std::string(128, 'k'), 0600);
    write_file(folder / "slurm.conf", conf());
    ::setenv("SLURM_CONF", (folder / "slurm.conf").c_str(), 1);
    munged_ = std::make_unique<Process>(
        "/usr/sbin/munged",
        std::vector<std::string>{"--force", "--foreground", "--key-file", folder / "munge.key",
                                 "--socket", folder / "munge.socket", "--pid-file",
                                 folder / "munged.pid", "--log-file", folder / "munged.log",
                                 "--seed-file", folder / "munged.seed"});
    wait_until([&] { return fs::exists(folder / "munge.socket"); });
    slurmctld_ = std::make_unique<Process>("/usr/sbin/slurmctld", std::vector<std::string>{"-D"});
    slurmd_ = std::make_unique<Process>("/usr/sbin/slurmd", std::vector<std::string>{"-D"});
    wait_until([] {
      Process sinfo("/usr/bin/sinfo", {"--noheader", "--format", "%t"});
      return sinfo.wait() == 0 && sinfo.output() == "idle\n";
    });
  }
  ~Slurm() { ::unsetenv("SLURM_CONF"); }
  Slurm(const Slurm&) = delete;
  Slurm& operator=(const Slurm&) = delete;

 private:
  std::string conf() const {
    char name[256] = {};
    ::gethostname(name, sizeof name - 1);
    const std::string host = name, here = folder_.string();
    const int port = free_port();
    return "ClusterName=test\nSlurmctldHost=" + host +
           "(127.0.0.1)\nSlurmctldPort=" + std::to_string(port) +
           "\nSlurmdPort=" + std::to_string(free_port()) +
           "\nAuthType=auth/munge\nAuthInfo=socket=" + here + "/munge.socket" +
           "\nSlurmUser=root\nSlurmdUser=root\nStateSaveLocation=" + here +
           "/state\nSlurmdSpoolDir=" + here + "/spool\nSlurmctldPidFile=" + here +
           "/slurmctld.pid\nSlurmdPidFile=" + here + "/slurmd.pid\nSlurmctldLogFile=" + here +
           "/slurmctld.log\nSlurmdLogFile=" + here +
           "/slurmd.log\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n"
           "SelectType=select/cons_tres\nMpiDefault=none\nReturnToService=2\n"
           "SlurmdParameters=config_overrides\nNodeName=" +
           host + " NodeAddr=127.0.0.1 CPUs=2\nPartitionName=all Nodes=ALL Default=YES State=UP\n";
  }
  template <class Condition>
  static void wait_until(const Condition& condition) {
    for (int i = 0; i < 600 && !condition(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }

  const fs::path folder_;
  std::unique_ptr<Process> munged_, slurmctld_, slurmd_;  // killed in the opposite order
};

// Debian's slurm-wlm and munge; slurmd wants to be root.
TEST_F(TrainLaunchers, SrunStartsRanks) {
  for (const char* program :
       {"/usr/bin/srun", "/usr/sbin/slurmctld", "/usr/sbin/slurmd", "/usr/sbin/munged"}) {
    if (!fs::exists(program)) GTEST_SKIP() << program << " is not installed";
  }
  if (::getuid() != 0) GTEST_SKIP() << "slurmd wants to be root";
  const GateFixture f = make(12);
  ASSERT_EQ(run(f, "a").code, 0);
  const Slurm slurm(f.folder() / "slurm");
  const std::vector<std::string> srun = {"--ntasks", "2", "--kill-on-bad-exit=1", CLEARED_TRAIN};
  {
    Process process("/usr/bin/srun", srun + run_args(f, "b", {"--until", "6"}));
    EXPECT_EQ(process.wait(), 0) << process.output();
    EXPECT_THAT(process.output(), HasSubstr("2 ranks over gloo"));
    // Rank 0 alone speaks.
    const size_t done = process.output().find("done: step 6");
    EXPECT_NE(done, std::string::npos) << process.output();
    EXPECT_EQ(process.output().find("done:", done + 1), std::string::npos) << process.output();
  }
  Process rest("/usr/bin/srun", srun + run_args(f, "b"));
  EXPECT_EQ(rest.wait(), 0) << rest.output();
  EXPECT_THAT(rest.output(), HasSubstr("from step-000006"));
  EXPECT_EQ(state_of(f.folder() / "a/step-000012").tensors(),
            state_of(f.folder() / "b/step-000012").tensors());
}

}  // namespace
}  // namespace cleared::train

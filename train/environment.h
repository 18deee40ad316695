// Who am I among the ranks: the conventions of three launchers.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace cleared::train {

struct WorldOptions {
  int rank = 0;
  int size = 1;
  int local_rank = 0;                 // on this machine: picks the GPU
  std::string address = "127.0.0.1";  // of rank 0's store
  int port = 29500;
  bool launched = false;            // some launcher has said who we are
  int attempt = 0;                  // how often the launcher has restarted this run
  bool store_runs = false;          // somebody else (torchrun's agent) serves the store
  std::optional<int> store_socket;  // else rank 0 serves it here: bound to `port`, by our launcher
  bool join = false;                // make process groups even where there is one rank
  std::optional<std::string> device;  // tests: what the rank says of its device, true or not
  std::chrono::seconds timeout{300};
  // As HeartbeatOptions; there are no heartbeats without on_lost. Silence 0: none either.
  std::chrono::milliseconds silence{1000};
  std::function<void(const std::string&)> on_lost;
};

// RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT as torchrun sets them, else SLURM_*
// (srun), else OMPI_* (mpirun), else a world of one; CLEARED_RANK_SILENCE_MS and
// CLEARED_STORE_SOCKET, too. Error{config}
// names the variable that makes no sense. A lone rank that is told an address and a port joins a
// world as any other.
WorldOptions world_from_environment();

// Who started this rank and will start it again: the same in every attempt of a launch, and in no
// other launch on this machine.
std::string launch_name();

// Why ranks that say this of their devices (FoundDevice::says, train/model/peak.h; by rank) cannot
// train together: a build for GPUs that finds none, GPUs and CPUs among them, two ranks on one GPU.
// Empty: they can.
std::string device_trouble(const std::vector<std::string>& says);

}  // namespace cleared::train

// Ranks and what they tell each other: c10d underneath, NCCL between GPUs and Gloo between CPUs. A
// world of one needs neither. One thread per process calls it, and every rank makes the same calls
// in the same order. A rank that dies or stays silent past the timeout is Error{busy} on the
// others.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "train/model/tensor.h"

namespace cleared::train {

struct WorldOptions {
  int rank = 0;
  int size = 1;
  int local_rank = 0;                 // on this machine: picks the GPU
  std::string address = "127.0.0.1";  // of rank 0's store
  int port = 29500;
  int attempt = 0;          // how often the launcher has restarted this run
  bool store_runs = false;  // somebody else (torchrun's agent) serves the store
  std::chrono::seconds timeout{300};
};

// RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT as torchrun sets them, else SLURM_*
// (srun), else OMPI_* (mpirun), else a world of one. Error{config} names the variable that makes no
// sense.
WorldOptions world_from_environment();

class World {
 public:
  // Waits until every rank is there.
  explicit World(const WorldOptions& options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int rank() const { return options_.rank; }
  int size() const { return options_.size; }
  bool first() const { return options_.rank == 0; }
  at::Device device() const { return device_; }  // where this rank computes
  std::string backend() const;                   // "none" "gloo" "nccl"

  // In place, on any device.
  void all_reduce(const Tensor& tensor);  // sum
  void broadcast(const Tensor& tensor, int root = 0);
  std::vector<Tensor> all_gather(const Tensor& tensor);  // by rank; same shape on every rank

  // Small things that are not tensors.
  std::vector<std::string> all_gather(std::string_view text);
  std::string broadcast(std::string_view text, int root = 0);

  // True when every rank says the same. Every rank gets the same answer.
  bool agree(std::string_view text);
  void barrier();

 private:
  friend class DataParallel;
  struct Group;
  WorldOptions options_;
  at::Device device_;
  std::unique_ptr<Group> group_;  // none in a world of one
};

// Gradients that are means over the ranks: c10d's Reducer, which sums buckets of gradients while
// backward() still computes others. Buckets are fixed at construction, in an order that is only a
// function of the names, so that a resumed run sums in the same order as an unbroken one.
class DataParallel {
 public:
  // Broadcasts rank 0's values first. Every parameter must take part in every loss.
  DataParallel(World& world, const TensorMap& parameters);
  ~DataParallel();

  // loss.backward(), then the parameters' grad() is the mean over the ranks.
  void backward(const Tensor& loss);

 private:
  struct State;
  std::unique_ptr<State> state_;  // none in a world of one
};

}  // namespace cleared::train

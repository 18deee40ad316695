// Ranks and what they tell each other: c10d underneath, NCCL between GPUs and Gloo between CPUs. A
// world of one needs neither. One thread per process calls it, and every rank makes the same calls
// in the same order. A rank that dies, or hangs past the timeout, is Error{busy} on the others; one
// that was stopped is noticed sooner by train/heartbeat.h.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/error.h"
#include "train/environment.h"
#include "train/model/tensor.h"

namespace cleared::train {

class Heartbeat;

// What every rank throws alike: one need print it.
class SharedError : public Error {
 public:
  using Error::Error;
};

class World {
 public:
  // Waits until every rank is there. SharedError{config} where their devices do not go together
  // (device_trouble), before anything is computed.
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

  // Two that go on while this rank does something else, and are over when what they return has been
  // called; on a GPU, what is computed from then on waits. Until then their tensors, contiguous,
  // are not to be touched.
  using Wait = std::function<void()>;
  // `flat` cut into as many equal parts as there are ranks: part i goes to rank i, and into `parts`
  // come those for this one, by rank.
  Wait all_to_all(const Tensor& parts, const Tensor& flat);
  // Every rank's part, one after the other, into `flat`.
  Wait all_gather_into(const Tensor& flat, const Tensor& part);

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
  std::unique_ptr<Heartbeat> heartbeat_;
};

struct GradientOptions {
  // A step is so many micro-batches, a power of two, whatever the number of ranks, a power of two
  // that is not larger; their gradients are summed along one tree (gradients.h), and so the bits of
  // the mean do not depend on the number of ranks. 0: each rank has one batch, and c10d's Reducer
  // sums them in buckets while backward() still computes others. That is quicker where the network
  // is slow, but the sum's last bits depend on the number of ranks.
  int64_t micro_batches = 0;
  // The exact sum goes between the ranks in pieces of so many values at most, while backward()
  // makes others; the bits do not depend on it.
  int64_t piece = int64_t{1} << 24;
};

// Gradients that are means over the step.
class DataParallel {
 public:
  // Broadcasts rank 0's values first. Every parameter must take part in every loss. Error{config}
  // when the ranks cannot share the micro-batches equally.
  DataParallel(World& world, const TensorMap& parameters, const GradientOptions& options = {});
  ~DataParallel();

  // A step is so many calls of backward() on each rank, in the order of the micro-batches, of which
  // rank r has those from r rounds() on; then finish().
  int64_t rounds() const { return rounds_; }
  // `loss` is the mean over a micro-batch.
  void backward(const Tensor& loss);
  // The parameters' grad() is the mean over the step's micro-batches.
  void finish();

  // The mean over the step's micro-batches of what each says, in double and in the order of the
  // tree: `said` has this rank's, one for each round, all of one shape.
  Tensor mean(const std::vector<Tensor>& said) const;

 private:
  struct State;

  World& world_;
  const int64_t micro_batches_;
  int64_t rounds_ = 1;
  std::unique_ptr<State> state_;  // none where there is nothing to sum
};

// How many of a step's micro-batches one of `ranks` ranks has. Error{config} when they cannot be
// shared equally along the tree.
int64_t micro_batches_of_a_rank(int64_t micro_batches, int ranks);

}  // namespace cleared::train

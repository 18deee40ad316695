// The only file that makes process groups: it alone includes c10d and, through it, gloo's headers.
#include "train/model/dist.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <utility>

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <c10/util/Logging.h>
#include <fcntl.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#ifdef CLEARED_CUDA
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "train/heartbeat.h"
#include "train/model/gradients.h"
#include "train/model/peak.h"

namespace cleared::train {
namespace {

using Milliseconds = std::chrono::milliseconds;
using BackendType = c10d::ProcessGroup::BackendType;

// The library's first line, without the place in its own source.
std::string what_of(std::string_view text) {
  text = text.substr(0, text.find('\n'));
  if (text.starts_with('[')) text.remove_prefix(std::min(text.find("] ") + 2, text.size()));
  if (text.ends_with('.')) text.remove_suffix(1);
  return std::string(text);
}

// A rank that is gone, or did not come in time, is a reason to try again; a world that cannot come
// about is not. Who is gone the heartbeat says, and then this is not reached.
[[noreturn]] void give_up(std::string_view what, std::string_view why, Heartbeat* heartbeat) {
  if (what == "join") {
    const bool late = why.find("imed out") != why.npos || why.find("imeout") != why.npos;
    throw Error(late ? Errc::busy : Errc::io, "ranks: join: ", what_of(why),
                late ? ": not all of them came: look at what the others say, and run again" : "");
  }
  if (heartbeat != nullptr) heartbeat->await_verdict();
  throw Error(Errc::busy, "ranks: ", what, ": ", what_of(why),
              "; a rank was lost: run again to go on from the last checkpoint");
}

// Runs `body` and turns what torch and gloo throw into our one kind of failure.
template <class Body>
auto talk(const char* what, const std::unique_ptr<Heartbeat>& heartbeat, const Body& body) {
  try {
    return body();
  } catch (const Error&) {
    throw;
  } catch (const c10::Error& error) {
    give_up(what, error.what_without_backtrace(), heartbeat.get());
  } catch (const std::exception& error) {  // gloo has a type of its own
    give_up(what, error.what(), heartbeat.get());
  }
}

World::Wait wait(c10::intrusive_ptr<c10d::Work> work, const char* what,
                 const std::unique_ptr<Heartbeat>& heartbeat) {
  return
      [work = std::move(work), what, &heartbeat] { talk(what, heartbeat, [&] { work->wait(); }); };
}

// The network interface that Gloo listens on: the one that is named, else loopback when rank 0 is
// reached through it, else that of this machine's host name.
auto gloo_device(const std::string& address) {
  if (const char* interface = std::getenv("GLOO_SOCKET_IFNAME")) {
    return c10d::ProcessGroupGloo::createDeviceForInterface(interface);
  }
  if (address == "localhost" || address.starts_with("127.")) {
    return c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1");
  }
  return c10d::ProcessGroupGloo::createDefaultDevice();
}

c10::intrusive_ptr<c10d::Store> connect_store(const WorldOptions& options) {
  // It prints what it throws, with a page of addresses.
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = c10::GLOG_FATAL;
  c10d::TCPStoreOptions store;
  store.port = static_cast<uint16_t>(options.port);
  store.isServer = options.rank == 0 && !options.store_runs;
  if (store.isServer && options.store_socket) {
    ::fcntl(*options.store_socket, F_SETFD, FD_CLOEXEC);  // not for the children of this rank
    store.masterListenFd = *options.store_socket;
  }
  store.numWorkers = static_cast<size_t>(options.size);
  store.waitWorkers = !options.store_runs;
  store.timeout = Milliseconds(options.timeout);
  // A restarted run must not read what the one before it left in the launcher's store.
  return c10::make_intrusive<c10d::PrefixStore>(
      "cleared/attempt_" + std::to_string(options.attempt),
      c10::make_intrusive<c10d::TCPStore>(options.address, store));
}

void require_devices(const std::vector<std::string>& says) {
  const std::string trouble = device_trouble(says);
  if (!trouble.empty()) throw SharedError(Errc::config, "device: ", trouble);
}

Tensor text_tensor(std::string_view text, int64_t size) {
  Tensor bytes = at::full({size}, 0, at::kByte);
  std::copy(text.begin(), text.end(), static_cast<char*>(bytes.mutable_data_ptr()));
  return bytes;
}

std::string tensor_text(const Tensor& bytes, int64_t size) {
  return {static_cast<const char*>(bytes.const_data_ptr()), static_cast<size_t>(size)};
}

}  // namespace

struct World::Group {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroup> ranks;
};

World::World(const WorldOptions& options) : options_(options), device_(at::kCPU) {
  if (options.size < 1 || options.rank < 0 || options.rank >= options.size) {
    throw Error(Errc::config, "ranks: rank ", options.rank, " of ", options.size);
  }
  const FoundDevice found = find_device(options.local_rank);
  const std::string says = options.device.value_or(found.says);
  device_ = found.device;
  if (options.size == 1 && !options.join) {
    require_devices({says});
    return;
  }
  talk("join", heartbeat_, [&] {
    group_ = std::make_unique<Group>();
    group_->store = connect_store(options);
    group_->ranks =
        c10::make_intrusive<c10d::ProcessGroup>(group_->store, options.rank, options.size);

    auto gloo = c10d::ProcessGroupGloo::Options::create(Milliseconds(options.timeout));
    gloo->devices.push_back(gloo_device(options.address));
    group_->ranks->setBackend(at::kCPU, BackendType::GLOO,
                              c10::make_intrusive<c10d::ProcessGroupGloo>(
                                  c10::make_intrusive<c10d::PrefixStore>("gloo", group_->store),
                                  options.rank, options.size, gloo));
    group_->ranks->setDefaultBackend(BackendType::GLOO);
    group_->ranks->setGroupName("cleared");
  });
  require_devices(all_gather(says));
#ifdef CLEARED_CUDA
  if (device_.is_cuda()) {
    talk("join", heartbeat_, [&] {
      auto nccl = c10d::ProcessGroupNCCL::Options::create();
      nccl->timeout = Milliseconds(options.timeout);
      group_->ranks->setBackend(at::kCUDA, BackendType::NCCL,
                                c10::make_intrusive<c10d::ProcessGroupNCCL>(
                                    c10::make_intrusive<c10d::PrefixStore>("nccl", group_->store),
                                    options.rank, options.size, nccl));
      group_->ranks->setDefaultBackend(BackendType::NCCL);
    });
  }
#endif
  barrier();
  if (!options.on_lost || options.size == 1) return;
  heartbeat_ = std::make_unique<Heartbeat>(HeartbeatOptions{.rank = options.rank,
                                                            .size = options.size,
                                                            .address = options.address,
                                                            .silence = options.silence,
                                                            .patience = options.timeout,
                                                            .on_lost = options.on_lost},
                                           [this](const auto& text) { return broadcast(text); });
}

World::~World() {
#ifdef CLEARED_CUDA
  if (!group_ || !device_.is_cuda()) return;
  try {
    group_->ranks->getBackend(at::kCUDA)->shutdown();
  } catch (const std::exception&) {
    // A rank was lost, which has been said.
  }
#endif
}

std::string World::backend() const {
  if (!group_) return "none";
  return device_.is_cuda() ? "nccl" : "gloo";
}

void World::all_reduce(const Tensor& tensor) {
  if (!group_) return;
  talk("all_reduce", heartbeat_, [&] {
    std::vector<Tensor> tensors = {tensor.detach()};
    group_->ranks->allreduce(tensors)->wait();
  });
}

void World::broadcast(const Tensor& tensor, int root) {
  if (!group_) return;
  talk("broadcast", heartbeat_, [&] {
    std::vector<Tensor> tensors = {tensor.detach()};
    c10d::BroadcastOptions how;
    how.rootRank = root;
    group_->ranks->broadcast(tensors, how)->wait();
  });
}

std::vector<Tensor> World::all_gather(const Tensor& tensor) {
  if (!group_) return {tensor.detach().clone()};
  return talk("all_gather", heartbeat_, [&] {
    std::vector<Tensor> input = {tensor.detach().contiguous()};
    std::vector<std::vector<Tensor>> output(1);
    for (int i = 0; i < size(); ++i) output[0].push_back(at::empty_like(input[0]));
    group_->ranks->allgather(output, input)->wait();
    return output[0];
  });
}

World::Wait World::all_to_all(const Tensor& parts, const Tensor& flat) {
  CLEARED_CHECK(flat.is_contiguous() && parts.is_contiguous() && parts.numel() == flat.numel() &&
                flat.numel() % size() == 0);
  if (!group_) {
    parts.copy_(flat);
    return [] {};
  }
  return talk("all_to_all", heartbeat_, [&] {
    Tensor output = parts, input = flat;
    std::vector<int64_t> equal;  // none: parts of equal size
    return wait(group_->ranks->all_to_all_single(output, input, equal, equal), "all_to_all",
                heartbeat_);
  });
}

World::Wait World::all_gather_into(const Tensor& flat, const Tensor& part) {
  CLEARED_CHECK(flat.is_contiguous() && part.is_contiguous() &&
                flat.numel() == part.numel() * size());
  if (!group_) {
    flat.copy_(part);
    return [] {};
  }
  return talk("all_gather", heartbeat_, [&] {
    Tensor output = flat, input = part;
    return wait(group_->ranks->all_gather_single(output, input), "all_gather", heartbeat_);
  });
}

std::vector<std::string> World::all_gather(std::string_view text) {
  if (!group_) return {std::string(text)};
  const auto sizes = all_gather(at::full({1}, static_cast<int64_t>(text.size()), at::kLong));
  int64_t longest = 0;
  for (const Tensor& size : sizes) longest = std::max(longest, size.item<int64_t>());
  const auto bytes = all_gather(text_tensor(text, longest));
  std::vector<std::string> texts;
  for (size_t i = 0; i < bytes.size(); ++i) {
    texts.push_back(tensor_text(bytes[i], sizes[i].item<int64_t>()));
  }
  return texts;
}

std::string World::broadcast(std::string_view text, int root) {
  if (!group_) return std::string(text);
  const Tensor size = at::full({1}, static_cast<int64_t>(text.size()), at::kLong);
  broadcast(size, root);
  const int64_t bytes = size.item<int64_t>();
  const Tensor buffer = rank() == root ? text_tensor(text, bytes) : at::empty({bytes}, at::kByte);
  broadcast(buffer, root);
  return tensor_text(buffer, bytes);
}

bool World::agree(std::string_view text) {
  const auto texts = all_gather(text);
  return std::all_of(texts.begin(), texts.end(), [&](const auto& t) { return t == texts[0]; });
}

// A sum of nothing much on the CPU: no rank returns before every rank has come.
void World::barrier() {
  all_reduce(at::full({1}, 0, at::kFloat));
}

int64_t micro_batches_of_a_rank(int64_t micro_batches, int ranks) {
  if (micro_batches < 1 || std::popcount(static_cast<uint64_t>(micro_batches)) != 1) {
    throw Error(Errc::config, "micro_batches: ", micro_batches, " is no power of two");
  }
  if (micro_batches % ranks != 0) {
    throw Error(Errc::config, "micro_batches: ", micro_batches, " cannot be shared equally by ",
                ranks, " ranks: use a power of two of ranks, at most ", micro_batches);
  }
  return micro_batches / ranks;
}

namespace {

// The upper levels of the tree: each rank adds up one part of a piece over all ranks, as a
// reduce_scatter would but in the order of the tree, and tells the others. A piece is sent once it
// and all before it are summed here, so all ranks send them in one order; it is added up when the
// next but one has been sent, and what came of it has arrived when as many more have.
class Exchange {
 public:
  Exchange(World& world, const Tensor& flat, int64_t most) : world_(world) {
    constexpr int64_t kLeast = 8;  // pieces, so that there is something to hide behind
    const int64_t size = std::min(most, std::max<int64_t>(flat.numel() / kLeast, 1));
    piece_ = (size + world.size() - 1) / world.size() * world.size();
    for (const Tensor& piece : flat.split(piece_)) pieces_.emplace_back().sum = piece;
    begin_step();
  }
  void summed(int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end;) {
      Piece& piece = pieces_[static_cast<size_t>(at / piece_)];
      const int64_t next = std::min(end, (at / piece_ + 1) * piece_);
      piece.missing -= next - at;
      at = next;
    }
    while (sent_ < pieces_.size() && pieces_[sent_].missing == 0) send_next();
  }
  void finish() {
    while (sent_ < pieces_.size()) send_next();  // the last has values of no parameter
    for (size_t i = 0; i < 2 * kBehind; ++i) settle(sent_ + i);
    begin_step();
  }

 private:
  struct Piece {
    Tensor sum, parts;  // of this rank, and then of all; what they sent of it to this rank
    World::Wait wait;
    int64_t missing = 0;  // values that backward() has not made
  };
  static constexpr size_t kBehind = 2;

  void begin_step() {
    sent_ = 0;
    for (Piece& piece : pieces_) piece.missing = piece.sum.numel();
  }
  void send_next() {
    Piece& piece = pieces_[sent_];
    piece.parts = at::empty_like(piece.sum);
    piece.wait = world_.all_to_all(piece.parts, piece.sum);
    settle(sent_++);
  }
  // What is to be done with earlier pieces once piece `i` is sent, or would be.
  void settle(size_t i) {
    if (i >= kBehind && i - kBehind < pieces_.size()) {
      Piece& piece = pieces_[i - kBehind];
      piece.wait();
      piece.wait = world_.all_gather_into(piece.sum, sum_of_parts(piece.parts, world_.size()));
    }
    if (i >= 2 * kBehind && i - 2 * kBehind < pieces_.size()) {
      Piece& piece = pieces_[i - 2 * kBehind];
      piece.wait();
      piece.parts.reset();
    }
  }

  World& world_;
  int64_t piece_ = 0;
  std::vector<Piece> pieces_;
  size_t sent_ = 0;
};

}  // namespace

struct DataParallel::State {
  std::unique_ptr<GradientTree> tree;
  std::unique_ptr<Exchange> exchange;  // none in a world of one
  bool ordered = false;
  std::unique_ptr<c10d::Reducer> reducer;
};

DataParallel::DataParallel(World& world, const TensorMap& parameters,
                           const GradientOptions& options)
    : world_(world), micro_batches_(options.micro_batches) {
  std::vector<Tensor> tensors;
  std::unordered_map<size_t, std::string> names;
  for (auto it = parameters.rbegin(); it != parameters.rend(); ++it) {
    world.broadcast(it->second);
    names.emplace(tensors.size(), it->first);
    tensors.push_back(it->second);
  }
  if (micro_batches_ > 0) {
    rounds_ = micro_batches_of_a_rank(micro_batches_, world.size());
    state_ = std::make_unique<State>();
    state_->tree = std::make_unique<GradientTree>(parameters, rounds_, world.size());
    if (world.size() == 1) return;
    state_->exchange = std::make_unique<Exchange>(world, state_->tree->sum(), options.piece);
    state_->tree->on_summed = [exchange = state_->exchange.get()](int64_t begin, int64_t end) {
      exchange->summed(begin, end);
    };
    return;
  }
  if (world.size() == 1) return;
  state_ = std::make_unique<State>();
  talk("prepare gradients", world_.heartbeat_, [&] {
    constexpr int64_t kBucketBytes = 4 << 20;
    const auto [buckets, limits] = c10d::compute_bucket_assignment_by_size(tensors, {kBucketBytes});
    state_->reducer = std::make_unique<c10d::Reducer>(
        tensors, buckets, world.group_->ranks, std::vector<bool>(tensors.size(), false),
        kBucketBytes, /*find_unused_parameters=*/false, /*gradient_as_bucket_view=*/false, names,
        /*first_bucket_bytes_cap=*/kBucketBytes, /*skip_all_reduce_unused_params=*/false,
        /*use_python_reducer=*/false, std::vector<int64_t>{});
    // Reducer would arrange its buckets anew after the first step, by arrival: a resumed run would
    // then sum in another order. Telling it the order now makes it final.
    state_->reducer->push_rebuilt_params_for_all_indices();
    state_->reducer->rebuild_buckets();
  });
}

DataParallel::~DataParallel() = default;

void DataParallel::backward(const Tensor& loss) {
  if (!state_) return loss.backward();
  if (state_->reducer) {
    return talk("backward", world_.heartbeat_, [&] {
      state_->reducer->prepare_for_backward({loss});
      loss.backward();
    });
  }
  state_->tree->begin_leaf();
  // The mean's division by a power of two is exact, wherever it is done.
  loss.backward(at::full({}, 1.0 / static_cast<double>(micro_batches_), loss.options()));
  state_->tree->end_leaf();
}

void DataParallel::finish() {
  if (!state_ || !state_->tree) return;
  GradientTree& tree = *state_->tree;
  if (state_->exchange) state_->exchange->finish();
  tree.hand_out();
  if (!state_->exchange || std::exchange(state_->ordered, true)) return;
  // The first step has shown in which order gradients are made.
  std::vector<int64_t> order = tree.order_made();
  world_.broadcast(at::from_blob(order.data(), {static_cast<int64_t>(order.size())}, at::kLong));
  tree.lie_in(order);
}

Tensor DataParallel::mean(const std::vector<Tensor>& said) const {
  const Tensor own = at::stack(said).detach().to(at::kCPU, at::kDouble).contiguous();
  const Tensor all = at::cat(world_.all_gather(own)).flatten();
  const int64_t count = static_cast<int64_t>(said.size()) * world_.size();
  return sum_of_parts(all, count).div(static_cast<double>(count)).view(said.front().sizes());
}

}  // namespace cleared::train

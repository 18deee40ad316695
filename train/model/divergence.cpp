#include "train/model/divergence.h"

#include <algorithm>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "train/model/dist.h"

namespace cleared::train {
namespace {

// The ranks whose number is another than that of most; of two that are as many, rank 0's counts.
std::vector<size_t> minority(const std::vector<int64_t>& numbers) {
  const auto votes = [&](int64_t number) {
    return std::count(numbers.begin(), numbers.end(), number);
  };
  int64_t most = numbers.front();
  for (const int64_t number : numbers) {
    if (votes(number) > votes(most)) most = number;
  }
  std::vector<size_t> others;
  for (size_t rank = 0; rank < numbers.size(); ++rank) {
    if (numbers[rank] != most) others.push_back(rank);
  }
  return others;
}

}  // namespace

Tensor fingerprint(const Tensor& tensor) {
  const Tensor flat = tensor.detach().contiguous().view({-1});
  const Tensor words = flat.view(flat.nbytes() % 4 == 0 ? at::kInt : at::kByte);
  // What fits a processor's cache, or keeps a GPU busy.
  const int64_t at_once = words.device().is_cpu() ? 1 << 16 : 1 << 24;
  const at::TensorOptions integers = words.options().dtype(at::kLong);
  const Tensor odd = at::arange(std::min(at_once, words.numel()), integers) * 2 + 1;
  Tensor sum = at::zeros({1}, integers);
  for (int64_t at = 0; at < words.numel(); at += at_once) {
    const int64_t some = std::min(at_once, words.numel() - at);
    const Tensor part = words.narrow(0, at, some).to(at::kLong);
    sum += (part * odd.narrow(0, 0, some)).sum() * (2 * (at / at_once) + 1);
  }
  return sum;
}

std::optional<std::string> divergence(World& world, const TensorMap& tensors) {
  if (world.size() == 1 || tensors.empty()) return {};
  std::vector<Tensor> sums;
  for (const auto& [name, tensor] : tensors) {
    sums.push_back(fingerprint(tensor).to(world.device()));
  }
  std::vector<Tensor> of_rank;
  for (const Tensor& all : world.all_gather(at::cat(sums))) of_rank.push_back(all.cpu());
  int64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    std::vector<int64_t> numbers;
    for (const Tensor& all : of_rank) numbers.push_back(all[at].item<int64_t>());
    ++at;
    const std::vector<size_t> others = minority(numbers);
    if (others.empty()) continue;
    std::string ranks = others.size() == 1 ? "rank " : "ranks ";
    for (const size_t rank : others) {
      ranks += (rank == others.front() ? "" : ", ") + std::to_string(rank);
    }
    return "tensor " + name + " of " + ranks + " is not what the others have";
  }
  return {};
}

}  // namespace cleared::train

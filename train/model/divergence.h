// Do all ranks hold the same values? They should, for all of them apply the same update; bad
// memory, or a processor that computes otherwise, makes them part, and training would go on.
// Every rank calls it at the same place.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "train/model/tensor.h"

namespace cleared::train {

class World;

// A run's ranks compare weights, moments and averages every so many steps, and before each
// checkpoint: under 1 % of the steps between, which train_gate_bench asserts.
inline constexpr uint64_t kCompareRanksEvery = 100;

// A sum over the bits of a tensor, 32 of them at a time, each with an odd factor that depends on
// its place: another where any one of them is another. On the tensor's device, of one int64. Not
// for proof: who wants to can find two tensors with one sum.
Tensor fingerprint(const Tensor& tensor);

// None: all equal, bit for bit. Else a sentence, the same on every rank, that names the first
// tensor that differs and the ranks that have it otherwise than most (than rank 0 where as many
// do). `tensors` have the same names and shapes on every rank. Costs a pass over them and a
// message of 8 bytes each.
std::optional<std::string> divergence(World& world, const TensorMap& tensors);

}  // namespace cleared::train

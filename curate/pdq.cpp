#include "curate/pdq.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/search_block.h"
#include "ledger/base/check.h"

namespace cleared::curate {
namespace {

constexpr size_t kSide = kernels::kPdqSide, kWaves = kernels::kPdqWaves;
constexpr int kMinPixels = 5;

}  // namespace

Fingerprint PdqHasher::fingerprint(std::span<const uint8_t> luma, int width, int height) {
  CLEARED_CHECK(luma.size() == static_cast<size_t>(width) * static_cast<size_t>(height));
  return fingerprint({luma.data(), width, width, height, 1});
}

Fingerprint PdqHasher::fingerprint(const kernels::PdqPicture& picture) {
  if (picture.width < kMinPixels || picture.height < kMinPixels) return {};
  const Filtered small = filter(picture);
  return {.bits = kernels::pdq_bits(small.waves.data()), .quality = small.quality};
}

Fingerprint PdqHasher::fingerprint_filtered(const float* small) {
  const Filtered filtered = transform(small);
  return {.bits = kernels::pdq_bits(filtered.waves.data()), .quality = filtered.quality};
}

std::array<Fingerprint, kTurns> PdqHasher::turns(const kernels::PdqPicture& picture) {
  std::array<Fingerprint, kTurns> out{};
  if (picture.width < kMinPixels || picture.height < kMinPixels) return out;
  const Filtered small = filter(picture);
  for (size_t t = 0; t < kTurns; ++t) {
    std::array<float, kWaves * kWaves> waves;
    kernels::pdq_turn(small.waves.data(), t, waves.data());
    out[t] = {.bits = kernels::pdq_bits(waves.data()), .quality = small.quality};
  }
  return out;
}

PdqHasher::Filtered PdqHasher::filter(const kernels::PdqPicture& picture) {
  CLEARED_CHECK(picture.channels == 1 || picture.channels == 3);
  std::array<float, kSide * kSide> small;
  kernels::pdq_filter(picture, scratch_, small.data());
  return transform(small.data());
}

PdqHasher::Filtered PdqHasher::transform(const float* small) {
  Filtered out;
  kernels::pdq_waves(small, out.waves.data());
  out.quality = std::min(kernels::pdq_gradient(small) / 90, 100);
  return out;
}

Pdq transposed(const Pdq& bits) {
  std::array<unsigned, kWaves> rows{};
  for (size_t y = 0; y < kWaves; ++y) rows[y] = bits[31 - 2 * y] | unsigned{bits[30 - 2 * y]} << 8;
  // Squares beside the diagonal change places: of 8 by 8, then of 4 by 4 in each, and so on.
  for (unsigned side = kWaves / 2, mask = 0x00ff; side > 0; side /= 2, mask ^= mask << side) {
    for (unsigned y = 0; y < kWaves; y = (y + side + 1) & ~side) {
      const unsigned other = (rows[y] >> side ^ rows[y + side]) & mask;
      rows[y] ^= other << side;
      rows[y + side] ^= other;
    }
  }
  Pdq out;
  for (size_t y = 0; y < kWaves; ++y) {
    out[31 - 2 * y] = static_cast<uint8_t>(rows[y]);
    out[30 - 2 * y] = static_cast<uint8_t>(rows[y] >> 8);
  }
  return out;
}

Pdq turned(const Pdq& bits, Turn turn) {
  const auto which = static_cast<unsigned>(turn);
  Pdq out = (which & 4) != 0 ? transposed(bits) : bits;
  for (size_t i = 0; i < out.size(); ++i) {
    if ((which & 1) != 0) out[i] ^= 0x55;                           // even waves across
    if ((which & 2) != 0 && (31 - i) / 2 % 2 == 0) out[i] ^= 0xff;  // even waves down
  }
  return out;
}

int distance(const Pdq& a, const Pdq& b) {
  return kernels::bits_between(a.data(), b.data());
}

Pdq pdq_at(std::string_view packed, size_t index) {
  Pdq out{};
  CLEARED_CHECK(packed.size() / out.size() > index);
  std::memcpy(out.data(), packed.data() + index * out.size(), out.size());
  return out;
}

}  // namespace cleared::curate

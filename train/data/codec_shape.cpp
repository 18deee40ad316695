#include "train/data/codec_shape.h"

#include <algorithm>
#include <array>

#include "train/config.pb.h"

namespace cleared::train {
namespace {

constexpr uint64_t kByteVocabulary = 257;  // train/model/text.h: bytes and padding

// Calls `conv(in, out, kernel places, level)` for every convolution of both halves, and
// `norm(width)` for every norm. Level 0 is the pixels; each further one has half the height and
// width. Mirrors train/model/vae.cpp; a test compares the two.
template <class Conv, class Norm>
void walk(const RunConfig::Vae& vae, const Conv& conv, const Norm& norm) {
  const uint64_t d = vae.dim(), z = vae.channels();
  const uint64_t pixels = uint64_t{3} * vae.patch() * vae.patch();
  const std::array<uint64_t, 4> widths = {d, 2 * d, 4 * d, 4 * d};
  const auto residual = [&](uint64_t in, uint64_t out, size_t level) {
    norm(in), norm(out);
    conv(in, out, 27, level);
    conv(out, out, 27, level);
    if (in != out) conv(in, out, 1, level);
  };
  conv(pixels, d, 27, 0);  // both ends of both halves
  norm(widths[3]);
  conv(widths[3], 2 * z, 27, 3);
  conv(z, widths[3], 27, 3);
  norm(d);
  conv(d, pixels, 27, 0);
  for (int i = 0; i < 4; ++i) residual(widths[3], widths[3], 3);  // both middles
  for (size_t i = 0; i < 4; ++i) {
    const uint64_t before = i == 0 ? d : widths[i - 1], above = widths[std::min<size_t>(i + 1, 3)];
    for (const uint64_t from : {before, above}) {
      residual(from, widths[i], i);
      for (uint64_t block = 1; block < vae.blocks(); ++block) residual(widths[i], widths[i], i);
    }
    if (i == 3) continue;
    const uint64_t kernel = i == 0 ? 9 : 27;  // the first step down and the last up: only in space
    conv(widths[i], widths[i], kernel, i + 1);
    conv(above, above, kernel, i);
  }
}

}  // namespace

LatentShape latent_shape(const RunConfig& config) {
  const RunConfig::Clip& clip = config.clip();
  if (!config.codec().has_vae()) {
    return {.channels = 16,
            .frames = clip.frames() / 4,
            .height = clip.height() / 8,
            .width = clip.width() / 8};
  }
  const RunConfig::Vae& vae = config.codec().vae();
  const uint64_t side = uint64_t{8} * vae.patch();
  return {.channels = vae.channels(),
          .frames = (clip.frames() - 1) / 4 + 1,
          .height = clip.height() / side,
          .width = clip.width() / side};
}

uint64_t vae_parameters(const RunConfig::Vae& vae) {
  uint64_t count = 0;
  walk(
      vae,
      [&](uint64_t in, uint64_t out, uint64_t kernel, size_t) { count += (in * kernel + 1) * out; },
      [&](uint64_t width) { count += width; });
  return count;
}

double vae_flop(const RunConfig& config) {
  const RunConfig::Clip& clip = config.clip();
  const double side = config.codec().vae().patch();
  const double frames[] = {1.0 * clip.frames(), 1.0 * clip.frames(), (clip.frames() + 1) / 2.0,
                           (clip.frames() + 3) / 4.0};
  double flop = 0;
  walk(
      config.codec().vae(),
      [&](uint64_t in, uint64_t out, uint64_t kernel, size_t level) {
        const double places = frames[level] * (clip.height() / side) * (clip.width() / side) /
                              static_cast<double>(uint64_t{1} << (2 * level));
        flop += 2 * places * static_cast<double>(in * out * kernel);
      },
      [](uint64_t) {});
  return flop;
}

uint64_t codec_parameters(const RunConfig& config) {
  if (config.codec().has_vae()) return vae_parameters(config.codec().vae());
  const uint64_t values = 3 * 4 * 8 * 8;
  return values + 16 * values + 16;
}

uint64_t pair_count(const RunConfig& config) {
  return vocabulary_of(config) - kByteVocabulary;
}

uint64_t vocabulary_of(const RunConfig& config) {
  return config.text().vocabulary() != 0 ? config.text().vocabulary() : kByteVocabulary;
}

}  // namespace cleared::train

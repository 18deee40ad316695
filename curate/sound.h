// Chromaprint fingerprint of a sound track, the same as `fpcalc` of Chromaprint makes.
// https://acoustid.org/chromaprint. One object per thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "curate/av.h"

struct ChromaprintContextPrivate;

namespace cleared::curate {

void free_chromaprint(ChromaprintContextPrivate* context);

class SoundPrinter {
 public:
  SoundPrinter();
  // Frames in order, of one format; one of another format ends the fingerprint there. What comes
  // after the first 15 minutes is left out: a record of the ledger has to hold the result.
  void add(const AVFrame& frame);
  // Compressed and in base64, as AcoustID writes it; empty when there was too little sound.
  std::string finish();

 private:
  void feed(const AVFrame* frame);
  Handle<ChromaprintContextPrivate, free_chromaprint> context_;
  Resampler resampler_;
  int format_ = -1, rate_ = 0, channels_ = 0;
  uint64_t samples_ = 0;
  bool over_ = false;
};

// Items of 32 bits, about 8 a second. Empty when `text` is no fingerprint.
std::vector<uint32_t> parse_chromaprint(std::string_view text);

// Microseconds of sound that one item stands for.
inline constexpr double kChromaprintItemUs = 1e6 * (4096 / 3) / 11025;  // its hop

// Share of equal bits, [0, 1], of the two spans of `length_us` starting at `a_us` and `b_us`:
// unrelated sound is near 0.5. -1 when either has no sound there, or one of them is silence.
double sound_match(const std::vector<uint32_t>& a, uint64_t a_us, const std::vector<uint32_t>& b,
                   uint64_t b_us, uint64_t length_us);

}  // namespace cleared::curate

// How loud a sound track is, and where it is silent. Integrated loudness as in ITU-R BS.1770-4 and
// EBU R 128: K-weighted, mean over blocks of 400 ms with the two gates. Silence: no sample of any
// channel above -60 dB for half a second. One object per thread and source.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "curate/av.h"

namespace cleared::curate {

inline constexpr float kSilent = 0.001f;  // -60 dB of full scale
inline constexpr uint64_t kLeastSilenceUs = 500'000;
inline constexpr size_t kMostSilences = 10'000;

struct SilentSpan {
  uint64_t start_us = 0, end_us = 0;  // from the first sample of the sound
};

class Loudness {
 public:
  // Frames in order, of one format; what follows one of another format is not heard.
  void add(const AVFrame& frame);
  // Once, at the end.
  void finish();

  uint64_t duration_us() const;
  // LUFS. Nothing when no block is above the absolute gate of -70.
  std::optional<float> integrated() const;
  const std::vector<SilentSpan>& silences() const { return silences_; }

 private:
  struct Biquad {
    double b0 = 1, b1 = 0, b2 = 0, a1 = 0, a2 = 0;
  };
  struct Channel {
    double weight = 1;
    std::array<double, 4> state{};  // two of each filter
  };
  void start(const AVFrame& frame);
  void convert(const AVFrame* frame);
  void hear(int samples);
  void hear_silence(int samples);
  void end_silence(uint64_t end);

  Resampler converter_;
  int format_ = -1, rate_ = 0;
  bool over_ = false;
  Biquad shelf_, pass_;
  std::vector<Channel> channels_;
  std::vector<std::vector<float>> planes_;
  uint64_t samples_ = 0;
  int in_tenth_ = 0;            // samples of the tenth of a second that is being summed
  double tenth_ = 0;            // sum of its weighted squares
  std::vector<double> tenths_;  // mean of each
  uint64_t silent_from_ = 0;    // sample; while `silent_`
  bool silent_ = true;
  std::vector<SilentSpan> silences_;
};

}  // namespace cleared::curate

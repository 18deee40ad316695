#include "curate/loudness.h"

#include <algorithm>
#include <cmath>

namespace cleared::curate {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr int kMostChannels = 32;
constexpr double kOffset = -0.691;  // BS.1770-4, so that a sine of 997 Hz reads what it should
constexpr double kAbsoluteGate = -70, kRelativeGate = -10;

double energy_of(double lufs) {
  return std::pow(10, (lufs - kOffset) / 10);
}

// Surrounds count more, the low-frequency channel not at all.
double weight_of(AVChannel channel) {
  switch (channel) {
    case AV_CHAN_LOW_FREQUENCY:
    case AV_CHAN_LOW_FREQUENCY_2:
      return 0;
    case AV_CHAN_BACK_LEFT:
    case AV_CHAN_BACK_RIGHT:
    case AV_CHAN_BACK_CENTER:
    case AV_CHAN_SIDE_LEFT:
    case AV_CHAN_SIDE_RIGHT:
      return 1.41;
    default:
      return 1;
  }
}

}  // namespace

void Loudness::start(const AVFrame& frame) {
  format_ = frame.format;
  rate_ = frame.sample_rate;
  const int count = frame.ch_layout.nb_channels;
  if (rate_ < 1000 || count < 1 || count > kMostChannels) {
    over_ = true;
    return;
  }
  AVChannelLayout layout = {};
  av_check(av_channel_layout_copy(&layout, &frame.ch_layout), "convert the sound");
  if (layout.order == AV_CHANNEL_ORDER_UNSPEC) av_channel_layout_default(&layout, count);
  SwrContext* converter = nullptr;
  const int made = swr_alloc_set_opts2(&converter, &layout, AV_SAMPLE_FMT_FLTP, rate_, &layout,
                                       static_cast<AVSampleFormat>(format_), rate_, 0, nullptr);
  for (int i = 0; i < count; ++i) {
    channels_.push_back({.weight = weight_of(av_channel_layout_channel_from_index(
                             &layout, static_cast<unsigned>(i))),
                         .state = {}});
  }
  av_channel_layout_uninit(&layout);
  av_check(made, "convert the sound");
  converter_.reset(converter);
  av_check(swr_init(converter), "convert the sound");
  planes_.resize(static_cast<size_t>(count));

  // The filters of BS.1770-4 are given for 48 kHz; these are the analogue ones behind them, as
  // their coefficients there tell, for any rate.
  {
    const double k = std::tan(kPi * 1681.974450955533 / rate_), q = 0.7071752369554196;
    const double vh = std::pow(10, 3.999843853973347 / 20), vb = std::pow(vh, 0.4996667741545416);
    const double a0 = 1 + k / q + k * k;
    shelf_ = {(vh + vb * k / q + k * k) / a0, 2 * (k * k - vh) / a0, (vh - vb * k / q + k * k) / a0,
              2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0};
  }
  {
    const double k = std::tan(kPi * 38.13547087602444 / rate_), q = 0.5003270373238773;
    const double a0 = 1 + k / q + k * k;
    pass_ = {1, -2, 1, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0};
  }
}

void Loudness::add(const AVFrame& frame) {
  if (over_) return;
  if (!converter_) start(frame);
  over_ = over_ || frame.format != format_ || frame.sample_rate != rate_ ||
          static_cast<size_t>(frame.ch_layout.nb_channels) != channels_.size();
  if (!over_) convert(&frame);
}

void Loudness::convert(const AVFrame* frame) {
  std::vector<uint8_t*> out;
  const auto count = static_cast<size_t>(frame->nb_samples);
  for (std::vector<float>& plane : planes_) {
    if (plane.size() < count) plane.resize(count);
    out.push_back(reinterpret_cast<uint8_t*>(plane.data()));
  }
  const int n = swr_convert(converter_.get(), out.data(), frame->nb_samples,
                            const_cast<const uint8_t**>(frame->extended_data), frame->nb_samples);
  if (n <= 0) return;
  hear_silence(n);
  hear(n);
  samples_ += static_cast<uint64_t>(n);
}

void Loudness::hear(int samples) {
  const int tenth = rate_ / 10;
  for (int first = 0; first < samples;) {
    const int n = std::min(samples - first, tenth - in_tenth_);
    for (size_t c = 0; c < channels_.size(); ++c) {
      Channel& channel = channels_[c];
      if (channel.weight == 0) continue;
      auto [s0, s1, p0, p1] = channel.state;
      double sum = 0;
      for (int i = first; i < first + n; ++i) {
        const double in = planes_[c][static_cast<size_t>(i)];
        const double x = std::isfinite(in) ? in : 0;
        const double y = shelf_.b0 * x + s0;  // transposed direct form II
        s0 = shelf_.b1 * x - shelf_.a1 * y + s1;
        s1 = shelf_.b2 * x - shelf_.a2 * y;
        const double z = y + p0;
        p0 = -2 * y - pass_.a1 * z + p1;
        p1 = y - pass_.a2 * z;
        sum += z * z;
      }
      channel.state = {s0, s1, p0, p1};
      for (double& value : channel.state) {  // what fades out of sound into silence ends at zero:
        if (std::abs(value) < 1e-30) value = 0;  // the smallest numbers are slow to reckon with
      }
      tenth_ += channel.weight * sum;
    }
    first += n;
    in_tenth_ += n;
    if (in_tenth_ < tenth) continue;
    tenths_.push_back(tenth_ / tenth);
    tenth_ = 0;
    in_tenth_ = 0;
  }
}

void Loudness::hear_silence(int samples) {
  for (int i = 0; i < samples; ++i) {
    bool quiet = true;
    for (const std::vector<float>& plane : planes_) {
      quiet = quiet && std::abs(plane[static_cast<size_t>(i)]) < kSilent;
    }
    if (quiet == silent_) continue;
    const uint64_t at = samples_ + static_cast<uint64_t>(i);
    if (silent_) end_silence(at);
    silent_from_ = at;
    silent_ = quiet;
  }
}

void Loudness::end_silence(uint64_t end) {
  const auto us = [&](uint64_t sample) {
    return sample * 1'000'000 / static_cast<uint64_t>(rate_);
  };
  const SilentSpan span{us(silent_from_), us(end)};
  if (span.end_us - span.start_us < kLeastSilenceUs || silences_.size() >= kMostSilences) return;
  silences_.push_back(span);
}

void Loudness::finish() {
  if (rate_ > 0 && silent_) end_silence(samples_);
}

uint64_t Loudness::duration_us() const {
  return rate_ == 0 ? 0 : samples_ * 1'000'000 / static_cast<uint64_t>(rate_);
}

std::optional<float> Loudness::integrated() const {
  std::vector<double> blocks;  // of 400 ms, every 100 ms
  for (size_t i = 0; i + 4 <= tenths_.size(); ++i) {
    blocks.push_back((tenths_[i] + tenths_[i + 1] + tenths_[i + 2] + tenths_[i + 3]) / 4);
  }
  const auto mean_above = [&](double gate) {
    double sum = 0;
    int count = 0;
    for (const double block : blocks) {
      if (block <= gate) continue;
      sum += block;
      ++count;
    }
    return count == 0 ? 0 : sum / count;
  };
  const double absolute = energy_of(kAbsoluteGate);
  const double ungated = mean_above(absolute);
  if (ungated == 0) return std::nullopt;
  const double gate = std::max(absolute, ungated * std::pow(10, kRelativeGate / 10));
  const double gated = mean_above(gate);
  if (gated <= 0) return std::nullopt;
  return static_cast<float>(kOffset + 10 * std::log10(gated));
}

}  // namespace cleared::curate

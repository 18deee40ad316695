#include "curate/sound.h"

#include <algorithm>
#include <bit>
#include <set>

#include <chromaprint.h>

#include "ledger/base/error.h"

namespace cleared::curate {
namespace {

constexpr int kMaxSeconds = 15 * 60;

struct FreeText {
  void operator()(char* text) const noexcept { chromaprint_dealloc(text); }
};

}  // namespace

void free_chromaprint(ChromaprintContextPrivate* context) {
  chromaprint_free(context);
}

SoundPrinter::SoundPrinter() : context_(chromaprint_new(CHROMAPRINT_ALGORITHM_DEFAULT)) {
  if (!context_ || chromaprint_start(context_.get(), chromaprint_get_sample_rate(context_.get()),
                                     chromaprint_get_num_channels(context_.get())) != 1) {
    throw Error(Errc::io, "start the sound fingerprint: out of memory");
  }
}

void SoundPrinter::add(const AVFrame& frame) {
  if (over_) return;
  if (!resampler_) {
    format_ = frame.format;
    rate_ = frame.sample_rate;
    channels_ = frame.ch_layout.nb_channels;
    AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO, from = {};
    av_check(av_channel_layout_copy(&from, &frame.ch_layout), "resample the sound");
    if (from.order == AV_CHANNEL_ORDER_UNSPEC) av_channel_layout_default(&from, channels_);
    SwrContext* resampler = nullptr;
    const int made = swr_alloc_set_opts2(&resampler, &mono, AV_SAMPLE_FMT_S16,
                                         chromaprint_get_sample_rate(context_.get()), &from,
                                         static_cast<AVSampleFormat>(format_), rate_, 0, nullptr);
    av_channel_layout_uninit(&from);
    av_check(made, "resample the sound");
    resampler_.reset(resampler);
    // The filter that fpcalc sets, so that fingerprints agree with AcoustID's.
    av_opt_set_int(resampler, "filter_size", 16, 0);
    av_opt_set_int(resampler, "phase_shift", 8, 0);
    av_opt_set_int(resampler, "linear_interp", 1, 0);
    av_opt_set_double(resampler, "cutoff", 0.8, 0);
    av_check(swr_init(resampler), "resample the sound");
  }
  over_ = frame.format != format_ || frame.sample_rate != rate_ ||
          frame.ch_layout.nb_channels != channels_;
  if (!over_) feed(&frame);
}

// `frame` is null to drain the resampler.
void SoundPrinter::feed(const AVFrame* frame) {
  const int room = swr_get_out_samples(resampler_.get(), frame == nullptr ? 0 : frame->nb_samples);
  std::vector<int16_t> mono(static_cast<size_t>(std::max(room, 1)));
  auto* out = reinterpret_cast<uint8_t*>(mono.data());
  const int n =
      swr_convert(resampler_.get(), &out, static_cast<int>(mono.size()),
                  frame == nullptr ? nullptr : const_cast<const uint8_t**>(frame->extended_data),
                  frame == nullptr ? 0 : frame->nb_samples);
  if (n > 0) chromaprint_feed(context_.get(), mono.data(), n);
  samples_ += static_cast<uint64_t>(std::max(n, 0));
  const auto rate = static_cast<uint64_t>(chromaprint_get_sample_rate(context_.get()));
  over_ = over_ || samples_ >= rate * kMaxSeconds;
}

std::string SoundPrinter::finish() {
  if (!resampler_) return "";
  feed(nullptr);
  char* text = nullptr;
  int items = 0;
  if (chromaprint_finish(context_.get()) != 1 ||
      chromaprint_get_raw_fingerprint_size(context_.get(), &items) != 1 || items == 0 ||
      chromaprint_get_fingerprint(context_.get(), &text) != 1) {
    return "";
  }
  const std::unique_ptr<char, FreeText> owner(text);
  return text;
}

std::vector<uint32_t> parse_chromaprint(std::string_view text) {
  uint32_t* items = nullptr;
  int count = 0, algorithm = 0;
  if (text.size() < 6 || chromaprint_decode_fingerprint(text.data(), static_cast<int>(text.size()),
                                                        &items, &count, &algorithm, 1) != 1) {
    return {};
  }
  std::vector<uint32_t> out(items, items + count);
  chromaprint_dealloc(items);
  return out;
}

double sound_match(const std::vector<uint32_t>& a, uint64_t a_us, const std::vector<uint32_t>& b,
                   uint64_t b_us, uint64_t length_us) {
  const auto index = [](uint64_t us) {
    return static_cast<size_t>(double(us) / kChromaprintItemUs);
  };
  const size_t from_a = index(a_us), from_b = index(b_us);
  if (from_a >= a.size() || from_b >= b.size()) return -1;
  const size_t count = std::min({index(length_us), a.size() - from_a, b.size() - from_b});
  const auto silent = [&](const std::vector<uint32_t>& sound, size_t from) {
    // Silence gives one item over and over; music and speech never do.
    return std::set<uint32_t>(sound.begin() + static_cast<ptrdiff_t>(from),
                              sound.begin() + static_cast<ptrdiff_t>(from + count))
                   .size() *
               4 <=
           count;
  };
  if (count == 0 || silent(a, from_a) || silent(b, from_b)) return -1;

  // Frames and items are not in step: the best of a few neighbouring alignments counts.
  double best = 0;
  for (int shift = -2; shift <= 2; ++shift) {
    int equal = 0, all = 0;
    for (size_t i = 0; i < count; ++i) {
      const auto j = static_cast<ptrdiff_t>(from_b + i) + shift;
      if (j < 0 || j >= static_cast<ptrdiff_t>(b.size())) continue;
      equal += 32 - std::popcount(a[from_a + i] ^ b[static_cast<size_t>(j)]);
      all += 32;
    }
    if (all > 0) best = std::max(best, double(equal) / all);
  }
  return best;
}

}  // namespace cleared::curate

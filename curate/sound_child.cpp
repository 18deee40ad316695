#include <algorithm>

#include <chromaprint.h>

#include "curate/sound.h"
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

}  // namespace cleared::curate

#include <algorithm>

#include <zlib.h>

#include "curate/findings.h"
#include "curate/worker.pb.h"

namespace cleared::curate {
namespace {

std::string four_bytes(size_t value) {
  std::string out(4, '\0');
  for (size_t i = 0; i < 4; ++i) out[i] = static_cast<char>(value >> (24 - 8 * i) & 0xFFU);
  return out;
}
void add_chunk(std::string& png, const std::string& type_and_data) {
  const auto* bytes = reinterpret_cast<const Bytef*>(type_and_data.data());
  png += four_bytes(type_and_data.size() - 4) + type_and_data +
         four_bytes(::crc32(0, bytes, static_cast<uInt>(type_and_data.size())));
}

}  // namespace

FaceLooker::FaceLooker(const Analyse& request) {
  if (request.quick_faces().empty()) return;
  finder_ = std::make_unique<FaceFinder>(request.quick_faces(), request.sure_faces());
}

void FaceLooker::look(uint64_t pts_us, const kernels::SmallLuma& small, Analysis& out) {
  if (!finder_ || pts_us < next_ * kFaceLookUs) return;
  next_ = pts_us / kFaceLookUs + 1;
  const Picture picture = picture_of(small);
  const size_t faces = finder_->find(picture).size();
  out.add_looked_pts_us(pts_us);
  out.add_faces(static_cast<uint32_t>(faces));
  if (faces == 0) return;
  Analysis::FacePicture& kept = *out.add_face_picture();
  kept.set_pts_us(pts_us);
  kept.set_png(grey_png(picture));
}

Picture picture_of(const kernels::SmallLuma& small) {
  const auto lines = static_cast<size_t>(small.lines), places = static_cast<size_t>(small.places);
  const auto stride = static_cast<size_t>(small.stride);
  Picture out{small.by_column ? small.lines : small.places,
              small.by_column ? small.places : small.lines, 1,
              std::vector<uint8_t>(lines * places)};
  for (size_t line = 0; line < lines; ++line) {
    for (size_t place = 0; place < places; ++place) {
      const size_t at = small.by_column ? place * lines + line : line * places + place;
      out.pixels[at] = small.pixels[line * stride + place];
    }
  }
  return out;
}

std::string grey_png(const Picture& picture) {
  const auto width = static_cast<size_t>(picture.width),
             height = static_cast<size_t>(picture.height);
  std::string rows;
  for (size_t y = 0; y < height; ++y) {
    rows += '\1';  // each pixel as its difference to the one on the left
    for (size_t x = 0; x < width; ++x) {
      const uint8_t left = x == 0 ? 0 : picture.pixels[y * width + x - 1];
      rows += static_cast<char>(static_cast<uint8_t>(picture.pixels[y * width + x] - left));
    }
  }
  uLongf size = ::compressBound(static_cast<uLong>(rows.size()));
  std::string data(size, '\0');
  ::compress2(reinterpret_cast<Bytef*>(data.data()), &size,
              reinterpret_cast<const Bytef*>(rows.data()), static_cast<uLong>(rows.size()), 6);
  data.resize(size);
  std::string png(kPngMagic);
  add_chunk(png, "IHDR" + four_bytes(width) + four_bytes(height) + std::string("\x08\0\0\0\0", 5));
  add_chunk(png, "IDAT" + data);
  add_chunk(png, "IEND");
  return png;
}

void SpeechListener::add(const AVFrame& frame) {
  const int channels = frame.ch_layout.nb_channels;
  if (resampler_ &&
      (frame.format != format_ || frame.sample_rate != rate_ || channels != channels_)) {
    feed(nullptr);
    resampler_.reset();
  }
  if (!resampler_) {
    format_ = frame.format;
    rate_ = frame.sample_rate;
    channels_ = channels;
    AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO, from = {};
    av_check(av_channel_layout_copy(&from, &frame.ch_layout), "resample the sound");
    if (from.order == AV_CHANNEL_ORDER_UNSPEC) av_channel_layout_default(&from, channels_);
    SwrContext* resampler = nullptr;
    const int made = swr_alloc_set_opts2(&resampler, &mono, AV_SAMPLE_FMT_S16, kSpeechRate, &from,
                                         static_cast<AVSampleFormat>(format_), rate_, 0, nullptr);
    av_channel_layout_uninit(&from);
    av_check(made, "resample the sound");
    resampler_.reset(resampler);
    av_check(swr_init(resampler), "resample the sound");
  }
  feed(&frame);
}

// `frame` is null to drain the resampler.
void SpeechListener::feed(const AVFrame* frame) {
  const int count = frame == nullptr ? 0 : frame->nb_samples;
  std::vector<int16_t> mono(
      static_cast<size_t>(std::max(swr_get_out_samples(resampler_.get(), count), 1)));
  auto* out = reinterpret_cast<uint8_t*>(mono.data());
  const int n = swr_convert(
      resampler_.get(), &out, static_cast<int>(mono.size()),
      frame == nullptr ? nullptr : const_cast<const uint8_t**>(frame->extended_data), count);
  finder_.add({mono.data(), static_cast<size_t>(std::max(n, 0))});
}

void SpeechListener::finish(int64_t start_us, Analysis& out) {
  if (resampler_) feed(nullptr);
  const auto shown = [&](uint64_t us) {
    return static_cast<uint64_t>(std::max<int64_t>(0, start_us + static_cast<int64_t>(us)));
  };
  for (const auto& [from_us, to_us] : finder_.finish()) {
    out.add_speech_us(shown(from_us));
    out.add_speech_us(shown(to_us));
  }
}

}  // namespace cleared::curate

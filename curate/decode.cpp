#include "curate/decode.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "curate/encode.h"
#include "curate/looks.h"
#include "curate/measure.h"
#include "curate/pdq.h"
#include "curate/picture.h"
#include "curate/sound.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"

namespace cleared::curate {
namespace {

// Collects the frames of spans, which come in order, as they pass by.
class Cutter {
 public:
  explicit Cutter(const Cut& request) : request_(request) {}

  // `picture` makes the frame's picture when it is wanted.
  template <class MakePicture>
  void add(uint64_t pts_us, const MakePicture& picture) {
    if (held_ && pts_us >= end()) finish();
    if (done() || pts_us < span().start_us() || pts_us >= end()) return;
    // The frame that is on screen at each sampling time: times up to here still show the one
    // before.
    if (held_) fill(pts_us);
    if (!held_) origin_us_ = pts_us;
    held_ = picture();
  }
  bool done() const { return webms_.size() == static_cast<size_t>(request_.span_size()); }
  std::vector<std::string> take() {
    if (held_) finish();
    return std::move(webms_);
  }

 private:
  const Cut::Span& span() const { return request_.span(static_cast<int>(webms_.size())); }
  uint64_t end() const { return span().end_us(); }
  void fill(uint64_t until_us) {
    const uint64_t fps = request_.clips().fps();
    while (frames_.size() < request_.clips().frames() &&
           origin_us_ + (frames_.size() * 1'000'000 + fps / 2) / fps < until_us) {
      frames_.push_back(*held_);
    }
  }
  void finish() {
    fill(UINT64_MAX);
    webms_.push_back(
        encode_webm(frames_, {.fps = static_cast<int>(request_.clips().fps()),
                              .quality = static_cast<int>(request_.shards().quality())}));
    frames_.clear();
    held_.reset();
  }

  const Cut& request_;
  uint64_t origin_us_ = 0;
  std::optional<Picture> held_;
  std::vector<Picture> frames_;
  std::vector<std::string> webms_;
};

template <size_t n>
void append(const std::array<Fingerprint, n>& prints, std::string& bits, std::string& qualities) {
  for (const Fingerprint& print : prints) {
    bits.append(reinterpret_cast<const char*>(print.bits.data()), print.bits.size());
    qualities.push_back(static_cast<char>(print.quality));
  }
}

// Takes the looks of the frames on whose turn it is.
class LookTaker {
 public:
  explicit LookTaker(Analysis& out) : out_(out) {}
  void take(uint64_t pts_us, const kernels::SmallLuma& small) {
    if (pts_us < next_ * kLookUs) return;
    next_ = pts_us / kLookUs + 1;
    ++taken_;
    const bool with_insets = taken_ % 2 == 1;
    const Looks::Taken& looks = looks_.take(small, true, with_insets);
    out_.add_kept_pts_us(pts_us);
    append(looks.kept, *out_.mutable_kept_pdq(), *out_.mutable_kept_quality());
    out_.add_asked_pts_us(pts_us);
    append(looks.asked, *out_.mutable_asked_pdq(), *out_.mutable_asked_quality());
  }

 private:
  Analysis& out_;
  Looks looks_;
  uint64_t next_ = 0, taken_ = 0;
};

}  // namespace

void analyse(Reader& reader, Analysis& out, bool keyframes) {
  if (keyframes) reader.keyframes_only();
  LookTaker looks(out);
  SoundPrinter sound;
  std::string bits, qualities, thumbs;
  const int rotation = reader.rotation();
  Measurer measurer(rotation);
  const auto measure = [&](const AVFrame& frame, uint64_t pts_us) {
    if (out.pts_us_size() == 0) {
      const Size size = display_size(frame, rotation);
      out.set_width(static_cast<uint32_t>(size.width));
      out.set_height(static_cast<uint32_t>(size.height));
    }
    const FrameMeasures measured = measurer.measure(frame);
    const Fingerprint& print = measured.print;
    bits.append(reinterpret_cast<const char*>(print.bits.data()), print.bits.size());
    qualities.push_back(static_cast<char>(print.quality));
    thumbs.append(reinterpret_cast<const char*>(measured.thumb.data()), measured.thumb.size());
    looks.take(pts_us, measurer.small());
    out.add_pts_us(pts_us);
    out.add_luma(measured.luma);
    out.add_sharpness(measured.sharpness);
    out.add_motion(measured.motion);
    out.add_histogram(measured.histogram);
    return true;
  };
  ReaderSinks sinks{.video = measure, .audio = nullptr};
  if (!keyframes) sinks.audio = [&](const AVFrame& frame) { sound.add(frame); };
  out.set_problem(reader.read(sinks));
  out.set_pdq(std::move(bits));
  out.set_thumb(std::move(thumbs));
  out.set_pdq_quality(std::move(qualities));
  out.set_chromaprint(sound.finish());
  out.set_notes(reader.notes());
  out.set_promised_us(reader.promised_us());
  out.set_container(reader.container());
  out.set_video_codec(reader.video_codec());
  out.set_audio_codec(reader.audio_codec());

  // The nominal rate is a claim; the median of what was shown is a fact.
  std::vector<uint64_t> steps;
  for (int i = 1; i < out.pts_us_size(); ++i) steps.push_back(out.pts_us(i) - out.pts_us(i - 1));
  uint64_t step_us = std::max<uint64_t>(reader.frame_us(), 1);
  if (!steps.empty()) {
    auto middle = steps.begin() + static_cast<ptrdiff_t>(steps.size() / 2);
    std::nth_element(steps.begin(), middle, steps.end());
    step_us = std::max<uint64_t>(*middle, 1);
  }
  out.set_frame_us(step_us);
  const auto uneven = std::count_if(steps.begin(), steps.end(), [&](uint64_t step) {
    return step * 4 < step_us * 3 || step * 4 > step_us * 5;
  });
  out.set_variable_frame_rate(uneven * 50 > static_cast<ptrdiff_t>(steps.size()));
}

std::vector<std::string> cut(Reader& reader, const Cut& request) {
  PictureMaker pictures;
  Cutter cutter(request);
  const int rotation = reader.rotation();
  const auto width = static_cast<int>(request.shards().width());
  const auto height = static_cast<int>(request.shards().height());
  reader.read({.video =
                   [&](const AVFrame& frame, uint64_t pts_us) {
                     cutter.add(pts_us,
                                [&] { return pictures.rgb(frame, rotation, width, height); });
                     return !cutter.done();
                   },
               .audio = nullptr});
  return cutter.take();
}

RawClip decode_clip(std::string_view webm, const ClipShape& shape) {
  Reader reader(webm);
  PictureMaker pictures;
  RawClip out{.width = shape.width, .height = shape.height, .frames = 0, .rgb = {}};
  const int rotation = reader.rotation();
  const std::string problem =
      reader.read({.video =
                       [&](const AVFrame& frame, uint64_t) {
                         const Size size = display_size(frame, rotation);
                         if (out.width == 0) out.width = size.width;
                         if (out.height == 0) out.height = size.height;
                         const Picture picture =
                             pictures.rgb(frame, rotation, out.width, out.height);
                         out.rgb.append(picture.pixels.begin(), picture.pixels.end());
                         ++out.frames;
                         return shape.frames == 0 || out.frames < shape.frames;
                       },
                   .audio = nullptr});
  if (!problem.empty()) throw Error(Errc::corrupt, problem);
  if (out.frames < shape.frames) {
    throw Error(Errc::corrupt, "has ", out.frames, " frames, and ", shape.frames,
                " were asked for");
  }
  return out;
}

}  // namespace cleared::curate

#include "curate/decode.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "curate/bars.h"
#include "curate/encode.h"
#include "curate/findings.h"
#include "curate/logo.h"
#include "curate/looks.h"
#include "curate/loudness.h"
#include "curate/measure.h"
#include "curate/pdq.h"
#include "curate/picture.h"
#include "curate/places.h"
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
    webms_.push_back(encode_webm(
        frames_, {.codec = request_.shards().codec() == AV1 ? VideoCodec::av1 : VideoCodec::vp9,
                  .fps = static_cast<int>(request_.clips().fps()),
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
    const Looks::What now = {
        .kept = kept_.due(pts_us), .turns = turns_.due(pts_us), .insets = insets_.due(pts_us)};
    if (!now.turns) return;
    const Looks::Taken& looks = looks_.take(small, now);
    out_.add_turned_pts_us(pts_us);
    append(looks.turns, *out_.mutable_turned_pdq(), *out_.mutable_turned_quality());
    if (now.kept) {
      out_.add_kept_pts_us(pts_us);
      append(looks.kept, *out_.mutable_kept_pdq(), *out_.mutable_kept_quality());
      if (squares_.due(pts_us) && looks_.square(small, *out_.mutable_square_luma())) {
        out_.add_square_pts_us(pts_us);
        if (static_cast<size_t>(out_.square_pts_us_size()) == kMostSquares) leave_out_squares();
      }
    }
    if (now.insets) {
      out_.add_inset_pts_us(pts_us);
      append(looks.insets, *out_.mutable_inset_pdq(), *out_.mutable_inset_quality());
    }
  }

 private:
  struct Every {  // kTurnUs divides the others: when they are due, turns are
    uint64_t step_us, next = 0;
    bool due(uint64_t pts_us) {
      if (pts_us < next * step_us) return false;
      next = pts_us / step_us + 1;
      return true;
    }
  };
  // Every second one, and from now on half as many.
  void leave_out_squares() {
    auto& pts_us = *out_.mutable_square_pts_us();
    std::string& luma = *out_.mutable_square_luma();
    for (int i = 0; 2 * i < pts_us.size(); ++i) {
      pts_us[i] = pts_us[2 * i];
      std::memmove(&luma[static_cast<size_t>(i) * kSquareBytes],
                   &luma[static_cast<size_t>(2 * i) * kSquareBytes], kSquareBytes);
    }
    pts_us.Truncate(pts_us.size() / 2);
    luma.resize(luma.size() / 2);
    squares_ = {squares_.step_us * 2, pts_us[pts_us.size() - 1] / (squares_.step_us * 2) + 1};
  }

  Analysis& out_;
  Looks looks_;
  Every kept_{kLookUs}, turns_{kTurnUs}, insets_{kInsetUs}, squares_{kLookUs};
};

// What lies over the picture or around it: bars and logos. Looks at a few frames a second.
class SurroundTaker {
 public:
  SurroundTaker(Analysis& out, Orientation orientation) : out_(out), orientation_(orientation) {}

  void take(uint64_t pts_us, const Measurer& measurer) {
    if (pts_us < next_edges_ * kEdgesUs) return;
    next_edges_ = pts_us / kEdgesUs + 1;
    const kernels::Luma& luma = measurer.luma();
    const std::optional<Edges> stored = find_edges(luma);
    if (stored) add_edges(pts_us, *stored, measurer);
    if (pts_us < next_logo_ * kLogoUs) return;
    next_logo_ = pts_us / kLogoUs + 1;
    double black[4] = {};
    for (int side = 0; stored && side < 4; ++side) {
      const bool along_x = side % 2 == 0;
      black[side] = double(shown_.black[side]) / (along_x ? out_.width() : out_.height());
    }
    if (stored) logos_.take(pts_us, measurer.small(), black);
  }

  void finish(uint64_t end_us) {
    const auto shown = [](double share, uint32_t size) {
      return static_cast<uint32_t>(std::lround(share * size));
    };
    for (const LogoPlace& place : logos_.finish(end_us)) {
      Analysis::Logo& logo = *out_.add_logo();
      logo.set_start_us(place.start_us);
      logo.set_end_us(place.end_us);
      logo.set_x(shown(place.left, out_.width()));
      logo.set_y(shown(place.top, out_.height()));
      logo.set_width(std::max(1U, shown(place.right, out_.width()) - logo.x()));
      logo.set_height(std::max(1U, shown(place.bottom, out_.height()) - logo.y()));
      logo.set_still(place.still);
    }
  }

 private:
  void add_edges(uint64_t pts_us, const Edges& stored, const Measurer& measurer) {
    const kernels::Luma& luma = measurer.luma();
    const EdgeSize shown{static_cast<int>(out_.width()), static_cast<int>(out_.height())};
    shown_ = upright(stored, orientation_, {luma.width, luma.height}, shown);
    out_.add_edge_pts_us(pts_us);
    for (const int black : shown_.black) out_.add_edge(static_cast<uint32_t>(black));
    out_.add_edge(shown_.clear);
    if (look_like_bars(shown_, shown)) add_cropped(pts_us, stored, measurer);
  }

  void add_cropped(uint64_t pts_us, const Edges& stored, const Measurer& measurer) {
    kernels::Luma inside = measurer.luma();
    const int *black = stored.black, x = black[Edges::left], y = black[Edges::top];
    inside.pixels += y * inside.stride + x;
    inside.width -= x + black[Edges::right];
    inside.height -= y + black[Edges::bottom];
    if (!shrinker_ || inside.width != width_ || inside.height != height_) {
      width_ = inside.width;
      height_ = inside.height;
      shrinker_ = std::make_unique<kernels::LumaShrinker>(width_, height_, measurer.turn());
    }
    std::array<float, size_t{kernels::kPdqSide} * kernels::kPdqSide> filtered;
    shrinker_->filter(inside, filtered.data());
    const std::array<Fingerprint, 1> print = {PdqHasher::fingerprint_filtered(filtered.data())};
    out_.add_cropped_pts_us(pts_us);
    append(print, *out_.mutable_cropped_pdq(), *out_.mutable_cropped_quality());
  }

  Analysis& out_;
  Orientation orientation_;
  uint64_t next_edges_ = 0, next_logo_ = 0;
  Edges shown_;
  LogoFinder logos_;
  int width_ = 0, height_ = 0;  // of the shrinker
  std::unique_ptr<kernels::LumaShrinker> shrinker_;
};

void describe_sound(Loudness& loudness, int64_t start_us, Analysis& out) {
  loudness.finish();
  if (loudness.duration_us() == 0) return;
  // Sound may begin before the first frame; times count from there.
  const auto shown = [&](uint64_t us) {
    return static_cast<uint64_t>(std::max<int64_t>(0, start_us + static_cast<int64_t>(us)));
  };
  out.set_sound_start_us(shown(0));
  out.set_sound_end_us(shown(loudness.duration_us()));
  if (const auto lufs = loudness.integrated()) out.set_loudness_lufs(*lufs);
  for (const SilentSpan& span : loudness.silences()) {
    if (shown(span.end_us) <= shown(span.start_us)) continue;
    out.add_silence_us(shown(span.start_us));
    out.add_silence_us(shown(span.end_us));
  }
}

}  // namespace

void analyse(Reader& reader, const Analyse& request, Analysis& out) {
  const bool keyframes = request.has_keyframes_every_us();
  if (keyframes) reader.keyframes_only(request.keyframes_every_us());
  LookTaker looks(out);
  FaceLooker faces(request);
  SpeechListener speech;
  SoundPrinter sound;
  Loudness loudness;
  std::string bits, qualities, thumbs;
  const Orientation orientation = reader.orientation();
  Measurer measurer(orientation);
  SurroundTaker surround(out, orientation);
  const auto measure = [&](const AVFrame& frame, uint64_t pts_us) {
    if (out.pts_us_size() == 0) {
      const Size size = display_size(frame, orientation);
      out.set_width(static_cast<uint32_t>(size.width));
      out.set_height(static_cast<uint32_t>(size.height));
    }
    const FrameMeasures measured = measurer.measure(frame);
    const Fingerprint& print = measured.print;
    bits.append(reinterpret_cast<const char*>(print.bits.data()), print.bits.size());
    qualities.push_back(static_cast<char>(print.quality));
    thumbs.append(reinterpret_cast<const char*>(measured.thumb.data()), measured.thumb.size());
    looks.take(pts_us, measurer.small());
    surround.take(pts_us, measurer);
    faces.look(pts_us, measurer.small(), out);
    out.add_pts_us(pts_us);
    out.add_luma(measured.luma);
    out.add_sharpness(measured.sharpness);
    out.add_motion(measured.motion);
    out.add_histogram(measured.histogram);
    return true;
  };
  ReaderSinks sinks{.video = measure, .audio = nullptr};
  if (!keyframes) {
    sinks.audio = [&](const AVFrame& frame) {
      sound.add(frame);
      loudness.add(frame);
      speech.add(frame);
    };
  }
  out.set_problem(reader.read(sinks));
  out.set_pdq(std::move(bits));
  out.set_thumb(std::move(thumbs));
  out.set_pdq_quality(std::move(qualities));
  out.set_chromaprint(sound.finish());
  describe_sound(loudness, reader.sound_start_us(), out);
  speech.finish(reader.sound_start_us(), out);
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
  // But of what a damaged file lacks: its last frame does not stand as long as the gap before it.
  if (!out.problem().empty() && reader.frame_us() > 0) {
    step_us = std::min(step_us, reader.frame_us());
  }
  out.set_frame_us(step_us);
  surround.finish(out.pts_us(out.pts_us_size() - 1) + step_us);
  const auto uneven = std::count_if(steps.begin(), steps.end(), [&](uint64_t step) {
    return step * 4 < step_us * 3 || step * 4 > step_us * 5;
  });
  out.set_variable_frame_rate(uneven * 50 > static_cast<ptrdiff_t>(steps.size()));
}

void analyse(Reader& reader, Analysis& out) {
  analyse(reader, Analyse(), out);
}

std::vector<std::string> cut(Reader& reader, const Cut& request) {
  PictureMaker pictures;
  Cutter cutter(request);
  const Orientation orientation = reader.orientation();
  const auto width = static_cast<int>(request.shards().width());
  const auto height = static_cast<int>(request.shards().height());
  reader.read({.video =
                   [&](const AVFrame& frame, uint64_t pts_us) {
                     cutter.add(pts_us,
                                [&] { return pictures.rgb(frame, orientation, width, height); });
                     return !cutter.done();
                   },
               .audio = nullptr});
  return cutter.take();
}

std::vector<std::string> thumbnails(Reader& reader, const Thumbs& request) {
  PictureMaker pictures;
  const Orientation orientation = reader.orientation();
  const auto count = static_cast<size_t>(request.at_us_size());
  std::vector<std::string> out;
  if (count == 0) return out;
  reader.read(
      {.video =
           [&](const AVFrame& frame, uint64_t pts_us) {
             const auto wanted = [&] {
               return out.size() < count && request.at_us(static_cast<int>(out.size())) <= pts_us;
             };
             if (!wanted()) return true;
             const Size size = display_size(frame, orientation);
             const auto height = static_cast<int>(request.height());
             const int width =
                 std::clamp(height * size.width / size.height, height / 3, 3 * height);
             const std::string jpeg =
                 encode_jpeg(pictures.rgb(frame, orientation, width / 2 * 2, height / 2 * 2));
             while (wanted()) out.push_back(jpeg);
             return out.size() < count;
           },
       .audio = nullptr});
  out.resize(count);
  return out;
}

namespace {

int count_frames(std::string_view webm) {
  int frames = 0;
  Reader(webm).read(
      {.video = [&](const AVFrame&, uint64_t) { return ++frames > 0; }, .audio = nullptr});
  return frames;
}

}  // namespace

RawClip decode_clip(std::string_view webm, const ClipShape& shape, const ClipPart& part) {
  // A clip is decoded twice, so that it need not be kept.
  const bool all = part.whole || shape.frames == 0;
  const int room = part.start > 0 && !all ? count_frames(webm) - shape.frames : 0;
  int skip = share_of(part.start, std::max(0, room));
  Reader reader(webm);
  PictureMaker pictures;
  RawClip out{.width = shape.width, .height = shape.height, .frames = 0, .rgb = {}};
  const Orientation orientation = reader.orientation();
  const std::string problem =
      reader.read({.video =
                       [&](const AVFrame& frame, uint64_t) {
                         if (skip-- > 0) return true;
                         const Size size = display_size(frame, orientation);
                         if (out.width == 0) out.width = size.width;
                         if (out.height == 0) out.height = size.height;
                         const Picture picture =
                             pictures.rgb(frame, orientation, out.width, out.height, part.place);
                         out.rgb.append(picture.pixels.begin(), picture.pixels.end());
                         ++out.frames;
                         return all || out.frames < shape.frames;
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

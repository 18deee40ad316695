#include "curate/clips.h"

#include <algorithm>
#include <cmath>

#include "curate/shots.h"
#include "curate/worker.pb.h"
#include "ledger/digest.h"

namespace cleared::curate {
namespace {

Clip measure(const Analysis& analysis, size_t first, size_t end, const Quality& quality) {
  Clip clip;
  clip.start_us = analysis.pts_us(static_cast<int>(first));
  clip.end_us = analysis.pts_us(static_cast<int>(end - 1)) + analysis.frame_us();
  float most_motion = 0;
  for (size_t i = first; i < end; ++i) {
    const auto at = static_cast<int>(i);
    clip.luma += analysis.luma(at);
    clip.sharpness += analysis.sharpness(at);
    if (i == first) continue;  // its change is to a frame outside
    clip.motion += analysis.motion(at);
    most_motion = std::max(most_motion, analysis.motion(at));
  }
  const auto frames = static_cast<float>(end - first);
  clip.luma /= frames;
  clip.sharpness /= frames;
  clip.motion /= std::max(frames - 1, 1.0f);
  clip.verdict = clip.luma < quality.black_luma()               ? "black"
                 : most_motion < quality.frozen_motion()        ? "frozen"
                 : clip.sharpness < quality.blurred_sharpness() ? "blurred"
                                                                : "kept";
  return clip;
}

}  // namespace

std::vector<Clip> choose_clips(const Analysis& analysis, const std::vector<Shot>& shots,
                               const Clips& clips, const Quality& quality) {
  std::vector<uint64_t> lengths_us;  // the longest first
  for (auto frames = clips.longer().rbegin(); frames != clips.longer().rend(); ++frames) {
    lengths_us.push_back(uint64_t{1'000'000} * *frames / clips.fps());
  }
  lengths_us.push_back(uint64_t{1'000'000} * clips.frames() / clips.fps());
  // Containers round times to their own clock: a third of a frame is no missing frame.
  const uint64_t slack_us = analysis.frame_us() / 3;
  std::vector<Clip> out;
  for (size_t s = 0; s < shots.size(); ++s) {
    for (size_t first = shots[s].first; first < shots[s].end;) {
      const uint64_t start_us = analysis.pts_us(static_cast<int>(first));
      const uint64_t left_us = analysis.pts_us(static_cast<int>(shots[s].end - 1)) +
                               analysis.frame_us() + slack_us - start_us;
      const auto length_us = std::find_if(lengths_us.begin(), lengths_us.end(),
                                          [&](uint64_t us) { return us <= left_us; });
      if (length_us == lengths_us.end()) break;
      size_t end = first + 1;
      while (end < shots[s].end &&
             analysis.pts_us(static_cast<int>(end)) + slack_us < start_us + *length_us) {
        ++end;
      }
      Clip clip = measure(analysis, first, end, quality);
      clip.shot = static_cast<uint32_t>(s);
      const uint64_t until_us = start_us + *length_us;
      if (clip.end_us + slack_us < until_us && end < shots[s].end && analysis.problem().empty()) {
        // At a variable rate a picture stands until the next one comes; what is longer is a gap.
        const uint64_t next_us = analysis.pts_us(static_cast<int>(end));
        const uint64_t stands_us = next_us - analysis.pts_us(static_cast<int>(end - 1));
        if (stands_us <= *length_us / 4) clip.end_us = std::min(next_us, until_us);
      }
      if (clip.end_us + slack_us >= until_us) out.push_back(std::move(clip));
      first = end;
    }
  }
  return out;
}

bool has_length(const Clips& clips, uint64_t duration_us) {
  const auto off = [&](uint32_t frames) {
    return std::abs(double(duration_us) * clips.fps() / 1e6 - frames);
  };
  return off(clips.frames()) <= 1 || std::any_of(clips.longer().begin(), clips.longer().end(),
                                                 [&](uint32_t frames) { return off(frames) <= 1; });
}

Digest clip_id(const Digest& source, const Clip& clip) {
  return ledger::sha256("clip\n" + to_hex(source) + "\n" + std::to_string(clip.start_us) + "\n" +
                        std::to_string(clip.end_us) + "\n");
}

}  // namespace cleared::curate

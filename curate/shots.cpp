#include "curate/shots.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "curate/pdq.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"

namespace cleared::curate {
namespace {

constexpr int kWindow = 12;   // frames to each side that say what is normal here
constexpr float kMotion = 6;  // mean change of luma, of 255
constexpr float kTimesNormal = 3;
constexpr float kTimesBeside = 1.5f;
constexpr float kHistogram = 0.015f;  // share of pixels that change their band
constexpr int kOtherPicture = 64;     // bits of the fingerprint, of 256
constexpr size_t kThumb = 256;
constexpr float kSameThumb = 3;         // mean difference of luma, of 255
constexpr float kSameLit = 0.9f;        // likeness of one picture in another light
constexpr uint64_t kGapUs = 1'000'000;  // no film holds one frame for so long
// Where a rate was raised by showing pictures again, each is there up to so many times.
constexpr int kMostTimesShown = 6;
constexpr float kSamePicture = 0.5f;  // mean change of luma that coding it again makes

void require_few(const std::vector<Shot>& shots) {
  if (shots.size() < kMostShots) return;
  throw Error(Errc::unsupported, "has more than ", kMostShots, " shots: deliver it in parts");
}

const uint8_t* thumb(const Analysis& analysis, size_t at) {
  return reinterpret_cast<const uint8_t*>(analysis.thumb().data()) + at * kThumb;
}

// Mean difference of luma, of 255, of what is left of two pictures at 16 x 16. None is known: all.
float thumb_difference(const Analysis& analysis, size_t a, size_t b) {
  if (analysis.thumb().size() < kThumb * (std::max(a, b) + 1)) return 255;
  int sum = 0;
  for (size_t i = 0; i < kThumb; ++i) {
    sum += std::abs(thumb(analysis, a)[i] - thumb(analysis, b)[i]);
  }
  return static_cast<float>(sum) / kThumb;
}

// [-1, 1]. Near 1: the same picture, however bright.
float thumb_likeness(const Analysis& analysis, size_t a, size_t b) {
  const uint8_t *x = thumb(analysis, a), *y = thumb(analysis, b);
  double sx = 0, sy = 0, xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < kThumb; ++i) {
    sx += x[i];
    sy += y[i];
    xx += x[i] * x[i];
    yy += y[i] * y[i];
    xy += x[i] * y[i];
  }
  const double vx = xx - sx * sx / kThumb, vy = yy - sy * sy / kThumb;
  return vx <= 0 || vy <= 0 ? 0 : static_cast<float>((xy - sx * sy / kThumb) / std::sqrt(vx * vy));
}

bool follows_a_gap(const Analysis& analysis, int at) {
  return at > 0 && analysis.pts_us(at) - analysis.pts_us(at - 1) > kGapUs;
}

// Are the pictures of two frames others, and not one in noise or in another light?
bool differ(const Analysis& analysis, int a, int b) {
  const auto x = static_cast<size_t>(a), y = static_cast<size_t>(b);
  // Stripes and the like have bits that noise decides.
  return distance(pdq_at(analysis.pdq(), x), pdq_at(analysis.pdq(), y)) >= kOtherPicture &&
         thumb_difference(analysis, x, y) >= kSameThumb;
}

// The frames to look for cuts in: all, but for those that show the picture before them again where
// a rate was raised so. A still, and the short shot of one between two cuts, keeps its frames.
std::vector<int> frames_with_news(const Analysis& analysis) {
  const int frames = analysis.pts_us_size();
  std::vector<int> begins;  // of each picture, however often it is shown
  for (int at = 0; at < frames; ++at) {
    if (at == 0 || analysis.motion(at) >= kSamePicture || follows_a_gap(analysis, at)) {
      begins.push_back(at);
    }
  }
  begins.push_back(frames);
  const auto is_held = [&](size_t i) {  // or would be: there is none before the first
    return i + 1 >= begins.size() || begins[i + 1] - begins[i] <= kMostTimesShown;
  };
  std::vector<int> out;
  for (size_t i = 0; i + 1 < begins.size(); ++i) {
    const int first = begins[i], end = begins[i + 1];
    const bool between_cuts =
        first > 0 && end < frames &&
        std::min(analysis.motion(first), analysis.motion(end)) > kTimesNormal * kMotion &&
        differ(analysis, first - 1, first) && differ(analysis, end - 1, end);
    const bool again = is_held(i) && (i == 0 || is_held(i - 1)) && is_held(i + 1) && !between_cuts;
    for (int at = first; at < (again ? first + 1 : end); ++at) out.push_back(at);
  }
  return out;
}

// Looks for cuts in a row of frames; places count in that row.
class CutFinder {
 public:
  explicit CutFinder(const Analysis& analysis)
      : analysis_(analysis), frames_(frames_with_news(analysis)) {}

  int size() const { return static_cast<int>(frames_.size()); }
  int frame(int at) const { return frames_[static_cast<size_t>(at)]; }

  bool is_cut(int at) const {
    if (follows_a_gap(analysis_, frame(at))) return true;
    return motion(at) > kMotion && analysis_.histogram(frame(at)) > kHistogram &&
           motion(at) > kTimesNormal * normal_motion(at) && is_sudden(at) && stays_different(at);
  }

 private:
  float motion(int at) const { return at < 1 || at >= size() ? 0 : analysis_.motion(frame(at)); }

  // Mean motion around `at`, itself left out.
  float normal_motion(int at) const {
    float sum = 0;
    int count = 0;
    for (int i = std::max(1, at - kWindow); i <= std::min(at + kWindow, size() - 1); ++i) {
      if (i == at) continue;
      sum += motion(i);
      ++count;
    }
    return count == 0 ? 0 : sum / static_cast<float>(count);
  }

  // Does the picture change at once, within a frame or, where a blended one lies between, two? What
  // begins to move or to zoom fast goes on.
  bool is_sudden(int at) const {
    const float here = motion(at);
    return here > motion(at - 1) && here >= motion(at + 1) &&
           here > kTimesBeside * std::max(motion(at - 2), motion(at + 2));
  }

  // Is every picture around here before `at` another one than every picture after? A flash, a lost
  // frame or a dirty one has its like on both sides.
  bool stays_different(int at) const {
    for (int before = std::max(0, at - 3); before < at; ++before) {
      for (int after = at; after < std::min(at + 3, size()); ++after) {
        if (!differ(analysis_, frame(before), frame(after))) return false;
      }
    }
    return true;
  }

  const Analysis& analysis_;
  std::vector<int> frames_;
};

// Transitions that take time. A frame inside a dissolve is its first frame and its last one mixed,
// ever more of the last: nothing that moves or pans does that.
constexpr float kDissolve = 16;    // mean change of luma from end to end, of 255
constexpr float kUnmixed = 0.22f;  // of that change, what no mixture explains
constexpr float kUneven = 0.15f;   // off the straight line from one picture to the other
constexpr std::array<size_t, 8> kLengths = {80, 57, 40, 28, 19, 13, 9, 6};  // frames
constexpr float kBlack = 12;                                                // mean luma, of 255
constexpr int kBlackRange = 24;         // between the darkest and the brightest part of the picture
constexpr uint64_t kPauseUs = 500'000;  // of black between two shots, though they look alike

bool other_picture(const Analysis& analysis, size_t a, size_t b) {
  return distance(pdq_at(analysis.pdq(), a), pdq_at(analysis.pdq(), b)) >= kOtherPicture &&
         thumb_likeness(analysis, a, b) < kSameLit;
}

// Share of the last picture in frame `at`, or a negative number when it is no mixture of the two.
float share_of_last(const Analysis& analysis, size_t first, size_t last, size_t at) {
  const uint8_t *a = thumb(analysis, first), *b = thumb(analysis, last), *x = thumb(analysis, at);
  float along = 0, whole = 0, off = 0;
  for (size_t i = 0; i < kThumb; ++i) {
    const auto d = static_cast<float>(b[i] - a[i]), e = static_cast<float>(x[i] - a[i]);
    along += d * e;
    whole += d * d;
    off += e * e;
  }
  if (whole == 0) return -1;
  const float share = along / whole;
  const float rest = std::max(0.0f, off / whole - share * share);
  return rest > kUnmixed * kUnmixed ? -1 : std::max(share, 0.0f);
}

// Mean change of luma a frame, over all of them.
float pace(const Analysis& analysis, size_t first, size_t last) {
  int change = 0;
  for (size_t i = 0; i < kThumb; ++i) {
    change += std::abs(thumb(analysis, first)[i] - thumb(analysis, last)[i]);
  }
  return static_cast<float>(change) / static_cast<float>(kThumb * (last - first));
}

// What moves smoothly is a mixture too, for a moment; but it does not come from rest and go to it.
bool rests_around(const Analysis& analysis, const Shot& shot, size_t first, size_t length) {
  const size_t last = first + length;
  const size_t before = std::min(length / 2, first - shot.first);
  const size_t after = std::min(length / 2, shot.end - 1 - last);
  const float most = pace(analysis, first, last) / 2;
  return before >= 2 && after >= 2 && pace(analysis, first - before, first) < most &&
         pace(analysis, last, last + after) < most;
}

bool is_dissolve(const Analysis& analysis, const Shot& shot, size_t first, size_t length) {
  const size_t last = first + length;
  if (pace(analysis, first, last) * static_cast<float>(length) < kDissolve) return false;
  if (share_of_last(analysis, first, last, first + length / 2) < 0) return false;
  if (!other_picture(analysis, first, last)) return false;
  if (!rests_around(analysis, shot, first, length)) return false;
  float before = 0;
  for (size_t i = 1; i < length; ++i) {
    const float share = share_of_last(analysis, first, last, first + i);
    const float line = static_cast<float>(i) / static_cast<float>(length);
    if (share < 0 || share < before - 0.02f || std::abs(share - line) > kUneven) return false;
    before = share;
  }
  return true;
}

bool is_black(const Analysis& analysis, size_t at) {
  if (analysis.luma(static_cast<int>(at)) > kBlack) return false;
  const auto [low, high] = std::minmax_element(thumb(analysis, at), thumb(analysis, at) + kThumb);
  return *high - *low <= kBlackRange;
}

// Black between two pictures of `shot`, as frames [first, end); nothing found: empty.
Shot find_black(const Analysis& analysis, const Shot& shot) {
  for (size_t first = shot.first + 1; first < shot.end; ++first) {
    if (!is_black(analysis, first) || is_black(analysis, first - 1)) continue;
    size_t end = first;
    while (end < shot.end && is_black(analysis, end)) ++end;
    if (end == shot.end) return {};
    const uint64_t paused =
        analysis.pts_us(static_cast<int>(end)) - analysis.pts_us(static_cast<int>(first));
    // Where it comes from and where it goes to is clear a little away from the black.
    const size_t before = first - std::min<size_t>(first - shot.first, 10);
    const size_t after = std::min(end + 10, shot.end - 1);
    if (paused >= kPauseUs || other_picture(analysis, before, after)) {
      return {.first = first, .end = end, .begins = Transition::fade};
    }
  }
  return {};
}

// As `shot` is split at what fades or dissolves in it. Each looks at every frame a few times at
// most, however many shots come of it: films are made to be slow, too.
void split_at_black(const Analysis& analysis, Shot shot, std::vector<Shot>& out) {
  for (Shot black; (black = find_black(analysis, shot)).end > 0;) {
    out.push_back({.first = shot.first, .end = black.first, .begins = shot.begins});
    require_few(out);
    shot = {.first = black.end, .end = shot.end, .begins = black.begins};
  }
  out.push_back(shot);
}

void split_at_dissolves(const Analysis& analysis, size_t length, Shot shot,
                        std::vector<Shot>& out) {
  for (size_t first = shot.first; first + length < shot.end; ++first) {
    if (!is_dissolve(analysis, shot, first, length)) continue;
    out.push_back({.first = shot.first, .end = first + 1, .begins = shot.begins});
    require_few(out);
    shot = {.first = first + length, .end = shot.end, .begins = Transition::dissolve};
    first = shot.first - 1;
  }
  out.push_back(shot);
}

}  // namespace

std::vector<Shot> find_shots(const Analysis& analysis) {
  std::vector<Shot> hard, shots;
  const auto frames = static_cast<size_t>(analysis.pts_us_size());
  Shot shot;
  const CutFinder finder(analysis);
  for (int at = 1; at < finder.size(); ++at) {
    if (!finder.is_cut(at)) continue;
    shot.end = static_cast<size_t>(finder.frame(at));
    hard.push_back(shot);
    require_few(hard);
    shot = {.first = shot.end, .end = 0, .begins = Transition::cut};
  }
  shot.end = frames;
  if (frames > 0) hard.push_back(shot);
  if (analysis.thumb().size() != kThumb * frames) return hard;
  for (const Shot& one : hard) split_at_black(analysis, one, shots);
  for (const size_t length : kLengths) {
    std::vector<Shot> parts;
    for (const Shot& one : shots) split_at_dissolves(analysis, length, one, parts);
    shots = std::move(parts);
  }
  return shots;
}

}  // namespace cleared::curate

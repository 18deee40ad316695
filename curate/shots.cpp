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
constexpr int kSamePicture = 40;      // the same, between pictures a moment apart
constexpr int kSoon = 12;             // frames in which what was covered or lit comes back
constexpr float kOtherLight = 0.25f;  // kHistogram where everything moves
constexpr int kFewFrames = 4;         // without features or mixed, between two shots
constexpr size_t kPdq = 32;           // bytes of a fingerprint
constexpr size_t kThumb = 256;
constexpr float kSameThumb = 3;   // mean difference of luma, of 255
constexpr float kSameLit = 0.9f;  // likeness of one picture in another light
constexpr float kLittle = 0.3f;   // of the change at a cut: what is left of it where it comes back
constexpr float kSureSameLit = 0.985f;
constexpr int kSameLitBits = 84;
constexpr uint64_t kGapUs = 1'000'000;  // no film holds one frame for so long
// Where a rate was raised by showing pictures again, each is there up to so many times.
constexpr int kMostTimesShown = 6;
constexpr float kHeldPicture = 0.5f;  // mean change of luma that coding it again makes

void require_few(const std::vector<Shot>& shots) {
  if (shots.size() < kMostShots) return;
  throw Error(Errc::unsupported, "has more than ", kMostShots, " shots: deliver it in parts");
}

// Mean of a measure around frames [first, last], themselves left out.
template <class Values>
float normal(const Values& values, int first, int last) {
  float sum = 0;
  int count = 0;
  const int end = std::min(last + kWindow, values.size() - 1);
  for (int i = std::max(1, first - kWindow); i <= end; ++i) {
    if (i >= first && i <= last) continue;
    sum += values.Get(i);
    ++count;
  }
  return count == 0 ? 0 : sum / static_cast<float>(count);
}

int bits_between(const Analysis& analysis, int a, int b) {
  return distance(pdq_at(analysis.pdq(), static_cast<size_t>(a)),
                  pdq_at(analysis.pdq(), static_cast<size_t>(b)));
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
  if (analysis.thumb().size() < kThumb * (std::max(a, b) + 1)) return 0;
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
  // Stripes and the like have bits that noise decides.
  return bits_between(analysis, a, b) >= kOtherPicture &&
         thumb_difference(analysis, size_t(a), size_t(b)) >= kSameThumb;
}

// The frames to look for cuts in: all, but for those that show the picture before them again where
// a rate was raised so. A still, and the short shot of one between two cuts, keeps its frames.
std::vector<int> frames_with_news(const Analysis& analysis) {
  const int frames = analysis.pts_us_size();
  std::vector<int> begins;  // of each picture, however often it is shown
  for (int at = 0; at < frames; ++at) {
    if (at == 0 || analysis.motion(at) >= kHeldPicture || follows_a_gap(analysis, at)) {
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

// These frames alone, as if there were no others.
Analysis only(const Analysis& analysis, const std::vector<int>& frames) {
  Analysis out;
  for (const int frame : frames) {
    const auto at = static_cast<size_t>(frame);
    out.add_pts_us(analysis.pts_us(frame));
    out.add_motion(analysis.motion(frame));
    out.add_histogram(analysis.histogram(frame));
    out.mutable_pdq()->append(analysis.pdq(), at * kPdq, kPdq);
    if (!analysis.thumb().empty()) {
      out.mutable_thumb()->append(analysis.thumb(), at * kThumb, kThumb);
    }
    if (at < analysis.pdq_quality().size()) {
      out.mutable_pdq_quality()->push_back(analysis.pdq_quality()[at]);
    }
  }
  return out;
}

// Is every picture up to `before` another one than every picture from `after` on? A flash, a lost
// frame or a dirty one has its like on both sides, and what passes before the camera has soon.
bool stays_different(const Analysis& analysis, int before, int after) {
  const int end = std::min(after + kSoon, analysis.pts_us_size());
  float change = 0;
  for (int i = before + 1; i <= after; ++i) change = std::max(change, analysis.motion(i));
  for (int a = std::max(0, before + 1 - kSoon); a <= before; ++a) {
    for (int b = after; b < end && b - a <= kSoon + after - before; ++b) {
      const bool beside = before - a < 3 && b - after < 3;
      const int bits = bits_between(analysis, a, b);
      if (beside && bits < kOtherPicture) return false;
      // Stripes and the like have bits that noise decides.
      const float difference = thumb_difference(analysis, size_t(a), size_t(b));
      if (beside && difference < std::max(kSameThumb, kLittle * change)) return false;
      if (difference < kSameThumb && bits < kSamePicture) return false;
      // In another light most bits stay; those of two takes of one room do not.
      if (bits < kSameLitBits && thumb_likeness(analysis, size_t(a), size_t(b)) > kSureSameLit) {
        return false;
      }
    }
  }
  return true;
}

float motion_at(const Analysis& analysis, int at) {
  return at < 1 || at >= analysis.motion_size() ? 0 : analysis.motion(at);
}

// Does the picture change at once, within a frame or, where a blended one lies between, two? What
// begins to move or to zoom fast goes on.
bool is_sudden(const Analysis& analysis, int at) {
  const auto motion = [&](int i) { return motion_at(analysis, i); };
  const float here = motion(at);
  return here > motion(at - 1) && here >= motion(at + 1) &&
         here > kTimesBeside * std::max(motion(at - 2), motion(at + 2));
}

// Where everything moves, and fast, another scene has other light.
bool is_other_light(const Analysis& analysis, int at) {
  const float motion = motion_at(analysis, at), histogram = analysis.histogram(at);
  for (int i = std::max(1, at - 2); i <= std::min(at + 2, analysis.histogram_size() - 1); ++i) {
    if (i != at && 2 * analysis.histogram(i) > histogram) return false;
  }
  return motion > kMotion && motion > motion_at(analysis, at - 1) &&
         motion >= motion_at(analysis, at + 1) && histogram > kOtherLight &&
         histogram > kTimesNormal * normal(analysis.histogram(), at, at);
}

bool is_cut(const Analysis& analysis, int at) {
  if (follows_a_gap(analysis, at)) return true;
  const float motion = analysis.motion(at);
  const bool stands_out = motion > kMotion && analysis.histogram(at) > kHistogram &&
                          motion > kTimesNormal * normal(analysis.motion(), at, at) &&
                          is_sudden(analysis, at);
  return (stands_out || is_other_light(analysis, at)) && stays_different(analysis, at - 1, at);
}

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

// Nothing to see: a flash, or black, or a mixture of what lies around.
bool is_between(const Analysis& analysis, int before, int at, int after) {
  if (analysis.pdq_quality().size() > size_t(at) &&
      static_cast<uint8_t>(analysis.pdq_quality()[size_t(at)]) < kFeatureless) {
    return true;
  }
  if (analysis.thumb().size() < kThumb * (size_t(after) + 1) || after - before > 2) return false;
  const float share = share_of_last(analysis, size_t(before), size_t(after), size_t(at));
  return share > 0.1f && share < 0.9f;
}

// The first frame of the next shot, where a few frames from `at` on are neither this one's nor its;
// 0: none.
int cut_over(const Analysis& analysis, int at) {
  const float before = std::max(motion_at(analysis, at - 1), motion_at(analysis, at - 2));
  for (int after = at + 1; after <= at + kFewFrames && after < analysis.pts_us_size(); ++after) {
    float most = 0, histogram = 0;
    for (int i = at; i <= after; ++i) {
      most = std::max(most, analysis.motion(i));
      histogram = std::max(histogram, analysis.histogram(i));
    }
    const float beside =
        std::max({before, motion_at(analysis, after + 1), motion_at(analysis, after + 2)});
    if (most <= kMotion || histogram <= kHistogram || most <= kTimesNormal * beside ||
        std::min(analysis.motion(at), analysis.motion(after)) <= kTimesBeside * beside ||
        most <= kTimesNormal * normal(analysis.motion(), at, after)) {
      continue;
    }
    bool between = true;
    for (int i = at; i < after && between; ++i) between = is_between(analysis, at - 1, i, after);
    if (between && stays_different(analysis, at - 1, after)) return after;
  }
  return 0;
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
    // A lost frame has its like on both sides.
    if (end - first < size_t{kFewFrames} &&
        !stays_different(analysis, static_cast<int>(first) - 1, static_cast<int>(end))) {
      continue;
    }
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
  const std::vector<int> news = frames_with_news(analysis);
  const bool held = news.size() < frames;
  const Analysis fewer = held ? only(analysis, news) : Analysis();
  const Analysis& row = held ? fewer : analysis;
  const auto frame = [&](int at) { return static_cast<size_t>(news[static_cast<size_t>(at)]); };
  for (int at = 1; at < row.pts_us_size(); ++at) {
    int next = cut_over(row, at);
    if (next == 0 && is_cut(row, at)) next = at;
    if (next == 0) continue;
    shot.end = frame(at);
    hard.push_back(shot);
    require_few(hard);
    shot = {.first = frame(next), .end = 0, .begins = Transition::cut};
    at = next;
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

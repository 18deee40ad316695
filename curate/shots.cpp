#include "curate/shots.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <string>
#include <utility>

#include "curate/likeness.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"

namespace cleared::curate {
namespace {

constexpr uint64_t kGapUs = 1'000'000;  // no film holds one frame for so long
// Where a rate was raised by showing pictures again, each is there up to so many times.
constexpr int kMostTimesShown = 6;
constexpr float kHeldPicture = 0.5f;  // mean change of luma that coding it again makes

// What a cut is: one of these. How much the pictures before and after it differ at least, and that
// in times of how much pictures differ on either side of it, in as much time.
struct Rule {
  float luma, change, unlike;        // as in curate/likeness.h
  float times_change, times_unlike;  // change: of the most beside; unlike: of the least
  float histogram = 0;               // Analysis::histogram, and that much of it beside
};
constexpr float kTimesHistogram = 3;
constexpr std::array<Rule, 5> kRules = {{
    {3, 0.6f, 0.4f, 0.6f, 1, 0.25f},  // nothing in common, and other light, though all is new
    {3, 0.6f, 0.4f, 0.6f, 1.7f},      // nothing in common, though all moves
    {3, 0.35f, 0.15f, 1.05f, 2.2f},   // another picture
    {3, 0.19f, 0.05f, 1.5f, 2.5f},    // another picture of one place
    {6, 0.07f, 0.035f, 3.0f, 5.0f},   // a little, in a take where nothing moves
}};
constexpr float kLeastLuma = 3;  // of all of them
constexpr int kBeside = 4;       // pictures to each side that say what is normal here
constexpr int kSoon = 12;        // pictures in which what was covered or lit comes back
constexpr float kBack = 0.45f;   // of what is unlike at the cut: less is the picture that was there
constexpr float kUnlikeRelit = 0.12f;    // what a cut needs where the light is another
constexpr float kUnlikeOverlaid = 0.6f;  // and where an upright box changed
constexpr float kOtherLight = 0.15f;  // share of the luma that changes at a cut to a flat picture
constexpr float kSmeared = 0.1f;      // of the sharpness beside: the camera swings
constexpr int kFewPictures = 4;       // flat or mixed, between two shots

void require_few(const std::vector<Shot>& shots) {
  if (shots.size() < kMostShots) return;
  throw Error(Errc::unsupported, "has more than ", kMostShots, " shots: deliver it in parts");
}

bool follows_a_gap(const Analysis& analysis, int at) {
  return at > 0 && analysis.pts_us(at) - analysis.pts_us(at - 1) > kGapUs;
}

// The frames to look for cuts in: all, but for those that show the picture before them again where
// a rate was raised so. A still, and the short shot of one between two cuts, keeps its frames.
std::vector<int> frames_with_news(const PictureRow& pictures) {
  const Analysis& analysis = pictures.analysis();
  const int frames = pictures.size();
  std::vector<int> begins, out;  // begins: of each picture, however often it is shown
  for (int at = 0; at < frames; ++at) {
    if (at == 0 || analysis.motion(at) >= kHeldPicture || follows_a_gap(analysis, at)) {
      begins.push_back(at);
    }
  }
  begins.push_back(frames);
  const auto times = [&](size_t i) {
    return i + 1 < begins.size() ? begins[i + 1] - begins[i] : 1;
  };
  const auto is_held = [&](size_t i) { return times(i) <= kMostTimesShown; };
  const auto is_other = [&](int at) {
    return at > 0 && at < frames && pictures.change(at - 1, at) > kRules[2].change &&
           pictures.unlike(at - 1, at) > kRules[2].unlike;
  };
  for (size_t i = 0; i + 1 < begins.size(); ++i) {
    const int first = begins[i], end = begins[i + 1];
    bool again = times(i) > 1 && is_held(i) && (i == 0 || is_held(i - 1)) && is_held(i + 1);
    if (again && i > 0 && times(i - 1) == 1 && times(i + 1) == 1) {
      again = !is_other(first) || !is_other(end);
    }
    for (int at = first; at < (again ? first + 1 : end); ++at) out.push_back(at);
  }
  return out;
}

// The pictures of a take beside a cut to compare with the one at its end, on the side of `step`:
// those as much time apart as the cut takes, and on.
std::vector<int> beside(const PictureRow& pictures, int at, int step, uint64_t us) {
  std::vector<int> out;
  for (int i = at + step; i >= 0 && i < pictures.size() && out.size() < kBeside; i += step) {
    if (pictures.us_between(at, i) + us / 8 >= us) out.push_back(i);  // clocks round
  }
  return out;
}

// What a take does by itself: how much the two next ones change.
float change_beside(const PictureRow& pictures, int at, const std::vector<int>& others) {
  float most = 0;
  for (size_t i = 0; i < std::min<size_t>(2, others.size()); ++i) {
    most = std::max(most, pictures.change(at, others[i]));
  }
  return most;
}

// And is there one that is as like? Strobes come round again.
bool has_like(const PictureRow& pictures, int at, const std::vector<int>& others, float unlike) {
  return others.empty() || std::any_of(others.begin(), others.end(), [&](int other) {
           return pictures.is_black(at) == pictures.is_black(other) &&
                  pictures.unlike(at, other) <= unlike;
         });
}

// How much more the histogram changes at a cut than at the pictures beside it.
float new_light(const PictureRow& pictures, int before, int after) {
  const auto histogram = [&](int at) {
    const bool known = at > 0 && at < pictures.size();
    return known ? pictures.analysis().histogram(pictures.frame(at)) : 0;
  };
  float here = 0, most = 0;
  for (int at = before + 1; at <= after; ++at) here = std::max(here, histogram(at));
  for (int i = 0; i < kBeside; ++i)
    most = std::max({most, histogram(before - i), histogram(after + 1 + i)});
  return here < kTimesHistogram * most ? 0 : here;
}

// Is the picture at an end of a shot a blur beside the others of it?
bool is_smeared(const PictureRow& pictures, int at, int step) {
  float most = 0;
  for (int i = 1; i <= kBeside + 1; ++i) {
    const int other = at + i * step;
    if (other >= 0 && other < pictures.size()) most = std::max(most, pictures.sharpness(other));
  }
  return pictures.sharpness(at) < kSmeared * most;
}

// Does the camera swing from one rest to another within a moment? Each picture of the way has
// little in common with the next, and at least one is a blur beside both rests.
bool is_whip(const PictureRow& pictures, int before, int after) {
  constexpr float kFast = 0.4f, kBlurred = 0.25f;
  constexpr int kLongest = 9;  // pictures from rest to rest
  int first = before, last = after;
  while (first > 0 && last - first <= kLongest && pictures.change(first - 1, first) >= kFast) {
    --first;
  }
  while (last + 1 < pictures.size() && last - first <= kLongest &&
         pictures.change(last, last + 1) >= kFast) {
    ++last;
  }
  if (last - first < 3 || last - first > kLongest) return false;
  const float rest = std::min(pictures.sharpness(first), pictures.sharpness(last));
  float blurred = rest;
  for (int at = first + 1; at < last; ++at) {
    if (pictures.is_flat(at)) return false;  // that is no way but a flash
    blurred = std::min(blurred, pictures.sharpness(at));
  }
  return blurred < kBlurred * rest;
}

// Is some picture up to `before` much like one from `after` on? A flash, a lost frame or a dirty
// one has its like on both sides, and what passes before the camera has soon.
bool comes_back(const PictureRow& pictures, int before, int after) {
  constexpr float kWorthALook = 0.7f;
  const float change = pictures.change(before, after), unlike = pictures.unlike(before, after);
  for (int a = before; a >= std::max(0, before - kSoon); --a) {
    for (int b = after; b < pictures.size() && b - a <= kSoon + after - before; ++b) {
      if (pictures.change(a, b) > kWorthALook * change) continue;
      if (pictures.unlike(a, b) < kBack * unlike) return true;
    }
  }
  return false;
}

// Black is no shot, and what is flat for a moment is a flash.
bool is_shown(const PictureRow& pictures, int at, int step) {
  if (!pictures.is_flat(at)) return true;
  bool stays = !pictures.is_black(at);
  for (int i = 1; i <= kFewPictures && stays; ++i) {
    const int other = at + i * step;
    if (other < 0 || other >= pictures.size()) break;
    stays = pictures.luma(at, other) <= kOtherLight * pictures.mean(at);
  }
  return stays;
}

// Are these two pictures the last of a shot and the first of the next? What costs least is asked
// first.
bool is_cut(const PictureRow& pictures, int before, int after) {
  const float change = pictures.change(before, after);
  if (change < kRules.back().change) return false;
  if (!is_shown(pictures, before, -1) || !is_shown(pictures, after, 1)) return false;
  const uint64_t us = pictures.us_between(before, after);
  const std::vector<int> earlier = beside(pictures, before, -1, us);
  const std::vector<int> later = beside(pictures, after, 1, us);
  const float change_by_itself =
      std::max(change_beside(pictures, before, earlier), change_beside(pictures, after, later));
  const float luma = pictures.luma(before, after);
  if (pictures.is_flat(before) || pictures.is_flat(after)) {
    // There is nothing but light to go by.
    if (luma < kOtherLight * std::max(pictures.mean(before), pictures.mean(after))) return false;
  }
  std::vector<Rule> rules;
  for (const Rule& rule : kRules) {
    if (luma >= rule.luma && change >= rule.change &&
        change >= rule.times_change * change_by_itself &&
        (rule.histogram == 0 || new_light(pictures, before, after) >= rule.histogram)) {
      rules.push_back(rule);
    }
  }
  if (rules.empty()) return false;
  const float unlike = pictures.unlike(before, after);
  const bool stands_out = std::any_of(rules.begin(), rules.end(), [&](const Rule& rule) {
    const float by_itself = unlike / rule.times_unlike;
    return unlike >= rule.unlike && has_like(pictures, before, earlier, by_itself) &&
           has_like(pictures, after, later, by_itself);
  });
  if (!stands_out) return false;
  const bool swings = 2 * change_by_itself > change &&
                      (is_smeared(pictures, before, -1) || is_smeared(pictures, after, 1));
  return (unlike >= kUnlikeRelit || !pictures.is_relit(before, after)) &&
         (unlike >= kUnlikeOverlaid || !pictures.is_overlaid(before, after)) &&
         !pictures.is_shifted(before, after) && !swings && !is_whip(pictures, before, after) &&
         !comes_back(pictures, before, after);
}

// Transitions that take time. A frame inside a dissolve is its first frame and its last one mixed,
// ever more of the last: nothing that moves or pans does that.
constexpr float kDissolve = 16;    // mean change of luma from end to end, of 255
constexpr float kUnmixed = 0.22f;  // of that change, what no mixture explains
constexpr float kUneven = 0.15f;   // off the straight line from one picture to the other
constexpr float kNothing = 0.04f;  // of the other picture
constexpr std::array<int, 8> kLengths = {80, 57, 40, 28, 19, 13, 9, 6};  // frames
constexpr float kDark = 12;                                              // mean luma, of 255
constexpr int kDarkRange = 24;          // between the darkest and the brightest part of the picture
constexpr int kClear = 10;              // frames beside it in which a fade is well on its way
constexpr uint64_t kPauseUs = 500'000;  // of black between two shots, though they look alike

bool is_other(const PictureRow& pictures, int a, int b) {
  return pictures.unlike(a, b) >= kRules[2].unlike;
}

// Share of the last picture in the one at `at`, or a negative number when it is no mixture of the
// two.
float share_of_last(const PictureRow& pictures, int first, int last, int at) {
  const uint8_t *a = pictures.thumb(first), *b = pictures.thumb(last), *x = pictures.thumb(at);
  float along = 0, whole = 0, off = 0;
  for (size_t i = 0; i < PictureRow::kPixels; ++i) {
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

// Nothing to see, or a mixture of what lies around: a flash, black, a blended frame.
bool is_between(const PictureRow& pictures, int before, int at, int after) {
  if (pictures.is_flat(at)) return true;
  // Ever more of the last.
  const float share = share_of_last(pictures, before, after, at);
  const float line = static_cast<float>(at - before) / static_cast<float>(after - before);
  return share > 0.1f && share < 0.9f && (after - before <= 2 || std::abs(share - line) <= kUneven);
}

// A cut over a few frames that mix both: as short as that, what moves, or is laid over a picture,
// mixes two pictures as well, but not two that have little in common, and from rest to rest.
bool is_soft_cut(const PictureRow& pictures, int before, int after) {
  constexpr float kChange = 0.4f, kUnlike = 0.25f, kStep = 0.4f;
  if (before == 0 || after + 1 == pictures.size()) return false;
  const float step = pictures.change(before, after) / static_cast<float>(after - before);
  return pictures.change(before, after) >= kChange &&
         pictures.change(before - 1, before) < kStep * step &&
         pictures.change(after, after + 1) < kStep * step &&
         pictures.unlike(before, after) >= kUnlike;
}

// The first picture of the shot that follows the one before `at`, with up to a few from `at` on
// that are neither this one's nor its; 0: there is no cut.
int next_shot(const PictureRow& pictures, int at) {
  if (pictures.us_between(at - 1, at) > kGapUs || is_cut(pictures, at - 1, at)) return at;
  for (int after = at + 1; after <= at + kFewPictures && after < pictures.size(); ++after) {
    if (pictures.luma(at - 1, after) < kLeastLuma) continue;
    bool between = true;
    for (int i = at; i < after && between; ++i) between = is_between(pictures, at - 1, i, after);
    if (!between || !is_cut(pictures, at - 1, after)) continue;
    if (after - at > 1 && !pictures.is_flat(at) && !is_soft_cut(pictures, at - 1, after)) continue;
    return after;
  }
  return 0;
}

// What moves smoothly is a mixture too, for a moment; but it does not come from rest and go to it.
bool rests_around(const PictureRow& pictures, const Shot& shot, int first, int length) {
  const int last = first + length;
  const int before = std::min(length / 2, first - static_cast<int>(shot.first));
  const int after = std::min(length / 2, static_cast<int>(shot.end) - 1 - last);
  const auto pace = [&](int a, int b) { return pictures.luma(a, b) / static_cast<float>(b - a); };
  const float most = pace(first, last) / 2;
  return before >= 2 && after >= 2 && pace(first - before, first) < most &&
         pace(last, last + after) < most;
}

bool is_dissolve(const PictureRow& pictures, const Shot& shot, int first, int length) {
  const int last = first + length;
  if (pictures.luma(first, last) < kDissolve) return false;
  if (share_of_last(pictures, first, last, first + length / 2) < 0) return false;
  if (!rests_around(pictures, shot, first, length)) return false;
  float before = 0;
  for (int i = 1; i < length; ++i) {
    const float share = share_of_last(pictures, first, last, first + i);
    const float line = static_cast<float>(i) / static_cast<float>(length);
    if (share < 0 || share < before - 0.02f || std::abs(share - line) > kUneven) return false;
    before = share;
  }
  return is_other(pictures, first, last);
}

bool is_dark(const PictureRow& pictures, int at) {
  const uint8_t* pixels = pictures.thumb(at);
  const auto [low, high] = std::minmax_element(pixels, pixels + PictureRow::kPixels);
  return pictures.mean(at) <= kDark && *high - *low <= kDarkRange;
}

// Black between two pictures of `shot`, as frames [first, end); nothing found: empty.
Shot find_black(const PictureRow& pictures, const Shot& shot) {
  const int begin = static_cast<int>(shot.first), end = static_cast<int>(shot.end);
  for (int first = begin + 1; first < end; ++first) {
    if (!is_dark(pictures, first) || is_dark(pictures, first - 1)) continue;
    int next = first;
    while (next < end && is_dark(pictures, next)) ++next;
    if (next == end) return {};
    // A lost frame has its like on both sides.
    if (next - first <= kFewPictures &&
        (!is_other(pictures, first - 1, next) || comes_back(pictures, first - 1, next))) {
      continue;
    }
    // Where it comes from and where it goes to is clear a little away from the black.
    const int before = std::max(begin, first - kClear), after = std::min(next + kClear, end - 1);
    if (pictures.us_between(first, next) >= kPauseUs || is_other(pictures, before, after)) {
      return {.first = size_t(first), .end = size_t(next), .begins = Transition::fade};
    }
  }
  return {};
}

// As `shot` is split at what fades or dissolves in it. Each looks at every frame a few times at
// most, however many shots come of it: films are made to be slow, too.
void split_at_black(const PictureRow& pictures, Shot shot, std::vector<Shot>& out) {
  for (Shot black; (black = find_black(pictures, shot)).end > 0;) {
    out.push_back({.first = shot.first, .end = black.first, .begins = shot.begins});
    require_few(out);
    shot = {.first = black.end, .end = shot.end, .begins = black.begins};
  }
  out.push_back(shot);
}

void split_at_dissolves(const PictureRow& pictures, int length, Shot shot, std::vector<Shot>& out) {
  for (int first = int(shot.first); first + length < int(shot.end); ++first) {
    if (!is_dissolve(pictures, shot, first, length)) continue;
    const int last = first + length;
    const auto share = [&](int at) { return share_of_last(pictures, first, last, at); };
    int end = first + 1, next = last;
    while (end < last && share(end) < kNothing) ++end;
    while (next > end && share(next - 1) > 1 - kNothing) --next;
    out.push_back({.first = shot.first, .end = size_t(end), .begins = shot.begins});
    require_few(out);
    shot = {.first = size_t(next), .end = shot.end, .begins = Transition::dissolve};
    first = last - 1;
  }
  out.push_back(shot);
}

}  // namespace

std::vector<Shot> find_shots(const Analysis& analysis) {
  std::vector<Shot> hard, shots;
  const auto frames = static_cast<size_t>(analysis.pts_us_size());
  std::vector<int> all(frames);
  std::iota(all.begin(), all.end(), 0);
  const std::string thumbs = without_bars(analysis);
  const PictureRow each(analysis, thumbs, all);
  const std::vector<int> news = frames_with_news(each);
  const PictureRow pictures(analysis, thumbs, news);
  Shot shot;
  for (int at = 1; at < pictures.size(); ++at) {
    const int next = next_shot(pictures, at);
    if (next == 0) continue;
    shot.end = static_cast<size_t>(pictures.frame(at));
    hard.push_back(shot);
    require_few(hard);
    shot = {
        .first = static_cast<size_t>(pictures.frame(next)), .end = 0, .begins = Transition::cut};
    at = next;
  }
  shot.end = frames;
  if (frames > 0) hard.push_back(shot);
  for (const Shot& one : hard) split_at_black(each, one, shots);
  for (const int length : kLengths) {
    std::vector<Shot> parts;
    for (const Shot& one : shots) split_at_dissolves(each, length, one, parts);
    shots = std::move(parts);
  }
  return shots;
}

}  // namespace cleared::curate

#include "curate/shots.h"

#include <algorithm>

#include "curate/pdq.h"
#include "curate/worker.pb.h"

namespace cleared::curate {
namespace {

constexpr int kWindow = 12;   // frames to each side that say what is normal here
constexpr float kMotion = 6;  // mean change of luma, of 255
constexpr float kTimesNormal = 3;
constexpr float kHistogram = 0.015f;    // share of pixels that change their band
constexpr int kOtherPicture = 64;       // bits of the fingerprint, of 256
constexpr uint64_t kGapUs = 1'000'000;  // no film holds one frame for so long

// Mean motion around frame `at`, itself left out.
float normal_motion(const Analysis& analysis, int at) {
  float sum = 0;
  int count = 0;
  const int last = std::min(at + kWindow, analysis.motion_size() - 1);
  for (int i = std::max(1, at - kWindow); i <= last; ++i) {
    if (i == at) continue;
    sum += analysis.motion(i);
    ++count;
  }
  return count == 0 ? 0 : sum / static_cast<float>(count);
}

// Is every picture around here before `at` another one than every picture after? A flash, a lost
// frame or a dirty one has its like on both sides.
bool stays_different(const Analysis& analysis, int at) {
  const int last = std::min(at + 3, analysis.pts_us_size());
  for (int before = std::max(0, at - 3); before < at; ++before) {
    for (int after = at; after < last; ++after) {
      const int bits = distance(pdq_at(analysis.pdq(), static_cast<size_t>(before)),
                                pdq_at(analysis.pdq(), static_cast<size_t>(after)));
      if (bits < kOtherPicture) return false;
    }
  }
  return true;
}

bool is_cut(const Analysis& analysis, int at) {
  if (analysis.pts_us(at) - analysis.pts_us(at - 1) > kGapUs) return true;
  const float motion = analysis.motion(at);
  return motion > kMotion && analysis.histogram(at) > kHistogram &&
         motion > kTimesNormal * normal_motion(analysis, at) && stays_different(analysis, at);
}

}  // namespace

std::vector<Shot> find_shots(const Analysis& analysis) {
  std::vector<Shot> shots;
  size_t first = 0;
  for (int at = 1; at < analysis.pts_us_size(); ++at) {
    if (!is_cut(analysis, at)) continue;
    shots.push_back({first, static_cast<size_t>(at)});
    first = static_cast<size_t>(at);
  }
  if (analysis.pts_us_size() > 0) {
    shots.push_back({first, static_cast<size_t>(analysis.pts_us_size())});
  }
  return shots;
}

}  // namespace cleared::curate

#include "curate/speech.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace cleared::curate {
namespace {

constexpr size_t kWindow = 100, kHop = 25;  // moments
constexpr uint64_t kMomentUs = 20'000;
constexpr double kFloorDb = -60, kRangeDb = 45;
// Chosen on prompts and music of Debian's Asterisk packages; docs/accuracy.md has the errors.
constexpr double kLeastLevelDb = -50, kLeastSyllables = 0.10, kLeastQuiet = 0.25,
                 kLeastChanges = 0.12;

}  // namespace

bool is_speech(const SpeechFinder::Signs& signs) {
  return signs.level_db >= kLeastLevelDb && signs.syllables >= kLeastSyllables &&
         signs.quiet >= kLeastQuiet && signs.changes >= kLeastChanges;
}

void SpeechFinder::add(std::span<const int16_t> samples) {
  rest_.insert(rest_.end(), samples.begin(), samples.end());
  size_t done = 0;
  for (; rest_.size() - done >= kMoment; done += kMoment) {
    double power = 0;
    int crossings = 0;
    float last = 0;
    for (size_t i = done; i < done + kMoment; ++i) {
      const auto sample = static_cast<float>(rest_[i]) / 32768.0F;
      const float filtered = sample - 0.95F * before_;  // against hum and bass
      before_ = sample;
      power += double{filtered} * filtered;
      crossings += i > done && (filtered < 0) != (last < 0);
      last = filtered;
    }
    amplitude_.push_back(static_cast<float>(std::sqrt(power / kMoment)));
    crossings_.push_back(static_cast<float>(crossings) / kMoment);
  }
  rest_.erase(rest_.begin(), rest_.begin() + static_cast<ptrdiff_t>(done));
}

SpeechFinder::Signs SpeechFinder::signs(size_t first) const {
  Signs out;
  if (first + kWindow > amplitude_.size()) return out;
  double sum = 0, power = 0;
  for (size_t i = first; i < first + kWindow; ++i) {
    sum += amplitude_[i];
    power += double{amplitude_[i]} * amplitude_[i];
  }
  const double mean = sum / kWindow;
  out.level_db = std::max(-100.0, 10 * std::log10(power / kWindow + 1e-10));
  std::array<double, kWindow> level{};
  double middle = 0;
  for (size_t i = 0; i < kWindow; ++i) {
    const double db = 20 * std::log10(double{amplitude_[first + i]} + 1e-6);
    level[i] = std::max({db, kFloorDb, out.level_db - kRangeDb});
    middle += level[i] / kWindow;
    out.quiet += amplitude_[first + i] < mean / 2 ? 1.0 / kWindow : 0;
  }
  // Waves of k / 2 Hz over the two seconds.
  double syllables = 0, all = 1e-9;
  for (size_t k = 1; k <= 40; ++k) {
    double re = 0, im = 0;
    for (size_t i = 0; i < kWindow; ++i) {
      const double hann = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * (double(i) + 0.5) / kWindow);
      const double turn = 2 * std::numbers::pi * double(k * i) / kWindow;
      re += hann * (level[i] - middle) * std::cos(turn);
      im += hann * (level[i] - middle) * std::sin(turn);
    }
    const double wave = re * re + im * im;
    all += wave;
    if (k >= 5 && k <= 14) syllables += wave;
  }
  out.syllables = syllables / all;
  double rate = 0, squares = 0, weight = 1e-9;
  for (size_t i = first; i < first + kWindow; ++i) {
    if (amplitude_[i] < mean / 10) continue;  // noise of silence
    rate += crossings_[i];
    squares += double{crossings_[i]} * crossings_[i];
    weight += 1;
  }
  out.changes = std::sqrt(std::max(0.0, squares / weight - rate * rate / weight / weight));
  return out;
}

std::vector<std::pair<uint64_t, uint64_t>> SpeechFinder::finish() const {
  std::vector<std::pair<uint64_t, uint64_t>> out;
  for (size_t first = 0; first + kWindow <= amplitude_.size(); first += kHop) {
    if (!is_speech(signs(first))) continue;
    const uint64_t start = first * kMomentUs, end = (first + kWindow) * kMomentUs;
    if (!out.empty() && out.back().second >= start) {
      out.back().second = end;
    } else {
      out.emplace_back(start, end);
    }
  }
  return out;
}

}  // namespace cleared::curate

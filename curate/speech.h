// Where somebody may be speaking in a sound track, by the classical signs: syllables move the level
// at about 4 Hz, pauses leave many quiet moments, and voiced and unvoiced sounds change places
// (Scheirer and Slaney, Construction and Evaluation of a Robust Multifeature Speech/Music
// Discriminator, 1997). No model, no words. It only ever asks for a person to listen; how often it
// is wrong: docs/accuracy.md. One object per thread and source.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace cleared::curate {

inline constexpr int kSpeechRate = 8000;  // samples a second

class SpeechFinder {
 public:
  // Mono, kSpeechRate, in order.
  void add(std::span<const int16_t> samples);
  // Spans in microseconds of the sound, in order, none touching the next. Two seconds are judged
  // at a time, every half second; shorter sound is none.
  std::vector<std::pair<uint64_t, uint64_t>> finish() const;

  struct Signs {
    double level_db = -100;  // of full scale
    double syllables = 0;    // [0, 1], share of the level's movement that is at 2.5 to 7 Hz
    double quiet = 0;        // [0, 1], share of moments below half the mean amplitude
    double changes = 0;      // standard deviation of the rate of zero crossings, [0, 0.5]
  };
  Signs signs(size_t first) const;  // of the two seconds from this moment on; for measuring
  size_t moments() const { return amplitude_.size(); }

 private:
  static constexpr size_t kMoment = kSpeechRate / 50;  // 20 ms

  std::vector<float> amplitude_;  // of each moment, root mean square
  std::vector<float> crossings_;  // share of neighbours that differ in sign
  std::vector<int16_t> rest_;     // less than a moment
  float before_ = 0;              // sample before, for the filter
};

bool is_speech(const SpeechFinder::Signs& signs);

}  // namespace cleared::curate

#include "curate/measure_facts.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "curate/bars.h"
#include "curate/worker.pb.h"

namespace cleared::curate {
namespace {

using ledger::MeasureRecord;

constexpr int kTimesPerRecord = 700;  // 41 bytes each: a record has 65,535
constexpr int kSameBars = 2;          // pixels between the bars of a frame and those of its shot

const char* transition_name(Transition transition) {
  switch (transition) {
    case Transition::none:
      return "start";
    case Transition::cut:
      return "cut";
    case Transition::dissolve:
      return "dissolve";
    case Transition::fade:
      return "fade";
  }
  return "";
}

class Measures {
 public:
  Measures(const Digest& source, const Analysis& analysis, const std::vector<Shot>& shots)
      : source_(source), analysis_(analysis), shots_(shots) {}

  std::vector<MeasureRecord> all() {
    for (const Shot& shot : shots_) add_shot(shot);
    if (!analysis_.notes().empty()) {
      const auto last = static_cast<int>(analysis_.pts_us_size()) - 1;
      add("media", 0, analysis_.pts_us(last) + analysis_.frame_us()).set_note(analysis_.notes());
    }
    const auto bars = bars_of_shots(analysis_, shots_);
    for (size_t i = 0; i < shots_.size(); ++i) {
      if (bars[i]) add_bars(shots_[i], *bars[i]);
    }
    for (const Analysis::Logo& logo : analysis_.logo()) add_logo(logo);
    for (int i = 0; i + 1 < analysis_.silence_us_size(); i += 2) {
      add("silence", analysis_.silence_us(i), analysis_.silence_us(i + 1));
    }
    if (analysis_.has_loudness_lufs()) {
      add("loudness", analysis_.sound_start_us(), analysis_.sound_end_us())
          .set_value(analysis_.loudness_lufs());
    }
    return std::move(out_);
  }

 private:
  MeasureRecord& add(const char* kind, uint64_t start_us, uint64_t end_us) {
    MeasureRecord& record = out_.emplace_back();
    record.set_source(std::string(source_.text()));
    record.set_kind(kind);
    record.set_start_us(start_us);
    record.set_end_us(end_us);
    return record;
  }
  uint64_t start_of(const Shot& shot) const {
    return analysis_.pts_us(static_cast<int>(shot.first));
  }
  uint64_t end_of(const Shot& shot) const {
    return analysis_.pts_us(static_cast<int>(shot.end - 1)) + analysis_.frame_us();
  }

  void add_shot(const Shot& shot) {
    double motion = 0;
    for (size_t i = shot.first + 1; i < shot.end; ++i)
      motion += analysis_.motion(static_cast<int>(i));
    MeasureRecord& record = add("shot", start_of(shot), end_of(shot));
    const auto steps = static_cast<double>(std::max<size_t>(shot.end - shot.first, 2) - 1);
    record.set_value(static_cast<float>(motion / steps));
    record.set_note(transition_name(shot.begins));
  }

  void add_bars(const Shot& shot, const Edges& bars) {
    const std::vector<int> times = cropped_times(shot, bars);
    const auto width = static_cast<int>(analysis_.width());
    const auto height = static_cast<int>(analysis_.height());
    const int* black = bars.black;
    const int shown_width = width - black[Edges::left] - black[Edges::right];
    const int shown_height = height - black[Edges::top] - black[Edges::bottom];
    for (size_t first = 0; first == 0 || first < times.size(); first += kTimesPerRecord) {
      const size_t end = std::min<size_t>(first + kTimesPerRecord, times.size());
      const bool begins = first == 0, ends = end == times.size();
      MeasureRecord& record =
          add("bars", begins ? start_of(shot) : analysis_.cropped_pts_us(times[first]),
              ends ? end_of(shot) : analysis_.cropped_pts_us(times[end]));
      record.set_value(
          static_cast<float>(double(shown_width) * shown_height / (double(width) * height)));
      record.set_x(static_cast<uint32_t>(black[Edges::left]));
      record.set_y(static_cast<uint32_t>(black[Edges::top]));
      record.set_width(static_cast<uint32_t>(shown_width));
      record.set_height(static_cast<uint32_t>(shown_height));
      record.set_note(bars_name(bars));
      for (size_t i = first; i < end; ++i) {
        const auto at = static_cast<size_t>(times[i]);
        record.add_pts_us(analysis_.cropped_pts_us(times[i]));
        record.mutable_pdq()->append(analysis_.cropped_pdq(), 32 * at, 32);
        record.mutable_quality()->append(analysis_.cropped_quality(), at, 1);
      }
    }
  }

  // Of the shot's cropped fingerprints those that were cropped as the whole shot is.
  std::vector<int> cropped_times(const Shot& shot, const Edges& bars) const {
    std::vector<int> out;
    const uint64_t start_us = start_of(shot), end_us = end_of(shot);
    const auto index_of = [](const auto& times, uint64_t at_us) {
      return static_cast<int>(std::lower_bound(times.begin(), times.end(), at_us) - times.begin());
    };
    const auto& times_us = analysis_.cropped_pts_us();
    for (int i = index_of(times_us, start_us); i < times_us.size() && times_us[i] < end_us; ++i) {
      const int sample = index_of(analysis_.edge_pts_us(), times_us[i]);  // there is one
      bool same = true;
      for (int side = 0; side < 4; ++side) {
        const auto black = static_cast<int>(analysis_.edge(5 * sample + side));
        same = same && std::abs(black - bars.black[side]) <= kSameBars;
      }
      if (same) out.push_back(i);
    }
    return out;
  }

  void add_logo(const Analysis::Logo& logo) {
    MeasureRecord& record = add("logo", logo.start_us(), logo.end_us());
    record.set_value(logo.still());
    record.set_x(logo.x());
    record.set_y(logo.y());
    record.set_width(logo.width());
    record.set_height(logo.height());
  }

  const Digest& source_;
  const Analysis& analysis_;
  const std::vector<Shot>& shots_;
  std::vector<MeasureRecord> out_;
};

template <class Times>
bool rising(const Times& times) {
  return std::adjacent_find(times.begin(), times.end(),
                            [](uint64_t a, uint64_t b) { return a >= b; }) == times.end();
}

bool edges_are_whole(const Analysis& a) {
  if (a.edge_size() != 5 * a.edge_pts_us_size() || !rising(a.edge_pts_us())) return false;
  for (int i = 0; i < a.edge_size(); i += 5) {
    if (uint64_t{a.edge(i)} + a.edge(i + 2) >= a.width() ||
        uint64_t{a.edge(i + 1)} + a.edge(i + 3) >= a.height() || a.edge(i + 4) > 15) {
      return false;
    }
  }
  const auto times = static_cast<size_t>(a.cropped_pts_us_size());
  return a.cropped_pdq().size() == 32 * times && a.cropped_quality().size() == times &&
         rising(a.cropped_pts_us()) &&
         std::includes(a.edge_pts_us().begin(), a.edge_pts_us().end(), a.cropped_pts_us().begin(),
                       a.cropped_pts_us().end());
}

bool is_logo(const Analysis::Logo& logo, const Analysis& a) {
  return logo.start_us() < logo.end_us() && logo.end_us() < uint64_t{1} << 51 && logo.width() > 0 &&
         logo.height() > 0 && uint64_t{logo.x()} + logo.width() <= a.width() &&
         uint64_t{logo.y()} + logo.height() <= a.height() && logo.still() >= 0 && logo.still() <= 1;
}

}  // namespace

const char* fault_of_measures(const Analysis& a) {
  if (!edges_are_whole(a)) return "the edges of its pictures";
  if (!std::all_of(a.logo().begin(), a.logo().end(),
                   [&](const Analysis::Logo& logo) { return is_logo(logo, a); })) {
    return "a logo";
  }
  if (a.has_loudness_lufs() && !(std::abs(a.loudness_lufs()) <= 100)) return "its loudness";
  if (a.silence_us_size() % 2 != 0 || !rising(a.silence_us())) return "its silence";
  if (a.sound_end_us() > uint64_t{1} << 51 || a.sound_start_us() > a.sound_end_us() ||
      (a.silence_us_size() > 0 && *a.silence_us().rbegin() > a.sound_end_us())) {
    return "the times of its sound";
  }
  return nullptr;
}

std::vector<MeasureRecord> measures_of(const Digest& source, const Analysis& analysis,
                                       const std::vector<Shot>& shots) {
  return Measures(source, analysis, shots).all();
}

}  // namespace cleared::curate

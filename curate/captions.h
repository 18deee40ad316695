// What the delivery says about a source, in words: a sidecar beside it, or a line of the delivery's
// table. Both came from outside. What is wrong with one costs the caption and no more: the source
// is taken in without words, and says so. Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "curate/delivery.h"

namespace cleared::curate {

inline constexpr size_t kCaptionBytes = 2000;
inline constexpr uint64_t kSidecarBytes = 1 << 20;
inline constexpr const char* kCaptionTable = "captions.csv";  // at the top of a delivery

struct Cue {
  uint64_t start_us = 0, end_us = 0;  // from the first frame
  std::string text;
};

struct Caption {
  std::string text;       // one line, at most kCaptionBytes
  std::string origin;     // "a.txt", "a.srt", "captions.csv:7"; empty: there is none
  std::vector<Cue> cues;  // when not empty, a clip is about what is said in it
  std::string problem;    // "caption a.txt left out: is not UTF-8"; then there are no words
};

class Captions {
 public:
  // Reads the delivery's table, once.
  explicit Captions(const std::filesystem::path& delivery);
  // NAME.txt, NAME.srt or NAME.json beside NAME.mp4, or the same after its whole name
  // (NAME.mp4.txt); else its line in the table.
  Caption of(const DeliveredFile& source) const;
  // Its lines about files that are none of `paths`: "captions.csv:7: a.mp4", printable.
  std::vector<std::string> for_none_of(const std::set<std::string>& paths) const;
  // Why the table is left out, as a line; empty: it is good, or there is none.
  const std::string& problem() const { return problem_; }

 private:
  struct Row {
    std::string text;
    size_t line = 0;
  };
  std::map<std::string, Row> rows_;  // by path
  std::string problem_;
};

// Of the clip between these times, at most kCaptionBytes.
std::string clip_caption(const Caption& caption, uint64_t start_us, uint64_t end_us);

// Formats, from bytes. Error{corrupt} with the line and what is wrong there. Characters that are
// for machines and not for readers (controls, direction overrides) become spaces.
Caption parse_text_caption(std::string_view bytes);
Caption parse_subtitles(std::string_view bytes);     // SubRip
Caption parse_json_caption(std::string_view bytes);  // {"caption": "...", "cues": [...]}
// Fields of each record, and the line on which it begins, as in RFC 4180.
struct CsvRecord {
  size_t line = 0;
  std::vector<std::string> fields;
};
std::vector<CsvRecord> parse_csv(std::string_view bytes);

}  // namespace cleared::curate

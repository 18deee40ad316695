#include "curate/captions.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include <nlohmann/json.hpp>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/utf8.h"

namespace cleared::curate {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kTableBytes = 64 << 20;
constexpr size_t kMostCues = 20'000;
constexpr size_t kMostFields = 2'000'000;  // of a table: each costs memory, however short

// Of the characters that steer a terminal or turn the direction of text.
bool is_for_machines(std::string_view character) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(character[i]); };
  if (character.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7F;
  if (character.size() == 2) return byte(0) == 0xC2 && byte(1) < 0xA0;  // U+0080 to U+009F
  if (character.size() != 3 || byte(0) != 0xE2) return false;
  return (byte(1) == 0x80 && (byte(2) >= 0xAA && byte(2) <= 0xAE)) ||  // U+202A to U+202E
         (byte(1) == 0x80 && (byte(2) == 0xA8 || byte(2) == 0xA9)) ||  // line and paragraph ends
         (byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9);      // U+2066 to U+2069
}

// One line, without what is for machines, no space at its ends nor two of them inside.
std::string cleaned(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = std::max<size_t>(first_code_point(text).bytes, 1);
    const std::string_view character = text.substr(0, length);
    text.remove_prefix(length);
    if (!is_for_machines(character) && character != " ") {
      out += character;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

void append_words(std::string& out, const std::string& more) {
  if (more.empty() || out.size() > kCaptionBytes) return;
  if (!out.empty()) out += ' ';
  out += more;
}

std::string_view require_utf8(std::string_view bytes) {
  if (!is_utf8(bytes)) throw Error(Errc::corrupt, "is not UTF-8");
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  return bytes;
}

std::string joined(const std::vector<Cue>& cues) {
  std::string out;
  for (const Cue& cue : cues) append_words(out, cue.text);
  return std::string(first_bytes(out, kCaptionBytes));
}

[[noreturn]] void bad_line(size_t line, std::string_view why) {
  throw Error(Errc::corrupt, "line ", line, ": ", why);
}

class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {}
  // Without its end. Nothing at the end of the text.
  std::optional<std::string_view> next() {
    if (text_.empty()) return std::nullopt;
    ++number_;
    const size_t end = std::min(text_.find('\n'), text_.size());
    std::string_view line = text_.substr(0, end);
    text_.remove_prefix(std::min(end + 1, text_.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }
  size_t number() const { return number_; }

 private:
  std::string_view text_;
  size_t number_ = 0;
};

// "00:01:02,500" at the start of `text`, which moves past it.
std::optional<uint64_t> take_time(std::string_view& text) {
  static constexpr std::string_view kForm = "00:00:00,000";
  if (text.size() < kForm.size()) return std::nullopt;
  uint64_t number[4] = {};
  size_t part = 0;
  for (size_t i = 0; i < kForm.size(); ++i) {
    const char c = text[i];
    if (kForm[i] == '0') {
      if (c < '0' || c > '9') return std::nullopt;
      number[part] = number[part] * 10 + static_cast<uint64_t>(c - '0');
    } else {
      if (c != kForm[i] && !(kForm[i] == ',' && c == '.')) return std::nullopt;
      ++part;
    }
  }
  if (number[1] > 59 || number[2] > 59) return std::nullopt;
  text.remove_prefix(kForm.size());
  return ((number[0] * 60 + number[1]) * 60 + number[2]) * 1'000'000 + number[3] * 1000;
}

std::optional<Cue> cue_of_times(std::string_view line) {
  Cue out;
  const auto start = take_time(line);
  if (!start || !line.starts_with(" --> ")) return std::nullopt;
  line.remove_prefix(5);
  const auto end = take_time(line);
  if (!end || *end < *start || (!line.empty() && line[0] != ' ')) return std::nullopt;
  return Cue{.start_us = *start, .end_us = *end, .text = ""};
}

// Without <i> and the like, and without {\an8}.
std::string without_tags(std::string_view text) {
  std::string out;
  struct {
    char end;
    bool comes = true;  // once it does not, nobody looks for it at each further beginning
  } ends[] = {{'>'}, {'}'}};
  while (!text.empty()) {
    const bool braces = text.starts_with("{\\");
    auto& closing = ends[braces ? 1 : 0];
    const bool tag = (braces || text[0] == '<') && closing.comes;
    const size_t end = tag ? text.find(closing.end) : std::string_view::npos;
    if (tag) closing.comes = end != std::string_view::npos;
    if (end != std::string_view::npos) {
      text.remove_prefix(end + 1);
    } else {
      out += text[0];
      text.remove_prefix(1);
    }
  }
  return out;
}

uint64_t json_time_us(const nlohmann::json& cue, const char* name) {
  const auto found = cue.find(name);
  if (found == cue.end() || !found->is_number()) {
    throw Error(Errc::corrupt, "cues: each has a number of seconds as \"", name, "\"");
  }
  const double seconds = found->get<double>();
  if (!(seconds >= 0 && seconds < 1e6)) throw Error(Errc::corrupt, "cues: ", name, " is no time");
  return static_cast<uint64_t>(std::llround(seconds * 1e6));
}

std::string json_text(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return "";
  if (!found->is_string()) throw Error(Errc::corrupt, "\"", name, "\" is no text");
  return cleaned(found->get<std::string>());
}

using Parse = Caption (*)(std::string_view);
constexpr std::pair<const char*, Parse> kFormats[] = {
    {".txt", parse_text_caption}, {".srt", parse_subtitles}, {".json", parse_json_caption}};

Caption left_out(const std::string& name, const char* why) {
  return {.text = "",
          .origin = "",
          .cues = {},
          .problem = "caption " + printable(name) + " left out: " + printable(why)};
}

Caption read_sidecar(const fs::path& path, Parse parse) {
  const std::string name = path.filename().string();
  try {
    if (!has_plain_file(path)) return {};
    Caption out = parse(read_file(path, kSidecarBytes));
    out.origin = printable(name);
    return out;
  } catch (const Error& error) {
    if (error.code() == Errc::io) throw;  // the machine, not the file
    return left_out(name, error.what());
  }
}

}  // namespace

Caption parse_text_caption(std::string_view bytes) {
  std::string text = cleaned(require_utf8(bytes));
  if (text.size() > kCaptionBytes) {
    throw Error(Errc::corrupt, "is longer than ", kCaptionBytes, " bytes");
  }
  return {.text = std::move(text), .origin = "", .cues = {}, .problem = ""};
}

Caption parse_subtitles(std::string_view bytes) {
  Lines lines(require_utf8(bytes));
  Caption out;
  std::optional<std::string_view> line;
  while ((line = lines.next())) {
    if (line->find_first_not_of(" \t") == std::string_view::npos) continue;
    if (line->find_first_not_of("0123456789") == std::string_view::npos) line = lines.next();
    std::optional<Cue> cue;
    if (line) cue = cue_of_times(*line);
    if (!cue) bad_line(lines.number(), "is no time like 00:00:01,000 --> 00:00:02,000");
    std::string text;
    while ((line = lines.next()) && !line->empty()) append_words(text, without_tags(*line));
    cue->text = first_bytes(cleaned(text), kCaptionBytes);
    if (!cue->text.empty()) out.cues.push_back(std::move(*cue));
    if (out.cues.size() > kMostCues) bad_line(lines.number(), "more than 20,000 cues");
  }
  std::stable_sort(out.cues.begin(), out.cues.end(),
                   [](const Cue& a, const Cue& b) { return a.start_us < b.start_us; });
  out.text = joined(out.cues);
  return out;
}

Caption parse_json_caption(std::string_view bytes) {
  nlohmann::json object;
  try {
    object = nlohmann::json::parse(require_utf8(bytes));
  } catch (const nlohmann::json::parse_error& error) {
    throw Error(Errc::corrupt, "is not JSON, at byte ", error.byte);
  } catch (const nlohmann::json::exception&) {
    throw Error(Errc::corrupt, "has a number that is too large");
  }
  if (!object.is_object()) throw Error(Errc::corrupt, "is no JSON object");
  Caption out;
  out.text = json_text(object, "caption");
  if (out.text.size() > kCaptionBytes) {
    throw Error(Errc::corrupt, "\"caption\" is longer than ", kCaptionBytes, " bytes");
  }
  const auto cues = object.find("cues");
  if (cues == object.end()) return out;
  if (!cues->is_array() || cues->size() > kMostCues) {
    throw Error(Errc::corrupt, "\"cues\" is no list of at most 20,000");
  }
  for (const nlohmann::json& item : *cues) {
    if (!item.is_object()) throw Error(Errc::corrupt, "cues: each is an object");
    Cue cue{.start_us = json_time_us(item, "start_s"),
            .end_us = json_time_us(item, "end_s"),
            .text = std::string(first_bytes(json_text(item, "text"), kCaptionBytes))};
    if (cue.end_us < cue.start_us) throw Error(Errc::corrupt, "cues: one ends before it starts");
    out.cues.push_back(std::move(cue));
  }
  std::stable_sort(out.cues.begin(), out.cues.end(),
                   [](const Cue& a, const Cue& b) { return a.start_us < b.start_us; });
  if (out.text.empty()) out.text = joined(out.cues);
  return out;
}

std::vector<CsvRecord> parse_csv(std::string_view bytes) {
  std::string_view text = require_utf8(bytes);
  std::vector<CsvRecord> out;
  size_t line = 1, fields = 0;
  while (!text.empty()) {
    CsvRecord& record = out.emplace_back();
    record.line = line;
    for (bool more = true; more;) {
      std::string field;
      if (text.starts_with('"')) {
        for (text.remove_prefix(1);; text.remove_prefix(1)) {
          if (text.empty()) bad_line(record.line, "a quote is not closed");
          const bool escaped = text.starts_with("\"\"");
          if (!escaped && text[0] == '"') break;
          if (escaped) text.remove_prefix(1);
          line += text[0] == '\n';
          field += text[0];
        }
        text.remove_prefix(1);
        if (!text.empty() && text[0] != ',' && text[0] != '\n' && text[0] != '\r') {
          bad_line(line, "something follows a closing quote");
        }
      } else {
        const size_t end = std::min(text.find_first_of(",\r\n"), text.size());
        field = text.substr(0, end);
        if (field.find('"') != std::string::npos) bad_line(line, "a quote inside a field");
        text.remove_prefix(end);
      }
      if (++fields > kMostFields) bad_line(record.line, "more than 2,000,000 fields up to here");
      record.fields.push_back(std::move(field));
      more = text.starts_with(',');
      if (more) text.remove_prefix(1);
    }
    if (text.starts_with('\r')) text.remove_prefix(1);
    if (!text.empty() && text[0] != '\n') bad_line(line, "a line ends in the middle");
    if (!text.empty()) text.remove_prefix(1);
    ++line;
    if (record.fields.size() == 1 && record.fields[0].empty()) out.pop_back();  // an empty line
  }
  return out;
}

Captions::Captions(const fs::path& delivery) {
  const fs::path path = delivery / kCaptionTable;
  try {
    if (!has_plain_file(path)) return;
    const std::vector<CsvRecord> records = parse_csv(read_file(path, kTableBytes));
    if (records.empty()) throw Error(Errc::corrupt, "is empty: its first line names the columns");
    const auto& titles = records.front().fields;
    const auto column = [&](const char* title) {
      const auto at = std::find(titles.begin(), titles.end(), title);
      if (at == titles.end()) bad_line(1, std::string("has no column ") + title);
      return static_cast<size_t>(at - titles.begin());
    };
    const size_t path_column = column("path"), caption_column = column("caption");
    for (size_t i = 1; i < records.size(); ++i) {
      const CsvRecord& record = records[i];
      if (record.fields.size() != titles.size()) {
        bad_line(record.line, "has " + std::to_string(record.fields.size()) + " fields, line 1 " +
                                  std::to_string(titles.size()));
      }
      std::string text = cleaned(record.fields[caption_column]);
      if (text.size() > kCaptionBytes) bad_line(record.line, "its caption is over 2,000 bytes");
      const bool first =
          rows_.insert({record.fields[path_column], {std::move(text), record.line}}).second;
      if (!first) bad_line(record.line, "its path is on a line before");
    }
  } catch (const Error& error) {
    if (error.code() == Errc::io) throw;
    rows_.clear();
    problem_ = std::string(kCaptionTable) + " left out: " + printable(error.what());
  }
}

Caption Captions::of(const DeliveredFile& source) const {
  for (const auto& [extension, parse] : kFormats) {
    for (const fs::path& sidecar : {fs::path(source.file).replace_extension(extension),
                                    fs::path(source.file.string() + extension)}) {
      std::error_code none;
      const auto type = fs::symlink_status(sidecar, none).type();
      if (type == fs::file_type::not_found || type == fs::file_type::none) continue;
      return read_sidecar(sidecar, parse);
    }
  }
  const auto row = rows_.find(source.path);
  if (row == rows_.end()) return {};
  return {.text = row->second.text,
          .origin = std::string(kCaptionTable) + ":" + std::to_string(row->second.line),
          .cues = {},
          .problem = ""};
}

std::vector<std::string> Captions::for_none_of(const std::set<std::string>& paths) const {
  std::map<size_t, std::string> by_line;
  for (const auto& [path, row] : rows_) {
    if (!paths.contains(path)) by_line[row.line] = path;
  }
  std::vector<std::string> out;
  for (const auto& [line, path] : by_line) {
    out.push_back(std::string(kCaptionTable) + ":" + std::to_string(line) + ": " + printable(path));
  }
  return out;
}

std::string clip_caption(const Caption& caption, uint64_t start_us, uint64_t end_us) {
  if (caption.cues.empty()) return caption.text;
  std::string out;
  for (const Cue& cue : caption.cues) {
    if (cue.start_us < end_us && cue.end_us > start_us) append_words(out, cue.text);
  }
  return std::string(first_bytes(out, kCaptionBytes));
}

}  // namespace cleared::curate

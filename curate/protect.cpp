#include "curate/protect.h"

#include <algorithm>
#include <cstdio>

#include "curate/delivery.h"
#include "curate/facts.h"
#include "curate/fingerprint.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/store.h"

namespace cleared::curate {
namespace {

std::string clock_text(uint64_t us) {
  char text[40];
  const auto hundredths = static_cast<unsigned long long>((us + 5000) / 10000);
  std::snprintf(text, sizeof text, "%llu:%02llu.%02llu", hundredths / 6000, hundredths / 100 % 60,
                hundredths % 100);
  return text;
}

}  // namespace

std::filesystem::path protected_folder(const std::filesystem::path& ledger) {
  return only_name(ledger).string() + ".protected";
}

bool add_protected(const std::filesystem::path& folder, const std::string& fingerprint) {
  const NamedFootage work = parse_fingerprint(fingerprint, "the fingerprint");
  const auto path = folder / (to_hex(work.footage.digest) + ".print");
  if (std::filesystem::exists(path)) return false;
  make_folders(folder);
  write_file(path, fingerprint);
  return true;
}

ProtectedWorks::ProtectedWorks(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(folder, problem)) {
    if (entry.path().extension() == ".print") files.push_back(entry.path());
  }
  if (problem && problem != std::errc::no_such_file_or_directory) {
    throw Error(Errc::io, "read ", folder.string(), ": ", problem.message());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    NamedFootage work = parse_fingerprint(read_file(file), file.string());
    names_.push_back(std::move(work.name));
    index_.add(std::move(work.footage));
  }
}

std::vector<ProtectedMatch> ProtectedWorks::find(const Footage& footage,
                                                 const Duplicates& rules) const {
  std::vector<ProtectedMatch> out;
  for (const Match& match : index_.find(footage, rules, Self::also)) {
    out.push_back({.name = names_[match.of], .match = match});
  }
  return out;
}

std::vector<ProtectedMatch> ProtectedWorks::find_sound(
    const Footage& footage, const Duplicates& rules, std::span<const ProtectedMatch> found) const {
  std::vector<Match> matches;
  for (const ProtectedMatch& one : found) matches.push_back(one.match);
  std::vector<ProtectedMatch> out;
  for (const Match& match : index_.find_sound(footage, rules, matches, Self::also)) {
    out.push_back({.name = names_[match.of], .match = match});
  }
  return out;
}

std::vector<std::pair<std::string, ProtectedMatch>> recorded_protected(
    const std::filesystem::path& ledger, const ProtectedWorks& works, const Config& config) {
  std::vector<std::pair<std::string, ProtectedMatch>> out;
  const ledger::Store store(ledger, ledger::Access::read);
  const DuplicateIndex index = read_index(store);
  ledger::Statement sources(store.db(), "SELECT path FROM source ORDER BY seq");
  for (size_t i = 0; sources.next(); ++i) {
    for (ProtectedMatch& found : works.find(index.whole_footage(i), config.duplicates())) {
      out.emplace_back(printable(sources.text(0)), std::move(found));
    }
  }
  return out;
}

std::string describe(const Match& match, const std::string& name) {
  const auto spans = [&](const char* is) {
    return clock_text(match.start_us) + " to " + clock_text(match.end_us) + is +
           clock_text(match.of_start_us) + " to " + clock_text(match.of_end_us) + " of " + name;
  };
  if (match.how == std::string_view("sound")) return spans(" sounds like ");
  char tail[80];
  std::snprintf(tail, sizeof tail, ", distance %.1f", match.distance);
  std::string how = match.how == std::string_view("whole") ? "" : match.how;
  if (match.speed != 1) {
    char speed[40];
    std::snprintf(speed, sizeof speed, "%s%.3g times as fast", how.empty() ? "" : ", ",
                  match.speed);
    how += speed;
  }
  return spans(" is ") + (how.empty() ? "" : " (" + how + ")") + tail;
}

}  // namespace cleared::curate

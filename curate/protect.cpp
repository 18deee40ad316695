#include "curate/protect.h"

#include <algorithm>
#include <cstdio>

#include <sys/stat.h>

#include "curate/delivery.h"
#include "curate/facts.h"
#include "curate/fingerprint.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
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

// When an entry of the folder was made or removed; 0 where there is none.
int64_t changed_ns(const std::filesystem::path& folder) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) return 0;
  return info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec;
}

}  // namespace

std::filesystem::path protected_folder(const std::filesystem::path& ledger) {
  return only_name(ledger).string() + ".protected";
}

bool add_protected(const std::filesystem::path& folder, const std::string& fingerprint) {
  parse_fingerprint(fingerprint, "the fingerprint");
  const auto path = folder / (to_hex(ledger::sha256(fingerprint)) + ".print");
  if (std::filesystem::exists(path) && read_file(path) == fingerprint) return false;
  make_folders(folder);
  write_file(path, fingerprint);
  return true;
}

bool pictures_tell(const Footage& work) {
  DuplicateIndex alone;
  alone.add(work);
  const auto matches = alone.find(work, Duplicates(), Self::also);
  return !matches.empty() && matches.front().how != std::string_view("the same bytes");
}

ProtectedWorks::ProtectedWorks(const std::filesystem::path& folder)
    : folder_(folder), changed_ns_(changed_ns(folder)) {
  std::vector<std::filesystem::path> files;
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(folder, problem)) {
    if (entry.path().extension() == ".print") files.push_back(entry.path());
  }
  const bool none = !std::filesystem::is_symlink(std::filesystem::symlink_status(folder));
  if (problem && !(problem == std::errc::no_such_file_or_directory && none)) {
    throw Error(Errc::io, "read ", folder.string(), ": ", problem.message());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    NamedFootage work = parse_fingerprint(read_file(file), file.string());
    names_.push_back(std::move(work.name));
    index_.add(std::move(work.footage));
  }
}

ProtectedWorks protected_works(const ledger::Store& store) {
  const std::filesystem::path folder = protected_folder(store.path());
  ProtectedWorks works(folder);
  if (!std::filesystem::exists(folder) &&
      store.db().integer("SELECT EXISTS (SELECT 1 FROM refusal WHERE rule = 'protected')") != 0) {
    throw Error(Errc::corrupt, folder.string(),
                ": is gone, and footage was refused for works in it; restore it, or make an empty "
                "folder there to protect nothing any more");
  }
  return works;
}

bool ProtectedWorks::is_current() const {
  return changed_ns(folder_) == changed_ns_;
}

std::vector<ProtectedMatch> ProtectedWorks::find(const Footage& footage,
                                                 const Duplicates& rules) const {
  std::vector<ProtectedMatch> out;
  for (const Match& match : index_.find(footage, no_looser(rules), Self::also)) {
    out.push_back({names_[match.of], match, index_.footage(match.of).digest});
  }
  return out;
}

std::vector<RecordedMatch> recorded_protected(const std::filesystem::path& ledger,
                                              const ProtectedWorks& works, const Config& config) {
  std::vector<RecordedMatch> out;
  const ledger::Store store(ledger, ledger::Access::read);
  const DuplicateIndex index = read_index(store);
  ledger::Statement sources(store.db(), "SELECT path, seq FROM source ORDER BY seq");
  ledger::Statement shards(
      store.db(),
      "SELECT DISTINCT h.name, h.root FROM source_clip v JOIN sample p ON p.clip = v.clip "
      "JOIN shard h ON h.seq = p.shard WHERE v.source = ? AND v.start_us < ? AND ? < v.end_us AND "
      "h.seq NOT IN (SELECT shard FROM revocation WHERE shard IS NOT NULL) ORDER BY h.seq");
  for (size_t i = 0; sources.next(); ++i) {
    for (ProtectedMatch& found : works.find(index.whole_footage(i), config.duplicates())) {
      RecordedMatch& one = out.emplace_back();
      // Of a source that shows a work nothing is packed; of one that sounds like it, other clips.
      const bool all = !found.match.sound_alone();
      shards.with(sources.integer(1), all ? INT64_MAX : static_cast<int64_t>(found.match.end_us),
                  all ? int64_t{-1} : static_cast<int64_t>(found.match.start_us));
      while (shards.next()) one.shards.push_back(take_back(ledger, shards.text(0), shards.text(1)));
      one.path = printable(sources.text(0));
      one.found = std::move(found);
    }
  }
  return out;
}

std::string take_back(const std::filesystem::path& ledger, std::string_view name,
                      std::string_view root) {
  return std::string(name) + ": ledger revoke " + ledger.string() + " " +
         std::string(root.substr(0, 16)) + " --reason \"shows a protected work\" --key KEY";
}

std::string describe(const Match& match, const std::string& name) {
  const auto spans = [&](const char* is) {
    return clock_text(match.start_us) + " to " + clock_text(match.end_us) + is +
           clock_text(match.of_start_us) + " to " + clock_text(match.of_end_us) + " of " + name;
  };
  if (match.sound_alone()) return spans(" sounds like ");
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

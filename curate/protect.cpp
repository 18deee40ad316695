#include "curate/protect.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

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

// Where the file of a work lies, unless somebody gave it another name.
std::filesystem::path print_path(const std::filesystem::path& folder, std::string_view digest) {
  return folder / (std::string(digest) + ".print");
}

// When an entry of the folder was made or removed; 0 where there is none.
int64_t changed_ns(const std::filesystem::path& folder) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) return 0;
  return info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec;
}

// What on record is not there; empty: all is.
std::string missing_work(const ledger::Store& store, const PrintFolder& folder) {
  std::set<std::string> there;
  for (const PrintFile& file : folder.files) there.insert(to_hex(file.digest));
  return ledger::missing_work(store, there);
}

ledger::Fact protection_fact(const Digest& print, const std::string& name, bool removed) {
  ledger::Fact fact;
  ledger::ProtectionRecord& record = *fact.mutable_protection();
  record.set_fingerprint(std::string(print.text()));
  record.set_name(name);
  record.set_removed(removed);
  return fact;
}

bool is_on_record(const ledger::Store& store, const std::string& print) {
  ledger::Statement known(store.db(), "SELECT 1 FROM protected_work WHERE fingerprint = ?");
  return known.with(print).next();
}

// By the digest of the file, in hex: those on record, and those that only lie there.
std::map<std::string, std::string> names_of_works(const ledger::Store& store,
                                                  const PrintFolder& folder) {
  std::map<std::string, std::string> names;
  for (const PrintFile& file : folder.files) {
    try {
      names[to_hex(file.digest)] = parse_fingerprint(file.bytes, file.path.string()).name;
    } catch (const Error&) {  // of no work
    }
  }
  ledger::Statement works(store.db(), "SELECT fingerprint, name FROM protected_work");
  while (works.next()) names[works.text(0)] = works.text(1);
  return names;
}

}  // namespace

bool add_protected(const std::filesystem::path& folder, const std::string& fingerprint) {
  parse_fingerprint(fingerprint, "the fingerprint");
  const auto path = print_path(folder, to_hex(ledger::sha256(fingerprint)));
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

PrintFolder::PrintFolder(std::filesystem::path folder)
    : path(std::move(folder)), changed_ns(curate::changed_ns(path)) {
  std::vector<std::filesystem::path> paths;
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(path, problem)) {
    if (entry.path().extension() == ".print") paths.push_back(entry.path());
  }
  const bool none = !std::filesystem::is_symlink(std::filesystem::symlink_status(path));
  if (problem && !(problem == std::errc::no_such_file_or_directory && none)) {
    throw Error(Errc::io, "read ", path.string(), ": ", problem.message());
  }
  std::sort(paths.begin(), paths.end());
  for (const auto& file : paths) {
    std::string bytes = read_file(file);
    const Digest digest = ledger::sha256(bytes);
    files.push_back({file, std::move(bytes), digest});
  }
}

ProtectedWorks::ProtectedWorks(const PrintFolder& folder)
    : folder_(folder.path), changed_ns_(folder.changed_ns) {
  for (const PrintFile& file : folder.files) {
    NamedFootage work = parse_fingerprint(file.bytes, file.path.string());
    names_.push_back(std::move(work.name));
    prints_.push_back(file.digest);
    index_.add(std::move(work.footage));
  }
}

ProtectedWorks protected_works(const ledger::Store& store) {
  PrintFolder folder(protected_folder(store.path()));
  std::string missing = missing_work(store, folder);
  if (!missing.empty()) {  // a file comes before its record: one may have come between the looks
    folder = PrintFolder(folder.path);
    missing = missing_work(store, folder);
  }
  if (!missing.empty()) throw Error(Errc::corrupt, missing);
  if (!std::filesystem::exists(folder.path) &&
      store.db().integer("SELECT EXISTS (SELECT 1 FROM refusal WHERE rule = 'protected') AND NOT "
                         "EXISTS (SELECT 1 FROM protection)") != 0) {
    throw Error(Errc::corrupt, folder.path.string(),
                ": is gone, and footage was refused for works in it; restore it, or make an empty "
                "folder there to protect nothing any more");
  }
  return ProtectedWorks(folder);
}

size_t record_works(ledger::Store& store, const ProtectedWorks& works) {
  std::vector<ledger::Fact> facts;
  for (size_t i = 0; i < works.size(); ++i) {
    if (is_on_record(store, to_hex(works.print(i)))) continue;
    facts.push_back(protection_fact(works.print(i), works.name(i), false));
  }
  return facts.empty() ? 0 : store.append(facts).added;
}

RemovedWork remove_protected(ledger::Store& store, const std::string& work) {
  constexpr size_t kLeastDigits = 8;
  const PrintFolder folder(protected_folder(store.path()));
  std::map<std::string, std::string> found = names_of_works(store, folder);
  std::erase_if(found, [&](const auto& one) {
    return one.second != work && !(work.size() >= kLeastDigits && one.first.starts_with(work));
  });
  if (found.empty()) throw Error(Errc::not_found, "no work ", printable(work), " is protected");
  if (found.size() > 1) {
    std::string all;
    for (const auto& [print, name] : found) all += ' ' + print.substr(0, 16);
    throw Error(Errc::usage, printable(work), " names several works; say which:", all);
  }
  const auto& [hex, name] = *found.begin();
  RemovedWork out{.name = name, .print = *parse_digest(hex), .record = store.size()};
  if (is_on_record(store, hex)) {
    store.append({protection_fact(out.print, name, true)});
  } else {  // it is on record that it was protected, too
    store.append({protection_fact(out.print, name, false), protection_fact(out.print, name, true)});
    ++out.record;
  }
  for (const PrintFile& file : folder.files) {
    if (file.digest == out.print) std::filesystem::remove(file.path);
  }
  std::filesystem::remove(print_path(folder.path, hex));  // where it was altered
  return out;
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

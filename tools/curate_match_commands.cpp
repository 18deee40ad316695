#include "tools/curate_match_commands.h"

#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "curate/config.h"
#include "curate/config.pb.h"
#include "curate/facts.h"
#include "curate/fingerprint.h"
#include "curate/groups.h"
#include "curate/match.h"
#include "curate/protect.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/utf8.h"
#include "ledger/store.h"
#include "tools/cli.h"

namespace cleared::tools {

struct MatchCommands::Options {
  std::vector<std::string> files, against;
  std::string ledger, out = ".", config, keep = "oldest";
  bool json = false, quiet = false;
};

namespace {

namespace fs = std::filesystem;

constexpr const char* kFingerprintExamples = R"(Examples:
  curate fingerprint film.mp4                      writes film.mp4.print
  curate fingerprint reels/*.mxf --out prints      writes prints/NAME.print
A fingerprint file is enough to recognise copies of the footage, whole or in part; the pictures cannot be
made from it. Send it to whoever should keep the footage out: curate protect add. Two files of one name need
two --out, and a fingerprint that is there stays: 2 where another would take its place.)";

constexpr const char* kMatchExamples = R"(Examples:
  curate match --ledger film.db offer.mp4          is it, or a part of it, in the ledger or protected?
  curate match --against prints offer.mp4          is it one of these fingerprint files, or this footage?
  curate match offer.mp4 --against a.print --against b.print    --against once for each
  curate match --ledger film.db offer.mp4 --json   one JSON object a match
Exit codes: 0 nothing matches, 1 something does, 4 nothing does, and some files could not be read.)";

constexpr const char* kProtectExamples = R"(Examples:
  curate protect add --ledger film.db feature.mp4       footage: it is fingerprinted and left where it is
  curate protect add --ledger film.db from-owner.print  a fingerprint that its owner made
  curate protect list --ledger film.db
  curate protect check --ledger film.db                 what was taken in before the work was protected
  curate protect remove --ledger film.db feature.mp4    by its name, or its digits as `list` prints them
From then on curate ingest refuses what shows a part of it. What is added and removed is on record: a work on
record whose file is gone or was altered stops every command that asks, until it is put back or removed.
Exit codes: check 1, add 4 where something was taken in before, with the command that takes back its shards;
65 a work on record is not there; 75 remove while another command holds the ledger.)";

constexpr const char* kDuplicatesExamples = R"(Examples:
  curate duplicates --ledger film.db                 what is there more than once; ingest keeps the oldest
  curate duplicates --ledger film.db --keep best     which of each group has the best picture
  curate duplicates --ledger film.db --keep licence --json
It says and changes nothing. Exit codes: 0 no group, 1 there are some.)";

nlohmann::json to_json(const std::string& file, const curate::FoundFootage& found) {
  const curate::Match& m = found.match;
  nlohmann::json out = {{"file", is_utf8(file) ? file : with_escapes(file)},
                        {"of", found.name},
                        {"protected", found.is_protected},
                        {"start_us", m.start_us},
                        {"end_us", m.end_us},
                        {"of_start_us", m.of_start_us},
                        {"of_end_us", m.of_end_us},
                        {"speed", m.speed},
                        {"distance", m.distance},
                        {"audio_match", m.audio_match},
                        {"weight", m.weight},
                        {"how", m.how}};
  if (!found.licensor.empty()) {
    out["licensor"] = found.licensor;
    out["licences"] = found.licences;
  }
  return out;
}

void print_found(const std::string& file, const curate::FoundFootage& found, bool json) {
  if (json) {
    std::printf("%s\n", to_json(file, found).dump().c_str());
    return;
  }
  std::string tail;
  for (const std::string& licence : found.licences) tail += (tail.empty() ? " " : ", ") + licence;
  if (!found.licensor.empty()) tail = "; licensed by " + found.licensor + " under" + tail;
  std::printf("%-9s %s: %s%s\n", found.is_protected ? "protected" : "match",
              printable(file).c_str(), curate::describe(found.match, found.name).c_str(),
              tail.c_str());
}

// What was taken in before it was protected, and how to take back the shards that have it. Of these
// works alone, where some are given. Returns how many matches.
size_t print_recorded(const std::string& ledger, const curate::ProtectedWorks& works,
                      const curate::Config& config, bool json, const std::set<Digest>* of) {
  size_t matches = 0;
  for (const auto& [path, found, shards] : curate::recorded_protected(ledger, works, config)) {
    if (of != nullptr && !of->contains(found.work)) continue;
    ++matches;
    const curate::FoundFootage shown{.name = found.name,
                                     .licensor = {},
                                     .licences = {},
                                     .is_protected = true,
                                     .match = found.match};
    if (json) {
      nlohmann::json line = to_json(path, shown);
      line["shards"] = shards;
      std::printf("%s\n", line.dump().c_str());
      continue;
    }
    print_found(path, shown, false);
    for (const std::string& shard : shards) {
      std::printf("  in %s\n", printable(shard).c_str());
    }
  }
  return matches;
}

std::string span_text(uint64_t start_us, uint64_t end_us) {
  char text[64];
  std::snprintf(text, sizeof text, "%.2f s to %.2f s", double(start_us) / 1e6,
                double(end_us) / 1e6);
  return text;
}

nlohmann::json to_json(const curate::Group& group, size_t number, curate::Keep keep) {
  nlohmann::json out = {{"group", number},
                        {"verdict", group.conflict ? "conflict" : "duplicate"},
                        {"keep", curate::keep_name(keep)},
                        {"kept", nullptr},
                        {"members", nlohmann::json::array()},
                        {"spans", nlohmann::json::array()}};
  for (const curate::GroupMember& m : group.members) {
    if (m.kept) out["kept"] = m.path;
    out["members"].push_back({{"record", m.record},
                              {"path", m.path},
                              {"digest", m.digest},
                              {"licensor", m.licensor},
                              {"licences", m.licences},
                              {"start_us", m.start_us},
                              {"end_us", m.end_us},
                              {"width", m.width},
                              {"height", m.height},
                              {"kept", m.kept},
                              {"reason", m.reason}});
  }
  for (const curate::SharedSpan& s : group.spans) {
    out["spans"].push_back({{"record", s.record},
                            {"path", s.path},
                            {"of", s.of},
                            {"start_us", s.start_us},
                            {"end_us", s.end_us},
                            {"of_start_us", s.of_start_us},
                            {"of_end_us", s.of_end_us},
                            {"distance", s.distance},
                            {"audio_match", s.audio_match},
                            {"verdict", s.conflict ? "conflict" : "duplicate"},
                            {"said", s.said}});
  }
  return out;
}

void print_group(const curate::Group& group, size_t number) {
  std::printf(
      "group %zu: %s\n", number,
      group.conflict ? "two licensors claim it, both sides are quarantined" : "the same footage");
  for (const curate::GroupMember& m : group.members) {
    std::string licences;
    for (const std::string& licence : m.licences) licences += " " + licence;
    std::printf("  %-9s %s, %s: %s; licensed by %s under%s\n",
                m.kept           ? "kept"
                : group.conflict ? "conflict"
                                 : "duplicate",
                printable(m.path).c_str(), span_text(m.start_us, m.end_us).c_str(),
                printable(m.reason).c_str(), printable(m.licensor).c_str(),
                printable(licences).c_str());
  }
  for (const curate::SharedSpan& s : group.spans) {
    if (!s.said.empty()) {
      std::printf("  %-9s %s\n", "claim", printable(s.said).c_str());
      continue;
    }
    std::printf("  %-9s %s, %s is %s of %s, distance %.1f\n", "span", printable(s.path).c_str(),
                span_text(s.start_us, s.end_us).c_str(),
                span_text(s.of_start_us, s.of_end_us).c_str(), printable(s.of).c_str(), s.distance);
  }
}

// On record at once, or by whoever holds the ledger.
void record_added(const std::string& ledger, const std::vector<std::string>& names) {
  try {
    ledger::Store store(ledger, ledger::Access::append);
    curate::record_works(store, curate::protected_works(store));
    curate::sign_if_keyed(store, {});
  } catch (const Error& error) {
    if (error.code() != Errc::busy) throw;
    std::printf(
        "%s is being written to: %s protected from now on, and put on record by a curate "
        "ingest that is running, or by the next curate ingest, shard or protect add\n",
        ledger.c_str(), names.size() == 1 ? "the work is" : "the works are");
  }
}

int remove_works(const std::string& ledger, const std::vector<std::string>& works, bool json) {
  ledger::Store store(ledger, ledger::Access::append);
  for (const std::string& work : works) {
    const curate::RemovedWork removed = curate::remove_protected(store, work);
    const std::string print = to_hex(removed.print);
    if (json) {
      const nlohmann::json line = {
          {"name", removed.name}, {"fingerprint", print}, {"record", removed.record}};
      std::printf("%s\n", line.dump().c_str());
    } else {
      std::printf("%-9s %.16s %s: no longer protected, by record %llu\n", "removed", print.c_str(),
                  printable(removed.name).c_str(), static_cast<unsigned long long>(removed.record));
    }
  }
  curate::sign_if_keyed(store, {});
  return Exit::exit_ok;
}

int print_duplicates(const std::string& ledger, const std::string& word, bool json) {
  const curate::Keep keep = curate::parse_keep(word);
  const ledger::Store store(ledger, ledger::Access::read);
  size_t number = 0;
  for (const curate::Group& group : curate::duplicate_groups(store, keep)) {
    ++number;
    if (json) {
      std::printf("%s\n", to_json(group, number, keep).dump().c_str());
    } else {
      print_group(group, number);
    }
  }
  return number > 0 ? Exit::exit_no : Exit::exit_ok;
}

// Calls visit for each file; one that cannot be read costs a line. Returns how many.
template <class Visit>
size_t each_file(const std::vector<std::string>& files, const Visit& visit) {
  size_t failed = 0;
  for (const std::string& file : files) {
    try {
      visit(file);
    } catch (const Error& error) {
      if (error.code() == Errc::io || error.code() == Errc::usage || files.size() == 1) throw;
      std::fprintf(stderr, "%s\n", printable(error.what()).c_str());
      ++failed;
    }
    std::fflush(stdout);
  }
  return failed;
}

// In "match A --against X Y" whoever wrote it means Y as one more to compare with, and to the
// parser it is one more to ask about.
void require_one_place(const CLI::App& match) {
  bool files = false, against_after = false;
  for (const CLI::Option* option : match.parse_order()) {
    const bool is_file = option->get_positional();
    if (is_file && against_after) {
      throw Error(Errc::usage,
                  "match: there are FILES before --against and after it: write --against before "
                  "each that is compared with (--against X --against Y), and the FILES together");
    }
    files = files || is_file;
    against_after = files && (against_after || option->check_name("--against"));
  }
}

constexpr size_t kLongestFileName =
    240;  // file systems take 255, and it is written under a longer one

fs::path print_of(const fs::path& folder, const fs::path& file) {
  return folder / (file.filename().string() + ".print");
}

}  // namespace

MatchCommands::MatchCommands(CLI::App& app) : options_(std::make_unique<Options>()) {
  Options& o = *options_;
  fingerprint_ = app.add_subcommand("fingerprint", "what can be sent instead of footage");
  fingerprint_->footer(kFingerprintExamples);
  fingerprint_->add_option("FILE", o.files, "footage")->required();
  fingerprint_->add_option("--out", o.out, "folder for NAME.print; default: this one");
  fingerprint_->add_option("--config", o.config, "for its limits; default: its values");
  fingerprint_->add_flag("-q,--quiet", o.quiet, "do not print its name");

  match_ = app.add_subcommand("match", "is this footage, or a part of it, known?");
  match_->footer(kMatchExamples);
  match_->add_option("FILE", o.files, "footage, or a fingerprint file")->required();
  match_->add_option("--ledger", o.ledger, "ledger file: its sources and its protected works");
  match_
      ->add_option("--against", o.against,
                   "fingerprint files, footage, or folders of them; once for each")
      ->allow_extra_args(false);
  match_->add_option("--config", o.config, "for its duplicates and limits; default: its values");
  match_->add_flag("--json", o.json, "one JSON object a match");
  match_->add_flag("-q,--quiet", o.quiet, "only the exit code");

  duplicates_ = app.add_subcommand("duplicates", "what is in the ledger more than once");
  duplicates_->footer(kDuplicatesExamples);
  duplicates_->add_option("--ledger", o.ledger, "ledger file")->required();
  duplicates_->add_option("--keep", o.keep,
                          "which of a group: best (picture), oldest (record) or licence (ends "
                          "last); default: oldest");
  duplicates_->add_flag("--json", o.json, "one JSON object a group");

  protect_ = app.add_subcommand("protect", "works that must never be taken in");
  protect_->footer(kProtectExamples);
  protect_->require_subcommand(1);
  add_ = protect_->add_subcommand("add", "protect footage, or what a fingerprint file stands for");
  add_->add_option("FILE", o.files, "footage or fingerprint files")->required();
  list_ = protect_->add_subcommand("list", "the protected works");
  check_ = protect_->add_subcommand("check", "recorded sources that show a protected work");
  remove_ = protect_->add_subcommand("remove", "end the protection of a work, on record");
  remove_->add_option("WORK", o.files, "its name, or how its fingerprint begins: see list")
      ->required();
  for (CLI::App* command : {add_, list_, check_, remove_}) {
    command->footer(kProtectExamples);
    command->add_option("--ledger", o.ledger, "ledger file")->required();
    command->add_flag("--json", o.json, "one JSON object a line");
    if (command == remove_) continue;
    command->add_option("--config", o.config, "for its duplicates and limits");
  }
}

MatchCommands::~MatchCommands() = default;

bool MatchCommands::parsed() const {
  return fingerprint_->parsed() || match_->parsed() || duplicates_->parsed() || protect_->parsed();
}

int MatchCommands::run() {
  const Options& o = *options_;
  if (duplicates_->parsed()) return print_duplicates(o.ledger, o.keep, o.json);
  if (remove_->parsed()) return remove_works(o.ledger, o.files, o.json);
  const curate::Config config = curate::read_config(o.config);
  const auto examine = [&](const std::string& file) {
    return curate::examine_file(file, config.limits(), {});
  };
  if (fingerprint_->parsed()) {
    std::map<fs::path, std::string> prints;  // and what each is of
    for (const std::string& file : o.files) {
      const auto [known, first] = prints.emplace(print_of(o.out, file), file);
      if (known->first.filename().native().size() > kLongestFileName) {
        throw Error(Errc::usage, file, ": with .print its name is longer than ", kLongestFileName,
                    " bytes: give it a shorter one");
      }
      if (first || known->second == file) continue;
      throw Error(Errc::usage, known->second, " and ", file, ": both would become ",
                  known->first.string(), ": give each an --out of its own");
    }
    const size_t failed = each_file(o.files, [&](const std::string& file) {
      const fs::path out = print_of(o.out, file);
      const std::string bytes = examine(file).fingerprint;
      make_folders(o.out);
      if (fs::exists(out) && read_file(out) != bytes) {
        throw Error(Errc::usage, out.string(), " is there already and is not the fingerprint of ",
                    file, ": take it away, or give another --out");
      }
      write_file(out, bytes);
      if (!o.quiet) std::printf("%s\n", printable(out.string()).c_str());
    });
    return failed > 0 ? Exit::exit_partial : Exit::exit_ok;
  }
  if (match_->parsed()) {
    if (o.ledger.empty() && o.against.empty()) {
      throw Error(Errc::usage, "match needs --ledger or --against");
    }
    require_one_place(*match_);
    const curate::Matcher matcher(
        {.ledger = o.ledger, .against = {o.against.begin(), o.against.end()}, .worker = {}},
        config);
    size_t matches = 0;
    const size_t failed = each_file(o.files, [&](const std::string& file) {
      const auto all = matcher.find(file);
      matches += all.size();
      if (o.quiet) return;
      for (const auto& found : all) print_found(file, found, o.json);
      if (all.empty() && !o.json) std::printf("%-9s %s\n", "no match", printable(file).c_str());
    });
    // An answer is never hidden by a file that gave none.
    return matches > 0 ? Exit::exit_no : failed > 0 ? Exit::exit_partial : Exit::exit_ok;
  }
  // A mistyped name is an error: works beside no ledger would protect nothing.
  const ledger::Store store(o.ledger, ledger::Access::read);
  const fs::path folder = curate::protected_folder(o.ledger);
  if (add_->parsed()) {
    std::set<Digest> added;
    const size_t failed = each_file(o.files, [&](const std::string& file) {
      const curate::ExaminedFile examined = examine(file);
      const bool fresh = curate::add_protected(folder, examined.fingerprint);
      if (fresh) added.insert(examined.named.footage.digest);
      std::printf("%-9s %s%s\n", fresh ? "protected" : "already", printable(file).c_str(),
                  curate::pictures_tell(examined.named.footage)
                      ? ""
                      : ": nothing in it moves, or it is too short: only its exact bytes are "
                        "recognised");
    });
    record_added(o.ledger, o.files);
    const size_t before = added.empty() ? 0
                                        : print_recorded(o.ledger, curate::ProtectedWorks(folder),
                                                         config, o.json, &added);
    return failed + before > 0 ? Exit::exit_partial : Exit::exit_ok;
  }
  const curate::ProtectedWorks works = curate::protected_works(store);
  if (list_->parsed()) {
    for (size_t i = 0; i < works.size(); ++i) {
      const auto& footage = works.footage(i);
      const std::string digest = to_hex(footage.digest), print = to_hex(works.print(i));
      if (o.json) {
        std::printf("%s\n", nlohmann::json({{"name", works.name(i)},
                                            {"digest", digest},
                                            {"fingerprint", print},
                                            {"frames", footage.pts_us.size()}})
                                .dump()
                                .c_str());
      } else {
        std::printf("%.16s %s, %zu frames\n", print.c_str(), works.name(i).c_str(),
                    footage.pts_us.size());
      }
    }
    return Exit::exit_ok;
  }
  return print_recorded(o.ledger, works, config, o.json, nullptr) > 0 ? Exit::exit_no
                                                                      : Exit::exit_ok;
}

}  // namespace cleared::tools

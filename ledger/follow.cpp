#include "ledger/follow.h"

#include <algorithm>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/publish.h"
#include "ledger/tiles.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

constexpr int kMostEvidence = 99;

std::string optional_file(const fs::path& path) try {
  return read_file(path, kMaxHeadFileBytes);
} catch (const Error& error) {
  if (error.code() == Errc::not_found) return "";
  throw;
}

// A head that a log has signed obliges it to serve these files: their absence is its failure and
// not a wrong name on our side.
Fetch owed(const Fetch& fetch) {
  return [fetch](const std::string& path, uint64_t limit_bytes) {
    try {
      return fetch(path, limit_bytes);
    } catch (const Error& error) {
      // A partial tile may be replaced by the full one, so the reader wants to know.
      if (error.code() != Errc::not_found || path.find(".p/") != std::string::npos) throw;
      throw Error(Errc::io, path, ": is not served, though the tree head needs it");
    }
  };
}

// Does this file say that these two heads contradict each other, whoever else signed them?
bool is_about(const std::string& evidence, const std::string& before, const std::string& now) {
  return evidence.find(before) != std::string::npos && evidence.find(now) != std::string::npos;
}

// Both heads, and why the answer is no. Two that contradict each other only the log's key can make:
// each pair is kept, once. Any other answer whoever serves the files can bring about, with heads of
// his own or with old ones, and as often as he likes: of these the newest is kept.
fs::path write_evidence(const FollowReport& report, const FollowOptions& options,
                        const fs::path& state) {
  const std::string before = "---- seen before\n", now = "---- seen now\n";
  const std::string text =
      report.reason + "\n\n" + before + report.before_note + now + report.now_note;
  const auto written = [&](const fs::path& path) {
    write_file(path, text);
    return path;
  };
  const Note note = parse_note(report.now_note);
  if (!report.forked) {
    const bool is_signed = signed_by_any(note, options.log_keys);
    return written(state.string() + (is_signed ? ".refused" : ".unsigned"));
  }
  const std::string first = state.string() + ".evidence";
  for (int i = 1; i <= kMostEvidence; ++i) {
    const fs::path path = i == 1 ? first : first + "." + std::to_string(i);
    std::error_code ignored;
    if (!fs::exists(path, ignored)) return written(path);
    const std::string known = read_file(path, 4 * kMaxHeadFileBytes);
    if (is_about(known, before + parse_note(report.before_note).text + "\n",
                 now + note.text + "\n")) {
      return path;
    }
  }
  return {};  // enough is enough
}

// Whether `now`, of fewer records, is no beginning of `before`. That needs tiles of `before`, which
// the copy has, or the log may still serve; false when neither does.
bool contradicts(const FollowOptions& options, const TreeHead& before, const TreeHead& now) {
  for (const bool copy : {true, false}) {
    if (copy && options.mirror.empty()) continue;
    try {
      const Fetch fetch = copy ? fetch_from_folder(options.mirror) : options.fetch;
      return TileReader(fetch, before).root(now.size) != now.root;
    } catch (const Error&) {  // it cannot tell
    }
  }
  return false;
}

[[noreturn]] void refuse_fork(FollowReport& report) {
  report.forked = true;
  throw NotProven("forked: the first ", std::min(report.before.size, report.now.size),
                  " records are not those that the log signed before");
}

// What can be said of a head that is not larger than the one before, whatever the log serves.
void require_no_less(const FollowOptions& options, FollowReport& report) {
  const TreeHead &before = report.before, &now = report.now;
  if (now.size == before.size && now.root != before.root) refuse_fork(report);
  if (now.size >= before.size) return;
  if (contradicts(options, before, now)) refuse_fork(report);
  throw NotProven("rolled back: the log showed ", before.size, " records before and shows ",
                  now.size, " now (or this copy is old)");
}

void mirror(const FollowOptions& options, TileReader& tiles, FollowReport& report) {
  LogSource source{options.log_keys, report.now_note, {}, {}};
  source.root = [&](uint64_t size) { return tiles.root(size); };
  source.records = [&](uint64_t begin, uint64_t end,
                       const std::function<void(std::string_view)>& each) {
    for (uint64_t seq = begin; seq < end;) {
      for (const std::string& record : tiles.records(seq / kFullTileWidth)) {
        each(record);
        ++seq;
      }
    }
  };
  PublishOptions publishing;
  publishing.progress = options.progress;
  const PublishReport published = publish(options.mirror, source, publishing);
  if (!published.refusal.empty()) {
    report.before = published.there;
    report.before_note = published.note_there;
    report.forked =
        report.now.size >= report.before.size || contradicts(options, report.before, report.now);
    throw NotProven("the copy in ", options.mirror.string(), ": ", published.refusal);
  }
  report.mirrored = published.head.size - published.there.size;
}

// Fills the report; throws NotProven where the answer is no. Quorum or not, a fork is one.
void examine(const FollowOptions& options, FollowReport& report) {
  report.now = open_head(report.now_note, options.log_keys, kHeadFile);
  const bool is_first = report.before_note.empty();
  if (!is_first) require_no_less(options, report);
  TileReader tiles(owed(options.fetch), report.now);
  if (!is_first && report.now.size > report.before.size &&
      tiles.root(report.before.size) != report.before.root) {
    refuse_fork(report);
  }
  if (options.policy != nullptr) {
    const std::string gap = quorum_gap(*options.policy, report.now_note);
    if (!gap.empty()) throw NotProven("the tree head lacks the quorum of the policy: ", gap);
  }
  report.tiles = tiles.fetched();
  report.answer = is_first                                ? FollowAnswer::first
                  : report.now.size == report.before.size ? FollowAnswer::same
                                                          : FollowAnswer::grown;
  if (!options.mirror.empty()) mirror(options, tiles, report);
}

}  // namespace

FollowReport follow(const FollowOptions& options) {
  const fs::path state = fs::exists(options.state) ? only_name(options.state) : options.state;
  const FileLock lock(state.string() + ".lock");
  FollowReport report;
  report.before_note = optional_file(state);
  if (!report.before_note.empty()) {
    report.before = open_head(report.before_note, options.log_keys, state.string());
  }
  report.now_note = options.fetch(kHeadFile, kMaxHeadFileBytes);
  try {
    examine(options, report);
  } catch (const NotProven& no) {
    report.answer = FollowAnswer::no;
    report.reason = no.what();
    report.evidence = write_evidence(report, options, state);
    return report;
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
    throw Error(Errc::io, error.what(), ", though the tree head needs it");
  }
  if (report.answer != FollowAnswer::same) write_file(state, report.now_note);
  return report;
}

}  // namespace cleared::ledger

#include "ledger/follow.h"

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

// Both heads, and why they contradict each other. What the log has signed is evidence, and what is
// there already is kept. A head that it has not signed anybody can make, and as many as he likes:
// only the newest one is kept.
fs::path write_evidence(const FollowReport& report, const FollowOptions& options) {
  std::string text = report.reason + "\n\n";
  text += "---- seen before\n" + report.before_note;
  text += "---- seen now\n" + report.now_note;
  if (!signed_by_any(parse_note(report.now_note), options.log_keys)) {
    const fs::path path = options.state.string() + ".unsigned";
    write_file(path, text);
    return path;
  }
  const std::string first = options.state.string() + ".evidence";
  for (int i = 1; i <= kMostEvidence; ++i) {
    const fs::path path = i == 1 ? first : first + "." + std::to_string(i);
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
      write_file(path, text);
      return path;
    }
    if (read_file(path, 4 * kMaxHeadFileBytes) == text) return path;
  }
  throw Error(
      Errc::io, first, ": there are ", kMostEvidence,
      " of them, and none is written over; move them to a safe place. Not kept: ", report.reason);
}

// That `now` extends `before`, out of the tiles of `now` alone.
void require_extension(const TreeHead& before, TileReader& tiles) {
  const TreeHead& now = tiles.head();
  const Digest root = now.size == before.size ? now.root : tiles.root(before.size);
  if (root != before.root) {
    throw NotProven("forked: the first ", before.size,
                    " records are not those that the log signed before");
  }
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
    throw NotProven("the copy in ", options.mirror.string(), ": ", published.refusal);
  }
  report.mirrored = published.head.size - published.there.size;
}

// Fills the report; throws NotProven where the answer is no.
void examine(const FollowOptions& options, FollowReport& report) {
  report.now = open_head(report.now_note, options.log_keys, kHeadFile);
  if (report.now.size < report.before.size) {
    throw NotProven("rolled back: the log showed ", report.before.size,
                    " records before and shows ", report.now.size, " now (or this copy is old)");
  }
  if (options.policy != nullptr) {
    const std::string gap = quorum_gap(*options.policy, report.now_note);
    if (!gap.empty()) throw NotProven("the tree head lacks the quorum of the policy: ", gap);
  }
  TileReader tiles(owed(options.fetch), report.now);
  if (!report.before_note.empty()) require_extension(report.before, tiles);
  report.tiles = tiles.fetched();
  report.answer = report.before_note.empty()              ? FollowAnswer::first
                  : report.now.size == report.before.size ? FollowAnswer::same
                                                          : FollowAnswer::grown;
  if (!options.mirror.empty()) mirror(options, tiles, report);
}

}  // namespace

FollowReport follow(const FollowOptions& options) {
  const FileLock lock(options.state.string() + ".lock");
  FollowReport report;
  report.before_note = optional_file(options.state);
  if (!report.before_note.empty()) {
    report.before = open_head(report.before_note, options.log_keys, options.state.string());
  }
  report.now_note = options.fetch(kHeadFile, kMaxHeadFileBytes);
  try {
    examine(options, report);
  } catch (const NotProven& no) {
    report.answer = FollowAnswer::no;
    report.reason = no.what();
    report.evidence = write_evidence(report, options);
    return report;
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
    throw Error(Errc::io, error.what(), ", though the tree head needs it");
  }
  if (report.answer != FollowAnswer::same) write_file(options.state, report.now_note);
  return report;
}

}  // namespace cleared::ledger

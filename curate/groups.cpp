#include "curate/groups.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/store.h"
#include "ledger/titles.h"

namespace cleared::curate {
namespace {

constexpr uint64_t kTogetherUs = 500'000;

struct Side {  // of a pair: one span of one source
  uint64_t source, start_us, end_us;
};
struct Pair {
  SharedSpan span;
  Side sides[2];
};

std::vector<Pair> pairs_of(const ledger::Store& store) {
  std::vector<Pair> out;
  ledger::Statement row(store.db(),
                        "SELECT d.seq, a.path, b.path, d.start_us, d.end_us, d.of_start_us, "
                        "d.of_end_us, d.distance, d.audio_match, d.verdict, d.source, d.of "
                        "FROM duplicate d JOIN source a ON a.seq = d.source "
                        "JOIN source b ON b.seq = d.of ORDER BY d.seq");
  while (row.next()) {
    const SharedSpan span{.record = row.unsigned_integer(0),
                          .path = row.text(1),
                          .of = row.text(2),
                          .start_us = row.unsigned_integer(3),
                          .end_us = row.unsigned_integer(4),
                          .of_start_us = row.unsigned_integer(5),
                          .of_end_us = row.unsigned_integer(6),
                          .distance = row.real(7),
                          .audio_match = row.real(8),
                          .conflict = row.text(9) == "conflict",
                          .said = ""};
    out.push_back({span,
                   {{row.unsigned_integer(10), span.start_us, span.end_us},
                    {row.unsigned_integer(11), span.of_start_us, span.of_end_us}}});
  }
  return out;
}

// Sets that grow together; the smallest member names one.
class Sets {
 public:
  explicit Sets(size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), 0); }
  size_t find(size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(size_t a, size_t b) {
    a = find(a), b = find(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<size_t> parent_;
};

// Positions of pairs, group by group.
std::map<size_t, std::vector<size_t>> grouped(const std::vector<Pair>& pairs) {
  Sets sets(pairs.size());
  struct At {
    Side side;
    size_t pair;
  };
  std::vector<At> all;
  for (size_t i = 0; i < pairs.size(); ++i) {
    for (const Side& side : pairs[i].sides) all.push_back({side, i});
  }
  std::stable_sort(all.begin(), all.end(), [](const At& a, const At& b) {
    return std::tie(a.side.source, a.side.start_us) < std::tie(b.side.source, b.side.start_us);
  });
  for (size_t i = 1, reach = 0; i < all.size(); ++i) {
    const Side &side = all[i].side, &before = all[reach].side;
    if (side.source == before.source) {
      const uint64_t until = std::min(side.end_us, before.end_us);
      const uint64_t shared = until > side.start_us ? until - side.start_us : 0;
      const bool whole = shared > 0 && until == side.end_us;  // a short one inside
      if (shared >= kTogetherUs || whole) sets.join(all[i].pair, all[reach].pair);
      if (side.end_us <= before.end_us) continue;
    }
    reach = i;
  }
  std::map<size_t, std::vector<size_t>> out;
  for (size_t i = 0; i < pairs.size(); ++i) out[sets.find(i)].push_back(i);
  return out;
}

GroupMember member_of(const ledger::Store& store, uint64_t seq) {
  GroupMember out;
  out.record = seq;
  ledger::Statement row(store.db(),
                        "SELECT path, digest, width, height, size_bytes, duration_us, problem "
                        "FROM source WHERE seq = ?");
  CLEARED_CHECK(row.with(seq).next());
  out.path = row.text(0);
  out.digest = row.text(1);
  out.width = row.unsigned_integer(2);
  out.height = row.unsigned_integer(3);
  out.size_bytes = row.unsigned_integer(4);
  out.duration_us = row.unsigned_integer(5);
  out.problem = row.text(6);
  ledger::Statement licence(store.db(),
                            "SELECT l.licensor, l.ref, l.valid_to, "
                            "l.ref IN (SELECT ref FROM licence_in_force) FROM source_licence s "
                            "JOIN licence l ON l.seq = s.licence WHERE s.seq = ? ORDER BY l.ref");
  bool all = true;
  licence.with(seq);
  while (licence.next()) {
    out.licensor = licence.text(0);
    out.licences.push_back(licence.text(1));
    all = all && licence.integer(3) != 0;
    if (out.licensed_to.empty() || licence.text(2) < out.licensed_to) {
      out.licensed_to = licence.text(2);
    }
  }
  if (!all) out.licensed_to.clear();
  return out;
}

bool better(const GroupMember& a, const GroupMember& b, Keep keep) {
  const auto rate = [](const GroupMember& m) {
    return double(m.size_bytes) / double(std::max<uint64_t>(m.duration_us, 1));
  };
  const auto quality = [&](const GroupMember& m) {
    return std::tuple(m.width * m.height, m.problem.empty(), m.duration_us, rate(m));
  };
  if (keep == Keep::best && quality(a) != quality(b)) return quality(a) > quality(b);
  if (keep == Keep::licence && a.licensed_to != b.licensed_to) return a.licensed_to > b.licensed_to;
  return a.record < b.record;
}

std::string why_kept(const GroupMember& kept, Keep keep) {
  switch (keep) {
    case Keep::oldest:
      break;
    case Keep::best:
      return "the best picture: " + std::to_string(kept.width) + " x " +
             std::to_string(kept.height);
    case Keep::licence:
      if (kept.licensed_to.empty()) return "no licence of the group is in force: the oldest";
      return "licensed the longest: to " + kept.licensed_to;
  }
  return "the oldest: record " + std::to_string(kept.record);
}

void choose(Group& group, Keep keep) {
  if (group.conflict) {
    const bool decided = std::any_of(group.members.begin(), group.members.end(),
                                     [](const GroupMember& m) { return m.released_by != 0; });
    for (GroupMember& member : group.members) {
      member.kept = member.released_by != 0;
      member.reason = member.kept ? "two licensors claim it: released by record " +
                                        std::to_string(member.released_by)
                      : decided ? "two licensors claim it: the other side is released"
                                : "two licensors claim it: quarantined until somebody decides";
    }
    return;
  }
  GroupMember& kept = *std::min_element(
      group.members.begin(), group.members.end(),
      [&](const GroupMember& a, const GroupMember& b) { return better(a, b, keep); });
  for (GroupMember& member : group.members) member.reason = "the same as " + kept.path;
  kept.kept = true;
  kept.reason = why_kept(kept, keep);
}

}  // namespace

Keep parse_keep(std::string_view word) {
  for (const Keep keep : {Keep::oldest, Keep::best, Keep::licence}) {
    if (word == keep_name(keep)) return keep;
  }
  throw Error(Errc::usage, "--keep is best, oldest or licence, not \"", word, "\"");
}

const char* keep_name(Keep keep) {
  return keep == Keep::best ? "best" : keep == Keep::licence ? "licence" : "oldest";
}

std::vector<Group> duplicate_groups(const ledger::Store& store, Keep keep) {
  const std::vector<Pair> pairs = pairs_of(store);
  std::map<std::string, uint64_t> released;  // by source, what reviews release of it
  std::map<uint64_t, std::string> said;      // by record
  for (const ledger::TitleConflict& conflict : ledger::title_conflicts(store)) {
    if (!conflict.said.empty()) said[conflict.record] = conflict.said;
    for (const ledger::Claim& claim : conflict.claims) {
      released[claim.source] = std::max(released[claim.source], claim.released_by);
    }
  }
  std::vector<Group> out;
  for (const auto& [first, positions] : grouped(pairs)) {
    Group& group = out.emplace_back();
    std::map<uint64_t, GroupMember> members;
    for (const size_t position : positions) {
      const Pair& pair = pairs[position];
      group.spans.push_back(pair.span);
      if (const auto at = said.find(pair.span.record); at != said.end()) {
        group.spans.back().said = at->second;
      }
      group.conflict = group.conflict || pair.span.conflict;
      for (const Side& side : pair.sides) {
        auto [at, fresh] = members.try_emplace(side.source);
        GroupMember& member = at->second;
        if (fresh) {
          member = member_of(store, side.source);
          member.start_us = side.start_us;
        }
        member.start_us = std::min(member.start_us, side.start_us);
        member.end_us = std::max(member.end_us, side.end_us);
      }
    }
    for (auto& [seq, member] : members) {
      if (group.conflict) member.released_by = released[member.digest];
      group.members.push_back(std::move(member));
    }
    choose(group, keep);
  }
  return out;
}

}  // namespace cleared::curate

#include "ledger/permit_lists.h"

#include <set>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"
#include "ledger/note.h"
#include "ledger/textproto.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMostListBytes = uint64_t{1} << 30;

Digest lists_root(std::span<const std::string> lists) {
  std::vector<Digest> leaves;
  for (const std::string& list : lists) leaves.push_back(leaf_digest(as_bytes(list)));
  return root_digest(leaves);
}

}  // namespace

std::vector<std::string> split_lists(Permit& permit, size_t most_bytes) {
  PermitText whole;
  *whole.mutable_permit() = permit;
  if (format_textproto(whole).size() <= most_bytes) return {};
  std::vector<std::string> lists(1);
  for (const Permit::Shard& shard : permit.shard()) {
    PermitShardsText one;
    *one.add_shard() = shard;
    const std::string text = format_textproto(one);
    if (!lists.back().empty() && lists.back().size() + text.size() > most_bytes) {
      lists.emplace_back();
    }
    lists.back() += text;
  }
  permit.clear_shard();
  permit.mutable_lists()->set_root(digest_name(lists_root(lists)));
  permit.mutable_lists()->set_lists(static_cast<uint32_t>(lists.size()));
  return lists;
}

void join_lists(Permit& permit, std::span<const std::string> lists) {
  if (permit.shard_size() > 0 || permit.lists().lists() != lists.size() ||
      digest_name(lists_root(lists)) != permit.lists().root()) {
    throw Error(Errc::corrupt, "permit of run ", permit.run(),
                ": its lists of shards are not those that were signed");
  }
  std::set<std::string> roots;
  for (const std::string& list : lists) {
    PermitShardsText text;
    parse_textproto(list, "permit of run " + permit.run() + ": a list", text);
    for (Permit::Shard& shard : *text.mutable_shard()) {
      if (!roots.insert(shard.root()).second) {
        throw Error(Errc::corrupt, "permit of run ", permit.run(), ": lists shard ", shard.root(),
                    " twice");
      }
      *permit.add_shard() = std::move(shard);
    }
  }
}

fs::path lists_path(const fs::path& permit) {
  return permit.string() + ".shards";
}

std::string format_lists(std::span<const std::string> lists) {
  std::string out;
  for (const std::string& list : lists) out += (out.empty() ? "" : "\n") + list;
  return out;
}

std::vector<std::string> parse_lists(std::string_view text) {
  std::vector<std::string> out;
  for (size_t from = 0; from < text.size();) {
    const size_t end = text.find("\n\n", from);
    out.emplace_back(text.substr(from, end == text.npos ? end : end + 1 - from));
    if (end == text.npos) break;
    from = end + 2;
  }
  return out;
}

std::vector<std::string> read_lists(const fs::path& permit) {
  return parse_lists(read_file(lists_path(permit), kMostListBytes));
}

std::vector<Fact> permit_facts(const std::string& note, std::span<const std::string> lists) {
  std::vector<Fact> out;
  for (const std::string& list : lists) {
    PermitListRecord& record = *out.emplace_back().mutable_permit_list();
    record.set_root(std::string(lists_root(lists).text()));
    record.set_index(static_cast<uint32_t>(out.size() - 1));
    record.set_text(list);
  }
  out.emplace_back().mutable_permit()->set_note(note);
  return out;
}

}  // namespace cleared::ledger

#include "ledger/permit_lists.h"

#include <set>

#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/note.h"
#include "ledger/textproto.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
std::vector<std::string> split_lists(Permit& permit, size_t most_bytes) {
  PermitText whole;
  *whole.mutable_permit() = permit;
  if (format_textproto(whole).size() <= most_bytes) return {};
  std::vector<std::string> lists(1);
  for (const Permit::Shard& shard : permit.shard()) {
    PermitShardsText one;
    *one.add_shard() = shard;
    add_to_lists(lists, format_textproto(one), most_bytes);
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

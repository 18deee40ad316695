#include "ledger/permit_lists.h"

#include <set>

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

struct Shards {
  using List = PermitShardsText;
  template <class Note>
  static auto& things(Note& note) {
    return *note.mutable_shard();
  }
  static size_t text_bytes(const Permit& permit) {
    PermitText whole;
    *whole.mutable_permit() = permit;
    return format_textproto(whole).size();
  }
};

}  // namespace

std::vector<std::string> split_lists(Permit& permit, size_t most_bytes) {
  return move_to_lists<Shards>(permit, most_bytes);
}

void join_lists(Permit& permit, std::span<const std::string> lists) {
  const std::string who = "permit of run " + permit.run();
  take_from_lists<Shards>(permit, lists, who, "shards");
  std::set<std::string_view> roots;
  for (const Permit::Shard& shard : permit.shard()) {
    if (roots.insert(shard.root()).second) continue;
    throw Error(Errc::corrupt, who, ": lists shard ", shard.root(), " twice");
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

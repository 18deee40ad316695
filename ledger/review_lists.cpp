#include "ledger/review_lists.h"

namespace cleared::ledger {
namespace {

struct Decisions {
  using List = ReviewDecisionsText;
  template <class Note>
  static auto& things(Note& note) {
    return *note.mutable_decision();
  }
  static size_t text_bytes(const Review& review) {
    ReviewText whole;
    *whole.mutable_review() = review;
    return format_textproto(whole).size();
  }
};

}  // namespace

std::vector<std::string> split_lists(Review& review, size_t most_bytes) {
  return move_to_lists<Decisions>(review, most_bytes);
}

void join_lists(Review& review, std::span<const std::string> lists) {
  take_from_lists<Decisions>(review, lists, "review", "decisions");
}

std::filesystem::path decisions_path(const std::filesystem::path& review) {
  return review.string() + ".decisions";
}

std::vector<Fact> review_facts(const std::string& note, std::span<const std::string> lists) {
  std::vector<Fact> out;
  for (const std::string& list : lists) {
    ReviewListRecord& record = *out.emplace_back().mutable_review_list();
    record.set_root(std::string(lists_root(lists).text()));
    record.set_index(static_cast<uint32_t>(out.size() - 1));
    record.set_text(list);
  }
  out.emplace_back().mutable_review()->set_note(note);
  return out;
}

}  // namespace cleared::ledger

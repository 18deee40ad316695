#include "ledger/review_lists.h"

#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/note.h"
#include "ledger/textproto.h"

namespace cleared::ledger {

std::vector<std::string> split_lists(Review& review, size_t most_bytes) {
  ReviewText whole;
  *whole.mutable_review() = review;
  if (format_textproto(whole).size() <= most_bytes) return {};
  std::vector<std::string> lists(1);
  for (const Review::Decision& decision : review.decision()) {
    ReviewDecisionsText one;
    *one.add_decision() = decision;
    add_to_lists(lists, format_textproto(one), most_bytes);
  }
  review.clear_decision();
  review.mutable_lists()->set_root(digest_name(lists_root(lists)));
  review.mutable_lists()->set_lists(static_cast<uint32_t>(lists.size()));
  return lists;
}

void join_lists(Review& review, std::span<const std::string> lists) {
  if (review.decision_size() > 0 || review.lists().lists() != lists.size() ||
      digest_name(lists_root(lists)) != review.lists().root()) {
    throw Error(Errc::corrupt, "review: its lists of decisions are not those that were signed");
  }
  for (const std::string& list : lists) {
    ReviewDecisionsText text;
    parse_textproto(list, "review: a list", text);
    for (Review::Decision& decision : *text.mutable_decision()) {
      *review.add_decision() = std::move(decision);
    }
  }
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

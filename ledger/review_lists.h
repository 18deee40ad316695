// A review of more clips than a record holds, taken whole or not at all: `Review.lists` names lists
// of its decisions (ledger/lists.h), which lie in NAME.review.decisions beside it. Pure; any
// thread.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "ledger/lists.h"
#include "ledger/notes.pb.h"
#include "ledger/record.pb.h"

namespace cleared::ledger {

// Moves the decisions of a review whose text is longer than `most_bytes` into lists that are not;
// else there are none.
std::vector<std::string> split_lists(Review& review, size_t most_bytes = kMostListBytes);

// Puts the decisions of the lists, each a ReviewDecisionsText, into the review. Error{corrupt}
// unless they are those that it names, all of them.
void join_lists(Review& review, std::span<const std::string> lists);

std::filesystem::path decisions_path(const std::filesystem::path& review);

// The records of a review, in the order in which they must be appended.
std::vector<Fact> review_facts(const std::string& note, std::span<const std::string> lists);

}  // namespace cleared::ledger

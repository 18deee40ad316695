// Hashing side by side against OpenSSL, one message after the other; known answers of SHA-256
// itself are OpenSSL's to keep.
#include "ledger/sha256_lanes.h"

#include <random>

#include <gtest/gtest.h>

#include "ledger/base/log.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"

namespace cleared::ledger {
namespace {

void expect_same(const std::vector<std::string>& messages) {
  std::vector<ByteView> views;
  for (const std::string& message : messages) views.push_back(as_bytes(message));
  std::vector<Digest> out(messages.size());
  sha256_each(std::nullopt, views, out);
  for (size_t i = 0; i < messages.size(); ++i) {
    EXPECT_EQ(out[i], sha256(messages[i])) << messages[i].size() << " bytes, number " << i;
  }
  const std::byte prefix{0xA5};
  sha256_each(prefix, views, out);
  for (size_t i = 0; i < messages.size(); ++i) {
    EXPECT_EQ(out[i], sha256({ByteView(&prefix, 1), views[i]}))
        << messages[i].size() << " bytes behind a prefix, number " << i;
  }
}

TEST(Sha256Lanes, GiveTheDigestsOfOneByOne) {
  if (!has_sha256_lanes())
    log(Level::warn, "test.sha256_lanes", {{"lanes", "not on this machine"}});
  std::mt19937 random(1);
  const auto message = [&](size_t size) {
    std::string out(size, '\0');
    for (char& c : out) c = static_cast<char>(random());
    return out;
  };
  // Every length around every end of a block, beside the next and alone.
  for (size_t size = 0; size <= 260; ++size) {
    expect_same({message(size)});
    expect_same({message(size), message(size + 1)});
  }
  // As many as come, of lengths that end at different times.
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> messages(random() % 70);
    for (std::string& m : messages) m = message(random() % 400);
    expect_same(messages);
  }
  expect_same({message(70'000), "", message(65'535), message(1)});
  // One that goes on when all others have ended.
  std::vector<std::string> messages(40, message(65));
  messages[7] = message(70'000);
  expect_same(messages);
  expect_same({});
}

TEST(Sha256Lanes, TheRootIsThatOfNodesOneByOne) {
  std::vector<Digest> leaves;
  for (int i = 0; i < 70; ++i) {
    RootBuilder one_by_one;
    for (const Digest& leaf : leaves) one_by_one.add(leaf);
    EXPECT_EQ(root_digest(leaves), one_by_one.root()) << i << " leaves";
    leaves.push_back(sha256(std::to_string(i)));
  }
}

}  // namespace
}  // namespace cleared::ledger

#include "curate/search.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

std::mt19937_64& dice() {
  static std::mt19937_64 random(11);
  return random;
}
Pdq any() {
  Pdq out;
  for (uint8_t& byte : out) byte = static_cast<uint8_t>(dice()());
  return out;
}
Pdq changed(Pdq print, int bits) {
  std::array<size_t, 256> order;
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), dice());
  for (size_t i = 0; i < static_cast<size_t>(bits); ++i) {
    print[order[i] / 8] ^= static_cast<uint8_t>(1U << order[i] % 8);
  }
  return print;
}
std::vector<Near> one_by_one(const Pdq& query, const std::vector<Pdq>& base) {
  std::vector<Near> out;
  for (size_t i = 0; i < base.size(); ++i) {
    const int bits = distance(query, base[i]);
    if (bits <= kAlike) out.push_back({static_cast<uint32_t>(i), bits});
  }
  return out;
}

// Random fingerprints, shots whose frames drift, and the same one many times over; queries at every
// distance around the radius. The answer of each way is that of comparing one by one.
TEST(Search, FindsWhatComparingOneByOneFinds) {
  std::vector<Pdq> base;
  for (int i = 0; i < 6000; ++i) base.push_back(any());
  for (int i = 0; i < 6000; ++i) base.push_back(changed(base.back(), 3));
  for (int i = 0; i < 500; ++i) base.push_back(base[5]);
  std::vector<Pdq> queries;
  for (int bits = 0; bits <= 40; ++bits) {
    for (int i = 0; i < 6; ++i) queries.push_back(changed(base[dice()() % base.size()], bits));
  }
  const SearchRun run(base);
  SearchIndex index;
  for (const Pdq& print : base) index.add(print);
  EXPECT_EQ(index.size(), base.size());
  EXPECT_LT(index.size_bytes(), 400 * base.size());
  const auto all = near_of_all(queries, base);
  size_t found = 0;
  for (size_t q = 0; q < queries.size(); ++q) {
    const auto expected = one_by_one(queries[q], base);
    found += expected.size();
    std::vector<Near> out;
    run.near(queries[q], 0, out);
    EXPECT_EQ(out, expected);
    index.near(queries[q], out);
    EXPECT_EQ(out, expected);
    EXPECT_EQ(all[q], expected);
  }
  EXPECT_GT(found, 1000U);

  // Few at once, and so many that each list is read from front to end.
  for (const size_t times : {1, 20}) {
    std::vector<Pdq> many;
    for (size_t i = 0; i < times; ++i) many.insert(many.end(), queries.begin(), queries.end());
    std::vector<NearPair> pairs;
    run.near_all(many, pairs);
    std::vector<std::vector<Near>> by_query(many.size());
    for (const NearPair& pair : pairs) by_query[pair.query].push_back({pair.id, pair.distance});
    for (size_t q = 0; q < many.size(); ++q) {
      std::sort(by_query[q].begin(), by_query[q].end(),
                [](const Near& a, const Near& b) { return a.id < b.id; });
      ASSERT_EQ(by_query[q], all[q % all.size()]);
    }
  }
}

// The worst case of the proof: two bits of every chunk but one, which has one. Any position.
TEST(Search, MissesNothingAtTheEdgeOfEveryChunk) {
  std::vector<Pdq> base;
  for (int i = 0; i < 5000; ++i) base.push_back(any());
  const SearchRun run(base);
  std::vector<Pdq> edges;
  for (size_t saved = 0; saved < 16; ++saved) {
    for (size_t bit = 0; bit < 16; ++bit) {
      Pdq query = base[saved];
      const auto flip = [&](size_t b) { query[b / 8] ^= static_cast<uint8_t>(1U << b % 8); };
      for (size_t c = 0; c < 16; ++c) {
        flip(16 * c + bit);
        if (c != saved) flip(16 * c + (bit + 7) % 16);
      }
      std::vector<Near> out;
      run.near(query, 0, out);
      ASSERT_EQ(out, (std::vector<Near>{{static_cast<uint32_t>(saved), kAlike}})) << saved << bit;
      EXPECT_EQ(near_of_all(std::span(&query, 1), base)[0], out);
      edges.push_back(query);
    }
  }
  ASSERT_EQ(edges.size(), 256U);
  for (int i = 0; i < 4; ++i) edges.insert(edges.end(), edges.begin(), edges.end());  // many
  std::vector<NearPair> pairs;
  run.near_all(edges, pairs);
  EXPECT_EQ(pairs.size(), edges.size());
}

// More queries than are asked at once.
TEST(Search, KeepsApartWhatManyQueriesFind) {
  std::vector<Pdq> base;
  for (int i = 0; i < 70'000; ++i) base.push_back(any());
  std::vector<NearPair> pairs;
  SearchRun(base).near_all(base, pairs);
  ASSERT_EQ(pairs.size(), base.size());
  for (const NearPair& pair : pairs) ASSERT_EQ(pair.query, pair.id);
}

TEST(Search, BruteForceTakesAnyRadius) {
  std::vector<Pdq> base = {any()};
  for (int i = 0; i < 3000; ++i) base.push_back(changed(base[0], i % 100));
  for (const int radius : {0, 1, 50, 90}) {
    const auto found = near_of_all(std::span(base.data(), 1), base, radius);
    size_t expected = 0;
    for (const Pdq& print : base) expected += distance(base[0], print) <= radius ? 1 : 0;
    EXPECT_EQ(found[0].size(), expected) << radius;
  }
}

// A folder with the runs of 9,000 fingerprints, and what is done to it.
class SearchFiles : public ::testing::Test {
 protected:
  SearchFiles() {
    for (int i = 0; i < 9000; ++i) prints_.push_back(any());
    SearchIndex index;
    index.load(folder_.path(), prints_);
    index.save(folder_.path());
  }
  std::filesystem::path run() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      return entry.path();
    }
    return {};
  }
  size_t files() const {
    const std::filesystem::directory_iterator all(folder_.path());
    return static_cast<size_t>(std::distance(begin(all), end(all)));
  }
  // Loads, and expects every fingerprint to be found; returns what was wrong with the files.
  std::vector<std::string> problems() const {
    SearchIndex index;
    const auto out = index.load(folder_.path(), prints_);
    EXPECT_EQ(index.size(), prints_.size());
    std::vector<Near> near;
    for (size_t i = 0; i < prints_.size(); i += 100) {
      index.near(prints_[i], near);
      EXPECT_EQ(near, (std::vector<Near>{{static_cast<uint32_t>(i), 0}}));
    }
    return out;
  }

  testing::TemporaryFolder folder_;
  std::vector<Pdq> prints_;
};

TEST_F(SearchFiles, AreReadAgain) {
  EXPECT_EQ(files(), 1U);
  EXPECT_TRUE(problems().empty());
  for (int i = 0; i < 20000; ++i) prints_.push_back(any());
  SearchIndex grown;
  EXPECT_TRUE(grown.load(folder_.path(), prints_).empty());
  grown.save(folder_.path());
  EXPECT_EQ(files(),
            1U);  // the new ones outnumber the old run: it was merged, and its file removed
  EXPECT_TRUE(problems().empty());
}

// What an ingest does that adds nothing, or little.
TEST_F(SearchFiles, ThatAreWholeAreLeftAsTheyAre) {
  const auto path = run();
  const auto written = std::filesystem::last_write_time(path);
  SearchIndex again;
  again.load(folder_.path(), prints_);
  again.save(folder_.path());
  EXPECT_EQ(files(), 1U);
  EXPECT_EQ(std::filesystem::last_write_time(path), written);
}

TEST_F(SearchFiles, ThatAreDamagedAreNamedAndMadeAgain) {
  const std::string good = read_file(run());
  const std::map<std::string, std::string> cases = {
      {"empty", ""},
      {"half a header", good.substr(0, 30)},
      {"cut in the middle", good.substr(0, good.size() / 2)},
      {"a byte short", good.substr(0, good.size() - 1)},
      {"zeros from the middle on",  // that never reached the disk
       good.substr(0, good.size() / 2) + std::string(good.size() - good.size() / 2, '\0')},
      {"a byte more", good + "x"},
      {"another version", "cleared index 9\n" + good.substr(16)},
      {"a greater count", good.substr(0, 23) + "\x7f" + good.substr(24)},
      {"other buckets", good.substr(0, 24) + "\x05" + good.substr(25)},
      {"a flipped bit in a fingerprint", std::string(good).replace(70, 1, 1, char(good[70] ^ 1))},
      {"a flipped bit in the last list",
       std::string(good).replace(good.size() - 1, 1, 1, char(good.back() ^ 64))},
  };
  for (const auto& [what, bytes] : cases) {
    const auto path = run();
    write_file(path, bytes);
    const auto found = problems();
    ASSERT_EQ(found.size(), 1U) << what;
    EXPECT_THAT(found[0], ::testing::HasSubstr(path.filename().string())) << what;
    EXPECT_THROW(SearchRun::open(path), Error) << what;
    SearchIndex again;
    again.load(folder_.path(), prints_);
    again.save(folder_.path());
    EXPECT_EQ(read_file(path), good) << what;
  }
}

TEST_F(SearchFiles, OfAnotherLedgerAreNotUsed) {
  prints_[17] = any();
  EXPECT_EQ(problems().size(), 1U);
  prints_.resize(5000);  // a ledger that has less
  EXPECT_EQ(problems().size(), 1U);
}

TEST(Search, OfNothingFindsNothing) {
  std::vector<Near> out = {{1, 1}};
  SearchIndex().near(any(), out);
  EXPECT_TRUE(out.empty());
  EXPECT_TRUE(near_of_all({}, {}).empty());
  const Pdq query = any();
  EXPECT_EQ(near_of_all(std::span(&query, 1), {}), std::vector<std::vector<Near>>(1));
}

}  // namespace
}  // namespace cleared::curate

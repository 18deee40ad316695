#include "curate/look_index.h"

#include <algorithm>
#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "curate/look_files.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

// A folder beside a ledger: sources of some seconds, a fifth of whose looks are featureless, each
// within a few bits of one of another source.
class LookFiles : public ::testing::Test {
 protected:
  void deliver(size_t sources, int pictures) {
    for (size_t i = 0; i < sources; ++i) {
      Analysis analysis;
      for (int p = 0; p < pictures; ++p) {
        analysis.add_kept_pts_us(uint64_t(p) * kLookUs);
        for (size_t look = 0; look < kKeptLooks; ++look) {
          Pdq print;
          for (uint8_t& byte : print) byte = static_cast<uint8_t>(random_());
          if (!said_.empty() && p % 3 == 0) {
            print = said_.back()[look].prints[static_cast<size_t>(p)].bits;
            for (int bit = 0; bit < 20; ++bit)
              print[random_() % 32] ^= static_cast<uint8_t>(1U << random_() % 8);
          }
          analysis.mutable_kept_pdq()->append(reinterpret_cast<const char*>(print.data()), 32);
          analysis.mutable_kept_quality()->push_back(random_() % 5 == 0 ? 10 : 90);
        }
      }
      sources_.push_back(ledger::sha256("source " + std::to_string(sources_.size())));
      said_.push_back(kept_looks(analysis));
      write_looks(folder_.path(), sources_.back(), looks_file(sources_.back(), analysis));
    }
  }
  LookIndex loaded(Runs runs, std::vector<std::string>* problems = nullptr) const {
    LookIndex out;
    const auto said = out.load(folder_.path(), sources_, runs);
    if (problems != nullptr) *problems = said;
    return out;
  }
  std::vector<std::filesystem::path> runs() const {
    std::vector<std::filesystem::path> out;
    for (const auto& name : runs_in(folder_.path() / "looks")) {
      out.push_back(name.in(folder_.path() / "looks"));
    }
    return out;
  }
  // Asked with some looks of every source, `index` says what comparing one by one says.
  void expect_exact(const LookIndex& index) const {
    ASSERT_EQ(index.size(), sources_.size());
    size_t found = 0;
    for (size_t look = 0; look < kKeptLooks; look += 4) {
      std::vector<Pdq> queries;
      for (const auto& kept : said_) queries.push_back(kept[look].prints[6].bits);
      std::vector<LookIndex::Hit> hits, expected;
      index.near(look, queries, hits);
      for (uint32_t q = 0; q < queries.size(); ++q) {
        for (uint32_t source = 0; source < said_.size(); ++source) {
          uint32_t at = 0;
          for (const Fingerprint& print : said_[source][look].prints) {
            if (print.quality < kFeatureless) continue;
            const int bits = distance(print.bits, queries[q]);
            if (bits <= kAlike) expected.push_back({q, source, at, bits});
            ++at;
          }
        }
      }
      const auto order = [](const LookIndex::Hit& a, const LookIndex::Hit& b) {
        return std::tie(a.query, a.source, a.at) < std::tie(b.query, b.source, b.at);
      };
      std::sort(hits.begin(), hits.end(), order);
      EXPECT_EQ(hits, expected);
      found += hits.size();
    }
    EXPECT_GT(found, 2 * sources_.size());
  }

  testing::TemporaryFolder folder_;
  std::mt19937 random_{5};
  std::vector<Digest> sources_;
  std::vector<std::vector<Track>> said_;
};

TEST_F(LookFiles, AreFoundBeforeAndAfterTheyAreARun) {
  deliver(12, 40);
  expect_exact(loaded(Runs::read));
  EXPECT_TRUE(runs().empty());  // who only reads writes nothing
  LookIndex index = loaded(Runs::write);
  index.save();
  EXPECT_EQ(runs().size(), 1U);
  expect_exact(index);
  expect_exact(loaded(Runs::read));
}

// A large delivery and small ones behind it: what is there already is not made again before as much
// has come, and each source is in one run.
TEST_F(LookFiles, GrowByRunsThatAreMerged) {
  deliver(3, 2000);
  {
    LookIndex index = loaded(Runs::write);
    index.save();
    EXPECT_LT(index.size_bytes(), 400 * 3 * 2000 * kKeptLooks);
  }
  ASSERT_EQ(runs().size(), 1U);
  const auto large = runs()[0];
  const auto before = std::filesystem::last_write_time(large);
  for (int i = 0; i < 3; ++i) {
    deliver(1, 60);
    LookIndex index = loaded(Runs::write);
    index.save();
    EXPECT_EQ(runs()[0], large);
    EXPECT_EQ(std::filesystem::last_write_time(large), before);
    EXPECT_EQ(runs().size(), i == 1 ? 2U : i == 0 ? 2U : 3U);
    expect_exact(loaded(Runs::read));
  }
  deliver(3, 2000);  // with the small ones as many as are there
  LookIndex index = loaded(Runs::write);
  index.save();
  EXPECT_EQ(runs().size(), 1U);
  expect_exact(index);
}

TEST_F(LookFiles, ThatAreDamagedAreNamedAndMadeAgain) {
  deliver(5, 50);
  loaded(Runs::write).save();
  const auto path = runs().at(0);
  const std::string good = read_file(path);
  const std::map<std::string, std::string> cases = {
      {"half a header", good.substr(0, 30)},
      {"cut in the table", good.substr(0, 100)},
      {"cut in the middle", good.substr(0, good.size() / 2)},
      {"a byte short", good.substr(0, good.size() - 1)},
      {"a byte more", good + "x"},
      {"another version", "cleared looks 9\n" + good.substr(16)},
      {"sources without end", good.substr(0, 16) + std::string(8, '\x7f') + good.substr(24)},
      {"no sources", good.substr(0, 16) + std::string(8, '\0') + good.substr(24)},
      {"another source", std::string(good).replace(70, 1, 1, char(good[70] ^ 1))},
      {"another count of a part", std::string(good).replace(516, 1, 1, char(good[516] ^ 1))},
  };
  for (const auto& [what, bytes] : cases) {
    write_file(path, bytes);
    std::vector<std::string> problems;
    LookIndex index = loaded(Runs::write, &problems);
    ASSERT_EQ(problems.size(), 1U) << what;
    EXPECT_THAT(problems[0], ::testing::HasSubstr(path.filename().string())) << what;
    expect_exact(index);
    index.save();
    EXPECT_EQ(read_file(path), good) << what;
  }
}

// Whatever lies in its lists: places and numbers that lead outside are not followed.
TEST_F(LookFiles, WithDamagedListsAnswerWithoutHarm) {
  deliver(5, 400);
  loaded(Runs::write).save();
  const auto path = runs().at(0);
  const std::string good = read_file(path);
  for (int i = 0; i < 20; ++i) {
    std::string bad = good;
    for (int k = 0; k < 2000; ++k) {
      const size_t at = 600 + 13 * 64 + random_() % (bad.size() - 2000);
      bad[at] = static_cast<char>(random_());
    }
    write_file(path, bad);
    std::vector<std::string> problems;
    const LookIndex index = loaded(Runs::read, &problems);
    std::vector<LookIndex::Hit> hits;
    for (size_t look = 0; look < kKeptLooks; ++look) {
      index.near(look, std::span(&said_[2][look].prints[6].bits, 1), hits);
    }
    for (const LookIndex::Hit& hit : hits) EXPECT_LT(hit.source, sources_.size());
  }
}

// What is farther off is found, too, in a run as in the tail: the nearest of each source.
TEST_F(LookFiles, SayRoughlyWhatIsNear) {
  deliver(12, 40);
  const auto& prints = said_[3][kept_all].prints;
  const auto telling = std::find_if(prints.begin(), prints.end(), [](const auto& print) {
    return print.quality >= kFeatureless;  // others are in no index
  });
  ASSERT_NE(telling, prints.end());
  Pdq query = telling->bits;
  for (size_t byte = 0; byte < query.size(); byte += 2) query[byte] ^= 0x15;  // 48 bits
  LookIndex index = loaded(Runs::write);
  for (int run = 0; run < 2; ++run) {
    std::vector<LookIndex::Hit> near;
    index.near(kept_all, std::span(&query, 1), near);
    EXPECT_TRUE(near.empty());
    std::vector<LookIndex::Hit> found;
    index.roughly(kept_all, std::span(&query, 1), {.most = 4}, found);
    ASSERT_FALSE(found.empty());
    const auto of = std::find_if(found.begin(), found.end(),
                                 [](const LookIndex::Hit& one) { return one.source == 3; });
    ASSERT_NE(of, found.end());
    EXPECT_EQ(of->query, 0U);
    EXPECT_LE(of->distance, 48);
    index.save();
  }
}

TEST_F(LookFiles, OfAnotherLedgerAreNotUsed) {
  deliver(5, 50);
  loaded(Runs::write).save();
  std::swap(sources_[1], sources_[2]);
  std::swap(said_[1], said_[2]);
  std::vector<std::string> problems;
  expect_exact(loaded(Runs::read, &problems));
  EXPECT_EQ(problems.size(), 1U);
}

// As docs/formats/index.md shows it.
TEST_F(LookFiles, OfASourceWithoutLooksAreATableAlone) {
  sources_.push_back(ledger::sha256("without looks"));
  loaded(Runs::write).save();
  const std::string bytes = read_file(runs().at(0));
  EXPECT_EQ(bytes.size(), 192U);
  EXPECT_EQ(bytes.substr(0, 32), "cleared looks 1\n\1" + std::string(15, '\0'));
  EXPECT_EQ(loaded(Runs::read).size(), 1U);
}

TEST(LookIndex, OfNothingFindsNothing) {
  LookIndex index;
  const Pdq query{};
  std::vector<LookIndex::Hit> hits;
  index.near(0, std::span(&query, 1), hits);
  EXPECT_TRUE(hits.empty());
  index.add(ledger::sha256("without looks"), {});
  index.near(0, std::span(&query, 1), hits);
  EXPECT_TRUE(hits.empty());
  EXPECT_TRUE(index.kept(0).empty());
}

}  // namespace
}  // namespace cleared::curate

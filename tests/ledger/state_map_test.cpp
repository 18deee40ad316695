// The state map against std::multimap, on random workloads, and its proofs against every change.
#include "ledger/state_map.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "ledger/digest.h"
#include "ledger/schema.h"

namespace cleared::ledger {
namespace {

Digest filled(unsigned char byte) {
  Digest key;
  key.bytes.fill(std::byte{byte});
  return key;
}

// The key one above or below.
Digest stepped(Digest key, int by) {
  for (size_t i = 32; i-- > 0;) {
    const int sum = std::to_integer<int>(key.bytes[i]) + by;
    key.bytes[i] = static_cast<std::byte>(sum & 255);
    if (sum >= 0 && sum <= 255) break;
  }
  return key;
}

Digest random_key(std::mt19937_64& random) {
  Digest key;
  for (auto& byte : key.bytes) byte = static_cast<std::byte>(random() & 255);
  return key;
}

// A map in a database of its own, and what it must hold.
struct MapPair {
  Database db = Database::in_memory();
  StateMap map;
  std::multimap<Digest, uint64_t> expected;
  uint64_t next = 0;  // record
  StateRecord state;

  MapPair() : map(prepared(db)) {}
  static const Database& prepared(const Database& db) {
    db.exec("PRAGMA foreign_keys = OFF;" + std::string(kLogSchema) +
            std::string(kTileSchema));  // as Store has it
    return db;
  }
  void add(const Digest& key) {
    map.add(key, next);
    expected.emplace(key, next++);
  }
  void flush() {
    state = map.flush(next, next);
    ++next;
  }
  void flush(size_t keep) {
    state = map.flush(next, next, keep);
    ++next;
  }
  void reopen() { map = StateMap(db); }
  std::vector<uint64_t> of(const Digest& key) const {
    std::vector<uint64_t> out;
    const auto [begin, end] = expected.equal_range(key);
    for (auto at = begin; at != end; ++at) out.push_back(at->second);
    return out;
  }
};

// Nothing is pending: does the map prove about `key` what is so, and nothing else?
void expect_proof(const MapPair& pair, const Digest& key) {
  const auto records = pair.of(key);
  const auto proofs = pair.map.prove(key);
  ASSERT_EQ(proofs.size(), static_cast<size_t>(pair.state.run_size()));
  // The two ends can be proven, never disproven: state_map.h.
  const bool end = key == filled(0) || key == filled(255);
  EXPECT_EQ(verify_absence(key, proofs, pair.state), records.empty() && !end) << to_hex(key);
  size_t shown = 0;
  for (size_t run = 0; run < proofs.size(); ++run) {
    const uint64_t seq = proofs[run].low.seq;
    const bool known = std::find(records.begin(), records.end(), seq) != records.end();
    EXPECT_EQ(verify_presence(key, seq, run, proofs[run], pair.state), known) << to_hex(key);
    EXPECT_FALSE(verify_presence(key, seq + 1, run, proofs[run], pair.state));
    EXPECT_FALSE(verify_presence(key, seq, run + 1, proofs[run], pair.state));
    shown += known ? 1 : 0;
  }
  EXPECT_EQ(shown > 0, !records.empty()) << to_hex(key);
}

TEST(StateMap, FindsAndProvesWhatAMultimapHolds) {
  for (const uint64_t seed : {1U, 2U, 3U}) {
    std::mt19937_64 random(seed);
    MapPair pair;
    std::vector<Digest> keys = {filled(0), stepped(filled(0), 1), filled(255),
                                stepped(filled(255), -1)};
    for (int i = 0; i < 4000; ++i) keys.push_back(random_key(random));
    for (int round = 0; round < 24; ++round) {
      // Sizes from 1 up to several chunks, so that runs of every size stand side by side.
      const size_t size = 1 + random() % (size_t{1} << random() % 13);
      for (size_t i = 0; i < size; ++i) {
        pair.add(random() % 8 == 0 ? keys[random() % 4] : keys[random() % keys.size()]);
      }
      for (int i = 0; i < 20; ++i) {
        const Digest& key = keys[random() % keys.size()];
        ASSERT_EQ(pair.map.find(key), pair.of(key)) << "pending, " << to_hex(key);
      }
      pair.flush();
      if (random() % 2 == 0) pair.reopen();
      for (int i = 0; i < 8; ++i) {
        const Digest& key = keys[i < 4 ? i : random() % keys.size()];
        ASSERT_EQ(pair.map.find(key), pair.of(key)) << to_hex(key);
        expect_proof(pair, key);
        expect_proof(pair, random_key(random));
      }
    }
    for (const Digest& key : keys) ASSERT_EQ(pair.map.find(key), pair.of(key)) << to_hex(key);
    EXPECT_EQ(pair.map.find(random_key(random)), std::vector<uint64_t>());
  }
}

// As other builds may have chosen: none, some or all of the runs, up to more than twelve.
TEST(StateMap, HoldsTheSameWhicheverRunsAreMerged) {
  std::mt19937_64 random(6);
  MapPair pair;
  std::vector<Digest> keys;
  size_t most = 0;
  for (int round = 0; round < 60; ++round) {
    const size_t size = 1 + random() % (round % 20 == 0 ? 3000 : 60);
    for (size_t i = 0; i < size; ++i) pair.add(keys.emplace_back(random_key(random)));
    const size_t runs = pair.map.runs().size();
    pair.flush(round % 20 == 19 ? random() % (runs + 1) : runs);
    if (random() % 4 == 0) pair.reopen();
    most = std::max(most, pair.map.runs().size());
    for (int i = 0; i < 3; ++i) {
      const Digest& key = keys[random() % keys.size()];
      ASSERT_EQ(pair.map.find(key), pair.of(key)) << to_hex(key);
      expect_proof(pair, key);
      expect_proof(pair, random_key(random));
    }
  }
  EXPECT_GT(most, 12U);
  // Asked for many at once, none is missed and few others are taken for one.
  std::vector<Digest> others(1000);
  for (Digest& key : others) key = random_key(random);
  const auto there = pair.map.may_be_in_runs(keys);
  const auto others_there = pair.map.may_be_in_runs(others);
  EXPECT_EQ(std::count(there.begin(), there.end(), true), static_cast<ptrdiff_t>(keys.size()));
  EXPECT_LT(std::count(others_there.begin(), others_there.end(), true), 50);
  EXPECT_TRUE(pair.map.may_be_in_runs({}).empty());
}

TEST(StateMap, ProvesEveryKeyAndItsNeighbours) {
  std::mt19937_64 random(4);
  MapPair pair;
  std::vector<Digest> keys;
  for (const size_t size : {5000U, 100U, 7U}) {  // three runs, the first of five chunks
    for (size_t i = 0; i < size; ++i) pair.add(keys.emplace_back(random_key(random)));
    pair.flush();
  }
  EXPECT_GT(pair.state.run_size(), 1);
  std::sort(keys.begin(), keys.end());
  for (size_t i = 0; i < keys.size(); i += 1 + (i > 40 && i + 40 < keys.size() ? 37 : 0)) {
    for (const int by : {-1, 0, 1}) expect_proof(pair, stepped(keys[i], by));
  }
  // Where one chunk ends and the next begins.
  for (size_t i = 1000; i < keys.size(); i += 1000) {
    for (size_t j = i; j < std::min(i + 30, keys.size()); ++j) expect_proof(pair, keys[j]);
  }
}

TEST(StateMap, AnEmptyMapProvesOnlyAbsence) {
  MapPair pair;
  pair.flush();
  ASSERT_EQ(pair.state.run_size(), 0);
  EXPECT_EQ(pair.map.find(filled(7)), std::vector<uint64_t>());
  EXPECT_EQ(pair.map.find(filled(0)), std::vector<uint64_t>());
  expect_proof(pair, filled(7));
}

TEST(StateMap, EqualKeysMaySpanChunks) {
  for (const int value : {0, 1, 128, 255}) {
    const auto byte = static_cast<unsigned char>(value);
    std::mt19937_64 random(byte);
    MapPair pair;
    const Digest key = filled(byte);
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 1500; ++i) {
        pair.add(key);
        if (i % 3 == 0) pair.add(random_key(random));
      }
      ASSERT_EQ(pair.map.find(key), pair.of(key)) << int{byte};
      pair.flush();
      ASSERT_EQ(pair.map.find(key), pair.of(key)) << int{byte};
      pair.reopen();
      ASSERT_EQ(pair.map.find(key), pair.of(key)) << int{byte};
      for (const int by : {-1, 0, 1}) {
        if ((byte == 0 && by < 0) || (byte == 255 && by > 0)) continue;
        EXPECT_EQ(pair.map.find(stepped(key, by)), pair.of(stepped(key, by)));
        expect_proof(pair, stepped(key, by));
      }
    }
  }
}

TEST(StateMap, TheLeafThatARunBeginsWithIsNoRecord) {
  MapPair pair;
  pair.add(filled(9));
  pair.flush();
  EXPECT_EQ(pair.map.find(filled(0)), std::vector<uint64_t>());
  const auto proof = pair.map.prove(filled(0));
  ASSERT_EQ(proof.size(), 1U);
  EXPECT_FALSE(verify_presence(filled(0), kNoRecord, 0, proof[0], pair.state));
}

// Every bit of a proof counts: leaf, place and siblings.
TEST(StateMap, NoBitOfAProofMayChange) {
  std::mt19937_64 random(5);
  MapPair pair;
  for (const size_t size : {4200U, 3U}) {
    for (size_t i = 0; i < size; ++i) pair.add(random_key(random));
    pair.flush();
  }
  const Digest absent = random_key(random);
  const Digest present = pair.expected.begin()->first;
  const auto for_each_flip = [](std::vector<StateMap::RunProof>& proofs, const auto& check) {
    for (auto& proof : proofs) {
      const auto flip_all = [&](std::byte* bytes, size_t size) {
        for (size_t bit = 0; bit < size * 8; ++bit) {
          bytes[bit / 8] ^= std::byte{1} << bit % 8;
          check();
          bytes[bit / 8] ^= std::byte{1} << bit % 8;
        }
      };
      flip_all(proof.low.key.bytes.data(), 32);
      flip_all(proof.high.bytes.data(), 32);
      flip_all(reinterpret_cast<std::byte*>(&proof.low.seq), sizeof proof.low.seq);
      flip_all(reinterpret_cast<std::byte*>(&proof.index), sizeof proof.index);
      for (Digest& digest : proof.path) flip_all(digest.bytes.data(), 32);
      proof.path.push_back(filled(1));
      check();
      proof.path.pop_back();
      const Digest last = proof.path.back();
      proof.path.pop_back();
      check();
      proof.path.push_back(last);
    }
  };
  auto proofs = pair.map.prove(absent);
  ASSERT_EQ(proofs.size(), 2U);
  ASSERT_TRUE(verify_absence(absent, proofs, pair.state));
  for_each_flip(proofs, [&] { EXPECT_FALSE(verify_absence(absent, proofs, pair.state)); });
  // One run fewer, one more, another order.
  EXPECT_FALSE(verify_absence(absent, std::span(proofs).first(1), pair.state));
  EXPECT_FALSE(verify_absence(absent, {}, pair.state));
  std::swap(proofs[0], proofs[1]);
  EXPECT_FALSE(verify_absence(absent, proofs, pair.state));

  std::vector<StateMap::RunProof> one = {pair.map.prove(present)[0]};
  const uint64_t seq = one[0].low.seq;
  ASSERT_TRUE(verify_presence(present, seq, 0, one[0], pair.state));
  for_each_flip(one, [&] { EXPECT_FALSE(verify_presence(present, seq, 0, one[0], pair.state)); });
}

}  // namespace
}  // namespace cleared::ledger

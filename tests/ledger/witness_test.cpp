// The witness protocol, C2SP tlog-witness, both sides. The request of the known answer is the
// example of the specification (https://c2sp.org/tlog-witness, section add-checkpoint); status
// codes are the specification's, row by row.
#include "ledger/witness.h"

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/cosignature.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

constexpr uint64_t kNow = 1'800'000'000;

const std::string kSpecification =
    "old 20852014\n"
    "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
    "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n"
    "\n"
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "\u2014 example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\u2014 example.com/behind-the-sofa "
    "opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/"
    "V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";

// A log in memory. Two with another `branch` agree in their first `fork_at` leaves.
struct TestLog {
  SignerKey key = new_signer_key("log.example/film");
  std::vector<Digest> leaves;

  explicit TestLog(uint64_t size, const std::string& branch = "", uint64_t fork_at = 0) {
    for (uint64_t i = 0; i < size; ++i) {
      leaves.push_back(sha256((i < fork_at ? "" : branch) + std::to_string(i)));
    }
  }
  std::span<const Digest> first(uint64_t size) const { return std::span(leaves).first(size); }
  Note head(uint64_t size) const {
    Note note{format_tree_head({key.verifier.name, size, root_digest(first(size)), {}}), {}};
    add_signature(note, key);
    return note;
  }
  std::vector<Digest> proof(uint64_t old_size, uint64_t new_size) const {
    return old_size == 0 || old_size == new_size ? std::vector<Digest>()
                                                 : consistency_proof(first(new_size), old_size);
  }
  AddCheckpoint request(uint64_t old_size, uint64_t new_size) const {
    return {old_size, proof(old_size, new_size), head(new_size)};
  }
  std::string body(uint64_t old_size, uint64_t new_size) const {
    return format_add_checkpoint(request(old_size, new_size));
  }
};

struct Bench {
  TempFolder folder;
  std::filesystem::path state = folder / "witness.db";
  SignerKey key = new_signer_key("witness.example/w1", SignatureType::ed25519_cosignature);

  explicit Bench(const TestLog& log) {
    WitnessState::create(state, key.verifier);
    WitnessState(state, Access::append).add_log(log.key.verifier);
  }
  Witness open(uint64_t now_s = kNow) const {
    return Witness(state, key, [now_s] { return now_s * 1'000'000; });
  }
};

std::string with_line(std::string body, const std::string& line) {
  return body.insert(body.find('\n') + 1, line + "\n");
}

TEST(AddCheckpoint, TheExampleOfTheSpecificationComesBackAsItIs) {
  const AddCheckpoint request = parse_add_checkpoint(kSpecification);
  EXPECT_EQ(request.old_size, 20852014U);
  EXPECT_EQ(request.proof.size(), 4U);
  EXPECT_EQ(request.note.signatures.size(), 2U);
  EXPECT_EQ(parse_tree_head(request.note.text).size, 20852163U);
  EXPECT_EQ(format_add_checkpoint(request), kSpecification);
}

TEST(AddCheckpoint, EveryPrefixIsRefusedOrIsARequestWithFewerSignatures) {
  for (size_t n = 0; n < kSpecification.size(); ++n) {
    const std::string cut = kSpecification.substr(0, n);
    bool taken = true;
    try {
      EXPECT_EQ(format_add_checkpoint(parse_add_checkpoint(cut)), cut);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::corrupt);
      taken = false;
    }
    EXPECT_EQ(taken, cut.ends_with("cTOAYQ8=\n")) << n;
  }
}

TEST(AddCheckpoint, MalformedRequestsAreRefused) {
  const std::string good = kSpecification;
  const std::string line = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=";
  const std::map<std::string, std::string> rows = {
      {"empty", ""},
      {"no old size", good.substr(good.find('\n') + 1)},
      {"capital", replaced(good, "old ", "Old ")},
      {"two spaces", replaced(good, "old ", "old  ")},
      {"no size", replaced(good, "old 20852014", "old ")},
      {"leading zero", replaced(good, "old 2", "old 02")},
      {"plus", replaced(good, "old 2", "old +2")},
      {"minus", replaced(good, "old 2", "old -2")},
      {"not a number", replaced(good, "old 20852014", "old x")},
      {"2^64", replaced(good, "old 20852014", "old 18446744073709551616")},
      {"trailing space", replaced(good, "old 20852014", "old 20852014 ")},
      {"carriage returns", replaced(good, "old 20852014\n", "old 20852014\r\n")},
      {"31 bytes", replaced(good, line, to_base64(as_bytes(std::string(31, 'x'))))},
      {"33 bytes", replaced(good, line, to_base64(as_bytes(std::string(33, 'x'))))},
      {"no padding", replaced(good, line, line.substr(0, line.size() - 1))},
      {"stray low bits", replaced(good, "pkaw=", "pkax=")},
      {"URL alphabet", replaced(good, "/6WV", "_6WV")},
      {"two blank lines", replaced(good, "\n\n", "\n\n\n")},
      {"no blank line", replaced(good, "\n\n", "\n")},
      {"no signature", good.substr(0, good.find("\u2014"))},
      {"not a tree head", replaced(good, "20852163\n", "many\n")},
      {"a byte that is not UTF-8", replaced(good, "example", "ex\xFFmple")},
      {"a control character", replaced(good, "example", "ex\x1Bmple")},
      {"bytes after the end", good + "x"},
  };
  for (const auto& [what, body] : rows) {
    EXPECT_TRUE(
        error_of([&, &text = body] { (void)parse_add_checkpoint(text); }).starts_with("corrupt"))
        << what;
  }
  std::string long_proof = good;
  for (size_t n = 4; n < kMaxConsistencyLines; ++n) long_proof = with_line(long_proof, line);
  EXPECT_EQ(format_add_checkpoint(parse_add_checkpoint(long_proof)), long_proof);
  EXPECT_NE(error_of([&] { (void)parse_add_checkpoint(with_line(long_proof, line)); }), "");
}

TEST(Witness, AnswersWithTheStatusOfTheSpecification) {
  const TestLog log(20), fork(20, "x", 5), stranger(20);
  TestLog other = log;
  other.key = new_signer_key("log.example/film");  // same name, another key
  const Bench bench(log);
  Witness witness = bench.open();
  ASSERT_EQ(witness.answer(log.body(0, 7)).answer.status, 200);

  TestLog forked = fork;
  forked.key = log.key;
  Note extended{format_tree_head({log.key.verifier.name, 9, root_digest(log.first(9)), {"extra"}}),
                {}};
  add_signature(extended, log.key);
  AddCheckpoint broken_line = log.request(7, 9);
  broken_line.note.signatures[0].signature[3] ^= 1;
  AddCheckpoint unknown_line = log.request(9, 10);
  unknown_line.note.signatures.push_back({"who.example", 77, "anything"});
  AddCheckpoint wrong_origin = log.request(7, 9);
  wrong_origin.note = {replaced(wrong_origin.note.text, "film", "elsewhere"), {}};
  add_signature(wrong_origin.note, log.key);
  AddCheckpoint no_proof = log.request(7, 9);
  no_proof.proof.clear();
  AddCheckpoint long_proof = log.request(7, 9);
  long_proof.proof.push_back(Digest{});
  AddCheckpoint swapped = log.request(7, 9);
  std::swap(swapped.proof[0], swapped.proof[1]);
  AddCheckpoint same_with_proof = log.request(7, 7);
  same_with_proof.proof.push_back(Digest{});
  AddCheckpoint lying_old = log.request(7, 20);
  lying_old.old_size = 8;

  struct Row {
    const char* what;
    std::string body;
    int status;
    const char* size;  // body of a 409
  };
  const std::vector<Row> rows = {
      {"not a request", "hello\n", 400, ""},
      {"a megabyte", std::string(1 << 20, 'x'), 400, ""},
      {"old above the size", format_add_checkpoint({8, {}, log.head(7)}), 400, ""},
      {"unknown origin", format_add_checkpoint(wrong_origin), 404, ""},
      {"another key of the same name", other.body(7, 9), 403, ""},
      {"a line of the log's key that does not verify", format_add_checkpoint(broken_line), 403, ""},
      {"old is 0", log.body(0, 9), 409, "7\n"},
      {"old below what was cosigned", log.body(6, 9), 409, "7\n"},
      {"old above what was cosigned", log.body(8, 9), 409, "7\n"},
      {"old and size below what was cosigned", log.body(3, 5), 409, "7\n"},
      {"the old size is not that of the proof", format_add_checkpoint(lying_old), 409, "7\n"},
      {"same size, another root", forked.body(7, 7), 409, "7\n"},
      {"same size, another root, old 0", forked.body(0, 7), 409, "7\n"},
      {"a fork", forked.body(7, 9), 422, ""},
      {"no proof", format_add_checkpoint(no_proof), 422, ""},
      {"a line too many", format_add_checkpoint(long_proof), 422, ""},
      {"lines swapped", format_add_checkpoint(swapped), 422, ""},
      {"same size and a proof", format_add_checkpoint(same_with_proof), 422, ""},
      {"the same again", log.body(7, 7), 200, ""},
      {"extension lines", format_add_checkpoint({7, log.proof(7, 9), extended}), 200, ""},
      {"with a line of an unknown key", format_add_checkpoint(unknown_line), 200, ""},
      {"replayed after that", log.body(7, 9), 409, "10\n"},
      {"to the end", log.body(10, 20), 200, ""},
  };
  for (const Row& row : rows) {
    const auto [answer, origin, size, why, is_fork] = witness.answer(row.body);
    EXPECT_EQ(answer.status, row.status) << row.what << ": " << answer.body;
    EXPECT_EQ(answer.content_type == kSizeContentType, row.status == 409) << row.what;
    if (row.status == 409) {
      EXPECT_EQ(answer.body, row.size) << row.what;
    }
    EXPECT_EQ(why.empty(), row.status == 200) << row.what;
    EXPECT_EQ(is_fork, std::string_view(row.what).starts_with("same size, another")) << row.what;
    EXPECT_EQ(origin.empty(), row.status == 404 || row.body.find("\n\n") == row.body.npos);
    if (row.status != 200) continue;
    const Note note = parse_add_checkpoint(row.body).note;
    const Note answered = parse_note(note.text + "\n" + answer.body);
    EXPECT_EQ(answered.signatures.size(), 1U) << row.what;
    EXPECT_EQ(cosigned_at(answered, bench.key.verifier), kNow) << row.what;
  }
}

TEST(Witness, TheFirstHeadNeedsNoProofAndMayBeOfAnEmptyLog) {
  const TestLog log(3);
  AddCheckpoint with_proof = log.request(0, 2);
  with_proof.proof.push_back(Digest{});
  Note wrong{format_tree_head({log.key.verifier.name, 0, Digest{}, {}}), {}};
  add_signature(wrong, log.key);
  const Bench bench(log);
  Witness witness = bench.open();
  EXPECT_EQ(witness.answer(log.body(1, 2)).answer.body, "0\n");
  EXPECT_EQ(witness.answer(format_add_checkpoint(with_proof)).answer.status, 422);
  EXPECT_EQ(witness.answer(format_add_checkpoint({0, {}, wrong})).answer.status, 409);
  EXPECT_EQ(witness.answer(log.body(0, 0)).answer.status, 200);
  EXPECT_EQ(witness.answer(log.body(0, 3)).answer.status, 200);
}

TEST(Witness, ABodyOfAnyLengthCutAnywhereIsRefused) {
  const TestLog log(9);
  const Bench bench(log);
  Witness witness = bench.open();
  const std::string body = log.body(4, 9);
  for (size_t n = 0; n < body.size(); ++n) {
    EXPECT_EQ(witness.answer(body.substr(0, n)).answer.status, 400) << n;
  }
}

TEST(Witness, RemembersAcrossRestartsAndKeepsTheProofOfAFork) {
  const TestLog log(9);
  TestLog fork(9, "x", 2);
  fork.key = log.key;
  const Bench bench(log);
  EXPECT_EQ(bench.open().answer(log.body(0, 5)).answer.status, 200);
  EXPECT_EQ(bench.open().answer(fork.body(5, 5)).answer.status, 409);
  EXPECT_EQ(bench.open().answer(fork.body(5, 5)).answer.status, 409);
  EXPECT_EQ(bench.open().answer(fork.body(5, 8)).answer.status, 422);
  const WitnessState state(bench.state, Access::read);
  EXPECT_EQ(state.newest(log.key.verifier.name)->head, parse_tree_head(log.head(5).text));
  const auto conflicts = state.conflicts(log.key.verifier.name);
  ASSERT_EQ(conflicts.size(), 1U);
  EXPECT_EQ(conflicts[0].text, fork.head(5).text);
  EXPECT_TRUE(signed_by(conflicts[0], log.key.verifier));
}

TEST(Witness, CosignsNeverEarlierThanBefore) {
  const TestLog log(3);
  const Bench bench(log);
  EXPECT_EQ(bench.open(kNow).answer(log.body(0, 2)).answer.status, 200);
  const auto later = bench.open(kNow - 1000).answer(log.body(2, 3));
  EXPECT_EQ(
      cosigned_at(parse_note(log.head(3).text + "\n" + later.answer.body), bench.key.verifier),
      kNow);
}

TEST(Witness, ALogMayHaveSeveralKeysAndEachSpeaksForItsOriginAlone) {
  const TestLog log(4);
  TestLog second = log;
  second.key = new_signer_key(log.key.verifier.name);
  const Bench bench(log);
  Witness witness = bench.open();
  EXPECT_EQ(witness.answer(second.body(0, 2)).answer.status, 403);
  WitnessState state(bench.state, Access::append);  // while the witness serves
  EXPECT_TRUE(state.add_log(second.key.verifier));
  EXPECT_FALSE(state.add_log(second.key.verifier));
  EXPECT_EQ(witness.answer(second.body(0, 2)).answer.status, 200);
  EXPECT_EQ(witness.answer(log.body(2, 4)).answer.status, 200);
}

// A key that the log retired, and somebody stole, must not lock the log out of its quorum.
TEST(Witness, ARemovedKeyGetsNothingMore) {
  const TestLog log(6);
  TestLog second = log, thief(6, "x", 2);
  second.key = new_signer_key(log.key.verifier.name);
  thief.key = log.key;
  const Bench bench(log);
  Witness witness = bench.open();
  EXPECT_EQ(witness.answer(log.body(0, 2)).answer.status, 200);
  WitnessState state(bench.state, Access::append);  // while the witness serves
  EXPECT_TRUE(error_of([&] { state.remove_log(log.key.verifier); }).starts_with("usage"));
  EXPECT_TRUE(error_of([&] { state.remove_log(second.key.verifier); }).starts_with("not_found"));
  EXPECT_TRUE(state.add_log(second.key.verifier));
  state.remove_log(log.key.verifier);
  EXPECT_TRUE(error_of([&] { state.remove_log(log.key.verifier); }).starts_with("not_found"));
  EXPECT_EQ(witness.answer(thief.body(2, 6)).answer.status, 403);
  EXPECT_EQ(state.newest(log.key.verifier.name)->head.size, 2U);  // signed by the removed key
  EXPECT_EQ(state.log_keys(log.key.verifier.name), std::vector{second.key.verifier});
  EXPECT_EQ(state.removed_keys(log.key.verifier.name), std::vector{log.key.verifier});
  EXPECT_EQ(witness.answer(second.body(2, 4)).answer.status, 200);
  EXPECT_TRUE(state.add_log(log.key.verifier));  // its owner was mistaken
  EXPECT_EQ(witness.answer(log.body(4, 6)).answer.status, 200);
}

TEST(Witness, TheMemoryOfAnOlderProgramIsTakenOver) {
  const TestLog log(2);
  const Bench bench(log);
  EXPECT_EQ(bench.open().answer(log.body(0, 2)).answer.status, 200);
  Database::open(bench.state, Access::append)
      .exec("ALTER TABLE log DROP COLUMN removed; PRAGMA user_version = 1");
  EXPECT_EQ(bench.open().answer(log.body(2, 2)).answer.status, 200);
  const WitnessState state(bench.state, Access::read);
  EXPECT_EQ(state.db().integer("PRAGMA user_version"), 2);
  EXPECT_EQ(state.log_keys(log.key.verifier.name).size(), 1U);
}

TEST(Witness, WrongKeysAndSecondWitnessesAreRefused) {
  const TestLog log(2);
  const Bench bench(log);
  const Witness first = bench.open();
  EXPECT_TRUE(error_of([&] { (void)bench.open(); }).starts_with("busy"));
  const Bench other(log);
  EXPECT_TRUE(error_of([&] { Witness(other.state, bench.key); }).starts_with("permission"));
  EXPECT_TRUE(
      error_of([&] { Witness(bench.folder / "none", bench.key); }).starts_with("not_found"));
  EXPECT_FALSE(std::filesystem::exists(bench.folder / "none.lock"));
  EXPECT_TRUE(
      error_of([&] { WitnessState::create(bench.state, bench.key.verifier); }).starts_with("io"));
  EXPECT_TRUE(error_of([&] {
                WitnessState::create(bench.folder / "new", log.key.verifier);
              }).starts_with("usage"));
  EXPECT_TRUE(error_of([&] {
                WitnessState(bench.state, Access::append).add_log(bench.key.verifier);
              }).starts_with("usage"));
}

TEST(Witness, ADamagedStateIsRefusedAndNotReset) {
  const TestLog log(6);
  TestLog fork(6, "x", 1);
  fork.key = log.key;
  const Note forged = fork.head(4);  // signed by the log, never cosigned
  struct Row {
    const char* what;
    std::function<void(const std::filesystem::path&)> damage;
  };
  const auto sql = [](const std::string& text) {
    return [text](const std::filesystem::path& path) {
      Database::open(path, Access::append).exec(text);
    };
  };
  const std::vector<Row> rows = {
      {"empty", [](const auto& path) { write_file(path, ""); }},
      {"another file", [](const auto& path) { write_file(path, "hello"); }},
      {"cut", [](const auto& path) { write_file(path, read_file(path).substr(0, 6000)); }},
      {"a page overwritten",
       [](const auto& path) {
         std::string bytes = read_file(path);
         bytes.replace(4096, 4096, std::string(4096, 'x'));
         write_file(path, bytes);
       }},
      {"another root", sql("UPDATE head SET note = '" + format_note(forged) + "'")},
      {"no cosignature", sql("UPDATE head SET note = '" + format_note(log.head(4)) + "'")},
      {"another origin", sql("UPDATE head SET origin = 'log.example/other'")},
      {"the log gone", sql("DELETE FROM log")},
      {"no witness", sql("DELETE FROM witness")},
      {"a newer version", sql("PRAGMA user_version = 99")},
  };
  for (const Row& row : rows) {
    const Bench bench(log);
    ASSERT_EQ(bench.open().answer(log.body(0, 4)).answer.status, 200);
    row.damage(bench.state);
    const std::string damaged = read_file(bench.state);
    EXPECT_NE(error_of([&] { (void)bench.open(); }), "") << row.what;
    EXPECT_EQ(read_file(bench.state), damaged) << row.what;
  }
}

TEST(Witness, DamageFoundWhileServingEndsIt) {
  const TestLog log(6);
  const Bench bench(log);
  Witness witness = bench.open();
  ASSERT_EQ(witness.answer(log.body(0, 4)).answer.status, 200);
  const Database db = Database::open(bench.state, Access::append);
  db.exec("UPDATE head SET note = '" + format_note(log.head(5)) + "'");
  EXPECT_NE(error_of([&] { (void)witness.answer(log.body(4, 6)); }), "");
  db.exec("DELETE FROM head");
  EXPECT_NE(error_of([&] { (void)witness.answer(log.body(0, 6)); }), "") << "it does not go on";
}

TEST(Witness, OfTwoHistoriesThatRaceOneIsCosigned) {
  constexpr uint64_t kRounds = 25;
  const TestLog log(2 * kRounds + 1);
  const Bench bench(log);
  Witness witness = bench.open();
  std::array<TestLog, 2> sides = {log, log};
  ASSERT_EQ(witness.answer(log.body(0, 1)).answer.status, 200);
  for (uint64_t size = 1; size < kRounds; ++size) {
    for (size_t side : {0U, 1U}) {
      sides[side].leaves.resize(size + 1);
      sides[side].leaves[size] = sha256(std::to_string(size) + (side == 0 ? "a" : "b"));
    }
    std::array<int, 2> status{};
    std::atomic<int> ready = 0;
    const auto submit = [&](size_t side) {
      const std::string body = sides[side].body(size, size + 1);
      for (++ready; ready < 2;) std::this_thread::yield();
      status[side] = witness.answer(body).answer.status;
    };
    { const std::jthread first(submit, 0), second(submit, 1); }
    EXPECT_EQ(std::multiset<int>(status.begin(), status.end()), (std::multiset<int>{200, 409}));
    sides[status[0] == 200 ? 1 : 0] = sides[status[0] == 200 ? 0 : 1];
  }
}

// Cosigns one record after the other from `start`, says each size, and after each tries to have
// another history cosigned: that would be said as size 0.
[[noreturn]] void cosign_until_killed(const Bench& bench, const TestLog& log, const TestLog& fork,
                                      uint64_t start, int out) {
  Witness witness = bench.open();
  for (uint64_t size = start; size + 1 < log.leaves.size(); ++size) {
    const bool forked =
        size > 0 && (witness.answer(fork.body(size, size)).answer.status == 200 ||
                     witness.answer(fork.body(size, size + 1)).answer.status == 200);
    const bool cosigned = witness.answer(log.body(size, size + 1)).answer.status == 200;
    const std::string line = std::to_string(forked || !cosigned ? 0 : size + 1) + "\n";
    if (::write(out, line.data(), line.size()) < 0) break;
  }
  ::_exit(0);
}

// The numbers that come through `in`, one a line, killing `child` a moment after the first `lines`.
std::vector<uint64_t> read_and_kill(int in, pid_t child, int lines, int wait_us) {
  std::string said;
  char byte = 0;
  for (int seen = 0; seen < lines && ::read(in, &byte, 1) == 1; seen += byte == '\n') said += byte;
  std::this_thread::sleep_for(std::chrono::microseconds(wait_us));
  ::kill(child, SIGKILL);
  while (::read(in, &byte, 1) == 1) said += byte;
  ::waitpid(child, nullptr, 0);
  std::istringstream words(said);
  return {std::istream_iterator<uint64_t>(words), {}};
}

TEST(Witness, KilledAtAnyMomentItForgetsNothingItAnswered) {
  const TestLog log(200);
  TestLog fork(200, "x", 0);
  fork.key = log.key;
  const Bench bench(log);
  uint64_t newest = 0;
  for (int round = 0; round < 15; ++round) {
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) cosign_until_killed(bench, log, fork, newest, pipe[1]);
    const Fd in(pipe[0]);
    ::close(pipe[1]);
    const auto said = read_and_kill(in.get(), child, 1 + round % 3, 317 * round);
    ASSERT_FALSE(said.empty());
    for (const uint64_t size : said) EXPECT_EQ(size, ++newest) << "0: a fork was cosigned";
    const auto kept = WitnessState(bench.state, Access::append).newest(log.key.verifier.name);
    ASSERT_TRUE(kept);
    EXPECT_GE(kept->head.size, newest);
    EXPECT_LE(kept->head.size, newest + 1);  // committed and not yet said
    EXPECT_EQ(kept->head.root, root_digest(log.first(kept->head.size)));
    newest = kept->head.size;
  }
}

// ---- the log's side

struct Asked {
  AskedWitness result;
  std::vector<std::string> requests;
};
Asked ask(const Note& note, const AskWitness& how, const ConsistencyProver& prove,
          const std::function<WitnessAnswer(const std::string&)>& post) {
  Asked out;
  out.result = add_checkpoint(note, how, prove, [&](const std::string& body) {
    out.requests.push_back(body);
    return post(body);
  });
  return out;
}

TEST(AskWitness, GetsACosignatureWithWhateverItKnowsOfTheWitness) {
  const TestLog log(30);
  const auto prove = [&](uint64_t from, uint64_t to) { return log.proof(from, to); };
  struct Row {
    const char* what;
    uint64_t cosigned, known, size;
    size_t requests;
  };
  const std::vector<Row> rows = {
      {"the first time", 0, 0, 9, 1},
      {"nobody knows", 5, 0, 9, 2},
      {"known", 5, 5, 9, 1},
      {"known wrongly", 5, 7, 9, 2},
      {"the same head", 9, 9, 9, 1},
      {"the same head, unknown", 9, 0, 9, 2},
      {"known larger than ours", 5, 12, 9, 2},
  };
  for (const Row& row : rows) {
    const Bench bench(log);
    Witness witness = bench.open();
    if (row.cosigned > 0) {
      ASSERT_EQ(witness.answer(log.body(0, row.cosigned)).answer.status, 200);
    }
    Note note = log.head(row.size);
    const auto [result, requests] =
        ask(note, {bench.key.verifier, row.known, kNow}, prove,
            [&](const std::string& body) { return witness.answer(body).answer; });
    ASSERT_TRUE(result.cosignature) << row.what << ": " << result.why;
    EXPECT_EQ(requests.size(), row.requests) << row.what;
    add_signature(note, *result.cosignature);
    EXPECT_EQ(cosigned_at(note, bench.key.verifier), kNow) << row.what;
    EXPECT_TRUE(signed_by(note, log.key.verifier)) << row.what;
  }
}

TEST(AskWitness, SeesWhenAWitnessContradictsUs) {
  const TestLog log(30);
  TestLog fork(30, "x", 4);
  fork.key = log.key;
  struct Row {
    const char* what;
    uint64_t cosigned, size;
    const char* why;
  };
  const std::vector<Row> rows = {
      {"rolled back", 12, 9, "12 records already"},
      {"another root", 9, 9, "another root"},
      {"another history", 7, 9, "(422)"},
  };
  for (const Row& row : rows) {
    const Bench bench(log);
    Witness witness = bench.open();
    ASSERT_EQ(witness.answer(log.body(0, row.cosigned)).answer.status, 200);
    const auto [result, requests] = ask(
        fork.head(row.size), {bench.key.verifier, 0, kNow},
        [&](uint64_t from, uint64_t to) { return fork.proof(from, to); },
        [&](const std::string& body) { return witness.answer(body).answer; });
    EXPECT_TRUE(result.contradicts) << row.what;
    EXPECT_FALSE(result.cosignature) << row.what;
    EXPECT_NE(result.why.find(row.why), std::string::npos) << row.what << ": " << result.why;
  }
}

TEST(AskWitness, TakesNothingFromAnAnswerThatIsNotACosignature) {
  const TestLog log(10);
  const SignerKey key = new_signer_key("witness.example/w1", SignatureType::ed25519_cosignature);
  const SignerKey other = new_signer_key("witness.example/w1", SignatureType::ed25519_cosignature);
  const Note note = log.head(9);
  const auto lines = [&](const std::vector<NoteSignature>& signatures) {
    return format_note({note.text, signatures}).substr(note.text.size() + 1);
  };
  NoteSignature bad = cosign(note.text, key, kNow);
  bad.signature[20] ^= 1;
  const NoteSignature good = cosign(note.text, key, kNow);
  const std::string size_type(kSizeContentType);
  struct Row {
    const char* what;
    WitnessAnswer answer;
    bool taken;
  };
  const std::vector<Row> rows = {
      {"good", {200, "", lines({good})}, true},
      {"good among others", {200, "", lines({cosign(note.text, other, kNow), good})}, true},
      {"two times", {200, "", lines({cosign(note.text, key, kNow - 9), good})}, true},
      {"an hour ahead", {200, "", lines({cosign(note.text, key, kNow + 3600)})}, true},
      {"more than an hour ahead", {200, "", lines({cosign(note.text, key, kNow + 3601)})}, false},
      {"empty", {200, "", ""}, false},
      {"a page", {200, "text/html", "<html>\n"}, false},
      {"cut", {200, "", lines({good}).substr(0, 60)}, false},
      {"without newline", {200, "", lines({good}).substr(0, lines({good}).size() - 1)}, false},
      {"another key", {200, "", lines({cosign(note.text, other, kNow)})}, false},
      {"does not verify", {200, "", lines({bad})}, false},
      {"one of two does not", {200, "", lines({good, bad})}, false},
      {"of another head", {200, "", lines({cosign(log.head(8).text, key, kNow)})}, false},
      {"more text before the lines", {200, "", "more\n\n" + lines({good})}, false},
      {"a blank line before", {200, "", "\n" + lines({good})}, false},
      {"another status with a good body", {201, "", lines({good})}, false},
      {"malformed", {400, "", ""}, false},
      {"another key of ours", {403, "", ""}, false},
      {"unknown", {404, "", ""}, false},
      {"server error", {500, "", ""}, false},
      {"redirect", {302, "", ""}, false},
      {"409 without a size", {409, size_type, ""}, false},
      {"409 of another type", {409, "text/plain", "5\n"}, false},
      {"409, no number", {409, size_type, "five\n"}, false},
      {"409, leading zero", {409, size_type, "05\n"}, false},
      {"409, two lines", {409, size_type, "5\n5\n"}, false},
      {"409 for ever", {409, size_type, "5\n"}, false},
      {"409 with what we said", {409, size_type, "0\n"}, false},
  };
  for (const Row& row : rows) {
    const auto [result, requests] = ask(
        note, {key.verifier, 0, kNow},
        [&](uint64_t from, uint64_t to) { return log.proof(from, to); },
        [&](const std::string&) { return row.answer; });
    EXPECT_EQ(result.cosignature.has_value(), row.taken) << row.what << ": " << result.why;
    EXPECT_EQ(result.why.empty(), row.taken) << row.what;
    EXPECT_FALSE(result.contradicts) << row.what;
    EXPECT_LE(requests.size(), 2U) << row.what;
    if (row.taken) {
      EXPECT_GE(result.cosigned_at, kNow) << row.what;
    }
  }
}

}  // namespace
}  // namespace cleared::ledger

// A log's key is replaced: enrolled by the old key and by itself, both sign heads for a while, then
// the old one is retired by the new one. Whoever knows either key can check every head of that
// time.
#include <algorithm>
#include <sstream>

#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/follow.h"
#include "ledger/key.h"
#include "ledger/note.h"
#include "ledger/publish.h"
#include "ledger/store.h"
#include "ledger/verify.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

struct LogKeys : testing::Test {
  World world;
  SignerKey next = new_signer_key(world.log.verifier.name);
  SignerKey stranger = new_signer_key(world.log.verifier.name);

  Fact enrolment(const SignerKey& key, const std::vector<const SignerKey*>& signers) const {
    Fact fact = world.key(key, "log");
    fact.mutable_key()->set_note(
        signers.empty() ? ""
                        : sign_text("log " + format_verifier_key(key.verifier) + "\n", signers));
    return fact;
  }
  Fact retirement(const SignerKey& key, const std::vector<const SignerKey*>& signers) const {
    Fact fact = world.key(key, "log");
    fact.mutable_key()->set_retired(true);
    if (!signers.empty()) {
      fact.mutable_key()->set_note(
          sign_text("retire log " + format_verifier_key(key.verifier) + "\n", signers));
    }
    return fact;
  }
  std::string appended(const Fact& fact) {
    return error_of([&] { world.append({fact}); });
  }
  std::string signed_with(const std::vector<SignerKey>& keys) {
    return error_of([&] { Store(world.ledger, Access::append).sign_head(keys); });
  }
  void something() {
    Fact fact;
    fact.mutable_refusal()->set_rule("no_licence");
    fact.mutable_refusal()->set_subject("file " + std::to_string(++subjects_));
    world.append({fact});
  }
  std::vector<std::string> findings(const std::vector<const SignerKey*>& trusted) const {
    VerifyOptions options;
    for (const SignerKey* key : trusted) options.log_keys.push_back({"log", key->verifier});
    std::vector<std::string> out;
    for (const Finding& f : verify_ledger(world.ledger, options).findings) {
      out.push_back(f.where + ": " + f.what);
    }
    return out;
  }
  // What a follower who knows these keys says of the log as it is published now.
  std::string followed(const std::string& state, const std::vector<VerifierKey>& keys) {
    const Store store(world.ledger, Access::read);
    publish(world.folder / "www", source_of(store));
    FollowOptions options;
    options.fetch = fetch_from_folder(world.folder / "www");
    options.log_keys = keys;
    options.state = world.folder / state;
    const FollowReport report = follow(options);
    switch (report.answer) {
      case FollowAnswer::first:
        return "first";
      case FollowAnswer::same:
        return "same";
      case FollowAnswer::grown:
        return "grown";
      case FollowAnswer::no:
        break;
    }
    return report.reason.substr(0, report.reason.find(" example"));
  }

 private:
  int subjects_ = 0;
};

TEST_F(LogKeys, TheNextKeyComesSignedByTheOldOneAndByItself) {
  EXPECT_NE(appended(enrolment(next, {})), "");
  EXPECT_NE(appended(enrolment(next, {&next})), "");
  EXPECT_NE(appended(enrolment(next, {&world.log})), "");
  EXPECT_NE(appended(enrolment(next, {&stranger, &next})), "");
  EXPECT_NE(appended(enrolment(next, {&world.approver, &next})), "");
  const SignerKey other = new_signer_key("other.example/log");
  EXPECT_NE(appended(enrolment(other, {&world.log, &other})), "");
  EXPECT_EQ(Store(world.ledger, Access::read).log_keys().size(), 1U);

  EXPECT_EQ(appended(enrolment(next, {&world.log, &next})), "");
  EXPECT_EQ(Store(world.ledger, Access::read).log_keys().size(), 2U);
}

TEST_F(LogKeys, WhileThereAreTwoBothSignEveryHead) {
  world.append({enrolment(next, {&world.log, &next})});
  EXPECT_NE(signed_with({world.log}).find("another key of this log must sign too"),
            std::string::npos);
  EXPECT_NE(signed_with({next}), "");
  EXPECT_NE(signed_with({stranger}).find("is not the key of this log"), std::string::npos);
  EXPECT_EQ(signed_with({next, stranger, world.log}), "");
  const Note head = parse_note(Store(world.ledger, Access::read).newest_head_note());
  EXPECT_EQ(head.signatures.size(), 2U);
  EXPECT_TRUE(signed_by(head, world.log.verifier) && signed_by(head, next.verifier));
  EXPECT_TRUE(findings({}).empty());
  EXPECT_TRUE(findings({&world.log}).empty());
  EXPECT_TRUE(findings({&next}).empty());
  EXPECT_FALSE(findings({&stranger}).empty());
}

TEST_F(LogKeys, AKeyIsRetiredByOneThatStays) {
  EXPECT_NE(appended(retirement(world.log, {&world.log})), "");  // the only one
  world.append({enrolment(next, {&world.log, &next})});
  EXPECT_NE(appended(retirement(world.log, {})), "");
  EXPECT_NE(appended(retirement(world.log, {&world.log})), "");
  EXPECT_NE(appended(retirement(world.log, {&world.approver})), "");
  EXPECT_EQ(appended(retirement(world.log, {&next})), "");
  EXPECT_NE(signed_with({world.log}), "");
  EXPECT_EQ(signed_with({world.log, next}), "");  // the file of keys may still have the old one
  const Note head = parse_note(Store(world.ledger, Access::read).newest_head_note());
  EXPECT_FALSE(signed_by(head, world.log.verifier));
  EXPECT_TRUE(signed_by(head, next.verifier));
  EXPECT_TRUE(findings({&next}).empty());
  EXPECT_FALSE(findings({&world.log}).empty());
  EXPECT_NE(appended(retirement(next, {&world.log})), "");  // a retired key retires nobody
  EXPECT_NE(appended(enrolment(stranger, {&world.log, &stranger})), "");
}

TEST_F(LogKeys, AFollowerNeedsNoDayOnWhichAllChange) {
  const auto both = std::vector{world.log.verifier, next.verifier};
  ASSERT_EQ(signed_with({world.log}), "");
  EXPECT_EQ(followed("early", {world.log.verifier}), "first");
  EXPECT_EQ(followed("late", {world.log.verifier}), "first");
  world.append({enrolment(next, {&world.log, &next})});
  ASSERT_EQ(signed_with({world.log, next}), "");
  EXPECT_EQ(followed("early", {world.log.verifier}), "grown");
  EXPECT_EQ(followed("early", {next.verifier}), "same");  // changed during the overlap
  EXPECT_EQ(followed("late", {world.log.verifier}), "grown");
  world.append({retirement(world.log, {&next})});
  ASSERT_EQ(signed_with({next}), "");
  EXPECT_EQ(followed("early", {next.verifier}), "grown");
  EXPECT_EQ(followed("late", {world.log.verifier}).substr(0, 25), "checkpoint: is not signed");
  EXPECT_EQ(followed("late", both), "grown");
  EXPECT_EQ(followed("new", {next.verifier}), "first");
}

// Whoever stole the old key can still sign, but not what this ledger, or who trusts it, takes.
TEST_F(LogKeys, ARetiredKeySignsNothingThatCounts) {
  world.append({enrolment(next, {&world.log, &next})});
  world.append({retirement(world.log, {&next})});
  ASSERT_EQ(signed_with({next}), "");
  Note head = parse_note(Store(world.ledger, Access::read).newest_head_note());
  head.signatures.clear();
  add_signature(head, world.log);
  write_file(head_path(world.ledger), format_note(head));
  EXPECT_NE(error_of([&] { Store(world.ledger, Access::read); }).find("is not signed by a key"),
            std::string::npos);
}

TEST_F(LogKeys, AFileOfTwoKeysIsReadAsTwo) {
  const auto path = world.folder / "two.key";
  write_file(path, format_signer_key(world.log) + "\n" + format_signer_key(next) + "\n");
  std::filesystem::permissions(path, std::filesystem::perms(0600));
  const auto keys = read_signer_keys(path);
  ASSERT_EQ(keys.size(), 2U);
  EXPECT_EQ(keys[1].verifier, next.verifier);
  EXPECT_NE(error_of([&] { read_signer_key(path); }), "");
  std::filesystem::permissions(path, std::filesystem::perms(0644));
  EXPECT_NE(error_of([&] { read_signer_keys(path); }).find("chmod 600"), std::string::npos);
}

}  // namespace
}  // namespace cleared::ledger

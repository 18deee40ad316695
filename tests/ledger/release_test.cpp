// The gate's yes for finished weights, read without a ledger.
#include "ledger/release.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/textproto.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::StartsWith;

struct Released : World {
  Released() {
    make_folders(folder / "notices");
    write_file(folder / "trust", "approver " + format_verifier_key(approver.verifier) + "\n");
    options.release = folder / "a.release";
    options.trust = folder / "trust";
    options.notices = folder / "notices";
    options.weights = sha256("weights");
    Release& r = *text.mutable_release();
    r.set_checkpoint(digest_name(options.weights));
    r.set_use(GENERATE_INTERNAL);
    r.set_model("cleared-base");
    r.set_field_of_use("film");
    r.set_territory("EU");
    r.set_issued_at(format_time(now_us() - kHourUs));
    r.set_expires_at(format_time(now_us() + kHourUs));
    r.set_origin("test.example/log");
    r.set_tree_size(7);
    r.set_tree_root(digest_name(sha256("root")));
    r.add_licence("LIC-1@2");
    for (const SignerKey* key : {&approver, &licensor}) {
      r.add_revoker(format_verifier_key(key->verifier));
    }
  }
  std::string rule(const SignerKey& key) {
    write_file(options.release, sign_text(format_textproto(text), {&key}));
    return check_release(options).rule;
  }
  ReleaseText text;
  ReleaseOptions options;
};

TEST(Release, OneRowARule) {
  struct Case {
    const char* rule;
    std::function<void(Released&)> change;
  };
  const auto notice = [](Released& w, const char* field, const std::string& value,
                         const SignerKey& key) {
    write_file(w.folder / "notices/a.revocation",
               w.revocation(field, value, key).revocation().note());
  };
  const std::string shard = digest_name(sha256("shard"));
  const Case cases[] = {
      {"cleared", [](Released&) {}},
      {"release_other_weights", [](Released& w) { w.options.weights = sha256("other"); }},
      {"release_other_use", [](Released& w) { w.options.use = GENERATE_COMMERCIAL; }},
      {"release_ended",
       [](Released& w) { w.text.mutable_release()->set_expires_at(format_time(now_us())); }},
      {"release_ended",
       [](Released& w) {
         w.text.mutable_release()->set_issued_at(format_time(now_us() + kHourUs / 2));
       }},
      {"release_ended",
       [](Released& w) {
         w.text.mutable_release()->set_expires_at(format_time(now_us() + 168 * kHourUs));
       }},
      {"permit_stale",
       [](Released& w) {
         w.text.mutable_release()->set_issued_at(format_time(now_us() - 3 * kHourUs));
         write_file(w.options.trust, read_file(w.options.trust) + "fresh permit 2\n");
       }},
      {"head_stale",  // it does not say how old the ledger is
       [](Released& w) {
         write_file(w.options.trust, read_file(w.options.trust) + "fresh head 2\n");
       }},
      {"head_stale",
       [](Released& w) {
         w.text.mutable_release()->set_tree_at(format_time(now_us() - 3 * kHourUs));
         write_file(w.options.trust, read_file(w.options.trust) + "fresh head 2\n");
       }},
      {"cleared",
       [](Released& w) {
         w.text.mutable_release()->set_tree_at(format_time(now_us() - kHourUs));
         write_file(w.options.trust, read_file(w.options.trust) + "fresh head 2\n");
       }},
      {"revoked", [&](Released& w) { notice(w, "licence", "LIC-1", w.licensor); }},
      {"cleared", [&](Released& w) { notice(w, "licence", "LIC-11", w.licensor); }},
      // Drafted long before the release, and signed by others after it.
      {"revoked", [&](Released& w) { notice(w, "shard", shard, w.approver); }},
      {"revoked",
       [&](Released& w) {
         w.text.mutable_release()->add_revoked_shard(digest_name(sha256("another shard")));
         notice(w, "shard", shard, w.approver);
       }},
      {"cleared",
       [&](Released& w) {
         w.text.mutable_release()->add_revoked_shard(shard);
         notice(w, "shard", shard, w.approver);
       }},
      {"notice_unverified", [&](Released& w) { notice(w, "licence", "LIC-9", w.trainer); }},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    Released world;
    cases[i].change(world);
    EXPECT_EQ(world.rule(world.approver), cases[i].rule) << "row " << i;
    EXPECT_EQ(world.rule(world.trainer), "release_unsigned") << "row " << i;
  }
}

TEST(Release, NeedsItsFolderOfNotices) {
  Released world;
  world.options.notices = "";
  EXPECT_THAT(error_of([&] { world.rule(world.approver); }), StartsWith("not_found"));
  world.options.notices = world.folder / "elsewhere";
  EXPECT_THAT(error_of([&] { world.rule(world.approver); }), StartsWith("not_found"));
}

TEST(Release, WhatDoesNotParseIsNoYes) {
  Released world;
  EXPECT_THAT(error_of([&] { check_release(world.options); }), StartsWith("not_found"));
  write_file(world.options.release, "release {\n}\n");
  EXPECT_THAT(error_of([&] { check_release(world.options); }), StartsWith("corrupt"));
}

}  // namespace
}  // namespace cleared::ledger

// A permit over more shards than a record holds: what the ledger takes, and what a node does.
#include "ledger/permit_lists.h"

#include <algorithm>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/note.h"
#include "ledger/shard_facts.h"
#include "ledger/shard_proof.h"
#include "ledger/sqlite.h"
#include "ledger/textproto.h"
#include "ledger/verify.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr size_t kShards = 2'000;

// A source whose clips are each in a shard of its own, all of them approved.
struct ManyShards : World {
  ManyShards() {
    add_licence(replaced(full_licence_text(), "max_share: 1.0", "max_share: 0.5"));
    const SignerKey other = new_signer_key("other-stock");
    append({key(other, "licensor")});
    std::string theirs = replaced(full_licence_text(), "LIC-1", "LIC-2");
    theirs = replaced(theirs, "\"example-stock\"", "\"other-stock\"");
    theirs = replaced(theirs, "2026-01/**", "2026-02/**");
    Store(ledger, Access::append).append_licence(sign_text(theirs, {&other, &licensee}), "test");
    make_folders(folder / "shards");
    std::vector<Fact> facts;
    std::vector<Digest> roots;
    for (size_t i = 0; i < kShards; ++i) {
      const std::string half = i < kShards / 2 ? "1" : "2";
      const std::string number = std::to_string(i), source(sha256("source " + half).text());
      if (i % (kShards / 2) == 0) {
        SourceRecord& s = *facts.emplace_back().mutable_source();
        s.set_digest(source);
        s.set_path("2026-0" + half + "/a.webm");
        s.add_licence("LIC-" + half + "@1");
        s.set_status("kept");
      }
      ClipRecord& c = *facts.emplace_back().mutable_clip();
      c.set_id(std::string(sha256("clip " + number).text()));
      c.set_source(source);
      c.set_start_us(i * 1'000'000);
      c.set_end_us((i + 1) * 1'000'000);
      c.set_verdict("kept");
      Manifest made{.name = "s" + number + ".tar",
                    .digest = sha256(number),
                    .size_bytes = 1536,
                    .licences = {"LIC-" + half + "@1"},
                    .samples = {}};
      made.samples.push_back(
          {"k" + number, 0, 512, sha256("sample " + number), sha256("clip " + number), 1'000'000});
      roots.push_back(shard_root(made));
      for (Fact& fact : shard_facts(made, roots.back())) facts.push_back(std::move(fact));
      std::ofstream(folder / "shards" / (made.name + ".manifest")) << format_manifest(made);
    }
    append(facts);
    std::sort(roots.begin(), roots.end());
    for (size_t from = 0; from < kShards; from += kMaxBatch) {
      const std::vector<Digest> part(
          roots.begin() + static_cast<ptrdiff_t>(from),
          roots.begin() + static_cast<ptrdiff_t>(std::min(kShards, from + kMaxBatch)));
      ApprovalText text;
      text.mutable_approval()->set_root(digest_name(batch_root(part)));
      text.mutable_approval()->set_shards(static_cast<uint32_t>(part.size()));
      text.mutable_approval()->set_at("2026-01-02T03:04:05Z");
      text.mutable_approval()->set_use(TRAIN);
      append({approval_fact(sign_text(format_textproto(text), {&approver}), part)});
    }
    Store(ledger, Access::append).sign_head(log);
    const Store store(ledger, Access::read);
    PermitRequest asked = request();
    asked.draws = kShards;
    permit = make_permit(store, Rights(store), asked).text.permit();
    Permit split = permit;
    lists = split_lists(split);
    note = signed_note(split);
  }
  std::string signed_note(const Permit& of) const {
    PermitText text;
    *text.mutable_permit() = of;
    return sign_text(format_textproto(text), {&approver});
  }

  Permit permit;  // with its shards
  std::vector<std::string> lists;
  std::string note;
};

const ManyShards& many() {
  static const ManyShards world;
  return world;
}

TEST(PermitLists, SplitWhatARecordCannotHoldAndNothingElse) {
  World small;
  small.fill();
  PermitText text;
  parse_textproto(parse_note(small.permit_note()).text, "test", text);
  EXPECT_TRUE(split_lists(*text.mutable_permit()).empty());
  EXPECT_EQ(text.permit().shard_size(), 1);

  EXPECT_EQ(many().permit.shard_size(), static_cast<int>(kShards));
  EXPECT_GT(many().lists.size(), 5U);
  for (const auto& list : many().lists) EXPECT_LE(list.size(), 60'000U);
  EXPECT_LT(many().note.size(), 2'000U);
  parse_textproto(parse_note(many().note).text, "test", text);
  Permit again = text.permit();
  join_lists(again, many().lists);
  again.clear_lists();
  EXPECT_EQ(again.SerializeAsString(), many().permit.SerializeAsString());
}

TEST(PermitLists, ANodeIsAsStrictAsEver) {
  const ManyShards& world = many();
  GateOptions node = {.permit = world.folder / "run.permit",
                      .trust = world.folder / "trust",
                      .shards = world.folder / "shards",
                      .notices = world.folder / "notices",
                      .run = "run-1",
                      .config_digest = sha256("config"),
                      .purpose = World::purpose()};
  make_folders(node.notices);
  write_file(node.trust, "approver " + format_verifier_key(world.approver.verifier) + "\nlog " +
                             format_verifier_key(world.log.verifier) + "\n");
  const std::string proofs = shard_proofs(Store(world.ledger, Access::read), world.permit);
  const auto open = [&](const std::vector<std::string>& lists, const std::string& note) {
    write_file(node.permit, note);
    write_file(lists_path(node.permit), format_lists(lists));
    write_file(proofs_path(node.permit), proofs);
    return error_of([&] { Gate gate(node); });
  };
  ASSERT_EQ(open(world.lists, world.note), "");
  const Gate gate(node);
  EXPECT_EQ(gate.samples().size(), kShards);
  EXPECT_EQ(gate.permit().share_size(), 1);
  size_t limited = 0;
  for (const auto& sample : gate.samples()) limited += sample.group;
  EXPECT_EQ(limited, kShards / 2);

  auto lists = world.lists;
  lists.pop_back();
  EXPECT_THAT(open(lists, world.note), HasSubstr("not those that were signed"));
  lists = world.lists;
  lists.push_back(lists.front());
  EXPECT_THAT(open(lists, world.note), HasSubstr("not those that were signed"));
  lists = world.lists;
  std::swap(lists[0], lists[1]);
  EXPECT_THAT(open(lists, world.note), HasSubstr("not those that were signed"));
  lists = world.lists;
  lists[2] = replaced(lists[2], "max_passes: 4", "max_passes: 9");
  EXPECT_THAT(open(lists, world.note), HasSubstr("not those that were signed"));
  EXPECT_THAT(open({}, world.note), HasSubstr("not those that were signed"));

  PermitText text;
  parse_textproto(parse_note(world.note).text, "test", text);
  *text.mutable_permit()->add_shard() = world.permit.shard(0);
  EXPECT_THAT(open(world.lists, world.signed_note(text.permit())),
              HasSubstr("not those that were signed"));
  text.mutable_permit()->clear_shard();
  Permit twice = world.permit;
  *twice.add_shard() = world.permit.shard(0);
  const auto doubled = split_lists(twice);
  EXPECT_THAT(open(doubled, world.signed_note(twice)), HasSubstr("twice"));
  Permit more = world.permit;
  *more.add_shard() = world.permit.shard(0);
  more.mutable_shard()->rbegin()->set_root(digest_name(sha256("another")));
  const auto with_another = split_lists(more);
  EXPECT_THAT(open(with_another, world.signed_note(more)), StartsWith("refused: shard_unproven: "));

  ASSERT_EQ(open(world.lists, world.note), "");
  std::filesystem::remove(lists_path(node.permit));
  EXPECT_THAT(error_of([&] { Gate without(node); }), StartsWith("not_found"));
}

TEST(PermitLists, TheLedgerTakesThemBeforeTheirPermitAndOnlyAsSigned) {
  ManyShards world;
  const auto append = [&](const std::vector<Fact>& facts) {
    return error_of([&] { world.append(facts); });
  };
  const auto count = [&](const std::string& table) {
    return Store(world.ledger, Access::read).db().integer("SELECT COUNT(*) FROM " + table);
  };
  EXPECT_THAT(append({permit_facts(world.signed_note(world.permit), {})}),
              HasSubstr("the most is 65535"));
  EXPECT_THAT(append({permit_facts(world.note, {})}), HasSubstr("not those that were signed"));
  std::vector<Fact> facts = permit_facts(world.note, world.lists);
  std::vector<Fact> less = facts;
  less.erase(less.begin());
  EXPECT_THAT(append(less), HasSubstr("not those that were signed"));
  Permit other = world.permit;
  other.mutable_shard(7)->set_root(digest_name(sha256("nobody's")));
  const auto lists = split_lists(other);
  EXPECT_NE(append(permit_facts(world.signed_note(other), lists)), "");
  EXPECT_EQ(count("permit"), 0);

  EXPECT_EQ(append(facts), "");
  EXPECT_EQ(count("permit"), 1);
  EXPECT_EQ(count("permitted_shard"), static_cast<int64_t>(kShards));
  EXPECT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
  EXPECT_EQ(append(facts), "");  // again is nothing new
  EXPECT_EQ(count("permit_list"), static_cast<int64_t>(world.lists.size()));

  // Their passes are reserved as those of any permit, and what a run consumes of them is taken.
  const Store store(world.ledger, Access::read);
  PermitRequest request = world.request();
  request.run = "run-2";
  EXPECT_THAT(error_of([&] { make_permit(store, Rights(store), request); }),
              StartsWith("refused: passes_reserved"));
}

}  // namespace
}  // namespace cleared::ledger

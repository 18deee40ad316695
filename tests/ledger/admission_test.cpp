// What append refuses, verify objects to: records that were put into the log past every check, by
// whoever has the file and the log's key.
#include "ledger/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/digest.h"
#include "ledger/entries.h"
#include "ledger/merkle.h"
#include "ledger/preparation.h"
#include "ledger/state_map.h"
#include "ledger/table_writer.h"
#include "ledger/textproto.h"
#include "ledger/tree.h"
#include "ledger/verify.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// As Store::append does it, without asking anybody. Returns its number.
uint64_t put(const Database& db, const Fact& fact) {
  Transaction transaction(db);
  Entries entries(db);
  Tree tree(db);
  StateMap map(db);
  const auto mapped =
      static_cast<uint64_t>(db.integer("SELECT COALESCE(MAX(run) + 1, 0) FROM map_run"));
  uint64_t at_us = 0;
  entries.scan(0, entries.size(), [&](uint64_t seq, std::string_view bytes) {
    at_us = parse_record(bytes).at_us;
    Fact known;
    const std::string_view in = parse_record(bytes).fact;
    if (seq < mapped || !known.ParseFromArray(in.data(), static_cast<int>(in.size()))) return;
    if (const auto subject = subject_of(known)) map.add(subject->key, seq);
  });
  const uint64_t seq = entries.size();
  const uint64_t before_us = std::exchange(at_us, std::max(at_us, now_us()));
  RowBuffer buffer;
  const Prepared prepared = prepare(fact, at_us, buffer);
  TableWriter writer(db, map);
  const std::string at = format_time(at_us);
  const RowCell moment[] = {{Cell{ValueType::integer, static_cast<int64_t>(seq)}},
                            {Cell{ValueType::text, 0, 0, at}}};
  if (at_us / 1'000'000 != before_us / 1'000'000) writer.row(TableId::moment, moment);
  rows_of(seq, fact, read_authority(db), writer);
  writer.flush();
  entries.append(prepared.bytes);
  tree.append(seq, leaf_digest(as_bytes(prepared.bytes)));
  entries.flush();
  tree.flush();
  transaction.commit();
  return seq;
}

uint64_t forge(const World& world, const Fact& fact) {
  const uint64_t seq = put(Database::open(world.ledger, Access::append), fact);
  Store(world.ledger, Access::append).sign_head(world.log);
  return seq;
}

std::string findings_of(const World& world) {
  std::string out;
  for (const auto& [where, what] : verify_ledger(world.ledger, {}).findings) {
    out += where + ": " + what + "\n";
  }
  return out;
}

// A ledger with a rule for every act that has one only by a policy.
struct Ruled : World {
  SignerKey stranger = new_signer_key("example-approver");

  Ruled() {
    fill();
    append({policy(1, {&approver})});
    Store(ledger, Access::append).sign_head(log);
  }
  static std::string policy_text(uint32_t version) {
    PolicyText text;
    text.mutable_policy()->set_version(version);
    text.mutable_policy()->set_at("2026-01-02T03:04:05Z");
    for (const Policy::Act act :
         {Policy::CHANGE_POLICY, Policy::ENROL_KEY, Policy::RETIRE_KEY, Policy::ERASE}) {
      auto& rule = *text.mutable_policy()->add_rule();
      rule.set_act(act);
      rule.set_role("approver");
      rule.set_need(1);
    }
    return format_textproto(text);
  }
  static Fact policy(uint32_t version, const std::vector<const SignerKey*>& keys) {
    Fact fact;
    fact.mutable_policy()->set_note(sign_text(policy_text(version), keys));
    return fact;
  }
  Fact permit(const std::function<void(Permit&)>& change) const {
    PermitText text;
    parse_textproto(parse_note(permit_note()).text, "permit", text);
    change(*text.mutable_permit());
    Fact fact;
    fact.mutable_permit()->set_note(sign_text(format_textproto(text), {&approver}));
    return fact;
  }
};

Fact licence(uint32_t version, const std::string& supersedes, const std::string& licensor) {
  Fact fact;
  LicenceRecord& record = *fact.mutable_licence();
  record.set_id("LIC-1");
  record.set_version(version);
  record.set_supersedes(supersedes);
  record.set_licensor(licensor);
  record.set_licensee("example-studio");
  record.set_valid_from("2024-01-01");
  record.set_valid_to("2099-12-31");
  record.set_document_digest(std::string(sha256("a document").text()));
  return fact;
}

TEST(Admission, WhatAppendRefusesVerifyObjectsTo) {
  using Make = std::function<Fact(const Ruled&)>;
  const auto of_permit = [](const std::function<void(Permit&)>& change) {
    return Make([change](const Ruled& world) { return world.permit(change); });
  };
  const std::tuple<const char*, Make> rows[] = {
      {"so it must come signed",
       [](const Ruled& world) {
         Fact fact;
         fact.mutable_witness_policy()->set_text("log " + format_verifier_key(world.log.verifier) +
                                                 "\nquorum none\n");
         return fact;
       }},
      {"supersedes another version than the newest",
       [](const Ruled&) { return licence(3, "LIC-1@2", "example-stock"); }},
      {"supersedes \"LIC-1@7\", and not LIC-1@1",
       [](const Ruled&) { return licence(2, "LIC-1@7", "example-stock"); }},
      {"other parties cannot amend it",
       [](const Ruled&) { return licence(2, "LIC-1@1", "example-approver"); }},
      {"names no tree head",
       of_permit([](Permit& p) { p.set_tree_root(digest_name(sha256("x"))); })},
      {"names no tree head", of_permit([](Permit& p) { p.set_tree_size(p.tree_size() - 1); })},
      {"names no tree head", of_permit([](Permit& p) { p.set_origin("other.example/log"); })},
      {"is not of the time", of_permit([](Permit& p) { p.set_tree_at("2020-01-01T00:00:00Z"); })},
      {"is no run of it", of_permit([](Permit& p) {
         p.mutable_counted()->set_run("run-2-a000000000000000");
         p.mutable_counted()->set_end_step(3);
       })},
      {"is no run of it", of_permit([](Permit& p) {
         p.mutable_counted()->set_run("run-1-long-aaaaaaaaaaaaaaaa");
         p.mutable_counted()->set_end_step(3);
       })},
      {"that are not on record", of_permit([](Permit& p) {
         p.mutable_counted()->set_run("run-1-aaaaaaaaaaaaaaaa");
         p.mutable_counted()->set_end_step(3);
       })},
      {"and is recorded at", of_permit([](Permit& p) {
         p.set_issued_at("2199-01-01T00:00:00Z");
         p.set_expires_at("2199-01-02T00:00:00Z");
       })},
      {"and is recorded at", of_permit([](Permit& p) {
         p.set_issued_at("2026-01-01T00:00:00Z");
         p.set_expires_at("2026-01-02T00:00:00Z");
       })},
      {"its purpose is INGEST", of_permit([](Permit& p) { p.mutable_purpose()->set_use(INGEST); })},
      {"was not approved for FINETUNE",
       of_permit([](Permit& p) { p.mutable_purpose()->set_use(FINETUNE); })},
      {"not signed by any approver",
       [](const Ruled& world) { return Ruled::policy(2, {&world.stranger}); }},
      {"must have version 2",
       [](const Ruled& world) { return Ruled::policy(7, {&world.approver}); }},
      {"must come as a signed note",
       [](const Ruled& world) { return world.key(world.stranger, "approver"); }},
      {"must come as a signed note",
       [](const Ruled& world) {
         Fact fact = world.key(world.licensee, "licensee");
         fact.mutable_key()->set_retired(true);
         return fact;
       }},
      {"not signed by any approver",
       [](const Ruled& world) { return world.revocation("licence", "LIC-1", world.stranger); }},
      {"signed by no curator's or approver's key",
       [](const Ruled& world) { return world.deletion({&world.licensor}); }},
      {"unknown name",
       [](const Ruled&) {
         Fact fact;
         fact.mutable_mark()->set_source(std::string(sha256("source a").text()));
         fact.mutable_mark()->set_name("made-up");
         fact.mutable_mark()->set_says("no");
         return fact;
       }},
      {"unknown word",
       [](const Ruled&) {
         Fact fact;
         fact.mutable_clearance()->set_clip(std::string(sha256("clip 0").text()));
         fact.mutable_clearance()->set_reason("weather");
         return fact;
       }},
      {"is no run of run-1",
       [](const Ruled& world) {
         Fact fact;
         fact.mutable_run()->set_name("run-1-long-aaaaaaaaaaaaaaaa");
         fact.mutable_run()->set_permit(std::string(sha256("permit").text()));
         fact.mutable_run()->set_config_digest(std::string(sha256("config").text()));
         const std::string note = world.permit_note();
         Store(world.ledger, Access::append).append({permit_facts(note, {}).back()});
         fact.mutable_run()->set_permit(std::string(sha256(note).text()));
         return fact;
       }},
  };
  for (const auto& [says, make] : rows) {
    Ruled world;
    const Fact fact = make(world);
    EXPECT_THAT(error_of([&] { world.append({fact}); }), HasSubstr(says));
    ASSERT_EQ(findings_of(world), "") << says;
    const std::string record = "record " + std::to_string(forge(world, fact)) + ": ";
    EXPECT_THAT(findings_of(world), testing::AllOf(HasSubstr(record), HasSubstr(says)));
  }
}

// Appending it again is no news; a log that has it twice was not written by append.
TEST(Admission, NoFactIsThereTwice) {
  World world;
  world.fill();
  Fact refusal;
  refusal.mutable_refusal()->set_act("ingest");
  refusal.mutable_refusal()->set_subject("bikes.mp4");
  refusal.mutable_refusal()->set_rule("no_licence");
  Fact other = refusal;
  other.mutable_refusal()->set_fact("another day");
  world.append({refusal, other});
  for (const Fact& fact : {refusal, world.approval()}) {
    EXPECT_EQ(Store(world.ledger, Access::append).append({fact}).added, 0U);
  }
  EXPECT_EQ(findings_of(world), "");
  for (const Fact& fact : {refusal, world.approval()}) {
    const uint64_t seq = forge(world, fact);
    EXPECT_THAT(findings_of(world), HasSubstr("record " + std::to_string(seq) +
                                              ": says the same as a record before it"));
  }
}

TEST(Admission, ARecordIsNoLongerThanATileCanCarry) {
  World world;
  world.fill();
  const Database db = Database::open(world.ledger, Access::append);
  db.exec("UPDATE leaf SET bytes = zeroblob(65536) WHERE seq = 6");
  EXPECT_THAT(findings_of(world),
              HasSubstr("record 6, leaf.bytes: are more than a record may have"));
}

}  // namespace
}  // namespace cleared::ledger

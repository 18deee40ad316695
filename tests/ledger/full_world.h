// A ledger with at least one record of every kind, for tests of all tables and views.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ledger/attestation.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"
#include "ledger/permit_lists.h"
#include "ledger/review_lists.h"
#include "ledger/textproto.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {

inline Fact refusal(const std::string& subject) {
  Fact fact;
  fact.mutable_refusal()->set_act("ingest");
  fact.mutable_refusal()->set_subject(subject);
  fact.mutable_refusal()->set_rule("no_licence");
  return fact;
}

// A ledger with a row in every table. The run receipt is about two passes of one sample, of which
// the bundle says `passes`, and a third one that is told by shard.
struct FullWorld : World {
  // Calls `staged` again and again while the ledger grows, with the file closed.
  explicit FullWorld(uint32_t passes = 2,
                     const std::function<void(const World&)>& staged = nullptr) {
    const auto stage = [&] {
      if (staged) staged(*this);
    };
    stage();
    fill();
    append_listed_permit();
    stage();
    const std::string permit = permit_note();
    std::vector<Fact> facts(7);
    facts[0].mutable_permit()->set_note(permit);
    RunRecord& run = *facts[1].mutable_run();
    run.set_name("run-1-abc0000000000000");
    run.set_permit(std::string(sha256(permit).text()));
    run.set_config_digest(std::string(sha256("config").text()));
    run.set_code_version("1.0");
    run.set_ranks(2);
    ConsumedRecord& consumed = *facts[3].mutable_consumed();
    consumed.set_run("run-1-abc0000000000000");
    consumed.set_end_step(2);
    consumed.set_sample(std::string(manifest.samples[0].digest.text()));
    consumed.set_passes(2);
    ConsumedShardRecord& by_shard = *facts[4].mutable_consumed_shard();
    by_shard.set_run("run-1-abc0000000000000");
    by_shard.set_end_step(2);
    by_shard.set_shard(std::string(shard_root(manifest).text()));
    by_shard.add_passes(1);
    by_shard.add_back(1);
    by_shard.set_sample_us(2'000'000);
    ReceiptText receipt;
    Receipt& r = *receipt.mutable_receipt();
    r.set_run("run-1-abc0000000000000");
    r.set_permit(digest_name(sha256(permit)));
    r.set_origin(log.verifier.name);
    const TreeHead head = Store(ledger, Access::append).sign_head(log);
    r.set_tree_size(head.size);
    r.set_tree_root(digest_name(head.root));
    r.set_first_step(0);
    r.set_end_step(2);
    r.set_steps_root(digest_name(sha256("steps")));
    r.set_samples(2);
    const Digest leaves[] = {leaf_digest(as_bytes(consumed.SerializeAsString())),
                             leaf_digest(as_bytes(by_shard.SerializeAsString()))};
    r.set_consumed_root(digest_name(root_digest(leaves)));
    r.set_sample_us(6'000'000);
    r.set_checkpoint(digest_name(sha256("weights")));
    const std::string receipt_note = sign_text(format_textproto(receipt), {&trainer});
    facts[2].mutable_receipt()->set_note(receipt_note);
    facts[2].mutable_receipt()->set_machine_us(90'000'000);
    consumed.set_passes(passes);
    TrainingStatement s;
    s.subjects = {{"weights", sha256("weights")}};
    s.run = "run-1-abc0000000000000";
    s.step = 2;
    s.tree_head = head;
    // Itself: no other weights are on record here, and a circle must not hold anybody up.
    s.vae = s.text_encoder = to_hex(sha256("weights"));
    CheckpointRecord& checkpoint = *facts[5].mutable_checkpoint();
    checkpoint.set_digest(std::string(sha256("weights").text()));
    checkpoint.set_run("run-1-abc0000000000000");
    checkpoint.set_step(2);
    checkpoint.set_vae(std::string(sha256("weights").text()));
    checkpoint.set_text_encoder(std::string(sha256("weights").text()));
    checkpoint.set_statement(seal_envelope(kStatementPayloadType, format_statement(s), trainer));
    facts[6] = refusal("bikes.mp4");
    MeasureRecord& bars = *facts.emplace_back().mutable_measure();
    bars.set_source(std::string(sha256("source a").text()));
    bars.set_kind("bars");
    bars.set_end_us(4'000'000);
    bars.set_y(15);
    bars.set_width(160);
    bars.set_height(90);
    bars.add_pts_us(0);
    bars.set_pdq(std::string(32, 'p'));
    bars.set_quality("q");
    Fact duplicate;
    duplicate.mutable_duplicate()->set_source(std::string(sha256("source a").text()));
    duplicate.mutable_duplicate()->set_of(std::string(sha256("source a").text()));
    duplicate.mutable_duplicate()->set_verdict("duplicate");
    facts.push_back(duplicate);
    facts.push_back(revocation("shard", "sha256:" + root_hex(), approver));
    facts.push_back(deletion({&approver}));
    // The receipt, what it lists and its checkpoint must come together.
    for (const auto& [first, end] : {std::pair<size_t, size_t>{0, 1},
                                     {1, 2},
                                     {2, 6},
                                     {6, 7},
                                     {7, 8},
                                     {8, 9},
                                     {9, 10},
                                     {10, 11}}) {
      append({facts.begin() + static_cast<ptrdiff_t>(first),
              facts.begin() + static_cast<ptrdiff_t>(end)});
      if (end == 6) {
        append({release(to_hex(sha256("weights")), {"LIC-1@1"}, [](Release& made) {
          made.set_similarity_max(0.5);
          made.set_footage(digest_name(sha256("footage")));
        })});
      }
      stage();
    }
    // One that is erased and covered nothing, and one that came after the footage which it covers.
    add_licence(replaced(replaced(full_licence_text(), "\"LIC-1\"", "\"LIC-2\""), "2026-01/**",
                         "2026-02/**"));
    stage();
    Store(ledger, Access::append).erase_document("LIC-2@1", "asked for");
    add_licence(replaced(full_licence_text(), "\"LIC-1\"", "\"LIC-3\""));
    stage();
    append_keepers();
    Store(ledger, Access::append).sign_head(log);
    stage();
    write_file(folder / "a.permit", permit);
    write_file(folder / "a.receipt", receipt_note);
    write_file(folder / "a.statement", checkpoint.statement());
  }

  // A permit for another time, whose shards are in a list.
  void append_listed_permit() {
    PermitText text;
    parse_textproto(parse_note(permit_note()).text, "test", text);
    text.mutable_permit()->set_run("run-0");
    text.mutable_permit()->set_expires_at(text.permit().issued_at());
    const auto lists = split_lists(*text.mutable_permit(), 0);
    append(permit_facts(sign_text(format_textproto(text), {&approver}), lists));
  }

  // A policy, a witness policy, a key that is replaced and retired, a mark, a clip that a person
  // looked at, and a protected work.
  void append_keepers() {
    std::vector<Fact> facts(8);
    facts[0].mutable_policy()->set_note(
        sign_text("policy {\n  version: 1\n  at: \"2026-01-02T03:04:05Z\"\n  rule {\n    act: "
                  "APPROVE\n    role: \"approver\"\n    need: 1\n  }\n}\n",
                  {&approver}));
    facts[1].mutable_witness_policy()->set_text("log " + format_verifier_key(log.verifier) +
                                                "\nquorum none\n");
    facts[2] = key(new_signer_key("example-studio"), "licensee");
    facts[3] = key(licensee, "licensee");
    facts[3].mutable_key()->set_retired(true);
    MarkRecord& mark = *facts[4].mutable_mark();
    mark.set_source(std::string(sha256("source a").text()));
    mark.set_name("plus.data-mining");
    mark.set_says("allowed");
    mark.set_value("DMI-ALLOWED");
    mark.set_place("XMP plus:DataMining");
    ClearanceRecord& clearance = *facts[5].mutable_clearance();
    clearance.set_clip(std::string(sha256("clip 0").text()));
    clearance.set_reason("face");
    clearance.set_value("in 2 of 4 pictures");
    clearance.set_origin("a detector");
    clearance.set_pictures(std::string(sha256("pictures").text()));
    facts[6].mutable_review()->set_note(
        sign_text("review {\n  at: \"2026-01-02T03:04:05Z\"\n  decision {\n    clip: \"" +
                      digest_name(sha256("clip 0")) +
                      "\"\n    release: FACE\n    says: \"a statue\"\n  "
                      "}\n}\n",
                  {&approver}));
    // The same once more, in a list.
    ReviewText listed;
    parse_textproto(parse_note(facts[6].review().note()).text, "test", listed);
    listed.mutable_review()->set_at("2026-01-02T03:04:06Z");
    const auto lists = split_lists(*listed.mutable_review(), 0);
    for (Fact& fact : review_facts(sign_text(format_textproto(listed), {&approver}), lists)) {
      facts.push_back(std::move(fact));
    }
    facts[7].mutable_protection()->set_fingerprint(std::string(sha256("print").text()));
    facts[7].mutable_protection()->set_name("feature.mp4");
    append(facts);
  }
};

}  // namespace cleared::ledger

#include "tests/ledger/runs.h"

#include <algorithm>
#include <iterator>

#include "ledger/attestation.h"
#include "ledger/base/clock.h"
#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/merkle.h"
#include "ledger/shard_facts.h"
#include "ledger/textproto.h"

namespace cleared::ledger {

RunWorld::RunWorld(const std::vector<std::pair<std::string, size_t>>& licences, const Change& terms,
                   const std::vector<const SignerKey*>& more_licensors, bool same_first) {
  for (const SignerKey* more : more_licensors) append({key(*more, "licensor")});
  for (size_t i = 0; i < licences.size(); ++i) {
    LicenceText text = parse_licence(full_licence_text(), "test");
    text.mutable_licence()->set_id(licences[i].first);
    text.mutable_covers()->set_delivery(0, "footage-" + std::to_string(i) + "/**");
    text.mutable_limits()->clear_max_passes();
    text.mutable_limits()->clear_similarity_max();  // fingerprints are what a test adds
    if (terms) terms(i, text);
    const SignerKey* signer = &licensor;
    for (const SignerKey* more : more_licensors) {
      if (more->verifier.name == text.licence().licensor()) signer = more;
    }
    Store(ledger, Access::append)
        .append_licence(sign_text(format_textproto(text), {signer, &licensee}), "test");
    add_footage(i, licences[i].first + "@1", licences[i].second, same_first);
  }
  std::vector<Digest> roots;
  for (const Manifest& m : manifests) roots.push_back(shard_root(m));
  approve(std::move(roots));
}

void RunWorld::approve(std::vector<Digest> roots) {
  std::sort(roots.begin(), roots.end());
  ApprovalText approval;
  approval.mutable_approval()->set_root(digest_name(batch_root(roots)));
  approval.mutable_approval()->set_shards(static_cast<uint32_t>(roots.size()));
  approval.mutable_approval()->set_at("2026-01-02T03:04:05Z");
  approval.mutable_approval()->set_use(TRAIN);
  append({approval_fact(sign_text(format_textproto(approval), {&approver}), roots)});
  sign();
}

std::string RunWorld::add_latents(size_t licence) {
  std::vector<SampleMembers> members;
  for (const ManifestSample& video : manifests[licence].samples) {
    members.push_back({video.key,
                       {{"latent", "latent of " + video.key}, {"json", "{}"}, {"txt", "x"}},
                       video.clip,
                       video.duration_us});
  }
  const Manifest made = write_shard(folder / "shards", "latent-" + std::to_string(licence) + ".tar",
                                    members, manifests[licence].licences);
  append(shard_facts(made, shard_root(made)));
  approve({shard_root(made)});
  return to_hex(shard_root(made));
}

void RunWorld::add_footage(size_t number, const std::string& ref, size_t samples, bool same_first) {
  const std::string name = "footage-" + std::to_string(number);
  std::vector<Fact> facts(1);
  const std::string source(sha256(name).text());
  SourceRecord& s = *facts[0].mutable_source();
  s.set_digest(source);
  s.set_path(name + "/a.webm");
  s.add_licence(ref);
  s.set_status("kept");
  s.set_duration_us(samples * kSampleUs);
  s.set_width(640);
  s.set_height(480);
  std::vector<SampleMembers> members;
  for (uint64_t i = 0; i < samples; ++i) {
    const Digest clip = sha256(name + " clip " + std::to_string(i));
    ClipRecord& c = *facts.emplace_back().mutable_clip();
    c.set_id(std::string(clip.text()));
    c.set_source(source);
    c.set_start_us(i * kSampleUs);
    c.set_end_us((i + 1) * kSampleUs);
    c.set_verdict("kept");
    const std::string key = same_first && i == 0 ? "first" : name + "-" + std::to_string(i);
    members.push_back({key, {{"webm", key}, {"json", "{}"}, {"txt", "x"}}, clip, kSampleUs});
  }
  manifests.push_back(write_shard(folder / "shards", name + ".tar", members, {ref}));
  const auto shard = shard_facts(manifests.back(), shard_root(manifests.back()));
  facts.insert(facts.end(), shard.begin(), shard.end());
  append(facts);
}

void RunWorld::permit(const std::vector<Foreign>& foreign, const std::string& resumes) {
  PermitRequest asked = request();
  asked.foreign = foreign;
  asked.resumes = resumes;
  {
    const Store store(ledger, Access::read);
    const PermitText text = make_permit(store, Rights(store), asked).text;
    permit_ = sign_text(format_textproto(text), {&approver});
  }
  Fact fact;
  fact.mutable_permit()->set_note(permit_);
  append({fact});
}

RunOf RunWorld::begin_run(const std::string& name, const std::string& parent) {
  if (permit_.empty()) permit();
  RunOf out;
  out.name = name;
  out.parent = parent;
  if (!parent.empty()) out.step = steps_.at(parent);
  Fact fact;
  RunRecord& run = *fact.mutable_run();
  run.set_name(name);
  run.set_permit(std::string(sha256(permit_).text()));
  run.set_config_digest(std::string(sha256("config").text()));
  run.set_code_version("1.0");
  run.set_ranks(2);
  append({fact});
  return out;
}

void RunWorld::span(RunOf& run, uint64_t end, const std::map<size_t, Eaten>& eaten) {
  std::vector<Fact> facts(1);
  std::map<std::string, ConsumedShardRecord> by_root;
  uint64_t samples = 0, sample_us = 0;
  for (const auto& [shard, list] : eaten) {
    ConsumedShardRecord record;
    record.set_run(run.name);
    record.set_end_step(end);
    record.set_shard(std::string(shard_root(manifests[shard]).text()));
    size_t from = 0;
    while (list[from].first == 0) ++from;
    record.set_index(static_cast<uint32_t>(from));
    uint64_t us = 0;
    for (size_t i = from; i < list.size(); ++i) {
      record.add_passes(list[i].first);
      if (list[i].first == 0) continue;
      record.add_back(end - list[i].second);
      us += list[i].first * kSampleUs;
      ++samples;
    }
    record.set_sample_us(us);
    sample_us += us;
    by_root.emplace(record.shard(), record);
  }
  std::vector<Digest> leaves;
  for (const auto& [root, record] : by_root) {
    leaves.push_back(leaf_digest(as_bytes(record.SerializeAsString())));
    *facts.emplace_back().mutable_consumed_shard() = record;
  }
  const Digest weights = sha256(run.name + " " + std::to_string(end));
  const Store store(ledger, Access::read);
  const TreeHead head = parse_tree_head(parse_note(store.newest_head_note()).text);
  ReceiptText text;
  Receipt& r = *text.mutable_receipt();
  r.set_run(run.name);
  r.set_permit(digest_name(sha256(permit_)));
  r.set_origin(log.verifier.name);
  r.set_tree_size(head.size);
  r.set_tree_root(digest_name(head.root));
  r.set_first_step(run.step);
  r.set_end_step(end);
  r.set_steps_root(digest_name(sha256("steps")));
  r.set_samples(samples);
  r.set_consumed_root(digest_name(root_digest(leaves)));
  r.set_checkpoint(digest_name(weights));
  r.set_sample_us(sample_us);
  facts[0].mutable_receipt()->set_note(sign_text(format_textproto(text), {&trainer}));
  facts[0].mutable_receipt()->set_machine_us(kMachineUs);
  TrainingStatement s;
  s.subjects = {{"weights", weights}};
  s.run = run.name;
  s.step = end;
  s.tree_head = head;
  s.foreign_weights = claimed;
  s.parent = run.parent;
  s.vae = run.vae;
  s.text_encoder = run.text_encoder;
  CheckpointRecord& k = *facts.emplace_back().mutable_checkpoint();
  k.set_digest(std::string(weights.text()));
  k.set_run(run.name);
  k.set_step(end);
  k.set_statement(seal_envelope(kStatementPayloadType, format_statement(s), trainer));
  if (!run.parent.empty()) k.set_parent(std::string(parse_digest(run.parent)->text()));
  if (!run.vae.empty()) k.set_vae(std::string(parse_digest(run.vae)->text()));
  if (!run.text_encoder.empty()) {
    k.set_text_encoder(std::string(parse_digest(run.text_encoder)->text()));
  }
  if (before_append) std::for_each(facts.begin(), facts.end(), before_append);
  append(facts);
  run.step = end;
  run.parent = to_hex(weights);
  run.checkpoints.push_back(run.parent);
  steps_[run.parent] = end;
}

}  // namespace cleared::ledger

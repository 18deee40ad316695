#include "tools/bench_gate.h"

#include <vector>

#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"
#include "ledger/record.pb.h"
#include "ledger/shard_proof.h"
#include "ledger/textproto.h"
#include "ledger/tree_head.h"

namespace cleared::tools {
namespace fs = std::filesystem;
using namespace cleared::ledger;
namespace {

constexpr uint64_t kLogSize = 1'000'000, kShardRecord = 654'321;
constexpr uint64_t kSampleBytes = 65'536;

Purpose bench_purpose() {
  Purpose out;
  out.set_use(TRAIN);
  out.set_model("cleared-base");
  out.set_field_of_use("film");
  out.set_compute_territory("EU");
  return out;
}

Manifest bench_manifest(size_t samples) {
  Manifest out;
  out.name = "shard-000000.tar";
  out.licences = {"LIC-1@1"};
  for (size_t i = 0; i < samples; ++i) {
    const Digest digest = sha256("sample " + std::to_string(i));
    out.samples.push_back({to_hex(digest).substr(0, 16), 0, kSampleBytes, digest,
                           sha256("clip " + std::to_string(i)), 2'000'000});
  }
  out.size_bytes = samples * kSampleBytes + 1024;
  return out;
}

std::string shard_record_bytes(const Manifest& manifest) {
  const std::string root(shard_root(manifest).text());
  Fact fact;
  ShardRecord& shard = *fact.mutable_shard();
  shard.set_root(root);
  shard.set_name(manifest.name);
  shard.set_digest(root);
  shard.set_size_bytes(manifest.size_bytes);
  shard.set_samples(static_cast<uint32_t>(manifest.samples.size()));
  shard.add_licence("LIC-1@1");
  Record record;
  record.set_at_us(now_us());
  record.set_fact(fact.SerializeAsString());
  return record.SerializeAsString();
}

}  // namespace

BenchNode::BenchNode(const std::string& parent, size_t samples) : folder_(parent) {
  make_folders(folder_ / "shards");
  make_folders(folder_ / "notices");
  const Manifest manifest = bench_manifest(samples);
  write_file(folder_ / "shards/shard-000000.tar.manifest", format_manifest(manifest));
  write_permit(manifest);
}

GateOptions BenchNode::options() const {
  GateOptions out;
  out.permit = folder_ / "run.permit";
  out.trust = folder_ / "trust";
  out.shards = folder_ / "shards";
  out.notices = folder_ / "notices";
  out.run = "run-1";
  out.purpose = bench_purpose();
  return out;
}

uint64_t BenchNode::proof_bytes() const {
  return fs::file_size(proofs_path(folder_ / "run.permit"));
}

// The shard's record among a million others, and the root over them.
Digest BenchNode::write_proofs(const Manifest& manifest, const SignerKey& log) {
  const std::string record = shard_record_bytes(manifest);
  std::vector<Digest> leaves(kLogSize, sha256("a record"));
  leaves[kShardRecord] = leaf_digest(as_bytes(record));
  const Digest root = root_digest(leaves);
  Note head{format_tree_head({log.verifier.name, kLogSize, root}), {}};
  add_signature(head, log);
  const TlogProof proof{record, kShardRecord, inclusion_proof(leaves, kShardRecord),
                        format_note(head)};
  write_file(proofs_path(folder_ / "run.permit"), format_shard_proofs({&proof, 1}));
  return root;
}

void BenchNode::write_permit(const Manifest& manifest) {
  const SignerKey log = new_signer_key("bench.example/log");
  const SignerKey approvers[] = {new_signer_key("approver-1"), new_signer_key("approver-2")};
  PermitText text;
  Permit& permit = *text.mutable_permit();
  permit.set_run("run-1");
  permit.set_config_digest(digest_name({}));
  *permit.mutable_purpose() = bench_purpose();
  permit.set_issued_at(format_time(now_us()));
  permit.set_expires_at(format_time(now_us() + 3'600'000'000));
  permit.set_origin(log.verifier.name);
  permit.set_tree_size(kLogSize);
  permit.set_tree_root(digest_name(write_proofs(manifest, log)));
  auto& shard = *permit.add_shard();
  shard.set_root(digest_name(shard_root(manifest)));
  shard.set_samples(static_cast<uint32_t>(manifest.samples.size()));
  shard.add_licence("LIC-1@1");
  shard.set_valid_from("2020-01-01");
  shard.set_valid_to("2099-12-31");
  Note note{format_textproto(text), {}};
  std::string trust = "need permit 2 approver\n";
  for (const SignerKey& key : approvers) {
    add_signature(note, key);
    trust += format_public_key({"approver", key.verifier}) + "\n";
  }
  write_file(folder_ / "run.permit", format_note(note));
  write_file(folder_ / "trust", trust + format_public_key({"log", log.verifier}) + "\n");
}

void hash_manifest_lines(size_t samples) {
  const std::string line(163, 'x');  // a line of a manifest
  RootBuilder tree;
  for (size_t i = 0; i < samples; ++i) tree.add(sha256(line));
  CLEARED_CHECK(tree.root() != Digest{});
}

}  // namespace cleared::tools

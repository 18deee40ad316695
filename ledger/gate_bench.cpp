// What a run waits for before its first step: opening the gate with a permit for one shard of
// 10,000 samples whose record is proven to be in a log of a million, signatures, proof, manifest
// and root included. The limit is 5 ms, and 3 KB for the proof, which is printed as a counter. In
// proportion: the manifest is 1.6 MB, and hashing alone takes 10,000 leaves of three blocks.
#include <cstdlib>
#include <filesystem>

#include <benchmark/benchmark.h>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/gate.h"
#include "ledger/key.h"
#include "ledger/merkle.h"
#include "ledger/record.pb.h"
#include "ledger/shard_proof.h"
#include "ledger/textproto.h"
#include "ledger/tree_head.h"

namespace {

namespace fs = std::filesystem;
using namespace cleared;
using namespace cleared::ledger;

constexpr uint64_t kLogSize = 1'000'000, kShardRecord = 654'321;

std::string signed_text(const std::string& text, const SignerKey& key) {
  Note note{text, {}};
  add_signature(note, key);
  return format_note(note);
}

// A folder with a shard's manifest, a permit, its proofs and the keys to check them.
class Node {
 public:
  explicit Node(size_t samples) {
    std::string name = (fs::temp_directory_path() / "cleared-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
    make_folders(folder_ / "shards");
    make_folders(folder_ / "notices");
    Manifest manifest;
    manifest.name = "shard-000000.tar";
    manifest.licences = {"LIC-1@1"};
    for (size_t i = 0; i < samples; ++i) {
      const Digest digest = sha256("sample " + std::to_string(i));
      manifest.samples.push_back({to_hex(digest).substr(0, 16), 0, 65'536, digest,
                                  sha256("clip " + std::to_string(i)), 2'000'000});
      manifest.size_bytes += 65'536;
    }
    manifest.size_bytes += 1024;
    manifest_ = format_manifest(manifest);
    write_file(folder_ / "shards/shard-000000.tar.manifest", manifest_);
    write_permit(manifest);
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node() { fs::remove_all(folder_); }

  GateOptions options() const {
    GateOptions out;
    out.permit = folder_ / "run.permit";
    out.trust = folder_ / "trust";
    out.shards = folder_ / "shards";
    out.notices = folder_ / "notices";
    out.run = "run-1";
    out.purpose = purpose();
    return out;
  }
  const std::string& manifest() const { return manifest_; }
  uint64_t proof_bytes() const { return fs::file_size(proofs_path(folder_ / "run.permit")); }

 private:
  static Purpose purpose() {
    Purpose out;
    out.set_use(TRAIN);
    out.set_model("cleared-base");
    out.set_field_of_use("film");
    out.set_compute_territory("EU");
    return out;
  }

  void write_permit(const Manifest& manifest) {
    const SignerKey log = new_signer_key("bench.example/log");
    const SignerKey approvers[] = {new_signer_key("approver-1"), new_signer_key("approver-2")};
    const Digest root = shard_root(manifest);
    Fact fact;
    fact.mutable_shard()->set_root(std::string(root.text()));
    fact.mutable_shard()->set_name(manifest.name);
    fact.mutable_shard()->set_digest(std::string(root.text()));
    fact.mutable_shard()->set_size_bytes(manifest.size_bytes);
    fact.mutable_shard()->set_samples(static_cast<uint32_t>(manifest.samples.size()));
    fact.mutable_shard()->add_licence("LIC-1@1");
    Record record;
    record.set_at_us(now_us());
    record.set_fact(fact.SerializeAsString());
    std::vector<Digest> leaves(kLogSize, sha256("a record"));
    leaves[kShardRecord] = leaf_digest(as_bytes(record.SerializeAsString()));
    const TreeHead head{log.verifier.name, kLogSize, root_digest(leaves), {}};

    PermitText text;
    Permit& permit = *text.mutable_permit();
    permit.set_run("run-1");
    permit.set_config_digest(digest_name({}));
    *permit.mutable_purpose() = purpose();
    permit.set_issued_at(format_time(now_us()));
    permit.set_expires_at(format_time(now_us() + 3'600'000'000));
    permit.set_origin(head.origin);
    permit.set_tree_size(head.size);
    permit.set_tree_root(digest_name(head.root));
    auto& shard = *permit.add_shard();
    shard.set_root(digest_name(root));
    shard.set_samples(static_cast<uint32_t>(manifest.samples.size()));
    shard.add_licence("LIC-1@1");
    shard.set_valid_from("2020-01-01");
    shard.set_valid_to("2099-12-31");
    Note note{format_textproto(text), {}};
    for (const SignerKey& key : approvers) add_signature(note, key);
    write_file(folder_ / "run.permit", format_note(note));
    const TlogProof proof{record.SerializeAsString(), kShardRecord,
                          inclusion_proof(leaves, kShardRecord),
                          signed_text(format_tree_head(head), log)};
    write_file(proofs_path(folder_ / "run.permit"), format_shard_proofs({&proof, 1}));
    write_file(folder_ / "trust",
               "need permit 2 approver\n" + format_public_key({"approver", approvers[0].verifier}) +
                   "\n" + format_public_key({"approver", approvers[1].verifier}) + "\n" +
                   format_public_key({"log", log.verifier}) + "\n");
  }

  fs::path folder_;
  std::string manifest_;
};

void open_gate(benchmark::State& state) {
  const Node node(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    const Gate gate(node.options());
    if (gate.samples().size() != static_cast<size_t>(state.range(0))) std::abort();
  }
  state.counters["proof_bytes"] = static_cast<double>(node.proof_bytes());
}
// Where it goes: parsing alone, parsing with the root, and what no program can save, hashing lines
// of that length and the nodes above them, on one core.
void parse(benchmark::State& state) {
  const Node node(10'000);
  Digest root;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        parse_manifest(node.manifest(), "bench", state.range(0) != 0 ? &root : nullptr));
  }
}
BENCHMARK(parse)->Arg(0)->Arg(1)->MeasureProcessCPUTime()->UseRealTime()->Unit(
    benchmark::kMillisecond);

void hash_alone(benchmark::State& state) {
  const std::string line(163, 'x');
  for (auto _ : state) {
    RootBuilder tree;
    for (size_t i = 0; i < 10'000; ++i) tree.add(sha256(line));
    benchmark::DoNotOptimize(tree.root());
  }
}
BENCHMARK(hash_alone)->Unit(benchmark::kMillisecond);

BENCHMARK(open_gate)->Arg(100)->Arg(10'000)->MeasureProcessCPUTime()->UseRealTime()->Unit(
    benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();

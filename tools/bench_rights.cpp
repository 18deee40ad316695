#include "tools/bench_rights.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "ledger/account.h"
#include "ledger/attestation.h"
#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/digest.h"
#include "ledger/impact.h"
#include "ledger/key.h"
#include "ledger/merkle.h"
#include "ledger/permit.h"
#include "ledger/projection.h"
#include "ledger/shard.h"
#include "ledger/store.h"
#include "ledger/textproto.h"
#include "ledger/tree_head.h"
#include "tools/bench_folder.h"

namespace cleared::tools {
namespace fs = std::filesystem;
using namespace cleared::ledger;
namespace {

constexpr uint64_t kPerCommit = 20'000;
constexpr uint64_t kClipUs = 2'000'000;
constexpr uint64_t kLicences = 2'000;
constexpr uint64_t kPermitShards = 200;  // what a permit's record holds
constexpr uint64_t kRunShards = 10;      // that a run consumes all of, beside the first of all
constexpr uint64_t kSpanSteps = 100;
constexpr uint64_t kLate = 100;  // licences that come after the footage

struct Shape {
  uint64_t clips = 0;
  uint64_t per_source = 0;
  uint64_t per_shard = 0;
  uint64_t licence_of(uint64_t clip) const { return clip / (clips / kLicences); }
  uint64_t shards() const { return clips / per_shard; }
};

std::string raw(const std::string& name) {
  return std::string(sha256(name).text());
}
std::string licence_id(uint64_t i) {
  return "LIC-" + std::to_string(i);
}
std::string late_id(uint64_t i) {
  return "LATE-" + std::to_string(i);
}

// Clips under licences, packed into shards that are approved.
class MadeUp {
 public:
  MadeUp(const fs::path& path, const Shape& shape) : shape_(shape) {
    Store::create(path, log_.verifier);
    store_ = std::make_unique<Store>(path, Access::append);
    keys();
    licences();
    footage();
    store_->sign_head(log_);
  }

  Store& store() { return *store_; }

  // Each over the footage of another licence, the last one over that of eleven.
  void late_licences() {
    for (uint64_t i = 0; i + 1 < kLate; ++i) {
      add_licence(late_id(i), licence_id(i * (kLicences / kLate)) + "/**");
    }
    add_licence(late_id(kLate - 1), licence_id(kLicences / 10 - 1) + "*/**");
  }

  // Permits of 200 shards, the first shard in all of them, and runs under them: two spans each, the
  // first consumes ten shards, the second the first of all.
  void consume(uint64_t runs) {
    permits();
    std::vector<Fact> facts;
    for (uint64_t r = 0; r < runs; ++r) {
      add_run(r, facts);
      if (facts.size() > 2'000 || r + 1 == runs) {
        store_->append(facts, Store::Durable::later);
        facts.clear();
      }
    }
    store_->sign_head(log_);
  }

  PermitRequest request() const {
    PermitRequest out;
    out.run = "bench";
    out.purpose = purpose();
    out.height_px = 64;
    out.draws = shape_.clips;
    return out;
  }

 private:
  static Purpose purpose() {
    Purpose out;
    out.set_use(TRAIN);
    out.set_model("cleared-base");
    out.set_field_of_use("film");
    out.set_compute_territory("EU");
    return out;
  }

  void keys() {
    std::vector<Fact> facts;
    const auto add = [&](const SignerKey& key, const std::string& role) {
      KeyRecord& record = *facts.emplace_back().mutable_key();
      record.set_name(key.verifier.name);
      record.set_role(role);
      record.set_vkey(format_verifier_key(key.verifier));
    };
    add(licensor_, "licensor");
    add(studio_, "licensee");
    add(approver_, "approver");
    add(trainer_, "trainer");
    store_->append(facts);
  }

  void licences() {
    for (uint64_t i = 0; i < kLicences; ++i) add_licence(licence_id(i), licence_id(i) + "/**");
  }

  void add_licence(const std::string& id, const std::string& covers) {
    LicenceText text;
    Licence& licence = *text.mutable_licence();
    licence.set_id(id);
    licence.set_version(1);
    licence.set_licensor(licensor_.verifier.name);
    licence.set_licensee(studio_.verifier.name);
    licence.set_valid_from("2024-01-01");
    licence.set_valid_to("2099-12-31");
    licence.set_after_term(Licence::KEEP_WEIGHTS);
    for (const Use use : {INGEST, ENCODE, TRAIN}) text.mutable_allows()->add_use(use);
    text.mutable_allows()->add_model("cleared-base");
    text.mutable_allows()->add_field_of_use("film");
    text.mutable_allows()->add_compute_territory("EU");
    Clearances& c = *text.mutable_clearances();
    c.set_talent(Talent::NONE_VISIBLE);
    c.set_minors(false);
    c.set_voice(Voice::NONE);
    c.set_music(Music::NONE);
    Pay& pay = *text.add_pay();
    pay.set_basis(Pay::PER_SAMPLE_SECOND);
    pay.set_currency("EUR");
    pay.set_rate_micros(1'234);
    text.mutable_covers()->add_delivery(covers);
    Note note{format_textproto(text), {}};
    add_signature(note, licensor_);
    add_signature(note, studio_);
    store_->append_licence(format_note(note), id);
  }

  void footage() {
    std::vector<Fact> facts;
    const auto flush = [&](bool all) {
      if (facts.empty() || (!all && facts.size() < kPerCommit)) return;
      store_->append(facts, Store::Durable::later);
      facts.clear();
    };
    // A shard comes soon after its clips: what a record names is then still in memory.
    for (uint64_t first = 0; first < shape_.clips; first += shape_.per_shard) {
      for (uint64_t i = 0; i < shape_.per_shard; i += shape_.per_source) {
        add_source(first + i, facts);
      }
      add_shard(first / shape_.per_shard, facts);
      flush(false);
    }
    flush(true);
    for (uint64_t from = 0; from < roots_.size(); from += kMaxBatch) {
      approve(from, std::min<uint64_t>(roots_.size(), from + kMaxBatch));
    }
  }

  void add_source(uint64_t first, std::vector<Fact>& facts) const {
    const std::string number = std::to_string(first / shape_.per_source);
    const std::string source = raw("source " + number);
    SourceRecord& s = *facts.emplace_back().mutable_source();
    s.set_digest(source);
    s.set_path(licence_id(shape_.licence_of(first)) + "/take-" + number + ".mov");
    s.add_licence(licence_id(shape_.licence_of(first)) + "@1");
    s.set_duration_us(shape_.per_source * kClipUs);
    s.set_status("kept");
    for (uint64_t i = 0; i < shape_.per_source; ++i) {
      ClipRecord& c = *facts.emplace_back().mutable_clip();
      c.set_id(raw("clip " + std::to_string(first + i)));
      c.set_source(source);
      c.set_start_us(i * kClipUs);
      c.set_end_us((i + 1) * kClipUs);
      c.set_verdict("kept");
    }
  }

  void add_shard(uint64_t number, std::vector<Fact>& facts) {
    Manifest manifest;
    manifest.name = "shard-" + std::to_string(number) + ".tar";
    std::set<std::string> licences;
    for (uint64_t i = 0; i < shape_.per_shard; ++i) {
      const uint64_t clip = number * shape_.per_shard + i;
      manifest.samples.push_back({"s" + std::to_string(clip), 0, 1'000,
                                  sha256("sample " + std::to_string(clip)),
                                  sha256("clip " + std::to_string(clip)), kClipUs});
      licences.insert(licence_id(shape_.licence_of(clip)) + "@1");
    }
    roots_.push_back(shard_root(manifest));
    const std::string root(roots_.back().text());
    ShardRecord& shard = *facts.emplace_back().mutable_shard();
    shard.set_root(root);
    shard.set_name(manifest.name);
    shard.set_digest(root);
    shard.set_samples(static_cast<uint32_t>(shape_.per_shard));
    for (const std::string& ref : licences) shard.add_licence(ref);
    for (uint32_t i = 0; i < manifest.samples.size(); ++i) {
      const ManifestSample& in = manifest.samples[i];
      SampleRecord& out = *facts.emplace_back().mutable_sample();
      out.set_shard(root);
      out.set_index(i);
      out.set_key(in.key);
      out.set_digest(std::string(in.digest.text()));
      out.set_clip(std::string(in.clip.text()));
      out.set_duration_us(in.duration_us);
      out.set_size_bytes(in.size_bytes);
    }
  }

  void approve(uint64_t from, uint64_t end) {
    std::vector<Digest> batch(roots_.begin() + static_cast<ptrdiff_t>(from),
                              roots_.begin() + static_cast<ptrdiff_t>(end));
    std::sort(batch.begin(), batch.end());
    ApprovalText text;
    text.mutable_approval()->set_root(digest_name(batch_root(batch)));
    text.mutable_approval()->set_shards(static_cast<uint32_t>(batch.size()));
    text.mutable_approval()->set_at(format_time(now_us()));
    text.mutable_approval()->set_use(TRAIN);
    store_->append({approval_fact(signed_by_approver(format_textproto(text)), batch)});
  }

  std::string signed_by_approver(const std::string& text) const {
    Note note{text, {}};
    add_signature(note, approver_);
    return format_note(note);
  }

  void permits() {
    head_ = parse_tree_head(parse_note(store_->newest_head_note()).text);
    for (uint64_t from = 0; from < roots_.size(); from += kPermitShards) {
      PermitText text;
      Permit& permit = *text.mutable_permit();
      permit.set_run("bench");
      permit.set_config_digest(digest_name({}));
      *permit.mutable_purpose() = purpose();
      permit.set_issued_at(format_time(now_us()));
      permit.set_expires_at(format_time(now_us() + 3'600'000'000));
      permit.set_origin(head_.origin);
      permit.set_tree_size(head_.size);
      permit.set_tree_root(digest_name(head_.root));
      const auto add = [&](uint64_t number) {
        auto& shard = *permit.add_shard();
        shard.set_root(digest_name(roots_[number]));
        shard.set_samples(static_cast<uint32_t>(shape_.per_shard));
        shard.add_licence(licence_id(shape_.licence_of(number * shape_.per_shard)) + "@1");
        shard.set_valid_from("2024-01-01");
        shard.set_valid_to("2099-12-31");
      };
      if (from > 0) add(0);
      for (uint64_t i = from; i < std::min<uint64_t>(from + kPermitShards, roots_.size()); ++i) {
        add(i);
      }
      permits_.push_back(signed_by_approver(format_textproto(text)));
      Fact fact;
      fact.mutable_permit()->set_note(permits_.back());
      store_->append({fact});
    }
  }

  void add_run(uint64_t number, std::vector<Fact>& facts) {
    const uint64_t permit = number % permits_.size();
    const std::string digits = std::to_string(number);
    const std::string name = "bench-" + std::string(16 - digits.size(), '0') + digits;
    RunRecord& run = *facts.emplace_back().mutable_run();
    run.set_name(name);
    run.set_permit(std::string(sha256(permits_[permit]).text()));
    run.set_config_digest(raw("config"));
    run.set_code_version("1.0");
    run.set_ranks(8);
    std::set<uint64_t> shards;
    const uint64_t begin = permit * kPermitShards;
    const uint64_t count = std::min(kPermitShards, roots_.size() - begin);
    for (uint64_t i = 0; i < kRunShards; ++i) {
      const uint64_t shard = begin + (number / permits_.size() * kRunShards + i) % count;
      if (shard != 0) shards.insert(shard);
    }
    add_span(name, permit, 1, shards, facts);
    add_span(name, permit, 2, {0}, facts);
  }

  void add_span(const std::string& run, uint64_t permit, uint64_t span,
                const std::set<uint64_t>& shards, std::vector<Fact>& facts) {
    const uint64_t end = span * kSpanSteps;
    std::vector<std::string> roots;
    for (const uint64_t shard : shards) roots.emplace_back(roots_[shard].text());
    std::sort(roots.begin(), roots.end());
    std::vector<Digest> leaves;
    const size_t receipt = facts.size();
    facts.emplace_back();
    for (const std::string& root : roots) {
      ConsumedShardRecord& record = *facts.emplace_back().mutable_consumed_shard();
      record.set_run(run);
      record.set_end_step(end);
      record.set_shard(root);
      for (uint64_t i = 0; i < shape_.per_shard; ++i) {
        record.add_passes(1);
        record.add_back(1 + i % kSpanSteps);
      }
      record.set_sample_us(shape_.per_shard * kClipUs);
      leaves.push_back(leaf_digest(as_bytes(record.SerializeAsString())));
    }
    const Digest weights = sha256(run + " " + std::to_string(end));
    facts[receipt].mutable_receipt()->set_note(receipt_note(run, permit, end, leaves, weights));
    facts[receipt].mutable_receipt()->set_machine_us(60'000'000);
    TrainingStatement s;
    s.subjects = {{"weights", weights}};
    s.run = run;
    s.step = end;
    s.tree_head = head_;
    const std::string parent = span > 1 ? raw(run + " " + std::to_string(end - kSpanSteps)) : "";
    s.parent = to_hex(as_bytes(parent));
    CheckpointRecord& k = *facts.emplace_back().mutable_checkpoint();
    k.set_digest(std::string(weights.text()));
    k.set_run(run);
    k.set_step(end);
    k.set_statement(seal_envelope(kStatementPayloadType, format_statement(s), trainer_));
    k.set_parent(parent);
  }

  std::string receipt_note(const std::string& run, uint64_t permit, uint64_t end,
                           const std::vector<Digest>& leaves, const Digest& weights) const {
    ReceiptText text;
    Receipt& r = *text.mutable_receipt();
    r.set_run(run);
    r.set_permit(digest_name(sha256(permits_[permit])));
    r.set_origin(head_.origin);
    r.set_tree_size(head_.size);
    r.set_tree_root(digest_name(head_.root));
    r.set_first_step(end - kSpanSteps);
    r.set_end_step(end);
    r.set_steps_root(digest_name({}));
    r.set_samples(leaves.size() * shape_.per_shard);
    r.set_consumed_root(digest_name(root_digest(leaves)));
    r.set_checkpoint(digest_name(weights));
    r.set_sample_us(leaves.size() * shape_.per_shard * kClipUs);
    Note note{format_textproto(text), {}};
    add_signature(note, trainer_);
    return format_note(note);
  }

  const Shape shape_;
  const SignerKey log_ = new_signer_key("bench.example/log");
  const SignerKey licensor_ = new_signer_key("licensor"), studio_ = new_signer_key("studio");
  const SignerKey approver_ = new_signer_key("approver"), trainer_ = new_signer_key("trainer");
  std::unique_ptr<Store> store_;
  std::vector<Digest> roots_;
  std::vector<std::string> permits_;
  TreeHead head_;
};

constexpr auto kAtMost = Measured::Goal::at_most;

// What `ledger impact` does between opening the file and printing, proofs included.
struct ImpactTook {
  Impact impact;
  std::vector<TlogProof> proofs;
  double first_s = 0, s = 0;
};
ImpactTook time_impact(const fs::path& path, const std::string& what) {
  ImpactTook out;
  const auto once = [&] {
    const Store store(path, Access::read);
    out.impact = impact_of(store, what);
    out.proofs = prove_records(store, named_records(out.impact), store.newest_head_note());
  };
  out.first_s = seconds_of(once);
  out.s = seconds_of(once);
  return out;
}

void impact_lines(const fs::path& path, BenchTable& table) {
  const auto line = [&](const std::string& of, const std::string& what) -> Impact {
    ImpactTook took = time_impact(path, what);
    CLEARED_CHECK(took.proofs.size() == named_records(took.impact).size());
    const VerifierKey key = Store(path, Access::read).log_key();
    for (const TlogProof& proof : took.proofs) {
      CLEARED_CHECK(verify_tlog_proof(proof, as_bytes(*proof.extra), key));
    }
    const auto number = [](size_t n) { return std::to_string(n); };
    table.line({"impact of " + of + " on " + number(took.impact.runs.size()) + " of " +
                    number(took.impact.all_runs) + " runs",
                took.s, "s", kAtMost, 1});
    table.line({"  the first time", took.first_s, "s"});
    table.line({"  records proven", static_cast<double>(took.proofs.size()), ""});
    return std::move(took.impact);
  };
  const auto clip = [](uint64_t number) {
    return to_hex(sha256("clip " + std::to_string(number)));
  };
  const Impact all = line("a licence", licence_id(0));
  CLEARED_CHECK(all.runs.size() == all.all_runs && all.runs.back().clean);
  line("a licence", licence_id(kLicences - 1));
  const Impact late = line("a licence of later", late_id(0));
  CLEARED_CHECK(late.clips == all.clips && late.runs.size() == all.runs.size());
  const Impact many = line("a licence of later over eleven deliveries", late_id(kLate - 1));
  CLEARED_CHECK(many.clips == 11 * all.clips);
  line("a clip", clip(0));        // of the first shard, which every run consumed
  line("a clip", clip(123'456));  // of one that few did
}

void statement_lines(const fs::path& path, BenchTable& table) {
  AccountRequest request;
  request.licensor = "licensor";
  request.from = "2024-01-01";
  request.to = "2099-12-31";
  const auto time = [&](Account& account) {
    return seconds_of([&] { account = make_account(Store(path, Access::read), request); });
  };
  Account account;
  request.clips = false;
  const double brief = time(account);
  uint64_t passes = 0;
  for (const auto& part : account.part()) passes += part.passes();
  const std::string over = " over " + std::to_string(passes) + " exposures";
  table.line({"statement" + over, brief, "s", kAtMost, 10});
  request.clips = true;
  const double full = time(account);
  uint64_t clips = 0;
  for (const auto& part : account.part()) clips += static_cast<uint64_t>(part.clip_size());
  table.line({"  clip by clip, " + std::to_string(clips) + " clips", full, "s", kAtMost, 10});
}

void permit_lines(const fs::path& path, BenchTable& table) {
  PermitRequest request;
  {
    const MadeUp made(path, {.clips = 1'000'000, .per_source = 500, .per_shard = 10'000});
    request = made.request();
  }
  // As a command finds it: all of it in the one file, which is verified quicker
  // (ledger/raw_table.h).
  const Store store(path, Access::append);
  double verify = 0;
  PermitText text;
  const double all = seconds_of([&] {
    std::unique_ptr<Rights> rights;
    verify = seconds_of([&] { rights = std::make_unique<Rights>(store); });
    text = make_permit(store, *rights, request).text;
  });
  CLEARED_CHECK(text.permit().shard_size() == 100);
  table.line({"permit, 10^6 clips, 2,000 licences", all - verify, "s", kAtMost, 2});
  table.line({"  with verifying the ledger first", all, "s"});
}

}  // namespace

void bench_rights(const RightsBench& o, BenchTable& table) {
  const BenchFolder folder(o.folder);
  const fs::path kept = fs::path(o.folder) / "rights.db";
  fs::path path = kept;
  if (!o.keep || !fs::exists(kept)) {
    table.title("rights: " + std::to_string(o.clips) + " clips, " + std::to_string(o.runs) +
                " runs");
    path = folder / "rights.db";
    const double made = seconds_of([&] {
      MadeUp world(path, {.clips = o.clips,
                          .per_source = std::min<uint64_t>(1'000, o.clips / kLicences),
                          .per_shard = 1'000});
      world.late_licences();
      world.consume(o.runs);
    });
    table.line({"making the ledger", made, "s"});
    table.line({"  its size", static_cast<double>(fs::file_size(path)) / 1e9, "GB"});
    if (o.keep) {
      for (const char* rest : {".head", ""}) fs::rename(path.string() + rest, kept.string() + rest);
      path = kept;
    }
  } else {
    table.title("rights: of " + kept.string());
  }
  impact_lines(path, table);
  statement_lines(path, table);
  permit_lines(folder / "permit.db", table);
}

}  // namespace cleared::tools

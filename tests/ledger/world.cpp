#include "tests/ledger/world.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/shard_facts.h"
#include "ledger/textproto.h"

namespace cleared::ledger {
namespace fs = std::filesystem;

TempFolder::TempFolder() {
  // In memory where there is such a folder: the tests wait for no disk.
  const fs::path parent = fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path();
  std::string name = (parent / "cleared-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw Error(Errc::io, "mkdtemp ", name);
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string error_of(const std::function<void()>& body) {
  static constexpr const char* kNames[] = {"usage",       "refused",    "corrupt",
                                           "unsupported", "not_found",  "io",
                                           "busy",        "permission", "config"};
  try {
    body();
    return "";
  } catch (const Error& error) {
    return std::string(kNames[static_cast<size_t>(error.code())]) + ": " + error.what();
  }
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  if (at == std::string::npos) {
    ADD_FAILURE() << "the text does not hold " << from;
    return text;
  }
  return text.replace(at, from.size(), to);
}

std::string full_licence_text() {
  return R"(# Every field once.
licence {
  id: "LIC-1"
  version: 1
  agreement_digest: "sha256:2222222222222222222222222222222222222222222222222222222222222222"
  licensor: "example-stock"
  licensee: "example-studio"
  valid_from: "2024-01-01"
  valid_to: "2099-12-31"
  after_term: STOP_TRAINING
}
covers {
  delivery: "2026-01/**"
}
allows {
  use: [INGEST, CAPTION, EMBED, ENCODE, TRAIN, EVALUATE]
  model: ["cleared-base"]
  component: [GENERATOR, VAE]
  successors: false
  field_of_use: ["film", "tv"]
  excluded_field: ["political"]
  compute_territory: ["US", "EU"]
  release_territory: ["*"]
}
limits {
  max_passes: 4
  max_share: 1.0
  max_height_px: 1080
  memorisation_max: 0.0
  similarity_max: 0.86
}
derived {
  caption: TERM
  embedding: NEVER
  latent { delete_after_days: 30 }
  fingerprint: PERPETUAL
}
clearances {
  talent: RELEASED_FOR_TRAINING
  minors: false
  voice: NONE
  music: MUTED
  union_notice: "none"
}
output {
  likeness: NEVER
  scene_recreation: NEVER
  style_by_name: ALLOWED
  credentials: REQUIRED
  attribution: "Footage: Example Stock"
}
pay {
  basis: REVENUE_SHARE
  currency: "USD"
  rate_micros: 2000000
  pool_bps: 500
  split { party: "example-stock" share_bps: 9000 }
  split { party: "guild" share_bps: 1000 }
}
removal {
  notice_days: 30
  tier: [EXCLUDE, SUPPRESS, RETRAIN]
  retrain_deadline_days: 180
}
audit {
  scope: TRAINING_INPUTS
  notice_days: 10
  retain_years: 7
}
overrides {
  mark: "cawg.training-mining"
}
)";
}

SignerKey renamed(SignerKey key, const std::string& name) {
  key.verifier.name = name;
  const Digest digest = sha256(name + "\n\x01" + key.verifier.key);
  key.verifier.id = 0;
  for (const char c : digest.text().substr(0, 4))
    key.verifier.id = key.verifier.id << 8 | static_cast<unsigned char>(c);
  return key;
}

std::string sign_text(const std::string& text, const std::vector<const SignerKey*>& keys) {
  Note note{text, {}};
  for (const SignerKey* key : keys) add_signature(note, *key);
  return format_note(note);
}

World::World() {
  Store::create(ledger, log.verifier);
  append({key(licensor, "licensor"), key(licensee, "licensee"), key(approver, "approver"),
          key(trainer, "trainer")});
}

Fact World::key(const SignerKey& signer, const std::string& role) const {
  Fact fact;
  fact.mutable_key()->set_name(signer.verifier.name);
  fact.mutable_key()->set_role(role);
  fact.mutable_key()->set_vkey(format_verifier_key(signer.verifier));
  return fact;
}

std::vector<Fact> World::footage(const std::string& licence_ref) {
  std::vector<Fact> facts(1);
  const Digest source = sha256("source a");
  SourceRecord& s = *facts[0].mutable_source();
  s.set_digest(std::string(source.text()));
  s.set_path("2026-01/a.webm");
  s.set_size_bytes(1000);
  s.add_licence(licence_ref);
  s.set_container("webm");
  s.set_video_codec("vp9");
  s.set_duration_us(4'000'000);
  s.set_frames(100);
  s.set_status("kept");

  Fact& print = facts.emplace_back();
  print.mutable_fingerprint()->set_source(std::string(source.text()));
  print.mutable_fingerprint()->add_pts_us(0);
  print.mutable_fingerprint()->set_pdq(std::string(32, 'p'));
  print.mutable_fingerprint()->set_quality("q");

  std::vector<SampleMembers> samples;
  for (uint64_t i = 0; i < 2; ++i) {
    const Digest clip = sha256("clip " + std::to_string(i));
    Fact& fact = facts.emplace_back();
    ClipRecord& c = *fact.mutable_clip();
    c.set_id(std::string(clip.text()));
    c.set_source(std::string(source.text()));
    c.set_start_us(i * 2'000'000);
    c.set_end_us((i + 1) * 2'000'000);
    c.set_shot(static_cast<uint32_t>(i));
    c.set_verdict("kept");
    c.set_luma(100.5F);
    samples.push_back({"s" + std::to_string(i),
                       {{"webm", std::string(700, static_cast<char>('a' + i))},
                        {"json", "{}"},
                        {"txt", "a caption"}},
                       clip,
                       2'000'000});
  }
  manifest = write_shard(folder / "shards", "shard-000000.tar", samples, {licence_ref});
  std::ranges::move(shard_facts(manifest, shard_root(manifest)), std::back_inserter(facts));
  return facts;
}

Fact World::approval() const {
  ApprovalText text;
  const Digest shard = shard_root(manifest);
  text.mutable_approval()->set_root(digest_name(batch_root({&shard, 1})));
  text.mutable_approval()->set_shards(1);
  text.mutable_approval()->set_at("2026-01-02T03:04:05Z");
  text.mutable_approval()->set_use(TRAIN);
  return approval_fact(sign_text(format_textproto(text), {&approver}), {&shard, 1});
}

Fact World::deletion(const std::vector<const SignerKey*>& keys) const {
  DeletionText text;
  Deletion& d = *text.mutable_deletion();
  d.set_shard(digest_name(shard_root(manifest)));
  d.add_digest(digest_name(manifest.digest));
  d.set_at("2026-01-02T03:04:05Z");
  d.set_reason("30 days are over");
  Fact fact;
  fact.mutable_deletion()->set_note(sign_text(format_textproto(text), keys));
  return fact;
}

Fact World::revocation(const std::string& field, const std::string& value,
                       const SignerKey& signer) const {
  Fact fact;
  fact.mutable_revocation()->set_note(
      sign_text("revocation {\n  " + field + ": \"" + value +
                    "\"\n  at: \"2026-01-02T03:04:05Z\"\n  reason: \"a reason\"\n}\n",
                {&signer}));
  return fact;
}

Fact World::release(const std::string& weights, const std::vector<std::string>& licences,
                    const std::function<void(Release&)>& change) const {
  const Store store(ledger, Access::read);
  const TreeHead head = parse_tree_head(parse_note(store.newest_head_note()).text);
  ReleaseText text;
  Release& r = *text.mutable_release();
  r.set_checkpoint("sha256:" + weights);
  r.set_use(GENERATE_INTERNAL);
  r.set_model("cleared-base");
  r.set_field_of_use("film");
  r.set_territory("EU");
  r.set_issued_at(format_time(now_us()));
  r.set_expires_at(format_time(now_us() + kHourUs));
  r.set_origin(head.origin);
  r.set_tree_size(head.size);
  r.set_tree_root(digest_name(head.root));
  for (const std::string& ref : licences) r.add_licence(ref);
  change(r);
  Fact fact;
  fact.mutable_release()->set_note(sign_text(format_textproto(text), {&approver}));
  return fact;
}

void World::add_licence(const std::string& text) {
  Store(ledger, Access::append).append_licence(sign_text(text, {&licensor, &licensee}), "test");
}

void World::fill(const std::string& licence_text) {
  add_licence(licence_text);
  append(footage());
  append({approval()});
  Store(ledger, Access::append).sign_head(log);
}

Purpose World::purpose() {
  Purpose out;
  out.set_use(TRAIN);
  out.set_model("cleared-base");
  out.add_component(GENERATOR);
  out.set_field_of_use("film");
  out.set_compute_territory("EU");
  return out;
}

PermitRequest World::request() const {
  PermitRequest out;
  out.run = "run-1";
  out.config_digest = sha256("config");
  out.purpose = purpose();
  out.height_px = 64;
  out.draws = 4;
  return out;
}

std::string World::permit_note() const {
  const Store store(ledger, Access::read);
  return sign_text(format_textproto(make_permit(store, Rights(store), request()).text),
                   {&approver});
}

GateOptions World::node(const std::function<void(Permit&)>& change) const {
  const Store store(ledger, Access::read);
  PermitText text = make_permit(store, Rights(store), request()).text;
  change(*text.mutable_permit());
  write_file(folder / "run.permit", sign_text(format_textproto(text), {&approver}));
  write_file(folder / "trust", "approver " + format_verifier_key(approver.verifier) + "\n");
  make_folders(folder / "notices");
  GateOptions out;
  out.permit = folder / "run.permit";
  out.trust = folder / "trust";
  out.shards = folder / "shards";
  out.notices = folder / "notices";
  out.run = "run-1";
  out.config_digest = sha256("config");
  out.purpose = purpose();
  return out;
}

}  // namespace cleared::ledger

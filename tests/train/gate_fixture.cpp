#include "tests/train/gate_fixture.h"

#include <cstdlib>

#include <unistd.h>

#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/textproto.h"

namespace cleared::train {
namespace fs = std::filesystem;
namespace {

constexpr const char* kLicence = "demo-licence";

std::string sign(const google::protobuf::Message& text, const ledger::SignerKey& key) {
  ledger::Note note{.text = ledger::format_textproto(text), .signatures = {}};
  ledger::add_signature(note, key);
  return ledger::format_note(note);
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "cleared-train-XXXXXX").string();
  CLEARED_CHECK(::mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string tiny_config(uint64_t steps, uint32_t batch) {
  return "name: \"tiny\"\n"
         "purpose { use: TRAIN model: \"cleared-base\" component: [GENERATOR, VAE, TEXT_ENCODER] "
         "field_of_use: \"film\" compute_territory: \"US\" }\n"
         "seed: 7\nsteps: " +
         std::to_string(steps) + "\nbatch: " + std::to_string(batch) +
         "\nclip { width: 64 height: 64 frames: 16 frames_per_second: 16 }\n"
         "codec { fit_samples: 2 }\n"
         "model { dim: 24 layers: 1 heads: 1 ffn: 24 }\n"
         "text { length: 16 dim: 16 layers: 1 dropout: 0.1 }\n"
         "optimiser { learning_rate: 1e-3 warmup_steps: 1 decay_steps: 2 beta1: 0.9 beta2: 0.95 "
         "weight_decay: 0.01 clip_norm: 1 ema: 0.9 }\n"
         "checkpoints { every: 3 keep: 0 }\n"
         "preview { caption: \"a\" steps: 1 guidance: 1 shift: 1 }\n"
         "log_every: 1\n";
}

GateFixture::GateFixture(const std::string& config, const std::vector<std::string>& videos)
    : approver_(ledger::new_signer_key("test-approver")),
      licensor_(ledger::new_signer_key("test-licensor")) {
  make_folders(folder() / "shards");
  make_folders(folder() / "notices");
  write_file(config_path(), config);
  config_ = load_config(config_path());
  ledger::write_key_pair(folder() / "trainer", "trainer", ledger::new_signer_key("test-trainer"));
  write_file(folder() / "trust",
             "approver " + ledger::format_verifier_key(approver_.verifier) + "\n");

  std::vector<ledger::SampleMembers> samples;
  for (size_t i = 0; i < videos.size(); ++i) {
    const std::string number = std::to_string(i);
    samples.push_back(
        {.key = "clip" + number,
         .members = {{"webm", videos[i]}, {"json", "{}"}, {"txt", "caption " + number}},
         .clip = ledger::sha256("clip " + number),
         .duration_us = 1'000'000});
  }
  shards_ = folder() / "shards";
  manifest_ =
      ledger::write_shard(shards_, "demo-000000.tar", samples, {std::string(kLicence) + "@1"});
  permitted_ = {manifest_};
  permit();
}

void GateFixture::adopt(const std::string& config, const fs::path& shards) {
  write_file(config_path(), config);
  config_ = load_config(config_path());
  shards_ = shards;
  permitted_.clear();
  for (const auto& entry : fs::directory_iterator(shards)) {
    if (entry.path().extension() != ".manifest") continue;
    permitted_.push_back(ledger::read_manifest(fs::path(entry.path()).replace_extension()));
  }
  permit();
}

GatePaths GateFixture::paths() const {
  return {.permit = folder() / "tiny.permit",
          .trust = folder() / "trust",
          .shards = shards_,
          .notices = folder() / "notices"};
}

ledger::GateOptions GateFixture::options() const {
  return gate_options(config_, paths());
}

void GateFixture::permit(const std::function<void(ledger::Permit&)>& change) {
  write_file(paths().permit, sign(permit_text(change), approver_));
}

void GateFixture::refresh() {
  write_file(folder() / "notices" / "next.permit",
             sign(permit_text([](ledger::Permit& permit) {
                    permit.set_issued_at(format_time(now_us()));
                    permit.set_expires_at(format_time(now_us() + 2 * kHourUs));
                  }),
                  approver_));
}

void GateFixture::release(const Digest& weights, const std::vector<ledger::Foreign>& foreign,
                          const ledger::SimilarityLimit* limit) {
  ledger::ReleaseText text;
  ledger::Release& r = *text.mutable_release();
  r.set_checkpoint(ledger::digest_name(weights));
  r.set_use(ledger::GENERATE_INTERNAL);
  r.set_model("cleared-base");
  r.set_field_of_use("film");
  r.set_territory("US");
  r.set_issued_at(format_time(now_us() - kHourUs));
  r.set_expires_at(format_time(now_us() + kHourUs));
  r.set_origin("test.example/ledger");
  r.set_tree_size(9);
  r.set_tree_root(ledger::digest_name(ledger::sha256("root")));
  r.add_licence(std::string(kLicence) + "@1");
  r.add_revoker(ledger::format_verifier_key(licensor_.verifier));
  for (const ledger::Foreign& from : foreign) *r.add_foreign() = from;
  if (limit != nullptr) {
    const std::string footage = ledger::format_footage(limit->footage);
    r.set_similarity_max(limit->most);
    r.set_footage(ledger::digest_name(ledger::sha256(footage)));
    write_file(ledger::footage_path(folder() / "a.release"), footage);
  }
  write_file(folder() / "a.release", sign(text, approver_));
  write_file(folder() / "trust-release",
             read_file(folder() / "trust") + read_file(folder() / "trainer.pub"));
}

ledger::PermitText GateFixture::permit_text(
    const std::function<void(ledger::Permit&)>& change) const {
  ledger::PermitText text;
  ledger::Permit& permit = *text.mutable_permit();
  permit.set_run(config_.config.name());
  permit.set_config_digest(ledger::digest_name(config_.digest));
  *permit.mutable_purpose() = purpose_of(config_.config);
  for (const auto also : {ledger::EVALUATE, ledger::ENCODE}) {
    ledger::declare(*permit.mutable_purpose(), also);
  }
  permit.set_issued_at(format_time(now_us() - kHourUs));
  permit.set_expires_at(format_time(now_us() + kHourUs));
  permit.set_origin("test.example/ledger");
  permit.set_tree_size(9);
  permit.set_tree_root(ledger::digest_name(ledger::sha256("root")));
  for (const ledger::Manifest& manifest : permitted_) {
    auto& shard = *permit.add_shard();
    shard.set_root(ledger::digest_name(ledger::shard_root(manifest)));
    shard.set_samples(static_cast<uint32_t>(manifest.samples.size()));
    shard.add_licence(std::string(kLicence) + "@1");
    shard.set_valid_from("2020-01-01");
    shard.set_valid_to("2099-12-31");
  }
  permit.add_revoker(ledger::format_verifier_key(licensor_.verifier));
  if (change) change(permit);
  return text;
}

void GateFixture::revoke() {
  ledger::RevocationText text;
  text.mutable_revocation()->set_licence(kLicence);
  text.mutable_revocation()->set_at(format_time(now_us()));
  text.mutable_revocation()->set_reason("test");
  write_file(folder() / "notices" / "one.revocation", sign(text, licensor_));
}

void GateFixture::damage(size_t sample) {
  std::string bytes = read_file(shard());
  const auto& in = manifest_.samples.at(sample);
  bytes.at(in.offset + in.size_bytes / 2) ^= 1;
  write_file(shard(), bytes);
}

std::string sample_video(int which) {
  return read_file(fs::path("train/data") / ("clip" + std::to_string(which) + ".webm"));
}

}  // namespace cleared::train

// Runs that start from weights of elsewhere: refused unless config, permit, trust file and file
// agree; named wherever the checkpoint goes; made again by auditors.
#include <cstring>
#include <optional>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "ledger/attestation.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "tests/train/forgery.h"
#include "tests/train/train_program.h"
#include "train/tensor_index.h"

namespace cleared::train {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

// The file's header, and its bytes after it.
struct File {
  Json header;
  std::string data;
};

File read_weights(const fs::path& path) {
  const std::string bytes = read_file(path);
  uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  return {Json::parse(bytes.substr(8, size)), bytes.substr(8 + size)};
}

std::string file_bytes(const Json& header, const std::string& data) {
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t size = text.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + text + data;
}

// The averaged weights whose names start with `prefix`, as a file of their own, under the names
// that foreign files have. What a test calls foreign is another run's, which is as good.
std::string taken_from(const fs::path& checkpoint, const std::string& prefix) {
  const File file = read_weights(checkpoint / "weights.safetensors");
  Json header = Json::object();
  std::string data;
  for (const auto& [name, entry] : file.header.items()) {
    if (!name.starts_with("ema." + prefix)) continue;
    const uint64_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    header[name.substr(4)] = {{"dtype", entry["dtype"]},
                              {"shape", entry["shape"]},
                              {"data_offsets", {data.size(), data.size() + end - begin}}};
    data += file.data.substr(begin, end - begin);
  }
  return file_bytes(header, data);
}

ledger::Foreign described(const std::string& bytes, ledger::Foreign::Contact contact) {
  ledger::Foreign weights;
  weights.set_weights(ledger::digest_name(ledger::sha256(bytes)));
  weights.set_origin("another run of this test");
  weights.set_licence("CC0-1.0");
  weights.set_contact(contact);
  weights.set_evidence("its own ledger");
  weights.set_at("2026-01-02T03:04:05Z");
  return weights;
}

class ForeignWeights : public TrainRun {
 protected:
  // A run of other seed, whose text encoder is the foreign one; then the fixture is of a config
  // that starts from it. Neither permit nor trust file knows of it yet.
  void SetUp() override {
    TrainRun::SetUp();
    if (IsSkipped()) return;
    std::string other = tiny_config(3);
    other.replace(other.find("seed: 7"), 7, "seed: 8");
    const GateFixture before(other, {sample_video(0), sample_video(1), sample_video(2)});
    const Ended made = run(before, "other");
    ASSERT_EQ(made.code, 0) << made.output;
    bytes_ = taken_from(before.folder() / "other/step-000003", "text.");
    f_.emplace(config("TEXT_ENCODER"),
               std::vector{sample_video(0), sample_video(1), sample_video(2)});
    file_ = f_->folder() / "text.safetensors";
    write_file(file_, bytes_);
    trust_ = read_file(f_->paths().trust);
  }
  std::string config(const std::string& part) const {
    return tiny_config() + "foreign { weights: \"" + digest() + "\" part: " + part + " }\n";
  }
  std::string digest() const { return ledger::digest_name(ledger::sha256(bytes_)); }
  void permit(ledger::Foreign::Contact contact) {
    f_->permit([&](ledger::Permit& permit) { *permit.add_foreign() = described(bytes_, contact); });
  }
  void trust(const std::string& line) { write_file(f_->paths().trust, trust_ + line); }
  std::vector<std::string> file() const { return {"--foreign", file_}; }
  std::string auditor() const {
    const fs::path path = f_->folder() / "auditor.trust";
    write_file(path, read_file(f_->paths().trust) + read_file(f_->folder() / "trainer.pub"));
    return path;
  }
  Ended replay(const std::string& out, const std::vector<std::string>& more) {
    return train(std::vector<std::string>{"replay", f_->folder() / out, "--permit",
                                          f_->paths().permit, "--trust", auditor(), "--shards",
                                          f_->paths().shards, "--curate", CLEARED_CURATE} +
                 more);
  }

  std::string bytes_, trust_;
  fs::path file_;
  std::optional<GateFixture> f_;
};

TEST_F(ForeignWeights, AreRefusedUnlessPermitTrustFileAndFileAgree) {
  const auto refused = [&](const std::string& out, const std::string& rule,
                           const std::vector<std::string>& more) {
    const Ended ended = run(*f_, out, more);
    EXPECT_EQ(ended.code, 3) << rule << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(rule));
    EXPECT_FALSE(fs::exists(f_->folder() / out / "step-000003")) << rule;
  };
  refused("a", "permit_other_foreign", file());  // the permit does not list it
  permit(ledger::Foreign::B);
  refused("b", "foreign_not_allowed", file());  // the default of a node: none
  trust("foreign A\n");
  refused("c", "foreign_not_allowed", file());  // better ones only
  trust("foreign B\n");
  std::string other = bytes_;
  other.back() ^= 1;
  write_file(file_, other);
  refused("d", "foreign_changed", file());
  write_file(file_, bytes_);
  const Ended none = run(*f_, "e");
  EXPECT_EQ(none.code, 78) << none.output;
  EXPECT_THAT(none.output, HasSubstr("--foreign"));
  f_->permit([&](ledger::Permit& permit) {  // more on the permit than in the run
    *permit.add_foreign() = described(bytes_, ledger::Foreign::A);
    *permit.add_foreign() = described("others", ledger::Foreign::A);
  });
  refused("f", "permit_other_foreign", file());
  // And a file that no config names is no start for a run without any.
  f_->adopt(tiny_config(), f_->paths().shards);
  refused("g", "foreign_changed", file());
}

TEST_F(ForeignWeights, WhereTheyMayBeUsedEveryCheckpointSaysSoAndAuditorsStartFromThem) {
  permit(ledger::Foreign::B);
  trust("foreign B\n");
  const Ended done = run(*f_, "run", file() + kTwoRanks);
  ASSERT_EQ(done.code, 0) << done.output;
  EXPECT_THAT(done.output, HasSubstr("foreign weights " + digest()));
  for (const char* step : {"step-000003", "step-000006"}) {
    const fs::path checkpoint = f_->folder() / "run" / step;
    EXPECT_EQ(
        read_weights(checkpoint / "weights.safetensors").header["__metadata__"]["foreign_weights"],
        digest());
    const auto statement = ledger::parse_statement(
        ledger::parse_envelope(read_file(checkpoint / "statement.dsse.json")).payload);
    ASSERT_EQ(statement.foreign_weights.size(), 1u);
    EXPECT_EQ(statement.foreign_weights[0].name, "TEXT_ENCODER");
    EXPECT_EQ(ledger::digest_name(statement.foreign_weights[0].digest), digest());
  }
  // It is what the run began with: that part, and no other.
  const std::string began = read_file(f_->folder() / "run/step0.txt");
  const File seeded = read_weights(file_);
  const auto& entry = seeded.header.at("text.embedding");
  const uint64_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
  EXPECT_THAT(began, HasSubstr(to_hex(ledger::sha256(seeded.data.substr(begin, end - begin))) +
                               " model.text.embedding"));

  EXPECT_EQ(replay("run", file()).code, 0);
  const Ended without = replay("run", {});
  EXPECT_EQ(without.code, 78) << without.output;
  const Ended later = replay("run", {"--from", "3"});  // a checkpoint needs no file
  EXPECT_EQ(later.code, 0) << later.output;
  const std::vector<std::string> step0 = {"step0", f_->folder() / "run", "--trust", auditor()};
  const Ended from_file = train(step0 + file());
  EXPECT_EQ(from_file.code, 0) << from_file.output;
  EXPECT_THAT(from_file.output, HasSubstr("foreign weights " + digest()));
  EXPECT_NE(train(step0).code, 0);

  // A run goes on under a permit that still lists them, and under no other.
  f_->permit();
  EXPECT_EQ(run(*f_, "run", {"--fresh"}).code, 3);
}

// As large models are handed out: the index is what is registered, and what --foreign names.
TEST_F(ForeignWeights, MayLieInSeveralFilesOfAnIndex) {
  const std::string first = "text-00001-of-00002.safetensors",
                    second = "text-00002-of-00002.safetensors";
  TensorIndex index;
  const File all = read_weights(file_);
  index.total_size = all.data.size();
  const auto part = [&](const std::string& name, bool embedding) {
    Json header = Json::object();
    std::string data;
    for (const auto& [tensor, entry] : all.header.items()) {
      if ((tensor == "text.embedding") != embedding) continue;
      const uint64_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
      header[tensor] = entry;
      header[tensor]["data_offsets"] = {data.size(), data.size() + end - begin};
      data += all.data.substr(begin, end - begin);
      index.file_of[tensor] = name;
    }
    const std::string bytes = file_bytes(header, data);
    index.digests[name] = ledger::sha256(bytes);
    return bytes;
  };
  const std::string one = part(first, true), two = part(second, false);
  bytes_ = format_index(index);
  f_.emplace(config("TEXT_ENCODER"),
             std::vector{sample_video(0), sample_video(1), sample_video(2)});
  trust_ = read_file(f_->paths().trust);
  file_ = f_->folder() / "text.safetensors.index.json";
  write_file(file_, bytes_);
  write_file(f_->folder() / first, one);
  permit(ledger::Foreign::B);
  trust("foreign B\n");
  const auto fails = [&](const std::string& out, const std::string& says) {
    const Ended ended = run(*f_, out, file());
    EXPECT_THAT(ended.output, HasSubstr(says));
    return ended.code;
  };
  EXPECT_EQ(fails("a", second), 66);  // a file is not there
  write_file(f_->folder() / second, one);
  EXPECT_EQ(fails("b", second + " is another file than the one whose digest"), 65);
  write_file(f_->folder() / second, two);
  const Ended done = run(*f_, "run", file());
  ASSERT_EQ(done.code, 0) << done.output;
  EXPECT_THAT(done.output, HasSubstr("foreign weights " + digest()));
  const Ended from_files =
      train(std::vector<std::string>{"step0", f_->folder() / "run", "--trust", auditor()} + file());
  EXPECT_EQ(from_files.code, 0) << from_files.output;
  // The files without their index are no start, and one without digests binds nothing.
  file_ = f_->folder() / first;
  EXPECT_EQ(fails("c", "foreign_changed"), 3);
  file_ = f_->folder() / "text.safetensors.index.json";
  Json bare = Json::parse(bytes_);
  bare["metadata"].erase("sha256");
  write_file(file_, bare.dump());
  EXPECT_EQ(fails("d", "in sha256 the digest of every file"), 65);
}

TEST_F(ForeignWeights, ThatACheckpointConcealsAreFoundByReplayAndStep0) {
  permit(ledger::Foreign::A);
  trust("foreign A\n");
  ASSERT_EQ(run(*f_, "run", file() + std::vector<std::string>{"--until", "3"}).code, 0);
  forge(*f_, f_->folder() / "run", 3, [](Forgery& forgery) { forgery.state.clear_foreign(); });
  const Ended audit = replay("run", file());
  EXPECT_NE(audit.code, 0) << audit.output;
  EXPECT_THAT(audit.output, HasSubstr("foreign"));
  f_->release(*ledger::parse_digest_name(state_of(f_->folder() / "run/step-000003").weights()));
  const Ended sampled =
      train({"sample", "--checkpoint", f_->folder() / "run/step-000003", "--release",
             f_->folder() / "a.release", "--trust", f_->paths().trust, "--notices",
             f_->paths().notices, "--out", f_->folder() / "a.gif"});
  EXPECT_EQ(sampled.code, 65) << sampled.output;
  EXPECT_THAT(sampled.output, HasSubstr("foreign weights"));
  const std::vector<std::string> step0 = {"step0",   f_->folder() / "run", "--trust",
                                          auditor(), "--foreign",          file_};
  const Ended damaged = train(step0);
  EXPECT_EQ(damaged.code, 65) << damaged.output;
  EXPECT_THAT(damaged.output, HasSubstr("foreign weights"));
  // The weights file conceals them, too.
  forge(*f_, f_->folder() / "run", 3, [&](Forgery& forgery) {
    forgery.weights = with_header(forgery.weights, "\"foreign_weights\":\"" + digest() + "\"",
                                  "\"foreign_weights\":\"none\"");
  });
  const Ended start = train(step0);
  EXPECT_EQ(start.code, 1) << start.output;
  EXPECT_THAT(start.output, HasSubstr("foreign weights"));
}

TEST_F(ForeignWeights, SamplingAsksTheReleaseAndTheTrustFileOfItsPlace) {
  permit(ledger::Foreign::A);
  trust("foreign A\n");
  ASSERT_EQ(run(*f_, "run", file() + std::vector<std::string>{"--until", "3"}).code, 0);
  const fs::path checkpoint = f_->folder() / "run/step-000003";
  const auto sample = [&](const std::string& rule) {
    const Ended ended =
        train({"sample", "--checkpoint", checkpoint, "--release", f_->folder() / "a.release",
               "--trust", f_->folder() / "trust-release", "--notices", f_->paths().notices, "--out",
               f_->folder() / "a.gif"});
    EXPECT_EQ(ended.code, rule.empty() ? 0 : 3) << rule << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(rule));
  };
  const Digest weights = *ledger::parse_digest_name(state_of(checkpoint).weights());
  f_->release(weights);  // it lists none
  sample("permit_other_foreign");
  trust("");
  f_->release(weights, {described(bytes_, ledger::Foreign::A)});
  sample("foreign_not_allowed");
  trust("foreign A\n");
  f_->release(weights, {described(bytes_, ledger::Foreign::A)});
  sample("");
}

// An autoencoder that began with foreign weights brings them along: the transformer's permit must
// list them, too, though its config does not name them.
TEST_F(TrainRun, ForeignWeightsInAnAutoencoderAreForeignInItsTransformer) {
  const auto without = [](std::string text, const std::string& start) {
    const size_t at = text.find("\n" + start) + 1;
    return text.erase(at, text.find('\n', at) + 1 - at);
  };
  const std::string base = without(without(tiny_config(3), "clip"), "codec") +
                           "clip { width: 32 height: 32 frames: 13 frames_per_second: 16 }\n"
                           "codec { vae { dim: 4 channels: 4 blocks: 1 } }\n";
  std::string vae = base + "stage: AUTOENCODER\n";
  for (const char* part : {"model", "text", "preview"}) vae = without(vae, part);
  vae.replace(vae.find("[GENERATOR, VAE, TEXT_ENCODER]"), 30, "[VAE]");
  GateFixture f(vae, {sample_video(0), sample_video(1), sample_video(2)});
  ASSERT_EQ(run(f, "other").code, 0);
  const std::string bytes = taken_from(f.folder() / "other/step-000003", "");
  const std::string digest = ledger::digest_name(ledger::sha256(bytes));
  write_file(f.folder() / "vae.safetensors", bytes);

  const auto permit = [&] {
    f.permit([&](ledger::Permit& p) { *p.add_foreign() = described(bytes, ledger::Foreign::A); });
  };
  write_file(f.paths().trust, read_file(f.paths().trust) + "foreign A\n");
  f.adopt(vae + "foreign { weights: \"" + digest + "\" part: WHOLE }\n", f.paths().shards);
  permit();
  const Ended trained = run(f, "vae", {"--foreign", f.folder() / "vae.safetensors"});
  ASSERT_EQ(trained.code, 0) << trained.output;

  f.adopt(base, f.paths().shards);
  const std::vector<std::string> with_vae = {"--vae", f.folder() / "vae/step-000003"};
  const Ended refused = run(f, "refused", with_vae);
  EXPECT_EQ(refused.code, 3) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("permit_other_foreign"));
  permit();
  const Ended done = run(f, "run", with_vae + kTwoRanks);
  ASSERT_EQ(done.code, 0) << done.output;
  const State state = state_of(f.folder() / "run/step-000003");
  ASSERT_EQ(state.foreign_size(), 1);
  EXPECT_EQ(state.foreign(0).weights(), digest);
  EXPECT_EQ(state.foreign(0).part(), "codec");

  // Measured and encoded with, they are used as well.
  f.permit();
  write_file(f.folder() / "auditor.trust",
             read_file(f.paths().trust) + read_file(f.folder() / "trainer.pub"));
  const std::vector<std::string> gate = {"--checkpoint", f.folder() / "run/step-000003",
                                         "--permit",     f.paths().permit,
                                         "--trust",      f.folder() / "auditor.trust",
                                         "--shards",     f.paths().shards,
                                         "--notices",    f.paths().notices,
                                         "--curate",     CLEARED_CURATE};
  for (const auto& command :
       {std::vector<std::string>{"eval"},
        std::vector<std::string>{"encode", "--out", f.folder() / "latents"}}) {
    const Ended used = train(command + gate);
    EXPECT_EQ(used.code, 3) << used.output;
    EXPECT_THAT(used.output, HasSubstr("permit_other_foreign"));
  }
}

}  // namespace
}  // namespace cleared::train

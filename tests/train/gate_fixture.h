// A folder with a shard, an approver's key and a signed permit, for tests of what lies behind the
// gate.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "ledger/footage.h"
#include "ledger/gate.h"
#include "ledger/key.h"
#include "ledger/note.h"
#include "ledger/shard.h"
#include "train/check.h"
#include "train/data/config.h"

namespace cleared::train {

// A folder of its own under the system's temporary one, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// The text of a config whose model is as small as it gets.
std::string tiny_config(uint64_t steps = 6, uint32_t batch = 2);

class GateFixture {
 public:
  // Three samples, whose videos and captions are given; a permit for `config` that is good for
  // hours, and for EVALUATE and ENCODE, too.
  GateFixture(const std::string& config, const std::vector<std::string>& videos);

  std::filesystem::path folder() const { return folder_.path(); }
  std::filesystem::path config_path() const { return folder() / "config.textproto"; }
  std::filesystem::path trainer_key() const { return folder() / "trainer.key"; }
  std::filesystem::path shard() const { return folder() / "shards" / "demo-000000.tar"; }
  GatePaths paths() const;
  ledger::GateOptions options() const;
  const ledger::Manifest& manifest() const { return manifest_; }

  // Signs a new permit after `change`, into the same file.
  void permit(const std::function<void(ledger::Permit&)>& change = {});
  // Signs such a permit into the notices folder, as a newer one for a run under way.
  void refresh();
  // Signs a release of these weights (ledger/release.h), FOLDER/a.release, and FOLDER/trust-release
  // that has the approver and the trainer. With a limit it limits how alike clips may be to that.
  void release(const Digest& weights, const std::vector<ledger::Foreign>& foreign = {},
               const ledger::SimilarityLimit* limit = nullptr);
  // Goes over to another config and to the shards in `shards`, with a new permit for both.
  void adopt(const std::string& config, const std::filesystem::path& shards);
  // Puts a signed revocation of the licence where the gate looks.
  void revoke();
  // Changes one byte in the middle of a sample of the shard.
  void damage(size_t sample);

 private:
  ledger::PermitText permit_text(const std::function<void(ledger::Permit&)>& change) const;

  TemporaryFolder folder_;
  LoadedConfig config_;
  ledger::Manifest manifest_;     // of the shard that the fixture made
  std::filesystem::path shards_;  // folder
  std::vector<ledger::Manifest> permitted_;
  ledger::SignerKey approver_, licensor_;
};

// A real clip as `curate shard` packs them: 16 frames of 64x64 VP9, made by
// tests/train/data/make_clip.sh.
std::string sample_video(int which);

}  // namespace cleared::train

#include "ledger/shard_facts.h"

namespace cleared::ledger {

std::vector<Fact> shard_facts(const Manifest& manifest, const Digest& root) {
  std::vector<Fact> facts;
  ShardRecord& record = *facts.emplace_back().mutable_shard();
  record.set_root(std::string(root.text()));
  record.set_name(manifest.name);
  record.set_digest(std::string(manifest.digest.text()));
  record.set_size_bytes(manifest.size_bytes);
  record.set_samples(static_cast<uint32_t>(manifest.samples.size()));
  for (const std::string& licence : manifest.licences) record.add_licence(licence);
  for (size_t i = 0; i < manifest.samples.size(); ++i) {
    const ManifestSample& from = manifest.samples[i];
    SampleRecord& sample = *facts.emplace_back().mutable_sample();
    sample.set_shard(std::string(root.text()));
    sample.set_index(static_cast<uint32_t>(i));
    sample.set_key(from.key);
    sample.set_digest(std::string(from.digest.text()));
    sample.set_clip(std::string(from.clip.text()));
    sample.set_duration_us(from.duration_us);
    sample.set_size_bytes(from.size_bytes);
  }
  return facts;
}

}  // namespace cleared::ledger

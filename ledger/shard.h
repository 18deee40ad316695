// Shards: immutable WebDataset tars, and the manifest beside each that names every sample by digest
// (docs/formats/shard.md). The tar is ustar, written so that the same samples give the same bytes
// everywhere: mtime 0, uid and gid 0, mode 0644, members of a sample adjacent and sorted by name.
//
// A sample's bytes are its tar members, headers and padding included: one contiguous range, hashed
// as it lies in the file. One writer per file; reading is safe from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"

namespace cleared::ledger {

struct ManifestSample {
  std::string key;  // WebDataset key: the part of the member names before the first dot
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
  Digest digest;  // of bytes [offset, offset + size_bytes)
  Digest clip;    // id of the clip it was cut from
  uint64_t duration_us = 0;
};

struct Manifest {
  std::string name;  // of the tar, without folder
  Digest digest;     // of the whole tar
  uint64_t size_bytes = 0;
  std::vector<std::string> licences;  // "id@version", sorted
  std::vector<ManifestSample> samples;
};

// "KEY DIGEST CLIP DURATION_US SIZE_BYTES\n", digests in hex: the leaf of a sample. Parsing leaves
// the offset at 0.
std::string sample_line(const ManifestSample& sample);
// The same of its words as they stand, added to `text`.
void append_sample_line(std::string& text, std::string_view key, std::string_view digest,
                        std::string_view clip, std::string_view duration_us,
                        std::string_view size_bytes);
ManifestSample parse_sample_line(std::string_view line, std::string_view where);

// Merkle root (RFC 6962) over one leaf a sample; what approvals and permits name.
Digest shard_root(const Manifest& manifest);
// The same from the lines, each without the newline that lies behind it.
Digest lines_root(std::span<const std::string_view> lines);

// Text form, strict: parse accepts exactly what format writes; `where` names the file in errors.
// With `root`, it also gets the shard's root, hashed from the lines as they stand: on all cores,
// for a run waits for it.
std::string format_manifest(const Manifest& manifest);
Manifest parse_manifest(std::string_view text, std::string_view where, Digest* root = nullptr);
// FOLDER/NAME.tar has its manifest at FOLDER/NAME.tar.manifest.
Manifest read_manifest(const std::filesystem::path& tar_path, Digest* root = nullptr);

struct SampleMembers {
  std::string key;
  std::map<std::string, std::string> members;  // extension ("webm", "json", "txt") to bytes
  Digest clip;
  uint64_t duration_us = 0;
};

// Writes FOLDER/`name` and its manifest, both whole or absent, and returns the manifest.
Manifest write_shard(const std::filesystem::path& folder, const std::string& name,
                     const std::vector<SampleMembers>& samples, std::vector<std::string> licences);

// Splits a sample's bytes into members by extension. Error{corrupt} on anything write_shard would
// not have written.
std::map<std::string, std::string> parse_sample(std::string_view bytes, std::string_view key);

}  // namespace cleared::ledger

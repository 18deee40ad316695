// The folders that a run writes: checkpoints whole or not at all, checked by digest, and nothing
// ever overwritten (docs/formats/checkpoint.md). Knows files, not tensors.
//
//   RUN/run.textproto          what the run is
//   RUN/step0.txt              digests of the tensors that it began with
//   RUN/step-000200/           a checkpoint; its SHA256SUMS is written last
//   RUN/superseded-1/          checkpoints that a restart from an earlier step set aside
//   RUN/outbox/                bundles for `ledger append`; what they say was consumed stays so
//
// Only rank 0 calls it, from one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "train/tensor_index.h"

namespace cleared {
class Error;
}

namespace cleared::train {

// In RUN: the tensors that the run began with, in the form of tensors.txt of a checkpoint.
inline constexpr const char* kStep0File = "step0.txt";

// In RUN: the launch (launch_name() in train/environment.h) that was last told where to begin, once
// it has begun there. Its restarts go on.
inline constexpr const char* kLaunchFile = "launch.txt";

// In RUN: held by the one process that writes there.
inline constexpr const char* kLockFile = "lock";

// What tells this folder from a copy of it: which file the lock is, and when it was made, as the
// file system says. The same for as long as the folder stays where it is. Error{io}, also where it
// has no lock.
std::string place_of(const std::filesystem::path& run);

std::filesystem::path step_folder(const std::filesystem::path& run, uint64_t step);

// Of the checkpoints that are there, ascending; whether they are good is not asked.
std::vector<uint64_t> checkpoint_steps(const std::filesystem::path& run);

// SHA-256 of a file of any size. Error{io} or {not_found}.
Digest digest_of_file(const std::filesystem::path& path);

struct FileDigest {
  std::string name;
  Digest digest;
};

// What SHA256SUMS of a checkpoint lists. Error{corrupt}.
std::vector<FileDigest> read_sums(const std::filesystem::path& folder);

// The same, when all those files are there, and neither there nor in the list is one that a
// checkpoint does not have. Error{corrupt} names the checkpoint and the file, Error{not_found} a
// folder that is not there.
std::vector<FileDigest> listed_files(const std::filesystem::path& folder);

// Error{corrupt} unless `found`, of the bytes of that file, is the digest that is listed.
void check_digest(const std::filesystem::path& folder, const FileDigest& listed,
                  const Digest& found);

// What stands before the names of the files that tensors are in: one, or an index and what it names
// (train/tensor_index.h).
inline constexpr const char* kWeightsStem = "weights";
inline constexpr const char* kOptimiserStem = "optimizer";

// Whether a file of this name holds tensors, or is the index of such.
bool is_of_tensors(std::string_view name);

// Of the files listed, the one whose digest stands for the tensors of `stem`. Error{corrupt} when
// there are both, or neither, or files of an index that is not there.
FileDigest tensors_file(const std::filesystem::path& folder, const std::vector<FileDigest>& listed,
                        std::string_view stem);

// Of `text`, that index's. Error{corrupt} unless the files that it names are those that are listed,
// with these digests.
TensorIndex listed_index(const std::filesystem::path& folder, const std::vector<FileDigest>& listed,
                         std::string_view stem, std::string_view text);

// All of this, for every file.
void verify_checkpoint(const std::filesystem::path& folder);

// The checkpoint to go on from: the newest one, or the one of step `from`. None: the run starts at
// step 0. Whether it is good is found out by whoever reads it.
std::optional<uint64_t> find_checkpoint(const std::filesystem::path& run,
                                        std::optional<uint64_t> from);

// Throws that the checkpoint of `step` is damaged, and the last good one before it.
[[noreturn]] void name_last_good(const std::filesystem::path& run, uint64_t step,
                                 const Error& damage);

// Moves every checkpoint after `step` into RUN/superseded-N; returns how many there were.
size_t set_aside_after(const std::filesystem::path& run, uint64_t step);
// The same with everything that the run wrote, its outbox included: for a fresh start.
void set_aside_all(const std::filesystem::path& run);
// RUN/superseded-N, all of them.
std::vector<std::filesystem::path> set_aside_folders(const std::filesystem::path& run);

// Deletes all but the newest `keep` checkpoints, and those of a multiple of `keep_every` steps. 0
// keeps all, and keeps none besides. Each is there whole or not at all; a log line says which could
// not be deleted.
void prune(const std::filesystem::path& run, size_t keep, uint64_t keep_every = 0);
// Deletes what was being written or deleted when a run was killed.
void sweep(const std::filesystem::path& run);

// A checkpoint folder in the making. Gone again unless commit() was reached.
class CheckpointWriter {
 public:
  CheckpointWriter(const std::filesystem::path& run, uint64_t step);
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  Digest write(std::string_view name, std::string_view text);
  // For a file that something else wrote into path().
  void add(std::string_view name, const Digest& digest);
  const std::filesystem::path& path() const { return temporary_; }

  const std::vector<FileDigest>& files() const { return files_; }  // so far

  // SHA256SUMS, fsync, rename: after it returns the checkpoint is there and will be after a power
  // cut.
  std::filesystem::path commit();

 private:
  std::filesystem::path final_, temporary_;
  std::vector<FileDigest> files_;
  bool committed_ = false;
};

}  // namespace cleared::train

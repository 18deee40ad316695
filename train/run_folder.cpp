#include "train/run_folder.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/log.h"
#include "ledger/digest.h"

namespace cleared::train {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kSums = "SHA256SUMS";
constexpr std::string_view kPartial = ".partial-";  // being written
constexpr std::string_view kPruned = ".pruned-";    // being deleted
constexpr std::string_view kSuperseded = "superseded-";
constexpr std::string_view kStep = "step-";
constexpr uint64_t kIndexLimit = 64 << 20;

// All that a checkpoint may hold beside its tensors (train/checkpoint.h).
constexpr std::string_view kFiles[] = {"config.textproto", "tensors.txt",        "steps.txt",
                                       "totals.txt",       "places.txt",         "receipt.note",
                                       "state.textproto",  "statement.dsse.json"};
constexpr std::string_view kStems[] = {kWeightsStem, kOptimiserStem};

std::optional<uint64_t> step_of(const std::string& name) {
  const std::string digits = name.starts_with(kStep) ? name.substr(kStep.size()) : "";
  const bool number = digits.size() >= 6 && digits.size() <= 18 &&
                      std::all_of(digits.begin(), digits.end(),
                                  [](unsigned char c) { return std::isdigit(c) != 0; });
  if (!number) return std::nullopt;
  return std::stoull(digits);
}

void sync(const fs::path& folder) {
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) {
    throw Error(Errc::io, "sync ", folder.string(), ": ", std::generic_category().message(errno));
  }
}

template <class... How>
[[noreturn]] void damaged(const fs::path& folder, const How&... how) {
  throw Error(Errc::corrupt, "checkpoint ", folder.string(), ": ", how...);
}

bool lists(const std::vector<FileDigest>& files, std::string_view name) {
  return std::any_of(files.begin(), files.end(),
                     [&](const FileDigest& file) { return file.name == name; });
}

void rename_folder(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) {
    throw Error(Errc::io, "rename ", from.string(), " to ", to.string(), ": ", error.message());
  }
}

fs::path new_superseded_folder(const fs::path& run) {
  for (int n = 1;; ++n) {
    fs::path folder = run / (std::string(kSuperseded) + std::to_string(n));
    if (fs::exists(folder)) continue;
    make_folders(folder);
    return folder;
  }
}

}  // namespace

std::string place_of(const fs::path& run) {
  const fs::path lock = run / kLockFile;
  struct statx file {};
  if (::statx(AT_FDCWD, lock.c_str(), 0, STATX_INO | STATX_BTIME, &file) != 0) {
    throw Error(Errc::io, "look at ", lock.string(), ": ", std::generic_category().message(errno));
  }
  std::string place = std::to_string(file.stx_ino);
  if ((file.stx_mask & STATX_BTIME) != 0) {  // not every file system knows
    place +=
        " " + std::to_string(file.stx_btime.tv_sec) + " " + std::to_string(file.stx_btime.tv_nsec);
  }
  return place;
}

fs::path step_folder(const fs::path& run, uint64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%06llu", static_cast<unsigned long long>(step));
  return run / name;
}

std::vector<uint64_t> checkpoint_steps(const fs::path& run) {
  std::vector<uint64_t> steps;
  if (!fs::exists(run)) return steps;
  for (const auto& entry : fs::directory_iterator(run)) {
    if (const auto step = step_of(entry.path().filename().string())) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

Digest digest_of_file(const fs::path& path) {
  const Fd fd = open_read(path);
  ledger::Sha256 hash;
  std::vector<std::byte> buffer(1 << 20);
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      throw Error(Errc::io, "read ", path.string(), ": ", std::generic_category().message(errno));
    }
    if (n == 0) return hash.finish();
    hash.update(std::span(buffer.data(), static_cast<size_t>(n)));
  }
}

// Lines of "HEX  NAME", names without folders.
std::vector<FileDigest> read_sums(const fs::path& folder) {
  std::string text;
  try {
    text = read_file(folder / kSums, 1 << 20);
  } catch (const Error& error) {
    damaged(folder, error.what());
  }
  std::vector<FileDigest> sums;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const auto digest = line.size() > 66 ? parse_digest(line.substr(0, 64)) : std::nullopt;
    if (end == std::string_view::npos || !digest || line.substr(64, 2) != "  " ||
        line.find('/') != std::string_view::npos || lists(sums, line.substr(66))) {
      damaged(folder, std::string(kSums) + " is not as a run writes it");
    }
    sums.push_back({std::string(line.substr(66)), *digest});
    rest.remove_prefix(end + 1);
  }
  return sums;
}

std::vector<FileDigest> listed_files(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    throw Error(Errc::not_found, "checkpoint ", folder.string(), ": no such folder");
  }
  if (const auto steps = checkpoint_steps(folder); !steps.empty()) {
    throw Error(Errc::not_found, "checkpoint ", folder.string(),
                ": it is a run's folder: name one of its checkpoints, of which the newest is ",
                step_folder(folder, steps.back()).string());
  }
  auto sums = read_sums(folder);
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name != kSums && !lists(sums, name)) damaged(folder, name + " does not belong to it");
  }
  for (const auto& [name, digest] : sums) {
    const bool known = std::find(std::begin(kFiles), std::end(kFiles), name) != std::end(kFiles);
    if (!known && !is_of_tensors(name)) {
      damaged(folder, name + " does not belong to it");
    }
    if (!fs::exists(folder / name)) damaged(folder, name + " is missing");
  }
  return sums;
}

void check_digest(const fs::path& folder, const FileDigest& listed, const Digest& found) {
  if (found == listed.digest) return;
  damaged(folder, listed.name + " was changed: its digest is not the one in " + std::string(kSums));
}

bool is_of_tensors(std::string_view name) {
  return std::any_of(std::begin(kStems), std::end(kStems), [&](std::string_view stem) {
    return name == whole_name(stem) || name == index_name(stem) || is_part_name(name, stem);
  });
}

FileDigest tensors_file(const fs::path& folder, const std::vector<FileDigest>& listed,
                        std::string_view stem) {
  const std::string whole = whole_name(stem), index = index_name(stem);
  std::vector<FileDigest> found;
  std::string part;
  for (const FileDigest& file : listed) {
    if (file.name == whole || file.name == index) found.push_back(file);
    if (is_part_name(file.name, stem)) part = file.name;
  }
  if (found.empty()) damaged(folder, part.empty() ? whole : index, " is not listed");
  if (found.size() > 1) damaged(folder, index, " does not belong beside ", whole);
  if (found[0].name == whole && !part.empty()) damaged(folder, part, " does not belong to it");
  return found[0];
}

TensorIndex listed_index(const fs::path& folder, const std::vector<FileDigest>& listed,
                         std::string_view stem, std::string_view text) {
  const std::string name = index_name(stem);
  TensorIndex index = parse_index(text, stem, "checkpoint " + (folder / name).string());
  for (const FileDigest& file : listed) {
    if (!is_part_name(file.name, stem)) continue;
    const auto named = index.digests.find(file.name);
    if (named == index.digests.end()) {
      damaged(folder, file.name, " is not one that ", name, " names");
    }
    if (named->second != file.digest) {
      damaged(folder, file.name, " was changed: its digest is not the one in ", name);
    }
  }
  for (const auto& [part, digest] : index.digests) {
    if (!lists(listed, part)) damaged(folder, part, " is missing, and ", name, " names it");
  }
  return index;
}

void verify_checkpoint(const fs::path& folder) {
  const auto listed = listed_files(folder);
  for (const FileDigest& file : listed) {
    check_digest(folder, file, digest_of_file(folder / file.name));
  }
  for (const std::string_view stem : kStems) {
    const std::string name = tensors_file(folder, listed, stem).name;
    if (name == index_name(stem)) {
      listed_index(folder, listed, stem, read_file(folder / name, kIndexLimit));
    }
  }
}

std::optional<uint64_t> find_checkpoint(const fs::path& run, std::optional<uint64_t> from) {
  std::vector<uint64_t> steps = checkpoint_steps(run);
  if (from == uint64_t{0}) return std::nullopt;
  if (from && std::find(steps.begin(), steps.end(), *from) == steps.end()) {
    throw Error(Errc::not_found, "checkpoint ", step_folder(run, *from).string(),
                ": no such folder; leave out --from to go on from the newest one");
  }
  if (from) std::erase_if(steps, [&](uint64_t step) { return step > *from; });
  if (steps.empty()) return std::nullopt;
  return steps.back();
}

void name_last_good(const fs::path& run, uint64_t step, const Error& damage) {
  std::vector<uint64_t> steps = checkpoint_steps(run);
  std::erase_if(steps, [&](uint64_t other) { return other >= step; });
  for (auto before = steps.rbegin(); before != steps.rend(); ++before) {
    try {
      verify_checkpoint(step_folder(run, *before));
    } catch (const Error&) {
      continue;
    }
    throw Error(Errc::corrupt, damage.what(), "; the last good one is ",
                step_folder(run, *before).string(), ": go on from it with --from ", *before);
  }
  throw Error(Errc::corrupt, damage.what(),
              "; there is no good one before it: start again with --fresh");
}

size_t set_aside_after(const fs::path& run, uint64_t step) {
  std::vector<uint64_t> steps = checkpoint_steps(run);
  std::erase_if(steps, [&](uint64_t other) { return other <= step; });
  if (steps.empty()) return 0;
  const fs::path folder = new_superseded_folder(run);
  for (const uint64_t other : steps) {
    const fs::path path = step_folder(run, other);
    rename_folder(path, folder / path.filename());
  }
  sync(run);
  return steps.size();
}

void set_aside_all(const fs::path& run) {
  std::vector<fs::path> mine;
  if (!fs::exists(run)) return;
  for (const auto& entry : fs::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kSuperseded) && name != kLockFile) mine.push_back(entry.path());
  }
  if (mine.empty()) return;
  const fs::path folder = new_superseded_folder(run);
  for (const fs::path& path : mine) rename_folder(path, folder / path.filename());
  sync(run);
}

std::vector<fs::path> set_aside_folders(const fs::path& run) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(run)) {
    if (entry.path().filename().string().starts_with(kSuperseded)) out.push_back(entry.path());
  }
  return out;
}

void prune(const fs::path& run, size_t keep, uint64_t keep_every) {
  const std::vector<uint64_t> steps = checkpoint_steps(run);
  if (keep == 0 || steps.size() <= keep) return;
  for (size_t i = 0; i < steps.size() - keep; ++i) {
    if (keep_every != 0 && steps[i] % keep_every == 0) continue;
    const fs::path folder = step_folder(run, steps[i]);
    const fs::path hidden = run / (std::string(kPruned) + folder.filename().string());
    std::error_code error;
    fs::rename(folder, hidden, error);
    if (!error) fs::remove_all(hidden, error);
    if (!error) continue;
    log(Level::warn, "run.prune", {{"folder", folder.string()}, {"kept", error.message()}});
  }
}

void sweep(const fs::path& run) {
  std::error_code error;
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator(run, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kPartial) || name.starts_with(kPruned)) left.push_back(entry.path());
  }
  for (const fs::path& path : left) {
    fs::remove_all(path, error);
    if (!error) continue;
    log(Level::warn, "run.sweep", {{"folder", path.string()}, {"kept", error.message()}});
  }
}

CheckpointWriter::CheckpointWriter(const fs::path& run, uint64_t step)
    : final_(step_folder(run, step)),
      temporary_(run / (std::string(kPartial) + final_.filename().string())) {
  if (fs::exists(final_)) {
    throw Error(Errc::io, "checkpoint ", final_.string(),
                ": is there already, and is never replaced");
  }
  make_folders(temporary_);
}

CheckpointWriter::~CheckpointWriter() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(temporary_, ignored);
}

Digest CheckpointWriter::write(std::string_view name, std::string_view text) {
  write_file(temporary_ / name, text);
  const Digest digest = ledger::sha256(text);
  add(name, digest);
  return digest;
}

void CheckpointWriter::add(std::string_view name, const Digest& digest) {
  files_.push_back({std::string(name), digest});
}

fs::path CheckpointWriter::commit() {
  std::string sums;
  for (const auto& [name, digest] : files_) sums += to_hex(digest) + "  " + name + "\n";
  write_file(temporary_ / kSums, sums);
  sync(temporary_);
  rename_folder(temporary_, final_);
  committed_ = true;
  sync(final_.parent_path());
  return final_;
}

}  // namespace cleared::train

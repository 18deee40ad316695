// What a run tells the ledger, as bundles in RUN/outbox that `ledger append` takes. A bundle is a
// function of the files of the run, but for the machine time, so it is written again when a crash
// lost it. Rank 0.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace cleared::ledger {
struct Verdict;
}

namespace cleared::train {

class RunFile;

// RUN/run.textproto.
void write_run_file(const std::filesystem::path& run, const RunFile& file);
RunFile read_run_file(const std::filesystem::path& run);  // Error{not_found} or {corrupt}

// Where the receipts of this run that lie in RUN/outbox end. What cannot be read there counts as
// not delivered.
std::set<uint64_t> delivered_steps(const std::filesystem::path& run, const std::string& name);

// A run receipt that lies in an outbox of the run's folder, those that were set aside included.
struct ToldReceipt {
  std::string run;
  uint64_t end_step = 0;
  std::string permit, previous, consumed_root;  // digests, as the receipt has them
  std::filesystem::path bundle;                 // that also has what was consumed
};
// By the digest of the receipt.
std::map<std::string, ToldReceipt> told_receipts(const std::filesystem::path& run);

// What the run told the ledger about itself, where that lies in RUN/outbox.
std::optional<RunFile> delivered_run(const std::filesystem::path& run, const std::string& name);

// The run, the receipt that ends at this checkpoint, what it consumed, and the checkpoint. The
// machine time is of whoever has just made the span; when a crash lost the bundle it is not known,
// and one that the ledger has already stays.
std::filesystem::path deliver_checkpoint(const std::filesystem::path& run,
                                         const std::filesystem::path& checkpoint,
                                         std::optional<uint64_t> machine_us = std::nullopt);

// The gate's no. `subject` is what it was asked about: a path, or a digest in hex.
std::filesystem::path deliver_refusal(const std::filesystem::path& run, const std::string& subject,
                                      const ledger::Verdict& verdict);

}  // namespace cleared::train

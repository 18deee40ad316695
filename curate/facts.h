// From what a worker measured to what the ledger records. Pure but for reading the ledger: that is
// for one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "curate/captions.h"
#include "curate/dedup.h"
#include "curate/delivery.h"
#include "curate/worker.h"
#include "ledger/record.pb.h"
#include "ledger/rights.h"

namespace cleared::curate {

class Analysis;
class Config;
struct FaceCascades;
class Limits;

// A source as delivered and judged, before anything is known of its content.
struct JudgedSource {
  std::string path;
  Digest digest;
  uint64_t size_bytes = 0;
  ledger::SourceVerdict rights;
  Caption caption;
  std::vector<SaidClearances> clearances;
};

// Error{corrupt} when the answer of a worker contradicts itself.
void check_analysis(const Analysis& analysis);
// What a worker makes of a source, checked. Throws as run_worker(), check_analysis() and
// require_unchanged() do.
Analysis analyse_in_worker(const OpenedSource& source, const Limits& limits,
                           const WorkerOptions& options,
                           std::optional<uint64_t> keyframes_every_us = {},
                           const FaceCascades* faces = nullptr);
// The same for times, fingerprints and looks alone; the error begins with `what`.
void check_prints(const Analysis& analysis, std::string_view what);

std::vector<Fingerprint> prints_of(const Analysis& analysis);  // one a frame
Footage footage_of(const Digest& digest, const Analysis& analysis);

// All of a source that is known without the others: from a worker's answer, on any thread.
struct MeasuredSource {
  Footage footage;
  std::string looks, pictures;      // content of the files beside the ledger; pictures may be empty
  std::string notes, problem;       // as in Analysis
  std::vector<ledger::Fact> facts;  // SourceRecord, fingerprints, measures, clips
  std::vector<std::vector<ledger::Fact>> findings;  // said and found of each clip
};
MeasuredSource measure_source(const JudgedSource& source, const Analysis& analysis,
                              const Config& config);

// Whose footage is this? The licensors of the earlier source decide between "duplicate" (the same
// licensor sent it again) and "conflict" (two licensors claim it).
struct FoundMatch {
  Match match;
  Digest of;
  std::string of_path;
  bool conflict = false;
  uint64_t of_duration_us = UINT64_MAX;
};

// Somebody else's sound under other pictures: a source of another licensor, or a protected work.
struct FoundSound {
  Match match;
  std::string of;  // whose, for people
};

// The facts of `measured` with what the others make of them: its findings behind its clips, and a
// DuplicateRecord a match.
std::vector<ledger::Fact> source_facts(const MeasuredSource& measured,
                                       const std::vector<FoundMatch>& matches,
                                       const std::vector<FoundSound>& sounds);

// The licence's word that music is cleared is not about somebody else's: unknown, until a person
// looks.
ledger::ClipFinding sound_finding(const FoundSound& sound);
ledger::Fact clearance_fact(const Digest& clip, const ledger::ClipFinding& finding,
                            std::string_view pictures);

ledger::Fact refusal_fact(std::string_view act, std::string_view path, const Digest& digest,
                          std::string_view rule, std::string_view fact);

// Signs the tree head with `key`, or with the key that lies beside the ledger; without either,
// nothing is signed.
void sign_if_keyed(ledger::Store& store, const std::filesystem::path& key);

// What is kept beside the ledger, LEDGER.index: the runs of the search and the looks of each source
// (docs/formats/index.md). The ledger can do without; what is damaged there is logged and made
// again.
std::filesystem::path index_folder(const std::filesystem::path& ledger);

// Every fingerprint of the ledger, sources in the order in which they were recorded.
DuplicateIndex read_index(const ledger::Store& store, Runs runs = Runs::read);

}  // namespace cleared::curate

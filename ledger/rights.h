// What the ledger says about footage: which licences cover a source, and what they allow. A
// snapshot, taken once per command from a ledger that has just been verified, so that an edited
// table cannot say yes. One thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ledger/gate.h"
#include "ledger/store.h"

namespace cleared::ledger {

// Between the path and the digest in the subject of a refusal of a file: "PATH sha256:HEX".
inline constexpr std::string_view kDigestMark = " sha256:";
// Such a subject taken apart at its last mark, for a file's name may hold one, too: who writes a
// path into a subject puts the digest of that file behind it. Another subject is all path.
struct RefusedFile {
  std::string path, digest;
};
RefusedFile refused_file(const std::string& subject);

struct SourceVerdict {
  Verdict verdict;
  std::vector<std::string> licences;  // "id@version" of every licence that covers it, sorted
  std::string licensor;               // of them all
};

// Another source of the same licensor, of which a span shows what one of a source that came before
// it shows: found when it was ingested (view near_copy).
struct NearCopy {
  uint64_t seq = 0;  // its record
  std::string path;
  Digest digest;
};

class Rights {
 public:
  // Error{corrupt} when the tables do not agree with the log. `day` is a later day to judge for,
  // "2026-01-31"; empty, or earlier than it is: today.
  explicit Rights(const Store& store, std::string_view day = {});

  // May this file, as delivered, be used so now? `path` is its path in the delivery. Every licence
  // that covers it must say yes: what is derived from several inherits the strictest. With the path
  // of a source on record, where a licence covers it, every licence that covers another path by
  // which its bytes came must, too. Marks on record for these bytes count always; `marks` are those
  // that are not on record yet. `findings` and `copies` are of a clip of it: every
  // licence that covers one of the copies must say yes, too, and none gives what it has not itself;
  // marks on record for a copy count like its own.
  SourceVerdict judge_source(std::string_view path, const Digest& digest, const Act& act,
                             std::span<const Mark> marks = {},
                             std::span<const ClipFinding> findings = {},
                             std::span<const NearCopy* const> copies = {}) const;
  SourceVerdict judge_source(std::string_view path, const Digest& digest, Use use) const {
    return judge_source(path, digest, Act{use});
  }

  // "id@version" of every licence that covers these bytes at this path alone, sorted.
  std::vector<std::string> licences_at(std::string_view path, const Digest& digest) const;

  // Sources that show what this span of a source shows; none for most.
  std::vector<const NearCopy*> copies_of(const Digest& source, uint64_t start_us,
                                         uint64_t end_us) const;

  // What is on record about a clip, with what reviews made of it; empty for most. `id` in hex.
  std::span<const ClipFinding> findings_of(std::string_view id) const;
  // Was the document of some licence on record erased?
  bool lacks_documents() const { return lacks_documents_; }

  // The terms of a licence that is in the ledger, newest version of its id; null when there is
  // none.
  const LicenceText* terms_of(std::string_view ref) const;
  const std::string& day() const { return day_; }

 private:
  struct Entry {
    std::string ref;
    std::string revoked;  // why, or empty
    bool readable = true;
    LicenceText terms;
  };
  // A source whose bytes came by other paths, too.
  struct Paths {
    struct Other {
      std::string path;
      bool is_claim = false;  // as in OtherPath (ledger/coverage.h)
    };
    std::string of_source;
    std::vector<Other> others;
  };
  struct CopiedSpan {
    uint64_t start_us = 0, end_us = 0;
    const NearCopy* copy = nullptr;
  };
  void read_copies(const Store& store);
  void read_findings(const Store& store);
  void read_paths(const Store& store);
  const std::vector<Paths::Other>* other_paths(std::string_view path, const Digest& digest) const;
  // Of the first licence that covers these bytes at this path alone; empty: none does.
  const std::string& licensor_at(std::string_view path, const Digest& digest) const;

  std::vector<Entry> licences_;
  std::map<Digest, Paths> paths_;
  std::map<uint64_t, NearCopy> copies_;                          // by record
  std::map<Digest, std::vector<CopiedSpan>> copied_;             // by the source that came before
  std::map<std::string, std::vector<Mark>, std::less<>> marks_;  // by digest, hex
  std::map<std::string, std::vector<ClipFinding>, std::less<>> findings_;  // by clip, hex
  std::string day_;
  bool lacks_documents_ = false;
};

// Number of the record of the shard with this root, hex. Error{not_found} when there is none.
uint64_t shard_record(const Store& store, const std::string& root);

// The samples of the shard that is record `shard`, as recorded, in order; their offsets are 0.
Manifest recorded_samples(const Store& store, uint64_t shard);

// A shard as the ledger knows it, judged for an act: complete, not revoked, every source allowed.
struct ShardStanding {
  Verdict verdict;
  uint64_t seq = 0;  // its record
  std::string root;  // hex
  uint32_t samples = 0;
  std::set<std::string> licences;    // "id@version"
  std::string valid_from, valid_to;  // the strictest dates
  // Whose its samples are, in their order: a licensor, and how many in a row.
  std::vector<std::pair<std::string, uint32_t>> parts;
};
ShardStanding judge_shard(const Store& store, const Rights& rights, const std::string& root,
                          const Act& act);
// The same of several, in their order, on all cores, each as the file has it when its turn comes.
std::vector<ShardStanding> judge_shards(const Store& store, const Rights& rights,
                                        std::span<const std::string> roots, const Act& act);

// May these weights be released, or generate, as `act` says? Every source that they and the
// checkpoints before them consumed must be allowed it, for the components it was consumed for, and
// be claimed by one licensor, no shard that they read be revoked, and the model line be the one
// that their run was permitted for. `seq` is the record of the checkpoint.
struct CheckpointStanding {
  Verdict verdict;
  uint64_t sources = 0;
  std::set<std::string> licences;  // "id@version"
  std::vector<Foreign> foreign;    // weights from elsewhere, of all permits of its line
  // All that were by then, "sha256:HEX": weights that are cleared consumed none of them.
  std::vector<std::string> revoked_shards;
  std::string last_day;                  // on which the terms allow it; empty: they set none
  std::vector<uint64_t> consumed;        // records of the sources
  std::optional<double> similarity_max;  // the strictest, where a licence limits it for this use
};
// `worst_foreign` is the worst contact class of foreign weights allowed, a Foreign::Contact; 0:
// none. `extraction` is the test of these weights that a licence may ask for.
CheckpointStanding judge_checkpoint(const Store& store, const Rights& rights, uint64_t seq,
                                    const Act& act, uint32_t worst_foreign = 0,
                                    const std::optional<ExtractionTest>& extraction = {});

}  // namespace cleared::ledger

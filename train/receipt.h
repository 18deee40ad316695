// What a run consumed between two checkpoints, and the run receipt that says so
// (docs/formats/receipt.md): a line for every step, the totals by sample, their Merkle roots, and
// the note that the trainer's key signs. Pure; one thread per Span.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"

namespace cleared::ledger {
class Fact;
class Gate;
struct SignerKey;
}  // namespace cleared::ledger

namespace cleared::train {

struct StepFacts {
  uint64_t step = 0;
  float loss = 0;               // mean over the batch
  float gradient_norm = 0;      // before clipping
  bool applied = true;          // false: the gradient was an outlier, so the weights stayed
  std::vector<Digest> samples;  // in slot order, over all ranks
};

// Where a sample lies: what a span consumed is told by shard. Of several permitted shards with the
// same sample the first one counts.
struct Place {
  Digest shard;  // root
  uint32_t index = 0;
  uint64_t duration_us = 0;
  bool operator==(const Place&) const = default;
};
using Places = std::map<Digest, Place>;
constexpr const char* kPlacesFile = "places.txt";  // of a checkpoint
Places places_of(const ledger::Gate& gate);
// The line that says it, without its newline (docs/formats/receipt.md).
std::string step_line(const StepFacts& facts);
std::string codec_line(std::span<const Digest> samples);

// The steps since the last checkpoint.
class Span {
 public:
  // Places of all samples that will be consumed.
  Span(uint64_t first_step, std::shared_ptr<const Places> places)
      : first_step_(first_step), end_step_(first_step), places_(std::move(places)) {}

  // The samples that the codec was fitted to: once, before step 0. Each counts as one pass.
  void codec(std::span<const Digest> samples);
  // The next step, Error{usage} when it is another one.
  void step(const StepFacts& facts);

  uint64_t first_step() const { return first_step_; }
  uint64_t end_step() const { return end_step_; }
  bool empty() const { return lines_.empty(); }

  struct Consumed {
    uint32_t passes = 0;
    uint64_t first_step = 0;  // the first of the span that consumed it
  };
  const std::map<Digest, Consumed>& consumed() const { return consumed_; }
  const Place& place(const Digest& sample) const { return places_->at(sample); }
  // Facts of what was consumed, in the order of docs/formats/receipt.md.
  std::vector<ledger::Fact> facts(const std::string& run) const;
  uint64_t sample_us() const;  // passes times duration

  // Wall time of the span times machines; none until it is said.
  void spent(uint64_t machine_us) { machine_us_ = machine_us; }
  std::optional<uint64_t> machine_us() const { return machine_us_; }

  Digest steps_root() const;                           // one leaf a line, without its newline
  Digest consumed_root(const std::string& run) const;  // one leaf a serialised record
  std::string text() const;                            // the lines, as a checkpoint keeps them
  std::string places_text() const;  // of what was consumed: digest, shard, index, microseconds

 private:
  void consume(const Digest& sample, uint64_t step);

  uint64_t first_step_;
  uint64_t end_step_;
  std::vector<std::string> lines_;
  std::map<Digest, Consumed> consumed_;
  std::shared_ptr<const Places> places_;
  std::optional<uint64_t> machine_us_;
};

// Takes exactly what text() writes, with the line of the codec where it must be and nowhere else:
// Error{corrupt} with the line. For whoever checks a receipt.
Span parse_span(std::string_view text, uint64_t first_step, std::string_view where,
                std::shared_ptr<const Places> places);
// Takes exactly what places_text() writes.
Places parse_places(std::string_view text, std::string_view where);

// The receipt's facts that the span does not know.
struct ReceiptFacts {
  std::string run;  // unique
  Digest permit;    // of the note
  std::string origin;
  uint64_t tree_size = 0;
  std::string tree_root;
  std::optional<Digest> previous;  // note of the receipt before
  Digest weights;                  // file written at the end of the span
};

// The signed note.
std::string write_receipt(const Span& span, const ReceiptFacts& facts,
                          const ledger::SignerKey& trainer);

}  // namespace cleared::train

// What a run consumed between two checkpoints, and the run receipt that says so
// (docs/formats/receipt.md): a line for every step, the totals by sample, their Merkle roots, and
// the note that the trainer's key signs. Pure; one thread per Span.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"

namespace cleared::ledger {
class ConsumedRecord;
struct SignerKey;
}  // namespace cleared::ledger

namespace cleared::train {

struct StepFacts {
  uint64_t step = 0;
  float loss = 0;               // mean over the batch
  float gradient_norm = 0;      // before clipping
  bool applied = true;          // false: the gradient was not finite, so the weights stayed
  std::vector<Digest> samples;  // in slot order, over all ranks
};

// The line that says it, without its newline (docs/formats/receipt.md).
std::string step_line(const StepFacts& facts);
std::string codec_line(std::span<const Digest> samples);

// The steps since the last checkpoint.
class Span {
 public:
  explicit Span(uint64_t first_step) : first_step_(first_step), end_step_(first_step) {}

  // The samples that the codec was fitted to, before step 0; each counts as one pass.
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
  std::vector<ledger::ConsumedRecord> records(const std::string& run) const;  // by digest

  Digest steps_root() const;                           // one leaf a line, without its newline
  Digest consumed_root(const std::string& run) const;  // one leaf a serialised record
  std::string text() const;                            // the lines, as a checkpoint keeps them

 private:
  void consume(const Digest& sample, uint64_t step);

  uint64_t first_step_;
  uint64_t end_step_;
  std::vector<std::string> lines_;
  std::map<Digest, Consumed> consumed_;
};

// Takes exactly what text() writes: Error{corrupt} with the line. For whoever checks a receipt.
Span parse_span(std::string_view text, uint64_t first_step, std::string_view where);

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

#include "train/receipt.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdio>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"
#include "ledger/note.h"
#include "ledger/notes.pb.h"
#include "ledger/record.pb.h"
#include "ledger/textproto.h"

namespace cleared::train {
namespace {

// The 32 bits of a float: exact, and the same on every machine.
std::string bits(float value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", std::bit_cast<uint32_t>(value));
  return text;
}

// Splits at single spaces; two in a row give an empty word, which no field accepts.
std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (size_t start = 0;;) {
    const size_t space = line.find(' ', start);
    words.push_back(line.substr(start, space - start));
    if (space == std::string_view::npos) return words;
    start = space + 1;
  }
}

bool parse_samples(std::span<const std::string_view> words, std::vector<Digest>& out) {
  for (const std::string_view word : words) {
    const auto digest = parse_digest(word);
    if (!digest) return false;
    out.push_back(*digest);
  }
  return true;
}

template <class T>
bool parse_number(std::string_view word, T& out, int base) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), out, base);
  return error == std::errc() && end == word.data() + word.size();
}

bool parse_bits(std::string_view word, float& out) {
  uint32_t value = 0;
  if (word.size() != 8 || !parse_number(word, value, 16)) return false;
  out = std::bit_cast<float>(value);
  return true;
}

bool parse_line(std::string_view line, Span& span) {
  const auto words = words_of(line);
  std::vector<Digest> samples;
  if (words[0] == "codec") {
    if (!parse_samples(std::span(words).subspan(1), samples)) return false;
    span.codec(samples);
    return true;
  }
  StepFacts facts;
  if (words.size() < 7 || words[0] != "step" || words[2] != "loss" || words[4] != "norm") {
    return false;
  }
  facts.applied = words[6] == "applied";
  if (!facts.applied && words[6] != "skipped") return false;
  if (!parse_number(words[1], facts.step, 10) || !parse_bits(words[3], facts.loss) ||
      !parse_bits(words[5], facts.gradient_norm) ||
      !parse_samples(std::span(words).subspan(7), facts.samples)) {
    return false;
  }
  span.step(facts);
  return true;
}

}  // namespace

std::string step_line(const StepFacts& facts) {
  std::string line = "step " + std::to_string(facts.step) + " loss " + bits(facts.loss) + " norm " +
                     bits(facts.gradient_norm) + (facts.applied ? " applied" : " skipped");
  for (const Digest& sample : facts.samples) line += " " + to_hex(sample);
  return line;
}

std::string codec_line(std::span<const Digest> samples) {
  std::string line = "codec";
  for (const Digest& sample : samples) line += " " + to_hex(sample);
  return line;
}

void Span::consume(const Digest& sample, uint64_t step) {
  Consumed& consumed = consumed_.try_emplace(sample, Consumed{0, step}).first->second;
  ++consumed.passes;
}

void Span::codec(std::span<const Digest> samples) {
  for (const Digest& sample : samples) consume(sample, first_step_);
  lines_.push_back(codec_line(samples));
}

void Span::step(const StepFacts& facts) {
  if (facts.step != end_step_) {
    throw Error(Errc::usage, "receipt: step ", facts.step, " does not follow; the next is ",
                end_step_);
  }
  for (const Digest& sample : facts.samples) consume(sample, facts.step);
  lines_.push_back(step_line(facts));
  ++end_step_;
}

std::vector<ledger::ConsumedRecord> Span::records(const std::string& run) const {
  std::vector<ledger::ConsumedRecord> records;
  for (const auto& [sample, consumed] : consumed_) {
    ledger::ConsumedRecord& record = records.emplace_back();
    record.set_run(run);
    record.set_end_step(end_step_);
    record.set_sample(std::string(sample.text()));
    record.set_passes(consumed.passes);
    record.set_first_step(consumed.first_step);
  }
  return records;
}

Digest Span::steps_root() const {
  std::vector<Digest> leaves;
  for (const std::string& line : lines_) leaves.push_back(ledger::leaf_digest(as_bytes(line)));
  return ledger::root_digest(leaves);
}

Digest Span::consumed_root(const std::string& run) const {
  std::vector<Digest> leaves;
  for (const auto& record : records(run)) {
    leaves.push_back(ledger::leaf_digest(as_bytes(record.SerializeAsString())));
  }
  return ledger::root_digest(leaves);
}

std::string Span::text() const {
  std::string text;
  for (const std::string& line : lines_) text += line + "\n";
  return text;
}

Span parse_span(std::string_view text, uint64_t first_step, std::string_view where) {
  Span span(first_step);
  std::string_view rest = text;
  for (size_t line = 1; !rest.empty(); ++line) {
    const size_t end = rest.find('\n');
    bool good = end != std::string_view::npos;
    try {
      good = good && parse_line(rest.substr(0, end), span);
    } catch (const Error& error) {
      throw Error(Errc::corrupt, where, ":", line, ": ", error.what());
    }
    if (!good) throw Error(Errc::corrupt, where, ":", line, ": not a step line");
    rest.remove_prefix(end + 1);
  }
  // Leading zeros and capital digits parse, but are not what is written.
  if (span.text() != text) throw Error(Errc::corrupt, where, ": not as a run writes it");
  return span;
}

std::string write_receipt(const Span& span, const ReceiptFacts& facts,
                          const ledger::SignerKey& trainer) {
  using ledger::digest_name;
  ledger::ReceiptText text;
  ledger::Receipt& receipt = *text.mutable_receipt();
  receipt.set_run(facts.run);
  receipt.set_permit(digest_name(facts.permit));
  receipt.set_origin(facts.origin);
  receipt.set_tree_size(facts.tree_size);
  receipt.set_tree_root(facts.tree_root);
  receipt.set_first_step(span.first_step());
  receipt.set_end_step(span.end_step());
  receipt.set_steps_root(digest_name(span.steps_root()));
  receipt.set_samples(span.consumed().size());
  receipt.set_consumed_root(digest_name(span.consumed_root(facts.run)));
  if (facts.previous) receipt.set_previous(digest_name(*facts.previous));
  receipt.set_checkpoint(digest_name(facts.weights));

  ledger::Note note{.text = ledger::format_textproto(text), .signatures = {}};
  ledger::add_signature(note, trainer);
  return ledger::format_note(note);
}

}  // namespace cleared::train

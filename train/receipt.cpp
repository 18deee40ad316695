#include "train/receipt.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdio>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/gate.h"
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
    const bool is_first = span.first_step() == 0 && span.empty();
    if (!is_first || !parse_samples(std::span(words).subspan(1), samples)) return false;
    span.codec(samples);
    return true;
  }
  StepFacts facts;
  if (words.size() < 7 || words[0] != "step" || words[2] != "loss" || words[4] != "norm") {
    return false;
  }
  facts.applied = words[6] == "applied";
  if (!facts.applied && words[6] != "skipped") return false;
  if (span.first_step() == 0 && span.empty()) return false;  // the codec's line comes first
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
  if (!places_->contains(sample)) {
    throw Error(Errc::corrupt, "receipt: sample ", to_hex(sample),
                " lies in no shard that is known");
  }
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

std::vector<ledger::Fact> Span::facts(const std::string& run) const {
  constexpr uint32_t kMaxSamples = 4096;  // of a shard in a record, and so at most 62 kB
  std::vector<ledger::Fact> facts;
  std::map<std::pair<Digest, uint32_t>, std::pair<Consumed, uint64_t>> by_place;
  for (const auto& [sample, consumed] : consumed_) {
    const Place& place = places_->at(sample);
    by_place.emplace(std::pair(place.shard, place.index), std::pair(consumed, place.duration_us));
  }
  ledger::ConsumedShardRecord* record = nullptr;
  const Digest* shard = nullptr;
  for (const auto& [place, what] : by_place) {
    const auto& [consumed, duration_us] = what;
    if (record == nullptr || *shard != place.first ||
        place.second - record->index() >= kMaxSamples) {
      record = facts.emplace_back().mutable_consumed_shard();
      shard = &place.first;
      record->set_run(run);
      record->set_end_step(end_step_);
      record->set_shard(std::string(place.first.text()));
      record->set_index(place.second);
    }
    while (record->index() + static_cast<uint32_t>(record->passes_size()) < place.second) {
      record->add_passes(0);
    }
    record->add_passes(consumed.passes);
    record->add_back(end_step_ - consumed.first_step);
    record->set_sample_us(record->sample_us() + consumed.passes * duration_us);
  }
  return facts;
}

uint64_t Span::sample_us() const {
  uint64_t out = 0;
  for (const auto& [sample, consumed] : consumed_) {
    out += consumed.passes * places_->at(sample).duration_us;
  }
  return out;
}

std::string Span::places_text() const {
  std::string text;
  for (const auto& [sample, consumed] : consumed_) {
    const Place& place = places_->at(sample);
    text += to_hex(sample) + " " + to_hex(place.shard) + " " + std::to_string(place.index) + " " +
            std::to_string(place.duration_us) + "\n";
  }
  return text;
}

Digest Span::steps_root() const {
  std::vector<Digest> leaves;
  for (const std::string& line : lines_) leaves.push_back(ledger::leaf_digest(as_bytes(line)));
  return ledger::root_digest(leaves);
}

Digest Span::consumed_root(const std::string& run) const {
  std::vector<Digest> leaves;
  for (const ledger::Fact& fact : facts(run)) {
    const std::string record = fact.consumed_shard().SerializeAsString();
    leaves.push_back(ledger::leaf_digest(as_bytes(record)));
  }
  return ledger::root_digest(leaves);
}

std::string Span::text() const {
  std::string text;
  for (const std::string& line : lines_) text += line + "\n";
  return text;
}

Places places_of(const ledger::Gate& gate) {
  Places places;
  for (const auto& sample : gate.samples()) {
    const auto& shard = gate.permit().shard(static_cast<int>(sample.shard));
    const auto root = ledger::parse_digest_name(shard.root());
    places.emplace(sample.digest, Place{root.value_or(Digest{}),
                                        static_cast<uint32_t>(sample.index), sample.duration_us});
  }
  return places;
}

Places parse_places(std::string_view text, std::string_view where) {
  Places places;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = rest.find('\n');
    const auto words = words_of(rest.substr(0, end));
    const auto sample = words.size() == 4 ? parse_digest(words[0]) : std::nullopt;
    const auto shard = words.size() == 4 ? parse_digest(words[1]) : std::nullopt;
    Place place;
    if (end == std::string_view::npos || !sample || !shard ||
        !parse_number(words[2], place.index, 10) ||
        !parse_number(words[3], place.duration_us, 10)) {
      throw Error(Errc::corrupt, where, ":", places.size() + 1, ": not as a run writes it");
    }
    place.shard = *shard;
    if (!places.emplace(*sample, place).second) {
      throw Error(Errc::corrupt, where, ":", places.size() + 1, ": a sample is listed twice");
    }
    rest.remove_prefix(end + 1);
  }
  return places;
}

Span parse_span(std::string_view text, uint64_t first_step, std::string_view where,
                std::shared_ptr<const Places> places) {
  Span span(first_step, std::move(places));
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
  receipt.set_sample_us(span.sample_us());

  ledger::Note note{.text = ledger::format_textproto(text), .signatures = {}};
  ledger::add_signature(note, trainer);
  return ledger::format_note(note);
}

}  // namespace cleared::train

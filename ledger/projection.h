// The tables of a ledger as a function of its log, and of nothing else. Appending writes the rows
// that rows_of() makes, verifying compares them, so an edited row cannot agree with the log.
//
// What a record must be to be taken is ledger/admission.h's to say; what a record is about, and so
// where the map has it, is said here. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/authority.h"
#include "ledger/base/bytes.h"
#include "ledger/record.pb.h"
#include "ledger/sqlite.h"
#include "ledger/textproto.h"

namespace cleared::ledger {

// "licence", "source", ...: the name of the kind's table. Error{unsupported} for a kind that this
// build does not know.
std::string_view kind_name(const Fact& fact);

// A record as it is stored: its time and the serialised fact. Error{corrupt} unless it is in the
// form that encode_record() writes, which is what protobuf writes too.
struct RecordView {
  uint64_t at_us = 0;
  std::string_view fact;
};
RecordView parse_record(std::string_view bytes);
std::string encode_record(uint64_t at_us, std::string_view fact_bytes);

// What the record is about, the key of the state map (ledger/state_map.h). Nothing for a `state`
// record, which is about the map.
struct Subject {
  Digest key;
  bool unique = true;        // at most one record of this key: a second one must be the same fact
  std::vector<Digest> also;  // further keys that lead to it: the shards of an approval
};
std::optional<Subject> subject_of(const Fact& fact);
// What was said before may be said again of these, once something else was: a witness policy that
// another one replaced, a work whose protection was taken back.
bool newest_alone_counts(const Fact& fact);
Digest subject_key_of(std::string_view kind, std::string_view id);  // see docs/formats/state.md
Digest step_key(std::string_view kind, std::string_view run, uint64_t step);

enum class TableId {
  moment,
  key,
  retirement,
  licence,
  licence_source,  // of a document, and not of the record alone: ledger/coverage.h
  source,
  source_licence,
  fingerprint,
  clip,
  clip_series,
  duplicate,
  measure,
  shard,
  shard_licence,
  sample,
  policy,
  witness_policy,
  approval,
  approved_shard,
  revocation,
  permit,
  permit_shard,
  permit_list,
  listed_shard,
  list_of_permit,
  run,
  receipt,
  receipt_cost,
  consumed,
  consumed_shard,
  checkpoint,
  checkpoint_vae,
  checkpoint_text_encoder,
  release,
  release_licence,
  refusal,
  erasure,
  deletion,
  mark,
  clearance,
  review,
  reviewed_clip,
  review_list,
  listed_decision,
  list_of_review,
  protection,
  state,
};
struct TableShape {
  std::string_view name;
  int columns;
  bool many;  // several rows a record, ordered by their second column
};
std::span<const TableShape> tables();

// A value of a projected row, or the subject of another record, whose number goes there. Borrowed
// for the call of RowSink::row, like its bytes.
struct RowCell : Cell {
  enum class Refers { no, one, first_of_equals } refers = Refers::no;
  const Digest* subject = nullptr;
  const char* what = "";  // for errors: "source", "licence"
};

class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual void row(TableId table, std::span<const RowCell> cells) = 0;
};

// The rows of record `seq`. `authority` must know the records before it. Error{corrupt} when a
// field has not the form that its column asks for.
void rows_of(uint64_t seq, const Fact& fact, const Authority& authority, RowSink& sink);

// The rows that depend on the record before, too. A clip that follows a clip of its source goes on
// with a series; any other clip begins one, and has a row in clip_series.
class ClipSeries {
 public:
  // For each record in order, with a clip's source and with nothing for another kind: does it begin
  // a series?
  bool begins(std::string_view source) {
    if (source == source_) return false;
    source_ = source;
    return !source.empty();
  }
  bool begins(const Fact& fact) {
    return begins(fact.has_clip() ? std::string_view(fact.clip().source()) : std::string_view());
  }
  // Of the newest record when that is a clip, else empty.
  const std::string& source() const { return source_; }

 private:
  std::string source_;
};
void clip_series_row(uint64_t seq, const std::string& source, RowSink& sink);

// A clip's record read in place: nearly all of a ledger is clips, and a message of protobuf's would
// copy their texts. Borrowed from the bytes of the fact.
struct ClipView {
  std::string_view id, source;
  uint64_t start_us = 0;
  uint64_t end_us = 0;
  uint32_t shot = 0;
  std::string_view verdict;
  float luma = 0;
  float sharpness = 0;
  float motion = 0;
  std::string_view caption;
};
// What protobuf would read. Nothing when the fact is no clip, or is in any way unusual: a field
// twice or out of order, one that is not known, a text beyond ASCII, an id that is no digest. Then
// protobuf has to be asked.
std::optional<ClipView> view_clip(std::string_view fact);
// As rows_of() and subject_of() say of the same record.
void clip_row(uint64_t seq, const ClipView& clip, RowSink& sink);
void clip_keys(std::span<const ClipView> clips, std::span<Digest> keys);

// One sample of the column `each` of consumed_shard.
struct SampleConsumption {
  uint32_t passes = 0;      // 0: not consumed
  uint64_t first_step = 0;  // of the span, that consumed it
};
// Error{corrupt} unless it is as rows_of() writes it.
std::vector<SampleConsumption> parse_consumption(std::string_view each);

// The text of a note, strictly read.
template <class Text>
Text parse_noted(const Note& note, std::string_view what) {
  Text text;
  parse_textproto(note.text, what, text);
  return text;
}

}  // namespace cleared::ledger

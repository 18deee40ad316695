// The line of a checkpoint: itself and all that its weights came from, by parent, autoencoder and
// text encoder, on record. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ledger/sqlite.h"

namespace cleared::ledger {

inline constexpr uint64_t kAllRecords = INT64_MAX;

// SQL that begins a question about the line of the checkpoint that is record ?1, of the records
// before ?2: its tables are `origin`, what a checkpoint came from, and `line`.
inline constexpr std::string_view kLine =
    "WITH RECURSIVE origin(seq, digest) AS ("
    "SELECT seq, parent FROM checkpoint WHERE parent != '' "
    "UNION ALL SELECT seq, vae FROM checkpoint_vae "
    "UNION ALL SELECT seq, text_encoder FROM checkpoint_text_encoder), "
    "line(seq, run, step) AS ("
    "SELECT seq, run, step FROM checkpoint WHERE seq = ?1 UNION "
    "SELECT k.seq, k.run, k.step FROM line l JOIN origin o ON o.seq = l.seq "
    "JOIN checkpoint k ON k.digest = o.digest AND k.seq < ?2) ";

// What weights came from that nobody recorded may have consumed anything: what of it is missing
// among the records before `before`, in words, or "".
std::string missing_in_line(const Database& db, uint64_t checkpoint, uint64_t before = kAllRecords);

}  // namespace cleared::ledger

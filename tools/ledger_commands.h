// The commands of `ledger`: each reads its options, does one thing, prints, and returns an exit
// code. Errors are thrown and become exit codes in cli.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ledger/store.h"

namespace cleared::tools {

struct LedgerOptions {
  std::string ledger, origin, name, role, file, key, out, log_key, comment, sql, trust;
  std::string resume, use = "TRAIN";
  std::vector<std::string> files, weights;
  uint64_t hours = 24, from = 0, limit = 0;
  std::optional<uint64_t> at, rows;  // of a query: at which size, how many at most
  bool all = false, json = false, csv = false, dry_run = false, leave_out = false, draft = false,
       deep = false, evaluate = false, encode = false;
};

int ledger_init(const LedgerOptions& o);
int ledger_key_new(const LedgerOptions& o);
int ledger_sign(const LedgerOptions& o);
int ledger_append(const LedgerOptions& o);
int ledger_sign_head(const LedgerOptions& o);
int ledger_approve(const LedgerOptions& o);
int ledger_permit(const LedgerOptions& o);
int ledger_revoke(const LedgerOptions& o);
int ledger_show(const LedgerOptions& o);
int ledger_log(const LedgerOptions& o);
int ledger_verify(const LedgerOptions& o);

std::string version_text();

// The beginning of what a record says, in one line.
std::string summary(const ledger::Fact& fact);

}  // namespace cleared::tools

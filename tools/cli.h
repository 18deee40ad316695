// What the three programs share: exit codes, output modes and the last catch. Only tools/ reads
// argv, prints to stdout or picks an exit code.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "ledger/base/error.h"
#include "ledger/base/utf8.h"

namespace cleared::tools {

// docs/exit-codes.md. Numbers from 64 up are those of sysexits.h.
enum Exit {
  exit_ok = 0,
  exit_no = 1,  // the answer is no: a proof does not verify, a ledger was changed
  exit_usage = 2,
  exit_refused = 3,  // by the gate
  exit_partial = 4,  // some items failed; the rest is done
  exit_corrupt = 65,
  exit_not_found = 66,
  exit_internal = 70,
  exit_io = 74,
  exit_busy = 75,        // locked; try again
  exit_permission = 77,  // a key or a permission
  exit_config = 78,
};

// The one table from kinds of error to exit codes.
Exit exit_of(Errc code);

// `error`, beginning with the object that it is about unless it names that already.
Error about(std::string_view object, const Error& error);

// For options of CLI11 that end up in a record: what is wrong with the text, nothing when it is
// UTF-8.
std::string text_problem(const std::string& text);

// Runs `body`, prints an escaping Error as one line on stderr, and returns the exit code.
int run_main(const char* program, const std::function<int()>& body) noexcept;

}  // namespace cleared::tools

// The lines of a proof file: "word value", one a line, read in a fixed order. Proof files of this
// project begin with lines of their own and end, after an empty line, in a C2SP tlog-proof. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ledger/base/bytes.h"

namespace cleared::ledger {

class FieldLines {
 public:
  // `what` begins every error: Error{corrupt} "what: line 3: ...".
  FieldLines(std::string_view text, std::string_view what) : rest_(text), what_(what) {}

  // The next line, without its end; it may be empty.
  std::string_view line();
  // Does the next line begin with this word and a space, or consist of it?
  bool next_is(std::string_view word) const;
  // The value after "word ", printable ASCII or UTF-8, at least one byte.
  std::string_view value(std::string_view word);
  uint64_t number(std::string_view word);    // decimal, no leading zero
  std::string bytes(std::string_view word);  // base64
  Digest digest(std::string_view word);      // base64 of 32 bytes
  std::string_view rest() const { return rest_; }

  [[noreturn]] void bad(std::string_view why) const;

 private:
  std::string_view rest_;
  std::string_view what_;
  int number_ = 0;
};

}  // namespace cleared::ledger

#include "ledger/verify/rows.h"

#include <bit>
#include <sstream>

#include "ledger/digest.h"

namespace cleared::ledger {

std::string shown(const Cell& cell) {
  constexpr size_t kMost = 60;
  std::string out;
  switch (cell.type) {
    case ValueType::null:
      return "NULL";
    case ValueType::blob:
      out = "x'" + to_hex(as_bytes(cell.bytes.substr(0, kMost))) + "'";
      break;
    case ValueType::text:
      out = "'" + std::string(cell.bytes) + "'";
      break;
    case ValueType::integer:
      out = std::to_string(cell.integer);
      break;
    case ValueType::real: {
      std::ostringstream text;
      text << cell.real;
      out = text.str();
    }
  }
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return out.size() <= kMost ? out : out.substr(0, kMost) + "...";
}

bool same_value(const Cell& a, const Cell& b) {
  if (a.type != b.type) return false;
  if (a.type == ValueType::integer) return a.integer == b.integer;
  // The log may say -0.0, of which SQLite keeps 0.0; nothing else stands for anything else.
  if (a.type == ValueType::real) {
    return std::bit_cast<uint64_t>(a.real) == std::bit_cast<uint64_t>(b.real + 0.0);
  }
  return a.bytes == b.bytes;
}

}  // namespace cleared::ledger

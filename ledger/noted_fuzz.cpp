// The text of every kind of note that people sign: an Error, or a text that reads back as itself.
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/note.h"
#include "ledger/notes.pb.h"
#include "ledger/projection.h"
#include "ledger/textproto.h"

namespace {
template <class Text>
void read_as(const cleared::ledger::Note& note) try {
  using namespace cleared::ledger;
  const std::string once = format_textproto(parse_noted<Text>(note, "fuzz"));
  CLEARED_CHECK(format_textproto(parse_noted<Text>(Note{once, {}}, "fuzz")) == once);
} catch (const cleared::Error& error) {
  CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) try {
  using namespace cleared::ledger;
  const Note note = parse_note(std::string_view(reinterpret_cast<const char*>(data), size));
  read_as<AccountText>(note);
  read_as<ApprovalText>(note);
  read_as<ClearancesText>(note);
  read_as<DeletionText>(note);
  read_as<ErasureText>(note);
  read_as<ForeignText>(note);
  read_as<PermitShardsText>(note);
  read_as<PermitText>(note);
  read_as<PolicyText>(note);
  read_as<ReceiptText>(note);
  read_as<ReleaseText>(note);
  read_as<ReviewText>(note);
  read_as<RevocationText>(note);
  return 0;
} catch (const cleared::Error& error) {
  CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  return 0;
}

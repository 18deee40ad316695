// Records from a bundle, whatever their bytes: what they are about and the rows they make, or
// Error; and the framing of records reads back as it was written. Nothing stops the one writer.
#include <cstddef>
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/projection.h"
#include "ledger/record.pb.h"

namespace {
struct Nowhere : cleared::ledger::RowSink {
  void row(cleared::ledger::TableId, std::span<const cleared::ledger::RowCell>) override {}
};
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    const RecordView record = parse_record(input);
    CLEARED_CHECK(encode_record(record.at_us, record.fact) == input);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  Bundle bundle;
  if (!bundle.ParseFromArray(data, static_cast<int>(size))) return 0;
  Nowhere sink;
  uint64_t seq = 0;
  for (const Fact& fact : bundle.fact()) {
    try {
      subject_of(fact);
      rows_of(seq++, fact, Authority(), sink);
    } catch (const cleared::Error& error) {
      CLEARED_CHECK(error.code() != cleared::Errc::io);
    }
  }
  return 0;
}

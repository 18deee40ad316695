// A record from a bundle, whatever its bytes: projected into an empty ledger it either fits or
// throws Error, and never stops the one writer.
#include <cstddef>
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/projection.h"
#include "ledger/record.pb.h"
#include "ledger/schema.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  static const Database db = [] {
    Database made = Database::in_memory();
    made.exec(std::string(kLogSchema) + std::string(kProjectionSchema));
    return made;
  }();
  Bundle bundle;
  if (!bundle.ParseFromArray(data, static_cast<int>(size))) return 0;
  const Transaction rolled_back(db);
  uint64_t seq = 0;
  for (const Fact& fact : bundle.fact()) {
    Record record;
    CLEARED_CHECK(fact.SerializeToString(record.mutable_fact()));
    try {
      project(db, seq++, record.SerializeAsString());
    } catch (const cleared::Error& error) {
      CLEARED_CHECK(error.code() != cleared::Errc::io);
    }
  }
  return 0;
}

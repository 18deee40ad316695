// The lists of a permit: what was taken apart once comes back the same, and what is put into a
// permit either is its shards or is refused.
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/permit_lists.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  const auto lists = parse_lists({reinterpret_cast<const char*>(data), size});
  CLEARED_CHECK(parse_lists(format_lists(lists)) == lists);
  if (lists.empty()) return 0;
  const auto facts = permit_facts("", lists);
  const auto root = cleared::digest_from_raw(facts.front().permit_list().root());
  CLEARED_CHECK(root.has_value());
  Permit permit;
  permit.mutable_lists()->set_root(digest_name(*root));
  permit.mutable_lists()->set_lists(static_cast<uint32_t>(lists.size()));
  try {
    join_lists(permit, lists);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}

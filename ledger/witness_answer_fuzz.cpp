// What a witness answers to add-checkpoint: "STATUS CONTENT-TYPE" on the first line, then the body.
// It gives a cosignature of its key that verifies, or none; whatever it says is no Error.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "ledger/base/check.h"
#include "ledger/cosignature.h"
#include "ledger/witness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  static const Note head = parse_note(
      "a.example/log\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n"
      "\u2014 a.example/log AAAAAAA=\n");
  static const AskWitness ask{
      parse_verifier_key("w.example/w+760809cf+BOjCEHV3UUlzlx2fCfFKtQ6uSVc8Y86JnxmKdvZunMBS"), 1,
      1'800'000'000};
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t line = text.find('\n'), space = text.find(' ');
  if (line == std::string::npos || space > line) return 0;
  const WitnessAnswer answer{std::atoi(text.c_str()), text.substr(space + 1, line - space - 1),
                             text.substr(line + 1)};
  const AskedWitness asked = add_checkpoint(
      head, ask, [](uint64_t, uint64_t) { return std::vector<cleared::Digest>(2); },
      [&](const std::string&) { return answer; });
  CLEARED_CHECK(asked.cosignature.has_value() == asked.why.empty());
  if (asked.cosignature) {
    CLEARED_CHECK(answer.status == 200 && !asked.contradicts);
    CLEARED_CHECK(cosigned_at({head.text, {*asked.cosignature}}, ask.witness) == asked.cosigned_at);
  }
  return 0;
}

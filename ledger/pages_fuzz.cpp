// A ledger file whose bytes were changed: each 4 + 1 bytes of the input say where, from the front,
// and what to xor there. Reading rows where they lie (ledger/raw_table.h, ledger/raw_index.h) must
// never say yes where SQLite, asked for the same rows, says no.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/note.h"
#include "ledger/store.h"
#include "ledger/verify.h"

namespace {

namespace fs = std::filesystem;
using namespace cleared;
using namespace cleared::ledger;

constexpr int kClips = 700;  // more than a page, more than two bundles

// A folder of this process, with a sound ledger in it.
struct Sound {
  fs::path folder;
  std::string bytes;

  Sound() {
    std::string name = (fs::temp_directory_path() / "pages_fuzz.XXXXXX").string();
    CLEARED_CHECK(::mkdtemp(name.data()) != nullptr);
    folder = name;
    const SignerKey key = new_signer_key("fuzz.example/log");
    Store::create(folder / "sound.db", key.verifier);
    {
      Store store(folder / "sound.db", Access::append);
      std::vector<Fact> facts(1);
      const std::string source(sha256("source").text());
      facts[0].mutable_source()->set_digest(source);
      facts[0].mutable_source()->set_path("2026-01/a.mov");
      facts[0].mutable_source()->set_status("kept");
      for (int i = 0; i < kClips; ++i) {
        ClipRecord& clip = *facts.emplace_back().mutable_clip();
        clip.set_id(std::string(sha256("clip " + std::to_string(i)).text()));
        clip.set_source(source);
        clip.set_start_us(static_cast<uint64_t>(i) * 2'000'000);
        clip.set_end_us(static_cast<uint64_t>(i + 1) * 2'000'000);
        clip.set_verdict(i % 9 == 0 ? "refused" : "kept");
        clip.set_luma(100.5F);
        facts.emplace_back().mutable_refusal()->set_subject("file " + std::to_string(i));
        facts.back().mutable_refusal()->set_rule("no_licence");
      }
      store.append(facts);
      store.sign_head(key);
    }
    bytes = read_file(folder / "sound.db", uint64_t{1} << 30);
  }
  ~Sound() { fs::remove_all(folder); }
};

bool says_yes(const fs::path& ledger, bool raw) {
  VerifyOptions options;
  options.raw = raw;
  try {
    return verify_ledger(ledger, options).findings.empty();
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Sound sound;
  std::string bytes = sound.bytes;
  for (size_t i = 0; i + 5 <= size && i < 320; i += 5) {
    const size_t at = (size_t{data[i]} << 24 | size_t{data[i + 1]} << 16 |
                       size_t{data[i + 2]} << 8 | size_t{data[i + 3]}) %
                      bytes.size();
    bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(data[i + 4]));
  }
  const fs::path changed = sound.folder / "changed.db";
  write_file(changed, bytes);
  const bool raw = says_yes(changed, true);
  CLEARED_CHECK(!raw || says_yes(changed, false));
  CLEARED_CHECK(raw || bytes != sound.bytes);
  return 0;
}

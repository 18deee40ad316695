#include "tools/bad_note.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include <nlohmann/json.hpp>

#include "ledger/base/file.h"
#include "ledger/base/utf8.h"
#include "ledger/digest.h"
#include "tools/cli.h"

namespace cleared::tools {
using namespace cleared::ledger;
namespace {

bool is_note(const std::string& kind) {
  constexpr std::string_view kKinds[] = {".licence", ".approval", ".permit",    ".revocation",
                                         ".review",  ".policy",   ".retirement"};
  return std::find(std::begin(kKinds), std::end(kKinds), kind) != std::end(kKinds);
}

// What is wrong and where, without the words that were there: a log is for ever and may be public,
// and terms are neither. `why` begins with the file's path.
std::string without_terms(const std::string& why, const std::string& path) {
  const size_t from = why.starts_with(path) ? path.size() : 0;
  const size_t words =
      std::min({why.find('"', from), why.find(", got", from), why.find('(', from)});
  if (words == std::string::npos) return why;
  return why.substr(0, why.find_last_not_of(" ,:\"(", words) + 1) +
         "; the words that are there are not recorded";
}

}  // namespace

Error record_bad_note(Store& store, const std::string& path, const Error& error, Written& out,
                      bool dry_run) {
  if (std::string_view(error.what()).starts_with(store.path().string())) return error;
  const std::string kind = std::filesystem::path(path).extension();
  const bool is_bad = error.code() == Errc::corrupt || error.code() == Errc::permission;
  if (!is_bad || !is_note(kind)) return about(path, error);
  Fact fact;
  RefusalRecord& refusal = *fact.mutable_refusal();
  refusal.set_act("append");
  refusal.set_subject(printable(path) + " " + digest_name(sha256(read_file(path))));
  refusal.set_rule(kind.substr(1) + "_invalid");
  refusal.set_fact(
      std::string(first_bytes(without_terms(printable(error.what()), printable(path)), 1000)));
  out["refused"] = {{"rule", refusal.rule()}, {"fact", refusal.fact()}};
  if (!dry_run) out.record("refusal", store.append({fact}));
  const Error told = about(path, error);
  return Error(told.code(), told.what(), " [", refusal.rule(), "]");
}

}  // namespace cleared::tools

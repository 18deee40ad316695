#include "ledger/protection.h"

#include "ledger/base/file.h"
#include "ledger/base/utf8.h"
#include "ledger/digest.h"

namespace cleared::ledger {

std::filesystem::path protected_folder(const std::filesystem::path& ledger) {
  return only_name(ledger).string() + ".protected";
}

std::string missing_work(const Store& store, const std::set<std::string>& there) {
  Statement works(store.db(),
                  "SELECT fingerprint, name, record FROM protected_work ORDER BY record");
  while (works.next()) {
    if (there.contains(works.text(0))) continue;
    const auto path = protected_folder(store.path()) / (works.text(0) + ".print");
    return path.string() + (std::filesystem::exists(path) ? ": was altered" : ": is gone") +
           ", and by record " + works.text(2) + " it protects " + printable(works.text(1)) +
           ": put the file back, or end the protection with curate protect remove --ledger " +
           store.path().string() + " " + works.text(0).substr(0, 16);
  }
  return "";
}

std::string missing_work(const Store& store) {
  if (store.db().integer("SELECT EXISTS (SELECT 1 FROM protected_work)") == 0) return "";
  std::set<std::string> there;
  std::error_code none;
  for (const auto& entry :
       std::filesystem::directory_iterator(protected_folder(store.path()), none)) {
    if (entry.path().extension() != ".print" || !entry.is_regular_file(none)) continue;
    there.insert(to_hex(sha256(read_file(entry.path()))));
  }
  return missing_work(store, there);
}

}  // namespace cleared::ledger

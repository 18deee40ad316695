#include "tools/written.h"

#include <cstdarg>
#include <cstdio>
#include <exception>

#include <nlohmann/json.hpp>

#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/key.h"

namespace cleared::tools {
using namespace cleared::ledger;

struct Written::Object {
  Json facts = Json::object(), records = Json::array(), files = Json::array(), head;
};

Written::Written(bool json, bool dry_run) : json_(json), object_(std::make_unique<Object>()) {
  object_->facts["dry_run"] = dry_run;
}

Written::~Written() {
  auto& [out, records, files, head] = *object_;
  const bool wrote = !records.empty() || !files.empty() || !head.is_null();
  if (!json_ || (std::uncaught_exceptions() > 0 && !wrote)) return;
  out["records"] = records;
  out["files"] = files;
  out["head"] = head;
  print_json(out);
}

Json& Written::operator[](const char* key) {
  return object_->facts[key];
}

void Written::say(const char* format, ...) const {
  if (json_) return;
  std::va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
}

void Written::appended(const std::string& what, const Store::Appended& appended) {
  record(what, appended);
  const auto first = static_cast<unsigned long long>(appended.first);
  if (appended.added == 0) {
    say("%s: in the ledger already\n", what.c_str());
  } else if (appended.added == 1) {
    say("%s: record %llu\n", what.c_str(), first);
  } else {
    say("%s: records %llu to %llu\n", what.c_str(), first,
        first + static_cast<unsigned long long>(appended.added) - 1);
  }
}

void Written::record(const std::string& what, const Store::Appended& appended) {
  Json& out = object_->records.emplace_back();
  out["what"] = what;
  out["first"] = appended.added > 0 ? Json(appended.first) : Json();
  out["added"] = appended.added;
  out["present"] = appended.present;
}

void Written::write(const std::filesystem::path& path, const std::string& bytes) {
  write_file(path, bytes);
  tell(path, bytes);
}

void Written::file(const std::filesystem::path& path) {
  tell(path, read_file(path));
}

void Written::tell(const std::filesystem::path& path, const std::string& bytes) {
  object_->files.push_back(
      {{"path", path.string()}, {"sha256", to_hex(sha256(bytes))}, {"bytes", bytes.size()}});
}

void Written::head(const TreeHead& head) {
  object_->head = {{"origin", head.origin}, {"size", head.size}, {"root", to_hex(head.root)}};
}

void sign_if_possible(Store& store, const std::string& log_key, Written& out) {
  const std::filesystem::path key =
      log_key.empty() ? default_log_key_path(store.path()) : std::filesystem::path(log_key);
  if (log_key.empty() && !std::filesystem::exists(key)) {
    out.say("tree head not signed: no log key at %s; run ledger sign-head where it is\n",
            key.c_str());
    return;
  }
  const TreeHead head = store.sign_head(read_signer_keys(key));
  out.head(head);
  out.say("tree head %llu %s\n", static_cast<unsigned long long>(head.size),
          to_hex(head.root).c_str());
}

}  // namespace cleared::tools

// What a command of `ledger` that writes has written: told in words as it goes, or with --json as
// one object, alone on stdout (docs/ledger.md says what is in it). The object is printed when this
// goes, in the end or on the way of an Error, unless the Error came before anything was written.
// Main thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "ledger/store.h"
#include "tools/output.h"

namespace cleared::tools {

class Written {
 public:
  explicit Written(bool json, bool dry_run = false);

  Written(const Written&) = delete;
  Written& operator=(const Written&) = delete;
  ~Written();

  // Words, for people: printf, and nothing with --json.
  [[gnu::format(printf, 2, 3)]] void say(const char* format, ...) const;
  bool in_words() const { return !json_; }

  // Writes a file, too: whole or not at all.
  void write(const std::filesystem::path& path, const std::string& bytes);

  // Records that `what` became, and in words "WHAT: record 7", or that it was there already.
  void appended(const std::string& what, const ledger::Store::Appended& appended);
  // Without words: records, a file, a signed tree head, a fact of the command's own.
  void record(const std::string& what, const ledger::Store::Appended& appended);
  void file(const std::filesystem::path& path);  // that is there
  void head(const ledger::TreeHead& head);
  Json& operator[](const char* key);

 private:
  struct Object;
  void tell(const std::filesystem::path& path, const std::string& bytes);
  const bool json_;
  const std::unique_ptr<Object> object_;
};

// Signs the new tree head when the log's key is at hand, by default at LEDGER.key, and says so when
// it is not.
void sign_if_possible(ledger::Store& store, const std::string& log_key, Written& out);

}  // namespace cleared::tools

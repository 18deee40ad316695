// A small ledger on disk with everything that a permit needs, for tests: parties, a licence that
// uses every field, one source, its clips, a shard that was really written, an approval.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "ledger/base/error.h"
#include "ledger/gate.h"
#include "ledger/permit.h"
#include "ledger/shard.h"
#include "ledger/store.h"

namespace cleared::ledger {

// A folder of the test's own, removed with everything in it.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// "" when `body` throws nothing, else "code: what" of its Error.
std::string error_of(const std::function<void()>& body);

// `text` with the first `from` replaced; a test error when it is not there.
std::string replaced(std::string text, std::string_view from, std::string_view to);

// Valid from 2024-01-01 to 2099-12-31; every field is there.
std::string full_licence_text();

// The same private key under another name.
SignerKey renamed(SignerKey key, const std::string& name);

std::string sign_text(const std::string& text, const std::vector<const SignerKey*>& keys);

struct World {
  TempFolder folder;
  std::filesystem::path ledger = folder / "ledger.db";
  SignerKey log = new_signer_key("test.example/log");
  SignerKey licensor = new_signer_key("example-stock");
  SignerKey licensee = new_signer_key("example-studio");
  SignerKey approver = new_signer_key("example-approver");
  SignerKey trainer = new_signer_key("example-trainer");
  Manifest manifest;  // of folder/"shards"/"shard-000000.tar"

  // An empty ledger with the keys of all parties.
  World();

  Fact key(const SignerKey& key, const std::string& role) const;
  // A source at "2026-01/a.webm" with two kept clips, and the shard of them.
  std::vector<Fact> footage(const std::string& licence_ref = "LIC-1@1");
  Fact approval() const;
  // That the shard was deleted.
  Fact deletion(const std::vector<const SignerKey*>& keys) const;
  Fact revocation(const std::string& field, const std::string& value, const SignerKey& key) const;
  // Of these weights (hex), to generate inside, for an hour, under the newest signed head; may be
  // changed before the approver signs it.
  Fact release(
      const std::string& weights, const std::vector<std::string>& licences,
      const std::function<void(Release&)>& change = [](Release&) {}) const;
  // Licence, footage, approval and a signed head.
  void fill(const std::string& licence_text = full_licence_text());
  void add_licence(const std::string& text);
  void append(const std::vector<Fact>& facts) { Store(ledger, Access::append).append(facts); }
  std::string root_hex() const { return to_hex(shard_root(manifest)); }

  static Purpose purpose();
  PermitRequest request() const;
  // The note of a permit as the ledger gives it; not appended.
  std::string permit_note() const;
  // Files of a training node: permit, trust, notices. The permit may be changed before it is
  // signed.
  GateOptions node(const std::function<void(Permit&)>& change = [](Permit&) {}) const;
};

}  // namespace cleared::ledger

// A writer to be killed: does what its words say, in order, and prints one block for each thing
// that the store has acknowledged, in one write(2), before it goes on.
//
//   faults_driver LEDGER WORD...
//     create         Store::create with the key LEDGER.key      prints "created"
//     append TAG N   N refusals, their subjects TAG/0 ...       "appended FIRST N", then the lines
//                                                               "record SEQ HEX" as they read back
//     later TAG N    the same, synced beside the next word      the same, when that has returned
//     sync           Store::sync
//     head           sign_head with the key LEDGER.key          "head SIZE ROOT"
//     dump           what can be read                           "record SEQ HEX" for each, then
//                                                               "noted SIZE ROOT" of the newest
//                                                               head
//     verify         verify_ledger                              "finding WHERE: WHAT" for each,
//     then
//                                                               "verified RECORDS"
//     again          from here on a word that failed is tried once more, with the same Store
//     reopen         ... with a new Store
//     skip           ... not at all, and the words after it go on with the same Store
//
// A failure is one line, "failed WORD: CODE: WHAT" (CODE as docs/exit-codes.md numbers it), and,
// unless told otherwise, the end: exit status CODE.
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/key.h"
#include "ledger/store.h"
#include "ledger/verify.h"
#include "tools/cli.h"

namespace cleared::ledger {
namespace {

void say(const std::string& text) {
  write_all(STDOUT_FILENO, text, "stdout");
}

class Driver {
 public:
  explicit Driver(std::string ledger) : ledger_(std::move(ledger)) {}

  // Does the word at words[i] and moves i behind it.
  void run(const std::vector<std::string>& words, size_t& i) {
    const std::string& word = words[i];
    if (word == "again" || word == "reopen" || word == "skip") {
      after_failure_ = word;
      ++i;
      return;
    }
    const bool appends = word == "append" || word == "later";
    const std::string tag = appends ? words.at(i + 1) : "";
    const size_t count = appends ? std::stoul(words.at(i + 2)) : 0;
    i += appends ? 3 : 1;
    try {
      do_word(word, tag, count);
    } catch (const Error& error) {
      unsaid_.clear();  // nobody knows
      say("failed " + word + ": " + std::to_string(tools::exit_of(error.code())) + ": " +
          error.what() + "\n");
      if (after_failure_.empty()) throw;
      if (after_failure_ == "skip") return;
      if (after_failure_ == "reopen") store_.reset();
      try {
        do_word(word, tag, count);
      } catch (const Error& second) {
        say("failed again " + word + ": " + second.what() + "\n");
      }
    }
  }

 private:
  void do_word(const std::string& word, const std::string& tag, size_t count) {
    if (word == "create") {
      Store::create(ledger_, key().verifier);
      say("created\n");
    } else if (word == "append") {
      append(tag, count, Store::Durable::now);
    } else if (word == "later") {
      append(tag, count, Store::Durable::later);
    } else if (word == "sync") {
      writer().sync();
      acknowledge();
    } else if (word == "head") {
      const TreeHead head = writer().sign_head(key());
      acknowledge();
      say("head " + std::to_string(head.size) + " " + to_hex(head.root) + "\n");
    } else if (word == "dump") {
      dump();
    } else if (word == "verify") {
      verify();
    } else {
      throw Error(Errc::usage, word, ": no such word");
    }
  }

  // What was appended later is a promise when the next writing call has returned.
  void acknowledge() { say(std::exchange(unsaid_, {})); }

  void append(const std::string& tag, size_t count, Store::Durable durable) {
    std::vector<Fact> facts(count);
    for (size_t i = 0; i < count; ++i) {
      RefusalRecord& refusal = *facts[i].mutable_refusal();
      refusal.set_act("ingest");
      refusal.set_subject(tag + "/" + std::to_string(i));
      refusal.set_rule("no_licence");
    }
    const Store::Appended done = writer().append(facts, durable);
    acknowledge();
    unsaid_ = "appended " + std::to_string(done.first) + " " + std::to_string(done.added) + "\n" +
              records(writer(), done.first, done.first + done.added);
    if (durable == Store::Durable::now) acknowledge();
  }

  void dump() const {
    const Store store(ledger_, Access::read);
    std::string out = records(store, 0, store.size());
    if (const std::string note = store.newest_head_note(); !note.empty()) {
      const TreeHead head = parse_tree_head(parse_note(note).text);
      out += "noted " + std::to_string(head.size) + " " + to_hex(head.root) + "\n";
    }
    say(out);
  }

  void verify() const {
    const VerifyReport report = verify_ledger(ledger_, {});
    std::string out;
    for (const Finding& finding : report.findings) {
      out += "finding " + finding.where + ": " + finding.what + "\n";
    }
    say(out + "verified " + std::to_string(report.records) + "\n");
  }

  static std::string records(const Store& store, uint64_t from, uint64_t to) {
    std::string out;
    for (uint64_t seq = from; seq < to; ++seq) {
      out +=
          "record " + std::to_string(seq) + " " + to_hex(as_bytes(store.record_bytes(seq))) + "\n";
    }
    return out;
  }

  Store& writer() {
    if (!store_) store_.emplace(ledger_, Access::append);
    return *store_;
  }
  SignerKey key() const { return read_signer_key(default_log_key_path(ledger_)); }

  std::string ledger_;
  std::string after_failure_;
  std::string unsaid_;
  std::optional<Store> store_;
};

}  // namespace
}  // namespace cleared::ledger

int main(int argc, char** argv) {
  return cleared::tools::run_main("faults_driver", [&]() -> int {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() < 2) throw cleared::Error(cleared::Errc::usage, "LEDGER WORD...");
    cleared::ledger::Driver driver(words[0]);
    for (size_t i = 1; i < words.size();) driver.run(words, i);
    return cleared::tools::exit_ok;
  });
}

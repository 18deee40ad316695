#include "ledger/witness_policy.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <unordered_map>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/cosignature.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {
namespace {

constexpr size_t kLongestPolicy = 1'000'000;  // bytes
constexpr size_t kMostOfAKind = 1000;         // logs, witnesses or groups

std::vector<std::string_view> policy_words(std::string_view line) {
  std::vector<std::string_view> out;
  for (;;) {
    const size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return out;
    line.remove_prefix(begin);
    out.push_back(line.substr(0, line.find_first_of(" \t")));
    line.remove_prefix(out.back().size());
  }
}

class PolicyParser {
 public:
  WitnessPolicy parse(std::string_view text) {
    if (text.size() > kLongestPolicy)
      throw Error(Errc::corrupt, "witness policy: longer than 1 MB");
    while (!text.empty()) {
      ++number_;
      const size_t end = text.find('\n');
      if (end == std::string_view::npos) fail("does not end with a newline");
      take_line(text.substr(0, end));
      text.remove_prefix(end + 1);
    }
    if (policy_.quorum.empty()) throw Error(Errc::corrupt, "witness policy: has no quorum line");
    return std::move(policy_);
  }

 private:
  using Words = std::vector<std::string_view>;

  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    throw Error(Errc::corrupt, "witness policy: line ", number_, ": ", parts...);
  }

  void take_line(std::string_view line) {
    const auto control = [](char c) {
      const auto octet = static_cast<unsigned char>(c);
      return (octet < 0x20 && c != '\t') || octet == 0x7F;
    };
    if (std::any_of(line.begin(), line.end(), control)) fail("has control characters");
    const Words words = policy_words(line);
    if (words.empty() || words[0].starts_with('#')) return;
    if (words[0] == "log") {
      take_log(words);
    } else if (words[0] == "witness") {
      take_witness(words);
    } else if (words[0] == "group") {
      take_group(words);
    } else if (words[0] == "quorum") {
      take_quorum(words);
    } else {
      fail("begins with none of log, witness, group, quorum");
    }
  }

  void take_log(const Words& words) {
    if (words.size() < 2 || words.size() > 3) fail("must be: log VKEY [URL]");
    const VerifierKey key = parse_key(words[1], SignatureType::ed25519);
    if (!log_keys_.insert(key.key).second) fail("a log with this key is there already");
    if (policy_.logs.size() == kMostOfAKind) fail("too many logs");
    policy_.logs.push_back({key, words.size() == 3 ? std::string(words[2]) : ""});
  }

  void take_witness(const Words& words) {
    if (words.size() < 3 || words.size() > 4) fail("must be: witness NAME VKEY [URL]");
    const VerifierKey key = parse_key(words[2], SignatureType::ed25519_cosignature);
    if (!witness_keys_.insert(key.key).second) fail("a witness with this key is there already");
    if (policy_.witnesses.size() == kMostOfAKind) fail("too many witnesses");
    define(words[1]);
    policy_.witnesses.push_back(
        {std::string(words[1]), key, words.size() == 4 ? std::string(words[3]) : ""});
  }

  void take_group(const Words& words) {
    if (words.size() < 4) fail("must be: group NAME all|any|K MEMBER...");
    WitnessPolicy::Group group;
    group.name = words[1];
    const size_t count = words.size() - 3;
    group.threshold = parse_threshold(words[2], count);
    for (size_t i = 3; i < words.size(); ++i) {
      if (!is_defined(words[i])) fail("member ", words[i], " is not defined above");
      // In two groups, or twice in one, a single witness would count twice.
      if (!members_.emplace(words[i]).second) fail(words[i], " is a member of a group already");
      group.members.emplace_back(words[i]);
    }
    if (policy_.groups.size() == kMostOfAKind) fail("too many groups");
    define(words[1]);
    policy_.groups.push_back(std::move(group));
  }

  void take_quorum(const Words& words) {
    if (words.size() != 2) fail("must be: quorum NAME");
    if (!policy_.quorum.empty()) fail("a second quorum");
    if (words[1] != kNoQuorum && !is_defined(words[1])) fail(words[1], " is not defined above");
    policy_.quorum = words[1];
  }

  VerifierKey parse_key(std::string_view text, SignatureType type) const {
    try {
      VerifierKey key = parse_verifier_key(text);
      if (key.type != type) {
        throw Error(Errc::unsupported, "verifier key ", key.name, ": must be of type ",
                    type == SignatureType::ed25519 ? "01 (Ed25519)" : "04 (Ed25519 cosignature)");
      }
      return key;
    } catch (const Error& error) {
      throw Error(error.code(), "witness policy: line ", number_, ": ", error.what());
    }
  }

  size_t parse_threshold(std::string_view text, size_t members) const {
    if (text == "any") return 1;
    if (text == "all") return members;
    size_t k = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), k);
    if (problem != std::errc() || end != text.data() + text.size() || std::to_string(k) != text ||
        k < 1 || k > members) {
      fail("the threshold must be all, any or a number from 1 to ", members);
    }
    return k;
  }

  bool is_defined(std::string_view name) const { return names_.count(std::string(name)) != 0; }

  void define(std::string_view name) {
    if (name == kNoQuorum) fail("the name none is taken");
    if (!names_.emplace(name).second) fail("the name ", name, " is defined already");
  }

  WitnessPolicy policy_;
  std::set<std::string> names_;    // of witnesses and groups
  std::set<std::string> members_;  // of any group
  std::set<std::string> log_keys_, witness_keys_;
  int number_ = 0;  // of the line
};

// Groups come after their members, so one pass from the top decides each.
bool quorum_among(const WitnessPolicy& policy,
                  const std::vector<QuorumAnswer::Cosigned>& cosigned) {
  std::set<std::string_view> witnessing;
  for (const auto& [witness, seconds] : cosigned) witnessing.insert(witness);
  for (const WitnessPolicy::Group& group : policy.groups) {
    const auto count =
        std::count_if(group.members.begin(), group.members.end(),
                      [&](const std::string& member) { return witnessing.count(member) != 0; });
    if (group.threshold > 0 && static_cast<size_t>(count) >= group.threshold) {
      witnessing.insert(group.name);
    }
  }
  return policy.quorum == kNoQuorum || witnessing.count(policy.quorum) != 0;
}

}  // namespace

WitnessPolicy parse_witness_policy(std::string_view text) {
  return PolicyParser().parse(text);
}

WitnessPolicy parse_witness_policy(std::string_view text, std::string_view where) try {
  return parse_witness_policy(text);
} catch (const Error& error) {
  throw Error(error.code(), where, ": ", error.what());
}

WitnessPolicy read_witness_policy(const std::filesystem::path& path) {
  return parse_witness_policy(read_file(path, kLongestPolicy + 1), path.string());
}

QuorumAnswer quorum_met(const WitnessPolicy& policy, const Note& note) {
  QuorumAnswer answer;
  std::string origin;
  try {
    origin = parse_tree_head(note.text).origin;
  } catch (const Error&) {
    return answer;
  }
  for (const WitnessPolicy::Log& log : policy.logs) {
    if (!has_line_of(note, log.key)) continue;
    if (!signed_by(note, log.key)) {
      answer.bad.push_back(log.key.name);
    } else if (log.key.name == origin && answer.log.empty()) {
      answer.log = log.key.name;
    }
  }
  for (const WitnessPolicy::Witness& witness : policy.witnesses) {
    if (!has_line_of(note, witness.key)) continue;
    if (const auto seconds = cosigned_at(note, witness.key)) {
      answer.cosigned.push_back({witness.name, *seconds});
    } else {
      answer.bad.push_back(witness.name);
    }
  }
  answer.met = answer.bad.empty() && (policy.logs.empty() || !answer.log.empty()) &&
               quorum_among(policy, answer.cosigned);
  return answer;
}

}  // namespace cleared::ledger

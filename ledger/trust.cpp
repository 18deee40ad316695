#include "ledger/trust.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "ledger/base/error.h"
#include "ledger/base/file.h"

namespace cleared::ledger {
namespace {

constexpr uint64_t kMaxTrustBytes = 1 << 20;
constexpr std::string_view kNeed = "need ", kForeign = "foreign ";
constexpr std::array<std::string_view, 2> kActs = {"approve", "permit"};

void sort_unique(std::vector<std::string>& names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

// "need permit 2 approver"
Trust::Need parse_need(std::string_view line, const std::string& where) {
  const auto word = [&] {
    const std::string_view out = line.substr(0, line.find(' '));
    line.remove_prefix(std::min(line.size(), out.size() + 1));
    return out;
  };
  line.remove_prefix(kNeed.size());
  Trust::Need need;
  need.act = word();
  const std::string_view digits = word();
  need.role = line;
  const auto [end, problem] =
      std::from_chars(digits.data(), digits.data() + digits.size(), need.count);
  if (std::find(kActs.begin(), kActs.end(), need.act) == kActs.end() || problem != std::errc() ||
      std::to_string(need.count) != digits || end != digits.data() + digits.size() ||
      need.count == 0 || !is_role(need.role)) {
    throw Error(Errc::corrupt, where, ": expected \"need ACT COUNT ROLE\", as in \"need permit 2 ",
                "approver\"; acts are approve and permit");
  }
  return need;
}

// "fresh permit 12"
void parse_fresh(std::string_view line, const std::string& where, Trust& out) {
  const bool permit = line.starts_with("fresh permit ");
  const std::string_view digits = line.substr(std::min(line.size(), line.find_last_of(' ') + 1));
  uint64_t hours = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), hours);
  uint64_t& place = permit ? out.fresh_permit_h : out.fresh_head_h;
  const std::string written = (permit ? "fresh permit " : "fresh head ") + std::to_string(hours);
  if (problem != std::errc() || end != digits.data() + digits.size() || hours == 0 ||
      hours > 24 * 366 || line != written) {
    throw Error(Errc::corrupt, where, ": expected \"fresh permit HOURS\" or \"fresh head HOURS\", ",
                "as in \"fresh head 48\"");
  }
  if (place != 0) throw Error(Errc::corrupt, where, ": says twice how fresh it must be");
  place = hours;
}

// "foreign A"
void parse_foreign(std::string_view line, const std::string& where, Trust& out) {
  const char worst = line.size() == kForeign.size() + 1 ? line.back() : ' ';
  if (worst < 'A' || worst > 'C') {
    throw Error(Errc::corrupt, where, ": expected \"foreign CLASS\", the worst contact class ",
                "allowed: A, B or C");
  }
  if (out.foreign != 0) throw Error(Errc::corrupt, where, ": says twice what may be foreign");
  out.foreign = static_cast<uint32_t>(worst - 'A' + 1);
}

// The newest key: under two names one key would be two votes.
void check_own_key(const Trust& trust, const std::string& where) {
  const VerifierKey& newest = trust.keys.back().key;
  for (const PublicKey& other : trust.keys) {
    if (other.key.key == newest.key && other.key != newest) {
      throw Error(Errc::corrupt, where, ": ", newest.name, " is the key of ", other.key.name,
                  " under another name; take one of the lines out");
    }
  }
}

void check_need(const Trust& trust, const Trust::Need& need, const std::string& where) {
  const auto names = voters(trust.keys_of(need.role));
  if (names.size() < need.count) {
    throw Error(Errc::corrupt, where, ": ", need.act, " needs ", need.count, " names of role ",
                need.role, ", and the file has keys of ", names.size(), ": nobody could meet it");
  }
  if (std::count_if(trust.needs.begin(), trust.needs.end(), [&](const Trust::Need& other) {
        return other.act == need.act && other.role == need.role;
      }) > 1) {
    throw Error(Errc::corrupt, where, ": says twice how many ", need.role, " ", need.act, " needs");
  }
}

}  // namespace

std::string missing_names(uint32_t count, std::string_view role,
                          const std::vector<std::string>& names) {
  std::string out = std::to_string(count) + " different names of role " + std::string(role) +
                    ", it has " + std::to_string(names.size());
  for (size_t i = 0; i < names.size(); ++i) out += (i == 0 ? " (" : ", ") + names[i];
  return names.empty() ? out : out + ")";
}

std::vector<std::string> voters(const std::vector<VerifierKey>& keys) {
  std::set<std::string_view> counted;
  std::vector<std::string> names;
  for (const VerifierKey& key : keys) {
    if (counted.insert(key.key).second) names.push_back(key.name);
  }
  sort_unique(names);
  return names;
}

std::vector<std::string> Trust::signers(const Note& note, std::string_view role) const {
  std::vector<VerifierKey> signed_with;
  for (const PublicKey& key : keys) {
    if ((role.empty() || key.role == role) && signed_by(note, key.key))
      signed_with.push_back(key.key);
  }
  return voters(signed_with);
}

Trust::Answer Trust::ask(const Note& note, std::string_view act) const {
  Answer out;
  const auto demand = [&](uint32_t count, const std::string& role) {
    const auto names = signers(note, role);
    if (names.size() < count && out.missing.empty())
      out.missing = missing_names(count, role, names);
    out.names.insert(out.names.end(), names.begin(), names.end());
  };
  bool said = false;
  for (const Need& need : needs) {
    if (need.act != act) continue;
    said = true;
    demand(need.count, need.role);
  }
  if (!said) demand(1, "approver");
  sort_unique(out.names);
  return out;
}

std::vector<VerifierKey> Trust::keys_of(std::string_view role) const {
  std::vector<VerifierKey> out;
  for (const PublicKey& key : keys) {
    if (key.role == role) out.push_back(key.key);
  }
  return out;
}

Trust parse_trust(std::string_view text, std::string_view where) {
  Trust out;
  std::vector<std::string> need_lines;  // where each need stands
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty() || line.front() == '#') continue;
    const std::string at = std::string(where) + ":" + std::to_string(number);
    if (line.starts_with(kNeed)) {
      out.needs.push_back(parse_need(line, at));
      need_lines.push_back(at);
    } else if (line.starts_with("fresh ")) {
      parse_fresh(line, at, out);
    } else if (line.starts_with(kForeign)) {
      parse_foreign(line, at, out);
    } else {
      out.keys.push_back(parse_public_key(line, at));
      check_own_key(out, at);
    }
  }
  if (out.keys.empty()) throw Error(Errc::corrupt, where, ": holds no public key");
  for (size_t i = 0; i < out.needs.size(); ++i) check_need(out, out.needs[i], need_lines[i]);
  return out;
}

Trust read_trust(const std::filesystem::path& path) {
  return parse_trust(read_file(path, kMaxTrustBytes), path.string());
}

}  // namespace cleared::ledger

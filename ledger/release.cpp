#include "ledger/release.h"

#include <algorithm>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/notices.h"
#include "ledger/rules.h"
#include "ledger/textproto.h"
#include "ledger/trust.h"

namespace cleared::ledger {
namespace {

constexpr uint64_t kMaxReleaseBytes = 16 << 20;

uint64_t release_time(const std::string& text, const std::string& where) {
  const auto time = parse_time(text);
  if (!time) throw Error(Errc::corrupt, where, ": \"", text, "\" is not a time");
  return *time;
}

Verdict check_release_times(const Release& release, const Trust& trust, const std::string& name) {
  const uint64_t issued = release_time(release.issued_at(), name);
  const uint64_t ends = release_time(release.expires_at(), name);
  const uint64_t now = now_us();
  if (now + kClockSkewUs < issued || now >= ends || ends - issued > kMaxPermitHours * kHourUs) {
    return no("release_ended", name + " holds from " + release.issued_at() + " to " +
                                   release.expires_at() + ", at most " +
                                   std::to_string(kMaxPermitHours) + " hours");
  }
  if (trust.fresh_permit_h > 0 && now > issued + trust.fresh_permit_h * kHourUs) {
    return no("permit_stale", name + " was issued at " + release.issued_at() +
                                  ", the trust file asks for at most " +
                                  std::to_string(trust.fresh_permit_h) + " hours");
  }
  const uint64_t head = release.has_tree_at() ? release_time(release.tree_at(), name) : 0;
  if (trust.fresh_head_h > 0 && now > head + trust.fresh_head_h * kHourUs) {
    return no("head_stale", "the newest record under the tree head of " + name + " is of " +
                                (head == 0 ? "an unknown time" : release.tree_at()) +
                                ", the trust file asks for at most " +
                                std::to_string(trust.fresh_head_h) + " hours");
  }
  return yes();
}

Verdict check_release_notices(const Release& release, const std::filesystem::path& folder) {
  const std::vector<std::string> revokers(release.revoker().begin(), release.revoker().end());
  for (const auto& [path, notice] : read_notices(folder, revokers)) {
    for (const std::string& ref : release.licence()) {
      if (!notice.has_licence() || !ref.starts_with(notice.licence() + "@")) continue;
      return no("revoked", "licence " + notice.licence() + ", which the weights consumed under, " +
                               "was revoked at " + notice.at() + " (" + notice.reason() +
                               "), notice " + path.string());
    }
    // A release does not list what the weights consumed, so one that it does not know to be taken
    // back may be of it, whenever that was drafted.
    const auto& known = release.revoked_shard();
    if (notice.has_shard() &&
        std::find(known.begin(), known.end(), notice.shard()) == known.end()) {
      return no("revoked", "shard " + notice.shard() + " was revoked at " + notice.at() +
                               ", which the release does not know of; ask for a new one");
    }
  }
  return yes();
}

}  // namespace

Verdict check_release(const ReleaseOptions& options) try {
  const std::string name = "release " + options.release.string();
  const Note note =
      parse_note(read_file(options.release, kMaxReleaseBytes), options.release.string());
  ReleaseText text;
  parse_textproto(note.text, options.release.string(), text);
  const Release& release = text.release();
  const Trust trust = read_trust(options.trust);
  if (const auto answer = trust.ask(note, "permit"); !answer.missing.empty()) {
    return no("release_unsigned", name + " must be signed by keys that " + options.trust.string() +
                                      " trusts: " + answer.missing);
  }
  if (release.checkpoint() != digest_name(options.weights)) {
    return no("release_other_weights", name + " is for weights " + release.checkpoint() +
                                           ", these are " + digest_name(options.weights));
  }
  if (release.use() != options.use) {
    return no("release_other_use",
              name + " is for " + Use_Name(release.use()) + ", not for " + Use_Name(options.use));
  }
  for (const std::string& weights : options.foreign) {
    if (std::any_of(release.foreign().begin(), release.foreign().end(),
                    [&](const Foreign& listed) { return listed.weights() == weights; })) {
      continue;
    }
    return no("permit_other_foreign", name + " does not list the foreign weights " + weights +
                                          ", which the checkpoint began with");
  }
  for (const Foreign& weights : release.foreign()) {
    Verdict verdict = judge_foreign(weights, trust.foreign, options.trust.string());
    if (!verdict.cleared) return verdict;
  }
  if (Verdict verdict = check_release_times(release, trust, name); !verdict.cleared) return verdict;
  return check_release_notices(release, options.notices);
} catch (const Refused& refused) {
  return refused.verdict();
}

}  // namespace cleared::ledger

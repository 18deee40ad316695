#include "train/claims.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/note.h"
#include "ledger/notes.pb.h"
#include "ledger/textproto.h"
#include "train/data/config.h"
#include "train/receipt.h"
#include "train/run_folder.h"
#include "train/statement.h"

namespace cleared::train {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kClaimLimit = 1 << 20;

State read_state(const fs::path& folder) {
  State state;
  const fs::path path = folder / "state.textproto";
  ledger::parse_textproto(read_file(path, kClaimLimit), path.string(), state);
  return state;
}

std::string list_of(const std::vector<uint64_t>& steps) {
  std::string text;
  for (const uint64_t step : steps) text += (text.empty() ? "" : ", ") + std::to_string(step);
  return text.empty() ? "none" : text;
}

// Digests of all files, and the trainer's signature over them. Whether the statement lies is asked
// later.
ClaimedCheckpoint open_checkpoint(const fs::path& folder,
                                  const std::vector<ledger::PublicKey>& trusted) {
  verify_checkpoint(folder);
  verify_signed(folder, trusted);
  return {.folder = folder, .state = read_state(folder), .span = {}};
}

std::optional<Disagreement> check_statement(const ClaimedCheckpoint& at) {
  const auto lie = compare_statement(at.folder);
  if (!lie) return {};
  return Disagreement{at.state.step(), "statement of " + at.folder.filename().string(),
                      lie->claimed, lie->made};
}

// Where the receipt of this checkpoint begins; none where it cannot be read.
std::optional<uint64_t> first_step_of(const fs::path& folder) try {
  const fs::path path = folder / "receipt.note";
  ledger::ReceiptText text;
  ledger::parse_textproto(ledger::parse_note(read_file(path, kClaimLimit)).text, path.string(),
                          text);
  return text.receipt().first_step();
} catch (const Error&) {
  return {};
}

// The receipt of one checkpoint: signed by the trainer, about this run and these weights, its roots
// those of the lines beside it, and the next link of the chain.
class ReceiptCheck {
 public:
  ReceiptCheck(ClaimedCheckpoint& at, const ClaimedCheckpoint* before)
      : state_(at.state), span_(at.span), before_(before), folder_(at.folder) {
    const fs::path path = folder_ / "receipt.note";
    text_ = read_file(path, kClaimLimit);
    note_ = ledger::parse_note(text_);
    ledger::ReceiptText parsed;
    ledger::parse_textproto(note_.text, path.string(), parsed);
    receipt_ = parsed.receipt();
  }

  std::optional<Disagreement> run(const std::vector<ledger::PublicKey>& trusted, Claims& claims) {
    const bool is_signed =
        std::any_of(trusted.begin(), trusted.end(), [&](const ledger::PublicKey& key) {
          return key.role == "trainer" && ledger::signed_by(note_, key.key);
        });
    if (!is_signed) return no("signature", "none of a trusted trainer", "one");
    if (receipt_.first_step() > (before_ == nullptr ? 0 : before_->state.step())) {
      throw Error(Errc::not_found, "checkpoint ", folder_.string(),
                  ": its run receipt begins at step ", receipt_.first_step(),
                  ", and the checkpoint there is gone: ", way_out());
    }
    // Not as a run writes it is a forgery too: the root alone would not say so.
    const fs::path path = folder_ / "steps.txt", at = folder_ / kPlacesFile;
    const std::string lines = read_file(path);
    std::string places;
    try {
      places = read_file(at);
      span_.emplace(parse_span(lines, receipt_.first_step(), path.string(),
                               std::make_shared<const Places>(parse_places(places, at.string()))));
    } catch (const Error& error) {
      return no("step lines", error.what(), "lines that parse");
    }
    using ledger::digest_name;
    const std::string start = before_ == nullptr ? "0" : std::to_string(before_->state.step());
    const std::string previous = before_ == nullptr ? "" : before_->state.receipt();
    const std::string parent = before_ == nullptr ? "" : before_->state.weights();
    struct Fact {
      const char* what;
      std::string claimed, found;
    };
    const Fact facts[] = {
        {"run", receipt_.run(), state_.run()},
        {"permit", receipt_.permit(), state_.permit()},
        {"tree head", head_of(receipt_), head_of(state_)},
        {"first step", std::to_string(receipt_.first_step()), start},
        {"last step", std::to_string(receipt_.end_step()), std::to_string(state_.step())},
        {"folder", step_folder("", state_.step()).string(), folder_.filename().string()},
        {"number of lines", std::to_string(receipt_.end_step()), std::to_string(span_->end_step())},
        {"steps root", receipt_.steps_root(), digest_name(span_->steps_root())},
        {"places", digest_name(ledger::sha256(places)),
         digest_name(ledger::sha256(span_->places_text()))},
        {"consumed root", receipt_.consumed_root(),
         digest_name(span_->consumed_root(state_.run()))},
        {"samples", std::to_string(receipt_.samples()), std::to_string(span_->consumed().size())},
        {"sample time", std::to_string(receipt_.sample_us()), std::to_string(span_->sample_us())},
        {"weights", receipt_.checkpoint(), state_.weights()},
        {"receipt", state_.receipt(), digest_name(ledger::sha256(text_))},
        {"receipt before", receipt_.previous(), previous},
        {"receipt before", state_.previous_receipt(), previous},
        {"parent", state_.parent(), parent},
        {"weights file", state_.weights(), weights_digest()},
        {"list of tensors", state_.tensors(), digest_of("tensors.txt")},
        {"config file", state_.config(), digest_of("config.textproto")},
    };
    for (const Fact& fact : facts) {
      if (fact.claimed != fact.found) return no(fact.what, fact.claimed, fact.found);
    }
    take(lines, claims);
    return {};
  }

 private:
  std::optional<Disagreement> no(const std::string& what, const std::string& claimed,
                                 const std::string& found) const {
    return Disagreement{.step = receipt_.first_step(),
                        .what = "run receipt of " + folder_.filename().string() + ": " + what,
                        .claimed = claimed,
                        .replayed = found};
  }

  // Of the checkpoints that are left, the first that the one after it begins at.
  std::string way_out() const {
    const std::vector<uint64_t> steps = checkpoint_steps(folder_.parent_path());
    for (size_t i = 0; i + 1 < steps.size(); ++i) {
      if (first_step_of(step_folder(folder_.parent_path(), steps[i + 1])) == steps[i]) {
        return "replay with --from " + std::to_string(steps[i]);
      }
    }
    return "no two in a row are left to replay; let the config's checkpoints.keep be 0, or keep "
           "more";
  }

  std::string weights_digest() const {
    return ledger::digest_name(tensors_file(folder_, read_sums(folder_), kWeightsStem).digest);
  }
  // verify_checkpoint has compared the file with SHA256SUMS, so this is the file's.
  std::string digest_of(const std::string& name) const {
    for (const FileDigest& file : read_sums(folder_)) {
      if (file.name == name) return ledger::digest_name(file.digest);
    }
    return "";
  }

  template <class Message>
  static std::string head_of(const Message& message) {
    return message.origin() + " " + std::to_string(message.tree_size()) + " " + message.tree_root();
  }

  void take(const std::string& lines, Claims& claims) const {
    uint64_t step = receipt_.first_step();
    for (std::string_view rest = lines; !rest.empty();) {
      const size_t end = rest.find('\n');
      const std::string line(rest.substr(0, end));
      if (line.starts_with("codec")) claims.codec = line;
      else claims.lines.emplace(step++, line);
      rest.remove_prefix(end + 1);
    }
  }

  const State& state_;
  std::optional<Span>& span_;
  const ClaimedCheckpoint* before_;
  fs::path folder_;
  std::string text_;
  ledger::Note note_;
  ledger::Receipt receipt_;
};

// As check_slots in train/start.h has it.
bool can_have(const RunConfig& config, uint32_t ranks) {
  const auto shares = [&](uint32_t number) { return ranks > 0 && number % ranks == 0; };
  const auto shapes = by_shape(config);
  return std::all_of(shapes.begin(), shapes.end(),
                     [&](const RunConfig& shape) { return shares(shape.batch()); }) &&
         (config.gradients() == RunConfig::REDUCER || shares(micro_batches_of(config)));
}

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> words;
  size_t start = 0;
  for (size_t end = 0; end != std::string::npos; start = end + 1) {
    end = line.find(' ', start);
    words.push_back(line.substr(start, end == std::string::npos ? end : end - start));
  }
  return words;
}

std::optional<float> float_of(const std::string& hex) {
  uint32_t bits = 0;
  const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), bits, 16);
  if (error != std::errc() || end != hex.data() + hex.size()) return {};
  return std::bit_cast<float>(bits);
}

bool is_close(const std::string& a, const std::string& b, double tolerance) {
  const auto x = float_of(a), y = float_of(b);
  if (!x || !y || !std::isfinite(*x) || !std::isfinite(*y)) return false;
  return std::abs(*x - *y) <= tolerance * std::max(std::abs(*x), std::abs(*y));
}

// The bits as a number, for people.
std::string shown(const std::string& hex) {
  const auto value = float_of(hex);
  if (!value) return hex;
  char text[64];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(*value));
  return text;
}

}  // namespace

Claims read_claims(const ClaimsOptions& options, const std::vector<ledger::PublicKey>& trusted) {
  const std::vector<uint64_t> steps = checkpoint_steps(options.run);
  Claims claims;
  if (options.from > 0) {
    if (std::find(steps.begin(), steps.end(), options.from) == steps.end()) {
      throw Error(Errc::not_found, "checkpoint ", step_folder(options.run, options.from).string(),
                  ": no such folder; --from takes 0 or one of: ", list_of(steps));
    }
    claims.start = open_checkpoint(step_folder(options.run, options.from), trusted);
  }
  const auto next = std::upper_bound(steps.begin(), steps.end(), options.from);
  if (next == steps.end()) {
    throw Error(Errc::not_found, "run ", options.run.string(), ": no checkpoint after step ",
                options.from, " says what its steps were; there are: ", list_of(steps));
  }
  if (options.steps && *options.steps > steps.back() - options.from) {
    throw Error(Errc::not_found, "run ", options.run.string(), ": its last checkpoint is of step ",
                steps.back(), ", asked for are ", *options.steps, " steps from ", options.from);
  }
  claims.end_step = options.steps ? options.from + *options.steps : *next;
  uint64_t covered = options.from;
  for (auto step = next; covered < claims.end_step; ++step) {
    claims.checkpoints.push_back(open_checkpoint(step_folder(options.run, *step), trusted));
    covered = *step;
  }
  if (claims.start) claims.disagreement = check_statement(*claims.start);
  for (size_t i = 0; i < claims.checkpoints.size() && !claims.disagreement; ++i) {
    const ClaimedCheckpoint* before = i > 0          ? &claims.checkpoints[i - 1]
                                      : claims.start ? &*claims.start
                                                     : nullptr;
    ReceiptCheck check(claims.checkpoints[i], before);
    claims.disagreement = check.run(trusted, claims);
    if (!claims.disagreement) claims.disagreement = check_statement(claims.checkpoints[i]);
  }
  return claims;
}

Ranks claimed_ranks(const ClaimsOptions& options, const std::vector<ledger::PublicKey>& trusted,
                    const Ranks& asked) {
  if (asked.ranks > 0 && asked.threads > 0) return asked;
  const std::vector<uint64_t> steps = checkpoint_steps(options.run);
  const auto step = std::upper_bound(steps.begin(), steps.end(), options.from);
  if (step == steps.end()) {
    throw Error(Errc::not_found, "run ", options.run.string(), ": no checkpoint after step ",
                options.from, "; there are: ", list_of(steps));
  }
  // The weights are not hashed for it: the signature is over the digests of the two files.
  const fs::path folder = step_folder(options.run, *step);
  const auto listed = listed_files(folder);
  verify_signed(folder, trusted);
  for (const FileDigest& file : listed) {
    if (file.name != "state.textproto" && file.name != "config.textproto") continue;
    check_digest(folder, file, digest_of_file(folder / file.name));
  }
  const State state = read_state(folder);
  const RunConfig config = load_config(folder / "config.textproto").config;
  const auto number = [&](int mine, uint32_t theirs, bool possible, const char* what,
                          const char* flag) {
    constexpr uint32_t kMost = 1024;  // that the flags take
    if (mine > 0) return mine;
    if (possible && theirs > 0 && theirs <= kMost) return static_cast<int>(theirs);
    throw Error(Errc::corrupt, "checkpoint ", folder.string(), ": state.textproto says ", theirs,
                " ", what, ", which are not started by its word: say with ", flag,
                " how many to start");
  };
  return {number(asked.ranks, state.ranks(), can_have(config, state.ranks()), "ranks",
                 "--nproc-per-node"),
          number(asked.threads, state.threads(), true, "threads", "--threads")};
}

std::optional<Disagreement> compare_lines(const std::string& claimed, const std::string& replayed,
                                          uint64_t step, double tolerance) {
  if (claimed == replayed) return {};
  const auto was = fields_of(claimed), is = fields_of(replayed);
  // "step" N "loss" X "norm" Y "applied" samples...
  static const char* const kFacts[] = {"", "step", "", "loss", "", "norm", "applied"};
  for (size_t i = std::size(kFacts); i < std::max(was.size(), is.size()); ++i) {
    const std::string a = i < was.size() ? was[i] : "no sample";
    const std::string b = i < is.size() ? is[i] : "no sample";
    if (a == b) continue;
    return Disagreement{step, "sample of slot " + std::to_string(i - std::size(kFacts)), a, b};
  }
  for (size_t i = 0; i < std::min({std::size(kFacts), was.size(), is.size()}); ++i) {
    if (was[i] == is[i]) continue;
    const bool number = i == 3 || i == 5;
    if (number && tolerance > 0 && is_close(was[i], is[i], tolerance)) continue;
    return Disagreement{step, kFacts[i], number ? shown(was[i]) : was[i],
                        number ? shown(is[i]) : is[i]};
  }
  return {};
}

}  // namespace cleared::train

#include "tools/impact_command.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <span>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "ledger/base/bytes.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/impact.h"
#include "ledger/licence.h"
#include "ledger/note.h"
#include "ledger/shard_proof.h"
#include "ledger/tree_head.h"
#include "tools/cli.h"
#include "tools/output.h"
#include "tools/page.h"
#include "tools/proof_commands.h"
#include "tools/rights_commands.h"

namespace cleared::tools {
using namespace cleared::ledger;
namespace {

constexpr size_t kPageProofs = 1'000;  // at some 4 KB each
constexpr const char* kAll = "ledger impact --json prints them all";

struct ImpactOptions {
  std::string ledger, what, licence, html, proofs, head;
  bool json = false;
};

std::string fixed(uint64_t value, uint64_t unit, int digits) {
  char out[48];
  std::snprintf(out, sizeof out, "%.*f", digits,
                static_cast<double>(value) / static_cast<double>(unit));
  return out;
}
std::string seconds(uint64_t us) {
  return fixed(us, 1'000'000, 1);
}
std::string hours(const Price& price) {
  if (!price.measured && price.machine_us == 0) return "not measured";
  return (price.measured ? "" : "over ") + fixed(price.machine_us, 3'600'000'000, 4);
}

std::string count(uint64_t value, const std::string& word) {
  return std::to_string(value) + " " + word + (value == 1 ? "" : "s");
}

std::vector<std::string> sentences(const Impact& i) {
  std::vector<std::string> out = {
      i.what + ": " + count(i.clips, "clip") + " (" + seconds(i.duration_us) + " s) of " +
          count(i.sources, "source") + ", in " + count(i.shards.size(), "shard") + "; " +
          std::to_string(i.consumed_clips) + " of them consumed, " +
          std::to_string(i.clips - i.consumed_clips) + " never",
      "touched: " + std::to_string(i.runs.size()) + " of " + count(i.all_runs, "run") + ", " +
          std::to_string(i.touched_checkpoints) + " of " + count(i.all_checkpoints, "checkpoint") +
          "; untouched: " + count(i.all_runs - i.runs.size(), "run") + ", " +
          count(i.all_checkpoints - i.touched_checkpoints, "checkpoint")};
  if (!i.releases.empty()) {
    const auto running = std::count_if(i.releases.begin(), i.releases.end(),
                                       [](const ReleaseImpact& r) { return r.runs; });
    out.push_back("released: " + count(i.releases.size(), "note") +
                  " of touched checkpoints; still running: " + std::to_string(running));
  }
  if (!i.runs.empty()) {
    out.push_back("training again without it, from the last clean checkpoints: " +
                  count(i.price.steps, "step") + ", " + seconds(i.price.sample_us) +
                  " sample-seconds, " + hours(i.price) + " machine-hours");
  }
  return out;
}

std::string standing(const ReleaseImpact& r) {
  if (!r.taken_back.empty()) return "taken back " + r.taken_back;
  return r.runs ? "still runs" : "ended";
}
Table release_table(const Impact& impact) {
  Table out;
  out.columns = {"record", "run", "step", "use", "territory", "until", "standing"};
  out.numeric = {true, false, true, false, false, false, false};
  for (const ReleaseImpact& r : impact.releases) {
    out.rows.push_back({std::to_string(r.seq), r.run, std::to_string(r.step), r.use, r.territory,
                        r.expires_at, standing(r)});
  }
  return out;
}

std::string clean_text(const RunImpact& r) {
  if (!r.clean) return "none: from the seed";
  return (r.clean_run == r.run ? "" : r.clean_run + " ") + "step " + std::to_string(r.clean->step) +
         " " + r.clean->digest.substr(0, 16);
}

Table run_table(const Impact& impact) {
  Table out;
  out.columns = {"run",   "first_touch", "touched_steps", "checkpoints", "untouched",
                 "clean", "steps",       "sample_s",      "machine_h"};
  out.numeric = {false, true, false, false, false, false, true, true, true};
  for (const RunImpact& r : impact.runs) {
    std::string touched, untouched;
    for (const CheckpointImpact& k : r.checkpoints) {
      std::string& list = k.touched ? touched : untouched;
      list += (list.empty() ? "" : " ") + std::to_string(k.step);
    }
    out.rows.push_back({r.run, std::to_string(r.first_step),
                        std::to_string(r.first_step) + " to " + std::to_string(r.end_step - 1),
                        touched, untouched.empty() ? "none" : untouched, clean_text(r),
                        std::to_string(r.price.steps), seconds(r.price.sample_us), hours(r.price)});
  }
  return out;
}

Table shard_table(const Impact& impact) {
  Table out;
  out.columns = {"shard", "root", "samples", "of", "runs"};
  out.numeric = {false, false, true, true, true};
  for (const ShardImpact& s : impact.shards) {
    out.rows.push_back(
        {s.name, s.root, std::to_string(s.samples), std::to_string(s.of), std::to_string(s.runs)});
  }
  return out;
}

std::vector<std::string> forecast_sentences(const std::vector<Forecast>& forecasts) {
  std::vector<std::string> out;
  for (const Forecast& f : forecasts) {
    const auto again = [&](uint64_t step, const Price& price) {
      return "step " + std::to_string(step) + ": " + count(price.steps, "step") + ", " +
             seconds(price.sample_us) + " sample-seconds, " + hours(price) + " machine-hours";
    };
    out.push_back("if a run like " + f.run + " of " + f.model + " (" + count(f.steps, "step") +
                  ") had it among its samples, " + std::to_string(f.covered) + " of " +
                  std::to_string(f.samples) + ", and it were taken back afterwards:");
    out.push_back("  in the usual order it is first consumed at about " +
                  again(f.first_step, f.expected));
    out.push_back("  with revocable footage last, at " + again(f.last_step, f.last));
  }
  return out;
}

Json to_json(const Price& price) {
  return {{"steps", price.steps},
          {"sample_us", price.sample_us},
          {"machine_us", price.machine_us},
          {"measured", price.measured}};
}

Json to_json(const std::vector<CheckpointImpact>& checkpoints) {
  Json out = Json::array();
  for (const CheckpointImpact& k : checkpoints) {
    out.push_back(
        {{"record", k.seq}, {"step", k.step}, {"digest", k.digest}, {"touched", k.touched}});
  }
  return out;
}

Json to_json(const RunImpact& r) {
  Json out = {{"record", r.seq},
              {"run", r.run},
              {"first_step", r.first_step},
              {"end_step", r.end_step},
              {"through", r.through},
              {"first_receipt", r.first_receipt},
              {"passes", r.passes},
              {"sample_us", r.sample_us},
              {"checkpoints", to_json(r.checkpoints)},
              {"last_clean", nullptr},
              {"price", to_json(r.price)}};
  if (r.clean) {
    out["last_clean"] = {{"run", r.clean_run},
                         {"record", r.clean->seq},
                         {"step", r.clean->step},
                         {"digest", r.clean->digest}};
  }
  return out;
}

Json to_json(const ReleaseImpact& r) {
  return {{"record", r.seq},
          {"run", r.run},
          {"step", r.step},
          {"checkpoint", r.checkpoint},
          {"use", r.use},
          {"territory", r.territory},
          {"issued_at", r.issued_at},
          {"expires_at", r.expires_at},
          {"signers", r.signers},
          {"taken_back", r.taken_back.empty() ? Json(nullptr) : Json(r.taken_back)},
          {"runs", r.runs}};
}

Json to_json(const Forecast& f) {
  return {{"model", f.model},
          {"run", f.run},
          {"samples", f.samples},
          {"covered", f.covered},
          {"first_step", f.first_step},
          {"price", to_json(f.expected)},
          {"first_step_if_last", f.last_step},
          {"price_if_last", to_json(f.last)}};
}

Json to_json(const Store& store, const Impact& impact, const std::vector<Forecast>& forecasts,
             const std::vector<TlogProof>& proofs) {
  Json out = {{"what", impact.what},
              {"records", impact.about},
              {"sources", impact.sources},
              {"clips", impact.clips},
              {"clips_consumed", impact.consumed_clips},
              {"duration_us", impact.duration_us},
              {"runs_touched", impact.runs.size()},
              {"runs_untouched", impact.all_runs - impact.runs.size()},
              {"checkpoints_touched", impact.touched_checkpoints},
              {"checkpoints_untouched", impact.all_checkpoints - impact.touched_checkpoints},
              {"price", to_json(impact.price)},
              {"shards", Json::array()},
              {"runs", Json::array()},
              {"untouched_runs", Json::array()},
              {"clip_ids", clip_ids(store, impact)},
              {"releases", Json::array()},
              {"forecast", Json::array()},
              {"head", proofs.empty() ? "" : proofs.front().head},
              {"proofs", Json::array()}};
  for (const ShardImpact& s : impact.shards) {
    out["shards"].push_back({{"record", s.seq},
                             {"root", s.root},
                             {"name", s.name},
                             {"samples", s.samples},
                             {"of", s.of},
                             {"runs", s.runs}});
  }
  for (const RunImpact& r : impact.runs) out["runs"].push_back(to_json(r));
  for (const UntouchedRun& r : untouched_runs(store, impact)) {
    out["untouched_runs"].push_back(
        {{"record", r.seq}, {"run", r.run}, {"checkpoints", to_json(r.checkpoints)}});
  }
  for (const ReleaseImpact& r : impact.releases) out["releases"].push_back(to_json(r));
  for (const Forecast& f : forecasts) out["forecast"].push_back(to_json(f));
  for (const TlogProof& p : proofs) {
    Json path = Json::array();
    for (const Digest& digest : p.path) path.push_back(to_base64(digest.bytes));
    out["proofs"].push_back(
        {{"record", p.index}, {"bytes", to_base64(as_bytes(*p.extra))}, {"path", std::move(path)}});
  }
  return out;
}

std::string to_page(const Store& store, const Impact& impact,
                    const std::vector<Forecast>& forecasts, const std::vector<TlogProof>& proofs,
                    size_t named) {
  Page page("Impact of taking back " + impact.what);
  page.sentence("Ledger " + store.origin() + ", " + std::to_string(store.size()) +
                " records, as of " + format_time(store.newest_at_us()) + ".");
  for (const std::string& line : sentences(impact)) page.sentence(line + ".");
  for (const std::string& line : forecast_sentences(forecasts)) page.sentence(line);
  page.heading("Runs that consumed it");
  page.sentence(
      "Steps count from 0. A checkpoint is touched when its span consumed one of the clips, or "
      "when "
      "it continued from one that is touched. What it costs is what those spans cost when they "
      "were "
      "trained.");
  page.table(run_table(impact), kAll);
  page.heading("Runs that did not");
  Table clean;
  clean.columns = {"run", "checkpoints"};
  clean.numeric = {false, false};
  for (const UntouchedRun& r : untouched_runs(store, impact)) {
    std::string steps;
    for (const CheckpointImpact& k : r.checkpoints) {
      steps += (steps.empty() ? "" : " ") + std::to_string(k.step);
    }
    clean.rows.push_back({r.run, steps.empty() ? "none" : steps});
  }
  page.table(clean, kAll);
  page.heading("Releases of touched checkpoints");
  page.sentence(
      "Notes by which weights were let go or generate where there is no ledger. One still runs "
      "until "
      "the time that it says, unless a licence that it stands on was revoked, or a shard that it "
      "does not list as revoked before: then whoever sees that notice uses it no more.");
  page.table(release_table(impact), kAll);
  page.heading("Shards that hold it");
  page.table(shard_table(impact), kAll);
  page.heading("Proofs");
  page.sentence(std::to_string(proofs.size()) + " of " + std::to_string(named) +
                " records named above are proven to be in the log, under a signed tree head; "
                "ledger proven --trust LOG.pub checks them on this very page, without the "
                "ledger.");
  if (proofs.size() > kPageProofs) {
    page.sentence("They are too many for a page: it has the first " + std::to_string(kPageProofs) +
                  "; ledger impact --proofs FILE writes them all.");
  }
  page.block("proofs",
             format_shard_proofs(std::span(proofs).first(std::min(proofs.size(), kPageProofs))));
  return std::move(page).finish();
}

LicenceText read_terms(const std::string& path) {
  std::string text = read_file(path);
  if (text.find("\n\n\u2014 ") != std::string::npos) text = parse_note(text, path).text;
  return parse_licence(text, path);
}

int impact(const ImpactOptions& o) {
  if (o.what.empty() == o.licence.empty()) {
    throw Error(Errc::usage,
                "impact: name a licence, source, clip or shard, or give --licence FILE");
  }
  const Store store(o.ledger, Access::read);
  std::vector<Forecast> forecasts;
  Impact answer;
  if (o.licence.empty()) {
    answer = impact_of(store, o.what);
  } else {
    const LicenceText terms = read_terms(o.licence);
    answer = impact_of(store, terms);
    forecasts = forecast(store, terms, answer);
  }
  const auto named = named_records(answer);
  std::vector<TlogProof> proofs;
  if (o.json || !o.html.empty() || !o.proofs.empty()) {
    proofs = prove_records(store, named, head_to_prove_under(store, o.head));
  }
  if (!o.proofs.empty()) write_file(o.proofs, format_shard_proofs(proofs));
  if (!o.html.empty()) {
    write_file(o.html, to_page(store, answer, forecasts, proofs, named.size()));
  }
  if (o.json) {
    print_json(to_json(store, answer, forecasts, proofs));
    return exit_ok;
  }
  for (const std::string& line : sentences(answer)) std::printf("%s\n", printable(line).c_str());
  if (!answer.runs.empty()) print_table(run_table(answer));
  if (!answer.releases.empty()) print_table(release_table(answer));
  for (const std::string& line : forecast_sentences(forecasts)) {
    std::printf("%s\n", printable(line).c_str());
  }
  if (!o.licence.empty() && answer.sources == 0) {
    std::printf("it covers no footage that is in the ledger, so nothing can be said yet\n");
  }
  for (const std::string& file : {o.html, o.proofs}) {
    if (!file.empty()) {
      std::printf("%s: with proofs of %zu of %zu records\n", file.c_str(), proofs.size(),
                  named.size());
    }
  }
  return exit_ok;
}

}  // namespace

void add_impact_command(CLI::App& app, std::function<int()>& run) {
  const auto o = std::make_shared<ImpactOptions>();
  CLI::App* command = app.add_subcommand(
      "impact", "what a revocation reaches: runs, checkpoints, and the price of training again");
  command->callback([o, &run] { run = [o] { return impact(*o); }; });
  command->add_option("LEDGER", o->ledger, "the ledger file")->required();
  command->add_option("WHAT", o->what, "a licence's id, or what names a source, clip or shard");
  command->add_option("--licence", o->licence,
                      "before it is signed: what would it cost if this were taken back later");
  command->add_option("--html", o->html, "write one page, with the proofs");
  command->add_option("--proofs", o->proofs, "write the proofs alone");
  add_head_option(command, o->head);
  command->add_flag("--json", o->json, "print JSON, with the proofs");
  command->footer(
      "Examples:\n  ledger impact film.db LIC-2026-0042\n  ledger impact film.db LIC-2026-0042 "
      "--html impact.html\n  ledger impact film.db --licence draft.textproto\n" +
      command->get_footer());
}

}  // namespace cleared::tools

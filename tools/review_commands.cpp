#include "tools/review_commands.h"

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/projection.h"
#include "ledger/review.h"
#include "ledger/review_lists.h"
#include "ledger/titles.h"
#include "tools/bad_note.h"
#include "tools/cli.h"
#include "tools/output.h"
#include "tools/written.h"

namespace cleared::tools {
using namespace cleared::ledger;
namespace {

constexpr const char* kReviewExamples = R"(Examples:
  ledger review film.db                                  what waits, and why
  ledger review film.db --html review.html               the same with pictures, one page
  ledger review film.db --form mine.textproto            a form: change keep_out to release where you mean it
  ledger review film.db --form mine.textproto --title north/b.mkv   a form that says whose it is: releases the
                                                         clips of this file, which another licensor claims
  ledger sign mine.textproto --key keys/ann.key --out mine.review
  ledger review film.db --take mine.review               record what was decided
Exit codes: 0 done, 65 a review that decides what is not on record or releases both sides of a title conflict, 77 not signed by whom the policy asks for.)";

struct ReviewOptions {
  std::string ledger, html, form, take, title;
  bool json = false, dry_run = false;
};

void record(const ReviewOptions& o, Store& store, const std::string& note, Written& out) {
  Review review = parse_noted<ReviewText>(parse_note(note, o.take), o.take).review();
  std::vector<std::string> lists;
  if (review.has_lists()) {
    lists = read_lists(decisions_path(o.take));
    join_lists(review, lists);
  }
  const std::vector<Fact> facts = review_records(store, note, lists);
  size_t released = 0;
  for (const auto& decision : review.decision()) released += decision.release_size() > 0 ? 1 : 0;
  if (o.dry_run) {
    store.would_append(facts);
  } else {
    out.record(o.take, store.append(facts));
  }
  out["decided"] = review.decision_size();
  out["released"] = released;
  out.say("%s: %d clip%s decided, %zu released for a reason%s\n", o.take.c_str(),
          review.decision_size(), review.decision_size() == 1 ? "" : "s", released,
          o.dry_run ? "; dry run: nothing was recorded" : "");
}

int take(const ReviewOptions& o) {
  Written out(o.json, o.dry_run);
  const std::string note = read_file(o.take);
  Store store(o.ledger, Access::append);
  try {
    record(o, store, note, out);
  } catch (const Error& error) {
    throw record_bad_note(store, o.take, error, out, o.dry_run);
  }
  if (!o.dry_run) sign_if_possible(store, "", out);
  return exit_ok;
}

void print_title(const TitleConflict& conflict) {
  std::printf("title conflict, record %llu, %s\n", static_cast<unsigned long long>(conflict.record),
              conflict.waits() ? "waits" : "is decided");
  if (!conflict.said.empty()) std::printf("  %s\n", printable(conflict.said).c_str());
  const size_t sides = conflict.claims[0].source == conflict.claims[1].source ? 1 : 2;
  for (size_t i = 0; i < sides; ++i) {
    const Claim& claim = conflict.claims[i];
    const std::string standing = claim.released_by > 0
                                     ? ", released by record " + std::to_string(claim.released_by)
                                     : (conflict.waits() ? "" : ", kept out");
    std::printf("  %s: %zu clip%s%s\n", describe(claim).c_str(), claim.clips.size(),
                claim.clips.size() == 1 ? "" : "s", standing.c_str());
  }
}

void print_list(const std::vector<WaitingClip>& all, const std::vector<TitleConflict>& titles) {
  std::vector<WaitingClip> clips = all;
  std::erase_if(clips, waits_for_title_alone);
  size_t waiting = 0;
  for (const TitleConflict& conflict : titles) {
    print_title(conflict);
    waiting += conflict.waits() ? 1 : 0;
  }
  for (const WaitingClip& clip : clips) {
    std::printf("%s %.2f to %.2f s, clip %s%s\n", printable(clip.path).c_str(),
                double(clip.start_us) / 1e6, double(clip.end_us) / 1e6, clip.id.c_str(),
                clip.packed ? ", in a shard" : "");
    for (const ClipFinding& finding : clip.findings) {
      std::printf("  %s: %s (%s)%s\n", finding.reason.c_str(), printable(finding.value).c_str(),
                  printable(finding.origin).c_str(),
                  is_releasable(finding.reason) ? "" : "; no review releases it");
    }
    std::printf("  %s: %s\n", clip.verdict.rule.c_str(), printable(clip.verdict.fact).c_str());
  }
  if (waiting > 0) {
    std::printf("%zu title conflict%s\n", waiting, waiting == 1 ? " waits" : "s wait");
  }
  if (!clips.empty()) {
    std::printf("%zu clip%s\n", clips.size(), clips.size() == 1 ? " waits" : "s wait");
  } else if (waiting == 0) {
    std::printf("no clip waits\n");
  }
}

Json to_json(const std::vector<WaitingClip>& clips) {
  Json out = Json::array();
  for (const WaitingClip& clip : clips) {
    Json findings = Json::array();
    for (const ClipFinding& finding : clip.findings) {
      findings.push_back({{"reason", finding.reason},
                          {"value", finding.value},
                          {"origin", finding.origin},
                          {"releasable", is_releasable(finding.reason)}});
    }
    out.push_back({{"clip", clip.id},
                   {"path", clip.path},
                   {"source", clip.source},
                   {"start_us", clip.start_us},
                   {"end_us", clip.end_us},
                   {"rule", clip.verdict.rule},
                   {"fact", clip.verdict.fact},
                   {"in_a_shard", clip.packed},
                   {"findings", findings}});
  }
  return out;
}

int review(const ReviewOptions& o) {
  if (!o.take.empty()) return take(o);
  const Store store(o.ledger, Access::read);
  if (!o.title.empty()) {
    write_file(o.form, title_form(store, o.title, judging_time_us(store)));
    return exit_ok;
  }
  const std::vector<WaitingClip> clips = quarantine(store, Rights(store));
  if (!o.html.empty()) write_file(o.html, review_html(store, clips));
  if (!o.form.empty()) {
    if (clips.empty()) throw Error(Errc::not_found, "review --form: no clip waits");
    write_file(o.form, review_form(clips, judging_time_us(store)));
  }
  if (o.json) {
    print_json(to_json(clips));
  } else {
    print_list(clips, title_conflicts(store));
  }
  return exit_ok;
}

}  // namespace

void add_review_command(CLI::App& app, std::function<int()>& run) {
  const auto o = std::make_shared<ReviewOptions>();
  CLI::App* command =
      app.add_subcommand("review", "clips that wait for a person, and what people decided");
  command->footer(kReviewExamples);
  command->add_option("LEDGER", o->ledger, "the ledger file")->required();
  command->add_option("--html", o->html, "write one page with the pictures");
  CLI::Option* form = command->add_option("--form", o->form,
                                          "write a review that keeps all out, to change and sign");
  command
      ->add_option("--title", o->title,
                   "with --form: one that releases the clips of this file, by its path or digest, "
                   "which another licensor claims")
      ->needs(form);
  command->add_option("--take", o->take, "record this signed review")->excludes("--html", "--form");
  command->add_flag("--dry-run", o->dry_run, "with --take: check all, and record nothing");
  command->add_flag("--json", o->json, "print JSON");
  command->callback([o, &run] { run = [o] { return review(*o); }; });
}

}  // namespace cleared::tools

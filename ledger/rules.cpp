#include "ledger/rules.h"

#include <algorithm>
#include <sstream>

namespace cleared::ledger {
namespace {

constexpr std::string_view kNewVersion = "agree on it: a new version of the licence";

constexpr GateRule kRules[] = {
    {RuleStage::footage, "no_licence",
     "Does a licence in the ledger, whose document is kept, cover this file?", "`covers`",
     "append a licence whose `covers` names its path or digest"},
    {RuleStage::footage, "title_conflict",
     "Do all licences that cover it come from one licensor? Where another one delivered it, too: "
     "did people release its title?",
     "`licence.licensor`, duplicates, reviews",
     "the licensors settle it; then a licence that covers it alone, or a "
     "[review](formats/review.md) that releases one side"},
    {RuleStage::footage, "revoked", "Has nobody taken back the licence, or the shard itself?",
     "revocations", "leave it out: `ledger permit --leave-out-refused`"},
    {RuleStage::footage, "deleted", "Has nobody recorded that the shard was deleted?", "deletions",
     "leave it out: what was deleted stays so; shards of other clips"},
    {RuleStage::footage, "kept_too_long",
     "Is the shard as young as `derived.latent` asks, counted from its record?",
     "`derived.latent.delete_after_days`", "delete it, `ledger deleted`; make shards again"},
    {RuleStage::footage, "superseded_clip", "Is the clip still kept?", "the clip's verdict",
     "make shards again"},
    {RuleStage::footage, "duplicate", "Is the footage new to the ledger?", "duplicates",
     "nothing to do: it is in the ledger"},
    {RuleStage::terms, "not_yet_valid", "Is it the first day of the licence, or later?",
     "`licence.valid_from`", "wait, or agree on an earlier day"},
    {RuleStage::terms, "expired",
     "Is it the last day of the licence, or earlier? For finished weights: does `after_term` allow "
     "this afterwards?",
     "`licence.valid_to`, `licence.after_term`", "a new version of the licence"},
    {RuleStage::terms, "use_not_allowed",
     "Does the licence list this use, and what else the run declares?", "`allows.use`",
     kNewVersion},
    {RuleStage::terms, "word_unclear",
     "Are the model line and the field of use that are declared words of a-z 0-9 . _ -, and each "
     "place two capitals, none of them empty or `\"*\"`?",
     "what is declared", "declare one model line, one field and one place"},
    {RuleStage::terms, "model_not_allowed",
     "Does it list this model line, or `\"*\"`? Is it, for weights, the one that their run was "
     "permitted for?",
     "`allows.model`, the run's permit", kNewVersion},
    {RuleStage::terms, "component_not_allowed", "Does it list every component that is trained?",
     "`allows.component`", kNewVersion},
    {RuleStage::terms, "field_excluded",
     "Is the field of use not excluded? An exclusion that is no such word excludes every field.",
     "`allows.excluded_field`", "another field; `\"*\"` elsewhere does not help"},
    {RuleStage::terms, "field_not_allowed", "Does it list this field of use, or `\"*\"`?",
     "`allows.field_of_use`", kNewVersion},
    {RuleStage::terms, "territory_not_allowed",
     "Unless weights are only handed out: does it list the place of computing, or `\"*\"`?",
     "`allows.compute_territory`", "compute elsewhere, or agree on it"},
    {RuleStage::terms, "release_not_allowed",
     "Does it list the place where the weights or clips go, or `\"*\"`? Clips that a run makes to "
     "look at are where it computes.",
     "`allows.release_territory`", "release elsewhere, or agree on it"},
    {RuleStage::terms, "height_above_limit", "Are the frames no higher than allowed?",
     "`limits.max_height_px`", "smaller shards"},
    {RuleStage::terms, "similarity_unguarded",
     "Where it limits how alike clips may be to the footage: does the run make none to look at? It "
     "has nothing to compare them with.",
     "`limits.similarity_max`, what is declared",
     "a config without `preview`; `train sample` makes clips, with a release"},
    {RuleStage::terms, "mark_unclear",
     "Is every mark in and beside the file readable, unbroken, with a value "
     "that is known, unless the licence overrides it by name?",
     "marks, `overrides.mark`", "have the file delivered again, with marks that verify"},
    {RuleStage::terms, "mark_says_no",
     "Does no mark in or beside the file reserve it, unless the licence overrides it by name?",
     "marks, `overrides.mark`", "the licensor signs an override that names the mark"},
    {RuleStage::terms, "synthetic_not_licensed",
     "Does no mark say that a machine made the footage, or a part, unless the licence allows "
     "that?",
     "marks, `allows.synthetic`", kNewVersion},
    {RuleStage::terms, "clearance_unknown",
     "Are talent, voice and music known to be cleared, by the licence and by what is said of the "
     "clip?",
     "`clearances`, clearances of the clip",
     "clear them: a new version of the licence; of a clip, `ledger review`"},
    {RuleStage::terms, "minors_visible", "Are no minors visible?",
     "`clearances.minors`, clearances of the clip", "leave it out: nothing clears that here"},
    {RuleStage::terms, "talent_not_released",
     "Is talent released for training, where one trains, and where weights that did go out or "
     "generate?",
     "`clearances.talent`, clearances of the clip",
     "clear it: a new version of the licence; of a clip, `ledger review`"},
    {RuleStage::terms, "union_notice_missing",
     "Where something in the clip asks for notice to a union: does the licence say that it was "
     "given, today or before?",
     "`clearances.union_notice`, clearances of the clip",
     "give notice: a new version of the licence"},
    {RuleStage::terms, "finding_unreviewed",
     "Where the licence says that nobody is seen or heard: did a person look at each clip in which "
     "a detector found a face or speech?",
     "detectors, reviews", "`ledger review`"},
    {RuleStage::limits, "memorisation_untested",
     "Where weights go out or generate for sale, and a licence limits memorisation: did a trainer "
     "sign an [extraction test](formats/extraction.md) of these very weights, of 16 clips or more, "
     "made of captions of what they consumed, against all of it?",
     "`limits.memorisation_max`, the test", "`train eval --extraction`, then `--extraction`"},
    {RuleStage::limits, "memorisation_exceeded",
     "Did no larger part of its clips come as near to the footage as a copy?",
     "`limits.memorisation_max`, the test", "other weights; or agree on it"},
    {RuleStage::limits, "similarity_unknown",
     "Where weights go out or generate, and a licence limits how alike clips may be to the "
     "footage: "
     "are fingerprints of all that they consumed on record, of every frame, and of as much of the "
     "picture as a clip of this shape shows?",
     "`limits.similarity_max`, [fingerprints](formats/footage.md)",
     "append the bundles of its ingest; clips of the footage's shape"},
    {RuleStage::limits, "share_exceeded",
     "Does each licensor keep within its share, in every epoch and over the run?",
     "`limits.max_share`", "more footage of others"},
    {RuleStage::limits, "passes_reserved", "Has every earlier permit that may use up passes ended?",
     "permits",
     "wait until they end; for a run that goes on, append its outbox and name it, `--resume`"},
    {RuleStage::limits, "passes_exceeded",
     "Does the model line, with all its runs, consume each clip, in all samples of it, no more "
     "often than allowed?",
     "`limits.max_passes`, run receipts", "fewer steps, more footage"},
    {RuleStage::shards, "not_approved", "Did those whom the policy asks for approve the shard?",
     "approvals", "`ledger approve`"},
    {RuleStage::shards, "shard_incomplete", "Has the shard all samples that were recorded?",
     "the shard's root", "get it again"},
    {RuleStage::shards, "shard_missing", "Is there a manifest with the root that the permit lists?",
     "manifests", "get the shard, unchanged"},
    {RuleStage::shards, "sample_changed", "Are the bytes in memory those of the manifest?",
     "SHA-256 of the sample", "restore the shard from where it was approved"},
    {RuleStage::shards, "shard_unproven",
     "Where the node knows the log's key: is the shard proven to be in that log?",
     "`RUN.permit.proofs`", "copy `RUN.permit.proofs` beside the permit, unchanged"},
    {RuleStage::permits, "nothing_permitted", "Is any shard left to permit?", "the permit's shards",
     "approve shards"},
    {RuleStage::permits, "permit_unsigned",
     "Did as many approvers sign the permit as this node asks for ([trust "
     "file](formats/policy.md))?",
     "signatures", "the right `--trust` file, or their signatures: `ledger sign`"},
    {RuleStage::permits, "permit_too_long", "Is the permit for 168 hours or less?", "its two times",
     "a shorter one"},
    {RuleStage::permits, "permit_other_run", "Is the permit for this run?", "its run",
     "a permit for this run"},
    {RuleStage::permits, "permit_other_config", "Is it for this config, byte for byte?",
     "its config digest", "a permit for this config"},
    {RuleStage::permits, "permit_other_purpose",
     "Is it for what is declared: the purpose of the config, GENERATE_INTERNAL with a `preview`, "
     "EVALUATE for `train eval`, and ENCODE for `train encode`?",
     "its purpose",
     "a permit for this config; for EVALUATE `ledger permit --evaluate`, for ENCODE `--encode`"},
    {RuleStage::permits, "not_for_training",
     "Is that TRAIN, FINETUNE or DISTIL? Whatever a run calls what it does, it trains.",
     "`purpose.use`", "a config that says so, shards approved for it, a permit"},
    {RuleStage::permits, "permit_not_yet_valid", "Is the clock not behind the permit?",
     "the clock, its `issued_at`", "set the clock"},
    {RuleStage::permits, "permit_expired", "Has the permit not ended?", "its `expires_at`",
     "a new permit"},
    {RuleStage::permits, "permit_stale",
     "Is the permit as young as this node asks for ([trust file](formats/policy.md))?",
     "its `issued_at`", "a new permit; a running job takes one from its notices folder"},
    {RuleStage::permits, "head_stale", "Is the newest record under its tree head as young?",
     "its `tree_at`",
     "`ledger sign-head`, a new permit or release: of the ledger, not of an old copy"},
    {RuleStage::permits, "release_unsigned",
     "Did approvers whom this place trusts sign the release of the weights?", "signatures",
     "`ledger release --out`, by an approver of the trust file"},
    {RuleStage::permits, "release_other_weights", "Is the release for these very weights?",
     "its `checkpoint`", "a release for them"},
    {RuleStage::permits, "release_other_use", "Is it for what is being done?", "its `use`",
     "a release for this use"},
    {RuleStage::permits, "release_ended", "Has it begun, and not ended?", "its two times",
     "a new one"},
    {RuleStage::permits, "release_other_footage",
     "Where it limits how alike clips may be: does the file of the footage lie beside the release, "
     "as it names it?",
     "SHA-256 of `X.release.footage`", "copy it beside the release, unchanged; a new release"},
    {RuleStage::permits, "foreign_unregistered",
     "Are weights from elsewhere that the config starts from described and signed for "
     "([foreign weights](design/0014-foreign-weights.md))?",
     "`*.weights`", "`ledger permit --weights`"},
    {RuleStage::permits, "permit_other_foreign",
     "Does the permit, or the release, list the foreign weights that are in the run, no others?",
     "its `foreign`", "a permit for them; the run without them"},
    {RuleStage::permits, "foreign_not_allowed",
     "Does this place allow their contact class ([trust file](formats/policy.md))? For the ledger: "
     "are they no checkpoint of its own?",
     "`foreign` of the trust file, checkpoints",
     "nothing, unless whoever owns the trust file allows it; from a checkpoint its own run goes "
     "on"},
    {RuleStage::permits, "foreign_changed", "Is their file the one that the config names?",
     "SHA-256 of the file", "give the file that was registered"},
    {RuleStage::permits, "permits_differ", "Were all ranks given the same permit?",
     "the permit's digest", "give all of them the same file"},
    {RuleStage::permits, "notice_unverified",
     "Is everything in the notices folder a revocation that verifies and names one licence, by its "
     "id alone, or one shard, by its root, or what begins as a permit or as what belongs to one? "
     "Whatever else is there, a sub-folder, too, might be a revocation; only names that begin "
     "with a dot are not looked at.",
     "notices", "look at it, and ask its licensor; take away what is none"},
    {RuleStage::clips, "similarity_exceeded",
     "Is no frame of the clip, nor a turned or mirrored one, more like a frame of the footage that "
     "the weights consumed than the strictest licence allows?",
     "`limits.similarity_max`, [fingerprints](formats/footage.md)",
     "another clip: `--seed`, `--caption`; or agree on it"},
};

struct StageTitle {
  RuleStage stage;
  std::string_view title;
};
constexpr StageTitle kStages[] = {
    {RuleStage::footage, "The footage"},
    {RuleStage::terms, "The terms, in the order of the licence"},
    {RuleStage::limits, "Limits counted from the record"},
    {RuleStage::shards, "The shards"},
    {RuleStage::permits, "The permit"},
    {RuleStage::clips, "Generated clips"},
};

constexpr std::string_view kBefore = R"(# Rules of the gate

Printed by `ledger rules --markdown` from the table that the gate itself walks (`ledger/rules.cpp`); a test holds the two together.

May this footage be used so, now? Each question below must be answered with yes. They are asked in this order, and the first no decides: the refusal names its rule
and then, in words, the fact that decided, with the licence, the shard or the sample. Nothing turns a rule off. Three things hold everywhere:

- **Closed vocabulary.** What the licence does not list is refused, and so is a word that nobody knows. `"*"` lists everything, and an exclusion goes before it.
- **Strictest of several.** What is under several licences, whether at one path or by several paths that the same bytes came by, or was made from several sources, may be used only if every one of them says yes. So may a clip that another file of the same licensor shows, too (a `duplicate` that ingest found): the licences of that file count, and can only object.
- **Days are UTC, and both ends count.** A licence from 2026-01-01 to 2026-12-31 holds from the first second of the one day to the last of the other, by the later of the host's clock and the newest record.
)";

constexpr std::string_view kAfter = R"(
## After the last day

`after_term` says what may still be done with weights that were trained in time. Everything else ends with the licence.

| `after_term` | generate | release weights, sublicense |
|---|---|---|
| `KEEP_WEIGHTS`, `STOP_TRAINING` | yes | yes |
| `STOP_RELEASE` | yes | no |
| `WITHDRAW_MODEL` | no | no |

## Where the gate is asked

| when | asked by | for | a no is |
|---|---|---|---|
| ingest, before a byte is parsed, and again with the marks before one is decoded | `curate ingest` | INGEST, each file | on record, with the file's digest |
| before clips are encoded | `curate shard` | ENCODE, each source | on record, with the file's digest |
| before latents are made of them | `train encode` | ENCODE, which `ledger permit --encode` declares beside TRAIN, or the config (`purpose.also`): in the permit, and again before each sample | exit code 3, and there is no latent |
| approval | `ledger approve` | TRAIN, FINETUNE or DISTIL (`--use`), each source of the shard | on record |
| permit, and again when it is appended | `ledger permit`, `ledger append` | all that the run declares, each source of each shard | on record |
| the start of a run, on every rank | `train` | the permit, from it and public keys alone | on record, through the outbox |
| every step, on every rank | `train` | the permit, its dates, the notices | on record, through the outbox |
| every sample, before it is decoded | `train` | its digest, its passes | on record, through the outbox |
| release of a checkpoint | `ledger release` | RELEASE_WEIGHTS or GENERATE, each source that the weights consumed, and the extraction test that a licence asks for | on record, with the checkpoint's digest |
| clips that a run makes to look at, with its checkpoints | `train` | GENERATE_INTERNAL, which a config with a `preview` declares beside TRAIN: in the permit, and again before each clip and at each step of one | there is no clip |
| measuring by footage, and showing it beside what a model makes of it | `train eval`; what `train encode` says of its codec; the clip that an autoencoder's run shows | EVALUATE, which `ledger permit --evaluate` declares beside TRAIN, or the config (`purpose.also`): in the permit | exit code 3; of the other two there is no number, no clip |
| sampling, and clips that `train eval` measures | `train sample`, `train eval` | the release that `ledger release --out` signed, for these weights, now; the notices; again at each step of a clip | exit code 3 |
| a clip, before it is written | `train sample` | its frames, where the release limits how alike they may be; `train eval` shows nobody its clips, and says how near they are | exit code 3, and there is no file |

`curate` adds rules of its own for footage that cannot be used, on the record with the act "curate": `no_video`, `unsupported`, `unreadable`, `uncut` (its clips could not be cut when shards were made; they are left out of these), `clearances` (a [sidecar](formats/review.md) that does not parse), `name` (a name that is not UTF-8), `caption` (the words alone are left out), `conflict`, `other_licence` (bytes that are in the ledger come by another path, under a licence that does not cover them there: it holds for them, too), `other_path` (the same, under the same licences: a later one for that path will hold for them, too). `ledger append`, and `ledger review --take`, put a signed note that they do not take on the record with the act "append", by a rule that is named after its kind: `licence_invalid`, `permit_invalid`, `approval_invalid`, `revocation_invalid`, `review_invalid`, `policy_invalid`, `retirement_invalid`. The line on stderr names it last.
)";

}  // namespace

std::span<const GateRule> rules() {
  return kRules;
}

const GateRule* find_rule(std::string_view name) {
  const auto* found = std::find_if(std::begin(kRules), std::end(kRules),
                                   [&](const GateRule& rule) { return rule.name == name; });
  return found == std::end(kRules) ? nullptr : found;
}

std::string rules_markdown() {
  std::ostringstream out;
  out << kBefore;
  size_t number = 0;
  for (const auto& [stage, title] : kStages) {
    out << "\n## " << title << "\n\n| | the question | looks at | a no is called | what helps |\n"
        << "|---|---|---|---|---|\n";
    for (const GateRule& rule : kRules) {
      if (rule.stage != stage) continue;
      out << "| " << ++number << " | " << rule.question << " | " << rule.fact << " | `" << rule.name
          << "` | " << rule.helps << " |\n";
    }
  }
  out << kAfter;
  return std::move(out).str();
}

}  // namespace cleared::ledger

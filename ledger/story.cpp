#include "ledger/story.h"

#include <algorithm>

#include "ledger/attestation.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/permit.h"
#include "ledger/projection.h"
#include "ledger/retention.h"
#include "ledger/rights.h"
#include "ledger/titles.h"

namespace cleared::ledger {
namespace {

// "{clip}": the numbers of the clips that the story is about.
std::string with_sets(std::string_view sql) {
  std::string out;
  for (const char c : sql) {
    if (c == '{') {
      out += "(SELECT seq FROM about WHERE kind = '";
    } else if (c == '}') {
      out += "')";
    } else {
      out += c;
    }
  }
  return out;
}

struct Step {
  std::string_view kind, select;
};

// From where a story starts down to the clips that it is about.
constexpr Step kDown[] = {
    {"source",
     "SELECT source FROM duplicate WHERE seq IN {duplicate} "
     "UNION SELECT of FROM duplicate WHERE seq IN {duplicate}"},
    {"clip", "SELECT clip FROM clearance WHERE seq IN {clearance}"},
    {"clip", "SELECT clip FROM decided_clip WHERE review IN {review}"},
    {"clip", "SELECT clip FROM listed_decision WHERE seq IN {review_list}"},
    {"source", "SELECT source FROM fingerprint WHERE seq IN {fingerprint}"},
    {"source", "SELECT source FROM measure WHERE seq IN {measure}"},
    {"source",
     "SELECT s.seq FROM source s JOIN mark m ON m.source = s.digest WHERE m.seq IN {mark}"},
    {"protection",
     "SELECT n.seq FROM protection p JOIN protection n ON n.fingerprint = p.fingerprint "
     "WHERE p.seq IN {protection}"},
    {"key", "SELECT key FROM retirement WHERE seq IN {retirement}"},
    {"licence", "SELECT licence FROM erasure WHERE seq IN {erasure}"},
    {"licence",
     "SELECT l.seq FROM licence l JOIN revocation r ON r.licence = l.id WHERE r.seq IN "
     "{revocation}"},
    {"shard", "SELECT shard FROM revocation WHERE seq IN {revocation} AND shard IS NOT NULL"},
    {"shard", "SELECT shard FROM approved_shard WHERE seq IN {approval}"},
    {"shard", "SELECT shard FROM permitted_shard WHERE permit IN {permit}"},
    {"shard", "SELECT shard FROM listed_shard WHERE seq IN {permit_list}"},
    {"checkpoint",
     "SELECT k.seq FROM release e JOIN checkpoint k ON k.digest = e.checkpoint "
     "WHERE e.seq IN {release}"},
    {"receipt",
     "SELECT t.seq FROM receipt t JOIN checkpoint k ON t.run = k.run AND t.end_step <= k.step "
     "WHERE k.seq IN {checkpoint}"},
    {"receipt", "SELECT seq FROM receipt WHERE run IN {run}"},
    {"consumed", "SELECT seq FROM consumed WHERE receipt IN {receipt}"},
    {"sample", "SELECT sample FROM consumed WHERE seq IN {consumed}"},
    {"consumed_shard", "SELECT seq FROM consumed_shard WHERE receipt IN {receipt}"},
    {"sample", "SELECT sample FROM consumption WHERE seq IN {consumed_shard}"},
    {"shard", "SELECT shard FROM deletion WHERE seq IN {deletion} AND shard IS NOT NULL"},
    {"source", "SELECT source FROM deletion WHERE seq IN {deletion} AND source IS NOT NULL"},
    {"source", "SELECT source FROM source_cover WHERE licence IN {licence}"},
    {"sample", "SELECT seq FROM sample WHERE shard IN {shard}"},
    {"clip", "SELECT clip FROM sample WHERE seq IN {sample}"},
    {"clip", "SELECT seq FROM clip WHERE source IN {source}"},
};

// What those were made from, and what was made of them. A kind that the way down has found already
// is not widened: the story of a shard is not that of other shards with the same clips.
constexpr Step kUp[] = {
    {"source", "SELECT source FROM clip WHERE seq IN {clip}"},
    {"sample", "SELECT seq FROM sample WHERE clip IN {clip}"},
    {"shard", "SELECT shard FROM sample WHERE seq IN {sample}"},
    {"licence", "SELECT licence FROM source_cover WHERE source IN {source}"},
    {"licence",
     "SELECT n.seq FROM licence l JOIN licence n ON n.id = l.id WHERE l.seq IN {licence}"},
    {"duplicate", "SELECT seq FROM duplicate WHERE source IN {source} OR of IN {source}"},
    {"measure", "SELECT seq FROM measure WHERE source IN {source}"},
    {"fingerprint", "SELECT seq FROM fingerprint WHERE source IN {source}"},
    {"mark",
     "SELECT m.seq FROM source s JOIN mark m ON m.source = s.digest WHERE s.seq IN {source}"},
    {"clearance", "SELECT seq FROM clearance WHERE clip IN {clip}"},
    {"review", "SELECT review FROM decided_clip WHERE clip IN {clip}"},
    {"approval", "SELECT seq FROM approved_shard WHERE shard IN {shard}"},
    {"consumed",
     "SELECT seq FROM consumed WHERE sample IN (SELECT first FROM sample WHERE seq IN {sample})"},
    {"consumed_shard",
     "SELECT u.seq FROM sample p JOIN consumed_shard u ON u.shard = p.shard WHERE p.seq IN "
     "{sample} AND json_type(u.each, '$[' || (p.position - u.position) || ']') = 'array' "
     "AND p.position >= u.position"},
    {"receipt", "SELECT receipt FROM consumed WHERE seq IN {consumed}"},
    {"receipt", "SELECT receipt FROM consumed_shard WHERE seq IN {consumed_shard}"},
    {"run", "SELECT run FROM receipt WHERE seq IN {receipt}"},
    {"checkpoint",
     "SELECT k.seq FROM checkpoint k JOIN receipt t ON t.run = k.run AND t.end_step <= k.step "
     "WHERE t.seq IN {receipt}"},
    {"release",
     "SELECT e.seq FROM release e JOIN checkpoint k ON k.digest = e.checkpoint "
     "WHERE k.seq IN {checkpoint}"},
    {"permit", "SELECT permit FROM run WHERE seq IN {run}"},
    {"permit", "SELECT permit FROM permitted_shard WHERE shard IN {shard}"},
    {"permit_list", "SELECT list FROM list_of_permit WHERE seq IN {permit}"},
    {"revocation",
     "SELECT seq FROM revocation WHERE shard IN {shard} "
     "OR licence IN (SELECT id FROM licence WHERE seq IN {licence})"},
    {"erasure", "SELECT seq FROM erasure WHERE licence IN {licence}"},
    {"deletion", "SELECT seq FROM deletion WHERE shard IN {shard} OR source IN {source}"},
    {"refusal",
     "SELECT seq FROM refusal WHERE subject IN (SELECT path FROM source WHERE seq IN {source} "
     "UNION SELECT digest FROM source WHERE seq IN {source} "
     "UNION SELECT root FROM shard WHERE seq IN {shard} "
     "UNION SELECT digest FROM checkpoint WHERE seq IN {checkpoint}) "
     // "PATH sha256:DIGEST", as curate writes it
     "OR substr(subject, -71) IN (SELECT 'sha256:' || digest FROM source WHERE seq IN {source})"},
    {"key",
     "SELECT k.seq FROM key k JOIN licence l ON (k.role = 'licensor' AND k.name = l.licensor) "
     "OR (k.role = 'licensee' AND k.name = l.licensee) WHERE l.seq IN {licence}"},
    {"retirement", "SELECT seq FROM retirement WHERE key IN {key}"},
};

std::string kind_of(const Store& store, uint64_t seq) {
  const std::string bytes = store.record_bytes(seq);
  Fact fact;
  const std::string_view stored = parse_record(bytes).fact;
  if (!fact.ParseFromArray(stored.data(), static_cast<int>(stored.size()))) {
    throw Error(Errc::corrupt, store.path().string(), ": record ", seq,
                " does not parse; run ledger verify");
  }
  // Its row has a table of its own.
  return fact.key().retired() ? "retirement" : std::string(kind_name(fact));
}

// Fills the temporary table `about` with the records of the story.
void gather(const Database& db, const std::string& kind, uint64_t seq) {
  keep_pages(db);
  db.exec(
      "DROP TABLE IF EXISTS about; "
      "CREATE TEMP TABLE about(kind TEXT, seq INTEGER, PRIMARY KEY(kind, seq)) WITHOUT ROWID");
  Statement(db, "INSERT INTO about VALUES(?, ?)").with(kind, seq).run();
  const auto take = [&](const Step& step) {
    Statement(db, "INSERT OR IGNORE INTO about SELECT ?, * FROM (" + with_sets(step.select) + ")")
        .with(step.kind)
        .run();
  };
  for (const Step& step : kDown) take(step);
  std::vector<std::string> found;
  Statement kinds(db, "SELECT DISTINCT kind FROM about WHERE kind NOT IN ('source', 'licence')");
  while (kinds.next()) found.push_back(kinds.text(0));
  for (const Step& step : kUp) {
    if (std::find(found.begin(), found.end(), step.kind) == found.end()) take(step);
  }
  // What was consumed of the samples of the story.
  db.exec("DROP TABLE IF EXISTS eaten; CREATE TEMP TABLE eaten AS " +
          with_sets("SELECT receipt, passes, first_step FROM consumed WHERE seq IN {consumed} "
                    "UNION ALL SELECT receipt, passes, first_step FROM consumption "
                    "WHERE seq IN {consumed_shard} "
                    "AND sample IN (SELECT first FROM sample WHERE seq IN {sample})"));
}

// How the last column of a chapter, what was signed, is told.
enum class Signed { nothing, note, envelope };

struct ChapterPlan {
  std::string_view title, select;
  Signed what = Signed::nothing;
  std::optional<Policy::Act> act{};  // whose rules say who had to sign
};

// ?1 is the day.
constexpr ChapterPlan kChapters[] = {
    {"source",
     "SELECT seq AS record, path, digest, round(duration_us / 1e6, 3) AS seconds, status, "
     "CASE problem WHEN '' THEN 'none' ELSE problem END AS trouble, "
     "CASE variable_frame_rate WHEN 0 THEN 'no' ELSE 'yes' END AS variable_frame_rate "
     "FROM source WHERE seq IN {source} ORDER BY 1"},
    {"clip",
     "SELECT c.seq AS record, c.id AS clip, s.path, round(c.start_us / 1e6, 3) AS from_s, "
     "round(c.end_us / 1e6, 3) AS to_s, c.shot, c.verdict, "
     "CASE WHEN c.seq IN (SELECT clip FROM conflicted_clip) THEN 'claimed by two licensors' "
     "WHEN c.seq IN (SELECT clip FROM released_clip) THEN 'released by record ' || "
     "(SELECT MAX(r.review) FROM decided_clip r WHERE r.clip = c.seq "
     "AND instr(', ' || r.released || ',', ', title,') > 0) "
     "ELSE 'no' END AS conflict FROM clip c JOIN source s ON s.seq = c.source "
     "WHERE c.seq IN {clip} ORDER BY 1"},
    {"duplicate",
     "SELECT d.seq AS record, d.verdict, s.path AS of_this, round(d.start_us / 1e6, 3) AS from_s, "
     "round(d.end_us / 1e6, 3) AS to_s, o.path AS and_this, round(d.of_start_us / 1e6, 3) AS "
     "and_from_s, round(d.of_end_us / 1e6, 3) AS and_to_s, round(d.distance, 2) AS distance "
     "FROM duplicate d JOIN source s ON s.seq = d.source JOIN source o ON o.seq = d.of "
     "WHERE d.seq IN {duplicate} ORDER BY 1"},
    {"measure",
     "SELECT m.seq AS record, s.path, m.kind, round(m.start_us / 1e6, 3) AS from_s, "
     "round(m.end_us / 1e6, 3) AS to_s, round(m.value, 2) AS value, CASE m.width WHEN 0 THEN '' "
     "ELSE m.width || ' x ' || m.height || ' at ' || m.x || ', ' || m.y END AS place, "
     "m.note FROM measure m JOIN source s ON s.seq = m.source WHERE m.seq IN {measure} ORDER BY 1"},
    {"refusal",
     "SELECT seq AS record, act, subject, rule, fact FROM refusal "
     "WHERE seq IN {refusal} ORDER BY 1"},
    {"mark",
     "SELECT seq AS record, name AS mark, says, value, place FROM mark WHERE seq IN {mark} "
     "ORDER BY 1"},
    {"clearance",
     "SELECT f.seq AS record, c.id AS clip, f.reason, f.value, f.origin FROM clearance f "
     "JOIN clip c ON c.seq = f.clip WHERE f.seq IN {clearance} ORDER BY 1"},
    {"review",
     "SELECT v.seq AS record, c.id AS clip, v.at, r.released, r.kept_out, r.says, v.note "
     "FROM decided_clip r JOIN clip c ON c.seq = r.clip JOIN review v ON v.seq = r.review "
     "WHERE v.seq IN {review} AND r.clip IN {clip} ORDER BY 1, 2",
     Signed::note, Policy::REVIEW},
    {"licence",
     "SELECT l.seq AS record, l.ref AS licence, l.licensor, l.licensee, l.valid_from, l.valid_to, "
     "CASE WHEN EXISTS (SELECT 1 FROM revocation r WHERE r.licence = l.id) THEN 'revoked' "
     "WHEN EXISTS (SELECT 1 FROM licence n WHERE n.id = l.id AND n.version > l.version) "
     "THEN 'superseded by a later version' "
     "WHEN ?1 < l.valid_from THEN 'not yet valid' WHEN ?1 > l.valid_to THEN 'expired' "
     "ELSE 'in force' END AS standing, "
     "CASE WHEN d.digest IS NULL THEN 'erased' ELSE 'kept' END AS document, d.note "
     "FROM licence l LEFT JOIN document d ON d.digest = l.document_digest "
     "WHERE l.seq IN {licence} ORDER BY 1",
     Signed::note},
    {"sample",
     "SELECT p.seq AS record, p.key AS sample, h.name AS shard, p.position, p.digest, "
     "round(p.duration_us / 1e6, 3) AS seconds FROM sample p JOIN shard h ON h.seq = p.shard "
     "WHERE p.seq IN {sample} ORDER BY 1"},
    {"shard",
     "SELECT seq AS record, name AS shard, root, samples, size_bytes FROM shard "
     "WHERE seq IN {shard} ORDER BY 1"},
    {"approval",
     "SELECT seq AS record, use, at, (SELECT count(*) FROM approved_shard s WHERE s.seq = a.seq "
     "AND s.shard IN {shard}) || ' of ' || shards || ' in its batch' AS shards, note "
     "FROM approval a WHERE seq IN {approval} ORDER BY 1",
     Signed::note, Policy::APPROVE},
    {"permit",
     "SELECT seq AS record, run, model, issued_at, expires_at, tree_size, note FROM permit "
     "WHERE seq IN {permit} ORDER BY 1",
     Signed::note, Policy::PERMIT},
    {"run",
     "SELECT r.seq AS record, r.name AS run, r.code_version, r.seed, r.ranks, "
     "(SELECT sum(u.passes) FROM eaten u JOIN receipt t ON t.seq = u.receipt "
     "WHERE t.run = r.seq) AS passes, "
     "(SELECT min(u.first_step) FROM eaten u JOIN receipt t ON t.seq = u.receipt "
     "WHERE t.run = r.seq) AS first_step "
     "FROM run r WHERE r.seq IN {run} ORDER BY 1"},
    {"receipt",
     "SELECT t.seq AS record, r.name AS run, t.first_step, t.end_step, "
     "(SELECT sum(u.passes) FROM eaten u WHERE u.receipt = t.seq) AS passes, "
     "(SELECT min(u.first_step) FROM eaten u WHERE u.receipt = t.seq) AS consumed_first_at, "
     "t.note FROM receipt t "
     "JOIN run r ON r.seq = t.run WHERE t.seq IN {receipt} ORDER BY 1",
     Signed::note},
    {"checkpoint",
     "SELECT k.seq AS record, r.name AS run, k.step, k.digest, "
     "(SELECT sum(u.passes) FROM eaten u JOIN receipt t ON t.seq = u.receipt "
     "WHERE t.run = k.run AND t.end_step <= k.step) AS passes, "
     "k.statement FROM checkpoint k JOIN run r ON r.seq = k.run "
     "WHERE k.seq IN {checkpoint} ORDER BY 1",
     Signed::envelope},
    {"release",
     "SELECT e.seq AS record, v.run, v.step, e.use, e.model, e.field_of_use, e.territory, "
     "e.issued_at, e.expires_at, COALESCE(v.taken_back, 'no') AS taken_back, e.note "
     "FROM release e JOIN released v ON v.seq = e.seq WHERE e.seq IN {release} ORDER BY 1",
     Signed::note, Policy::PERMIT},
    {"revocation",
     "SELECT r.seq AS record, CASE WHEN r.shard IS NULL THEN 'licence ' || r.licence "
     "ELSE 'shard ' || h.name END AS revoked, r.at, r.reason, r.note FROM revocation r "
     "LEFT JOIN shard h ON h.seq = r.shard WHERE r.seq IN {revocation} ORDER BY 1",
     Signed::note},
    {"deletion",
     "SELECT d.seq AS record, CASE WHEN d.shard IS NULL THEN lower(d.what) || ' of ' || s.path "
     "ELSE 'shard ' || h.name END AS deleted, d.digests, d.at, d.reason, d.note FROM deletion d "
     "LEFT JOIN shard h ON h.seq = d.shard LEFT JOIN source s ON s.seq = d.source "
     "WHERE d.seq IN {deletion} ORDER BY 1",
     Signed::note},
    {"erasure",
     "SELECT e.seq AS record, l.ref AS licence, e.reason FROM erasure e "
     "JOIN licence l ON l.seq = e.licence WHERE e.seq IN {erasure} ORDER BY 1"},
    {"key",
     "SELECT k.seq AS record, k.name, k.role, CASE WHEN r.seq IS NULL THEN 'in use' ELSE "
     "'retired by record ' || r.seq END AS standing FROM key k LEFT JOIN retirement r "
     "ON r.key = k.seq WHERE k.seq IN {key} ORDER BY 1"},
    {"retirement",
     "SELECT r.seq AS record, k.name, k.role FROM retirement r JOIN key k "
     "ON k.seq = r.key WHERE r.seq IN {retirement} ORDER BY 1"},
    {"protection",
     "SELECT seq AS record, name AS work, fingerprint, CASE removed WHEN 0 THEN 'protected' ELSE "
     "'no longer protected' END AS standing FROM protection WHERE seq IN {protection} ORDER BY 1"},
    {"policy", "SELECT seq AS record, version, at, note FROM policy WHERE seq IN {policy}",
     Signed::note, Policy::CHANGE_POLICY},
    {"witness_policy",
     "SELECT seq AS record, text FROM witness_policy WHERE seq IN {witness_policy}"},
    {"state", "SELECT seq AS record, entries, runs, root FROM state WHERE seq IN {state}"},
};

// "example-stock (licensor, key of record 1)" of every key whose signature verifies.
std::string verified_keys(const Authority& authority, const std::string& text, Signed what,
                          uint64_t seq) {
  std::vector<std::string> names;
  for (const KnownKey& known : authority.keys()) {
    if (!known.valid_at(seq)) continue;
    const bool verifies = what == Signed::note ? signed_by(parse_note(text), known.key)
                                               : signed_by(parse_envelope(text), known.key);
    if (!verifies) continue;
    names.push_back(known.key.name + " (" + known.role + ", key of record " +
                    std::to_string(known.from_seq) + ")");
  }
  return names.empty() ? "nobody" : joined(names);
}

std::string asked_for(const Authority& authority, Policy::Act act, uint64_t seq) {
  std::vector<std::string> needs;
  for (const Authority::Need& need : authority.needs(act, seq)) {
    needs.push_back(std::to_string(need.count) + " " + need.role);
  }
  return joined(needs);
}

Chapter read_chapter(const Store& store, const ChapterPlan& plan, const std::string& day) {
  Chapter out{std::string(plan.title), {}};
  std::string sql = with_sets(plan.select);
  for (size_t at; (at = sql.find("?1")) != std::string::npos;) sql.replace(at, 2, "'" + day + "'");
  out.table = read_table(store.db(), sql);
  if (plan.what == Signed::nothing) return out;
  out.table.columns.back() = "signed_by";
  out.table.numeric.back() = false;
  if (plan.act) {
    out.table.columns.emplace_back("signatures_asked_for");
    out.table.numeric.push_back(false);
  }
  for (auto& row : out.table.rows) {
    const uint64_t seq = std::stoull(row[0]);
    row.back() = row.back().empty() ? "cannot be checked: the document was erased"
                                    : verified_keys(store.authority(), row.back(), plan.what, seq);
    if (plan.act) row.push_back(asked_for(store.authority(), *plan.act, seq));
  }
  return out;
}

// What of it must be deleted, and by when.
Chapter read_due(const Store& store, const Rights& rights) {
  const std::string shards = with_sets("h.seq IN {shard}");
  const std::string sources = with_sets("s.seq IN {source}");
  const std::string releases = with_sets("e.seq IN {release}");
  Chapter out{"due", due_of(store, rights, {shards, sources, releases})};
  out.table.columns.insert(out.table.columns.begin(), "record");
  out.table.numeric.insert(out.table.numeric.begin(), true);
  for (auto& row : out.table.rows) {
    const auto digest = parse_digest(row[4]).value_or(Digest{});
    const bool is_kind = row[2] == "shard" || row[2] == "release";  // else a text of a source
    const auto found = store.find(subject_key_of(is_kind ? row[2] : "source", digest.text()));
    row.insert(row.begin(), found.empty() ? "" : std::to_string(found.front()));
  }
  return out;
}

Verdict judge_one(const Store& store, const Rights& rights, const std::string& root) {
  const ShardStanding shard = judge_shard(store, rights, root, Act{TRAIN});
  if (!shard.verdict.cleared) return shard.verdict;
  const auto approval = approval_of(store, shard.seq, TRAIN);
  if (!approval) return no("not_approved", "nobody approved shard " + root);
  std::string licences;
  for (const std::string& ref : shard.licences) licences += " " + ref;
  Verdict out = yes();
  out.fact = "training is allowed by" + licences + ", and record " + std::to_string(*approval) +
             " approves shard " + root;
  return out;
}

// One yes is enough where `any`; else one no decides.
Verdict judge_shards(const Store& store, const Rights& rights, bool any) {
  std::optional<Verdict> out;
  Statement select(store.db(),
                   with_sets("SELECT root FROM shard WHERE seq IN {shard} ORDER BY seq"));
  while (select.next()) {
    const Verdict verdict = judge_one(store, rights, select.text(0));
    if (verdict.cleared == any) return verdict;
    if (!out) out = verdict;
  }
  return out ? *out : no("not_approved", "it is in no shard, so nobody can have approved it");
}

Verdict judge_licence(const Store& store, const Rights& rights, uint64_t seq) {
  Statement select(store.db(),
                   "SELECT ref, id, (SELECT r.reason || ', at ' || r.at FROM revocation r "
                   "WHERE r.licence = l.id LIMIT 1) FROM licence l WHERE seq = ?");
  CLEARED_CHECK(select.with(seq).next());
  const std::string ref = select.text(0);
  if (select.type(2) != ValueType::null) {
    return no("revoked", "licence " + ref + " was revoked (" + select.text(2) + ")");
  }
  const LicenceText* terms = rights.terms_of(ref);
  if (terms == nullptr) {
    return no("no_licence", "licence " + ref + " is superseded, or its document is not kept");
  }
  Verdict verdict = judge(*terms, Act{TRAIN}, rights.day());
  if (verdict.cleared) verdict.fact = "licence " + ref + " allows training";
  return verdict;
}

// What the footage itself is refused for comes before what its shards are.
std::optional<Verdict> judge_footage(const Store& store, const Rights& rights) {
  Statement select(store.db(),
                   with_sets("SELECT path, digest, status FROM source WHERE seq IN {source} "
                             "ORDER BY seq"));
  while (select.next()) {
    const SourceVerdict source = rights.judge_source(
        select.text(0), parse_digest(select.text(1)).value_or(Digest{}), Act{TRAIN});
    if (!source.verdict.cleared) {
      return no(source.verdict.rule, select.text(0) + ": " + source.verdict.fact);
    }
  }
  Statement clips(store.db(), with_sets("SELECT c.id, " + standing_sql() +
                                        ", s.path, s.digest, c.start_us, c.end_us FROM clip c "
                                        "JOIN source s ON s.seq = c.source WHERE c.seq IN {clip}"));
  std::optional<Verdict> first;
  while (clips.next()) {
    const std::string clip = "clip " + clips.text(0);
    const Digest source = parse_digest(clips.text(3)).value_or(Digest{});
    const auto findings = rights.findings_of(clips.text(0));
    const auto copies =
        rights.copies_of(source, clips.unsigned_integer(4), clips.unsigned_integer(5));
    const Verdict verdict =
        findings.empty() && copies.empty()
            ? yes()
            : rights.judge_source(clips.text(2), source, Act{TRAIN}, {}, findings, copies).verdict;
    const std::string standing = clips.text(1);
    if (standing == "kept" && verdict.cleared) return std::nullopt;
    if (first) continue;
    if (!verdict.cleared) {
      first = no(verdict.rule, clip + ": " + verdict.fact);
      continue;
    }
    first = standing == "conflict" ? no("title_conflict", clip + ": two licensors claim it")
                                   : no("superseded_clip", clip + " is not kept: " + standing);
  }
  return first;
}

std::optional<Verdict> judge_story(const Store& store, const Rights& rights,
                                   const std::string& kind, uint64_t seq) {
  if (kind == "licence") return judge_licence(store, rights, seq);
  if (kind == "clip" || kind == "source" || kind == "duplicate" || kind == "fingerprint" ||
      kind == "measure" || kind == "mark" || kind == "clearance" || kind == "review") {
    if (auto verdict = judge_footage(store, rights)) return verdict;
    return judge_shards(store, rights, true);
  }
  Statement shards(store.db(), with_sets("SELECT 1 FROM about WHERE kind = 'shard' LIMIT 1"));
  if (!shards.next()) return std::nullopt;
  return judge_shards(store, rights, false);
}

}  // namespace

Story tell_story(const Store& store, uint64_t seq) {
  Story out;
  out.seq = seq;
  out.kind = kind_of(store, seq);
  const Rights rights(store);
  out.day = rights.day();
  gather(store.db(), out.kind, seq);
  for (const ChapterPlan& plan : kChapters) {
    Chapter chapter = read_chapter(store, plan, out.day);
    if (!chapter.table.rows.empty()) out.chapters.push_back(std::move(chapter));
  }
  if (Chapter due = read_due(store, rights); !due.table.rows.empty()) {
    out.chapters.push_back(std::move(due));
  }
  out.verdict = judge_story(store, rights, out.kind, seq);
  return out;
}

Table history_of(const Store& store, uint64_t seq) {
  gather(store.db(), kind_of(store, seq), seq);
  std::string rows;
  const auto add = [&](std::string_view kind, std::string_view signers, std::string_view what) {
    rows += (rows.empty() ? "" : " UNION ALL ") + ("SELECT t.seq, '" + std::string(kind) + "', ") +
            std::string(signers) + ", " + std::string(what) + " FROM \"" + std::string(kind) +
            "\" t WHERE t.seq IN {" + std::string(kind) + "}";
  };
  add("key", "''", "t.role || ' ' || t.name");
  add("retirement", "''", "'key of record ' || t.key");
  add("licence", "t.licensor || ', ' || t.licensee",
      "t.ref || ', ' || t.valid_from || ' to ' || t.valid_to");
  add("source", "''", "t.path || ', ' || t.status");
  add("fingerprint", "''", "t.frames || ' frames from frame ' || t.first_frame");
  add("clip", "''",
      "t.id || ', ' || round(t.start_us / 1e6, 3) || ' s to ' || round(t.end_us / 1e6, 3) || "
      "' s, ' || t.verdict");
  add("duplicate", "''", "t.verdict || ': sources of records ' || t.source || ' and ' || t.of");
  add("measure", "''",
      "t.kind || ', ' || round(t.start_us / 1e6, 3) || ' s to ' || round(t.end_us / 1e6, 3) || ' "
      "s'");
  add("shard", "''", "t.name || ', root ' || t.root");
  add("sample", "''", "t.key || ' of the shard of record ' || t.shard");
  add("policy", "t.signers", "'version ' || t.version");
  add("witness_policy", "''", "''");
  add("approval", "t.signers", "t.shards || ' shards for ' || t.use");
  add("revocation", "t.signers",
      "coalesce('licence ' || t.licence, 'shard of record ' || t.shard) || ': ' || t.reason");
  add("permit", "t.signers", "'for run ' || t.run || ' until ' || t.expires_at");
  add("permit_list", "''", "'list ' || t.position || ' of shards of a permit, root ' || t.root");
  add("run", "''", "t.name");
  add("receipt", "t.signers", "'steps ' || t.first_step || ' to ' || t.end_step");
  add("consumed", "''",
      "'sample of record ' || t.sample || ', ' || t.passes || ' passes from step ' || "
      "t.first_step");
  add("consumed_shard", "''",
      "t.samples || ' samples of the shard of record ' || t.shard || ', ' || t.passes || "
      "' passes from step ' || t.first_step");
  add("deletion", "t.signers",
      "CASE WHEN t.shard IS NULL THEN lower(t.what) || ' of the source of record ' || t.source "
      "ELSE 'shard of record ' || t.shard END || ': ' || t.reason");
  add("checkpoint", "t.signers", "'step ' || t.step || ', ' || t.digest");
  add("release", "t.signers",
      "t.use || ' of ' || t.checkpoint || ' in ' || t.territory || ' until ' || t.expires_at");
  add("refusal", "''", "t.act || ' ' || t.subject || ': ' || t.rule || ': ' || t.fact");
  add("clearance", "''", "'clip of record ' || t.clip || ': ' || t.reason || ' ' || t.value");
  add("review", "t.signers",
      "(SELECT group_concat('clip of record ' || c.clip || ': released ' || c.released || "
      "', kept out ' || c.kept_out, '; ') FROM decided_clip c WHERE c.review = t.seq)");
  add("review_list", "''", "'list ' || t.position || ' of decisions of a review, root ' || t.root");
  add("mark", "''", "t.name || ' says ' || t.says || ': ' || t.value || ', ' || t.place");
  add("protection", "''",
      "t.name || CASE t.removed WHEN 0 THEN ' is protected' ELSE ' is no longer protected' END || "
      "', fingerprint ' || t.fingerprint");
  add("erasure", "''", "'licence of record ' || t.licence || ': ' || t.reason");
  add("state", "''", "t.entries || ' entries, root ' || t.root");
  return read_table(store.db(),
                    "WITH h(record, kind, signers, what) AS (" + with_sets(rows) +
                        ") SELECT h.record, (SELECT m.at FROM moment m WHERE m.seq <= h.record "
                        "ORDER BY m.seq DESC LIMIT 1) AS at, h.kind, h.signers, h.what FROM h "
                        "ORDER BY h.record");
}

}  // namespace cleared::ledger

// The tables of a ledger file, as SQL. docs/formats/ledger.md says what each column means.
#pragma once

#include <string>
#include <string_view>

namespace cleared::ledger {

constexpr int kApplicationId = 0x434C5244;  // "CLRD"
constexpr int kSchemaVersion = 8;

// What is kept: the log, its tree, the signed tree heads, documents that stay outside the log, and
// the map from what a record is about to its number (ledger/state_map.h).
constexpr std::string_view kLogSchema = R"sql(
CREATE TABLE bundle(
  number INTEGER PRIMARY KEY,
  entries BLOB NOT NULL
) STRICT;
CREATE TABLE leaf(
  seq INTEGER PRIMARY KEY,
  bytes BLOB NOT NULL
) STRICT;
CREATE TABLE tree_head(
  size INTEGER PRIMARY KEY,
  root BLOB NOT NULL,
  note TEXT
) STRICT;
CREATE TABLE document(
  digest TEXT PRIMARY KEY,
  salt BLOB NOT NULL,
  note TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE map_run(
  run INTEGER PRIMARY KEY,
  entries INTEGER NOT NULL,
  root BLOB NOT NULL,
  directory BLOB NOT NULL,
  filter BLOB NOT NULL
) STRICT;
)sql";

// The tables of large values. A search in a table WITHOUT ROWID, as they were before version 5,
// reads whole rows on its way.
constexpr std::string_view kTileSchema = R"sql(
CREATE TABLE node(
  level INTEGER NOT NULL,
  tile INTEGER NOT NULL,
  digests BLOB NOT NULL,
  PRIMARY KEY(level, tile)
) STRICT;
CREATE TABLE map_chunk(
  run INTEGER NOT NULL REFERENCES map_run(run),
  chunk INTEGER NOT NULL,
  entries BLOB NOT NULL,
  PRIMARY KEY(run, chunk)
) STRICT;
)sql";

// What is derived: rows_of() in ledger/projection.h makes them from the log alone. Each row of a
// record has its number as `seq`; a column that refers to another record holds that number.
constexpr std::string_view kProjectionSchema = R"sql(
CREATE TABLE moment(
  seq INTEGER PRIMARY KEY,
  at TEXT NOT NULL
) STRICT;
CREATE TABLE key(
  seq INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  vkey TEXT NOT NULL
) STRICT;
CREATE TABLE retirement(
  seq INTEGER PRIMARY KEY,
  key INTEGER NOT NULL REFERENCES key(seq)
) STRICT;
CREATE TABLE licence(
  seq INTEGER PRIMARY KEY,
  ref TEXT NOT NULL,
  id TEXT NOT NULL,
  version INTEGER NOT NULL,
  licensor TEXT NOT NULL,
  licensee TEXT NOT NULL,
  valid_from TEXT NOT NULL,
  valid_to TEXT NOT NULL,
  attribution TEXT NOT NULL,
  document_digest TEXT NOT NULL,
  fields_root TEXT NOT NULL
) STRICT;
CREATE INDEX licence_version ON licence(id, version);
CREATE TABLE source(
  seq INTEGER PRIMARY KEY,
  digest TEXT NOT NULL,
  path TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  container TEXT NOT NULL,
  video_codec TEXT NOT NULL,
  audio_codec TEXT NOT NULL,
  width INTEGER NOT NULL,
  height INTEGER NOT NULL,
  duration_us INTEGER NOT NULL,
  frames INTEGER NOT NULL,
  shots INTEGER NOT NULL,
  caption TEXT NOT NULL,
  caption_origin TEXT NOT NULL,
  chromaprint TEXT NOT NULL,
  problem TEXT NOT NULL,
  status TEXT NOT NULL,
  variable_frame_rate INTEGER NOT NULL
) STRICT;
CREATE TABLE source_licence(
  seq INTEGER NOT NULL REFERENCES source(seq),
  licence INTEGER NOT NULL REFERENCES licence(seq),
  PRIMARY KEY(seq, licence)
) STRICT, WITHOUT ROWID;
CREATE INDEX source_of_licence ON source_licence(licence);
CREATE TABLE fingerprint(
  seq INTEGER PRIMARY KEY,
  source INTEGER NOT NULL REFERENCES source(seq),
  first_frame INTEGER NOT NULL,
  frames INTEGER NOT NULL,
  pts_us BLOB NOT NULL,
  pdq BLOB NOT NULL,
  quality BLOB NOT NULL
) STRICT;
CREATE INDEX fingerprint_source ON fingerprint(source, first_frame);
CREATE TABLE clip(
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  source INTEGER NOT NULL REFERENCES source(seq),
  start_us INTEGER NOT NULL,
  end_us INTEGER NOT NULL,
  shot INTEGER NOT NULL,
  verdict TEXT NOT NULL,
  luma REAL NOT NULL,
  sharpness REAL NOT NULL,
  motion REAL NOT NULL,
  caption TEXT NOT NULL
) STRICT;
CREATE TABLE clip_series(
  seq INTEGER PRIMARY KEY,
  source INTEGER NOT NULL REFERENCES source(seq)
) STRICT;
CREATE INDEX clip_series_source ON clip_series(source);
CREATE TABLE duplicate(
  seq INTEGER PRIMARY KEY,
  source INTEGER NOT NULL REFERENCES source(seq),
  of INTEGER NOT NULL REFERENCES source(seq),
  start_us INTEGER NOT NULL,
  end_us INTEGER NOT NULL,
  of_start_us INTEGER NOT NULL,
  of_end_us INTEGER NOT NULL,
  distance REAL NOT NULL,
  audio_match REAL NOT NULL,
  verdict TEXT NOT NULL
) STRICT;
CREATE INDEX duplicate_conflict ON duplicate(seq) WHERE verdict = 'conflict';
CREATE TABLE shard(
  seq INTEGER PRIMARY KEY,
  root TEXT NOT NULL,
  name TEXT NOT NULL,
  digest TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  samples INTEGER NOT NULL
) STRICT;
CREATE TABLE shard_licence(
  seq INTEGER NOT NULL REFERENCES shard(seq),
  licence INTEGER NOT NULL REFERENCES licence(seq),
  PRIMARY KEY(seq, licence)
) STRICT, WITHOUT ROWID;
CREATE TABLE sample(
  seq INTEGER PRIMARY KEY,
  shard INTEGER NOT NULL REFERENCES shard(seq),
  position INTEGER NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  clip INTEGER NOT NULL REFERENCES clip(seq),
  first INTEGER NOT NULL REFERENCES sample(seq),
  duration_us INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX sample_shard ON sample(shard, position);
CREATE INDEX sample_clip ON sample(clip);
CREATE INDEX sample_first ON sample(first);
CREATE TABLE policy(
  seq INTEGER PRIMARY KEY,
  version INTEGER NOT NULL,
  signers TEXT NOT NULL,
  at TEXT NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE TABLE witness_policy(
  seq INTEGER PRIMARY KEY,
  text TEXT NOT NULL
) STRICT;
CREATE TABLE approval(
  seq INTEGER PRIMARY KEY,
  root TEXT NOT NULL,
  shards INTEGER NOT NULL,
  signers TEXT NOT NULL,
  at TEXT NOT NULL,
  use TEXT NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE TABLE approved_shard(
  seq INTEGER NOT NULL REFERENCES approval(seq),
  shard INTEGER NOT NULL REFERENCES shard(seq),
  PRIMARY KEY(seq, shard)
) STRICT, WITHOUT ROWID;
CREATE TABLE revocation(
  seq INTEGER PRIMARY KEY,
  licence TEXT,
  shard INTEGER REFERENCES shard(seq),
  signers TEXT NOT NULL,
  at TEXT NOT NULL,
  reason TEXT NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE INDEX revoked_licence ON revocation(licence) WHERE licence IS NOT NULL;
CREATE INDEX revoked_shard ON revocation(shard) WHERE shard IS NOT NULL;
CREATE TABLE permit(
  seq INTEGER PRIMARY KEY,
  digest TEXT NOT NULL,
  run TEXT NOT NULL,
  model TEXT NOT NULL,
  signers TEXT NOT NULL,
  issued_at TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  tree_size INTEGER NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE TABLE permit_shard(
  seq INTEGER NOT NULL REFERENCES permit(seq),
  shard INTEGER NOT NULL REFERENCES shard(seq),
  max_passes INTEGER,
  PRIMARY KEY(seq, shard)
) STRICT, WITHOUT ROWID;
CREATE INDEX permit_of_shard ON permit_shard(shard);
CREATE TABLE run(
  seq INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  permit INTEGER NOT NULL REFERENCES permit(seq),
  config_digest TEXT NOT NULL,
  code_version TEXT NOT NULL,
  seed INTEGER NOT NULL,
  ranks INTEGER NOT NULL
) STRICT;
CREATE TABLE receipt(
  seq INTEGER PRIMARY KEY,
  digest TEXT NOT NULL,
  run INTEGER NOT NULL REFERENCES run(seq),
  signers TEXT NOT NULL,
  first_step INTEGER NOT NULL,
  end_step INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  checkpoint TEXT NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE INDEX receipt_run ON receipt(run, end_step);
CREATE TABLE consumed(
  seq INTEGER PRIMARY KEY,
  receipt INTEGER NOT NULL REFERENCES receipt(seq),
  sample INTEGER NOT NULL REFERENCES sample(seq),
  passes INTEGER NOT NULL,
  first_step INTEGER NOT NULL
) STRICT;
CREATE INDEX consumed_receipt ON consumed(receipt);
CREATE INDEX consumed_sample ON consumed(sample);
CREATE TABLE checkpoint(
  seq INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run(seq),
  receipt INTEGER NOT NULL REFERENCES receipt(seq),
  step INTEGER NOT NULL,
  digest TEXT NOT NULL,
  parent TEXT NOT NULL,
  signers TEXT NOT NULL,
  statement TEXT NOT NULL
) STRICT;
CREATE INDEX checkpoint_receipt ON checkpoint(receipt);
CREATE TABLE refusal(
  seq INTEGER PRIMARY KEY,
  act TEXT NOT NULL,
  subject TEXT NOT NULL,
  rule TEXT NOT NULL,
  fact TEXT NOT NULL
) STRICT;
CREATE TABLE erasure(
  seq INTEGER PRIMARY KEY,
  licence INTEGER NOT NULL REFERENCES licence(seq),
  reason TEXT NOT NULL,
  signers TEXT NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE TABLE state(
  seq INTEGER PRIMARY KEY,
  entries INTEGER NOT NULL,
  runs INTEGER NOT NULL,
  root TEXT NOT NULL
) STRICT;
)sql";

// What version 4 has more than version 3, version 5 more than version 4, and version 6 more than
// version 5, and version 8 more than that: a ledger of a version before gains it when it is opened
// to be written to. Version 7 had other views than version 6.
constexpr std::string_view kVersion4Schema = R"sql(
CREATE TABLE measure(
  seq INTEGER PRIMARY KEY,
  source INTEGER NOT NULL REFERENCES source(seq),
  kind TEXT NOT NULL,
  start_us INTEGER NOT NULL,
  end_us INTEGER NOT NULL,
  value REAL NOT NULL,
  x INTEGER NOT NULL,
  y INTEGER NOT NULL,
  width INTEGER NOT NULL,
  height INTEGER NOT NULL,
  note TEXT NOT NULL,
  pts_us BLOB NOT NULL,
  pdq BLOB NOT NULL,
  quality BLOB NOT NULL
) STRICT;
CREATE INDEX measure_source ON measure(source, kind);
CREATE TABLE receipt_cost(
  seq INTEGER PRIMARY KEY REFERENCES receipt(seq),
  sample_us INTEGER,
  machine_us INTEGER
) STRICT;
CREATE TABLE consumed_shard(
  seq INTEGER PRIMARY KEY,
  receipt INTEGER NOT NULL REFERENCES receipt(seq),
  shard INTEGER NOT NULL REFERENCES shard(seq),
  position INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  passes INTEGER NOT NULL,
  first_step INTEGER NOT NULL,
  sample_us INTEGER NOT NULL,
  each TEXT NOT NULL
) STRICT;
CREATE INDEX consumed_shard_receipt ON consumed_shard(receipt);
CREATE INDEX consumed_shard_shard ON consumed_shard(shard, receipt, first_step, passes, sample_us, samples);
CREATE TABLE deletion(
  seq INTEGER PRIMARY KEY,
  shard INTEGER REFERENCES shard(seq),
  source INTEGER REFERENCES source(seq),
  what TEXT NOT NULL,
  digests TEXT NOT NULL,
  signers TEXT NOT NULL,
  at TEXT NOT NULL,
  reason TEXT NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE INDEX deleted_shard ON deletion(shard) WHERE shard IS NOT NULL;
CREATE TABLE mark(
  seq INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  name TEXT NOT NULL,
  says TEXT NOT NULL,
  value TEXT NOT NULL,
  place TEXT NOT NULL
) STRICT;
CREATE INDEX mark_source ON mark(source);
CREATE TABLE clearance(
  seq INTEGER PRIMARY KEY,
  clip INTEGER NOT NULL REFERENCES clip(seq),
  reason TEXT NOT NULL,
  value TEXT NOT NULL,
  origin TEXT NOT NULL,
  pictures TEXT NOT NULL
) STRICT;
CREATE INDEX clearance_clip ON clearance(clip);
CREATE TABLE review(
  seq INTEGER PRIMARY KEY,
  signers TEXT NOT NULL,
  at TEXT NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE TABLE reviewed_clip(
  seq INTEGER NOT NULL REFERENCES review(seq),
  clip INTEGER NOT NULL REFERENCES clip(seq),
  released TEXT NOT NULL,
  kept_out TEXT NOT NULL,
  says TEXT NOT NULL,
  PRIMARY KEY(seq, clip)
) STRICT, WITHOUT ROWID;
CREATE INDEX review_of_clip ON reviewed_clip(clip);
)sql";
constexpr std::string_view kVersion5Schema = R"sql(
CREATE TABLE checkpoint_vae(
  seq INTEGER PRIMARY KEY REFERENCES checkpoint(seq),
  vae TEXT NOT NULL
) STRICT;
CREATE TABLE permit_list(
  seq INTEGER PRIMARY KEY,
  root TEXT NOT NULL,
  position INTEGER NOT NULL,
  text TEXT NOT NULL
) STRICT;
CREATE INDEX permit_list_root ON permit_list(root, position);
CREATE TABLE listed_shard(
  seq INTEGER NOT NULL REFERENCES permit_list(seq),
  shard INTEGER NOT NULL REFERENCES shard(seq),
  max_passes INTEGER,
  PRIMARY KEY(seq, shard)
) STRICT, WITHOUT ROWID;
CREATE INDEX list_of_shard ON listed_shard(shard);
CREATE TABLE list_of_permit(
  seq INTEGER NOT NULL REFERENCES permit(seq),
  list INTEGER NOT NULL REFERENCES permit_list(seq),
  PRIMARY KEY(seq, list)
) STRICT, WITHOUT ROWID;
CREATE INDEX permit_of_list ON list_of_permit(list);
)sql";
// `licence_source` is kept beside `document`, and goes with it: only the document says what of the
// footage that was there before the licence covers (ledger/coverage.h).
constexpr std::string_view kVersion6Schema = R"sql(
CREATE TABLE licence_source(
  seq INTEGER NOT NULL REFERENCES licence(seq),
  source INTEGER NOT NULL REFERENCES source(seq),
  PRIMARY KEY(seq, source)
) STRICT, WITHOUT ROWID;
CREATE INDEX licence_of_source ON licence_source(source);
CREATE TABLE release(
  seq INTEGER PRIMARY KEY,
  digest TEXT NOT NULL,
  checkpoint TEXT NOT NULL,
  use TEXT NOT NULL,
  model TEXT NOT NULL,
  field_of_use TEXT NOT NULL,
  territory TEXT NOT NULL,
  signers TEXT NOT NULL,
  issued_at TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  tree_size INTEGER NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE TABLE release_licence(
  seq INTEGER NOT NULL REFERENCES release(seq),
  licence INTEGER NOT NULL REFERENCES licence(seq),
  PRIMARY KEY(seq, licence)
) STRICT, WITHOUT ROWID;
CREATE TABLE protection(
  seq INTEGER PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  name TEXT NOT NULL,
  removed INTEGER NOT NULL
) STRICT;
CREATE INDEX protection_of ON protection(fingerprint);
)sql";
constexpr std::string_view kVersion8Schema = R"sql(
CREATE TABLE review_list(
  seq INTEGER PRIMARY KEY,
  root TEXT NOT NULL,
  position INTEGER NOT NULL,
  text TEXT NOT NULL
) STRICT;
CREATE INDEX review_list_root ON review_list(root, position);
CREATE TABLE listed_decision(
  seq INTEGER NOT NULL REFERENCES review_list(seq),
  clip INTEGER NOT NULL REFERENCES clip(seq),
  released TEXT NOT NULL,
  kept_out TEXT NOT NULL,
  says TEXT NOT NULL,
  PRIMARY KEY(seq, clip)
) STRICT, WITHOUT ROWID;
CREATE INDEX decision_of_clip ON listed_decision(clip);
CREATE TABLE list_of_review(
  seq INTEGER NOT NULL REFERENCES review(seq),
  list INTEGER NOT NULL REFERENCES review_list(seq),
  PRIMARY KEY(seq, list)
) STRICT, WITHOUT ROWID;
CREATE INDEX review_of_list ON list_of_review(list);
CREATE TABLE checkpoint_text_encoder(
  seq INTEGER PRIMARY KEY REFERENCES checkpoint(seq),
  text_encoder TEXT NOT NULL
) STRICT;
)sql";

// What follows "FROM" for the review, `r` and its `v`, that decides about a reason for which a clip
// is held, given SQL for clip, reason and the record that found it: of those decided and taken
// after that record, the one decided last.
inline std::string deciding_review(std::string_view clip, std::string_view found,
                                   std::string_view reason, std::string_view before = "") {
  std::string sql = " (SELECT seq AS review, released, kept_out FROM reviewed_clip WHERE clip = ";
  sql.append(clip).append(
      " UNION ALL SELECT o.seq, d.released, d.kept_out FROM listed_decision d "
      "JOIN list_of_review o ON o.list = d.seq WHERE d.clip = ");
  sql.append(clip).append(") r JOIN review v ON v.seq = r.review WHERE r.review > ").append(found);
  if (!before.empty()) sql.append(" AND r.review < ").append(before);
  sql.append(" AND v.at >= (SELECT m.at FROM moment m WHERE m.seq <= ").append(found);
  sql.append(
      " ORDER BY m.seq DESC LIMIT 1) AND instr(', ' || r.released || ', ' || r.kept_out "
      "|| ',', ', ' || ");
  sql.append(reason).append(" || ',') > 0 ORDER BY v.at DESC, v.seq DESC LIMIT 1");
  return sql;
}

// Readable views. They are made over the tables above; for a point in time they are made again over
// the rows of the records before it (ledger/query.h), with its day as `today`.
constexpr std::string_view kTodayView = "CREATE VIEW today AS SELECT date('now') AS day;\n";
inline const std::string kViews = std::string(R"sql(
-- When each kind of record was made: `at` is that of the newest moment not after it.
CREATE VIEW record AS
  SELECT seq, (SELECT m.at FROM moment m WHERE m.seq <= r.seq ORDER BY m.seq DESC LIMIT 1) AS at,
         kind
  FROM (SELECT seq, 'key' AS kind FROM key UNION ALL SELECT seq, 'retirement' FROM retirement
        UNION ALL SELECT seq, 'licence' FROM licence UNION ALL SELECT seq, 'source' FROM source
        UNION ALL SELECT seq, 'fingerprint' FROM fingerprint UNION ALL SELECT seq, 'clip' FROM clip
        UNION ALL SELECT seq, 'duplicate' FROM duplicate UNION ALL SELECT seq, 'shard' FROM shard
        UNION ALL SELECT seq, 'measure' FROM measure
        UNION ALL SELECT seq, 'sample' FROM sample UNION ALL SELECT seq, 'policy' FROM policy
        UNION ALL SELECT seq, 'witness_policy' FROM witness_policy
        UNION ALL SELECT seq, 'approval' FROM approval
        UNION ALL SELECT seq, 'revocation' FROM revocation UNION ALL SELECT seq, 'permit' FROM permit
        UNION ALL SELECT seq, 'run' FROM run UNION ALL SELECT seq, 'receipt' FROM receipt
        UNION ALL SELECT seq, 'consumed' FROM consumed
        UNION ALL SELECT seq, 'consumed_shard' FROM consumed_shard
        UNION ALL SELECT seq, 'checkpoint' FROM checkpoint UNION ALL SELECT seq, 'release' FROM release
        UNION ALL SELECT seq, 'refusal' FROM refusal UNION ALL SELECT seq, 'erasure' FROM erasure
        UNION ALL SELECT seq, 'deletion' FROM deletion
        UNION ALL SELECT seq, 'permit_list' FROM permit_list
        UNION ALL SELECT seq, 'mark' FROM mark UNION ALL SELECT seq, 'clearance' FROM clearance
        UNION ALL SELECT seq, 'review' FROM review
        UNION ALL SELECT seq, 'review_list' FROM review_list
        UNION ALL SELECT seq, 'protection' FROM protection
        UNION ALL SELECT seq, 'state' FROM state) r;
-- Licences in force: not superseded by a later version, not revoked, their document not erased, today
-- within their dates.
CREATE VIEW licence_in_force AS
  SELECT l.* FROM licence l
  WHERE NOT EXISTS (SELECT 1 FROM licence n WHERE n.id = l.id AND n.version > l.version)
    AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.licence = l.id)
    AND l.seq NOT IN (SELECT licence FROM erasure)
    AND (SELECT day FROM today) BETWEEN l.valid_from AND l.valid_to;
-- Which licences cover a source: those that it was taken in under, and those that came later.
CREATE VIEW source_cover AS
  SELECT seq AS source, licence FROM source_licence
  UNION ALL SELECT source, seq FROM licence_source;
-- Sources that two licensors cover, or a licence that is not in force: of several every one has to say yes.
CREATE VIEW barred_source AS
  SELECT v.source FROM source_cover v JOIN licence l ON l.seq = v.licence
  WHERE NOT EXISTS (SELECT 1 FROM licence n WHERE n.id = l.id AND n.version > l.version)
  GROUP BY v.source
  HAVING COUNT(DISTINCT l.licensor) > 1 OR MAX(l.seq NOT IN (SELECT seq FROM licence_in_force));
-- The clips of a source. They come in series, and where a series begins is on record: an index with an
-- entry for each clip would cost as much as the clip itself.
CREATE VIEW source_clip AS
  SELECT s.source, c.seq AS clip, c.start_us, c.end_us, c.verdict
  FROM clip_series s CROSS JOIN clip c
    ON c.seq >= s.seq
       AND c.seq < COALESCE((SELECT MIN(n.seq) FROM clip_series n WHERE n.seq > s.seq),
                            9223372036854775807);
-- What a review decides about a clip, in its own record or in lists.
CREATE VIEW decided_clip AS
  SELECT seq AS review, clip, released, kept_out, says FROM reviewed_clip
  UNION ALL
  SELECT o.seq, d.clip, d.released, d.kept_out, d.says
  FROM listed_decision d JOIN list_of_review o ON o.list = d.seq;
-- Clips of a span that two licensors claim, whichever came first, and all clips of a file that came
-- with such a span; with the review that decides about it.
CREATE VIEW title_review AS
  SELECT a.clip, a.duplicate,
         (SELECT v.seq FROM)sql") +
                                  deciding_review("a.clip", "a.duplicate", "'title'") +
                                  R"sql() AS review
  FROM (SELECT c.clip, d.seq AS duplicate FROM duplicate d CROSS JOIN source_clip c
          ON c.source = d.of AND c.start_us < d.of_end_us AND d.of_start_us < c.end_us
        WHERE d.verdict = 'conflict'
        UNION
        SELECT c.clip, d.seq FROM duplicate d CROSS JOIN source s ON s.seq = d.source
        CROSS JOIN source_clip c
          ON c.source = d.source
             AND (s.status = 'conflict' OR c.start_us < d.end_us AND d.start_us < c.end_us)
        WHERE d.verdict = 'conflict') a;
CREATE VIEW title_claim AS
  SELECT t.clip, t.duplicate, t.review,
         COALESCE((SELECT instr(', ' || r.released || ',', ', title,') > 0 FROM decided_clip r
                   WHERE r.review = t.review AND r.clip = t.clip), 0) AS released
  FROM title_review t;
-- Those that are quarantined, and those that people released from every claim.
CREATE VIEW conflicted_clip AS SELECT DISTINCT clip FROM title_claim WHERE released = 0;
CREATE VIEW released_clip AS
  SELECT clip FROM title_claim GROUP BY clip HAVING MIN(released) = 1;
-- Spans of a source, `of`, that show what another source of its licensor shows, which came later: by a
-- finding, or through others.
CREATE VIEW near_copy AS
  WITH RECURSIVE near(source, of, start_us, end_us) AS (
    SELECT source, of, of_start_us, of_end_us FROM duplicate WHERE verdict = 'duplicate'
    UNION
    SELECT n.source, d.of, d.of_start_us, d.of_end_us FROM near n JOIN duplicate d ON d.source = n.of
      AND d.start_us < n.end_us AND n.start_us < d.end_us
    WHERE d.verdict = 'duplicate')
  SELECT source, of, start_us, end_us FROM near;
-- Clips that are used under the licences of another source, `source`, too: they show what it shows.
CREATE VIEW near_copy_clip AS
  SELECT n.source, n.of, c.clip FROM near_copy n CROSS JOIN source_clip c
    ON c.source = n.of AND c.start_us < n.end_us AND n.start_us < c.end_us;
-- The works that are protected now, one for each file that has to be beside the ledger.
CREATE VIEW protected_work AS
  SELECT p.fingerprint, p.name, p.seq AS record FROM protection p
  WHERE p.removed = 0
    AND NOT EXISTS (SELECT 1 FROM protection n WHERE n.fingerprint = p.fingerprint AND n.seq > p.seq);
-- The shards of a permit, in its own record or in lists.
CREATE VIEW permitted_shard AS
  SELECT seq AS permit, shard, max_passes FROM permit_shard
  UNION ALL
  SELECT l.seq, s.shard, s.max_passes FROM list_of_permit l JOIN listed_shard s ON s.seq = l.list;
CREATE VIEW cleared AS
  SELECT c.id AS clip, s.path, c.start_us, c.end_us, l.ref AS licence, l.licensor, l.valid_to,
         h.root AS shard
  FROM sample p
  JOIN shard h ON h.seq = p.shard
  JOIN clip c ON c.seq = p.clip
  JOIN source s ON s.seq = c.source
  JOIN source_cover v ON v.source = s.seq
  JOIN licence_in_force l ON l.seq = v.licence
  WHERE (c.verdict = 'kept'
         OR c.verdict = 'conflict' AND c.seq IN (SELECT clip FROM released_clip))
    AND s.seq NOT IN (SELECT source FROM barred_source)
    AND c.seq NOT IN (SELECT clip FROM conflicted_clip)
    AND h.seq IN (SELECT shard FROM approved_shard)
    AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.shard = h.seq)
    AND NOT EXISTS (SELECT 1 FROM deletion d WHERE d.shard = h.seq);
CREATE VIEW refused AS
  SELECT r.seq,
         (SELECT m.at FROM moment m WHERE m.seq <= r.seq ORDER BY m.seq DESC LIMIT 1) AS at,
         r.act, r.subject, r.rule, r.fact
  FROM refusal r;
CREATE VIEW expiring AS
  SELECT ref AS licence, licensor, valid_to,
         CAST(julianday(valid_to) - julianday((SELECT day FROM today)) AS INTEGER) AS days_left
  FROM licence_in_force ORDER BY valid_to;
-- Whose a source is: the licensor's who covered it first, so that a later claim to it takes nothing away.
CREATE VIEW source_licensor AS
  SELECT v.source, l.licensor, MIN(l.seq) AS since
  FROM source_cover v JOIN licence l ON l.seq = v.licence GROUP BY v.source;
-- Under which licence of that licensor what is consumed of a source is paid: the one that began to cover it
-- last, from the record `since` until the next one. Grouped though each is one: else a join with it looks
-- at all of them for every row.
CREATE VIEW source_payer AS
  SELECT source, id, since, MAX(until) AS until
  FROM (SELECT source, id, since,
               LEAD(since, 1, 9223372036854775807) OVER (PARTITION BY source ORDER BY since) AS until
        FROM (SELECT v.source, l.id, MIN(l.seq) AS since
              FROM source_cover v JOIN licence l ON l.seq = v.licence
              JOIN source_licensor o ON o.source = v.source AND o.licensor = l.licensor
              GROUP BY v.source, l.id))
  GROUP BY source, since;
-- What runs consumed, sample by sample: `each` of consumed_shard is a list with [passes, first step]
-- for a sample of the shard that was consumed, and 0 for one that was not. Several samples of one
-- digest are one, the first.
CREATE VIEW consumption AS
  SELECT seq, receipt, sample, passes, first_step FROM consumed
  UNION ALL
  SELECT u.seq, u.receipt, p.first, a.value, b.value
  FROM consumed_shard u CROSS JOIN json_each(u.each) e
  CROSS JOIN json_each(e.value) a ON a.key = 0
  CROSS JOIN json_each(e.value) b ON b.key = 1
  CROSS JOIN sample p ON p.shard = u.shard AND p.position = u.position + e.key
  WHERE e.type = 'array';
-- What runs consumed, once a checkpoint closed the span: until then nobody vouches for it. From the
-- clip's side, so that a question about some clips looks at those alone.
CREATE VIEW consumed_clip AS
  SELECT p.clip, t.run, t.end_step, u.seq, u.passes, u.first_step
  FROM sample p CROSS JOIN consumed u ON u.sample = p.seq CROSS JOIN receipt t ON t.seq = u.receipt
  WHERE EXISTS (SELECT 1 FROM checkpoint k WHERE k.receipt = t.seq)
  UNION ALL
  SELECT p.clip, t.run, t.end_step, u.seq, a.value, b.value
  FROM sample p CROSS JOIN consumed_shard u ON u.shard = p.shard AND u.position <= p.position
  CROSS JOIN receipt t ON t.seq = u.receipt
  CROSS JOIN json_each(u.each, '$[' || (p.position - u.position) || ']') a ON a.key = 0
  CROSS JOIN json_each(u.each, '$[' || (p.position - u.position) || ']') b ON b.key = 1
  WHERE a.value > 0
    AND EXISTS (SELECT 1 FROM checkpoint k WHERE k.receipt = t.seq);
-- Summed by sample before samples and clips are looked up: in the order of their numbers, and once.
CREATE VIEW exposure AS
  WITH by_sample AS MATERIALIZED (
    SELECT t.run, u.sample, SUM(u.passes) AS passes
    FROM checkpoint k JOIN receipt t ON t.seq = k.receipt JOIN consumption u ON u.receipt = t.seq
    GROUP BY t.run, u.sample),
  by_source AS MATERIALIZED (
    SELECT b.run, c.source, COUNT(DISTINCT c.seq) AS clips, SUM(b.passes) AS passes,
           SUM(b.passes * p.duration_us) AS duration_us
    FROM by_sample b CROSS JOIN sample p ON p.seq = b.sample CROSS JOIN clip c ON c.seq = p.clip
    GROUP BY b.run, c.source)
  SELECT sl.licensor, r.name AS run, SUM(b.clips) AS clips, SUM(b.passes) AS passes,
         SUM(b.duration_us) / 1e6 AS sample_seconds
  FROM by_source b JOIN source_licensor sl ON sl.source = b.source JOIN run r ON r.seq = b.run
  GROUP BY sl.licensor, r.name;
-- A clip has a row where the run first consumed it, so the first rows are there at once.
CREATE VIEW provenance AS
  SELECT r.name AS run, k.step, k.digest AS checkpoint, s.path, s.digest AS source, c.id AS clip,
         l.ref AS licence,
         (SELECT SUM(f.passes) FROM consumed_clip f
          WHERE f.clip = c.seq AND f.run = k.run AND f.end_step <= k.step) AS passes
  FROM checkpoint k
  CROSS JOIN run r ON r.seq = k.run
  CROSS JOIN receipt t ON t.run = k.run AND t.end_step <= k.step
  CROSS JOIN consumption u ON u.receipt = t.seq
  CROSS JOIN sample p ON p.seq = u.sample
  CROSS JOIN clip c ON c.seq = p.clip
  CROSS JOIN source s ON s.seq = c.source
  CROSS JOIN source_licence sl ON sl.seq = s.seq
  CROSS JOIN licence l ON l.seq = sl.licence
  WHERE u.seq = (SELECT MIN(f.seq) FROM consumed_clip f
                 WHERE f.clip = p.clip AND f.run = k.run AND f.end_step <= k.step);
-- By the licences that cover a file, or a near copy of it, as it came: ledger/impact.h also asks those of
-- other paths of its bytes, and what runs inherited from others.
CREATE VIEW revoked_clip AS
  SELECT c.clip, r.licence AS revoked, r.at, r.reason
  FROM revocation r
  CROSS JOIN licence l ON l.id = r.licence
  CROSS JOIN source_cover v ON v.licence = l.seq
  CROSS JOIN source_clip c ON c.source = v.source
  UNION
  SELECT c.clip, r.licence, r.at, r.reason
  FROM revocation r
  CROSS JOIN licence l ON l.id = r.licence
  CROSS JOIN source_cover v ON v.licence = l.seq
  JOIN near_copy_clip c ON c.source = v.source
  UNION
  SELECT p.clip, h.root, r.at, r.reason
  FROM revocation r CROSS JOIN shard h ON h.seq = r.shard CROSS JOIN sample p ON p.shard = r.shard;
CREATE VIEW touched AS
  SELECT r.name AS run, k.step, k.digest AS checkpoint, v.revoked,
         COUNT(DISTINCT v.clip) AS clips, MIN(u.first_step) AS first_step
  FROM revoked_clip v
  CROSS JOIN consumed_clip u ON u.clip = v.clip
  CROSS JOIN checkpoint k ON k.run = u.run AND k.step >= u.end_step
  CROSS JOIN run r ON r.seq = k.run
  GROUP BY k.seq, v.revoked;
-- What was released, and since when it counts no more: a licence that the weights consumed under was
-- revoked, or a shard, which may be any of theirs but those that the release says it knew to be
-- (ledger/release.h).
CREATE VIEW released AS
  SELECT e.seq, r.name AS run, k.step, e.checkpoint, e.use, e.model, e.field_of_use, e.territory,
         e.issued_at, e.expires_at,
         (SELECT MIN(v.at) FROM revocation v LEFT JOIN shard h ON h.seq = v.shard
          WHERE v.licence IN (SELECT l.id FROM release_licence x JOIN licence l ON l.seq = x.licence
                              WHERE x.seq = e.seq)
             OR instr(e.note, h.root) = 0) AS taken_back,
         e.signers
  FROM release e
  CROSS JOIN checkpoint k ON k.seq = (SELECT MIN(seq) FROM checkpoint WHERE digest = e.checkpoint)
  CROSS JOIN run r ON r.seq = k.run;
)sql";

}  // namespace cleared::ledger

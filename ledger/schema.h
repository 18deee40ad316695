// The tables of a ledger file, as SQL. docs/formats/ledger.md says what each column means.
#pragma once

#include <string_view>

namespace cleared::ledger {

constexpr int kApplicationId = 0x434C5244;  // "CLRD"
constexpr int kSchemaVersion = 1;

// What is kept: the log, its tree, the signed tree heads, and documents that stay outside the log.
constexpr std::string_view kLogSchema = R"sql(
CREATE TABLE leaf(
  seq INTEGER PRIMARY KEY,
  bytes BLOB NOT NULL,
  digest BLOB NOT NULL
) STRICT;
CREATE TABLE node(
  level INTEGER NOT NULL,
  tile INTEGER NOT NULL,
  digests BLOB NOT NULL,
  PRIMARY KEY(level, tile)
) STRICT, WITHOUT ROWID;
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
)sql";

// What is derived: rebuilt from the log alone by project().
constexpr std::string_view kProjectionSchema = R"sql(
CREATE TABLE record(
  seq INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  kind TEXT NOT NULL,
  identity BLOB NOT NULL UNIQUE
) STRICT;
CREATE TABLE key(
  vkey TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  retired_seq INTEGER
) STRICT;
CREATE TABLE licence(
  ref TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  id TEXT NOT NULL,
  version INTEGER NOT NULL,
  licensor TEXT NOT NULL,
  licensee TEXT NOT NULL,
  valid_from TEXT NOT NULL,
  valid_to TEXT NOT NULL,
  attribution TEXT NOT NULL,
  document_digest TEXT NOT NULL UNIQUE,
  UNIQUE(id, version)
) STRICT;
CREATE TABLE source(
  digest TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
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
  source TEXT NOT NULL REFERENCES source,
  licence TEXT NOT NULL REFERENCES licence,
  seq INTEGER NOT NULL,
  PRIMARY KEY(source, licence)
) STRICT, WITHOUT ROWID;
CREATE TABLE fingerprint(
  source TEXT NOT NULL REFERENCES source,
  first_frame INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  frames INTEGER NOT NULL,
  pts_us BLOB NOT NULL,
  pdq BLOB NOT NULL,
  quality BLOB NOT NULL,
  PRIMARY KEY(source, first_frame)
) STRICT, WITHOUT ROWID;
CREATE TABLE clip(
  id TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  source TEXT NOT NULL REFERENCES source,
  start_us INTEGER NOT NULL,
  end_us INTEGER NOT NULL,
  shot INTEGER NOT NULL,
  verdict TEXT NOT NULL,
  luma REAL NOT NULL,
  sharpness REAL NOT NULL,
  motion REAL NOT NULL,
  caption TEXT NOT NULL
) STRICT;
CREATE INDEX clip_source ON clip(source);
CREATE TABLE duplicate(
  seq INTEGER PRIMARY KEY,
  source TEXT NOT NULL REFERENCES source,
  of TEXT NOT NULL REFERENCES source,
  start_us INTEGER NOT NULL,
  end_us INTEGER NOT NULL,
  of_start_us INTEGER NOT NULL,
  of_end_us INTEGER NOT NULL,
  distance REAL NOT NULL,
  audio_match REAL NOT NULL,
  verdict TEXT NOT NULL
) STRICT;
CREATE TABLE shard(
  root TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  name TEXT NOT NULL,
  digest TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  samples INTEGER NOT NULL
) STRICT;
CREATE TABLE shard_licence(
  shard TEXT NOT NULL REFERENCES shard,
  licence TEXT NOT NULL REFERENCES licence,
  seq INTEGER NOT NULL,
  PRIMARY KEY(shard, licence)
) STRICT, WITHOUT ROWID;
CREATE TABLE sample(
  shard TEXT NOT NULL REFERENCES shard,
  position INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  clip TEXT NOT NULL REFERENCES clip,
  duration_us INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  PRIMARY KEY(shard, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX sample_digest ON sample(digest);
CREATE INDEX sample_clip ON sample(clip);
CREATE TABLE approval(
  seq INTEGER PRIMARY KEY,
  shard TEXT NOT NULL REFERENCES shard,
  signer TEXT NOT NULL,
  at TEXT NOT NULL,
  use TEXT NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE TABLE revocation(
  seq INTEGER PRIMARY KEY,
  licence TEXT,
  shard TEXT REFERENCES shard,
  signer TEXT NOT NULL,
  at TEXT NOT NULL,
  reason TEXT NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE TABLE permit(
  digest TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  run TEXT NOT NULL,
  model TEXT NOT NULL,
  signer TEXT NOT NULL,
  issued_at TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  tree_size INTEGER NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE TABLE permit_shard(
  permit TEXT NOT NULL REFERENCES permit,
  shard TEXT NOT NULL REFERENCES shard,
  seq INTEGER NOT NULL,
  max_passes INTEGER,
  PRIMARY KEY(permit, shard)
) STRICT, WITHOUT ROWID;
CREATE TABLE run(
  name TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  permit TEXT NOT NULL REFERENCES permit,
  config_digest TEXT NOT NULL,
  code_version TEXT NOT NULL,
  seed INTEGER NOT NULL,
  ranks INTEGER NOT NULL
) STRICT;
CREATE TABLE receipt(
  digest TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  run TEXT NOT NULL REFERENCES run,
  signer TEXT NOT NULL,
  first_step INTEGER NOT NULL,
  end_step INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  checkpoint TEXT NOT NULL,
  note TEXT NOT NULL,
  UNIQUE(run, end_step)
) STRICT;
CREATE TABLE consumed(
  run TEXT NOT NULL,
  end_step INTEGER NOT NULL,
  sample TEXT NOT NULL,
  seq INTEGER NOT NULL,
  passes INTEGER NOT NULL,
  first_step INTEGER NOT NULL,
  PRIMARY KEY(run, end_step, sample),
  FOREIGN KEY(run, end_step) REFERENCES receipt(run, end_step)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoint(
  run TEXT NOT NULL REFERENCES run,
  step INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  digest TEXT NOT NULL,
  parent TEXT NOT NULL,
  signer TEXT NOT NULL,
  statement TEXT NOT NULL,
  PRIMARY KEY(run, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE refusal(
  seq INTEGER PRIMARY KEY,
  act TEXT NOT NULL,
  subject TEXT NOT NULL,
  rule TEXT NOT NULL,
  fact TEXT NOT NULL
) STRICT;

-- Licences in force: not superseded by a later version, not revoked, today within their dates.
CREATE VIEW licence_in_force AS
  SELECT l.* FROM licence l
  WHERE NOT EXISTS (SELECT 1 FROM licence n WHERE n.id = l.id AND n.version > l.version)
    AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.licence = l.id)
    AND date('now') BETWEEN l.valid_from AND l.valid_to;
-- Clips of a span that two licensors claim: quarantined, whichever came first.
CREATE VIEW conflicted_clip AS
  SELECT DISTINCT c.id AS clip FROM duplicate d JOIN clip c
    ON (c.source = d.of AND c.start_us < d.of_end_us AND d.of_start_us < c.end_us)
    OR (c.source = d.source AND c.start_us < d.end_us AND d.start_us < c.end_us)
  WHERE d.verdict = 'conflict';
CREATE VIEW cleared AS
  SELECT c.id AS clip, s.path, c.start_us, c.end_us, l.ref AS licence, l.licensor, l.valid_to,
         p.shard
  FROM clip c
  JOIN source s ON s.digest = c.source
  JOIN source_licence sl ON sl.source = s.digest
  JOIN licence_in_force l ON l.ref = sl.licence
  JOIN sample p ON p.clip = c.id
  WHERE c.verdict = 'kept'
    AND c.id NOT IN (SELECT clip FROM conflicted_clip)
    AND EXISTS (SELECT 1 FROM approval a WHERE a.shard = p.shard)
    AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.shard = p.shard);
CREATE VIEW refused AS
  SELECT r.seq, e.at, r.act, r.subject, r.rule, r.fact
  FROM refusal r JOIN record e ON e.seq = r.seq;
CREATE VIEW expiring AS
  SELECT ref AS licence, licensor, valid_to,
         CAST(julianday(valid_to) - julianday(date('now')) AS INTEGER) AS days_left
  FROM licence_in_force ORDER BY valid_to;
CREATE VIEW source_licensor AS
  SELECT DISTINCT sl.source, l.licensor
  FROM source_licence sl JOIN licence l ON l.ref = sl.licence;
CREATE VIEW consumed_clip AS
  SELECT u.run, u.end_step, u.first_step, u.passes, p.clip, p.duration_us, c.source
  FROM consumed u
  JOIN checkpoint k ON k.run = u.run AND k.step = u.end_step
  JOIN (SELECT DISTINCT digest, clip, duration_us FROM sample) p ON p.digest = u.sample
  JOIN clip c ON c.id = p.clip;
CREATE VIEW exposure AS
  SELECT sl.licensor, u.run, COUNT(DISTINCT u.clip) AS clips, SUM(u.passes) AS passes,
         SUM(u.passes * u.duration_us) / 1e6 AS sample_seconds
  FROM consumed_clip u JOIN source_licensor sl ON sl.source = u.source
  GROUP BY sl.licensor, u.run;
CREATE VIEW provenance AS
  SELECT k.run, k.step, k.digest AS checkpoint, s.path, s.digest AS source, u.clip,
         sl.licence, SUM(u.passes) AS passes
  FROM checkpoint k
  JOIN consumed_clip u ON u.run = k.run AND u.end_step <= k.step
  JOIN source s ON s.digest = u.source
  JOIN source_licence sl ON sl.source = s.digest
  GROUP BY k.run, k.step, u.clip, sl.licence;
CREATE VIEW revoked_clip AS
  SELECT c.id AS clip, r.licence AS revoked, r.at, r.reason
  FROM revocation r
  JOIN licence l ON l.id = r.licence
  JOIN source_licence sl ON sl.licence = l.ref
  JOIN clip c ON c.source = sl.source
  UNION
  SELECT p.clip, r.shard, r.at, r.reason FROM revocation r JOIN sample p ON p.shard = r.shard;
CREATE VIEW touched AS
  SELECT k.run, k.step, k.digest AS checkpoint, v.revoked, COUNT(DISTINCT u.clip) AS clips,
         MIN(u.first_step) AS first_step
  FROM checkpoint k
  JOIN consumed_clip u ON u.run = k.run AND u.end_step <= k.step
  JOIN revoked_clip v ON v.clip = u.clip
  GROUP BY k.run, k.step, v.revoked;
)sql";

}  // namespace cleared::ledger

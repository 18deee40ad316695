#!/usr/bin/env python3
"""What somebody may hand in who wants a yes that he has no right to, as a table: the exit code, the one line that says why, and the
refusal on record.

    rights_input_test.py LEDGER CURATE [CONFIG]

Marks that contradict each other and broken C2PA signatures are marks_test.py's, permits at the door of a training node
tests/train/rights_run_test.cpp's.
"""
import contextlib
import json
import pathlib
import re
import shutil
import sqlite3
import sys
import tempfile
import unittest

import bad_input_test as world_of

CONFIG = ""
WEBM = (world_of.DATA / "odd_size.webm").read_bytes()
NEXT = ("version: 1", 'version: 2 supersedes: "TEST-1@1"')


def append(world, file):
    return [world_of.LEDGER, "append", world.db, file]


def handed_in(*change, more="", after=""):
    """A licence with changes, signed by programs that did not look."""
    def prepare(world):
        good = world.licence("good.licence")
        text = world_of.LICENCE
        for old, new in change:
            assert old in text, old
            text = text.replace(old, new)
        signatures = pathlib.Path(good).read_text(encoding="utf-8").split("\n\n\u2014 ", 1)[1]
        return append(world, world.write("x.licence", f"{text}{more}\n\u2014 {signatures}{after}"))
    return prepare


def signed(*changes, keys=("licensor", "studio")):
    """Licences that both parties signed, one after another; the last is the one that is bad."""
    def prepare(world):
        for number, change in enumerate(changes):
            file = world.licence(f"v{number}.licence", keys, **{str(i): pair for i, pair in enumerate(change)})
            if number < len(changes) - 1:
                world.must(*append(world, file))
        return append(world, file)
    return prepare


def delivered(*licences, name="2026/film.webm"):
    """Footage under these licences: (file, keys, changes)."""
    def prepare(world):
        for number, (keys, change) in enumerate(licences):
            world.must(*append(world, world.licence(f"l{number}.licence", keys, **{str(i): pair for i, pair in enumerate(change)})))
        world.deliver(name, WEBM)
        return [world_of.CURATE, "ingest", "--ledger", world.db, world.delivery]
    return prepare


def never_delivered(world):
    world.must(*append(world, world.licence(where=('delivery: "**"', 'delivery: "2031/**"'))))
    world.deliver("2026/film.webm", WEBM)
    return [world_of.CURATE, "ingest", "--ledger", world.db, world.delivery]


def shards(world, *change):
    world.must(*append(world, world.licence(**{str(i): pair for i, pair in enumerate(change)})))
    world.deliver("2026/film.webm", WEBM)
    world.must(world_of.CURATE, "ingest", "--ledger", world.db, world.delivery)
    world.must(world_of.CURATE, "shard", "--ledger", world.db, "--delivery", world.delivery, "--out", world.path("shards"))
    world.must(world_of.LEDGER, "approve", world.db, "--all", "--key", world.path("approver.key"))


def permit(world, *more):
    return [world_of.LEDGER, "permit", world.db, "--run", CONFIG, "--key", world.path("approver.key"), "--out", world.path("run.permit"), *more]


def replayed(world):
    """A permit that was signed before the revocation and is brought after it."""
    shards(world)
    world.must(*permit(world, "--draft"))
    world.must(world_of.LEDGER, "revoke", world.db, "TEST-1", "--reason", "sold", "--key", world.path("licensor.key"))
    return append(world, world.path("run.permit"))


def after_revocation(world):
    shards(world)
    world.must(world_of.LEDGER, "revoke", world.db, "TEST-1", "--reason", "sold", "--key", world.path("licensor.key"))
    return permit(world)


def only_limited(world):
    shards(world, ("clearances", "limits { max_share: 0.5 }\nclearances"))
    return permit(world)


def no_clips(world):
    """A config whose preview makes clips, and a licence for training alone."""
    shards(world, (", GENERATE_INTERNAL", ""))
    return permit(world)


def changed_permit(was, becomes, keys=("approver",)):
    """A permit whose words somebody changed, and who signed it then."""
    def prepare(world):
        shards(world)
        world.must(*permit(world, "--draft"))
        path = pathlib.Path(world.path("run.permit"))
        text = path.read_text(encoding="utf-8").split("\n\n\u2014 ")[0] + "\n"
        return append(world, world.sign(re.sub(was, becomes, text), "other.permit", keys))
    return prepare


def revocation(what, key):
    def prepare(world):
        shards(world)
        text = 'revocation { licence: "%s" at: "2026-01-02T03:04:05Z" reason: "sold" }\n' % what
        return append(world, world.sign(text, "x.revocation", (key,)))
    return prepare


def review(world):
    text = 'review { at: "2026-01-02T03:04:05Z" decision { clip: "sha256:%s" keep_out: FACE } }\n' % ("ab" * 32)
    return [world_of.LEDGER, "review", world.db, "--take", world.sign(text, "x.review", ("approver",))]


def no_place(world):
    """A permit that cannot be written where it is asked for: it is none, and reserves nothing."""
    shards(world)
    (pathlib.Path(world.path("folder"))).mkdir()
    return permit(world)[:-1] + [world.path("folder")]


BOTH = ("licensor", "studio")
OTHERS = ("stranger", "studio")
OTHER_ID = (("TEST-1", "TEST-2"), ('licensor: "licensor"', 'licensor: "stranger"'))

PAY = 'pay {{ {} split {{ party: "{}" share_bps: 10000 }} }}\n'

# what: (prepare, exit code, words of the one line, rule on record or None)
TABLE = {
    "two fields": (handed_in(("version: 1", "version: 1 version: 2")), 65, r"x\.licence:2:\d+: .*version", "licence_invalid"),
    "a homoglyph": (handed_in(('licensor: "licensor"', 'licensor: "licens\u043er"')), 65, r"x\.licence:\d+:\d+: licence\.licensor", "licence_invalid"),
    "text after the signatures": (handed_in(after="allows { use: [SUBLICENSE] }\n"), 65, r"note|signature", "licence_invalid"),
    "a missing unit": (handed_in(more='pay { basis: PER_SAMPLE_SECOND rate_micros: 5 split { party: "licensor" share_bps: 10000 } }\n'), 65,
                       r"x\.licence:\d+:\d+: pay\.rate_micros has no unit", "licence_invalid"),
    "a homoglyph among those who are paid": (handed_in(more=PAY.format('basis: PER_SAMPLE_SECOND currency: "EUR" rate_micros: 5', "licens\u043er")), 65,
                                             r"x\.licence:\d+:\d+: pay\.split\.party must be plain ASCII", "licence_invalid"),
    "a price for seconds without one": (handed_in(more=PAY.format('basis: PER_SAMPLE_SECOND currency: "EUR"', "licensor")), 65,
                                        r"x\.licence:\d+:\d+: pay\.basis needs a rate_micros", "licence_invalid"),
    "a pool without a currency": (handed_in(more=PAY.format("basis: REVENUE_SHARE pool_bps: 500", "licensor")), 65,
                                  r"x\.licence:\d+:\d+: pay\.pool_bps has no unit", "licence_invalid"),
    "a pool of no size": (handed_in(more=PAY.format('basis: REVENUE_SHARE currency: "EUR"', "licensor")), 65,
                          r"x\.licence:\d+:\d+: pay\.basis needs a pool_bps", "licence_invalid"),
    "the year 9999": (handed_in(("2099-12-31", "9999-12-31")), 65, r"x\.licence:\d+:\d+: licence\.valid_to must be a real end", "licence_invalid"),
    "an offset from UTC": (handed_in(("2099-12-31", "2099-12-31T00:00:00+02:00")), 65, r"x\.licence:\d+:\d+: licence\.valid_to", "licence_invalid"),
    "terms that nobody signed": (handed_in(("2020-01-01", "2020-01-02")), 77, r"x\.licence.*not signed by", "licence_invalid"),
    "a circle of versions": (handed_in(("version: 1", 'version: 2 supersedes: "TEST-1@2"')), 65, r"x\.licence:\d+:\d+: licence\.supersedes", "licence_invalid"),
    "a version left out": (signed((), (("version: 1", 'version: 3 supersedes: "TEST-1@2"'),)), 65, r"v1\.licence: TEST-1@3 supersedes another version", "licence_invalid"),
    "two versions of one number": (signed((), (("2099-12-31", "2098-12-31"),)), 65, r"v1\.licence: the ledger has another document of TEST-1@1", "licence_invalid"),
    "an amendment by others": (signed((), (NEXT, ('licensor: "licensor"', 'licensor: "stranger"')), keys=BOTH), 65, r"v1\.licence: .*other parties", "licence_invalid"),
    "two licences that disagree": (delivered((BOTH, ()), (BOTH, (("TEST-1", "TEST-2"), ("use: [INGEST, ENCODE", "use: [ENCODE")))), 3,
                                   r"film\.webm: use_not_allowed: .*TEST-2", "use_not_allowed"),
    "a licence for footage never delivered": (never_delivered, 3, r"film\.webm: no_licence", "no_licence"),
    "footage under two licensors": (delivered((BOTH, ()), (OTHERS, OTHER_ID)), 3, r"film\.webm: title_conflict", "title_conflict"),
    "a permit brought after the revocation": (replayed, 3, r"refused: revoked: .*sold", "revoked"),
    "a permit asked for after the revocation": (after_revocation, 3, r"refused: revoked: .*sold", "revoked"),
    "clips of a run that nobody licensed": (no_clips, 3, r"refused: use_not_allowed: .*GENERATE_INTERNAL", "use_not_allowed"),
    "a permit of another ledger": (changed_permit("test.example/ledger", "other.example/ledger"), 65, r"names no tree head of this ledger.* \[permit_invalid\]$", "permit_invalid"),
    "a permit for years": (changed_permit('expires_at: "20', 'expires_at: "21'), 65, r"other\.permit: .* \[permit_invalid\]$", "permit_invalid"),
    "a permit that the licensor signed": (changed_permit("x^", "", ("licensor",)), 77, r"other\.permit: .*not signed by .* \[permit_invalid\]$", "permit_invalid"),
    "a revocation by a stranger": (revocation("TEST-1", "stranger"), 77, r"x\.revocation: .* \[revocation_invalid\]$", "revocation_invalid"),
    "a revocation of nothing": (revocation("TEST-9", "licensor"), 65, r"x\.revocation: .*no licence TEST-9 \[revocation_invalid\]$", "revocation_invalid"),
    "a review of what is not on record": (review, 65, r"x\.review: .* \[review_invalid\]$", "review_invalid"),
    "a licence that reads as another": (handed_in(("version: 1", "version: 01")), 65, r"x\.licence:\d+:\d+: version must be a number .*\[licence_invalid\]$", "licence_invalid"),
    "a folder with an accent": (handed_in(('"**"', '"k\u00f6ln/**"')), 65, r"x\.licence:\d+:\d+: covers\.delivery must be plain ASCII", "licence_invalid"),
    "a permit for which there is no place": (no_place, 74, r"ledger: write .*folder: a folder has that name", None),
    "a share that nothing holds": (only_limited, 3, r"refused: share_exceeded: .*all footage is of licensors with a limit", "share_exceeded"),
}


class RightsInput(unittest.TestCase):
    def test_each_is_one_line_and_a_record_and_never_a_yes(self):
        with tempfile.TemporaryDirectory() as top:
            base = pathlib.Path(top) / "base"
            base.mkdir()
            made = world_of.make_world(base)
            made.must(world_of.LEDGER, "append", made.db, made.path("stranger.pub"))
            for number, (what, (prepare, code, words, rule)) in enumerate(TABLE.items()):
                with self.subTest(what):
                    shutil.copytree(base, pathlib.Path(top) / str(number))
                    self.look(world_of.World(pathlib.Path(top) / str(number)), prepare, code, words, rule)

    def look(self, world, prepare, code, words, rule):
        command = prepare(world)
        taken = self.permits_and_licences(world)
        done = world.run(*command)
        said = (done.stdout + done.stderr).strip()
        self.assertEqual(done.returncode, code, said)
        self.assertEqual(len([line for line in said.splitlines() if re.search(words, line)]), 1, said)
        if command[0] == world_of.LEDGER:
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertEqual(self.permits_and_licences(world), taken)
        with contextlib.closing(sqlite3.connect(world.db)) as db:
            rows = db.execute("SELECT rule, subject, fact FROM refusal").fetchall()
        if rule is not None:
            self.assertEqual([row[0] for row in rows], [rule])
            self.assertTrue(all(rows[0]), rows)
            self.assertRegex(rows[0][1] + rows[0][2], "sha256:[0-9a-f]{64}|[0-9a-f]{64}")
        world.must(world_of.LEDGER, "verify", world.db)
        # Nor is it a yes afterwards.
        self.assertNotEqual(world.run(*command).returncode, 0)

    def test_bytes_are_judged_at_every_path(self):
        """Footage under a licence to train and, by another path, under one of the same licensor that does not allow it: whichever comes
        first, and whether or not that one lets it in there, nobody trains with it."""
        with tempfile.TemporaryDirectory() as top:
            for number, (folders, strict, codes, lines) in enumerate((
                    ("ab", "use: [INGEST, ENCODE]", (4, 4), ["refused   b/film.webm: other_licence: its bytes are in the ledger as a/film.webm, and here they are under "
                                                             "TEST-2@1, too: they may be used where all agree"]),
                    ("ba", "use: [INGEST, ENCODE]", (4, 4), ["refused   b/film.webm: other_licence"]),
                    ("ab", "use: [CAPTION]", (4, 3), ["refused   b/film.webm: use_not_allowed"]),
                    ("ba", "use: [CAPTION]", (4, 3), ["refused   a/film.webm: use_not_allowed"]))):
                with self.subTest(f"{folders} {strict}"):
                    (pathlib.Path(top) / str(number)).mkdir()
                    world = world_of.make_world(pathlib.Path(top) / str(number))
                    world.must(*append(world, world.licence(where=('"**"', f'"{folders[0]}/**"'))))
                    world.must(*append(world, world.licence("two.licence", id=("TEST-1", "TEST-2"), where=('"**"', f'"{folders[1]}/**"'),
                                                            use=("use: [INGEST, ENCODE, TRAIN, GENERATE_INTERNAL]", strict))))
                    for folder in "ab":
                        world.deliver(f"{folder}/film.webm", WEBM)
                    ingest = [world_of.CURATE, "ingest", "--ledger", world.db, world.delivery]
                    for code in codes:
                        done = world.run(*ingest)
                        said = [line for line in done.stdout.splitlines() if line.startswith("refused ")]
                        self.assertEqual(done.returncode, code, done.stdout)
                        self.assertIn(lines[0], "\n".join(said))
                    packed = world.run(world_of.CURATE, "shard", "--ledger", world.db, "--delivery", world.delivery, "--out", world.path("shards"))
                    approved = world.run(world_of.LEDGER, "approve", world.db, "--all", "--key", world.path("approver.key"))
                    self.assertRegex(packed.stdout + packed.stderr + approved.stderr, "use_not_allowed: .*TEST-2@1")
                    with contextlib.closing(sqlite3.connect(world.db)) as db:
                        self.assertEqual(db.execute("SELECT COUNT(*) FROM approval").fetchone(), (0,))
                    path, rule = lines[0].split()[1:3]
                    self.assertIn(rule.strip(":"), world.run(world_of.LEDGER, "why-not", world.db, path.strip(":")).stdout)
                    world.must(world_of.LEDGER, "verify", world.db)

    def test_a_later_licence_of_another_path_is_asked(self):
        """The same bytes by two paths under one licence; then comes another one, for the second path alone."""
        with tempfile.TemporaryDirectory() as top:
            for who, rule in (("licensor", "use_not_allowed"), ("archive", "title_conflict")):
                with self.subTest(who):
                    (pathlib.Path(top) / who).mkdir()
                    world = world_of.make_world(pathlib.Path(top) / who)
                    if who != "licensor":
                        world.must(world_of.LEDGER, "key", "new", who, "--role", "licensor", "--out", world.path(who))
                        world.must(*append(world, world.path(who + ".pub")))
                    world.deliver("b/film.webm", WEBM)
                    world.deliver("a/film.webm", WEBM)
                    shards(world)
                    world.must(world_of.CURATE, "ingest", "--ledger", world.db, world.delivery)
                    world.must(*permit(world, "--dry-run"))
                    strict = world.licence("two.licence", (who, "studio"), id=("TEST-1", "TEST-2"), where=('"**"', '"b/**"'),
                                           use=("use: [INGEST, ENCODE, TRAIN, GENERATE_INTERNAL]", "use: [INGEST]"),
                                           who=('licensor: "licensor"', f'licensor: "{who}"'))
                    world.must(*append(world, strict))
                    done = world.run(*permit(world, "--dry-run"))
                    self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
                    self.assertIn(f"refused: {rule}: ", done.stderr)
                    with contextlib.closing(sqlite3.connect(world.db)) as db:
                        noted = db.execute("SELECT act, subject FROM refusal WHERE rule = 'other_path' ORDER BY subject").fetchall()
                    self.assertEqual([(act, subject.split(" ")[0]) for act, subject in noted],
                                     [("curate", "a/film.webm"), ("curate", "b/film.webm")])
                    world.must(world_of.LEDGER, "verify", world.db)

    def test_a_revocation_is_told_of_or_not_on_record(self):
        """A notice that cannot be written leaves no record; asked for again, there is one record, and the notice."""
        with tempfile.TemporaryDirectory() as top:
            world = world_of.make_world(top)
            shards(world)
            revoke = ["revoke", world.db, "TEST-1", "--reason", "sold", "--key", world.path("licensor.key")]
            before = pathlib.Path(world.db).read_bytes()
            self.expect(world, 74, "afile", *revoke, "--notices", world.write("afile", "x"))
            self.assertEqual(pathlib.Path(world.db).read_bytes(), before)
            self.expect(world, 0, "revoked TEST-1: record", *revoke)
            notices = pathlib.Path(world.path("notices"))
            for _ in range(2):
                self.expect(world, 0, r"TEST-1 was revoked before, by record \d+; nothing is appended\nnotice for running jobs", *revoke, "--notices", notices)
                self.assertEqual([path.suffix for path in notices.iterdir()], [".revocation"])
            with contextlib.closing(sqlite3.connect(world.db)) as db:
                (note,), = db.execute("SELECT note FROM revocation").fetchall()
            self.assertEqual(next(notices.iterdir()).read_text(encoding="utf-8"), note)
            # Nobody puts a name under one that takes nothing back.
            text = world.write("x.textproto", note.split("\n\n\u2014 ")[0].replace("TEST-1", "TEST-1@1") + "\n")
            self.expect(world, 65, "x.textproto.*without a version", "sign", text, "--key", world.path("licensor.key"), "--out", world.path("x.revocation"))
            self.assertFalse(pathlib.Path(world.path("x.revocation")).exists())

    def test_a_diff_says_what_an_amendment_covers(self):
        with tempfile.TemporaryDirectory() as top:
            world = world_of.make_world(top)
            old = world.licence("one.licence", where=('"**"', '"a/**"'))
            world.must(*append(world, old))
            world.must(*append(world, world.licence("two.licence", id=("TEST-1", "TEST-2"), where=('"**"', '"b/**"'))))
            world.deliver("a/film.webm", WEBM)
            world.deliver("b/film.webm", (world_of.DATA / "variable_rate.webm").read_bytes())
            world.must(world_of.CURATE, "ingest", "--ledger", world.db, world.delivery)
            new = world.write("next.textproto", world_of.LICENCE.replace(*NEXT).replace('"**"', '"b/**"'))
            done = self.expect(world, 0, "covers now: b/film.webm\ncovers no more: a/film.webm\n", "licence", "diff", old, new, "--ledger", world.db)
            self.assertRegex(done.stdout, "touches [2-9] clips")

    def test_why_not_finds_what_decided(self):
        with tempfile.TemporaryDirectory() as top:
            world = world_of.make_world(top)
            self.assertEqual(world.run(*after_revocation(world)).returncode, 3)
            with contextlib.closing(sqlite3.connect(world.db)) as db:
                named = db.execute("SELECT c.id, h.root FROM sample p JOIN clip c ON c.seq = p.clip JOIN shard h ON h.seq = p.shard").fetchone()
            for digest in named:
                self.expect(world, 0, "^record .* was refused by rule revoked", "why-not", world.db, digest)
                self.expect(world, 0, "^no refusal of it", "why-not", world.db, digest[1:] + "0")

    def expect(self, world, code, words, *command):
        done = world.run(world_of.LEDGER, *command)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertRegex(done.stdout + done.stderr, words)
        return done

    def test_a_films_name_keeps_nobody_from_a_revocation(self):
        """Who delivers a file names it: as a shard, as a licence."""
        with tempfile.TemporaryDirectory() as top:
            world = world_of.make_world(top)
            shards(world)
            with contextlib.closing(sqlite3.connect(world.db)) as db:
                shard, = db.execute("SELECT name FROM shard").fetchone()
            for name, file in ((shard, "rotated.mp4"), ("TEST-1", "ten_bit.webm")):
                world.deliver(name, (world_of.DATA / file).read_bytes())
            self.assertIn(world.run(world_of.CURATE, "ingest", "--ledger", world.db, world.delivery).returncode, (0, 4))
            out = world.path("proof")
            for name, kind in ((shard, "shard"), ("TEST-1", "licence")):
                self.expect(world, 2, rf'"{name}" names several records; say ', "show", world.db, name)
                self.assertEqual(len(re.findall(rf"(?:source|{kind}):{name} \(record \d+\)", self.expect(
                    world, 2, "^", "prove", world.db, name, "--out", out).stderr)), 2)
                self.expect(world, 0, "^", "prove", world.db, f"{kind}:{name}", "--out", out)
                self.expect(world, 0, rf"\nrecord \d+: {kind} ", "proven", out, "--trust", f"{world.db}.pub")
            self.expect(world, 0, "approved", "approve", world.db, shard, "--key", world.path("approver.key"))
            self.expect(world, 2, "every version of a licence: say TEST-1$", "revoke", world.db, "TEST-1@1", "--reason", "x", "--key", world.path("licensor.key"))
            self.expect(world, 0, f"revoked {shard}: record", "revoke", world.db, shard, "--reason", "x", "--key", world.path("approver.key"))
            self.expect(world, 0, "revoked TEST-1: record", "revoke", world.db, "TEST-1", "--reason", "x", "--key", world.path("licensor.key"))

    def test_what_is_not_there_is_66(self):
        with tempfile.TemporaryDirectory() as top:
            world = world_of.make_world(top)
            self.expect(world, 66, "record 0 is no checkpoint", "release", world.db, "0", "--model", "m", "--field", "film", "--territory", "EU")
            self.expect(world, 66, "record 0 is no licence, source, clip or shard", "impact", world.db, "0")
            self.expect(world, 66, "has no shard", "approve", world.db, "none", "--key", world.path("approver.key"))
            for day in ("2026-13-01", "9999-01-01", "today"):
                self.expect(world, 2, "--day", "licence", "check", world.licence(), "--day", day)

    def test_why_not_finds_names_made_to_hide(self):
        with tempfile.TemporaryDirectory() as top:
            world = world_of.make_world(top)
            world.deliver("2026/a sha256:b.webm", WEBM)
            world.deliver("2026/c\x1bd.webm", WEBM + b"x")
            mail = world.write("a\x1bb.licence", "no licence")
            world.run(*append(world, mail))
            world.run(world_of.CURATE, "ingest", "--ledger", world.db, world.delivery)
            for asked in ("2026/a sha256:b.webm", "2026/c%1Bd.webm", "2026/c\x1bd.webm", "c\x1bd.webm", mail, mail.replace("\x1b", "?")):
                self.expect(world, 0, "^record .* was refused by rule ", "why-not", world.db, asked)

    def test_the_terms_of_a_refused_licence_are_not_on_record(self):
        with tempfile.TemporaryDirectory() as top:
            world = world_of.make_world(top)
            done = world.run(*handed_in(more='limits { max_passes: "four million per minute" }\n')(world))
            self.assertEqual(done.returncode, 65)
            self.assertIn("four million", done.stderr)
            with contextlib.closing(sqlite3.connect(world.db)) as db:
                fact, = db.execute("SELECT fact FROM refusal WHERE rule = 'licence_invalid'").fetchone()
            self.assertRegex(fact, r"x\.licence:\d+:\d+: Expected integer; the words that are there are not recorded$")

    @staticmethod
    def permits_and_licences(world):
        with contextlib.closing(sqlite3.connect(world.db)) as db:
            return db.execute("SELECT (SELECT COUNT(*) FROM permit), (SELECT COUNT(*) FROM licence)").fetchone()

    def test_signatures_are_verified_before_signing_on(self):
        """`licence check` says what it verified; a signature that its key did not make is no warning."""
        with tempfile.TemporaryDirectory() as top:
            world = world_of.make_world(top)
            good = pathlib.Path(world.licence())
            check = [world_of.LEDGER, "licence", "check", good]
            keys = world.write("keys", "".join(pathlib.Path(world.path(f"{name}.pub")).read_text() for name in BOTH))
            for more, warnings in (((), 2), (("--trust", world.path("licensor.pub")), 1), (("--trust", keys), 0), (("--ledger", world.db), 0)):
                done = world.run(*check, *more)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stdout.count("was not verified"), warnings, done.stdout)
                self.assertEqual("Signed by licensor licensor" in done.stdout, bool(more), done.stdout)
            said = json.loads(world.run(*check, "--trust", keys, "--json").stdout)["signatures"]
            self.assertEqual([(row["name"], row["standing"]) for row in said], [("licensor", "verified"), ("studio", "verified")])
            bad = pathlib.Path(world.write("bad.licence", good.read_text(encoding="utf-8").replace("2099-12-31", "2098-12-31")))
            for more in (("--trust", keys), ("--ledger", world.db)):
                done = world.run(world_of.LEDGER, "licence", "check", bad, *more)
                self.assertEqual(done.returncode, 77, done.stdout)
                self.assertRegex(done.stderr, r"bad\.licence: the signature of licensor does not verify")
            alone = world.run(world_of.LEDGER, "licence", "check", bad)
            self.assertEqual(alone.returncode, 0, alone.stderr)
            self.assertEqual(alone.stdout.count("was not verified: give its key"), 2, alone.stdout)


if __name__ == "__main__":
    world_of.LEDGER, world_of.CURATE, CONFIG = sys.argv[1:4]
    unittest.main(argv=sys.argv[:1], verbosity=2)

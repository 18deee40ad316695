#!/usr/bin/env python3
"""Clips that wait for a person: from a face and a voice that the licence knows nothing of to a signed decision.

    review_test.py LEDGER CURATE

The pictures on the page are read with Python's zlib, by the PNG specification (ISO/IEC 15948), which is not what wrote them.
"""
import base64
import html.parser
import json
import pathlib
import re
import struct
import sys
import tempfile
import time
import unittest
import zlib

import bad_input_test as world_of


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


FILM = (world_of.DATA / "face.webm").read_bytes()


def read_png(data):
    """(width, height, rows) of a grey picture of 8 bits; every checksum is checked."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise AssertionError("no PNG")
    at, parts, header = 8, b"", None
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0] != zlib.crc32(kind + body):
            raise AssertionError(f"checksum of {kind}")
        header = struct.unpack(">IIBBBBB", body) if kind == b"IHDR" else header
        parts += body if kind == b"IDAT" else b""
        at += 12 + size
    width, height, *rest = header
    if rest != [8, 0, 0, 0, 0]:
        raise AssertionError(f"{rest}")
    raw, rows = zlib.decompress(parts), []
    for y in range(height):
        line = raw[y * (width + 1):(y + 1) * (width + 1)]
        if line[0] != 1:
            raise AssertionError("another filter than Sub")
        row, left = [], 0
        for value in line[1:]:
            left = (left + value) & 255
            row.append(left)
        rows.append(row)
    return width, height, rows


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


class Review(unittest.TestCase):
    def setUp(self):
        top = tempfile.TemporaryDirectory()
        self.addCleanup(top.cleanup)
        self.world = world_of.make_world(pathlib.Path(top.name))
        self.world.must(world_of.LEDGER, "append", self.world.db, self.world.licence())
        self.world.deliver("film.webm", FILM)

    def ingest(self):
        done = self.world.run(*world_of.ingest(self.world), "--json")
        self.assertIn(done.returncode, (0, 3, 4), done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def review(self, *options, code=0):
        done = self.world.run(world_of.LEDGER, "review", self.world.db, *options)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def waiting(self):
        """{start in seconds: reasons} of the clips that wait"""
        return {clip["start_us"] // 1_000_000: sorted({f["reason"] for f in clip["findings"]}) for clip in json.loads(self.review("--json"))}

    def packed(self):
        done = self.world.run(world_of.CURATE, "shard", "--ledger", self.world.db, "--delivery", self.world.delivery,
                              "--out", self.world.path("shards"), "--json")
        self.assertIn(done.returncode, (0, 4), done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return lines[-1]["samples"], [line for line in lines if line.get("outcome") == "left out"]

    def decide(self, change, key="approver", name="a.review"):
        self.review("--form", self.world.path("form"))
        text = change(pathlib.Path(self.world.path("form")).read_text())
        self.world.write("form", text)
        self.world.must(world_of.LEDGER, "sign", self.world.path("form"), "--key", self.world.path(f"{key}.key"), "--out", self.world.path(name))
        return self.world.path(name)

    def test_a_clip_waits_until_somebody_signs(self):
        self.assertIn("4 clips wait for a person", self.ingest()[0]["detail"])
        self.assertEqual(self.waiting(), {second: ["face", "speech"] for second in range(4)})
        samples, left_out = self.packed()
        self.assertEqual((samples, len(left_out)), (0, 4))
        self.assertTrue(all(line["detail"].startswith("finding_unreviewed: ") for line in left_out), left_out)
        why = self.world.run(world_of.LEDGER, "why", self.world.db, "film.webm").stdout
        self.assertIn("finding_unreviewed", why)

        release = lambda text: text.replace("keep_out", "release")
        before = self.world.records()
        by_nobody = self.decide(release, "studio")
        would = self.review("--take", by_nobody, "--dry-run", code=77)
        self.assertEqual(self.world.records(), before)
        self.assertEqual(self.review("--take", by_nobody, code=77), would)
        self.assertIn("[review_invalid]", would)
        before += 1  # the refusal, and nothing else
        self.assertEqual(self.world.records(), before)
        self.assertEqual(self.waiting(), {second: ["face", "speech"] for second in range(4)})
        self.assertIn("dry run", self.review("--take", self.decide(release), "--dry-run"))
        self.assertEqual(self.world.records(), before)
        self.assertIn("4 clips decided, 4 released", self.review("--take", self.decide(release)))
        self.assertEqual(self.waiting(), {})
        self.assertEqual(self.packed(), (4, []))
        self.world.must(world_of.LEDGER, "verify", self.world.db)
        self.assertIn("approver", self.world.run(world_of.LEDGER, "why", self.world.db, "film.webm").stdout)

    def test_a_dry_run_says_what_the_real_one_would(self):
        """Who signed, what is decided twice, a title of both sides: whatever is asked when it is recorded."""
        self.ingest()
        release = lambda text: text.replace("keep_out", "release")
        late = lambda text: re.sub(r'at: "[^"]*"', 'at: "2999-01-01T00:00:00Z"', release(text))
        good = self.decide(release, name="good.review")
        again = self.world.write("again.review", pathlib.Path(good).read_text(encoding="utf-8"))
        self.world.must(world_of.LEDGER, "sign", again, "--key", self.world.path("studio.key"))
        changed = self.world.write("changed.review", pathlib.Path(good).read_text(encoding="utf-8").replace("film.webm", "film,webm", 1))
        for path in (self.decide(late, name="late.review"), changed, self.decide(release, "studio", "nobody.review"), good, again):
            with self.subTest(path):
                before = self.world.records()
                would, does = (self.world.run(world_of.LEDGER, "review", self.world.db, "--take", path, *more) for more in (("--dry-run",), ()))
                untimed = lambda said: re.sub(r"it is [0-9TZ:-]+", "", said)
                self.assertEqual((would.returncode, untimed(would.stderr)), (does.returncode, untimed(does.stderr)))
                self.assertEqual(would.stdout.replace("; dry run: nothing was recorded", ""), does.stdout.split("tree head")[0])
                self.assertGreaterEqual(self.world.records(), before)

    def test_a_review_of_any_size_is_taken_whole_or_not_at_all(self):
        """A feature film has thousands of clips; four with long reasons are as many bytes. ReviewLists has the thousands."""
        self.ingest()
        release = lambda text: re.sub('says: "', 'says: "' + "for the record " * 1400, text.replace("keep_out", "release"))
        path = pathlib.Path(self.decide(release))
        lists = pathlib.Path(f"{path}.decisions")
        self.assertLess(path.stat().st_size, 1000)
        self.assertGreater(lists.stat().st_size, 80_000)
        self.world.must(world_of.LEDGER, "sign", path, "--key", self.world.path("studio.key"), "--out", self.world.path("both.review"))
        both = self.world.path("both.review")
        before, text = self.world.records(), lists.read_text(encoding="utf-8")
        for says, changed in (("a decision less", text.split("\n\n")[0] + "\n"), ("another", text.replace("release", "keep_out", 1)), ("more", text + "\n" + text)):
            with self.subTest(says):
                lists.write_text(changed, encoding="utf-8")
                self.assertIn("not those that were signed", self.review("--take", str(path), "--dry-run", code=65))
                self.assertEqual(self.world.records(), before)
                self.assertEqual(len(self.waiting()), 4)
        lists.unlink()
        self.assertIn("a.review.decisions", self.review("--take", str(path), code=66))
        self.assertEqual(self.world.records(), before)
        self.assertIn("dry run", self.review("--take", both, "--dry-run"))
        self.assertIn("4 clips decided, 4 released", self.review("--take", both))
        self.assertEqual(self.waiting(), {})
        self.world.must(world_of.LEDGER, "verify", self.world.db)
        told = self.world.run(world_of.LEDGER, "why", self.world.db, "film.webm").stdout
        self.assertEqual(len(re.findall(r"released face, speech; .*signed_by studio .*, approver ", told)), 4)

    def test_footage_for_another_training_use_waits_too(self):
        self.world.must(world_of.LEDGER, "append", self.world.db, self.world.licence(
            "v2.licence", next=("version: 1", 'version: 2 supersedes: "TEST-1@1"'), use=("TRAIN,", "FINETUNE,")))
        self.ingest()
        self.assertEqual(self.waiting(), {second: ["face", "speech"] for second in range(4)})

    def test_a_review_is_for_what_it_names_and_what_was_there(self):
        self.ingest()
        first = json.loads(self.review("--json"))[0]["clip"]
        only_faces = lambda text: text.replace("keep_out: FACE", "release: FACE")
        self.review("--take", self.decide(only_faces))
        self.assertEqual(self.waiting(), {second: ["speech"] for second in range(4)})
        one = lambda _: f'review {{ at: "{now()}" decision {{ clip: "sha256:{first}" release: SPEECH }} }}\n'
        self.review("--take", self.decide(one))
        self.assertEqual(self.waiting(), {second: ["speech"] for second in range(1, 4)})
        # What is said later waits again, and minors are released by nobody.
        self.world.deliver("film.clearances", "clip { to_s: 0.5 talent: UNKNOWN minors: true }")
        self.ingest()
        self.assertEqual(self.waiting()[0], ["minors", "talent"])
        self.review("--take", self.decide(lambda text: text.replace("keep_out: TALENT", "release: TALENT")))
        self.assertEqual(self.waiting()[0], ["minors"])
        # The newest decision counts.
        back = lambda _: f'review {{ at: "{now()}" decision {{ clip: "sha256:{first}" keep_out: SPEECH }} }}\n'
        self.review("--take", self.decide(back))
        self.assertEqual(self.waiting()[0], ["minors", "speech"])
        self.world.must(world_of.LEDGER, "verify", self.world.db)

    def test_an_old_review_releases_nothing_later(self):
        self.ingest()
        release = lambda text: text.replace("keep_out", "release")
        old = self.decide(release, name="old.review")
        self.review("--take", old)
        self.assertEqual(self.waiting(), {})
        # The same decision with one more signature is no new one.
        again = self.world.write("again.review", pathlib.Path(old).read_text(encoding="utf-8"))
        self.world.must(world_of.LEDGER, "sign", again, "--key", self.world.path("studio.key"))
        said = self.review("--take", again, code=65)
        self.assertIn("is on record", said)
        self.assertEqual(len(said.strip().splitlines()), 1, said)
        # Neither is one of before, or of tomorrow.
        self.world.deliver("film.clearances", "clip { to_s: 0.5 talent: UNKNOWN }")
        self.ingest()
        self.assertEqual(self.waiting(), {0: ["talent"]})
        for at, words in (("2026-01-01T00:00:00Z", "no talent is on record for it, or was"), ("2999-01-01T00:00:00Z", "is still to come")):
            with self.subTest(at):
                dated = lambda text: re.sub(r'at: "[^"]*"', f'at: "{at}"', release(text))
                self.assertIn(words, self.review("--take", self.decide(dated, name="dated.review"), code=65))
        self.assertEqual(self.waiting(), {0: ["talent"]})
        self.world.must(world_of.LEDGER, "verify", self.world.db)

    def test_reviews_that_are_none(self):
        self.ingest()
        clip = json.loads(self.review("--json"))[0]["clip"]
        other = "0" * 64
        head = f'review {{ at: "{now()}" '
        rows = [(f'{head}decision {{ clip: "sha256:{clip}" release: MUSIC }} }}\n', "no music is on record"),
                (f'{head}decision {{ clip: "sha256:{other}" release: FACE }} }}\n', "no face is on record"),
                (f'{head}decision {{ clip: "{clip}" release: FACE }} }}\n', "sha256:"),
                (f'{head}decision {{ clip: "sha256:{clip}" }} }}\n', "no reason"),
                (f'{head}decision {{ clip: "sha256:{clip}" release: FACE keep_out: FACE }} }}\n', "named twice"),
                (f'{head}decision {{ clip: "sha256:{clip}" release: MINORS }} }}\n', "MINORS"),
                (f'{head}}}\n', "decides nothing"),
                ('review { at: "today" }\n', "time")]
        before = self.world.records()
        for text, words in rows:
            with self.subTest(text):
                self.world.write("bad", text)
                self.world.must(world_of.LEDGER, "sign", self.world.path("bad"), "--key", self.world.path("approver.key"), "--out", self.world.path("bad.note"))
                said = self.review("--take", self.world.path("bad.note"), code=65)
                self.assertIn(words, said)
                self.assertEqual(len(said.strip().splitlines()), 1, said)
                refused = self.world.run(world_of.LEDGER, "sign", self.world.path("bad"), "--key", self.world.path("approver.key"), "--out", self.world.path("bad.review"))
                self.assertEqual(refused.returncode, 0 if "on record" in words else 65, refused.stderr)
        self.assertEqual(self.world.records(), before)

    def test_the_page_shows_the_frames_and_runs_nothing(self):
        self.ingest()
        self.review("--html", self.world.path("page.html"))
        page = pathlib.Path(self.world.path("page.html")).read_text()
        tags = Tags()
        tags.feed(page)
        names = {tag for tag, _ in tags.tags}
        self.assertFalse(names & {"script", "iframe", "link", "form", "object"})
        self.assertIn("default-src 'none'", page)
        images = [attrs["src"] for tag, attrs in tags.tags if tag == "img"]
        self.assertGreaterEqual(len(images), 8)  # a picture where two clips meet is shown with both
        for source in images:
            width, height, rows = read_png(base64.b64decode(re.fullmatch("data:image/png;base64,(.*)", source)[1]))
            self.assertEqual((width, height), (192, 144))
            self.assertGreater(len({value for row in rows for value in row}), 50)
        # Pictures that were changed are not shown as evidence; those that are gone are missed.
        kept = next(pathlib.Path(f"{self.world.db}.index").glob("*.pictures"))
        kept.write_bytes(kept.read_bytes()[:-1] + b"x")
        self.review("--html", self.world.path("page.html"))
        self.assertNotIn("<img", pathlib.Path(self.world.path("page.html")).read_text())
        kept.unlink()
        self.review("--html", self.world.path("page.html"))
        self.assertIn("not kept any more", pathlib.Path(self.world.path("page.html")).read_text())

    def test_a_licence_that_knows_of_them_asks_nobody(self):
        self.world.must(world_of.LEDGER, "append", self.world.db, self.world.licence(
            "two.licence", version=("version: 1", 'version: 2 supersedes: "TEST-1@1"'),
            talent=("talent: NONE_VISIBLE", "talent: RELEASED_FOR_TRAINING"), voice=("voice: NONE", "voice: RELEASED_FOR_TRAINING")))
        self.assertNotIn("wait", self.ingest()[0]["detail"])
        self.assertEqual(self.packed(), (4, []))

    def test_bad_sidecars_are_one_line_and_no_yes(self):
        for text, words in (("clip { talent: MAYBE }", ":1:"), ("clip { from_s: 3 to_s: 2 }", "one after the other"), ("clip { minors: false }", "stricter"),
                            ("clip { from_s: nan }", "seconds"), ("clip { salary: 3 }", ":1:")):
            with self.subTest(text):
                self.world.deliver("film.webm.clearances", text)
                line = self.ingest()[0]
                self.assertEqual(line["outcome"], "failed", line)
                self.assertIn("film.webm.clearances", line["detail"])
                self.assertIn(words, line["detail"])

    def test_without_cascades_nothing_is_taken_in(self):
        done = self.world.run(*world_of.ingest(self.world), "--cascades", "/nowhere")
        self.assertEqual(done.returncode, 66)
        self.assertIn("opencv-data", done.stderr)


if __name__ == "__main__":
    world_of.LEDGER, world_of.CURATE = sys.argv[1:]
    unittest.main(argv=sys.argv[:1], verbosity=2)

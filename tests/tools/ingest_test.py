#!/usr/bin/env python3
"""`curate ingest` and `status` from outside: their flags, and deliveries that are hostile or odd, as a table.

    ingest_test.py LEDGER CURATE

The clips are drawn by ffmpeg. Skips (77) without it. Each file of the sample footage has to be explained, too: of CLEARED_FOOTAGE, or where try.sh
puts it.
"""
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import bad_input_test as world_of

FOOTAGE = pathlib.Path(os.environ.get("CLEARED_FOOTAGE", pathlib.Path(__file__).resolve().parents[2] / "try" / "delivery"))


def draw(path, source="testsrc2=size=96x64:rate=24:duration=2", *options):
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", source, *(options or ("-c:v", "mpeg4")), os.fsencode(path)],
                   check=True)


class Changing:
    """Somebody writes to a file without a pause, until close()."""

    def __init__(self, path):
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.write, args=(path,), daemon=True)
        self.thread.start()

    def write(self, path):
        with open(path, "r+b", buffering=0) as file:
            file.seek(0, os.SEEK_END)
            end = file.tell()
            while not self.stop.is_set():
                os.pwrite(file.fileno(), b"x", end - 1)
                time.sleep(0.001)

    def close(self):
        self.stop.set()
        self.thread.join()


# Each makes the delivery's one file. Then: limits of the config, exit code, words of its line.
BOMBS = {
    "one picture too large": (lambda path: draw(path, "color=size=16384x2304:rate=1:duration=1", "-c:v", "ffv1"), "", 4,
                              r"unsupported: frames of 16384 x 2304 are over the limit of 35389440 pixels: raise limits\.max_pixels"),
    "too many pictures": (lambda path: draw(path, "color=size=320x240:rate=50:duration=4", "-c:v", "ffv1"), "max_pixel_frames: 1000000", 0,
                          r"over the limit of 1000000 pixels, stopped at 0\.\d+ s"),
    "one picture over what all may have": (lambda path: draw(path, "color=size=320x240:rate=50:duration=1", "-c:v", "ffv1"), "max_pixel_frames: 76799", 4,
                                           r"unsupported: its first frame is over the limit of 76799 pixels: raise limits\.max_pixel_frames"),
    "more work than it may cost": (lambda path: draw(path, "color=size=4096x2160:rate=50:duration=5", "-c:v", "ffv1", "-g", "1"), "cpu_s: 1", 4,
                                   r"unreadable: its worker (used up its CPU time|was killed, by its CPU limit)"),
    "more time than it may take": (lambda path: draw(path, "color=size=4096x2160:rate=50:duration=5", "-c:v", "ffv1", "-g", "1"), "wall_s: 1", 4,
                                   r"unreadable: its worker hung and was stopped after 1 s"),
}

# Names as bytes, and how a line shows them.
NAMES = {
    b"line\nbreak.mkv": "line%0Abreak.mkv",
    b"quo\"te's.mkv": "quo\"te's.mkv",
    b"esc\x1b[2J\x07.mkv": "esc%1B[2J%07.mkv",
    b"<b>&amp;.mkv": "<b>&amp;.mkv",
    b"-rf.mkv": "-rf.mkv",
    b" blank .mkv": " blank .mkv",
    b"$(reboot);'.mkv": "$(reboot);'.mkv",
    "\u00e9t\u00e9 \u96ea.mkv".encode(): "\u00e9t\u00e9 \u96ea.mkv",
    b"caf\xe9.mkv": "caf%E9.mkv",
    "turned\u202evkm.txt.mkv".encode(): "turned%E2%80%AEvkm.txt.mkv",
}

# Sidecars of film.mkv, and what its line ends with.
SIDECARS = {
    "not UTF-8": ("film.txt", b"caf\xe9", r"caption film\.txt left out: is not UTF-8"),
    "huge": ("film.txt", b"x" * (2 << 20), r"caption film\.txt left out: .*larger than the limit"),
    "long": ("film.txt", b"x" * 3000, r"caption film\.txt left out: is longer than 2000 bytes"),
    "no subtitles": ("film.srt", b"1\n00:00:00 --> 00:00:01\nhello\n", r"caption film\.srt left out: line 2: is no time like"),
    "deep JSON": ("film.json", b"[" * 500000, r"caption film\.json left out: is not JSON"),
    "JSON with a number over all": ("film.json", b'{"caption": "x", "n": 1e400}', r"caption film\.json left out: has a number that is too large"),
    "JSON of another kind": ("film.json", b'{"caption": {"a": 1}}', r'caption film\.json left out: "caption" is no text'),
}


class Ingest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.top.cleanup)
        cls.base = pathlib.Path(cls.top.name) / "base"
        cls.base.mkdir()
        world = world_of.make_world(cls.base)
        world.must(*world_of.append(world, world.licence()))
        cls.clip = pathlib.Path(cls.top.name) / "clip.mkv"
        draw(cls.clip)

    def setUp(self):
        folder = tempfile.mkdtemp(dir=self.top.name)
        target = pathlib.Path(folder) / "w"
        shutil.copytree(self.base, target)
        self.world = world_of.World(target)
        self.world.delivery.mkdir()

    def run_json(self, *flags, code=0):
        done = self.world.run(*world_of.ingest(self.world), "--json", *flags)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return {line["path"]: line for line in lines[:-1]}, lines[-1]

    def status(self):
        done = self.world.run(world_of.CURATE, "status", "--ledger", self.world.db, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def deliver_clip(self, name, hue):
        draw(self.world.delivery / name, f"testsrc2=size=96x64:rate=24:duration=2,hue=h={hue}")

    def test_limit_goes_on_where_it_stopped(self):
        for i in range(3):
            self.deliver_clip(f"{i}.mkv", i * 100)
        self.world.deliver("letter.mkv", "no film")
        seen = []
        for expected, later in ((2, 2), (2, 0), (0, 0)):
            files, total = self.run_json("--limit", "2", code=4 if len(seen) == 2 else 0)
            self.assertEqual((len(files), total.get("later", 0)), (expected, later))
            seen += files
        self.assertEqual(seen, ["0.mkv", "1.mkv", "2.mkv", "letter.mkv"])
        for wrong in ("0", "-1", "x"):
            self.assertEqual(self.world.run(*world_of.ingest(self.world), "--limit", wrong).returncode, 2, wrong)

    def test_limit_goes_past_a_copy_of_what_failed(self):
        self.world.deliver("a.mkv", "no film")
        self.run_json(code=4)
        self.world.deliver("b.mkv", "no film")
        self.deliver_clip("c.mkv", 0)
        files, _ = self.run_json("--limit", "1", code=4)
        self.assertIn("as before", files["b.mkv"]["detail"])
        files, _ = self.run_json("--limit", "1")
        self.assertEqual(set(files), {"c.mkv"})
        files, _ = self.run_json(code=4)
        self.assertEqual(self.status()["refusals"], {"unreadable": 2})  # one a path, however often

    def test_retry_failed_tries_again_what_failed(self):
        self.world.deliver("letter.mkv", "no film")
        files, _ = self.run_json(code=4)
        self.assertNotIn("as before", files["letter.mkv"]["detail"])
        files, _ = self.run_json(code=4)
        self.assertIn("as before; --retry failed tries it again", files["letter.mkv"]["detail"])
        files, _ = self.run_json("--retry", "failed", code=4)
        self.assertNotIn("as before", files["letter.mkv"]["detail"])
        self.assertEqual(self.status()["refusals"], {"unreadable": 1})
        self.assertEqual(self.world.run(*world_of.ingest(self.world), "--retry", "all").returncode, 2)

    def test_status_counts_what_is_there(self):
        self.assertEqual(self.status()["sources"], {})
        shutil.copy(self.clip, self.world.delivery / "film.mkv")
        self.world.deliver("letter.mkv", "no film")
        self.run_json(code=4)
        got = self.status()
        self.assertEqual({name: got[name] for name in ("sources", "with_problem", "footage_us", "frames", "clips", "packed_clips", "shards", "refusals",
                                                       "protected_works")},
                         {"sources": {"kept": 1}, "with_problem": 0, "footage_us": 2_000_000, "frames": 48, "clips": {"kept": 2},
                          "packed_clips": 0, "shards": 0, "refusals": {"unreadable": 1}, "protected_works": 0})
        text = self.world.run(world_of.CURATE, "status", "--ledger", self.world.db).stdout
        self.assertRegex(text, r"(?m)^sources +1 kept$")
        self.assertRegex(text, r"(?m)^protected works +0$")
        self.assertEqual(self.world.run(world_of.CURATE, "status", "--ledger", self.world.path("nothing.db")).returncode, 66)

    def test_bombs_cost_one_line(self):
        for what, (make, limits, code, words) in BOMBS.items():
            with self.subTest(what):
                self.setUp()
                make(self.world.delivery / "bomb.mkv")
                self.assertLess((self.world.delivery / "bomb.mkv").stat().st_size, 30 << 20)
                config = self.world.write("limits.textproto", "limits { " + limits + " }")
                done = self.world.run(*world_of.ingest(self.world), "--config", config)
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                self.assertEqual(len(re.findall(words, done.stdout)), 1, done.stdout)
                self.world.must(world_of.LEDGER, "verify", self.world.db)

    def test_a_file_that_changes_while_it_is_read_is_not_taken(self):
        film = self.world.delivery / "film.mkv"
        draw(film, "testsrc2=size=320x240:rate=24:duration=4")
        writer = Changing(film)
        try:
            files, _ = self.run_json(code=4)
        finally:
            writer.close()
        self.assertIn("changed while it was read", files["film.mkv"]["detail"])
        self.assertEqual(self.status()["sources"], {})
        self.run_json("--retry", "failed")
        self.assertEqual(self.status()["sources"], {"kept": 1})

    def test_a_strobe_is_a_film_as_others(self):
        """Pictures and black in turns: a search for shots that calls itself at each fade ended the whole ingest. Too many shots are Shots.AreCountedAndBounded."""
        self.deliver_clip("good.mkv", 0)
        chance = random.Random(1)
        pictures = [b"".join(bytes([chance.choice((30, 220))]) * 4 for _ in range(256)) for _ in range(37)]
        ffmpeg = subprocess.Popen(["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray", "-s", "32x32", "-r", "500", "-i", "-", "-c:v", "mpeg4",
                                   "-q:v", "4", "-g", "300", self.world.delivery / "strobe.mkv"], stdin=subprocess.PIPE)
        for i in range(21_000):
            ffmpeg.stdin.write(pictures[i % 37] + bytes(1024))
        ffmpeg.stdin.close()
        self.assertEqual(ffmpeg.wait(), 0)
        files, _ = self.run_json()
        self.assertEqual({name: file["outcome"] for name, file in files.items()}, {"good.mkv": "kept", "strobe.mkv": "kept"})

    def test_a_no_beside_one_copy_counts_for_the_next_however_quickly_it_is_read(self):
        for name in ("x.mkv", "y.mkv", "z.mkv"):
            shutil.copy(self.clip, self.world.delivery / name)
        self.world.deliver("x.xmp", '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
                           'rdf:about="" xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"><plus:DataMining>DMI-PROHIBITED</plus:DataMining>'
                           '</rdf:Description></rdf:RDF></x:xmpmeta>')
        files, _ = self.run_json("-j", "3", code=3)
        self.assertEqual({name: file["outcome"] for name, file in files.items()}, {name: "refused" for name in ("x.mkv", "y.mkv", "z.mkv")})
        self.assertEqual(self.status()["sources"], {})

    def test_no_span_that_is_the_same_ends_after_its_film(self):
        """Pictures of a sampled track stand for more than a frame: 1.08 s of a film of 1 s, and a grey picture on the report."""
        draw(self.world.delivery / "a.mkv", "testsrc2=size=320x240:rate=30:duration=2")
        draw(self.world.delivery / "b.mp4", "testsrc2=size=321x241:rate=25:duration=1,format=yuv444p", "-c:v", "libx264")
        self.run_json()
        done = self.world.run(world_of.LEDGER, "query", self.world.db, "--json", "--sql",
                              "SELECT d.end_us, s.duration_us, d.of_end_us, o.duration_us AS of_duration_us FROM duplicate d "
                              "JOIN source s ON s.seq = d.source JOIN source o ON o.seq = d.of")
        spans = json.loads(done.stdout)
        self.assertEqual(len(spans), 1, done.stdout)
        self.assertLessEqual(spans[0]["end_us"], spans[0]["duration_us"])
        self.assertLessEqual(spans[0]["of_end_us"], spans[0]["of_duration_us"])

    def test_a_dry_run_says_what_is_cleared_and_by_whom(self):
        self.deliver_clip("good.mkv", 0)
        done = self.world.run(*world_of.ingest(self.world), "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"cleared +good\.mkv: licensor under TEST-1@1\n")
        self.assertIn("1 file: 1 cleared, 0 known already", done.stdout)
        self.assertEqual(self.status()["sources"], {})
        done = self.world.run(*world_of.ingest(self.world)[:-1], self.world.delivery / "good.mkv")
        self.assertEqual((done.returncode, "is no folder: name the one that was delivered" in done.stderr), (66, True), done.stderr)

    def test_what_nothing_reads_is_counted(self):
        for name in ("film.mkv", ".hidden.mkv", "walk.md", "WALK.TXT", ".cache/x.mkv", "sub/notes.txt"):
            (self.world.delivery / name).parent.mkdir(exist_ok=True)
            shutil.copy(self.clip, self.world.delivery / name)
        self.world.deliver("film.txt", "a pattern")
        self.world.deliver("captions.csv", "path,caption\nfilm.mkv,a\ngone.mkv,b\n")
        (self.world.delivery / ".well-known").mkdir()
        files, total = self.run_json()
        self.assertEqual(set(files), {"film.mkv"})
        self.assertEqual(total["not_looked_at"], [".cache", ".hidden.mkv", "WALK.TXT", "sub/notes.txt", "walk.md"])
        self.assertEqual(total["for_no_film"], ["captions.csv:3: gone.mkv"])
        done = self.world.run(*world_of.ingest(self.world))
        self.assertIn("5 not looked at, hidden or named as a note and beside no film: .cache, .hidden.mkv, WALK.TXT, sub/notes.txt, walk.md\n",
                      done.stdout)
        self.assertIn("1 for no film of this delivery: captions.csv:3: gone.mkv\n", done.stdout)

    def test_a_first_look_counts_length_from_the_first_frame(self):
        draw(self.world.delivery / "late.mkv", "testsrc2=size=96x64:rate=24:duration=3", "-output_ts_offset", "8", "-c:v", "mpeg4")
        done = self.world.run(world_of.CURATE, "look", "--keyframes", "--json", self.world.delivery)
        self.assertAlmostEqual(json.loads(done.stdout)["duration_us"] / 1e6, 3, delta=0.1)

    def test_clips_that_are_not_kept_say_why(self):
        draw(self.world.delivery / "night.mkv", "color=black:size=96x64:rate=24:duration=2")
        files, _ = self.run_json()
        self.assertEqual((files["night.mkv"]["kept_clips"], files["night.mkv"]["detail"]), (0, "1 shot; left out: 2 black"))

    def test_clips_of_another_length_are_said_to_stay(self):
        shutil.copy(self.clip, self.world.delivery / "film.mkv")
        self.run_json()
        files, _ = self.run_json("--config", self.world.write("long.textproto", "clips { frames: 32 }"))
        self.assertIn("in clips of 1.00 s, which is no length of this config: they stay as they are", files["film.mkv"]["detail"])
        files, _ = self.run_json("--config", self.world.write("both.textproto", "clips { longer: 32 }"))
        self.assertEqual(files["film.mkv"]["detail"], "its bytes are in the ledger")

    def test_odd_names_are_data(self):
        for i, name in enumerate(NAMES):
            draw(os.path.join(os.fsencode(self.world.delivery), name), f"testsrc2=size=96x64:rate=24:duration=1.1,hue=h={37 * i}")
        done = self.world.run(*world_of.ingest(self.world), "-j", "2")
        self.assertEqual(done.returncode, 4, done.stderr)
        lines = done.stdout.splitlines()
        for name, shown in NAMES.items():
            with self.subTest(name):
                self.assertEqual(len([line for line in lines if f" {shown}: " in line]), 1, done.stdout)
        self.assertEqual(len(lines), len(NAMES) + 1)
        self.assertEqual(re.findall(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout), [])
        files, _ = self.run_json(code=4)
        self.assertEqual(set(files), set(NAMES.values()))
        report = self.world.path("report.html")
        self.world.must(world_of.CURATE, "report", "--ledger", self.world.db, "--delivery", self.world.delivery, "--out", report)
        page = pathlib.Path(report).read_bytes()
        self.assertEqual(re.findall(rb"[\x00-\x09\x0b-\x1f\x7f]|<b>&amp;amp;\.mkv", page), [])
        for shown in (b"&lt;b&gt;&amp;amp;.mkv", b"esc%1B[2J%07.mkv", b"caf%E9.mkv", b"quo&quot;te&#39;s.mkv"):
            self.assertIn(shown, page)
        self.world.must(world_of.LEDGER, "verify", self.world.db)

    def test_every_file_of_a_real_delivery_is_explained(self):
        if not FOOTAGE.is_dir():
            self.skipTest(f"no sample footage in {FOOTAGE}: try.sh fetches it")
        folder = FOOTAGE
        sidecars = (".txt", ".srt", ".json", ".csv", ".md", ".pub", ".licence")
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix not in sidecars}
        done = self.world.run(world_of.CURATE, "ingest", "--ledger", self.world.db, folder, "--json", "-j", "2")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        bad = [line for line in lines[:-1] if line["outcome"] in ("refused", "failed")]
        self.assertEqual(done.returncode, 4 if bad else 0, done.stdout + done.stderr)
        self.assertGreater(len(there), 0)
        self.assertEqual({line["path"] for line in lines[:-1]}, there)
        self.assertTrue(all(line["detail"] for line in lines[:-1]))
        self.assertEqual(lines[-1]["files"], len(there))

    def test_links_are_refused_in_a_line_each(self):
        outside = self.world.folder / "outside"
        outside.mkdir()
        shutil.copy(self.clip, outside / "other.mkv")
        film = self.world.delivery / "film"
        film.mkdir()
        (film / "file.mkv").symlink_to("../../outside/other.mkv")
        (film / "folder").symlink_to("../../outside")
        (film / "dangling.mkv").symlink_to("nowhere.mkv")
        os.mkfifo(film / "pipe.mkv")
        for _ in range(2):
            files, total = self.run_json(code=4)
            self.assertEqual({path: file["outcome"] for path, file in files.items()},
                             {f"film/{name}": "failed" for name in ("dangling.mkv", "file.mkv", "folder", "pipe.mkv")})
            for name in ("dangling.mkv", "file.mkv", "folder"):
                self.assertIn("unreadable: is a link", files[f"film/{name}"]["detail"])
            self.assertIn("no plain file", files["film/pipe.mkv"]["detail"])
            self.assertEqual(total["files"], 4)
        self.assertEqual(self.status()["sources"], {})
        look = self.world.run(world_of.CURATE, "look", self.world.delivery)
        self.assertEqual((look.returncode, look.stdout.count("is a link")), (4, 3), look.stdout)

    def test_sidecars_that_are_links_keep_the_film_out(self):
        self.world.write("outside/yes.json", '{"tdm-reservation": 0}')
        self.world.write("outside/people", "everyone: NONE_VISIBLE")
        film = self.world.delivery / "film.mkv"
        shutil.copy(self.clip, film)
        people = self.world.delivery / "film.clearances"
        people.symlink_to("../outside/people")
        files, _ = self.run_json(code=4)
        self.assertIn("clearances: film.clearances is a link", files["film.mkv"]["detail"])
        people.unlink()
        (self.world.delivery / "film.mkv.tdmrep.json").symlink_to("../outside/yes.json")
        files, _ = self.run_json(code=3)
        self.assertEqual(files["film.mkv"]["outcome"], "refused")
        self.assertRegex(files["film.mkv"]["detail"], "mark_unclear: .*is a link")
        self.assertEqual(self.status()["sources"], {})

    def test_hostile_sidecars_cost_the_caption_and_no_more(self):
        for what, (name, content, words) in SIDECARS.items():
            with self.subTest(what):
                self.setUp()
                shutil.copy(self.clip, self.world.delivery / "film.mkv")
                self.world.deliver(name, content)
                files, _ = self.run_json()
                self.assertEqual(files["film.mkv"]["outcome"], "kept")
                self.assertRegex(files["film.mkv"]["detail"], words)
                self.assertEqual(self.world.source()["caption"], "")
                self.assertEqual(self.status()["refusals"], {"caption": 1})


if __name__ == "__main__":
    if shutil.which("ffmpeg") is None:
        print("skipped: no ffmpeg")
        sys.exit(77)
    world_of.LEDGER, world_of.CURATE = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1], verbosity=2)

#!/usr/bin/env python3
"""`curate shard` killed again and again ends with the bytes of an unbroken run; webdataset reads them as they are.

    shards_test.py LEDGER CURATE

The footage is drawn by ffmpeg. PyPI's webdataset is asked when it is installed (tools/python/test.txt). Skips (77) without ffmpeg.
"""
import hashlib
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import bad_input_test as world_of

CONFIG = """
clips { longer: 32 }
shards { samples_per_shard: 3 bucket { name: "wide" width: 80 height: 48 } bucket { name: "tall" width: 48 height: 80 } }
"""
SCENES = {"a.mkv": "testsrc2=size=160x90:rate=25:duration=7", "b.mkv": "mandelbrot=size=90x160:rate=25:maxiter=40,trim=duration=5",
          "c.mkv": "testsrc2=size=176x144:rate=25:duration=5,hue=h=90,negate"}


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(pathlib.Path(folder).iterdir())}


class Shards(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.world = world_of.make_world(cls.folder.name)
        cls.world.must(*world_of.append(cls.world, cls.world.licence()))
        cls.world.delivery.mkdir()
        for name, source in SCENES.items():
            subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", source, "-c:v", "ffv1", cls.world.delivery / name], check=True)
        cls.world.deliver("a.txt", "a test pattern")
        cls.config = cls.world.write("shard.textproto", CONFIG)
        cls.world.must(*world_of.ingest(cls.world), "--config", cls.config)
        cls.ingested = cls.world.db.read_bytes()
        cls.world.must(*cls.command("whole", 1))
        cls.whole = digests(cls.world.path("whole"))

    @classmethod
    def command(cls, out, jobs):
        return [world_of.CURATE, "shard", "--ledger", cls.world.db, "--config", cls.config, "--delivery", cls.world.delivery,
                "--out", cls.world.path(out), "-j", jobs]

    def again(self):
        """The ledger as it was before anything was packed."""
        for rest in ("-wal", "-shm", ".head"):
            pathlib.Path(str(self.world.db) + rest).unlink(missing_ok=True)
        self.world.db.write_bytes(self.ingested)

    def test_with_any_number_of_workers_and_killed_anywhere(self):
        self.assertGreaterEqual(len([name for name in self.whole if name.endswith(".tar")]), 4, self.whole)
        seconds = 1e9
        for jobs in (1, 2, 5):
            self.again()
            began = time.monotonic()
            self.world.must(*self.command(f"unbroken-{jobs}", jobs))
            seconds = min(seconds, time.monotonic() - began)
            self.assertEqual(digests(self.world.path(f"unbroken-{jobs}")), self.whole)
        moments = random.Random(5)
        killed = 0
        for series in range(4):
            self.again()
            out = f"killed-{series}"
            for attempt in range(60):
                run = subprocess.Popen([str(word) for word in self.command(out, 1 + series)], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
                # The first ones are killed for sure; a later one gets through at last.
                time.sleep(moments.uniform(0, seconds * (0.3 if attempt < 4 else 2)))
                run.send_signal(signal.SIGKILL)
                if run.wait() == 0:
                    break
                killed += 1
            else:
                self.world.must(*self.command(out, 1 + series))
            left = {name: digest for name, digest in digests(self.world.path(out)).items() if ".tmp." not in name}
            self.assertEqual(left, self.whole, f"series {series}")
            self.world.must(world_of.LEDGER, "verify", self.world.db)
        self.assertGreaterEqual(killed, 4)

    def test_samples_of_another_kind_need_another_name(self):
        self.again()
        self.world.must(*self.command("kinds", 2))
        for change, there, here in ((("width: 80", "width: 96"), "80 x 48, 16 frames at 16 a second", "96 x 48, 16 frames at 16 a second"),
                                    (("clips { ", "clips { fps: 15 "), "80 x 48, 16 frames at 16 a second", "80 x 48, 16 frames at 15 a second")):
            config = self.world.write("other.textproto", CONFIG.replace(*change))
            command = [config if word == self.config else word for word in self.command("kinds", 2)]
            done = self.world.run(*command)
            self.assertEqual(done.returncode, 78, done.stdout + done.stderr)
            self.assertRegex(done.stderr, rf"nano-wide-16f-000000\.tar: its samples are {there}, and those of this config {here}: "
                                          r"give its shards another name, shards\.name or the bucket's")
        wide = CONFIG.replace('"wide" width: 80', '"wider" width: 96')
        self.world.write("other.textproto", wide.replace("shards {", 'shards { name: "other" '))
        done = self.world.run(*command)
        self.assertEqual(done.returncode, 78, done.stdout + done.stderr)
        self.assertRegex(done.stderr, r"other-tall-\d+f-000000\.tar: holds what nano-tall-\d+f-000000\.tar holds, to the byte")
        self.assertEqual(list((self.world.folder / "kinds").glob("other-tall*")), [])
        self.again()
        self.world.must(*self.command("kinds", 2))
        self.world.write("other.textproto", wide)
        self.world.must(*command)
        self.assertTrue((self.world.folder / "kinds" / "nano-wider-16f-000000.tar").exists())

    def test_a_dry_run_counts_samples_alone(self):
        self.again()
        done = self.world.run(*self.command("dry", 1), "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^planned +nano-wide-16f-000000\.tar: \d samples$")

    def test_webdataset_reads_them_unchanged(self):
        python = python_with_webdataset()
        if python is None:
            self.skipTest("no webdataset: tools/python/test.txt")
        script = """
import json, sys
sys.modules["torch"] = None  # which webdataset needs for nothing here
import webdataset
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False):
    print(json.dumps([sample["__key__"], sample["txt"].decode(), json.loads(sample["json"])["clip"], len(sample["webm"])]))
"""
        tars = sorted(str(path) for path in pathlib.Path(self.world.path("whole")).glob("*.tar"))
        out = subprocess.run([python, "-c", script, *tars], check=True, capture_output=True, text=True).stdout
        samples = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(len({key for key, *_ in samples}), len(samples))
        self.assertEqual(len(samples), 10)  # of 7, 5 and 5 seconds: as many of two as fit, then of one
        for key, text, clip, size in samples:
            self.assertTrue(clip.startswith(key))
            self.assertIn(text, ("a test pattern", ""))
            self.assertGreater(size, 100)


def python_with_webdataset():
    root = pathlib.Path(__file__).resolve().parents[2]
    for python in (root / ".deps/venv/bin/python3", shutil.which("python3")):
        if subprocess.run([python, "-c", "import sys; sys.modules['torch'] = None; import webdataset"], capture_output=True,
                          check=False).returncode == 0:
            return python
    return None


if __name__ == "__main__":
    if shutil.which("ffmpeg") is None:
        print("skipped: no ffmpeg")
        sys.exit(77)
    world_of.LEDGER, world_of.CURATE = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])

#!/usr/bin/env python3
"""Nothing that was acknowledged is lost, and no size ever has two roots, whatever the disk, the power or the process does.

    faults_test.py LEDGER DRIVER LIBFAULTS [--cases N] [--kills N] [TEST...]

A fault goes off at one change that the program makes to its files (tests/faults/shim.cpp); then another process looks at what is
left, and goes on with it. Checked each time, by arithmetic of our own (RFC 6962 over the bytes that are read back):

- every record that was acknowledged is there, byte for byte; a batch is there whole or not at all;
- `verify` finds nothing;
- every tree head ever printed, published or stored is a prefix of the log, also after it went on;
- a failure is told with exit status 74.

--cases bounds the faults of each test (0: all of them); those at syncs and names come first, then writes, evenly spread.
docs/design/0005-crash-safety.md says what the faults stand for.
"""
import argparse
import base64
import concurrent.futures
import hashlib
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

LEDGER, DRIVER, SHIM = "", "", ""
CASES, KILLS = 40, 25
NOBODY = 65534
IO = 74

# Two appends, a head, a batch over the edge of a tile, an append, a head, the same head again, and a tail that no head is over.
WORK = "append a 1 append b 7 head append c 30 append d 1 head head append e 1".split()
GO_ON = "dump verify append after 2 head verify dump".split()

FAULTS = {
    "kill": {"FAULTS": "kill"},
    "torn": {"FAULTS": "torn"},
    "cut, all unsynced lost": {"FAULTS": "cut", "FAULTS_SEED": "0"},
    "cut, seed 1": {"FAULTS": "cut", "FAULTS_SEED": "1"},
    "cut, seed 2": {"FAULTS": "cut", "FAULTS_SEED": "2"},
    "cut, seed 3, sectors of 4096": {"FAULTS": "cut", "FAULTS_SEED": "3", "FAULTS_SECTOR": "4096"},
    "eio": {"FAULTS": "eio"},
    "eio for ever": {"FAULTS": "eio", "FAULTS_FOREVER": "1"},
    "enospc": {"FAULTS": "enospc"},
    "enospc for ever": {"FAULTS": "enospc", "FAULTS_FOREVER": "1"},
    "short": {"FAULTS": "short"},
}
# What a caller may do after a failure, besides giving up.
STUBBORN = ("again", "reopen", "skip")


def leaf(record):
    return hashlib.sha256(b"\0" + record).digest()


def roots(records, sizes):
    """RFC 6962 section 2.1: the roots over the first `size` records, for each size asked for."""
    peaks, out = [], {}  # (height, digest) of the complete subtrees, largest first
    for count, record in enumerate(records, 1):
        peaks.append((0, leaf(record)))
        while len(peaks) > 1 and peaks[-1][0] == peaks[-2][0]:
            (height, left), (_, right) = peaks[-2:]
            peaks[-2:] = [(height + 1, hashlib.sha256(b"\1" + left + right).digest())]
        if count in sizes:
            root = peaks[-1][1]
            for _, left in reversed(peaks[:-1]):
                root = hashlib.sha256(b"\1" + left + root).digest()
            out[count] = root.hex()
    return out


def read_head(path):
    """Size and root of a published head: lines 2 and 3 of a C2SP checkpoint."""
    lines = path.read_text().split("\n")
    if len(lines) < 6 or lines[3] != "" or not lines[4].startswith("\u2014 "):
        raise ValueError(f"{path.name} is no signed head: {lines!r}")
    return int(lines[1]), base64.b64decode(lines[2], validate=True).hex()


class Life:
    """One database through everything that happens to it, and all that it ever promised."""

    def __init__(self, folder, like=None):
        self.folder = pathlib.Path(folder)
        self.db = self.folder / "ledger.db"
        self.heads, self.records, self.problems, self.story = {}, {}, [], []
        if like is not None:
            shutil.copytree(like.folder, self.folder)
            self.heads, self.records = dict(like.heads), dict(like.records)

    def problem(self, text):
        self.problems.append(f"{text}\n    after: " + "\n    then:  ".join(self.story))

    def promise_head(self, size, root, where):
        if self.heads.setdefault(size, root) != root:
            self.problem(f"two roots of size {size}: {self.heads[size]} and, {where}, {root}")

    def start(self, command, fault, **options):
        env = {key: value for key, value in os.environ.items() if not key.startswith("FAULTS")}
        if fault:
            env |= {"LD_PRELOAD": SHIM, "FAULTS_ROOT": os.path.realpath(self.folder), **fault}
        words = " ".join(f"{key}={value}" for key, value in (fault or {}).items())
        self.story.append(f"{words} {' '.join(map(str, command))}".strip())
        return subprocess.Popen(list(map(str, command)), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **options)

    def run(self, command, fault=None, **options):
        process = self.start(command, fault, **options)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def drive(self, words, fault=None, **options):
        """Runs the driver; what it acknowledged is a promise from here on."""
        status, out, err = self.run([DRIVER, self.db, *words], fault, **options)
        self.story[-1] += f"  -> {status} {err.strip()}"
        self.listen(out)
        return status, err

    def listen(self, out):
        """Line by line: the records behind "appended" are promises, others are a dump, which has to keep those made before it."""
        dump, promised = [], 0
        for line in out.splitlines():
            word, *rest = line.split(" ")
            if word == "record" and promised == 0:
                dump.append(bytes.fromhex(rest[1]))
                continue
            if dump:
                self.check(dump)
                dump = []
            if word == "appended":
                promised = int(rest[1])
            elif word == "record":
                self.records[int(rest[0])] = bytes.fromhex(rest[1])
                promised -= 1
            elif word in ("head", "noted"):
                self.promise_head(int(rest[0]), rest[1], word)
            elif word == "finding":
                self.problem(f"verify: {' '.join(rest)}")
        if dump:
            self.check(dump)

    def check(self, records):
        lost = [seq for seq, record in self.records.items() if seq >= len(records) or records[seq] != record]
        if lost:
            self.problem(f"{len(records)} records are there; acknowledged and lost or changed: {lost[:10]}")
        found = roots(records, self.heads)
        for size, root in self.heads.items():
            if size not in found:
                self.problem(f"{len(records)} records are there, and a head of size {size} was given")
            elif found[size] != root:
                self.problem(f"the head of size {size} says {root}, the first {size} records say {found[size]}")
        everything = b"\n".join(records)
        for tag, count in re.findall(r"append (\w+) (\d+)", " ".join(self.story)):
            there = len(re.findall(rb"[^\w]" + tag.encode() + rb"/\d+", everything))
            if there % int(count) != 0:
                self.problem(f"{there} records of the batch {tag} of {count} are there")

    def take_published_head(self):
        path = pathlib.Path(f"{self.db}.head")
        if not path.exists():
            return
        try:
            self.promise_head(*read_head(path), "published")
        except ValueError as error:
            self.problem(f"published head: {error}")

    def recover(self):
        """Another process looks at what is left and goes on with it."""
        self.take_published_head()
        status, err = self.drive(GO_ON)
        if status != 0:
            self.problem(f"cannot go on: exit {status}: {err.strip()}")
        self.take_published_head()


def changes(life, command):
    """What a command changes below its folder, in order: [(kind, path)]."""
    report = life.folder.parent / f"{life.folder.name}.report"
    status, out, err = life.run(command, {"FAULTS": "count", "FAULTS_REPORT": str(report)})
    if status != 0:
        raise AssertionError(f"{command}: exit {status}: {err}")
    lines = [line.split(" ", 3) for line in report.read_text().splitlines()]
    return [(kind, path) for _, kind, _, path in lines], out


def evenly(items, count):
    return items if count >= len(items) else [items[i * len(items) // count] for i in range(count)]


def moments(kinds, limit):
    """Numbers of the changes to fail at, at most `limit` of them (0: all). One behind the last stands for the end."""
    all_of_them = list(range(1, len(kinds) + 2))
    if limit == 0 or limit >= len(all_of_them):
        return all_of_them
    edges = [n for n in all_of_them if n > len(kinds) or kinds[n - 1] != "write"]
    writes = [n for n in all_of_them if n not in edges]
    chosen = evenly(edges, limit * 2 // 3)
    return sorted(chosen + evenly(writes, limit - len(chosen)))


class Faults(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="faults-")
        cls.folder = pathlib.Path(os.path.realpath(cls.temporary.name))
        cls.folder.chmod(0o755)
        cls.base = Life(cls.folder / "base")
        cls.base.folder.mkdir()
        cls.init(cls.base)
        status, err = cls.base.drive("append base 210 head append tail 12 dump verify".split())
        if status != 0 or cls.base.problems:
            raise AssertionError(f"{err}{cls.base.problems}")
        cls.base.take_published_head()
        cls.base.story.clear()

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @staticmethod
    def init(life):
        status, _, err = life.run([LEDGER, "init", life.db, "--origin", "faults.example/log"])
        if status != 0:
            raise AssertionError(err)

    def life(self, name, like=None):
        life = Life(self.folder / name, like or self.base)
        self.addCleanup(shutil.rmtree, life.folder, ignore_errors=True)
        return life

    def no_problems(self, lives, least=1):
        lives = list(lives)
        self.assertGreaterEqual(len(lives), least)
        bad = [life for life in lives if life.problems]
        for life in bad[:5]:
            print("\n  " + "\n  ".join(life.problems), file=sys.stderr)
        self.assertEqual(len(bad), 0, f"{len(bad)} of {len(lives)} ledgers did not keep a promise")

    def one_case(self, number, words, fault, at, stubborn):
        life = Life(self.folder / f"{self._testMethodName}-{number}", self.base)
        told = [stubborn, *words] if stubborn else words
        status, err = life.drive(told, {**fault, "FAULTS_AT": str(at)})
        dies = fault["FAULTS"] in ("kill", "torn", "cut")
        if status not in ((0, -signal.SIGKILL) if dies else (0, IO)):
            life.problem(f"exit {status}: {err.strip()}")
        life.recover()
        shutil.rmtree(life.folder)
        return life

    def all_cases(self, name, stubborn=None):
        kinds = [kind for kind, _ in changes(self.life("count"), [DRIVER, self.folder / "count" / "ledger.db", *WORK])[0]]
        self.assertGreater(len(kinds), 40)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            self.no_problems(pool.map(lambda at: self.one_case(f"{name}-{at}", WORK, FAULTS[name], at, stubborn),
                                      moments(kinds, CASES)), min(CASES, 40))

    def test_kill(self):
        self.all_cases("kill")

    def test_torn(self):
        self.all_cases("torn")

    def test_cut_loses_all_unsynced(self):
        self.all_cases("cut, all unsynced lost")

    def test_cut_1(self):
        self.all_cases("cut, seed 1")

    def test_cut_2(self):
        self.all_cases("cut, seed 2")

    def test_cut_3(self):
        self.all_cases("cut, seed 3, sectors of 4096")

    def test_io_error(self):
        self.all_cases("eio")

    def test_io_error_for_ever(self):
        self.all_cases("eio for ever")

    def test_full(self):
        self.all_cases("enospc")

    def test_full_for_ever(self):
        self.all_cases("enospc for ever")

    def test_short_write(self):
        self.all_cases("short")

    def test_io_error_and_the_caller_tries_again(self):
        self.all_cases("eio", "again")

    def test_io_error_and_the_caller_opens_it_again(self):
        self.all_cases("eio", "reopen")

    def test_io_error_and_the_caller_goes_on(self):
        self.all_cases("eio", "skip")

    def test_full_and_the_caller_tries_again(self):
        self.all_cases("enospc", "again")


class Kills(Faults):
    """kill -9 from outside, at any time, over and over on one ledger."""

    def test_kill_at_any_time(self):
        life = self.life("killed")
        rng = random.Random(1)
        words = [word for i in range(40) for word in ("append", f"k{i}", "1", "append", f"m{i}", "9", "head")]
        started = time.monotonic()
        life.drive([word.replace("k", "first") for word in words[:70]])
        span_s = (time.monotonic() - started) * 4
        for number in range(KILLS):
            told = [re.sub(r"^([km])(\d+)$", rf"\1x{number}x\2", word) for word in words]
            process = life.start([DRIVER, life.db, *told], None)
            try:
                out, _ = process.communicate(timeout=rng.uniform(0, span_s))
            except subprocess.TimeoutExpired:
                process.kill()
                out, _ = process.communicate()
            life.listen(out)
            life.story = ["append k 1 append m 9"]
            life.recover()
            if life.problems:
                break
        self.assertGreater(len(life.records), 222 + 2 * KILLS)
        self.no_problems([life])


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    suite.addTests(loader.loadTestsFromTestCase(Faults))
    suite.addTest(Kills("test_kill_at_any_time"))
    return suite


def main():
    global LEDGER, DRIVER, SHIM, CASES, KILLS
    parser = argparse.ArgumentParser()
    parser.add_argument("ledger")
    parser.add_argument("driver")
    parser.add_argument("shim")
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--kills", type=int, default=KILLS)
    options, rest = parser.parse_known_args()
    LEDGER, DRIVER, SHIM = (os.path.realpath(path) for path in (options.ledger, options.driver, options.shim))
    CASES, KILLS = options.cases, options.kills
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()

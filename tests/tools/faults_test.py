#!/usr/bin/env python3
"""Nothing that was acknowledged is lost, and no size ever has two roots, whatever the disk, the power or the process does.

    faults_test.py LEDGER DRIVER LIBFAULTS FULL_WORLD [--cases N] [--kills N] [TEST...]

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
import http.client
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

LEDGER, DRIVER, SHIM, FULL_WORLD = "", "", "", ""
CASES, KILLS = 12, 15
NOBODY = 65534
IO = 74
FAILED = (IO,)
# A read that fails with EIO is to SQLite a sign of a broken file system, and "malformed".
UNREAD = (*FAILED, 65)

# Two appends, a head, a batch that is synced beside the next one, a head, the same head again, and a tail that no head is over.
WORK = "append a 1 append b 7 head later c 30 later d 1 head head append e 1 later f 2 sync".split()
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
    "unread": {"FAULTS": "unread"},
}


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


def said(err):
    """Lines of stderr, without those of the log: "W 03:45:40.425 rank=0 ledger.wal ..."."""
    return [line for line in err.splitlines() if not re.match(r"[A-Z] \d\d:\d\d:\d\d\.\d+ rank=", line)]


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
        self.newest = 0  # size of the newest head that sign_head gave
        if like is not None:
            shutil.copytree(like.folder, self.folder)
            self.heads, self.records, self.newest = dict(like.heads), dict(like.records), like.newest

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
                self.newest = max(self.newest, int(rest[0])) if word == "head" else self.newest
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

    def expect(self, status, err, fault):
        may_be = {"kill": (-signal.SIGKILL,), "torn": (-signal.SIGKILL,), "cut": (-signal.SIGKILL,), "unread": UNREAD}
        if status not in (0, *may_be.get(fault["FAULTS"], FAILED)):
            self.problem(f"exit {status}: {err.strip()}")
        if status > 0 and len(said(err)) != 1:
            self.problem(f"exit {status} with other than one line: {err}")

    def take_published_head(self):
        path = pathlib.Path(f"{self.db}.head")
        if not path.exists():
            if self.newest > 0:
                self.problem(f"the head of size {self.newest} was given, and none is published")
            return
        try:
            size, root = read_head(path)
        except ValueError as error:
            self.problem(f"published head: {error}")
            return
        self.promise_head(size, root, "published")
        if size < self.newest:
            self.problem(f"the head of size {self.newest} was given, and that of {size} is published")

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


class OnLedgers(unittest.TestCase):
    """A small ledger, and copies of it."""

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


class Faults(OnLedgers):
    """The driver, and a fault at each change it makes."""

    def one_case(self, number, words, fault, at, stubborn=None, killed_at=None):
        life = Life(self.folder / f"{self._testMethodName}-{number}", self.base)
        told = [stubborn, *words] if stubborn else words
        if killed_at is not None:  # before that, in another process
            life.drive("append x 1 append y 20 head append z 1".split(), {"FAULTS": "kill", "FAULTS_AT": str(killed_at)})
        status, err = life.drive(told, {**fault, "FAULTS_AT": str(at)})
        life.expect(status, err, fault)
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

    def test_cut_after_a_kill(self):
        """The second process finds what the first left halfway, and power goes before it is done with it."""
        killed_at = range(1, 60, max(60 // CASES, 1) if CASES > 0 else 1)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            self.no_problems(pool.map(
                lambda at: self.one_case(at, WORK, {"FAULTS": "cut", "FAULTS_SEED": str(at)}, at * 7 % 40 + 1, killed_at=at),
                killed_at), 10)

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

    def test_read_error(self):
        self.all_cases("unread")

    def test_io_error_and_the_caller_tries_again(self):
        self.all_cases("eio", "again")

    def test_io_error_and_the_caller_opens_it_again(self):
        self.all_cases("eio", "reopen")

    def test_io_error_and_the_caller_goes_on(self):
        self.all_cases("eio", "skip")

    def test_full_and_the_caller_tries_again(self):
        self.all_cases("enospc", "again")


# What people type, in order, each on what the one before left. "{folder}" is where it runs.
LICENCE = """
licence { id: "TEST-1" version: 1 licensor: "licensor" licensee: "studio"
          valid_from: "2020-01-01" valid_to: "2099-12-31" after_term: KEEP_WEIGHTS }
covers { delivery: "**" }
allows { use: [INGEST, ENCODE, TRAIN] model: ["*"] component: [GENERATOR, VAE, TEXT_ENCODER] field_of_use: ["*"] compute_territory: ["*"] }
clearances { talent: NONE_VISIBLE minors: false voice: NONE music: NONE }
"""
COMMANDS = {
    "init": "init {db} --origin faults.example/log",
    "keys": "append {db} {folder}/licensor.pub {folder}/studio.pub {folder}/approver.pub",
    "licence": "append {db} {folder}/test.licence",
    "policy": "policy {db} --rule erase:licensor:1 --key {folder}/approver.key --out {folder}/erase.policy",
    "append-policy": "append {db} {folder}/erase.policy",
    "revoke": "revoke {db} TEST-1 --reason over --key {folder}/licensor.key --notices {folder}/notices",
    "erase": "erase {db} TEST-1 --reason over --key {folder}/licensor.key",
    "retire": "key retire {db} approver",
    "sign-head": "sign-head {db}",
    "prove": "prove {db} 1 --out {folder}/one.tlog-proof",
    "key": "key new trainer --role trainer --out {folder}/keys/trainer",
    "publish": "publish {db} {folder}/public",
    "add-policy": "witness add-policy {db} {folder}/witnesses",
    # Of a ledger of its own, with a shard that nobody approved.
    "approve": "approve {db} --all --key {folder}/approver.key",
}
# In the licence, and in no public fact of it.
CONFIDENTIAL = b"NONE_VISIBLE"
# Said by a second go of a command whose first go was done.
DONE_ALREADY = {"retire": (66,), "init": (IO,), "key": (IO,)}


class Commands(OnLedgers):
    """The program itself: each command dies or fails, is given again, and the ledger goes on."""

    def words(self, name, life):
        return [LEDGER, *COMMANDS[name].format(db=life.db, folder=life.folder).split()]

    def prepare(self, life):
        life.folder.mkdir()
        for key, role in {"licensor": "licensor", "studio": "licensee", "approver": "approver"}.items():
            self.assertEqual(life.run([LEDGER, "key", "new", key, "--role", role, "--out", life.folder / key])[0], 0)
        text, note = life.folder / "licence.textproto", life.folder / "test.licence"
        text.write_text(LICENCE)
        self.assertEqual(life.run([LEDGER, "sign", text, "--key", life.folder / "licensor.key", "--out", note])[0], 0)
        self.assertEqual(life.run([LEDGER, "sign", note, "--key", life.folder / "studio.key"])[0], 0)
        life.story.clear()

    def give(self, name, life, fault=None):
        status, out, err = life.run(self.words(name, life), fault)
        life.story[-1] += f"  -> {status} {err.strip()}"
        for size, root in re.findall(r"^tree head (\d+) ([0-9a-f]{64})$", out, re.MULTILINE):
            life.promise_head(int(size), root, "printed")
            life.newest = max(life.newest, int(size))
        return status, err

    def make(self, name, before):
        """The ledger that a command is given."""
        if name == "approve":
            before.folder.mkdir()
            subprocess.run([FULL_WORLD, before.db, before.folder / "approver"], check=True)
            return
        self.prepare(before)
        for earlier in COMMANDS:
            if earlier == name:
                break
            if earlier != "publish":
                self.assertEqual(self.give(earlier, before)[0], 0, before.story)
        if name == "sign-head":
            self.assertEqual(before.drive("append tail 3".split())[0], 0)
        if name == "add-policy":
            self.assertEqual(before.run([LEDGER, "key", "new", "w", "--role", "witness", "--out", before.folder / "w"])[0], 0)
            log, witness = ((before.folder / f"{pair}.pub").read_text().split()[1] for pair in ("ledger.db", "w"))
            (before.folder / "witnesses").write_text(f"log {log}\nwitness w {witness}\nquorum w\n")
        if name == "erase":
            self.assertTrue(self.left(before))

    @staticmethod
    def left(life):
        """Files of the ledger that hold what is erased."""
        return [path.name for path in life.folder.glob("ledger.db*") if CONFIDENTIAL in path.read_bytes()]

    @staticmethod
    def missing(life, made):
        """What is wrong with the files that a command left that said all was done; undisturbed it leaves `made`."""
        files = contents(life.folder)
        problems = [f"{name} is empty or has holes" for name, content in files.items()
                    if name != "ledger.db" and (not content or ("/tile/" not in name and bytes(16) in content))]
        if len(files) < made:
            problems.append(f"{made} files were made, and there are {sorted(files)}")
        return problems

    def case(self, name, before, made, at, fault):
        life = self.life(f"{name}-{at}-{fault.replace(' ', '-')}", before)
        status, err = self.give(name, life, {**FAULTS[fault], "FAULTS_AT": str(at)})
        life.expect(status, err, FAULTS[fault])
        for problem in self.missing(life, made) if status == 0 else ():
            life.problem(problem)
        if name == "erase" and status == 0 and self.left(life):
            life.problem(f"erased, and left in {self.left(life)}")
        second, err = self.give(name, life)
        if second != 0 and second not in DONE_ALREADY.get(name, ()):
            life.problem(f"given again: exit {second}: {err.strip()}")
        if name == "erase":
            if self.left(life):
                life.problem(f"erased again, and left in {self.left(life)}")
            if not re.search(r'"unsigned_tail": ?0\b', life.run([LEDGER, "verify", life.db, "--json"])[1]):
                life.problem("erased, and under no head")
        life.recover()
        shutil.rmtree(life.folder)
        return life

    def command(self, name):
        """Cases of a command after all those before it."""
        offered = subprocess.run([LEDGER, "--help"], capture_output=True, text=True, check=True).stdout
        if not re.search(rf"^ +{COMMANDS[name].split()[0]} ", offered, re.MULTILINE):
            self.skipTest(f"this ledger has no command {name}")
        before = Life(self.folder / f"before-{name}")
        self.make(name, before)
        before.story.clear()
        probe = self.life(f"count-{name}", before)
        kinds = [kind for kind, _ in changes(probe, self.words(name, probe))[0]]
        made = len(contents(probe.folder))
        faults = list(FAULTS)
        pairs = [(at, fault) for at in moments(kinds, 0) for fault in faults]
        if CASES > 0:  # each fault in turn, at places all over the command; and power goes right behind it
            pairs = [(at, faults[i % len(faults)]) for i, at in enumerate(moments(kinds, CASES))]
            pairs = sorted({*pairs, (len(kinds) + 1, "cut, all unsynced lost")})
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda pair: self.case(name, before, made, *pair), pairs))

    # The ledger that a killed `init` leaves is in the way of the next `init`, and is no ledger.
    def test_init(self):
        self.no_problems(self.command("init"))

    def test_append_keys(self):
        self.no_problems(self.command("keys"))

    def test_append_licence(self):
        self.no_problems(self.command("licence"))

    def test_revoke(self):
        self.no_problems(self.command("revoke"))

    def test_policy(self):
        self.no_problems(self.command("policy"))

    def test_append_policy(self):
        self.no_problems(self.command("append-policy"))

    def test_erase(self):
        self.no_problems(self.command("erase"))

    def test_approve(self):
        self.no_problems(self.command("approve"))

    def test_add_witness_policy(self):
        self.no_problems(self.command("add-policy"))

    def test_retire(self):
        self.no_problems(self.command("retire"))

    def test_sign_head(self):
        self.no_problems(self.command("sign-head"))

    def test_prove(self):
        self.no_problems(self.command("prove"))

    def test_new_key(self):
        self.no_problems(self.command("key"))

    def test_publish(self):
        self.no_problems(self.command("publish"))


class Witnesses(unittest.TestCase):
    """A witness has what it answered, whatever happens to it: else it could be shown another history."""

    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="faults-")
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(os.path.realpath(self.temporary.name))
        self.base = self.folder / "base"
        self.base.mkdir()
        for words in (["init", self.folder / "ledger.db", "--origin", "faults.example/log"],
                      ["key", "new", "w", "--role", "witness", "--out", self.folder / "w"],
                      ["witness", "init", self.base / "w.db", "--key", self.folder / "w.key"],
                      ["witness", "add-log", self.base / "w.db", self.folder / "ledger.db.pub"]):
            subprocess.run([LEDGER, *words], check=True, stdout=subprocess.DEVNULL)
        self.size, self.root = read_head(self.folder / "ledger.db.head")
        self.request = f"old 0\n\n{(self.folder / 'ledger.db.head').read_text()}".encode()

    def ask(self, port):
        """The status of its answer; None when it gave none."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("POST", "/add-checkpoint", self.request)
            with connection.getresponse() as answer:
                return answer.status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def case(self, at, fault):
        folder = self.folder / f"case-{at}"
        shutil.copytree(self.base, folder)
        env = os.environ | {"LD_PRELOAD": SHIM, "FAULTS_ROOT": str(folder), **FAULTS[fault], "FAULTS_AT": str(at)}
        with subprocess.Popen([LEDGER, "witness", "serve", folder / "w.db", "--key", self.folder / "w.key", "--listen", "127.0.0.1:0"],
                              env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as serving:
            said_where = next((line for line in serving.stdout if line.startswith("listening")), "")
            answered = self.ask(int(said_where.rsplit(":", 1)[1])) if said_where else None
            serving.kill()
        done = subprocess.run([LEDGER, "witness", "status", folder / "w.db", "--json"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, f"{fault} at {at}: {done.stderr}")
        log, = json.loads(done.stdout)["logs"]
        self.assertIn((log["size"], log.get("root")), [(0, None), (self.size, self.root)], f"{fault} at {at}")
        if answered == 200:
            self.assertEqual(log["size"], self.size, f"{fault} at {at}: answered, and forgotten")
        shutil.rmtree(folder)
        return answered

    def test_what_it_answered_it_remembers(self):
        places = range(1, 31) if CASES == 0 else evenly(range(1, 31), CASES)
        faults = list(FAULTS)
        answers = [self.case(at, faults[(i + turn) % len(faults)]) for turn in range(2 if CASES > 0 else len(faults))
                   for i, at in enumerate(places)]
        self.assertIn(200, answers)
        self.assertTrue(set(answers) - {200}, "no fault went off before the answer")


class Surroundings(OnLedgers):
    """What no shim plays: kill -9 from outside, a disk that is full, a folder that is read-only, an old copy of the file."""

    def test_kill_at_any_time(self):
        rng = random.Random(1)
        words = [word for i in range(40) for word in ("append", f"k{i}", "1", "append", f"m{i}", "9", "head")]
        started = time.monotonic()
        self.life("timed").drive(words[:70])
        span_s = (time.monotonic() - started) * 4
        lives, most = [], 15  # kills a ledger: it grows, and is verified after each
        for number in range(KILLS):
            if number % most == 0:
                lives.append(self.life(f"killed-{number}"))
            life = lives[-1]
            told = [re.sub(r"^([km])(\d+)$", rf"\1x{number}x\2", word) for word in words]
            process = life.start([DRIVER, life.db, *told], None)
            try:
                out, _ = process.communicate(timeout=rng.uniform(0, span_s))
            except subprocess.TimeoutExpired:
                process.kill()
                out, _ = process.communicate()
            life.listen(out)
            life.story = [f"kill {number} of {' '.join(told)}"]
            life.recover()
        self.assertGreater(sum(len(life.records) for life in lives), 222 * len(lives) + 2 * KILLS)
        self.no_problems(lives)

    def test_files_may_not_grow(self):
        lives = []

        def limit(size):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        size = self.base.db.stat().st_size
        for bytes_left in range(-size + 100, 64 << 10, (size + (64 << 10)) // max(CASES, 10)):
            life = self.life(f"limit-{bytes_left}")
            status, err = life.drive(WORK, preexec_fn=lambda most=size + bytes_left: limit(most))
            if status not in (0, *FAILED):
                life.problem(f"exit {status}: {err.strip()}")
            life.recover()
            lives.append(life)
        self.no_problems(lives, 10)

    def test_full_disk(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("may not mount a small disk here")
        try:
            self.fill(disk)
        finally:
            subprocess.run(["umount", disk], check=True)

    def fill(self, disk):
        life = Life(disk / "full", self.base)
        life.story = ["a full disk"]
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as out:
            try:
                while out.write(b"x" * 4096) > 0:
                    pass
            except OSError:
                pass
        for left in (0, 4096, 40960):  # for the WAL index, for a WAL, for some of the work
            os.truncate(filler, max(filler.stat().st_size - left, 0))
            status, err = life.drive(["append", f"big{left}", "2000"])
            self.assertIn(status, FAILED, err)
            self.assertEqual(len(said(err)), 1, err)
        filler.unlink()
        life.story = ["a full disk, emptied"]
        life.recover()
        self.no_problems([life])

    def as_nobody(self, life, *words):
        return life.run([LEDGER, *words], user=NOBODY, group=NOBODY, extra_groups=[])

    def read_only(self):
        if os.geteuid() != 0:
            self.skipTest("only root can be nobody")
        life = self.life("read-only")
        if self.as_nobody(life, "--version")[0] != 0:
            self.skipTest("nobody may not run the program here")
        life.folder.chmod(0o555)
        return life

    def test_a_read_only_folder_is_told_as_permission(self):
        life = self.read_only()
        (life.folder / "new.pub").write_text((life.folder / "ledger.db.pub").read_text())
        files = contents(life.folder)
        status, _, err = self.as_nobody(life, "append", life.db, life.folder / "new.pub")
        self.assertEqual(status, 77, err)
        self.assertEqual(contents(life.folder), files)

    # SQLite wants to make LEDGER-wal and LEDGER-shm to read a file in WAL mode, unless told that nobody writes (immutable=1).
    def test_a_read_only_folder_can_be_verified_and_read(self):
        life = self.read_only()
        for words in (["verify", life.db], ["query", life.db, "refused"], ["show", life.db, "0"]):
            status, _, err = self.as_nobody(life, *words)
            self.assertEqual(status, 0, err)

    # An auditor who may only read, beside an operator who appends: he may be told to come again, and never that it was changed.
    def test_beside_a_writer_a_reader_without_rights_accuses_nobody(self):
        life = self.read_only()
        self.assertEqual(life.drive("append many 20000 head".split())[0], 0)  # so that verifying takes as long as a writer's life
        with concurrent.futures.ThreadPoolExecutor() as pool:
            writing = pool.submit(lambda: [subprocess.run([DRIVER, life.db, "append", f"w{i}", "30", "head"], check=False, capture_output=True).returncode
                                           for i in range(60)])
            seen = []
            while not writing.done():
                for words in (["verify", life.db], ["status", life.db], ["show", life.db, "0"]):
                    status, out, err = self.as_nobody(life, *words)
                    seen.append(status)
                    self.assertIn(status, (0, 75), f"{words}: {out} {err}")
            self.assertEqual(set(writing.result()), {0})
        self.assertIn(0, seen)
        for words in (["verify", life.db], ["status", life.db]):
            status, _, err = self.as_nobody(life, *words)
            self.assertEqual(status, 0, err)

    def test_a_copy_that_lacks_the_index_says_what_to_do(self):
        life = self.read_only()
        life.folder.chmod(0o755)
        with sqlite3.connect(life.db) as reader:  # so that the writer leaves its write-ahead file
            reader.execute("SELECT count(*) FROM key").fetchall()
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM key").fetchall()
            subprocess.run([LEDGER, "key", "new", "late", "--role", "curator", "--out", life.folder / "late"], check=True, capture_output=True)
            subprocess.run([LEDGER, "append", life.db, life.folder / "late.pub"], check=False, capture_output=True)
            self.assertGreater(pathlib.Path(f"{life.db}-wal").stat().st_size, 0)
            copy = self.folder / "copy-without-index"
            copy.mkdir()
            for end in ("", "-wal", ".head"):
                shutil.copy(f"{life.db}{end}", copy)
        reader.close()
        for path in copy.iterdir():
            path.chmod(0o644)
        copy.chmod(0o555)
        for words in (["status", copy / life.db.name], ["verify", copy / life.db.name]):
            status, _, err = self.as_nobody(life, *words)
            self.assertEqual(status, 77, err)
            self.assertIn("to a folder of your own", err)

    def test_an_older_copy_is_refused_by_every_command(self):
        life = self.life("older")
        self.assertEqual(life.run([LEDGER, "key", "new", "approver", "--role", "approver", "--out", life.folder / "approver"])[0], 0)
        self.assertEqual(life.run([LEDGER, "append", life.db, life.folder / "approver.pub"])[0], 0)
        self.assertEqual(life.run([LEDGER, "sign-head", life.db])[0], 0)
        old = life.db.read_bytes()
        self.assertEqual(life.drive("append newer 3 head".split())[0], 0)
        self.assertFalse(pathlib.Path(f"{life.db}-wal").exists())
        forked = life.folder.parent / "forked"
        shutil.copytree(life.folder, forked)  # as many records, others
        self.addCleanup(shutil.rmtree, forked)
        (forked / "ledger.db").write_bytes(old)
        (forked / "ledger.db.head").unlink()
        self.assertEqual(subprocess.run([DRIVER, forked / "ledger.db", *"append other 3 head".split()], check=False,
                                        capture_output=True).returncode, 0)
        for what, content in {"older": old, "forked": (forked / "ledger.db").read_bytes()}.items():
            life.db.write_bytes(content)
            self.refuses_all(life, what)

    def refuses_all(self, life, what):
        offered = subprocess.run([LEDGER, "--help"], capture_output=True, text=True, check=True).stdout
        out = life.folder / "out"
        refused = f"""append {life.db} {life.folder}/ledger.db.pub
            append {life.db} {life.folder}/approver.pub
            approve {life.db} --all --key {life.folder}/approver.key
            revoke {life.db} {'0' * 64} --reason x --key {life.folder}/approver.key
            key retire {life.db} approver
            sign-head {life.db}
            show {life.db} 0
            log {life.db}
            query {life.db} refused
            query {life.db} --sql SELECT+1
            prove {life.db} 0 --out {out}
            status {life.db}
            publish {life.db} {out}
            history {life.db} 0
            why {life.db} {'0' * 64}
            disclose {life.db} TEST-1@1 --field licence.valid_to --out {out}
            erase {life.db} TEST-1@1 --reason x"""
        tried = 0
        for words in (line.replace("+", " ", 1).split(" ") if "--sql" in line else line.split(" ")
                      for line in re.sub(r"\n +", "\n", refused).split("\n")):
            if not re.search(rf"^ +{words[0]} ", offered, re.MULTILINE):
                continue
            if "--sql" in words:
                words = [*words[:3], " ".join(words[3:])]
            tried += 1
            files = contents(life.folder)
            with self.subTest(copy=what, command=" ".join(words)):
                status, _, err = life.run([LEDGER, *words])
                self.assertEqual(status, 65, err)
                self.assertEqual(len(said(err)), 1, err)
                self.assertEqual(contents(life.folder), files)
        self.assertGreaterEqual(tried, 12)
        self.assertEqual(life.run([LEDGER, "verify", life.db, "--against", f"{life.db}.head"])[0], 1)

    # Records never go back in time, whatever the host says, and what has ended has ended.
    def test_a_clock_set_back_a_year(self):
        life = self.life("clock")
        self.assertEqual(life.drive("append before 2 head".split())[0], 0)
        env = os.environ | {"LD_PRELOAD": str(pathlib.Path(SHIM).with_name("libclock_shift.so")), "CLOCK_SHIFT_S": str(-365 * 86400)}
        day = subprocess.run(["date", "+%Y"], env=env, capture_output=True, text=True, check=True).stdout
        self.assertLess(int(day), time.gmtime().tm_year)
        done = subprocess.run([DRIVER, life.db, *"append after 3 head".split()], env=env, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = subprocess.run([LEDGER, "verify", life.db], env=env, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        done = subprocess.run([LEDGER, "query", life.db, "--sql", "SELECT min(at), max(at), (SELECT group_concat(at) FROM moment) = "
                               "(SELECT group_concat(at) FROM (SELECT at FROM moment ORDER BY at)) FROM moment", "--csv"],
                              capture_output=True, text=True, check=True)
        first, last, in_order = done.stdout.split()[-1].split(",")
        self.assertEqual(first[:4], time.strftime("%Y", time.gmtime(time.time() - 3600)), done.stdout)
        self.assertGreaterEqual(last, first)
        self.assertEqual(in_order, "1")

    # Each failed open or make is "no such file" to SQLite.
    def test_a_failure_is_told_as_io(self):
        for name in ("eio", "enospc"):
            for at in (1, 2, 3):
                life = self.life(f"told-{name}-{at}")
                status, err = life.drive(WORK, {**FAULTS[name], "FAULTS_AT": str(at)})
                with self.subTest(fault=name, at=at):
                    self.assertEqual(status, IO, err)
                    self.assertEqual(len(said(err)), 1, err)

    def test_a_durable_append_costs_one_sync(self):
        life = self.life("syncs")
        words = [word for i in range(200) for word in ("append", f"s{i}", "1")]
        syncs = [path for kind, path in changes(life, [DRIVER, life.db, *words])[0] if kind == "sync"]
        self.assertGreaterEqual(len(syncs), 200, "an append that does not sync is not durable")
        self.assertLessEqual(len(syncs), 240)


def contents(folder):
    """Every file and what it holds, but for SQLite's own and the lock."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.endswith(("-wal", "-shm", ".lock"))}


def main():
    global LEDGER, DRIVER, SHIM, FULL_WORLD, CASES, KILLS
    parser = argparse.ArgumentParser()
    parser.add_argument("ledger")
    parser.add_argument("driver")
    parser.add_argument("shim")
    parser.add_argument("full_world")
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--kills", type=int, default=KILLS)
    options, rest = parser.parse_known_args()
    LEDGER, DRIVER, SHIM, FULL_WORLD = (os.path.realpath(path) for path in (
        options.ledger, options.driver, options.shim, options.full_world))
    CASES, KILLS = options.cases, options.kills
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()

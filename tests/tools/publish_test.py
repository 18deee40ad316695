#!/usr/bin/env python3
"""`ledger publish` and `ledger follow` from outside: over HTTP, killed at any moment, against a fork, read by software of others.

    publish_test.py LEDGER FOLDER [--faults LIBFAULTS] [--every N] [TEST...]     a Go program is built in FOLDER

What lies in a published folder is read here by a reader written from C2SP tlog-tiles and RFC 6962 with hashlib alone
(PublishedLog), and by tlog-tiles/main.go with the Go team's packages, which also checks the signature.
--faults runs every publication again with a fault at each change it makes (tests/faults); --every N takes each N-th of them.
"""
import argparse
import base64
import fcntl
import functools
import gzip
import hashlib
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

from approval_test import merkle_root, message, sha256
from ports import free_port

LEDGER, BUILD_FOLDER, FAULTS, EVERY = "", "", "", 1
NANO = pathlib.Path(__file__).resolve().parents[2] / "configs" / "nano.textproto"
GO_SOURCE = pathlib.Path(__file__).resolve().parent / "tlog-tiles" / "main.go"


def run(*command, env=None):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace", check=False,
                          env={**os.environ, **(env or {})})


def must(*command):
    done = run(*command)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def vkey(name, kind=1):
    """A verifier key of C2SP signed-note over random bytes: enough for a key that never signs."""
    key = bytes([kind]) + os.urandom(32)
    number = hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8]
    return f"{name}+{number}+{base64.b64encode(key).decode()}"


# Its path and its price are nobody's business.
CONFIDENTIAL = """
licence { id: "TEST-1" version: 1 licensor: "licensor" licensee: "studio"
          valid_from: "2020-01-01" valid_to: "2099-12-31" after_term: KEEP_WEIGHTS }
covers { delivery: "Unannounced/**" }
allows { use: [INGEST, ENCODE, TRAIN] model: ["*"] component: [GENERATOR, VAE, TEXT_ENCODER] field_of_use: ["*"] compute_territory: ["*"] }
clearances { talent: NONE_VISIBLE minors: false voice: NONE music: NONE }
pay { basis: FIXED currency: "EUR" rate_micros: 87654321 }
"""


class PublishedLog:
    """All of a published log, read and recomputed. `fetch` takes a path and gives its bytes."""

    def __init__(self, fetch):
        self.fetch = fetch
        self.head = fetch("checkpoint").decode()
        self.origin, size, root, blank, *_ = self.head.split("\n")
        assert blank == "", self.head
        self.size, self.root = int(size), base64.b64decode(root)
        self.records = []
        for index in range((self.size + 255) // 256):
            bundle = self.file("entries", index, self.size)
            while bundle:
                length = int.from_bytes(bundle[:2], "big")
                assert len(bundle) >= 2 + length, f"bundle {index} is cut short"
                self.records.append(bundle[2:2 + length])
                bundle = bundle[2 + length:]
        assert len(self.records) == self.size, f"{len(self.records)} records, {self.size} are signed for"
        leaves = [hashlib.sha256(b"\0" + record).digest() for record in self.records]
        assert self.mth(leaves) == self.root, "the records do not give the signed root"
        level = 0
        while leaves:
            for index in range((len(leaves) + 255) // 256):
                tile = self.file(level, index, len(leaves))
                assert tile == b"".join(leaves[256 * index:256 * index + 256]), f"tile {level} {index}"
            leaves = [self.mth(leaves[i:i + 256]) for i in range(0, len(leaves) // 256 * 256, 256)]
            level += 1

    def file(self, level, index, count):
        assert index < 1000
        width = min(256, count - 256 * index)
        return self.fetch(f"tile/{level}/{index:03}" + ("" if width == 256 else f".p/{width}"))

    @staticmethod
    def mth(digests):
        """RFC 6962, section 2.1, over digests of leaves."""
        if len(digests) == 1:
            return digests[0]
        k = 1 << (len(digests) - 1).bit_length() - 1
        return hashlib.sha256(b"\1" + PublishedLog.mth(digests[:k]) + PublishedLog.mth(digests[k:])).digest()


def read_folder(folder):
    return PublishedLog(lambda path: (pathlib.Path(folder) / path).read_bytes())


def files_of(folder):
    folder = pathlib.Path(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Packing(Quiet):
    """Sends everything packed, whatever was asked for, as hosts do that keep their files packed."""

    def end_headers(self):
        self.send_header("Content-Encoding", "gzip")
        super().end_headers()


class Server:
    """A folder over HTTP, as Python's own server serves it, at .url"""

    def __init__(self, folder, handler=Quiet):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def read(self, path):
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=20) as answer:
            return answer.read()


class World:
    """A ledger in a folder of its own, that grows by keys."""

    def __init__(self):
        self.top = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.top.name).resolve()
        self.db, self.web, self.state = self.folder / "ledger.db", self.folder / "web", self.folder / "state"
        self.trust = f"{self.db}.pub"
        self.keys = 0
        must(LEDGER, "init", self.db, "--origin", "test.example/ledger")
        # A signed head comes with a record of the ledger's state: what every growth adds by itself.
        self.first_size = int(pathlib.Path(f"{self.db}.head").read_text(encoding="utf-8").split("\n")[1])

    def close(self):
        self.top.cleanup()

    def grow_to(self, size, db=None):
        db = db or self.db
        with sqlite3.connect(db) as ledger:
            there = ledger.execute("SELECT (SELECT COUNT(*) * 256 FROM bundle) + (SELECT COUNT(*) FROM leaf)").fetchone()[0]
        ledger.close()
        lines = []
        for _ in range(size - there - (self.first_size - 1)):
            self.keys += 1
            lines.append(f"licensor {vkey(f'licensor-{self.keys}')}\n")
        (self.folder / "more.pub").write_text("".join(lines), encoding="utf-8")
        must(LEDGER, "append", db, self.folder / "more.pub", "--log-key", f"{self.db}.key")

    def copy(self, name):
        """The ledger as it is now, without the head beside it: what a restored backup is."""
        shutil.copy(self.db, self.folder / name)
        return self.folder / name

    def publish(self, *more, db=None, web=None):
        return run(LEDGER, "publish", db or self.db, web or self.web, *more)

    def follow(self, log, *more, state=None):
        return run(LEDGER, "follow", log, "--state", state or self.state, "--trust", self.trust, *more)


@functools.lru_cache
def go_reader():
    program = pathlib.Path(BUILD_FOLDER) / "tlog-tiles"
    environment = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOPROXY": "off", "CGO_ENABLED": "0",
                   "GOCACHE": str(pathlib.Path(BUILD_FOLDER) / ".go-cache")}
    done = run("go", "build", "-trimpath", "-o", program, GO_SOURCE, env=environment)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return program


class WithWorld(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)

    def expect(self, done, code, *words):
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stdout + done.stderr)
        if code != 0:
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done


class Publish(WithWorld):
    def test_published_served_and_followed(self):
        w = self.world
        w.grow_to(300)
        self.expect(w.publish(), 0, "300 records (300 new)")
        with Server(w.web) as server:
            self.expect(w.follow(server.url), 0, "first contact", "taken on trust")
            first = read_folder(w.web).head
            self.assertEqual(w.state.read_text(encoding="utf-8"), first)
            w.grow_to(1100)
            self.expect(w.publish(), 0, "1100 records (800 new)")
            self.expect(w.follow(f"{server.url}/"), 0, "from 300 to 1100 records, consistent")
            copy = w.folder / "copy"
            report = json.loads(self.expect(w.follow(server.url, "--records", copy, "--json"), 0).stdout)
            self.assertEqual((report["answer"], report["records"], report["now"]["size"]), ("same", 1100, 1100))
            log = PublishedLog(server.read)
        with sqlite3.connect(w.db) as ledger:
            bundles = [row[0] for row in ledger.execute("SELECT entries FROM bundle ORDER BY number")]
            tail = [row[0] for row in ledger.execute("SELECT bytes FROM leaf ORDER BY seq")]
        ledger.close()
        entries = b"".join(bundles) + b"".join(len(record).to_bytes(2, "big") + record for record in tail)
        self.assertEqual(b"".join(len(record).to_bytes(2, "big") + record for record in log.records), entries)
        self.assertEqual(read_folder(copy).records, log.records)
        self.assertEqual(log.head, pathlib.Path(f"{w.db}.head").read_text(encoding="utf-8"))

    def test_documents_stay_in(self):
        w = self.world
        for name, role in (("licensor", "licensor"), ("studio", "licensee")):
            must(LEDGER, "key", "new", name, "--role", role, "--out", w.folder / name)
        text, note = w.folder / "terms.textproto", w.folder / "terms.licence"
        text.write_text(CONFIDENTIAL, encoding="utf-8")
        must(LEDGER, "sign", text, "--key", w.folder / "licensor.key", "--out", note)
        must(LEDGER, "sign", note, "--key", w.folder / "studio.key")
        must(LEDGER, "append", w.db, w.folder / "licensor.pub", w.folder / "studio.pub", note)
        w.grow_to(300)
        with sqlite3.connect(w.db) as ledger:
            (salt, kept), = ledger.execute("SELECT salt, note FROM document").fetchall()
        ledger.close()
        secrets = [b"Unannounced", b"87654321", salt, base64.b64encode(salt), salt.hex().encode()]
        self.assertTrue(all(secret in kept.encode() for secret in secrets[:2]))
        self.expect(w.publish(), 0)
        files = files_of(w.web)
        self.assertTrue(any(b"TEST-1" in content for content in files.values()), "the licence itself is not published")
        for name, content in files.items():
            for secret in secrets:
                self.assertNotIn(secret, content, name)

    def test_a_refusal_publishes_no_terms(self):
        """What decided is said on the terminal, and by `why-not` while the document is kept; the record names the rule and the licence."""
        w = self.world
        allows = """field_of_use: ["*"] compute_territory: ["*"] }"""
        anywhere = """field_of_use: ["*"] compute_territory: ["*"] release_territory: ["*"] }"""
        terms = {  # of one licence each: what it says, the rule that refuses, what of it the terminal says
            "place": (allows.replace('territory: ["*"]', 'territory: ["NZ"]'), "territory_not_allowed", "does not allow computing in US"),
            "share": (anywhere + " limits { max_share: 0.3217 }", "share_exceeded", "may have 0.3217"),
            "passes": (anywhere + " limits { max_passes: 3 }", "passes_exceeded", "3 are left for shard"),
            "height": (anywhere + " limits { max_height_px: 37 }", "height_above_limit", "at most 37 pixels of height"),
        }
        for name, role in (("licensor", "licensor"), ("studio", "licensee"), ("ann", "approver")):
            must(LEDGER, "key", "new", name, "--role", role, "--out", w.folder / name)
            must(LEDGER, "append", w.db, w.folder / f"{name}.pub")
        for name, (said, _, _) in terms.items():
            text, note = w.folder / f"{name}.textproto", w.folder / f"{name}.licence"
            text.write_text(CONFIDENTIAL.replace("TEST-1", name).replace("Unannounced", name)
                            .replace("TRAIN]", "TRAIN, GENERATE_INTERNAL]").replace(allows, said), encoding="utf-8")
            must(LEDGER, "sign", text, "--key", w.folder / "licensor.key", "--out", note)
            must(LEDGER, "sign", note, "--key", w.folder / "studio.key")
            source, clip, sample = (sha256(f"{name} {what}".encode()) for what in ("source", "clip", "sample"))
            line = b"s %s %s 1000000 1024\n" % (sample.hex().encode(), clip.hex().encode())
            facts = [message((4, message((1, source), (2, f"{name}/a.webm"), (3, 1000), (4, f"{name}@1"), (5, "webm"), (10, 9), (17, "kept")))),
                     message((6, message((1, clip), (2, source), (4, 1), (6, "kept")))),
                     message((8, message((1, merkle_root([line])), (2, f"{name}.tar"), (3, source), (4, 2048), (5, 1), (6, f"{name}@1")))),
                     message((9, message((1, merkle_root([line])), (3, "s"), (4, sample), (5, clip), (6, 1000000), (7, 1024))))]
            bundle = message(*((1, fact) for fact in facts))
            (w.folder / f"{sha256(bundle).hex()}.bundle").write_bytes(bundle)
            must(LEDGER, "append", w.db, note, w.folder / f"{sha256(bundle).hex()}.bundle")
        must(LEDGER, "approve", w.db, "--all", "--key", w.folder / "ann.key")
        for name, (_, rule, says) in terms.items():
            self.expect(run(LEDGER, "permit", w.db, "--run", NANO, "--key", w.folder / "ann.key", "--only", f"{name}.tar", "--out", w.folder / "p"),
                        3, rule, says)
        records = json.loads(must(LEDGER, "why-not", w.db, "nano", "--json"))
        self.assertEqual([r["rule"] for r in reversed(records)], [rule for _, rule, _ in terms.values()])
        self.assertEqual([r["terms"] for r in reversed(records)],
                         [[{"licence": f"{name}@1", "field": field, "value": value}] for name, field, value in (
                             ("place", "allows.compute_territory[0]", '"NZ"'), ("share", "limits.max_share", "0.3217"),
                             ("passes", "limits.max_passes", "3"), ("height", "limits.max_height_px", "37"))])
        self.assertIn("licence height@1 says limits.max_height_px: 37", must(LEDGER, "why-not", w.db, "nano"))
        secrets = [b"NZ", b"computing in", b"0.3217", b"may have", b" left", b"pixels"]
        def published():
            self.expect(w.publish(), 0)
            log = read_folder(w.web)
            facts = [r for r in log.records if any(rule.encode() in r for _, rule, _ in terms.values())]
            self.assertEqual(len(facts), len(terms))
            return facts
        for fact in published():
            for secret in secrets:
                self.assertNotIn(secret, fact)
        for name, _ in terms.items():
            must(LEDGER, "erase", w.db, name, "--reason", "over")
        for fact in published():
            for secret in secrets:
                self.assertNotIn(secret, fact)
        self.assertEqual([r["terms"] for r in json.loads(must(LEDGER, "why-not", w.db, "nano", "--json"))], [[]] * len(terms))

    def test_a_forged_head_does_not_steer_the_terminal(self):
        w = self.world
        w.grow_to(5)
        self.expect(w.publish(), 0)
        self.expect(w.follow(w.web), 0)
        forged = "test.example/ledger\u009b31m\u202e\n6\n" + base64.b64encode(bytes(32)).decode() + "\n\n\u2014 x\u202e AAAAAAA=\n"
        (w.web / "checkpoint").write_text(forged, encoding="utf-8")
        for more in ((), ("--policy", w.folder / "policy")):
            (w.folder / "policy").write_text(f"log {must('cat', w.trust).split()[1]}\nquorum none\n", encoding="utf-8")
            done = self.expect(w.follow(w.web, *more), 1, "---- seen now\ntest.example/ledger?31m?\n6\n")
            evidence = pathlib.Path(done.stderr.rsplit(" ", 1)[1].strip())
            self.assertIn(forged, evidence.read_text(encoding="utf-8"))
            for character in "\u009b\u202e":
                self.assertNotIn(character, done.stdout + done.stderr)
        done = w.follow(w.web, "--json")
        self.assertEqual(json.loads(done.stdout)["now"]["note"], forged)
        self.assertTrue(done.stdout.isascii())

    def test_the_go_team_reads_it(self):
        w = self.world
        key = must("cat", w.trust).split()[1]
        old = w.folder / "old-head"
        for size in (4, 256, 258, 600):
            w.grow_to(size)
            self.expect(w.publish(), 0)
            heads = [old] if old.exists() else []
            done = self.expect(run(go_reader(), key, w.web, *heads), 0, f"ok: {size} records")
            self.assertIn(base64.b64encode(read_folder(w.web).root).decode(), done.stdout)
            shutil.copy(w.web / "checkpoint", old)
        with Server(w.web) as server:
            self.expect(run(go_reader(), key, server.url, old), 0, "ok: 600 records")
        # ... and would say so if it were not right.
        for name in ("tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/001", "checkpoint"):
            content = (w.web / name).read_bytes()
            (w.web / name).write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
            self.assertEqual(run(go_reader(), key, w.web).returncode, 1, name)
            (w.web / name).write_bytes(content)

    def test_a_fork_and_a_rollback_are_caught_at_both_ends(self):
        w = self.world
        w.grow_to(300)
        backup = w.copy("backup.db")
        w.grow_to(310)
        self.expect(w.publish(), 0)
        self.expect(w.follow(w.web), 0, "first contact")
        honest, before = read_folder(w.web).head, files_of(w.web)

        def both_ends(db, why, size):
            shown = w.folder / f"shown-{why}"
            done = self.expect(w.publish(db=db), 65, why, honest)
            other = done.stdout.split("---- of this ledger\n")[1]
            self.assertEqual(other.split("\n")[1], str(size))
            self.assertEqual(files_of(w.web), before)
            self.expect(w.publish(db=db, web=shown), 0)
            with Server(shown) as server:
                done = self.expect(w.follow(server.url), 1, why, honest, other)
            evidence = done.stderr.rsplit(" ", 1)[1].strip()
            text = pathlib.Path(evidence).read_text(encoding="utf-8")
            self.assertIn(honest, text)
            self.assertIn(other, text)
            self.assertEqual(w.state.read_text(encoding="utf-8"), honest)

        both_ends(backup, "rolled back", 300)
        w.grow_to(310, backup)
        both_ends(backup, "forked", 310)
        w.grow_to(600, backup)
        both_ends(backup, "forked", 600)
        self.expect(w.follow(w.web), 0, "still 310 records")

    def test_killed_at_any_moment_what_is_served_is_whole(self):
        w = self.world
        chance = random.Random(7)
        sizes = [300, 520, 530, 800, 1290, 1300, 1302, 1700]
        killed = 0
        for size in sizes:
            w.grow_to(size)
            begun = time.monotonic()
            self.expect(w.publish("--dry-run"), 0)
            whole = time.monotonic() - begun
            for _ in range(4):
                child = subprocess.Popen([LEDGER, "publish", w.db, w.web], stdout=subprocess.DEVNULL)
                time.sleep(chance.random() * 2 * whole)
                child.send_signal(signal.SIGKILL)
                killed += child.wait() == -signal.SIGKILL
                if (w.web / "checkpoint").exists():
                    self.assertIn(read_folder(w.web).size, [n for n in sizes if n <= size])
            self.expect(w.publish(), 0)
            self.assertEqual(read_folder(w.web).size, size)
        self.assertGreater(killed, 0)
        self.compare_with_fresh()

    def compare_with_fresh(self):
        """Besides what a fresh publication has there are only partial tiles, of older sizes and not yet full."""
        w = self.world
        fresh = w.folder / "fresh"
        self.expect(w.publish(web=fresh), 0)
        there, expected = files_of(w.web), files_of(fresh)
        self.assertEqual({name: there.get(name) for name in expected}, expected)
        for name in set(there) - set(expected):
            self.assertRegex(name, r"^tile/(entries|\d+)/\d{3}\.p/\d+$")
            self.assertNotIn(name.split(".p/")[0], there)
        shutil.rmtree(fresh)

    def test_a_fault_at_every_change_leaves_it_whole(self):
        if not FAULTS:
            self.skipTest("needs --faults LIBFAULTS")
        w = self.world
        w.grow_to(250)
        self.expect(w.publish(), 0)
        start = w.folder / "start"
        w.web.rename(start)
        w.grow_to(520)
        faults = [{"FAULTS": "kill"}, {"FAULTS": "torn"}, {"FAULTS": "eio"}, {"FAULTS": "enospc"},
                  *({"FAULTS": "cut", "FAULTS_SEED": str(seed)} for seed in range(4))]
        for fault in faults:
            for at in range(1, self.count_changes(start) + 1, EVERY):
                with self.subTest(**fault, at=at):
                    self.check_fault(start, {**fault, "FAULTS_AT": str(at)})

    def faulted(self, start, fault):
        w = self.world
        shutil.rmtree(w.web, ignore_errors=True)
        shutil.copytree(start, w.web)
        return run(LEDGER, "publish", w.db, w.web, env={"LD_PRELOAD": FAULTS, "FAULTS_ROOT": str(w.web), **fault})

    def count_changes(self, start):
        report = self.world.folder / "report"
        report.unlink(missing_ok=True)
        self.expect(self.faulted(start, {"FAULTS": "count", "FAULTS_REPORT": str(report)}), 0)
        changes = report.read_text(encoding="utf-8").count("\n")
        self.assertGreater(changes, 30)
        return changes

    def check_fault(self, start, fault):
        done = self.faulted(start, fault)
        if fault["FAULTS"] in ("eio", "enospc"):
            self.assertIn(done.returncode, (0, 74), done.stderr)
        else:
            self.assertIn(done.returncode, (0, -signal.SIGKILL), done.stderr)
        self.assertIn(read_folder(self.world.web).size, (250, 520) if done.returncode != 0 else (520,))
        self.expect(self.world.publish(), 0)
        self.assertEqual(read_folder(self.world.web).size, 520)
        self.compare_with_fresh()
        # A second time there is nothing left to do, nor any trace of the first.
        self.expect(self.world.publish(), 0, " 0 files, 0 bytes")


class Follow(WithWorld):
    def test_a_host_may_keep_it_packed(self):
        w = self.world
        w.grow_to(300)
        self.expect(w.publish(), 0)
        packed, copy = w.folder / "packed", w.folder / "copy"
        for name, data in files_of(w.web).items():
            (packed / name).parent.mkdir(parents=True, exist_ok=True)
            (packed / name).write_bytes(gzip.compress(data))
        with Server(packed, Packing) as server:
            self.expect(w.follow(server.url, "--records", copy), 0, "first contact", "300 new records, every one proven")
        self.assertEqual(files_of(copy), files_of(w.web))
        with Server(w.web, Packing) as server:
            self.expect(w.follow(server.url), 74, "not whole gzip")

    def test_keeps_following(self):
        w = self.world
        w.grow_to(20)
        self.expect(w.publish(), 0)
        child = subprocess.Popen([LEDGER, "follow", w.web, "--state", w.state, "--trust", w.trust, "--interval", "1", "--json"],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            self.assertEqual(json.loads(child.stdout.readline())["answer"], "first")
            w.grow_to(40)
            self.expect(w.publish(), 0)
            answers = set()
            while "grown" not in answers:
                answers.add(json.loads(child.stdout.readline())["answer"])
            self.assertLessEqual(answers, {"same", "grown"})
            (w.web / "checkpoint").write_bytes((w.web / "checkpoint").read_bytes().replace(b"\n40\n", b"\n41\n"))
            while "no" not in answers:
                answers.add(json.loads(child.stdout.readline())["answer"])
            self.assertEqual(child.wait(), 1)
        finally:
            child.kill()
            child.wait()
            child.stdout.close()

    def test_a_server_that_fails_is_no_answer(self):
        w = self.world
        w.grow_to(300)
        self.expect(w.publish(), 0)
        self.expect(w.follow(w.web), 0)
        state = w.state.read_bytes()
        w.grow_to(600)
        self.expect(w.publish(), 0)
        with Server(w.web) as server:
            url = server.url
            self.expect(w.follow(f"{url}/nowhere"), 66, "checkpoint")
            (w.web / "tile/0/001").rename(w.web / "away")
            self.expect(w.follow(url), 74, "tile/0/001")
            (w.web / "away").rename(w.web / "tile/0/001")
            self.assertEqual(w.state.read_bytes(), state)
        self.expect(w.follow(url), 74)
        self.assertEqual(w.state.read_bytes(), state)
        self.expect(w.follow(w.web), 0, "from 300 to 600")


class Witnessed(WithWorld):
    """A head is published only with the cosignature that the policy asks for, and followed only with it."""

    def serve(self, listen):
        child = subprocess.Popen([LEDGER, "witness", "serve", self.witness_state, "--key", self.world.folder / "witness.key",
                                  "--listen", listen], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        child.stdout.readline()
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child, child.stdout.readline().rsplit(" ", 1)[1].strip()

    def test_fails_closed(self):
        w = self.world
        self.witness_state = w.folder / "witness.db"
        must(LEDGER, "key", "new", "w.example/witness", "--role", "witness", "--out", w.folder / "witness")
        must(LEDGER, "witness", "init", self.witness_state, "--key", w.folder / "witness.key")
        must(LEDGER, "witness", "add-log", self.witness_state, w.trust)
        child, url = self.serve(f"127.0.0.1:{free_port()}")
        log_key, key = (must("cat", path).split()[1] for path in (w.trust, w.folder / "witness.pub"))
        policy = w.folder / "policy"
        policy.write_text(f"log {log_key}\nwitness W {key} {url}\nquorum W\n", encoding="utf-8")
        w.grow_to(300)
        self.expect(w.publish("--policy", policy), 0, "300 records")
        self.assertEqual((w.web / "checkpoint").read_text(encoding="utf-8").count("\n\u2014 "), 2)
        self.expect(w.follow(w.web, "--policy", policy), 0, "first contact")
        self.expect(w.publish("--policy", policy), 0, " 0 files")
        child.kill()
        child.wait()
        w.grow_to(600)
        before = (w.web / "checkpoint").read_bytes()
        self.expect(w.publish("--policy", policy), 75, "W: ")
        self.assertEqual((w.web / "checkpoint").read_bytes(), before)
        self.expect(w.follow(w.web, "--policy", policy), 0, "still 300")
        self.serve(url.removeprefix("http://"))
        self.expect(w.publish("--policy", policy), 0, "600 records")
        self.expect(w.follow(w.web, "--policy", policy), 0, "from 300 to 600")
        # Without the witness the log's own signature is not enough for who asks for more.
        plain = w.folder / "plain"
        w.grow_to(610)
        self.expect(w.publish(web=plain), 0)
        self.expect(w.follow(plain, "--policy", policy), 1, "no cosignature of W")


class BadInput(WithWorld):
    def test_each_has_its_exit_code(self):
        w = self.world
        w.grow_to(20)
        self.expect(w.publish(), 0)
        self.expect(w.follow(w.web), 0)

        def file(name, text):
            (w.folder / name).write_text(text, encoding="utf-8")
            return w.folder / name

        other = World()
        self.addCleanup(other.close)
        self.expect(other.publish(), 0)
        witnesses = f"witness A {vkey('a.example', 4)}\nwitness B {vkey('b.example', 4)}\ngroup G any A B\nquorum G\n"
        policy = file("policy", pathlib.Path(w.trust).read_text(encoding="utf-8") + witnesses)
        strange = pathlib.Path(os.fsdecode(os.fsencode(w.folder) + b"/\xff\n\x1b[31m$(x); ' --"))
        rows = [
            ("publish: no such ledger", w.publish(db=w.folder / "none"), 66, "none"),
            ("publish: no ledger", w.publish(db=w.trust), 65, ""),
            ("publish: folder of another log", other.publish(web=w.web), 65, "not signed by the log's key"),
            ("publish: a file for a folder", w.publish(web=w.trust), 65, "in the way"),
            ("publish: policy is none", w.publish("--policy", w.trust), 65, "policy"),
            ("publish: policy missing", w.publish("--policy", w.folder / "none"), 66, "none"),
            ("publish: policy of no log", w.publish("--policy", file("no-log", witnesses)), 78, "names no key that this log has now"),
            ("publish: policy of another log", w.publish("--policy", file("other", f"log {vkey('o.example')}\n" + witnesses)), 78,
             "names no key that this log has now"),
            ("publish: no quorum", w.publish("--policy", policy), 75, "A: the policy names no URL"),
            ("publish: no folder named", run(LEDGER, "publish", w.db), 2, None),
            ("follow: no state named", run(LEDGER, "follow", w.web, "--trust", w.trust), 2, None),
            ("follow: interval 0", w.follow(w.web, "--interval", "0"), 2, None),
            ("follow: no such folder", w.follow(w.folder / "none"), 66, "none"),
            ("follow: another log", w.follow(other.web), 1, "not signed by the log's key"),
            ("follow: state is none", w.follow(w.web, state=file("garbage", "x")), 65, "garbage"),
            ("follow: state of another log", w.follow(w.web, state=other.web / "checkpoint"), 65, "not signed"),
            ("follow: trust without a log key", run(LEDGER, "follow", w.web, "--state", w.state, "--trust",
                                                    file("a.pub", f"licensor {vkey('l')}\n")), 65, "log VKEY"),
            ("follow: no quorum", w.follow(w.web, "--policy", policy), 1, "no cosignature of A, B"),
            ("follow: nobody listens", w.follow("http://127.0.0.1:1"), 74, "127.0.0.1"),
            ("follow: copy is another log", w.follow(w.web, "--records", other.web), 65, "not signed"),
        ]
        for name, done, code, words in rows:
            with self.subTest(name):
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                if words is not None:
                    self.assertIn(words, done.stderr)
                    self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertEqual(read_folder(w.web).size, 20)
        self.expect(w.publish(web=strange), 0)
        self.assertEqual(read_folder(strange).size, 20)

    def test_two_publishers_do_not_meet(self):
        w = self.world
        self.expect(w.publish(), 0)
        folder = os.open(w.web, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        self.expect(w.publish(), 75, "another process")
        os.close(folder)
        self.expect(w.publish(), 0)

    def test_a_dry_run_makes_no_folder(self):
        w = self.world
        report = json.loads(self.expect(w.publish("--dry-run", "--json"), 0).stdout)
        self.assertEqual((report["published"], report["head"]["size"], report["files"]), (False, w.first_size, 3))
        self.assertFalse(w.web.exists())

    def test_ledger_changed_behind_our_back(self):
        w = self.world
        w.grow_to(20)
        self.expect(w.publish(), 0)
        w.grow_to(30)
        with sqlite3.connect(w.db) as ledger:
            ledger.execute("UPDATE leaf SET bytes = CAST(bytes || x'00' AS BLOB) WHERE seq = 25")
        ledger.close()
        self.expect(w.publish(), 65, "record 25")
        self.assertEqual(read_folder(w.web).size, 20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("ledger")
    parser.add_argument("folder")
    parser.add_argument("--faults", default="")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("tests", nargs="*")
    arguments = parser.parse_intermixed_args()
    LEDGER, BUILD_FOLDER, FAULTS, EVERY = arguments.ledger, arguments.folder, arguments.faults, arguments.every
    unittest.main(argv=[sys.argv[0], *arguments.tests], verbosity=2)

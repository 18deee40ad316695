#!/usr/bin/env python3
"""Two organisations cosign each other's ledgers: `ledger witness`, from outside.

    witness_test.py LEDGER

The wire is checked with Python's own HTTP and TLS, as client and as server; key ids and proofs are made
here with SHA-256 and base64; cosignatures are verified by the openssl program over a message made here.
"""
import base64
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import proof_files
from ports import free_port

LEDGER = ""
LICENCE = pathlib.Path(__file__).resolve().parents[2] / "docs/samples/bigbuckbunny.licence.textproto"


def run(*words, **environment):
    return subprocess.run([LEDGER, *map(str, words)], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})


def must(*words):
    done = run(*words)
    if done.returncode != 0:
        raise AssertionError(f"{words}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def key_id(vkey):
    """The id that a verifier key must have, from its name and key."""
    name, _, data = vkey.split("+", 2)
    return hashlib.sha256(name.encode() + b"\n" + base64.b64decode(data)).digest()[:4]


def signature_lines(note):
    """{key name: [raw signature with its id]} of a signed note."""
    lines = {}
    for line in note.split("\n\n", 1)[1].splitlines():
        dash, name, data = line.split(" ")
        assert dash == "\u2014", line
        lines.setdefault(name, []).append(base64.b64decode(data, validate=True))
    return lines


# What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410, section 10.1).
ED25519_SPKI = bytes.fromhex("302a300506032b6570032100")


def openssl(*words):
    return subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)


def cosigned(folder, text, raw, vkey):
    """When this cosignature line was made, in seconds since 1970, once openssl has verified it."""
    key = base64.b64decode(vkey.split("+", 2)[2])
    at = int.from_bytes(raw[4:12], "big")
    assert len(raw) == 4 + 8 + 64 and raw[:4] == key_id(vkey) and key[0] == 4
    (folder / "key.der").write_bytes(ED25519_SPKI + key[1:])
    (folder / "message").write_bytes(f"cosignature/v1\ntime {at}\n{text}".encode())
    (folder / "signature").write_bytes(raw[12:])
    done = openssl("pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", folder / "key.der", "-rawin",
                   "-in", folder / "message", "-sigfile", folder / "signature")
    assert done.returncode == 0, done.stdout + done.stderr
    return at


def root(leaves):
    """Merkle tree hash of leaf digests, RFC 6962, 2.1."""
    if len(leaves) == 1:
        return leaves[0]
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root(leaves[:left]) + root(leaves[left:])).digest()


def consistency(old, leaves, whole=True):
    """SUBPROOF of RFC 6962, 2.1.2."""
    if old == len(leaves):
        return [] if whole else [root(leaves)]
    left = 1 << (len(leaves) - 1).bit_length() - 1
    if old <= left:
        return consistency(old, leaves[:left], whole) + [root(leaves[left:])]
    return consistency(old - left, leaves[left:], False) + [root(leaves[:left])]


def size_of(head):
    return int(head.split("\n")[1])


class Organisation:
    """A studio with a ledger and a witness for others."""

    def __init__(self, folder, name):
        self.name = name
        self.folder = folder / name
        self.db = self.folder / "film.db"
        self.state = self.folder / "witness.db"
        self.key = self.folder / "witness.key"
        self.process = None
        self.port = free_port()
        must("key", "new", f"{name}.example/witness", "--role", "witness", "--out", self.folder / "witness")
        must("init", self.db, "--origin", f"{name}.example/ledger")
        must("sign-head", self.db)
        must("witness", "init", self.state, "--key", self.key)
        self.vkey = (self.folder / "witness.pub").read_text(encoding="utf-8").split()[1]
        self.log_vkey = pathlib.Path(f"{self.db}.pub").read_text(encoding="utf-8").split()[1]

    def start(self, *options):
        self.process = subprocess.Popen(
            [LEDGER, "witness", "serve", self.state, "--key", self.key, "--listen", f"127.0.0.1:{self.port}", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.port = int(line.rsplit(":", 1)[1])
                return
        raise AssertionError(self.process.stderr.read())

    def stop(self, number=signal.SIGTERM):
        """Its exit code and what it logged."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=60)
        code, self.process = self.process.returncode, None
        return code, log

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def grow(self, count=1):
        """Appends keys as records, and signs the head."""
        for _ in range(count):
            self.grown = getattr(self, "grown", 0) + 1
            stem = self.folder / f"curator{self.grown}"
            must("key", "new", f"{self.name}-{self.grown}", "--role", "curator", "--out", stem)
            must("append", self.db, f"{stem}.pub")

    def head(self):
        return pathlib.Path(f"{self.db}.head").read_text(encoding="utf-8")

    def post(self, body, path="/add-checkpoint", method="POST"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body if isinstance(body, bytes) else body.encode())
        with connection.getresponse() as answer:
            got = answer.status, answer.getheader("Content-Type"), answer.read().decode()
        connection.close()
        return got


class Stub(http.server.ThreadingHTTPServer):
    """A witness that answers as it is told."""

    def __init__(self, status, content_type, body):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.server.requests.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Witnesses(unittest.TestCase):
    def setUp(self):
        self.top = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.top.name)
        self.a = Organisation(self.folder, "alpha")
        self.b = Organisation(self.folder, "beta")
        self.c = Organisation(self.folder, "gamma")
        self.all = (self.a, self.b, self.c)

    def tearDown(self):
        for one in self.all:
            if one.process:
                one.process.kill()
                one.process.communicate()
        self.top.cleanup()

    def policy(self, log, witnesses, quorum=2, urls=None):
        lines = [f"log {log.log_vkey}"]
        for index, one in enumerate(witnesses):
            lines.append(f"witness {one.name} {one.vkey} {(urls or {}).get(one.name, one.url)}")
        lines += [f"group all-of-them {quorum} " + " ".join(one.name for one in witnesses), "quorum all-of-them"]
        path = self.folder / "policy.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def check_cosigned(self, note, log, witnesses):
        """Every line that should be there, in the bytes of the specification, and the log's own."""
        lines = signature_lines(note)
        self.assertEqual(set(lines), {log.log_vkey.split("+")[0]} | {one.vkey.split("+")[0] for one in witnesses})
        for one in witnesses:
            (raw,) = lines[one.vkey.split("+")[0]]
            at = cosigned(self.folder, note.split("\n\n")[0] + "\n", raw, one.vkey)
            self.assertLess(abs(at - time.time()), 600)

    def test_two_organisations_cosign_each_other(self):
        self.a.start("--log", self.b.log_vkey)
        self.b.start("--log", f"{self.a.db}.pub")
        for log, witness in ((self.a, self.b), (self.b, self.a)):
            policy = self.policy(log, [witness], 1)
            self.check_cosigned(must("witness", "ask", log.db, "--policy", policy), log, [witness])
            log.grow(3)
            out = self.folder / "cosigned"
            must("witness", "ask", log.db, "--policy", policy, "--out", out)
            self.check_cosigned(out.read_text(encoding="utf-8"), log, [witness])
            self.assertTrue(out.read_text(encoding="utf-8").startswith(log.head()), "the head itself is unchanged")
            status = json.loads(must("witness", "status", witness.state, "--json"))
            (known,) = [one for one in status["logs"] if one["origin"] == f"{log.name}.example/ledger"]
            self.assertEqual(known["size"], size_of(log.head()))
            self.assertEqual(known["conflicts"], [])
        for one in (self.a, self.b):
            code, log = one.stop()
            self.assertEqual(code, 0)
            self.assertEqual(log.count("witness.cosigned"), 2)

    def test_quorum_of_two_of_three(self):
        for one in self.all:
            one.start("--log", self.a.log_vkey)
        policy = self.policy(self.a, self.all)
        self.check_cosigned(must("witness", "ask", self.a.db, "--policy", policy), self.a, self.all)
        self.a.grow()
        self.c.stop(signal.SIGKILL)
        done = run("witness", "ask", self.a.db, "--policy", policy, "--timeout", 2)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_cosigned(done.stdout, self.a, (self.a, self.b))
        self.assertIn("witness=gamma", done.stderr)
        self.b.stop(signal.SIGKILL)
        self.a.grow()
        out = self.folder / "none"
        done = run("witness", "ask", self.a.db, "--policy", policy, "--timeout", 2, "--out", out)
        self.assertEqual(done.returncode, 75, done.stderr)
        self.assertFalse(out.exists())
        for name in ("beta: ", "gamma: "):
            self.assertIn(name, done.stderr)
        self.assertNotIn("alpha: ", done.stderr)
        self.b.start()
        self.c.start()
        self.check_cosigned(must("witness", "ask", self.a.db, "--policy", policy), self.a, self.all)
        # From here on the policy is the ledger's own.
        self.assertEqual(run("witness", "ask", self.a.db).returncode, 66)
        before = size_of(self.a.head())
        must("witness", "add-policy", self.a.db, policy)
        self.assertGreater(size_of(self.a.head()), before)
        self.check_cosigned(must("witness", "ask", self.a.db), self.a, self.all)
        must("witness", "add-policy", self.a.db, self.policy(self.a, [self.c], 1))
        self.check_cosigned(must("witness", "ask", self.a.db), self.a, [self.c])
        must("verify", self.a.db)

    def test_what_a_stranger_gets_from_a_witness(self):
        self.b.start("--log", self.a.log_vkey)
        head0 = self.a.head()
        self.a.grow(2)
        head2 = self.a.head()
        old, new = size_of(head0), size_of(head2)
        leaves = []
        for seq in range(new):
            must("prove", self.a.db, seq, "--out", self.folder / "proof")
            leaves.append(hashlib.sha256(b"\x00" + (self.folder / "proof.record").read_bytes()).digest())
        self.assertEqual(base64.b64encode(root(leaves)).decode(), head2.splitlines()[2])
        lines = "".join(base64.b64encode(one).decode() + "\n" for one in consistency(old, leaves))
        self.assertGreater(len(lines), 45)
        size = "text/x.tlog.size"
        rows = [
            ("not a request", "hello", 400, None),
            ("cut", f"old 0\n\n{head0}"[:-9], 400, None),
            ("not UTF-8", b"old 0\n\n\xff\xfe\n", 400, None),
            ("old above the size", f"old {old + 1}\n\n{head0}", 400, None),
            ("unknown log", f"old 0\n\n{self.c.head()}", 404, None),
            ("signature of another", "old 0\n\n" + "\n\n".join([head0.split("\n\n")[0], self.c.head().split("\n\n")[1]]), 403, None),
            ("no head cosigned yet", f"old {old}\n{lines}\n{head2}", 409, "0\n"),
            ("the first", f"old 0\n\n{head0}", 200, None),
            ("old is not the size cosigned", f"old 0\n\n{head2}", 409, f"{old}\n"),
            ("no proof", f"old {old}\n\n{head2}", 422, None),
            ("half a proof", f"old {old}\n{lines[:45]}\n{head2}", 422, None),
            ("a proof", f"old {old}\n{lines}\n{head2}", 200, None),
            ("the same again", f"old {new}\n\n{head2}", 200, None),
            ("back", f"old {old}\n\n{head0}", 409, f"{new}\n"),
        ]
        for what, body, status, answer in rows:
            with self.subTest(what):
                got = self.b.post(body)
                self.assertEqual(got[0], status, got)
                self.assertEqual(got[1] == size, status == 409, got)
                if answer:
                    self.assertEqual(got[2], answer)
                if status == 200:
                    self.check_cosigned(body.split("\n\n", 1)[1].split("\n\n")[0] + "\n\n" + head0.split("\n\n")[1] + got[2],
                                        self.a, [self.b])
        self.assertEqual(self.b.post("x" * (1 << 21))[0], 413)
        self.assertEqual(self.b.post("", "/elsewhere")[0], 404)
        for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS"):
            self.assertEqual(self.b.post("", method=method)[0], 405, method)
        self.assertEqual(self.b.post(f"old {new}\n\n{head2}")[0], 200, "it serves on")

    def test_one_connection_takes_many_requests(self):
        self.b.start("--log", self.a.log_vkey)
        connection = http.client.HTTPConnection("127.0.0.1", self.b.port, timeout=20)
        for old in [0] + [size_of(self.a.head())] * 7:
            connection.request("POST", "/add-checkpoint", f"old {old}\n\n{self.a.head()}".encode())
            answer = connection.getresponse()
            self.assertEqual((answer.status, len(answer.read().splitlines())), (200, 1))
            self.assertNotEqual(answer.getheader("Connection"), "close")
        connection.close()

    def add_licence(self, log):
        """Its id@version."""
        for name, role in (("demo-licensor", "licensor"), ("demo-studio", "licensee")):
            must("key", "new", name, "--role", role, "--out", log.folder / name)
            must("append", log.db, log.folder / f"{name}.pub")
        licence = log.folder / "a.licence"
        must("sign", LICENCE, "--key", log.folder / "demo-licensor.key", "--out", licence)
        must("sign", licence, "--key", log.folder / "demo-studio.key")
        must("append", log.db, licence)
        return must("query", log.db, "--sql", "SELECT ref FROM licence", "--csv").split()[1]

    def met(self, policy, proof):
        """Whether the head of a proof has the quorum, for code that shares none with ours."""
        try:
            proof_files.check_policy(policy.read_text(encoding="utf-8"), "\n\n".join(proof.split("\n\n")[-2:]))
        except proof_files.Refused:
            return False
        return True

    def test_proofs_are_checked_against_a_policy(self):
        for one in (self.b, self.c):
            one.start("--log", self.a.log_vkey)
        ref = self.add_licence(self.a)
        db, trust, head, out = self.a.db, f"{self.a.db}.pub", self.folder / "head", self.folder / "proof"
        policy = self.policy(self.a, [self.b, self.c])
        must("witness", "ask", db, "--policy", policy, "--out", head)
        rows = [
            ("proven", ("prove", db, "2", "--out", out)),
            ("proven", ("prove", db, "--range", "1:4", "--out", out)),
            ("proven", ("prove", db, "--present", "licence", ref, "--out", out)),
            ("proven", ("prove", db, "--absent", "clip", "ab" * 32, "--out", out)),
            ("proven", ("impact", db, ref.split("@", maxsplit=1)[0], "--proofs", out)),
            ("proven", ("impact", db, ref.split("@", maxsplit=1)[0], "--html", out)),
            ("disclosed", ("disclose", db, ref, "--field", "licence.valid_to", "--out", out)),
        ]
        for check, make in rows:
            for under, code in ((("--head", head), 0), ((), 1)):
                with self.subTest(make=make[2:], under=under):
                    must(*make, *under)
                    text = out.read_text(encoding="utf-8")
                    must(check, out, "--trust", trust)
                    done = run(check, out, "--trust", trust, "--policy", policy)
                    self.assertEqual(done.returncode, code, done.stderr)
                    if code == 0:
                        self.assertIn("cosigned by beta at ", done.stdout)
                        self.assertIn("cosigned by gamma at ", done.stdout)
                    else:
                        self.assertIn("lacks the quorum of the policy: no cosignature of beta, gamma", done.stderr)
                        self.assertEqual(done.stdout, "")
                    if "--html" not in make:
                        self.assertEqual(self.met(policy, text), code == 0)
                    if make[0] == "prove" and make[2] == "2":
                        record = pathlib.Path(f"{out}.record").read_bytes()
                        self.assertEqual(proof_files.check_tlog_proof(text, record, proof_files.log_key(trust))[0], 2)
                    elif make[0] != "impact":
                        proof_files.check(text, proof_files.log_key(trust))

    def test_a_policy_that_a_proof_does_not_meet(self):
        for one in (self.b, self.c):
            one.start("--log", self.a.log_vkey)
        db, trust, head, out = self.a.db, f"{self.a.db}.pub", self.folder / "head", self.folder / "proof"
        must("witness", "ask", db, "--policy", self.policy(self.a, [self.b], 1), "--out", head)
        must("prove", db, "0", "--head", head, "--out", out)
        good = out.read_text(encoding="utf-8")
        line = good.rstrip("\n").rsplit("\n", 1)[1]
        self.assertIn(self.b.vkey.split("+")[0], line)
        raw = bytearray(base64.b64decode(line.split(" ")[2]))
        raw[-1] ^= 1
        forged = good.replace(line.split(" ")[2], base64.b64encode(raw).decode())
        rows = [
            ("met", good, self.a, [self.b], 1, ""),
            ("any of two", good, self.a, [self.b, self.c], 1, ""),
            ("two of two", good, self.a, [self.b, self.c], 2, "no cosignature of gamma"),
            ("another witness", good, self.a, [self.c], 1, "no cosignature of gamma"),
            ("another log", good, self.b, [self.b], 1, "no log of the policy has signed it"),
            ("a forged line", forged, self.a, [self.b, self.c], 1, "lines that do not verify: beta"),
            ("a line taken out", good.replace(line + "\n", ""), self.a, [self.b], 1, "no cosignature of beta"),
        ]
        for what, text, log, witnesses, quorum, why in rows:
            with self.subTest(what):
                policy = self.policy(log, witnesses, quorum)
                out.write_text(text, encoding="utf-8")
                done = run("proven", out, "--trust", trust, "--policy", policy)
                self.assertEqual(done.returncode, 1 if why else 0, done.stderr)
                self.assertIn(why, done.stderr)
                self.assertEqual(self.met(policy, text), not why)

    def test_what_is_no_head_to_prove_under(self):
        self.b.grow()
        older = self.folder / "older"
        older.write_text(self.a.head(), encoding="utf-8")
        self.a.grow()
        db, other, out = self.a.db, f"{self.b.db}.head", self.folder / "proof"
        bad = self.folder / "bad"
        bad.write_text("hello\n", encoding="utf-8")
        rows = [
            (0, ("prove", db, "0", "--head", older)),
            (66, ("prove", db, "2", "--head", older)),
            (66, ("prove", db, "--absent", "clip", "ab" * 32, "--head", older)),
            (66, ("prove", db, "--range", "0:99")),
            (65, ("prove", db, "0", "--head", other)),
            (65, ("prove", db, "0", "--head", bad)),
            (66, ("prove", db, "0", "--head", self.folder / "none")),
            (2, ("prove", db, "0", "--approval", "--head", older)),
            (2, ("prove", db, "0", "--range", "0:1")),
            *((2, ("prove", db, "--range", text)) for text in ("1", "1:1", "2:1", "1:", ":1", "-1:2", "1:2:3", " 1:2")),
        ]
        for code, words in rows:
            with self.subTest(words):
                out.unlink(missing_ok=True)
                done = run(*words, "--out", out)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertEqual(out.exists(), code == 0)
        must("prove", db, "0", "--out", out)
        for code, words in ((65, ("--policy", bad)), (66, ("--policy", self.folder / "none")), (66, ("--record", self.folder / "none")),
                            (1, ("--record", bad))):
            done = run("proven", out, "--trust", f"{db}.pub", *words)
            self.assertEqual(done.returncode, code, done.stderr)

    def two_keys(self, log):
        """Enrols another key of the log, beside which the old one goes on; its public key file."""
        stem = log.folder / "next"
        must("key", "new", f"{log.name}.example/ledger", "--role", "log", "--out", stem)
        enrolment = log.folder / "enrolment.pub"
        must("sign", f"{stem}.pub", "--key", f"{log.db}.key", "--out", enrolment)
        must("sign", enrolment, "--key", f"{stem}.key")
        self.assertEqual(run("append", log.db, enrolment).returncode, 77)  # recorded; the head waits for the second key
        with open(f"{log.db}.key", "a", encoding="utf-8") as file:
            file.write(pathlib.Path(f"{stem}.key").read_text(encoding="utf-8"))
        must("sign-head", log.db)
        return pathlib.Path(f"{stem}.pub")

    def retire_the_first(self, log):
        retirement = log.folder / "old.retirement"
        must("key", "retire", log.db, log.log_vkey, "--key", log.folder / "next.key", "--out", retirement)
        must("append", log.db, retirement)

    def test_a_log_replaces_its_key(self):
        """In the order of docs/ledger.md every head is published; in another one the programs say what is missing."""
        self.b.start("--log", self.a.log_vkey, "--log", self.c.log_vkey)
        for log, in_order in ((self.a, True), (self.c, False)):
            with self.subTest(in_order=in_order):
                web, seen = log.folder / "www", log.folder / "seen"
                policy = self.policy(log, [self.b], 1)
                must("witness", "add-policy", log.db, policy)
                must("publish", log.db, web)
                follow = ("follow", web, "--state", seen, "--trust", f"{log.db}.pub", "--policy", policy)
                must(*follow)
                pub = self.two_keys(log)
                must("publish", log.db, web)
                must(*follow)
                next_vkey = pub.read_text(encoding="utf-8").split()[1]
                both = policy.read_text(encoding="utf-8").replace("\nwitness", f"\nlog {next_vkey}\nwitness", 1)
                if in_order:
                    must("witness", "add-log", self.b.state, pub)
                    policy.write_text(both, encoding="utf-8")
                    must("witness", "add-policy", log.db, policy)
                    must("publish", log.db, web)
                    must(*follow)
                    self.retire_the_first(log)
                else:
                    self.retire_the_first(log)
                    before = (web / "checkpoint").read_bytes()
                    for words in (("publish", log.db, web), ("witness", "ask", log.db)):
                        done = run(*words)
                        self.assertEqual(done.returncode, 78, done.stderr)
                        self.assertIn(f"names no key that this log has now; add the line: log {next_vkey}", done.stderr)
                    policy.write_text(both, encoding="utf-8")
                    must("witness", "add-policy", log.db, policy)
                    done = run("publish", log.db, web)
                    self.assertEqual(done.returncode, 75, done.stderr)
                    self.assertIn("beta: it knows this log by another key (403)", done.stderr)
                    self.assertEqual((web / "checkpoint").read_bytes(), before)
                    must("witness", "add-log", self.b.state, pub)
                must("publish", log.db, web)
                self.assertEqual(run(*follow).returncode, 1)  # who trusts the old key alone
                trust = pathlib.Path(f"{log.db}.pub")
                trust.write_text(trust.read_text(encoding="utf-8") + pub.read_text(encoding="utf-8"), encoding="utf-8")
                must(*follow)
                must("prove", log.db, "0", "--head", web / "checkpoint", "--out", log.folder / "proof")
                must("proven", log.folder / "proof", "--trust", pub, "--policy", policy)
                must("verify", log.db, "--trust", pub)

    def test_a_stolen_key_that_was_retired_gets_no_cosignature(self):
        """Else its thief has one record more cosigned, and the log is locked out of its quorum."""
        self.b.start("--log", self.a.log_vkey)
        stolen, web = self.a.folder / "stolen.key", self.a.folder / "www"
        shutil.copy(f"{self.a.db}.key", stolen)
        policy = self.policy(self.a, [self.b], 1)
        must("witness", "add-policy", self.a.db, policy)
        must("publish", self.a.db, web)
        pub = self.two_keys(self.a)
        next_vkey = pub.read_text(encoding="utf-8").split()[1]
        must("witness", "add-log", self.b.state, pub)
        policy.write_text(policy.read_text(encoding="utf-8").replace("\nwitness", f"\nlog {next_vkey}\nwitness", 1), encoding="utf-8")
        must("witness", "add-policy", self.a.db, policy)
        self.retire_the_first(self.a)
        must("publish", self.a.db, web)
        # The thief has the published log and the key: here for the head itself, and no less for one of records of his own.
        (self.folder / "text").write_text(self.a.head().split("\n\n")[0] + "\n", encoding="utf-8")
        must("sign", self.folder / "text", "--key", stolen, "--out", self.folder / "forged")
        forged = f"old {size_of(self.a.head())}\n\n" + (self.folder / "forged").read_text(encoding="utf-8")
        self.assertEqual(self.b.post(forged)[0], 200)
        self.assertIn("counts no more", must("witness", "remove-log", self.b.state, self.a.log_vkey))
        self.assertEqual(self.b.post(forged)[0], 403)
        for word, code, says in ((self.a.log_vkey, 66, "has no key"), (pub, 2, "add the one that replaces it first"), ("nonsense", 65, "")):
            done = run("witness", "remove-log", self.b.state, word)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(says, done.stderr)
        # A unit file that names the old key for ever does not bring it back.
        self.b.stop()
        self.b.start("--log", self.a.log_vkey)
        self.assertEqual(json.loads(must("witness", "status", self.b.state, "--json"))["logs"][0]["removed_keys"], [self.a.log_vkey])
        self.assertEqual(self.b.post(forged)[0], 403)
        self.a.grow()
        must("publish", self.a.db, web)

    def test_a_fork_is_refused_and_kept_as_evidence(self):
        self.b.start("--log", self.a.log_vkey)
        policy = self.policy(self.a, [self.b], 1)
        self.a.grow(2)
        shutil.copytree(self.a.folder, self.folder / "backup")
        self.a.grow(2)
        must("witness", "ask", self.a.db, "--policy", policy)
        ours = self.a.head()
        # The administrator puts the old file back and writes another history over the same numbers.
        shutil.rmtree(self.a.folder)
        shutil.copytree(self.folder / "backup", self.a.folder)
        rows = [(0, f"{size_of(ours)} records already"), (2, "another root"), (1, "(422)")]
        for more, why in rows:
            if more:
                self.a.grow(more)
            with self.subTest(why):
                done = run("witness", "ask", self.a.db, "--policy", policy)
                self.assertEqual(done.returncode, 65, done.stderr)
                self.assertIn(why, done.stderr)
                self.assertEqual(done.stdout, "")
        self.assertEqual(self.b.stop()[1].count("witness.fork"), 2)
        done = run("witness", "status", self.b.state, "--json")
        self.assertEqual(done.returncode, 1)
        (log,) = json.loads(done.stdout)["logs"]
        self.assertTrue(log["note"].startswith(ours.split("\n\n")[0]))
        (other,) = log["conflicts"]
        self.assertEqual(other.splitlines()[:2], ours.splitlines()[:2], "same log, same size")
        self.assertNotEqual(other.splitlines()[2], ours.splitlines()[2], "another root")
        self.assertEqual(run("witness", "status", self.b.state).returncode, 1)

    def test_restarts_kills_and_second_processes(self):
        self.b.start("--log", self.a.log_vkey)
        self.assertEqual(self.b.post(f"old 0\n\n{self.a.head()}")[0], 200)
        done = run("witness", "serve", self.b.state, "--key", self.b.key, "--listen", "127.0.0.1:0")
        self.assertEqual(done.returncode, 75, done.stderr)
        done = run("witness", "serve", self.c.state, "--key", self.c.key, "--listen", f"127.0.0.1:{self.b.port}")
        self.assertEqual(done.returncode, 74, done.stderr)
        self.b.stop(signal.SIGKILL)
        self.b.start()
        self.assertEqual(self.b.post(f"old 0\n\n{self.a.head()}")[1:], ("text/x.tlog.size", f"{size_of(self.a.head())}\n"))
        must("witness", "add-log", self.b.state, self.c.log_vkey)
        self.assertEqual(self.b.post(f"old 0\n\n{self.c.head()}")[0], 200, "added while it serves")
        self.assertEqual(self.b.stop(signal.SIGINT)[0], 0)

    def test_bad_command_lines_and_files(self):
        (self.folder / "broken.db").write_text("hello", encoding="utf-8")
        (self.folder / "bad-policy").write_text("quorum nobody\n", encoding="utf-8")
        serve = ("witness", "serve", self.b.state, "--key", self.b.key)
        rows = [
            (2, ("witness",)),
            (2, ("witness", "serve", self.b.state)),
            (2, (*serve, "--listen", "8080")),
            (2, (*serve, "--listen", "127.0.0.1:")),
            (2, (*serve, "--listen", "127.0.0.1:65536")),
            (2, (*serve, "--listen", "127.0.0.1:http")),
            (74, (*serve, "--listen", "203.0.113.1:0")),
            (65, (*serve, "--log", "no-key")),
            (2, (*serve, "--log", self.a.vkey)),
            (2, (*serve, "--log", self.a.folder / "witness.pub")),
            (66, ("witness", "serve", self.folder / "none.db", "--key", self.b.key)),
            (65, ("witness", "serve", self.folder / "broken.db", "--key", self.b.key)),
            (65, ("witness", "serve", self.b.db, "--key", self.b.key)),
            (77, ("witness", "serve", self.b.state, "--key", self.a.key)),
            (74, ("witness", "init", self.b.state, "--key", self.b.key)),
            (2, ("witness", "init", self.folder / "new.db", "--key", f"{self.a.db}.key")),
            (66, ("witness", "status", self.folder / "none.db")),
            (66, ("witness", "ask", self.a.db, "--policy", self.folder / "none")),
            (65, ("witness", "ask", self.a.db, "--policy", self.folder / "bad-policy")),
            (78, ("witness", "ask", self.a.db, "--policy", self.policy(self.b, [self.b], 1))),
            (65, ("witness", "add-policy", self.a.db, self.folder / "bad-policy")),
            (78, ("witness", "add-policy", self.a.db, self.policy(self.b, [self.b], 1))),
        ]
        for code, words in rows:
            with self.subTest(" ".join(map(str, words))):
                done = run(*words)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertTrue(done.stderr)
        self.assertFalse((self.folder / "none.db").exists())
        self.assertFalse((self.folder / "new.db").exists())

    def test_witnesses_that_answer_badly(self):
        a_key = "\u2014 " + self.b.vkey.split("+")[0] + " " + base64.b64encode(key_id(self.b.vkey) + bytes(72)).decode() + "\n"
        rows = [
            ("an empty answer", 200, "text/plain", b"", "not made of signature lines"),
            ("a page", 200, "text/html", b"<html>", "not made of signature lines"),
            ("a forged line", 200, "text/plain", a_key.encode(), "no cosignature of its key"),
            ("an endless answer", 200, "text/plain", b"x" * (1 << 17), "longer than"),
            ("409 for ever", 409, "text/x.tlog.size", b"0\n", "(409)"),
            ("a larger tree", 409, "text/x.tlog.size", b"99\n", "99 records already"),
            ("a 409 of something else", 409, "text/html", b"99\n", "names no size"),
            ("a redirect", 302, "text/plain", b"", "status 302"),
            ("an error", 503, "text/plain", b"", "status 503"),
        ]
        for what, status, content_type, body, why in rows:
            with self.subTest(what), Stub(status, content_type, body) as stub:
                policy = self.policy(self.a, [self.b], 1, {"beta": stub.url + "/prefix/"})
                done = run("witness", "ask", self.a.db, "--policy", policy)
                self.assertEqual(done.returncode, 65 if "already" in why else 75, done.stderr)
                self.assertIn(why, done.stderr)
                self.assertEqual(stub.requests[0][0], "/prefix/add-checkpoint")
                self.assertEqual(stub.requests[0][1].decode(), f"old 0\n\n{self.a.head()}")
        done = run("witness", "ask", self.a.db, "--policy", self.policy(self.a, [self.b], 1, {"beta": "ftp://127.0.0.1/"}))
        self.assertEqual(done.returncode, 75, done.stderr)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            policy = self.policy(self.a, [self.b], 1, {"beta": f"http://127.0.0.1:{silent.getsockname()[1]}"})
            done = run("witness", "ask", self.a.db, "--policy", policy, "--timeout", 1)
            self.assertEqual(done.returncode, 75, done.stderr)
            self.assertIn("within 1 s", done.stderr)

    def test_tls_is_checked(self):
        for name, subject in (("right", "IP:127.0.0.1"), ("wrong", "DNS:elsewhere.example")):
            done = openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", self.folder / f"{name}.key",
                           "-out", self.folder / f"{name}.pem", "-subj", "/CN=test", "-addext", f"subjectAltName={subject}")
            self.assertEqual(done.returncode, 0, done.stderr)
        rows = [("right", "right", "status 503"), ("right", "wrong", "certificate"), ("wrong", "wrong", "certificate")]
        for served, trusted, why in rows:
            with self.subTest(served=served, trusted=trusted), Stub(503, "text/plain", b"") as stub:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.folder / f"{served}.pem", self.folder / f"{served}.key")
                stub.socket = context.wrap_socket(stub.socket, server_side=True)
                policy = self.policy(self.a, [self.b], 1, {"beta": stub.url.replace("http:", "https:")})
                done = run("witness", "ask", self.a.db, "--policy", policy, SSL_CERT_FILE=str(self.folder / f"{trusted}.pem"))
                self.assertEqual(done.returncode, 75, done.stderr)
                self.assertIn(why, done.stderr)


if __name__ == "__main__":
    LEDGER = sys.argv.pop(1)
    unittest.main(verbosity=2)

#!/usr/bin/env python3
"""`ledger prove --present/--absent/--range`, `disclose` and `erase` from outside: their files are read by proof_files.py, which shares no code with
us, and the intervals checked by Go's sumdb/tlog.

    proof_files_test.py LEDGER LICENCE_TEXT FOLDER      the Go program is built in FOLDER
"""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import proof_files

LEDGER, LICENCE, BUILD = "", "", ""
HERE = pathlib.Path(__file__).resolve().parent
KEYS = 40


def run(*command, text=None):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, input=text)


def must(*command):
    done = run(*command)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}: {done.stderr}")
    return done.stdout


class ProofFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """One ledger, of which each test gets a copy."""
        cls.base = tempfile.TemporaryDirectory()
        cls.fill(pathlib.Path(cls.base.name))

    @classmethod
    def tearDownClass(cls):
        cls.base.cleanup()

    def setUp(self):
        self.top = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.top.name)
        shutil.copytree(self.base.name, self.folder, dirs_exist_ok=True)
        self.db = self.folder / "ledger.db"
        self.ref = must(LEDGER, "query", self.db, "--sql", "SELECT ref FROM licence", "--csv").split()[1]
        self.log = proof_files.log_key(f"{self.db}.pub")

    @staticmethod
    def fill(folder):
        db = folder / "ledger.db"
        must(LEDGER, "init", db, "--origin", "test.example/ledger")
        for name, role in [("demo-licensor", "licensor"), ("demo-studio", "licensee"), *((f"c{n}", "curator") for n in range(KEYS))]:
            must(LEDGER, "key", "new", name, "--role", role, "--out", folder / name)
        licence = folder / "a.licence"
        # Above SQLite's page, so that it is spread over several.
        text = pathlib.Path(LICENCE).read_text(encoding="utf-8") + "# as agreed in confidence\n" * 1000
        (folder / "text").write_text(text, encoding="utf-8")
        must(LEDGER, "sign", folder / "text", "--key", folder / "demo-licensor.key", "--out", licence)
        must(LEDGER, "sign", licence, "--key", folder / "demo-studio.key")
        keys = [path for path in folder.glob("*.pub") if path.name != "ledger.db.pub"]
        must(LEDGER, "append", db, *keys, licence)
        (folder / "text").unlink()
        licence.unlink()

    def tearDown(self):
        self.top.cleanup()

    def state_proof(self, how, kind, name):
        out = self.folder / "proof"
        must(LEDGER, "prove", self.db, f"--{how}", kind, name, "--out", out)
        self.assertEqual(run(LEDGER, "proven", out, "--trust", f"{self.db}.pub").returncode, 0)
        return out.read_text(encoding="utf-8")

    def asked(self):
        vkey = pathlib.Path(f"{self.db}.pub").read_text(encoding="utf-8").split()[-1]
        licence = self.ref.split("@", maxsplit=1)[0]
        return [("present", "licence", self.ref), ("present", "key", vkey), ("absent", "revocation", licence), ("absent", "clip", "ab" * 32),
                ("absent", "erasure", self.ref), ("absent", "checkpoint", "nano-0123456789abcdef@100"), ("absent", "sample", "ab" * 32),
                ("absent", "revocation", "sha256:" + "ab" * 32)]

    def test_others_read_our_state_proofs(self):
        for how, kind, name in self.asked():
            said = proof_files.check(self.state_proof(how, kind, name), self.log)
            self.assertIn(f"{how}: {kind} ", said)

    def test_others_read_our_range_proofs(self):
        size = int(pathlib.Path(f"{self.db}.head").read_text(encoding="utf-8").split("\n")[1])
        for begin, end in [(0, 1), (0, size), (size - 1, size), (5, 9), (7, 8), (12, 40)]:
            out = self.folder / "range"
            must(LEDGER, "prove", self.db, "--range", f"{begin}:{end}", "--out", out)
            self.assertEqual(proof_files.check(out.read_text(encoding="utf-8"), self.log), f"records {begin} to {end - 1} of {size}")
            said = must(LEDGER, "proven", out, "--trust", f"{self.db}.pub")
            self.assertIn(f"records {begin} to {end - 1} are in the log test.example/ledger; tree head {size} ", said)
            told = json.loads(must(LEDGER, "proven", out, "--trust", f"{self.db}.pub", "--json"))
            self.assertEqual(([row["record"] for row in told["records"]], told["head"]["size"]), (list(range(begin, end)), size))

    def test_the_other_answer_is_exit_1(self):
        for how, kind, name in self.asked():
            other = "absent" if how == "present" else "present"
            done = run(LEDGER, "prove", self.db, f"--{other}", kind, name, "--out", self.folder / "x")
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertFalse((self.folder / "x").exists())

    def test_an_absence_of_what_names_nothing_is_no_proof(self):
        """What PATTERN@1 names is not absent because nothing is called PATTERN."""
        good = self.state_proof("absent", "erasure", self.ref)
        licence = self.ref.split("@", maxsplit=1)[0]
        for kind, name in [("licence", licence), ("erasure", licence), ("key", "c1"), ("retirement", "c1"), ("refusal", "2026-12/stray.mp4"),
                           ("run", "nano"), ("checkpoint", "nano@100"), ("policy", "01"), ("revocation", self.ref)]:
            for how in ("absent", "present"):
                done = run(LEDGER, "prove", self.db, f"--{how}", kind, name, "--out", self.folder / "x")
                self.assertEqual(done.returncode, 1 if (how, kind) == ("present", "refusal") else 2, f"{how} {kind} {name}: {done.stderr}")
            # Made by hand, as another program, or the one before, would: the id is what the proof is about, so it is for readers to refuse it.
            bad = good.replace(f"absent erasure\nid {self.ref}\n", f"absent {kind}\nid {name}\n")
            (self.folder / "bad").write_text(bad, encoding="utf-8")
            done = run(LEDGER, "proven", self.folder / "bad", "--trust", f"{self.db}.pub")
            self.assertEqual(done.returncode, 1, kind)
            self.assertNotIn("intervals", done.stderr)
            with self.assertRaises(proof_files.Refused, msg=kind):
                proof_files.check(bad, self.log)

    def test_every_changed_byte_is_refused_by_both(self):
        must(LEDGER, "disclose", self.db, self.ref, "--field", "licence.valid_to", "--out", self.folder / "d")
        disclosure = (self.folder / "d").read_bytes()
        state = self.state_proof("absent", "erasure", self.ref).encode()
        must(LEDGER, "prove", self.db, "--range", "3:5", "--out", self.folder / "r")
        span = (self.folder / "r").read_bytes()
        for command, good in [("disclosed", disclosure), ("proven", state), ("proven", span)]:
            # What is asked about may be changed to something else that is absent too: a true statement.
            first = good.find(b"\nrun ") if good == state else 0
            for at in range(first, len(good)):
                bad = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
                with self.assertRaises((proof_files.Refused, UnicodeDecodeError, KeyError, ValueError), msg=f"{command} byte {at}"):
                    proof_files.check(bad.decode(), self.log)
                if at % 40 == 0:  # ours was tried on every byte in subject_proof_test.cpp and disclosure_test.cpp
                    (self.folder / "bad").write_bytes(bad)
                    self.assertEqual(run(LEDGER, command, self.folder / "bad", "--trust", f"{self.db}.pub").returncode, 1)

    def test_go_takes_the_intervals(self):
        program = pathlib.Path(BUILD) / "interval-peer"
        environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOPROXY": "off", "CGO_ENABLED": "0",
                       "GOCACHE": f"{BUILD}/.go-cache"}
        built = subprocess.run(["go", "build", "-o", program, "main.go"], cwd=HERE / "interval_peer", env=environment, capture_output=True,
                               text=True, check=False)
        self.assertEqual(built.returncode, 0, built.stderr)
        lines, expected = [], []
        for how, kind, name in self.asked():
            top = self.state_proof(how, kind, name).split("\n\n")[0].split("\n")
            words = [line.split(" ", 1) for line in top]
            value = {word[0]: word[1] for word in words if word[0] != "sibling"}
            siblings = [word[1] for word in words if word[0] == "sibling"]
            state = proof_files.fact_of(base64.b64decode(value["state"]), 18)
            runs = [dict(proof_files.fields(content)) for number, content in state if number == 2]
            self.assertEqual(len(runs), 1)
            root = base64.b64encode(runs[0][2]).decode()
            good = [str(runs[0][1] + 1), root, value["index"], value["leaf"], *siblings]
            lines += [" ".join(good), " ".join(good[:-1]), " ".join([*good[:2], str(int(value["index"]) ^ 1), *good[3:]])]
            expected += ["yes", "no", "no"]
        done = run(program, text="\n".join(lines) + "\n")
        self.assertEqual(done.stdout.split(), expected)

    def test_others_read_our_disclosures(self):
        for path in must(LEDGER, "disclose", self.db, self.ref, "--list").split():
            must(LEDGER, "disclose", self.db, self.ref, "--field", path, "--out", self.folder / "d")
            text = (self.folder / "d").read_text(encoding="utf-8")
            said = proof_files.check(text, self.log)
            self.assertIn(f"{path}: ", said)
            printed = run(LEDGER, "disclosed", self.folder / "d", "--trust", f"{self.db}.pub")
            self.assertEqual(printed.returncode, 0)
            self.assertIn(f"{path}: {text.split(chr(10))[2][6:]}", printed.stdout)
            told = json.loads(must(LEDGER, "disclosed", self.folder / "d", "--trust", f"{self.db}.pub", "--json"))
            self.assertEqual((told["licence"], told["field"]), (self.ref, path))
        done = run(LEDGER, "disclose", self.db, self.ref, "--field", "none", "--out", self.folder / "x")
        self.assertEqual(done.returncode, 66)

    def test_erasing_leaves_nothing_but_the_record(self):
        def folder_holds(what):
            return any(what in path.read_bytes() for path in self.folder.iterdir() if path.is_file())

        secret = b"as agreed in confidence"
        salt = must(LEDGER, "query", self.db, "--sql", "SELECT hex(salt) FROM document", "--csv").split()[1]
        self.assertTrue(folder_holds(secret) and folder_holds(bytes.fromhex(salt)))
        before = must(LEDGER, "erase", self.db, self.ref, "--reason", "asked for", "--dry-run")
        self.assertIn("would be lost", before)
        self.assertTrue(folder_holds(secret))
        self.assertIn("erased", must(LEDGER, "erase", self.db, self.ref, "--reason", "asked for"))
        self.assertFalse(folder_holds(secret))
        self.assertFalse(folder_holds(bytes.fromhex(salt)))
        must(LEDGER, "verify", self.db)
        self.assertIn("present: erasure", proof_files.check(self.state_proof("present", "erasure", self.ref), self.log))
        self.assertEqual(run(LEDGER, "disclose", self.db, self.ref, "--list").returncode, 66)
        self.assertIn("erased before", must(LEDGER, "erase", self.db, self.ref, "--reason", "again"))

    def test_erasing_one_version_names_the_others(self):
        licence, _ = self.ref.split("@")
        text = pathlib.Path(LICENCE).read_text(encoding="utf-8").replace("version: 1", f'version: 2\n  supersedes: "{self.ref}"', 1)
        (self.folder / "text").write_text(text, encoding="utf-8")
        second = self.folder / "b.licence"
        must(LEDGER, "sign", self.folder / "text", "--key", self.folder / "demo-licensor.key", "--out", second)
        must(LEDGER, "sign", second, "--key", self.folder / "demo-studio.key")
        must(LEDGER, "append", self.db, second)
        kept = f"still in this file: the document of {self.ref}; ledger erase {self.db} {self.ref}\n"
        for more in (["--dry-run"], [], []):
            self.assertIn(kept, must(LEDGER, "erase", self.db, licence, "--reason", "asked for", *more))
        self.assertNotIn("still in this file", must(LEDGER, "erase", self.db, self.ref, "--reason", "asked for"))

    def test_what_was_erased_without_the_logs_key_is_signed_by_the_next_run(self):
        key = self.folder / "ledger.db.key"
        key.rename(self.folder / "elsewhere")
        self.assertIn("tree head not signed", must(LEDGER, "erase", self.db, self.ref, "--reason", "asked for"))
        (self.folder / "elsewhere").rename(key)
        self.assertRegex(must(LEDGER, "erase", self.db, self.ref, "--reason", "asked for"), r"erased before\ntree head \d+ ")
        self.assertIn("present: erasure", proof_files.check(self.state_proof("present", "erasure", self.ref), self.log))

    def test_usage(self):
        for command in [["prove", self.db, "--out", "x"], ["prove", self.db, "3", "--absent", "clip", "ab" * 32, "--out", "x"],
                        ["prove", self.db, "--absent", "clips", "ab" * 32, "--out", "x"], ["prove", self.db, "--absent", "clip", "ab", "--out", "x"],
                        ["prove", self.db, "--absent", "revocation", self.ref, "--out", "x"], ["disclose", self.db, self.ref],
                        ["erase", self.db, self.ref]]:
            self.assertEqual(run(LEDGER, *command).returncode, 2, command)
        for command in ("disclosed", "proven"):
            done = run(LEDGER, command, f"{self.db}.pub", "--trust", self.folder / "c1.pub")
            self.assertEqual(done.returncode, 65, command)
            self.assertRegex(done.stderr, r"^ledger: \S*c1\.pub: holds no line \"log VKEY\"\n$")


if __name__ == "__main__":
    LEDGER, LICENCE, BUILD = sys.argv[1:]
    unittest.main(argv=sys.argv[:1], verbosity=2)

#!/usr/bin/env python3
"""Proofs made by `ledger prove`, checked by tlog-verify: Go code of others, built here from Debian's packages. What it answers `ledger
proven` must answer, too.

    prove_test.py LEDGER TLOG_VERIFY_BUILD_SH FOLDER      the verifier is built in FOLDER
"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

LEDGER, BUILD, BUILD_FOLDER = "", "", ""
KEYS = 11
RECORDS = KEYS + 3  # the log's own key, and the state that each of two tree heads says: a tree that is not complete


def must(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}: {done.stderr}")
    return done.stdout


class Prove(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.top.name)
        cls.verifier = pathlib.Path(BUILD_FOLDER) / "tlog-verify"
        must(BUILD, cls.verifier)
        cls.db = cls.folder / "ledger.db"
        must(LEDGER, "init", cls.db, "--origin", "test.example/ledger")
        keys = [cls.folder / f"key{n}" for n in range(KEYS)]
        for key in keys:
            must(LEDGER, "key", "new", key.name, "--role", "licensor", "--out", key)
        must(LEDGER, "append", cls.db, *(f"{key}.pub" for key in keys))

    @classmethod
    def tearDownClass(cls):
        cls.top.cleanup()

    def prove(self, what):
        proof = self.folder / f"{what}.tlog-proof"
        must(LEDGER, "prove", self.db, what, "--out", proof)
        return proof, pathlib.Path(f"{proof}.record")

    def verify(self, proof, record):
        done, ours = (subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
                      for words in ([self.verifier, f"{self.db}.pub", proof, record],
                                    [LEDGER, "proven", proof, "--record", record, "--trust", f"{self.db}.pub"]))
        self.assertEqual(ours.returncode, done.returncode, ours.stderr + done.stderr)
        return done

    def test_every_record_is_found(self):
        for seq in range(RECORDS):
            done = self.verify(*self.prove(str(seq)))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"ok: record {seq} is in test.example/ledger at size {RECORDS},", done.stdout)

    def test_the_record_of_another_place_is_not(self):
        proof, _ = self.prove("3")
        _, record = self.prove("4")
        self.assertEqual(self.verify(proof, record).returncode, 1)

    def test_every_changed_byte_of_the_record_is_seen(self):
        proof, record = self.prove("5")
        good = record.read_bytes()
        self.assertGreater(len(good), 40)
        for at in range(len(good)):
            record.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
            self.assertEqual(self.verify(proof, record).returncode, 1, f"byte {at}")

    def test_every_changed_line_of_the_proof_is_seen(self):
        proof, record = self.prove("5")
        lines = proof.read_text(encoding="utf-8").split("\n")[:-1]
        for at, line in enumerate(lines):
            bad = lines[:at] + ([] if line else ["x"]) + lines[at + 1 :]
            proof.write_text("\n".join(bad) + "\n", encoding="utf-8")
            self.assertEqual(self.verify(proof, record).returncode, 1, f"without line {at + 1}: {line}")

    def test_a_record_that_is_not_there_is_not_found(self):
        done = subprocess.run([LEDGER, "prove", self.db, "99", "--out", self.folder / "x"], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 66, done.stderr)


if __name__ == "__main__":
    LEDGER, BUILD, BUILD_FOLDER = sys.argv[1:]
    unittest.main(argv=sys.argv[:1], verbosity=2)

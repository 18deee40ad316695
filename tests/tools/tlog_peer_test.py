#!/usr/bin/env python3
"""Our notes, keys, proofs and tiles against those of the Go team's packages, both ways: thousands of generated cases, good
and damaged, that both sides must answer alike.

    tlog_peer_test.py OURS BUILD_SH FOLDER      OURS: tlog_peer, built from peer.cpp; the Go half is built in FOLDER
"""
import json
import pathlib
import subprocess
import sys
import unittest

OURS, BUILD, BUILD_FOLDER = "", "", ""
SEED = "4"


def must(*command, given=None):
    done = subprocess.run([str(word) for word in command], input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}: {done.stderr[:2000]}")
    return done.stdout


class Peers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.theirs = pathlib.Path(BUILD_FOLDER) / "tlog_peer.go"
        must(BUILD, cls.theirs)
        cls.cases = {program: must(program, "write", SEED) for program in (OURS, cls.theirs)}

    def both_ways(self, writer, checker):
        cases = self.cases[writer]
        lines = [json.loads(line) for line in cases.splitlines()]
        self.assertIn(f"{len(lines)} cases agree", must(checker, "check", given=cases))
        for kind in ("note", "inclusion", "consistency"):  # a check that is always yes, or no, would say little
            good = [case["good"] for case in lines if case["kind"] == kind]
            self.assertGreater(good.count(True), len(good) // 20, kind)
            self.assertGreater(good.count(False), len(good) // 20, kind)
        return lines

    def test_what_we_write_they_read(self):
        self.assertGreater(len(self.both_ways(OURS, self.theirs)), 3000)

    def test_what_they_write_we_read(self):
        self.assertGreater(len(self.both_ways(self.theirs, OURS)), 3000)

    def test_a_wrong_answer_is_found(self):
        for writer, checker in ((OURS, self.theirs), (self.theirs, OURS)):
            lines = self.cases[writer].splitlines()
            for kind in ("note", "inclusion", "consistency"):
                case = next(found for found in map(json.loads, lines) if found["kind"] == kind)
                case["good"] = not case["good"]
                done = subprocess.run([checker, "check"], input=json.dumps(case) + "\n", capture_output=True, text=True,
                                      check=False)
                self.assertEqual(done.returncode, 1, kind)


if __name__ == "__main__":
    OURS, BUILD, BUILD_FOLDER = sys.argv[1:]
    unittest.main(argv=sys.argv[:1], verbosity=2)

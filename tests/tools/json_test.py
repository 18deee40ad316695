#!/usr/bin/env python3
"""Every command of `ledger` takes --json; those that write say in one object, alone on stdout, what they wrote.

    json_test.py LEDGER CONFIG      configs/nano.textproto
"""
import base64
import hashlib
import json
import pathlib
import re
import signal
import subprocess
import sys
import unittest

import approval_test
from approval_test import message, sha256

# Commands that write nothing into a ledger or for somebody else, and publish and follow, whose objects are described in docs/publish.md.
OTHERS = {"show", "log", "query", "why", "history", "proven", "disclosed", "verify", "status", "publish", "follow", "bench", "approved", "rules",
          "licence check", "licence diff", "why-not", "due", "impact", "statement", "witness status"}
WITHOUT = {}  # command: why it has no --json


def run(*words, folder=None):
    return subprocess.run([approval_test.LEDGER, *map(str, words)], capture_output=True, text=True, check=False, cwd=folder)


def commands(*above):
    """Each command without commands of its own, and its --help."""
    text = run(*above, "--help").stdout
    names = re.findall(r"^  (\S+) ", text.partition("\nSubcommands:\n")[2].partition("\n\n")[0], re.MULTILINE)
    if not names:
        yield " ".join(above), text
    for name in names:
        yield from commands(*above, name)


class Written(approval_test.Ledger):
    def setUp(self):
        super().setUp()
        self.used = set()

    def written(self, *words, code=0):
        """The object of a command that ended so, held against the files that it names and the published head."""
        done = run(*words, "--json", folder=self.folder)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        out = json.loads(done.stdout)
        self.used.add(" ".join(map(str, words[:2] if words[0] in ("key", "witness") else words[:1])))
        self.assertLessEqual({"dry_run", "records", "files", "head"}, out.keys())
        for file in out["files"]:
            data = (self.folder / file["path"]).read_bytes()
            self.assertEqual((file["sha256"], file["bytes"]), (hashlib.sha256(data).hexdigest(), len(data)), words)
        for record in out["records"]:
            self.assertEqual(record.keys(), {"what", "first", "added", "present"})
            self.assertEqual(record["first"] is None, record["added"] == 0, words)
        if out["head"] is not None and words[0] not in ("init", "witness"):
            origin, size, root = pathlib.Path(f"{self.db}.head").read_text(encoding="utf-8").splitlines()[:3]
            self.assertEqual(out["head"], {"origin": origin, "size": int(size), "root": base64.b64decode(root).hex()}, words)
        return out

    def records(self):
        return json.loads(run("status", self.db, "--json").stdout)["records"]

    def bundle(self, *facts):
        data = message(*((1, fact) for fact in facts))
        path = self.folder / f"{sha256(data).hex()}.bundle"
        path.write_bytes(data)
        return path

    def witness(self):
        """Starts one, has it cosign the newest head, and ends it."""
        key = self.written("key", "new", "w", "--role", "witness", "--out", "keys/w")["key"]
        self.assertEqual(self.written("witness", "init", "w.state", "--key", "keys/w.key")["witness"], key)
        self.assertTrue(self.written("witness", "add-log", "w.state", "ledger.db.pub")["logs"][0]["added"])
        origin = (self.folder / "ledger.db.pub").read_text(encoding="utf-8").split()[1].partition("+")[0]
        self.ledger("key", "new", origin, "--role", "log", "--out", "keys/later")
        self.written("witness", "add-log", "w.state", "keys/later.pub")
        self.assertTrue(self.written("witness", "remove-log", "w.state", "keys/later.pub")["logs"][0]["removed"])
        self.used.add("witness serve")
        with subprocess.Popen([approval_test.LEDGER, "witness", "serve", "w.state", "--key", "keys/w.key", "--listen", "127.0.0.1:0", "--json"],
                              cwd=self.folder, stdout=subprocess.PIPE, text=True) as server:
            lines = []
            while lines[-1:] not in (["}\n"], [""]):
                lines.append(server.stdout.readline())
            url = json.loads("".join(lines))["listening"]
            log = (self.folder / "ledger.db.pub").read_text(encoding="utf-8").split()[1]
            (self.folder / "policy").write_text(f"log {log}\nwitness w {key} {url}\nquorum w\n", encoding="utf-8")
            told = self.written("witness", "add-policy", self.db, "policy")
            self.assertEqual((told["records"][0]["added"], told["quorum"]), (1, "w"))
            told = self.written("witness", "ask", self.db, "--out", "cosigned")
            self.assertEqual(([one["witness"] for one in told["cosigned"]], told["note"]),
                             (["w"], (self.folder / "cosigned").read_text(encoding="utf-8")))
            server.send_signal(signal.SIGTERM)
            server.wait(20)

    def review(self, clip):
        self.ledger("append", self.db, self.bundle(message((26, message((1, bytes.fromhex(clip)), (2, "face"), (3, "1 face"), (4, "a detector"))))))
        self.ledger("review", self.db, "--form", "form")
        self.ledger("sign", "form", "--key", "keys/ann.key", "--out", "a.review")
        told = self.written("review", self.db, "--take", "a.review")
        self.assertEqual((told["decided"], told["released"], told["records"][0]["added"]), (1, 0, 1))

    def test_every_command_that_writes_says_what(self):
        weights = self.make_weights()
        _, clips, root = approval_test.shard_bundle()
        self.assertEqual(self.written("init", "other.db", "--origin", "other.example/log")["head"]["size"], 2)
        told = self.written("key", "new", "zoe", "--role", "approver", "--out", "keys/zoe")
        self.assertEqual((self.folder / "keys/zoe.pub").read_text(encoding="utf-8"), f"approver {told['key']}\n")

        before = self.records()
        told = self.written("append", self.db, "keys/zoe.pub")
        self.assertEqual(told["records"], [{"what": "keys/zoe.pub", "first": before, "added": 1, "present": 0}])
        self.assertEqual(told["head"]["size"], self.records())
        self.assertEqual(self.written("append", self.db, "keys/zoe.pub")["records"][0]["first"], None)
        # What was appended before an error is told, too, and so is the refusal.
        self.ledger("key", "new", "yan", "--role", "curator", "--out", "keys/yan")
        (self.folder / "bad.licence").write_text("licence {\n", encoding="utf-8")
        told = self.written("append", self.db, "keys/yan.pub", "bad.licence", code=65)
        self.assertEqual([r["what"] for r in told["records"]], ["keys/yan.pub", "refusal"])
        self.assertEqual(told["refused"]["rule"], "licence_invalid")
        self.assertEqual(run("append", self.db, "nothing.pub", "--json", folder=self.folder).stdout, "")

        (self.folder / "text").write_text("anything\n", encoding="utf-8")
        self.assertEqual(self.written("sign", "text", "--key", "keys/zoe.key", "--out", "note")["signatures"], ["zoe"])
        size = self.records()
        self.assertEqual(self.written("sign-head", self.db, "--dry-run")["head"], None)
        self.assertEqual(self.records(), size)
        self.written("sign-head", self.db)

        told = self.written("approve", self.db, "--all", "--use", "FINETUNE", "--key", "keys/ann.key")
        self.assertEqual((told["approved"], told["records"][0]["added"]), ([root], 1))
        permit = ("permit", self.db, "--run", approval_test.CONFIG, "--key", "keys/ann.key", "--out", "two.permit")
        self.assertEqual((self.written(*permit, "--dry-run")["dry_run"], (self.folder / "two.permit").exists()), (True, False))
        told = self.written(*permit)
        self.assertEqual((told["shards"], sorted(f["path"] for f in told["files"])), (1, ["two.permit", "two.permit.proofs"]))
        self.assertEqual(self.written("policy", self.db, "--rule", "approve:approver:2", "--key", "keys/ann.key", "--out", "one.policy")["rules"],
                         [{"act": "approve", "role": "approver", "need": 2}])
        self.assertEqual(self.written("key", "retire", self.db, "zoe")["records"][0]["added"], 1)

        for words in ((clips[0],), ("--range", "0:3"), ("--present", "clip", clips[0]), ("--absent", "source", "ab" * 32), (clips[0], "--approval")):
            self.assertEqual(self.written("prove", self.db, *words, "--out", "proof")["files"][0]["path"], "proof")
        self.assertIn("allows.use[2]", self.written("disclose", self.db, "TEST-1", "--list")["fields"])
        self.assertEqual(self.written("disclose", self.db, "TEST-1", "--field", "allows.use[2]", "--out", "use")["value"], "TRAIN")
        told = self.written("release", self.db, weights, "--model", "cleared-base", "--field", "film", "--territory", "FR", code=3)
        self.assertEqual((told["cleared"], told["refused"]["rule"], told["records"][0]["added"]), (False, "release_not_allowed", 1))

        self.review(clips[0])
        self.witness()
        self.assertEqual(self.written("deleted", self.db, "shard.tar", "--reason", "gone", "--key", "keys/ann.key")["records"][0]["added"], 1)
        told = self.written("revoke", self.db, "TEST-1", "--reason", "over", "--key", "keys/licensor.key", "--notices", "notices")
        self.assertEqual((told["checkpoints"], len(told["consumed_by"]), len(told["files"])), ({"touched": 2, "all": 2}, 2, 1))
        self.assertEqual(self.written(*permit, code=3)["records"][0]["what"], "refusal")
        told = self.written("erase", self.db, "TEST-1", "--reason", "asked to")
        self.assertEqual((told["licence"], told["lost"]["clips"], told["records"][0]["added"]), ("TEST-1@1", 5, 1))
        self.ledger("verify", self.db, says="intact")

        found = dict(commands())
        self.assertGreater(len(found), 35)
        for name, text in found.items():
            self.assertNotEqual("--json" in text, name in WITHOUT, name)
        self.assertEqual(self.used | OTHERS | WITHOUT.keys(), found.keys())


if __name__ == "__main__":
    approval_test.LEDGER, approval_test.CONFIG = (str(pathlib.Path(word).resolve()) for word in sys.argv[1:])
    unittest.main(argv=sys.argv[:1], verbosity=2)

#!/usr/bin/env python3
"""Two approvers, from outside: a policy, approvals, a permit and a revocation that two must sign, and proofs checked with keys alone.

    approval_test.py LEDGER CONFIG      configs/nano.textproto
"""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

LEDGER, CONFIG = "", ""

LICENCE = """
licence { id: "TEST-1" version: 1 licensor: "licensor" licensee: "studio"
          valid_from: "2020-01-01" valid_to: "2099-12-31" after_term: KEEP_WEIGHTS }
covers { delivery: "**" }
allows { use: [INGEST, ENCODE, TRAIN, FINETUNE, GENERATE_INTERNAL, RELEASE_WEIGHTS] model: ["*"] component: [GENERATOR, VAE, TEXT_ENCODER] field_of_use: ["*"] compute_territory: ["*"] release_territory: ["US"] }
clearances { talent: NONE_VISIBLE minors: false voice: NONE music: NONE }
"""
RULES = [f"{act}:approver:2" for act in ("approve", "permit", "revoke", "enrol-key", "retire-key", "change-policy")]


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def message(*fields):
    """Protobuf's wire format by hand: (number, int) or (number, bytes or text), zeros left out."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value) if value else b""
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def sha256(data):
    return hashlib.sha256(data).digest()


def merkle_root(leaves):
    """RFC 6962, 2.1."""
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\1" + merkle_root(leaves[:k]) + merkle_root(leaves[k:]))


def shard_bundle(samples=5):
    """The facts of a source, its clips and a shard of them, as workers hand them in; and the clips' ids."""
    source = sha256(b"source")
    facts = [message((4, message((1, source), (2, "a.webm"), (3, 1000), (4, "TEST-1@1"), (5, "webm"), (10, 9), (17, "kept"))))]
    clips = [sha256(b"clip %d" % i) for i in range(samples)]
    digests = [sha256(b"sample %d" % i) for i in range(samples)]
    for i, clip in enumerate(clips):
        facts.append(message((6, message((1, clip), (2, source), (3, i), (4, i + 1), (6, "kept")))))
    lines = [b"s%d %s %s 1000000 1024\n" % (i, digests[i].hex().encode(), clips[i].hex().encode()) for i in range(samples)]
    root = merkle_root(lines)
    facts.append(message((8, message((1, root), (2, "shard.tar"), (3, source), (4, 1024 * samples + 1024), (5, samples), (6, "TEST-1@1")))))
    for i in range(samples):
        facts.append(message((9, message((1, root), (2, i), (3, f"s{i}"), (4, digests[i]), (5, clips[i]), (6, 1000000), (7, 1024)))))
    return message(*((1, fact) for fact in facts)), [clip.hex() for clip in clips], root.hex()


class Ledger(unittest.TestCase):
    """A ledger in a folder of its own, and what other tests begin with."""

    def setUp(self):
        self.top = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.top.name)
        self.db = self.folder / "ledger.db"

    def tearDown(self):
        self.top.cleanup()

    def ledger(self, *words, code=0, says=""):
        done = subprocess.run([LEDGER, *map(str, words)], capture_output=True, text=True, check=False, cwd=self.folder)
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, code, f"{words}: {said}")
        self.assertIn(says, said)
        return said

    def key(self, name, role):
        self.ledger("key", "new", name, "--role", role, "--out", self.folder / "keys" / name)
        return self.folder / "keys" / f"{name}.pub"

    def endorse(self, name, *signers, role="approver"):
        """The public key of a new pair as a note, signed by others."""
        pub = self.key(name, role)
        out = self.folder / f"{name}.pub"
        self.ledger("sign", pub, "--key", f"keys/{signers[0]}.key", "--out", out)
        for signer in signers[1:]:
            self.ledger("sign", out, "--key", f"keys/{signer}.key")
        return out

    def make_ledger(self, terms=LICENCE):
        pubs = [self.key(n, r) for n, r in (("licensor", "licensor"), ("studio", "licensee"), ("ann", "approver"), ("bob", "approver"))]
        self.ledger("init", self.db, "--origin", "test.example/ledger")
        self.ledger("append", self.db, *pubs)
        (self.folder / "terms").write_text(terms, encoding="utf-8")
        self.ledger("sign", "terms", "--key", "keys/licensor.key", "--out", "a.licence")
        self.ledger("sign", "a.licence", "--key", "keys/studio.key")
        self.ledger("append", self.db, "a.licence")
        bundle, clips, root = shard_bundle()
        path = self.folder / f"{sha256(bundle).hex()}.bundle"
        path.write_bytes(bundle)
        self.ledger("append", self.db, path)
        return clips, root

    def make_policy(self):
        self.ledger("policy", self.db, says="no policy yet")
        self.ledger("policy", self.db, *(w for r in RULES for w in ("--rule", r)), "--key", "keys/ann.key", "--out", "one.policy")
        self.ledger("append", self.db, "one.policy", says="record")
        self.ledger("policy", self.db, says="approve needs 2 approver")

    def trust(self, *names, needs=(), log=True):
        lines = [(self.folder / "keys" / f"{name}.pub").read_text(encoding="utf-8") for name in names]
        if log:
            lines.append((self.folder / "ledger.db.pub").read_text(encoding="utf-8"))
        path = self.folder / "trust"
        path.write_text("".join(f"need {need}\n" for need in needs) + "".join(lines), encoding="utf-8")
        return path

    def make_weights(self, terms=LICENCE):
        """Digest of weights that consumed the shard."""
        self.make_ledger(terms)
        self.ledger("append", self.db, self.key("trainer", "trainer"))
        self.ledger("approve", self.db, "--all", "--key", "keys/ann.key")
        self.ledger("permit", self.db, "--run", CONFIG, "--key", "keys/ann.key", "--out", "run.permit")
        made_up = pathlib.Path(__file__).with_name("made_up_run.py")
        subprocess.run([sys.executable, made_up, self.db, "run.permit", "keys/trainer.key", "outbox"], check=True, cwd=self.folder, capture_output=True)
        self.ledger("append", self.db, *(self.folder / "outbox").glob("*.bundle"))
        self.ledger("sign-head", self.db)
        said = self.ledger("query", self.db, "--sql", "SELECT digest FROM checkpoint", "--csv")
        return said.split()[1]

    def release(self, weights, *more, model="cleared-base", field="film", territory="US", **expect):
        return self.ledger("release", self.db, weights, "--model", model, "--field", field, "--territory", territory, *more, **expect)


class TwoApprovers(Ledger):
    def test_a_release_is_for_what_it_says_and_signed_like_a_permit(self):
        weights = self.make_weights()
        self.release(weights, code=3, says="release_not_allowed", territory="FR")
        for words in ({"territory": ""}, {"territory": "*"}, {"territory": "us"}, {"model": ""}, {"model": "*"},
                      {"field": ""}, {"field": "*"}, {"field": "Political"}, {"field": "political "}):
            self.release(weights, code=2, says="release: --", **words)

        terms = LICENCE.replace("version: 1", 'version: 2 supersedes: "TEST-1@1"').replace('["US"]', '["US", "FR"]')
        (self.folder / "terms").write_text(terms, encoding="utf-8")
        self.ledger("sign", "terms", "--key", "keys/licensor.key", "--out", "b.licence")
        self.ledger("sign", "b.licence", "--key", "keys/studio.key")
        self.ledger("append", self.db, "b.licence")
        self.release(weights, says="yes, by 1 licence", territory="FR")
        self.release(weights, "--key", "keys/trainer.key", "--out", "a.release", code=77, says="not signed by any approver")
        self.assertFalse((self.folder / "a.release").exists())
        self.release(weights, "--key", "keys/ann.key", "--out", "a.release", says="until")
        self.assertIn('tree_at: "', (self.folder / "a.release").read_text(encoding="utf-8"))

        self.make_policy()
        self.release(weights, "--key", "keys/ann.key", "--out", "b.release", code=77, says="2 different names of role approver")
        self.release(weights, "--key", "keys/ann.key", "--out", "b.release", "--draft", says="to be signed by others")
        self.ledger("sign", "b.release", "--key", "keys/bob.key")

    def test_a_release_is_on_record_or_not_there(self):
        weights = self.make_weights(LICENCE.replace("compute_territory", 'release_territory: ["US"] compute_territory'))
        sign = ("--key", "keys/ann.key")

        def on_record(*more):
            return json.loads(self.ledger("query", self.db, "released", "--json", *more))

        (self.folder / "folder.release").mkdir()
        (self.folder / "link.release").symlink_to("elsewhere")
        os.mkfifo(self.folder / "pipe.release")
        for out, code in (("nowhere/a.release", 66), ("folder.release", 74), ("link.release", 74), ("pipe.release", 74)):
            self.release(weights, *sign, "--out", out, code=code)
            self.assertEqual(on_record(), [], out)
        self.release(weights, *sign, "--out", "a.release", "--dry-run", says="yes")
        self.assertEqual(on_record(), [])
        self.assertEqual([path.name for path in self.folder.glob(".*")], [])

        self.release(weights, *sign, "--out", "a.release", says="release: record")
        (row,) = on_record()
        self.assertEqual((row["checkpoint"], row["use"], row["territory"], row["signers"], row["taken_back"]), (weights, "RELEASE_WEIGHTS", "US", "ann", ""))
        note = (self.folder / "a.release").read_text(encoding="utf-8")
        self.assertIn(f'expires_at: "{row["expires_at"]}"', note)
        self.ledger("verify", self.db, "--against", "a.release", says="2 anchors")
        status = json.loads(self.ledger("status", self.db, "--json"))
        self.assertEqual([one["record"] for one in status["releases"]], [row["seq"]])

        self.make_policy()
        self.release(weights, *sign, "--out", "b.release", "--draft", says="then recorded with --signed")
        self.release(weights, "--signed", "b.release", code=77, says="2 different names of role approver")
        self.ledger("sign", "b.release", "--key", "keys/bob.key")
        self.release(weights, "--signed", "b.release", "--use", "GENERATE_INTERNAL", code=65, says="not what the ledger would write now")
        self.release(weights, "--signed", "b.release", "--out", "c.release", *sign, code=2)
        self.assertEqual(len(on_record()), 1)
        self.release(weights, "--signed", "b.release", says="release: record")
        self.release(weights, "--signed", "b.release", says="in the ledger already")
        self.assertEqual([one["signers"] for one in on_record()], ["ann", "ann, bob"])
        self.ledger("verify", self.db, says="intact")

    def test_weights_go_out_only_with_the_test_that_a_licence_asks_for(self):
        weights = self.make_weights(LICENCE + "limits { memorisation_max: 0.1 }\n")
        out = ("--use", "RELEASE_WEIGHTS")
        self.release(weights, *out, code=3, says="memorisation_untested: TEST-1@1 limits copies at release to 10 % of clips, and nobody tested")
        self.release(weights, "--use", "GENERATE_INTERNAL", says="yes, by 1 licence")  # with which the test is made

        made = "captions: 5 steps: 24 guidance: 2 seed: 0"

        def tested(key="trainer", copies=1, of=weights, how=made):
            text = (f'extraction {{ weights: "sha256:{of}" at: "2026-11-28T01:02:03Z" clips: 16 copies: {copies} copy_bits: 31 '
                    f'compared: 5 consumed: 5 {how} }}\n')
            (self.folder / "test.txt").write_text(text, encoding="utf-8")
            (self.folder / "a.extraction").unlink(missing_ok=True)
            self.ledger("sign", "test.txt", "--key", f"keys/{key}.key", "--out", "a.extraction")
            return ("--extraction", "a.extraction")

        self.release(weights, *out, *tested(), says="yes, by 1 licence")
        self.release(weights, *out, *tested(copies=2), code=3, says="memorisation_exceeded")
        self.release(weights, *out, *tested(of="0" * 64), code=3, says="memorisation_untested")
        self.release(weights, *out, *tested(how=""), code=3, says="does not say how its clips were made")
        self.release(weights, *out, *tested(how=made.replace("captions: 5", "captions: 1")), code=3, says="captions of 1 clips of the footage")
        self.release(weights, *out, *tested(how=made.replace("24", "1")), code=3, says="sampled in 1 steps")
        self.release(weights, *out, *tested(key="ann"), code=77, says="not signed by any trainer")
        self.release(weights, *out, "--extraction", "keys/ann.pub", code=65)
        self.ledger("why-not", self.db, weights, says="memorisation")

    def test_what_helps_footage_is_no_help_to_weights(self):
        weights = self.make_weights()
        self.ledger("revoke", self.db, "TEST-1", "--reason", "sold", "--key", "keys/licensor.key")
        self.release(weights, code=3, says="revoked")
        self.ledger("why-not", self.db, weights, says="what helps: weights that did not consume it")

    def test_status_counts_records_and_nothing_else(self):
        self.make_weights()
        self.ledger("key", "retire", self.db, "trainer")
        status = json.loads(self.ledger("status", self.db, "--json"))
        kinds = {row["kind"]: row["records"] for row in status["kinds"]}
        self.assertEqual(sum(kinds.values()), status["records"])
        self.assertFalse({"clip_series", "receipt_cost", "moment"} & kinds.keys())
        self.ledger("append", self.db, "keys/trainer.pub", says="the key of trainer was retired by record")

    def test_approve_in_json_signs_the_head_too(self):
        self.ledger("init", "empty.db", "--origin", "test.example/empty")
        self.ledger("append", "empty.db", self.key("zoe", "approver"))
        self.ledger("approve", "empty.db", "--all", "--key", "keys/zoe.key", says="there are no shards")
        _, root = self.make_ledger()
        done = subprocess.run([LEDGER, "approve", self.db, "--all", "--key", "keys/ann.key", "--json"], capture_output=True, check=True, cwd=self.folder)
        told = json.loads(done.stdout)
        self.assertEqual((told["approved"], [r["what"] for r in told["records"]], done.stderr), ([root], ["approval"], b""))
        status = json.loads(self.ledger("status", self.db, "--json"))
        self.assertEqual(told["head"]["size"], status["records"])
        self.ledger("approve", self.db, "--all", "--key", "keys/ann.key", says="every shard is approved already")
        self.ledger("verify", self.db, says="intact")
        self.assertEqual(json.loads(self.ledger("status", self.db, "--json"))["unsigned_tail"], 0)

    def test_a_dry_run_writes_and_signs_nothing(self):
        _, root = self.make_ledger()
        before = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        for words, says in ((("approve", self.db, "--all", "--key", "keys/ann.key", "--out", "x.approval"), f"would approve {root}"),
                            (("approve", self.db, "--all", "--key", "keys/ann.key"), f"would approve {root}"),
                            (("erase", self.db, "TEST-1", "--reason", "x", "--key", "keys/ann.key", "--out", "x.erasure"), "would be lost"),
                            (("revoke", self.db, "TEST-1", "--reason", "x", "--key", "keys/licensor.key"), "would revoke licence TEST-1"),
                            (("revoke", self.db, root, "--reason", "x", "--key", "keys/ann.key"), f"would revoke shard sha256:{root}"),
                            (("deleted", self.db, root, "--reason", "x", "--key", "keys/ann.key"), "deletion {"),
                            (("key", "retire", self.db, "bob", "--key", "keys/ann.key", "--out", "x.retirement"), "")):
            self.assertNotIn("\u2014 ", self.ledger(*words, "--dry-run", says=says), words)
        after = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        self.assertEqual({path for path in after if before.get(path) != after[path]} - {self.folder / "ledger.db.lock"}, set())

    def test_more_shards_than_an_approval_can_list(self):
        self.make_ledger()
        source, facts = sha256(b"source"), []
        for i in range(1501):
            clip, sample = sha256(b"many %d" % i), sha256(b"of %d" % i)
            line = b"s %s %s 1000000 1024\n" % (sample.hex().encode(), clip.hex().encode())
            facts += [message((6, message((1, clip), (2, source), (3, 1000 + i), (4, 1001 + i), (6, "kept")))),
                      message((8, message((1, merkle_root([line])), (2, f"m{i}.tar"), (3, source), (4, 2048), (5, 1), (6, "TEST-1@1")))),
                      message((9, message((1, merkle_root([line])), (3, "s"), (4, sample), (5, clip), (6, 1000000), (7, 1024))))]
        bundle = message(*((1, fact) for fact in facts))
        (self.folder / f"{sha256(bundle).hex()}.bundle").write_bytes(bundle)
        self.ledger("append", self.db, f"{sha256(bundle).hex()}.bundle")
        self.ledger("approve", self.db, "--all", "--key", "keys/ann.key", "--out", "out/x.approval", code=66)
        said = self.ledger("approve", self.db, "--all", "--key", "keys/ann.key", "--out", "x.approval", says="x.approval: approval of 1500 shards")
        self.assertIn("x-2.approval: approval of 2 shards", said)
        self.ledger("append", self.db, "x.approval", "x-2.approval")
        self.ledger("approve", self.db, "--all", "--key", "keys/ann.key", says="every shard is approved already")

    def test_a_proof_is_of_the_approval_that_counts_now(self):
        clips, root = self.make_ledger()
        self.ledger("approve", self.db, root, "--key", "keys/ann.key")
        self.make_policy()
        approved = ("approved", "a.proof", "--trust", self.trust("ann", "bob"), "--need", "2")
        self.ledger("prove", self.db, clips[0], "--approval", "--out", "a.proof")
        self.ledger(*approved, code=1)
        self.ledger("approve", self.db, root, "--key", "keys/ann.key", "--out", "b.approval")
        self.ledger("sign", "b.approval", "--key", "keys/bob.key")
        self.ledger("append", self.db, "b.approval")
        self.ledger("prove", self.db, clips[0], "--approval", "--out", "a.proof")
        self.ledger(*approved, says="by ann, bob")
        seq = self.ledger("query", self.db, "--csv", "--sql", "SELECT max(seq) FROM approval").split()[1]
        self.ledger("why", self.db, clips[0], says=f"record {seq} approves shard {root}")
        self.ledger("prove", self.db, clips[0], "--approval", "--use", "FINETUNE", "--out", "a.proof", code=66, says="approved for FINETUNE")
        self.ledger("prove", self.db, clips[0], "--approval", "--use", "INGEST", "--out", "a.proof", code=2)

    def test_a_link_is_the_ledger_that_it_leads_to(self):
        self.make_ledger()
        (self.folder / "link.db").symlink_to("ledger.db")
        self.ledger("append", "link.db", self.key("eve", "approver"), "--log-key", "ledger.db.key", says="tree head")
        self.ledger("verify", "link.db", says="intact")
        self.assertEqual([p.name for p in self.folder.glob("link.db*")], ["link.db"])
        os.link(self.folder / "ledger.db", self.folder / "other.db")
        for name in ("other.db", "ledger.db", "link.db"):
            self.ledger("status", name, code=65, says="hard links")

    def test_a_run_says_that_it_trains(self):
        self.make_ledger()
        config = pathlib.Path(CONFIG).read_text(encoding="utf-8")
        for use in ("INGEST", "EVALUATE"):
            self.ledger("approve", self.db, "--all", "--use", use, "--key", "keys/ann.key", code=2, says="--use must be TRAIN")
            (self.folder / "c.textproto").write_text(config.replace("use: TRAIN", f"use: {use}"), encoding="utf-8")
            self.ledger("permit", self.db, "--run", "c.textproto", "--key", "keys/ann.key", "--out", "c.permit", code=78, says="purpose.use")
        (self.folder / "c.textproto").write_text(config.replace("use: TRAIN", "use: FINETUNE"), encoding="utf-8")
        permit = ("permit", self.db, "--run", "c.textproto", "--key", "keys/ann.key", "--out", "c.permit")
        self.ledger("approve", self.db, "--all", "--key", "keys/ann.key", says="approved")
        self.ledger(*permit, code=3, says="nothing_permitted")
        self.ledger("approve", self.db, "--all", "--use", "FINETUNE", "--key", "keys/ann.key", says="approved")
        self.ledger(*permit, says="1 shards")

    def test_the_whole_way(self):
        clips, root = self.make_ledger()
        self.make_policy()

        # One approver is not enough; two are, each with a key of their own.
        self.ledger("approve", self.db, "--all", "--key", "keys/ann.key", code=77, says="2 different names of role approver")
        self.ledger("approve", self.db, "--all", "--key", "keys/ann.key", "--out", "b.approval")
        self.ledger("append", self.db, "b.approval", code=77)
        self.ledger("sign", "b.approval", "--key", "keys/bob.key")
        self.ledger("append", self.db, "b.approval", says="record")

        # The proof of a clip is checked with keys alone.
        self.ledger("prove", self.db, clips[3], "--approval", "--out", "clip.proof")
        proof = self.folder / "clip.proof"
        self.assertLess(proof.stat().st_size, 3000)
        trust = self.trust("ann", "bob")
        said = self.ledger("approved", "clip.proof", "--trust", trust, "--need", 2, says=f"approved: clip {clips[3]}")
        self.assertIn("by ann, bob", said)
        self.assertIn(root, said)
        told = json.loads(self.ledger("approved", "clip.proof", "--trust", trust, "--need", 2, "--json"))
        self.assertEqual((told["approved"], told["clip"], told["signers"]), (True, clips[3], ["ann", "bob"]))
        self.assertFalse(json.loads(self.ledger("approved", "clip.proof", "--trust", trust, "--need", 3, "--json", code=1))["approved"])
        self.ledger("approved", "clip.proof", "--trust", trust, "--need", 3, code=1, says="NOT APPROVED")
        self.ledger("approved", "clip.proof", "--trust", self.trust("ann"), code=1, says="NOT APPROVED")
        text = proof.read_text(encoding="utf-8")
        proof.write_text(text.replace(clips[3], clips[2]), encoding="utf-8")
        self.ledger("approved", "clip.proof", "--trust", self.trust("ann", "bob"), code=1, says="not under the root")
        proof.write_text(text + "x", encoding="utf-8")
        self.ledger("approved", "clip.proof", "--trust", trust, code=1, says="NOT APPROVED")

        # A permit counts when both have signed; its proofs lie beside it from the start.
        self.ledger("permit", self.db, "--run", CONFIG, "--key", "keys/ann.key", "--out", "run.permit", code=77)
        self.ledger("permit", self.db, "--run", CONFIG, "--key", "keys/ann.key", "--out", "run.permit", "--draft")
        self.ledger("append", self.db, "run.permit", code=77, says="not signed by 2 different names")
        self.ledger("sign", "run.permit", "--key", "keys/bob.key")
        self.ledger("append", self.db, "run.permit", says="record")
        self.ledger("append", self.db, "run.permit", says="in the ledger already")
        proofs = (self.folder / "run.permit.proofs").read_text(encoding="utf-8")
        self.assertTrue(proofs.startswith("c2sp.org/tlog-proof@v1\nextra "))
        self.assertLess(len(proofs), 3000)
        said = self.ledger("proven", "run.permit.proofs", "--trust", trust, says="1 records are in the log")
        self.assertRegex(said, r"\nrecord \d+: shard +root: [0-9a-f]{64} .*\n$")

        # A key is replaced while the old one still signs; the last one of a name stays.
        bob = (self.folder / "keys/bob.pub").read_text(encoding="utf-8").split()[1]
        (self.folder / "keys/bob.key").rename(self.folder / "keys/old.key")
        (self.folder / "keys/bob.pub").rename(self.folder / "keys/old.pub")
        self.ledger("append", self.db, self.endorse("bob", "ann", "old"), says="record")
        self.ledger("key", "retire", self.db, "bob", code=77, says="must come as a signed note")
        self.ledger("key", "retire", self.db, bob, "--out", "bob.retirement", "--key", "keys/ann.key")
        self.ledger("append", self.db, "bob.retirement", code=77)
        self.ledger("sign", "bob.retirement", "--key", "keys/bob.key")
        self.ledger("append", self.db, "bob.retirement", says="record")
        self.ledger("key", "retire", self.db, "ann", "--out", "ann.retirement", "--key", "keys/ann.key")
        self.ledger("sign", "ann.retirement", "--key", "keys/bob.key")
        self.ledger("append", self.db, "ann.retirement", code=77, says="without it nobody could meet the policy")

        # Revoking needs two as well; and a permit signed by then is not recorded any more.
        self.ledger("revoke", self.db, root, "--reason", "test", "--key", "keys/ann.key", code=77)
        self.ledger("revoke", self.db, root, "--reason", "test", "--key", "keys/ann.key", "--draft", "a.revocation")
        self.ledger("sign", "a.revocation", "--key", "keys/old.key")
        self.ledger("append", self.db, "a.revocation", code=77)
        self.ledger("sign", "a.revocation", "--key", "keys/bob.key")
        self.ledger("permit", self.db, "--run", CONFIG, "--key", "keys/ann.key", "--out", "late.permit", "--draft")
        self.ledger("sign", "late.permit", "--key", "keys/bob.key")
        # Proofs under two heads are not one answer.
        (self.folder / "mixed").write_text(proofs + (self.folder / "late.permit.proofs").read_text(encoding="utf-8"), encoding="utf-8")
        self.ledger("proven", "late.permit.proofs", "--trust", trust, says="1 records")
        self.ledger("proven", "mixed", "--trust", trust, code=1, says="is proven under another tree head")
        self.ledger("append", self.db, "a.revocation", says="record")
        self.ledger("append", self.db, "late.permit", code=3, says="revoked")
        self.ledger("verify", self.db, "--trust", self.trust("ann", needs=["permit 1 approver"]), says="intact")

    def test_nobody_outvotes_the_others_with_keys_of_his_own(self):
        self.make_ledger()
        self.make_policy()
        self.ledger("append", self.db, self.key("eve1", "approver"), code=77, says="must come as a signed note")
        self.ledger("append", self.db, self.endorse("eve2", "eve1"), code=77)
        self.ledger("append", self.db, self.endorse("eve3", "ann", "eve1"), code=77)
        self.ledger("key", "retire", self.db, "bob", code=77)
        self.ledger("append", self.db, self.endorse("carol", "ann", "bob"), says="record")
        self.ledger("policy", self.db, "--rule", "approve:approver:1", "--key", "keys/eve1.key", "--out", "eve.policy")
        self.ledger("append", self.db, "eve.policy", code=77)
        self.ledger("verify", self.db, says="intact")

    def test_a_policy_that_nobody_could_meet_is_not_even_written(self):
        self.make_ledger()
        for rule, code in (("approve:approver:3", 2), ("approve:approver:0", 2), ("approve:boss:1", 2), ("dance:approver:1", 2),
                           ("approve:approver", 2), ("approve", 2), ("approve:approver:-1", 2), (":", 2), ("", 2)):
            self.ledger("policy", self.db, "--rule", rule, "--key", "keys/ann.key", "--out", "bad.policy", code=code)
        self.assertFalse((self.folder / "bad.policy").exists())
        self.assertIsNone(re.search("policy 1", self.ledger("policy", self.db)))

    def test_foreign_weights_need_a_description_that_two_signed(self):
        self.make_ledger()
        self.make_policy()
        self.ledger("approve", self.db, "--all", "--key", "keys/ann.key", "--out", "b.approval")
        self.ledger("sign", "b.approval", "--key", "keys/bob.key")
        self.ledger("append", self.db, "b.approval")
        digest = "sha256:" + sha256(b"weights").hex()
        config = self.folder / "tuned.textproto"
        config.write_text(pathlib.Path(CONFIG).read_text(encoding="utf-8")
                          + f'foreign {{ weights: "{digest}" part: TEXT_ENCODER }}\n', encoding="utf-8")
        permit = ("permit", self.db, "--run", config, "--key", "keys/ann.key", "--out", "run.permit", "--draft")
        self.ledger(*permit, code=3, says="foreign_unregistered")
        text = self.folder / "text"
        text.write_text(f'foreign {{ weights: "{digest}" origin: "another studio" licence: "CC0-1.0" contact: D }}\n', encoding="utf-8")
        self.ledger("sign", "text", "--key", "keys/ann.key", "--out", "a.weights", code=65)
        text.write_text(f'foreign {{ weights: "{digest}" origin: "another studio" licence: "CC0-1.0" contact: A\n'
                        'evidence: "its ledger" at: "2026-01-02T03:04:05Z" }\n', encoding="utf-8")
        self.ledger("sign", "text", "--key", "keys/ann.key", "--out", "a.weights")
        self.ledger(*permit, "--weights", "a.weights", code=77, says="2 different names of role approver")
        self.ledger("sign", "a.weights", "--key", "keys/bob.key")
        self.ledger(*permit, "--weights", "a.weights")
        said = (self.folder / "run.permit").read_text(encoding="utf-8")
        self.assertIn("another studio", said)
        self.assertIn("contact: A", said)
        self.ledger("sign", "run.permit", "--key", "keys/bob.key")
        self.ledger("append", self.db, "run.permit", says="record")


if __name__ == "__main__":
    LEDGER, CONFIG = (str(pathlib.Path(word).resolve()) for word in sys.argv[1:])
    unittest.main(argv=sys.argv[:1], verbosity=2)

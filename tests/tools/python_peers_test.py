#!/usr/bin/env python3
"""Our roots against pymerkle, our DSSE envelopes against securesystemslib, both ways. Packages: tools/python/test.txt.

    python_peers_test.py OURS      OURS: tlog_peer, built from tlog_peer/peer.cpp
"""
import base64
import hashlib
import json
import random
import subprocess
import sys
import unittest

try:
    import pymerkle
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from securesystemslib import dsse, exceptions
    from securesystemslib.signer import CryptoSigner, SSlibKey
except ImportError as missing:
    print(f"skipped: {missing}; pip install -r tools/python/test.txt", file=sys.stderr)
    sys.exit(77)

OURS = ""
RECORDS = 1100  # over a few tiles
ENVELOPES = 200


def ours(mode, cases):
    text = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run([OURS, mode], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{mode}: exit {done.returncode}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def b64(data):
    return base64.b64encode(data).decode()


class Key:
    """An Ed25519 key as both sides write it."""

    def __init__(self, rng, name):
        seed = rng.randbytes(32)
        private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        public = private.public_key().public_bytes_raw()
        self.id = f"{name}+{hashlib.sha256(name.encode() + bytes([10, 1]) + public).hexdigest()[:8]}"
        self.skey = f"PRIVATE+KEY+{self.id}+{b64(bytes([1]) + seed)}"
        self.vkey = f"{self.id}+{b64(bytes([1]) + public)}"
        self.theirs = SSlibKey(self.id, "ed25519", "ed25519", {"public": public.hex()})
        self.signer = CryptoSigner(private, self.theirs)


def payload(rng):
    return rng.randbytes(rng.choice([0, 1, 2, 3, 100, 1000]))


class Roots(unittest.TestCase):
    def test_of_every_size(self):
        rng = random.Random(4)
        records = [rng.randbytes(rng.choice([0, 1, 31, 32, 33, 64, 500])) for _ in range(RECORDS)]
        theirs = pymerkle.InmemoryTree(algorithm="sha256")
        for record, root in zip(records, ours("roots", map(b64, records)), strict=True):
            theirs.append_entry(record)
            self.assertEqual(root, theirs.get_root().hex(), theirs.get_size())


class Envelopes(unittest.TestCase):
    def setUp(self):
        self.rng = random.Random(4)
        self.keys = [Key(self.rng, name) for name in ("example-trainer", "\u00fcber.example/k")]

    def test_what_we_seal_they_verify(self):
        cases = [(key, kind, payload(self.rng)) for key in self.keys for kind in ("application/vnd.in-toto+json", "t\u00fc", "")
                 for _ in range(ENVELOPES // 6)]
        sealed = ours("seal", [{"skey": key.skey, "type": kind, "payload": b64(data)} for key, kind, data in cases])
        for (key, kind, data), envelope in zip(cases, sealed, strict=True):
            read = dsse.Envelope.from_dict(envelope)
            self.assertEqual((read.payload, read.payload_type), (data, kind))
            self.assertEqual(set(read.verify([key.theirs], 1)), {key.id})
            read.payload += b"x"
            with self.assertRaises(exceptions.VerificationError):
                read.verify([key.theirs], 1)

    def test_what_they_sign_we_open(self):
        cases, expected = [], []
        for _ in range(ENVELOPES):
            key, other = self.rng.sample(self.keys, 2)
            envelope = dsse.Envelope(payload(self.rng), self.rng.choice(["a", "application/vnd.in-toto+json"]), {})
            envelope.sign(key.signer)
            if self.rng.random() < 0.3:
                envelope.sign(other.signer)
            written = envelope.to_dict()
            if self.rng.random() < 0.5:  # so that nothing verifies
                written = self.damaged(written)
            again = dsse.Envelope.from_dict(json.loads(json.dumps(written)))
            for asked in self.keys:
                try:
                    good = bool(again.verify([asked.theirs], 1))
                except exceptions.VerificationError:
                    good = False
                cases.append({"vkey": asked.vkey, "envelope": json.dumps(written)})
                expected.append(good)
        self.assertEqual(ours("open", cases), expected)
        self.assertGreater(expected.count(True), ENVELOPES // 4)
        self.assertGreater(expected.count(False), ENVELOPES // 4)

    def damaged(self, envelope):
        how = self.rng.randrange(3)
        if how == 0:
            envelope["payload"] = b64(base64.b64decode(envelope["payload"]) + b"x")
        elif how == 1:
            envelope["payloadType"] += "x"
        else:
            signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
            signature[self.rng.randrange(64)] ^= 1
            envelope["signatures"][0]["sig"] = b64(signature)
        return envelope


if __name__ == "__main__":
    OURS = sys.argv[1]
    unittest.main(argv=sys.argv[:1], verbosity=2)

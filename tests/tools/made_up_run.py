#!/usr/bin/env python3
"""A run that nobody trained: permit in, bundle out, for guides and tests that have footage but no time for LibTorch.

    made_up_run.py LEDGER PERMIT TRAINER_KEY OUT [--name run-1] [--skip ROOT] [--steps 10]

Each step consumes one sample of the permit's shards, one after the other; a checkpoint after half of the steps and one at the end. Written from
docs/formats/ (receipt, bundle, record, notes, statement) alone: protobuf by hand, signatures by openssl, so `ledger append` checks what this file understood.
"""
import argparse
import base64
import hashlib
import json
import pathlib
import re
import sqlite3
import subprocess
import tempfile


def varint(value):
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value) if value else b""


def data(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value if value else b""


def packed(field, values):
    return data(field, b"".join(varint(v) for v in values))


def sha(value):
    return hashlib.sha256(value.encode() if isinstance(value, str) else value).digest()


def root(leaves):
    """RFC 6962, section 2.1."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha(b"\1" + root(leaves[:half]) + root(leaves[half:]))


class Key:
    def __init__(self, path):
        line = pathlib.Path(path).read_text(encoding="utf-8").strip()
        _, _, self.name, self.id, secret = line.split("+", 4)
        self.seed = base64.b64decode(secret)[1:]

    def sign(self, message):
        with tempfile.TemporaryDirectory() as folder:
            key, text = pathlib.Path(folder) / "key", pathlib.Path(folder) / "text"
            key.write_bytes(bytes.fromhex("302e020100300506032b657004220420") + self.seed)  # RFC 8410
            text.write_bytes(message)
            return subprocess.run(["openssl", "pkeyutl", "-sign", "-keyform", "DER", "-inkey", key, "-rawin", "-in", text], check=True,
                                  capture_output=True).stdout

    def note(self, text):
        return f"{text}\n\u2014 {self.name} {base64.b64encode(bytes.fromhex(self.id) + self.sign(text.encode())).decode()}\n"

    def envelope(self, statement):
        payload, kind = json.dumps(statement, separators=(",", ":")).encode(), "application/vnd.in-toto+json"
        signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
        return json.dumps({"payload": base64.b64encode(payload).decode(), "payloadType": kind,
                           "signatures": [{"keyid": f"{self.name}+{self.id}", "sig": base64.b64encode(self.sign(signed)).decode()}]})


def samples_of(ledger, permit, skip):
    """(shard root, place, digest, length) of every sample that the permit lists, in order."""
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as db:
        for shard in re.findall(r'^  shard \{\n    root: "sha256:(\w+)"', permit, re.M):
            if shard in skip:
                continue
            yield from db.execute("SELECT h.root, p.position, p.digest, p.duration_us FROM shard h JOIN sample p ON p.shard = h.seq "
                                  "WHERE h.root = ? ORDER BY p.position", (shard,))


def consumed(run, end, eaten):
    """Serialised ConsumedShardRecords of what `eaten` (a step and its sample) says, by root; their samples, their microseconds."""
    shards, out, different, total = {}, [], 0, 0
    for step, (shard, place, _, length) in eaten:
        passes, first, _ = shards.setdefault(shard, {}).get(place, (0, step, length))
        shards[shard][place] = (passes + 1, first, length)
    for shard in sorted(shards):
        places = shards[shard]
        low, high = min(places), max(places)
        length = sum(passes * us for passes, _, us in places.values())
        out.append(data(1, run) + number(2, end) + data(3, bytes.fromhex(shard)) + number(4, low) +
                   packed(5, [places.get(i, (0,))[0] for i in range(low, high + 1)]) +
                   packed(6, [end - places[i][1] for i in sorted(places)]) + number(7, length))
        different, total = different + len(places), total + length
    return out, different, total


def main():
    words = argparse.ArgumentParser()
    for name in ("ledger", "permit", "key", "out"):
        words.add_argument(name)
    words.add_argument("--name")
    words.add_argument("--skip", action="append", default=[])
    words.add_argument("--steps", type=int, default=10)
    words.add_argument("--continues", default="", help="digest of the weights that it goes on from, :STEP")
    o = words.parse_args()
    key, permit = Key(o.key), pathlib.Path(o.permit).read_text(encoding="utf-8")
    field = {name: re.search(rf"^  {name}: \"?(?:sha256:)?([^\"\n]+)", permit, re.M)[1] for name in ("run", "origin", "tree_size", "tree_root",
                                                                                                    "config_digest")}
    run = o.name or f"{field['run']}-{sha(permit).hex()[:16]}"
    samples = list(samples_of(o.ledger, permit, o.skip))
    parent, begin = o.continues.split(":") if o.continues else ("", "0")
    begin, previous = int(begin), ""
    facts = [data(13, data(1, run) + data(2, sha(permit)) + data(3, bytes.fromhex(field["config_digest"])) + data(4, "made up") + number(5, 1) +
                  number(6, 2))]
    for first, end in ((begin, begin + o.steps // 2), (begin + o.steps // 2, begin + o.steps)):
        records, different, sample_us = consumed(run, end, [(step, samples[step % len(samples)]) for step in range(first, end)])
        weights, steps = sha(f"{run} {end}"), sha(f"steps {first} {end}")
        receipt = key.note(f"""receipt {{
  run: "{run}"
  permit: "sha256:{sha(permit).hex()}"
  origin: "{field['origin']}"
  tree_size: {field['tree_size']}
  tree_root: "sha256:{field['tree_root']}"
  first_step: {first}
  end_step: {end}
  steps_root: "sha256:{steps.hex()}"
  samples: {different}
  consumed_root: "sha256:{root([sha(bytes(1) + r) for r in records]).hex()}"
{previous}  checkpoint: "sha256:{weights.hex()}"
  sample_us: {sample_us}
}}
""")
        previous = f'  previous: "sha256:{sha(receipt).hex()}"\n'
        statement = {"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "weights.safetensors", "digest": {"sha256": weights.hex()}}],
                     "predicateType": "urn:cleared:training-checkpoint:v1",
                     "predicate": {"run": run, "step": end, "seed": 1, "ranks": 2, "threadsPerRank": 1, "codeVersion": "made up", "machine": "none",
                                   "config": {"sha256": field["config_digest"]}, "permit": {"sha256": sha(permit).hex()},
                                   "treeHead": {"origin": field["origin"], "size": int(field["tree_size"]), "sha256": field["tree_root"]},
                                   "receipt": {"sha256": sha(receipt).hex()}, "stepsRoot": {"sha256": steps.hex()}, "parent": parent,
                                   "foreignWeights": []}}
        facts += [data(14, data(1, receipt) + number(2, (end - first) * 3_600_000))] + [data(30, r) for r in records]
        facts += [data(16, data(1, weights) + data(2, run) + number(3, end) + data(4, key.envelope(statement)) + data(5, bytes.fromhex(parent)))]
        parent = weights.hex()
    bundle = b"".join(data(1, fact) for fact in facts)
    path = pathlib.Path(o.out) / f"{sha(bundle).hex()}.bundle"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bundle)
    print(path)


if __name__ == "__main__":
    main()

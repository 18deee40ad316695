#!/usr/bin/env python3
"""An independent reader of disclosures, state proofs, range proofs and tlog-proofs, and of witness policies: only what docs/formats/ and
the specifications of C2SP say, only the standard library, none of our code.

    proof_files.py LOG.pub FILE...      prints what each file says; exit 1 when one does not verify
"""
import base64
import hashlib
import re
import sys


class Refused(Exception):
    pass


def need(true, why):
    if not true:
        raise Refused(why)


def unbase64(text):
    try:
        out = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused(f"not base64: {text!r}") from error
    need(base64.b64encode(out).decode() == text, f"not base64 as it is written: {text!r}")
    return out


def unbase64_digest(text):
    out = unbase64(text)
    need(len(out) == 32, "not 32 bytes")
    return out


def decimal(text):
    need(text.isascii() and text.isdecimal() and str(int(text)) == text and int(text) < 2**64, f"not a number: {text!r}")
    return int(text)


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf(data):
    return sha256(b"\0" + data)


def node(left, right):
    return sha256(b"\1" + left + right)


# Ed25519, RFC 8032 section 5.1, on the curve -x^2 + y^2 = 1 + d x^2 y^2 modulo P.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


# Points as (x, y, z): the fraction x/z, y/z, which saves an inverse an addition.
def add(a, b):
    (x1, y1, z1), (x2, y2, z2) = a, b
    z, both = z1 * z2 % P, D * x1 * x2 * y1 * y2 % P
    less, more = (z * z - both) % P, (z * z + both) % P
    return (x1 * y2 + x2 * y1) * z * less % P, (y1 * y2 + x1 * x2) * z * more % P, less * more % P


def same(a, b):
    (x1, y1, z1), (x2, y2, z2) = a, b
    return (x1 * z2 - x2 * z1) % P == 0 and (y1 * z2 - y2 * z1) % P == 0


def multiply(point, by):
    out = (0, 1, 1)
    while by:
        if by & 1:
            out = add(out, point)
        point = add(point, point)
        by >>= 1
    return out


def decode_point(data):
    value = int.from_bytes(data, "little")
    y, sign = value & (2**255 - 1), value >> 255
    need(y < P, "not a point")
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    need(x * x % P == square and not (x == 0 and sign), "not a point")
    return (P - x if x & 1 != sign else x), y, 1


BASE = decode_point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def signature_verifies(key, message, signature):
    if len(signature) != 64:
        return False
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % ORDER
    try:
        return same(multiply(BASE, s), add(decode_point(r), multiply(decode_point(key), k)))
    except Refused:
        return False


def verifier_key(vkey, kind):
    """name, id and public key of "name+id+base64(type || key)"."""
    name, number, key = vkey.split("+", 2)
    key = unbase64(key)
    need(len(key) == 33 and key[0] == kind, f"not a key of type {kind}")
    need(sha256(name.encode() + b"\n" + key)[:4].hex() == number, "the key's id is not its own")
    return name, bytes.fromhex(number), key[1:]


def log_key(path):
    """name, id and public key of the log, from a line "log VKEY"."""
    with open(path, encoding="utf-8") as file:
        words = [line.split() for line in file]
    vkeys = [word[1] for word in words if len(word) == 2 and word[0] == "log"]
    need(len(vkeys) == 1, f"{path}: not one key of a log")
    return verifier_key(vkeys[0], 1)


def raw_lines_of(text, key):
    """What the signature lines of this key hold behind its id, and the signed text."""
    body, _, lines = text.rpartition("\n\n")
    words = [line.split(" ") for line in lines.splitlines()]
    raw = [unbase64(value) for _, who, value in words if who == key[0]]
    return [one[4:] for one in raw if one[:4] == key[1]], body + "\n"


def cosigned(text, key):
    """Whether a witness has cosigned the head (C2SP tlog-cosignature)."""
    found, body = raw_lines_of(text, key)
    for raw in found:
        message = f"cosignature/v1\ntime {int.from_bytes(raw[:8], 'big')}\n{body}".encode()
        need(signature_verifies(key[2], message, raw[8:]), f"the cosignature of {key[0]} is wrong")
    return bool(found)


def check_policy(policy, text):
    """Refused unless a log of the policy (C2SP tlog-policy) signed the head and its quorum cosigned it."""
    logs, there, quorum = [], {"none"}, None
    for line in policy.splitlines():
        words = line.split()
        if words[:1] == ["log"]:
            logs.append(verifier_key(words[1], 1))
        elif words[:1] == ["witness"] and cosigned(text, verifier_key(words[2], 4)):
            there.add(words[1])
        elif words[:1] == ["group"]:
            least = {"any": 1, "all": len(words) - 3}.get(words[2]) or int(words[2])
            if len(there.intersection(words[3:])) >= least:
                there.add(words[1])
        elif words[:1] == ["quorum"]:
            quorum = words[1]
    signed = [key for key in logs if any(signature_verifies(key[2], body.encode(), raw) for found, body in [raw_lines_of(text, key)] for raw in found)]
    need(any(key[0] == text.split("\n")[0] for key in signed), "no log of the policy signed the head")
    need(quorum in there, "the quorum is not met")


def open_head(text, log):
    """size and root of a signed tree head."""
    name, number, key = log
    body, found, lines = text.rpartition("\n\n")
    need(found, "the head has no signature")
    body += "\n"
    signed = False
    need(lines.endswith("\n"), "the last line is cut")
    for line in lines[:-1].split("\n"):
        dash, who, value = (line.split(" ") + ["", ""])[:3]
        need(dash == "\u2014" and len(line.split(" ")) == 3, "not a signature line")
        raw = unbase64(value)
        if who == name and raw[:4] == number:
            need(signature_verifies(key, body.encode(), raw[4:]), "the log's signature is wrong")
            signed = True
    need(signed, "the log did not sign the head")
    origin, size, root, end = (body.split("\n") + [""] * 4)[:4]
    need(body.count("\n") == 3 and end == "" and origin == name, "not a tree head of this log")
    return decimal(size), unbase64_digest(root)


def inclusion_root(digest, index, size, path):
    """RFC 6962: the root of `size` leaves that `digest` at `index` and its siblings give."""
    need(index < size, "not in the tree")
    path = list(path)

    def up(begin, end):  # the root over leaves [begin, end), from the inside out
        if end - begin == 1:
            return digest
        middle = begin + (1 << (end - begin - 1).bit_length() - 1)
        below = up(begin, middle) if index < middle else up(middle, end)
        need(path, "a sibling is missing")
        sibling = path.pop(0)
        return node(below, sibling) if index < middle else node(sibling, below)

    root = up(0, size)
    need(not path, "a sibling too many")
    return root


def range_root(leaves, begin, size, path):
    """RFC 6962: the root of `size` leaves of which `leaves` stand at `begin` and after it. What lies left of them comes nearest first."""
    end = begin + len(leaves)
    need(leaves and end <= size, "not in the tree")
    left = begin.bit_count()
    rest = path[:left][::-1] + path[left:]

    def up(low, high):  # from the left to the right
        if high <= begin or low >= end:
            need(rest, "a sibling is missing")
            return rest.pop(0)
        if high - low == 1:
            return leaves[low - begin]
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        return node(up(low, middle), up(middle, high))

    root = up(0, size)
    need(not rest, "a sibling too many")
    return root


def check_range(text, log):
    lines, head = split(text, "cleared range proof v1")
    begin = decimal(take(lines, "begin"))
    records, path = [], []
    while lines and lines[0].startswith("record "):
        records.append(unbase64(take(lines, "record")))
        need(records[-1], "an empty record")
    while lines:
        path.append(unbase64_digest(take(lines, "sibling")))
    size, root = open_head(head, log)
    need(range_root(list(map(leaf, records)), begin, size, path) == root, "the records are not in the log")
    return f"records {begin} to {begin + len(records) - 1} of {size}"


def check_tlog_proof(text, record, log):
    """index and size of the head, when the record is there."""
    lines, found, head = text.partition("\n\n")
    lines = lines.split("\n")
    need(found and lines[0] == "c2sp.org/tlog-proof@v1" and len(lines) >= 2, "not a tlog-proof")
    need(lines[1].startswith("index "), "no index")
    index = decimal(lines[1][6:])
    size, root = open_head(head, log)
    need(inclusion_root(leaf(record), index, size, map(unbase64_digest, lines[2:])) == root, "the record is not in the log")
    return index, size


def varint(data, at):
    out = shift = 0
    while True:
        need(at < len(data) and shift < 64, "cut short")
        out |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return out, at


def fields(data):
    """Protobuf: (number, value) in order; varints and bytes alone."""
    at, out = 0, []
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == 2:
            need(at + value <= len(data), "cut short")
            value, at = data[at : at + value], at + value
        else:
            need(tag & 7 == 0, "a kind of field that does not occur")
        out.append((tag >> 3, value))
    return out


def fact_of(record, kind):
    """The fact of field number `kind` in a record."""
    facts = [value for number, value in fields(record) if number == 2]
    need(len(facts) == 1, "not one fact")
    inner = fields(facts[0])
    need(len(inner) == 1 and inner[0][0] == kind, "a record of another kind")
    return fields(inner[0][1])


def take(lines, word):
    need(lines and lines[0].startswith(word + " "), f"no {word}")
    return lines.pop(0)[len(word) + 1 :]


def split(text, header):
    top, found, proof = text.partition("\n\n")
    lines = top.split("\n")
    need(found and lines.pop(0) == header, f"not {header}")
    return lines, proof


def check_disclosure(text, log):
    lines, proof = split(text, "cleared disclosure v1")
    path, value = take(lines, "field"), take(lines, "value")
    digest = leaf(unbase64_digest(take(lines, "salt")) + path.encode() + b"\0" + value.encode())
    while lines and lines[0].split(" ")[0] in ("left", "right"):
        side = lines[0].split(" ")[0]
        sibling = unbase64_digest(take(lines, side))
        digest = node(sibling, digest) if side == "left" else node(digest, sibling)
    record = unbase64(take(lines, "record"))
    need(not lines, "a line too many")
    index, _ = check_tlog_proof(proof, record, log)
    licence = dict(fact_of(record, 3))
    need(licence.get(10) == digest, "the licence has no such field")
    return f"licence {licence[1].decode()}@{licence[2]} says {path}: {value} (record {index})"


DIGEST, NAME, NUMBER, EITHER, REF, VKEY, VERSION, RUN = range(8)
KINDS = {"approval": [DIGEST], "approved": [DIGEST], "checkpoint": [RUN, NUMBER], "clip": [DIGEST], "consumed": [RUN, NUMBER, DIGEST],
         "consumed_shard": [RUN, NUMBER, DIGEST, NUMBER], "deletion": [DIGEST],
         "duplicate": [DIGEST, DIGEST], "erasure": [REF], "fingerprint": [DIGEST, NUMBER], "key": [VKEY], "licence": [REF],
         "permit": [DIGEST], "policy": [VERSION], "receipt": [RUN, NUMBER], "refusal": [NAME], "release": [DIGEST], "retirement": [VKEY], "revocation": [EITHER],
         "run": [RUN], "sample": [DIGEST], "shard": [DIGEST], "source": [DIGEST]}
PRESENT_ONLY = ("consumed", "consumed_shard", "duplicate", "fingerprint", "measure", "refusal")  # absent under one id, it may be there under another


def need_form(part, form):
    """An id of another form than records have names nothing, and its absence would say nothing."""
    if form == EITHER:
        need("@" not in part and not re.fullmatch("[0-9a-f]{64}", part), "a revocation is of an id without version, or of sha256: and a root")
    elif form == REF:
        licence, at, version = part.rpartition("@")
        need(licence and at, "not one version of a licence")
        decimal(version)
    elif form == VKEY:
        need(re.fullmatch(r"[^+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+=*", part), "not a whole verifier key")
    elif form == VERSION:
        decimal(part)
    elif form == RUN:
        need(re.fullmatch(".+-[0-9a-f]{16}", part), "not the name of a run")


def subject_key(kind, identity):
    need(kind in KINDS, "no such kind")
    parts = identity.rsplit("@", len(KINDS[kind]) - 1) if len(KINDS[kind]) > 1 else [identity]
    need(len(parts) == len(KINDS[kind]), "too few parts")
    data = kind.encode() + b"\0"
    for part, form in zip(parts, KINDS[kind]):
        need(part, "an empty part")
        if form == NUMBER:
            raw = decimal(part).to_bytes(8, "big")
        elif form == DIGEST or (form == EITHER and part.startswith("sha256:")):
            need(part.startswith("sha256:") and len(part) == 71 and set(part[7:]) <= set("0123456789abcdef"), "not a digest")
            raw = bytes.fromhex(part[7:])
        else:
            need_form(part, form)
            raw = part.encode()
        data += len(raw).to_bytes(4, "big") + raw
    return sha256(data)


def check_run(lines, run):
    """key, seq and next key of the interval that is shown to be in the run."""
    index = decimal(take(lines, "index"))
    interval = unbase64(take(lines, "leaf"))
    need(len(interval) == 72, "not a leaf of 72 bytes")
    path = []
    while lines and lines[0].startswith("sibling "):
        path.append(unbase64_digest(take(lines, "sibling")))
    entries, root = run
    need(inclusion_root(leaf(interval), index, entries + 1, path) == root, "the leaf is not in the run")
    return interval[:32], int.from_bytes(interval[32:40], "big"), interval[40:]


def check_state(text, log):
    lines, proof = split(text, "cleared state proof v1")
    need(lines, "empty")
    answer = "present" if lines[0].startswith("present ") else "absent"
    kind = take(lines, answer)
    identity = take(lines, "id")
    key = subject_key(kind, identity)
    need(answer == "present" or kind not in PRESENT_ONLY, "the log may say the same under another id")
    seq = decimal(take(lines, "seq")) if answer == "present" else None
    need(lines and lines[-1].startswith("state "), "no state")
    record = unbase64(lines.pop()[6:])
    index, size = check_tlog_proof(proof, record, log)
    state = fact_of(record, 18)
    runs = []
    for number, value in state:
        if number == 2:
            run = dict(fields(value))
            runs.append((run[1], run[2]))
    need(dict(state).get(1) == index and size == index + 1, "the state is not the last record of the head")
    if answer == "present":
        run = decimal(take(lines, "run"))
        need(run < len(runs), "no such run")
        low, found, _ = check_run(lines, runs[run])
        need(low == key and found == seq and seq != 2**64 - 1, "the leaf is about something else")
    else:
        for number, run in enumerate(runs):
            need(decimal(take(lines, "run")) == number, "not the run that comes here")
            low, _, high = check_run(lines, run)
            need(low < key < high, "the interval does not hold the key")
    need(not lines, "a line too many")
    return f"at {index} records {answer}: {kind} {identity}" + (f" as record {seq}" if seq is not None else "")


def check(text, log):
    need("\0" not in text, "a zero byte")
    if text.startswith("cleared disclosure"):
        return check_disclosure(text, log)
    if text.startswith("cleared range"):
        return check_range(text, log)
    return check_state(text, log)


def main():
    log = log_key(sys.argv[1])
    for path in sys.argv[2:]:
        try:
            with open(path, "rb") as file:
                print(check(file.read().decode(), log))
        except (Refused, UnicodeDecodeError, KeyError) as error:
            print(f"{path}: does not verify: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

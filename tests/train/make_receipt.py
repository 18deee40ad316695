"""Known answers for receipt_test.cpp: Merkle roots (RFC 6962) over step lines and over serialised
ConsumedShardRecords (protobuf wire format, written out by hand). Python 3, no packages."""
from hashlib import sha256

A, B, C = (sha256(x).digest() for x in (b"A", b"B", b"C"))


def root(leaves):
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\1" + root(leaves[:k]) + root(leaves[k:])).digest()


lines = [
    f"codec {A.hex()} {B.hex()}",
    f"step 0 loss 40000000 norm 3f000000 applied {B.hex()} {A.hex()}",
    f"step 1 loss 3fc00000 norm 7149f2ca skipped {C.hex()} {B.hex()}",
]


print(root([line.encode() for line in lines]).hex())


def shard_record(run, end, shard, index, passes, firsts, us):
    def varint(value):
        return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])
    back = bytes(end - first for first in firsts)
    out = b"\x0a" + bytes([len(run)]) + run + b"\x10" + bytes([end]) + b"\x1a\x20" + shard
    out += (b"\x20" + bytes([index]) if index else b"") + b"\x2a" + bytes([len(passes)]) + bytes(passes)
    return out + b"\x32" + bytes([len(back)]) + back + b"\x38" + varint(us)


# C and A are samples 5 and 7 of one, 1.5 s and 1 s long; B is the first of another, 2 s.
shards = {sha256(b"one").digest(): (5, [1, 0, 2], [1, 0], 3_500_000), sha256(b"two").digest(): (0, [3], [0], 6_000_000)}
print(root([shard_record(b"tiny-0123", 2, shard, *shards[shard]) for shard in sorted(shards)]).hex())

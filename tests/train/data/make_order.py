"""Known answers for order_test.cpp: the data order of seed 20, 12 samples, batch 8, steps 0 to 2; and for view_test.cpp: what slot 5 of
step 3 sees under the seed 7.

Philox4x32-10 as in Salmon et al. 2011, in whole numbers of Python; no packages."""

M = 0xFFFFFFFF


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & M, (a >> 32) ^ c[3] ^ k[1], a & M]
        k = [(k[0] + 0x9E3779B9) & M, (k[1] + 0xBB67AE85) & M]
    return c


# Random123's own vector, so that this file is right by itself.
assert philox([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]) == [
    0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def philox64(a, b, tag, key):
    r = philox([a & M, a >> 32, b, tag], [key & M, key >> 32])
    return r[1] << 32 | r[0]


def order(seed, samples, count, first_step=0):
    key = philox64(first_step, 0, int.from_bytes(b"ordk", "big"), seed)
    half = 1
    while 4**half < samples:
        half += 1
    mask = (1 << half) - 1
    for position in range(count):
        epoch, index = divmod(position, samples)
        while True:
            left, right = index >> half, index & mask
            for r in range(4):
                f = philox64(right << 2 | r, epoch & M, int.from_bytes(b"ord0", "big") ^ epoch >> 32, key)
                left, right = right, left ^ (f & mask)
            index = left << half | right
            if index < samples:
                break
        yield index


print(", ".join(str(i) for i in order(20, 12, 24)))
print(*map(hex, philox([0, 5, 3, 7], [7, 0])))

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes ed25519.json and x25519.json beside it: keys, signatures and points at the edges of RFC 8032 and RFC 7748, and what must
become of them. The arithmetic is plain Python from the two RFCs and shares nothing with what is tested. Deterministic."""
import hashlib
import hmac
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
P = 2 ** 255 - 19
L = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I = pow(2, (P - 1) // 4, P)


# ---- Edwards

def add(a, b):
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    return ((x1 * y2 + x2 * y1) * pow(1 + t, P - 2, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, P - 2, P) % P)


def times(n, point):
    out = (0, 1)
    while n > 0:
        if n & 1:
            out = add(out, point)
        point, n = add(point, point), n >> 1
    return out


def root_x(y, sign):
    """The x of a y; None: not on the curve."""
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * I % P
    if v * x * x % P != u:
        return None
    return P - x if x & 1 != sign and x != 0 else x


BASE = (root_x(4 * pow(5, P - 2, P) % P, 0), 4 * pow(5, P - 2, P) % P)


def encode(point, y_plus=0, sign=None):
    x, y = point
    return (y + y_plus | (x & 1 if sign is None else sign) << 255).to_bytes(32, "little")


def h(r, a, message):
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % L


def secret(seed):
    digest = hashlib.sha512(seed).digest()
    return int.from_bytes(digest[:32], "little") & (2 ** 254 - 8) | 2 ** 254, digest[32:]


def sign(seed, message, torsion=(0, 1), of_key=(0, 1)):
    """(key, R, S); with `of_key` added to the key and `torsion` to R, such that 8 S B = 8 R + 8 h A still holds."""
    a, prefix = secret(seed)
    key = encode(add(times(a, BASE), of_key))
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % L
    point = encode(add(times(r, BASE), torsion))
    return key, point, (r + h(point, key, message) * a) % L


def small_order():
    """The eight points whose order divides 8, by a point off the main subgroup times its order."""
    y = 2
    while True:
        x = root_x(y, 0)
        if x is not None:
            point = times(L, (x, y))
            if times(4, point) != (0, 1):
                return [times(n, point) for n in range(8)]
        y += 1


def scalar(s):
    return s.to_bytes(32, "little")


def ed25519():
    cases = []

    def case(name, key, message, signature, valid, usable=True):
        cases.append({"name": name, "public_hex": key.hex(), "message_hex": message.hex(), "signature_hex": signature.hex(),
                      "usable": usable, "valid": valid})
    seed, message = bytes(range(32)), b"of our own making"
    key, r, s = sign(seed, message)
    good = r + scalar(s)
    for size in (0, 1, 63, 64, 65, 127, 128, 1023):
        text = bytes(i * 7 & 255 for i in range(size))
        own, own_r, own_s = sign(bytes([size & 255] * 32), text)
        case(f"a message of {size} bytes", own, text, own_r + scalar(own_s), True)
    for at in range(64):
        case(f"byte {at} altered", key, message, good[:at] + bytes([good[at] ^ 1]) + good[at + 1:], False)
    for n in range(1, 16):
        if s + n * L < 2 ** 256:
            case(f"S plus {n} times the order", key, message, r + scalar(s + n * L), False)
    for name, value in (("0", 0), ("1", 1), ("the order", L), ("one below the order", L - 1), ("the prime", P), ("all bits", 2 ** 256 - 1), ("minus S", L - s)):
        case(f"S is {name}", key, message, r + scalar(value), False)
    case("R and S exchanged", key, message, scalar(s) + r, False)
    case("R negated", key, message, bytes(r[:31]) + bytes([r[31] ^ 0x80]) + scalar(s), False)
    case("the key negated", key[:31] + bytes([key[31] ^ 0x80]), message, good, False)
    case("another message", key, message + b".", good, False)
    case("no message", key, b"", good, False)
    case("another key", sign(bytes(32), message)[0], message, good, False)
    torsion = small_order()
    a, _ = secret(seed)
    for n, point in enumerate(torsion):
        spelled = [(f"point {n} of small order", encode(point))]
        if point[1] < 19:
            spelled.append((f"point {n} of small order, not canonical", encode(point, P)))
        if point[0] == 0:
            spelled += [(f"{name}, with a sign", encode(point, plus, 1)) for name, plus in ((f"point {n} of small order", 0), (f"point {n} of small order, not canonical", P)) if point[1] + plus < 2 ** 255]
        for name, text in spelled:
            case(f"{name}, for a key, nothing signed", text, message, encode((0, 1)) + scalar(0), False, False)
            case(f"{name}, for a key, S B for R", text, message, encode(times(5, BASE)) + scalar(5), False, False)
            case(f"{name}, for R", key, message, text + scalar(h(text, key, message) * a % L), False)
        if n > 0:
            # Right where the equation is multiplied by 8 and wrong where it is not, unless h is a multiple of the order.
            for i in range(50):
                text = message + bytes([i])
                mixed, mixed_r, mixed_s = sign(seed, text, of_key=point)
                if times(h(mixed_r, mixed, text), point) != (0, 1):
                    case(f"a key with point {n} added, right by the cofactor alone", mixed, text, mixed_r + scalar(mixed_s), False, False)
                    break
            own, own_r, own_s = sign(seed, message, torsion=point)
            case(f"R with point {n} added, right by the cofactor alone", own, message, own_r + scalar(own_s), False)
    for y in range(2, 19):
        x = root_x(y, 0)
        if x is not None and (x, y) not in torsion:
            case(f"a key of y = p + {y}", encode((x, y), P), message, good, False, False)
            case(f"R of y = p + {y}", key, message, encode((x, y), P) + scalar(s), False)
    off = next(y for y in range(2, 100) if root_x(y, 0) is None)
    for name, text in ((f"y = {off}", off.to_bytes(32, "little")), ("all bits", b"\xff" * 32), ("y of 255 bits", b"\xff" * 31 + b"\x7f")):
        case(f"a key not on the curve, {name}", text, message, good, False, False)
        case(f"R not on the curve, {name}", key, message, text + scalar(s), False)
    return cases


# ---- Montgomery

def ladder(k, u):
    x1, x2, z2, x3, z3, swap = u, 1, 0, u, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = (x2 + z2) % P, (x2 - z2) % P, (x3 + z3) % P, (x3 - z3) % P
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = (aa - bb) % P
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return x2 * pow(z2, P - 2, P) % P


def x25519():
    cases, transcript = [], b"WFLDB1 session\nof our own making\n"

    def case(name, private, public):
        k = int.from_bytes(private, "little") & (2 ** 254 - 8) | 2 ** 254
        shared = ladder(k, (int.from_bytes(public, "little") & (2 ** 255 - 1)) % P).to_bytes(32, "little")
        prk = hmac.new(hashlib.sha256(transcript).digest(), shared, hashlib.sha256).hexdigest()
        ok = shared != bytes(32)
        cases.append({"name": name, "private_hex": private.hex(), "public_hex": public.hex(), "transcript": transcript.decode(),
                      "accepted": ok, "prk_hex": prk if ok else ""})
    privates = {"any": bytes(range(1, 33)), "all bits": b"\xff" * 32, "no bits": bytes(32), "the lowest bits": b"\x07" + bytes(31), "the top bit": bytes(31) + b"\x80"}
    # u of an Edwards point: (1 + y) / (1 - y).
    low = sorted({(1 + y) * pow(1 - y, P - 2, P) % P for _, y in small_order()} | {0, 1, P - 1})
    for name, private in privates.items():
        for i, u in enumerate(low):
            for plus, how in ((0, ""), (P, ", not canonical")):
                if u + plus < 2 ** 255:
                    for top in (0, 1):
                        case(f"{name} by point {i} of small order{how}{', top bit set' if top else ''}", private, (u + plus | top << 255).to_bytes(32, "little"))
        for u in [2, 9, P - 2, P + 2, P + 9, P + 18, 2 ** 254, 2 ** 255 - 1]:
            for top in (0, 1):
                case(f"{name} by {'p + ' + str(u - P) if u >= P else u}{', top bit set' if top else ''}", private, (u | top << 255).to_bytes(32, "little"))
    value = bytes(range(32))
    for i in range(20):
        public = ladder(int.from_bytes(value, "little") & (2 ** 254 - 8) | 2 ** 254, 9).to_bytes(32, "little")
        case(f"pair {i}", hashlib.sha256(value).digest(), public)
        value = hashlib.sha256(public).digest()
    return cases


if __name__ == "__main__":
    for name, make in (("ed25519", ed25519), ("x25519", x25519)):
        (HERE / f"{name}.json").write_text(json.dumps(make(), indent=0) + "\n")

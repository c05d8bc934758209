#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds in tests/fuzz/corpus/<target>/seed-*, most of them from tests/vectors.

Only files named seed-* are the script's: inputs that once crashed a target lie beside them under
other names and are kept by hand.
"""
import base64
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors"


def load(name):
    return json.loads((VECTORS / name).read_text())


def slug(name):
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")


def write(target, seeds):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("seed-*"):
        old.unlink()
    for name, content in seeds.items():
        (folder / f"seed-{slug(name)}").write_bytes(content)


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def unb64u(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def json_lines(packet):
    """The form that packet_fuzz.c signs itself."""
    lines = []
    for link in packet.split("~"):
        header, payload, _ = link.split(".")
        lines += [unb64u(header), unb64u(payload)]
    return b"!" + b"\n".join(lines)


def packets():
    cases = {case["name"]: case["packet"] for case in load("packets.json")}
    raw = ["one link", "two links of the three", "signature altered", "S not canonical", "payload not UTF-8",
           "payload with text after it", "four parts", "padding", "trailing tilde"]
    lines = ["one link", "three links, narrowing", "pattern narrowed to pattern", "link signed by someone else",
             "star from a pattern", "shorter prefix", "delegate not smaller", "five links, delegate 4 to 0",
             "not yet valid, within grace", "audience matches",
             "header with crit", "exp a fraction", "exp beyond 2^53", "admin on one bucket", "manage with a prefix",
             "limit zero", "cnf of another curve", "cnf key of small order", "duplicate member in a grant"]
    seeds = {f"raw {name}": cases[name].encode() for name in raw}
    seeds |= {f"lines {name}": json_lines(cases[name]) for name in lines}
    return seeds


def canonical():
    seeds = {}
    for case in load("canonical.json"):
        path, _, query = case["target"].partition("?")
        lines = [case["method"], path, query, case["authority"]]
        lines += [f"{name}:{value}" for name, value in case["headers"]]
        seeds[case["name"]] = "\n".join(lines).encode()
    seeds["encoded slash"] = b"GET\n/v1/photos/a%2Fb\n\nhost"
    seeds["malformed escape"] = b"GET\n/v1/photos/a%2\nx=%zz\nhost"
    seeds["header twice"] = b"PUT\n/v1/photos/a\n\nhost\nRange:bytes=0-1\nrange: bytes=2-3"
    return seeds


def http1():
    get = b"GET /v1/photos/a?x=1 HTTP/1.1\r\nHost: db.example\r\n"
    put = b"PUT /v1/photos/a HTTP/1.1\r\nHost: db.example\r\n"
    messages = {
        "get": get + b"\r\n",
        "two in a row": get + b"\r\n" + get + b"Connection: close\r\n\r\n",
        "blank lines before": b"\r\n\r\n" + get + b"\r\n",
        "length": put + b"Content-Length: 11\r\n\r\nhello world" + get + b"\r\n",
        "empty body": put + b"Content-Length: 0\r\n\r\n" + get + b"\r\n",
        "body cut short": put + b"Content-Length: 20\r\n\r\nhello",
        "chunked": put + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n" + get + b"\r\n",
        "extension and trailer": put + b"Transfer-Encoding: chunked\r\n\r\nA;x=1\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
        "chunk without end": put + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloworld",
        "chunk size too large": put + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
        "both framings": put + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "length twice": put + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "continue": put + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        "absolute form": b"GET http://db.example/v1/ HTTP/1.1\r\nHost: db.example\r\n\r\n",
        "old version": b"GET /v1/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get + b"\r\n",
        "bare line feed": get + b"X: y\n\r\n",
        "folded": get + b"X: y\r\n z\r\n\r\n",
        "spaces around": get + b"X: \t y \t\r\n\r\n",
        "many headers": get + b"".join(b"X%d: y\r\n" % i for i in range(14)) + b"\r\n",
        "head of the limit": get + b"X: " + b"y" * (600 - len(get) - 7) + b"\r\n\r\n",
        "head above the limit": get + b"X: " + b"y" * 700 + b"\r\n\r\n",
        "target above the limit": b"GET /" + b"a" * 101 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        "options": b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    }
    seeds = {name: b"\0@\0\0" + message for name, message in messages.items()}
    for name in ("length", "chunked", "two in a row"):
        seeds[f"{name}, ignored"] = b"\1@\6\2" + messages[name]
        seeds[f"{name}, small reads"] = b"\0\3\12\0" + messages[name]
    return seeds


def http2():
    def frame(kind, flags, stream, payload=b""):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    def block(*fields):
        """Literals without the table; what the static table has is index and value."""
        return b"".join((bytes([n]) if isinstance(n, int) else b"\0" + bytes([len(n)]) + n) +
                        (b"" if v is None else bytes([len(v)]) + v) for n, v in fields)

    def head(stream, *more, method=0x82, flags=5, path=b"/v1/photos/a"):
        named = [(method, None) if isinstance(method, int) else (0x02, method), (0x86, None), (0x01, b"h"), (0x04, path)]
        return frame(1, flags, stream, block(*named, *more))

    def data(stream, content, flags=1):
        return frame(0, flags, stream, content)

    setup = frame(4, 0, 0)
    get, put = head(1), head(1, (b"content-length", b"5"), method=b"PUT", flags=4)
    wide, shut = frame(4, 0, 0, b"\0\4\x7f\xff\xff\xff"), frame(4, 0, 0, b"\0\4\0\0\0\0")
    whole = head(1)[9:]
    messages = {
        "get": get, "two": get + head(3), "put": put + data(1, b"hello"), "put without a length": head(1, method=b"PUT", flags=4) + data(1, b"hel", 0) + data(1, b"lo"),
        "too short": put + data(1, b"hell"), "too long": put + data(1, b"hello!"), "reset": put + frame(3, 0, 1, b"\0\0\0\x08"), "reset at once": get + frame(3, 0, 1, b"\0\0\0\x08"),
        "five streams": b"".join(head(s, method=b"PUT", flags=4) for s in (1, 3, 5, 7, 9)), "padded": head(1, method=b"PUT", flags=4) + frame(0, 9, 1, b"\3abc\0\0\0"),
        "trailers": put + data(1, b"hello", 0) + frame(1, 5, 1, block((b"a", b"b"))), "continued": frame(1, 1, 1, whole[:9]) + frame(9, 0, 1, whole[9:15]) + frame(9, 4, 1, whole[15:]),
        "a ping inside a head": frame(1, 1, 1, whole[:9]) + frame(6, 0, 0, bytes(8)), "ping": frame(6, 0, 0, b"12345678") + get, "pings": frame(6, 0, 0, bytes(8)) * 40,
        "settings": frame(4, 0, 0, b"\0\1\0\0\0\0" + b"\0\3\0\0\0\1" + b"\0\5\0\0\x40\0") + get, "its acknowledgement": frame(4, 1, 0) + get,
        "shut window": shut + get + frame(8, 0, 1, b"\0\0\0\1"), "wide window": wide + frame(8, 0, 0, b"\x7f\xff\0\0") + get, "window of 0": put + frame(8, 0, 1, bytes(4)),
        "window too large": get + frame(8, 0, 0, b"\x7f\xff\xff\xff"), "goaway": get + frame(7, 0, 0, bytes(8)), "priority": frame(2, 0, 1, b"\0\0\0\3\x10") + get,
        "unknown kind": frame(0xbb, 0xff, 5, b"hello") + get, "push": frame(5, 4, 1, b"\0\0\0\2" + whole), "even stream": head(2), "stream 0": frame(1, 5, 0, whole),
        "head": head(1, method=b"HEAD"), "connect": frame(1, 5, 1, block((0x02, b"CONNECT"), (0x01, b"h:1"))), "options": head(1, method=b"OPTIONS", path=b"*"),
        "continue": head(1, (b"expect", b"100-continue"), (b"content-length", b"5"), method=b"PUT", flags=4) + data(1, b"hello"),
        "two Hosts": head(1, (b"host", b"h"), (b"host", b"h")), "another Host": head(1, (b"host", b"i")), "connection": head(1, (b"connection", b"close")),
        "transfer-encoding": head(1, (b"transfer-encoding", b"chunked")), "upper case": head(1, (b"A", b"b")), "LF in a value": head(1, (b"a", b"b\nc")),
        "a late pseudo-header": head(1, (b"a", b"b"), (0x04, b"/")), "two paths": head(1, (0x04, b"/")), "a fragment": head(1, path=b"/a#b"), "no path": head(1, path=b""),
        "many headers": head(1, *[(b"x%d" % i, b"y") for i in range(14)]), "a large header": head(1, *[(b"x%d" % i, b"y" * 120) for i in range(6)]),
        "a long target": head(1, path=b"/" + b"a" * 101), "from the table": frame(1, 5, 1, block((0x82, None), (0x86, None), (0x41, b"h"), (0x44, b"/a"), (0x40, b"\1a\1b"[1:2]))) + frame(1, 5, 3, b"\x82\x86\xbf\xbe"),
        "a table resized": frame(1, 5, 1, b"\x20\x3f\xe1\x1f" + whole), "a broken block": frame(1, 5, 1, b"\xff\xff\xff\xff\xff"),
    }
    seeds = {name: b"\0@\xff\xff" + setup + message for name, message in messages.items()}
    for name in ("get", "two", "put", "put without a length", "five streams", "shut window", "wide window", "reset", "trailers"):
        for behaviour, what in ((1, "ignored"), (2, "answered with much"), (6, "answered later"), (8, "aborted"), (16, "read once"), (36, "watched")):
            seeds[f"{name}, {what}"] = bytes([behaviour]) + b"@\4\x09" + setup + messages[name]
        seeds[f"{name}, byte by byte"] = b"\2\1\1\0" + setup + messages[name]
    return seeds


def keyfiles():
    keys = load("keys.json")
    packet = load("packets.json")[0]["packet"]
    client = keys["client"]
    private = dict(client["jwk"], d=b64u(bytes.fromhex(client["seed_hex"])).decode(), kid=client["thumbprint"])
    other = b64u(bytes.fromhex(keys["root"]["seed_hex"])).decode()
    documents = {
        "public": client["jwk"],
        "public with kid": dict(client["jwk"], kid=client["thumbprint"]),
        "wrong kid": dict(client["jwk"], kid=keys["root"]["thumbprint"]),
        "private": private,
        "credential": dict(private, packet=packet, endpoint="http://127.0.0.1:7410"),
        "server": dict(private, packet=packet, server=keys["root2"]["jwk"]),
        "server no key": dict(private, server="x"),
        "d of another": dict(private, d=other),
        "other curve": dict(client["jwk"], crv="X25519"),
        "small order": dict(client["jwk"], x=b64u(bytes(32)).decode()),
        "escapes": dict(private, endpoint="\u00e4\n\"\U0001f511"),
    }
    seeds = {name: json.dumps(value).encode() for name, value in documents.items()}
    seeds["member twice"] = b'{"kty":"OKP","kty":"OKP"}'
    seeds["deep"] = b'{"a":' * 17 + b"1" + b"}" * 17
    return seeds


def sessions():
    vector = load("session.json")
    point = vector["client_x25519"]
    answer = {n: vector[n] for n in ("session", "expires", "signature")} | {"x25519": vector["server_x25519"]}
    documents = {
        "request": {"x25519": point, "ttl": 3600},
        "request with more": {"x25519": point, "ttl": 1, "scope": "photos"},
        "ttl too long": {"x25519": point, "ttl": 86401},
        "ttl a fraction": {"x25519": point, "ttl": 1.5},
        "short point": {"x25519": point[:-1], "ttl": 1},
        "padded point": {"x25519": point + "=", "ttl": 1},
        "trailing bits": {"x25519": point[:-1] + "9", "ttl": 1},
        "answer": answer,
        "answer with more": dict(answer, scope="-"),
        "answer without signature": {n: v for n, v in answer.items() if n != "signature"},
        "huge expiry": dict(answer, expires=2**63 - 1),
    }
    seeds = {name: json.dumps(value).encode() for name, value in documents.items()}
    seeds["member twice"] = b'{"ttl":1,"ttl":2}'
    seeds["nul"] = b'{"x25519":"\\u0000","ttl":1}'
    return seeds


def presigned():
    vector = next(c for c in load("canonical.json") if c["name"] == "presigned URL")
    query = vector["target"].partition("?")[2]
    whole = ["wfl-packet=x", "wfl-timestamp=2025-11-24T16:00:00Z", "wfl-expires=300", "wfl-signature=" + "A" * 86]
    queries = {
        "vector": query,
        "vector and more": f"version=1&{query}&&at=%2f",
        "nothing": "",
        "parts": "&".join(whole),
        "each twice": "&".join(whole * 2),
        "names encoded": "%77fl-packet=x&wfl%2Dexpires=1",
        "unknown": "wfl-nonce=1",
        "bare prefix": "wfl-",
        "bad escapes": "wfl-packet=%zz&%z=1",
        "largest": "wfl-packet=x&wfl-timestamp=9999-12-31T23:59:59.999999999Z&wfl-expires=604800",
    }
    seeds = {name: b"\0" + text.encode() for name, text in queries.items()}
    seeds["good"] = b"\1"
    seeds["good, appended to"] = b"\1" + b"".join(b"\xff\xff" + bytes([c]) for c in b"&wfl-x=1")
    seeds["good, another spelling"] = b"\1\0\0%" + b"\0\1" + b"7" + b"\0\2" + b"6"
    return seeds


def cursors():
    def plain(last, folded=0, version=1):
        return bytes([version]) + bytes(range(16)) + bytes(range(16, 32)) + bytes([folded]) + last

    return {
        "plain": b"!" + plain(b"2026/a.jpg"),
        "folded": b"!" + plain(b"2026/", folded=1),
        "long": b"!" + plain(b"k" * 1024),
        "too long": b"!" + plain(b"k" * 1025),
        "no key": b"!" + plain(b""),
        "other version": b"!" + plain(b"a", version=2),
        "flag of 2": b"!" + plain(b"a", folded=2),
        "text": b64u(plain(b"2026/a.jpg") + bytes.fromhex("00000000")),
    }


def targets():
    ulid = b"01JDFJ7Z7Q2S4T6V8X0A2C4E6G"
    cases = {
        "object": [b"GET", b"/v1/photos/2026/a.jpg", b"at=" + ulid, b'"' + ulid + b'"', b"bytes=0-99", b"1000"],
        "escapes": [b"PUT", b"/v1/photos/%C3%A4%20b", b"", b"*", b"bytes=-5", b"3"],
        "bucket": [b"GET", b"/v1/photos", b"", b'W/"x", "y",, "' + ulid + b'"', b"bytes=5-", b"5"],
        "buckets": [b"GET", b"/v1/", b"limit=5&prefix=a%2Fb&cursor=", b"", b"bytes=0-1,3-4", b"9"],
        "scan": [b"GET", b"/v1/photos/scan", b"prefix=2026/&limit=10&limit=11", b"x", b"bytes=9-1", b"10"],
        "query": [b"GET", b"/v1/photos/query", b"tag.colour=red&tag.size=1%2A&tag.a-b=*&prefix=2026/&limit=10", b"", b"", b""],
        "query, refused": [b"GET", b"/v1/photos/query", b"tag.a=1&tag.%61=2&tag.=&tag.A=\x01&prefix=a&prefix=b", b"", b"", b""],
        "reserved": [b"PUT", b"/v1/photos/scan", b"&&=", b'"', b"items=0-1", b"10"],
        "server": [b"GET", b"/v1/-/server", b"", b"", b"", b""],
        "server, spelled": [b"GET", b"/v1/%2d/server", b"", b"", b"", b""],
        "encoded slash": [b"GET", b"/v1/photos/a%2fb", b"after=%zz", b"", b"bytes=" + b"9" * 25 + b"-", b"1"],
        "dots": [b"GET", b"/v1/photos/a/../b", b"", b"", b"bytes=0-18446744073709551615", b"18446744073709551615"],
        "empty segments": [b"DELETE", b"/v1/photos//a//", b"", b"", b"bytes=-18446744073709551615", b"1"],
    }
    return {name: b"\n".join(lines) for name, lines in cases.items()}


def revocations():
    jti, kid = "01JDFJ7Z7Q2S4T6V8X0A2C4E6G", "0FPtKLJ7zoyzH5rwvGPCFFUpZPzjzs1TkiMYcsBCDOE"
    bodies = [{"jti": jti}, {"kid": kid}, {"link": "a.b.c"}, {"jti": jti, "reason": "laptop lost"}, {"jti": jti, "kid": kid},
              {"reason": "none"}, {"jti": jti.lower()}, {"kid": kid[:-1] + "F"}, {"kid": kid, "reason": "a\u0000b"}, [], {}]
    seeds = {f"{i:02}": json.dumps(body).encode() for i, body in enumerate(bodies)}
    twice = f'{{"jti":"{jti}","jti":"{jti}"}}'.encode()
    places = {"place jti": f"j{jti}", "place kid": f"k{kid}", "place link": f"l{kid}{jti}"}
    return {**seeds, "twice": twice, **{name: text.encode() for name, text in places.items()}}


def settings():
    texts = ["", "{}", '{"versions":0,"quota_bytes":1000,"quota_objects":5,"max_object_bytes":10}',
             '{"versions":-1}', '{"public_read":false}', '{"public_read":1}', '{"quota_bytes":9007199254740993}',
             '{"quota_bytes":1.5}', '{"quota_bytes":null}', '{"unknown":1}', '{"versions":0,"versions":0}',
             "[1]", "{", '{"expire_seconds":60}', '{"quota_bytes":1e3}', '{"\\u0076ersions":0}']
    return {f"{i:02}": text.encode() for i, text in enumerate(texts)}


class Flat:
    """FlatBuffers, as far as seeds need them. A table is a list of fields: None, (alignment, bytes) for what lies
    in the table, or what is referred to: a table, bytes, ("structs", alignment, list) or ("tables", list)."""

    def __init__(self, table, identifier=b"WFLR"):
        self.out = bytearray(b"\0\0\0\0" + identifier)
        self.refer(0, self.place(table))

    def refer(self, at, to):
        self.out[at:at + 4] = (to - at).to_bytes(4, "little")

    def align(self, n, ahead=0):
        self.out += bytes(-(len(self.out) + ahead) % n)

    def place(self, value):
        if isinstance(value, list):
            return self.table(value)
        if isinstance(value, bytes):
            self.align(4)
            at = len(self.out)
            self.out += len(value).to_bytes(4, "little") + value + b"\0"
            return at
        if value[0] == "structs":
            self.align(4)
            self.align(max(4, value[1]), 4)
            at = len(self.out)
            self.out += len(value[2]).to_bytes(4, "little") + b"".join(value[2])
            return at
        self.align(4)
        at = len(self.out)
        self.out += len(value[1]).to_bytes(4, "little") + bytes(4 * len(value[1]))
        for i, table in enumerate(value[1]):
            self.refer(at + 4 + 4 * i, self.place(table))
        return at

    def table(self, fields):
        inline, places = bytearray(4), []
        for field in fields:
            alignment, content = field if isinstance(field, tuple) and isinstance(field[0], int) else (4, bytes(4))
            if field is not None:
                inline += bytes(-len(inline) % alignment)
            places.append(len(inline) if field is not None else 0)
            inline += content if field is not None else b""
        self.align(2)
        vtable = len(self.out)
        for number in [4 + 2 * len(fields), len(inline), *places]:
            self.out += number.to_bytes(2, "little")
        self.align(8)
        at = len(self.out)
        inline[:4] = (at - vtable).to_bytes(4, "little")
        self.out += inline
        for field, place in zip(fields, places):
            if field is not None and not (isinstance(field, tuple) and isinstance(field[0], int)):
                self.refer(at + place, self.place(field))
        return at


def manifests():
    """First byte: which record manifest_fuzz.c takes it for."""
    page, parts, upload, state, part, refs, trash = range(7)
    ulid, hash_ = (1, bytes(range(16))), (1, bytes(range(32)))

    def number(n, size):
        return size, n.to_bytes(size, "little")

    def chunk(n):
        return bytes(range(32)) + n.to_bytes(4, "little")

    def extent(n):
        return bytes(range(16)) + n.to_bytes(8, "little")

    condition = [number(3, 1), ("structs", 1, [bytes(16), bytes(range(16))])]
    pairs = ("tables", [[b"name", b"value"], [b"x", b""]])
    records = {
        "page": (page, [("structs", 4, [chunk(1 << 20), chunk(1)])]),
        "page, full": (page, [("structs", 4, [chunk(1 << 20)] * 256)]),
        "page of too many": (page, [("structs", 4, [chunk(1)] * 257)]),
        "page of none": (page, [("structs", 4, [])]),
        "page with an empty chunk": (page, [("structs", 4, [chunk(0)])]),
        "page with a chunk too long": (page, [("structs", 4, [chunk((1 << 20) + 1)])]),
        "parts": (parts, [("structs", 8, [extent(1 << 20), extent(1 << 40), extent(0)])]),
        "parts of none": (parts, [("structs", 8, [])]),
        "upload": (upload, [b"2026/a.jpg", b"image/jpeg", pairs, pairs, b"someone", ulid, condition, condition]),
        "upload, small": (upload, [b"k", b""]),
        "upload without a type": (upload, [b"k"]),
        "upload, odd condition": (upload, [b"k", b"", None, None, None, None, [number(200, 1)]]),
        "state": (state, [number(5000, 8), number(3, 4), number(7, 8), number(1764000000000, 8)]),
        "part": (part, [ulid, number(1 << 20, 8), hash_]),
        "part without a hash": (part, [ulid, number(1, 8)]),
        "refs": (refs, [number(3, 8), number(1 << 20, 4)]),
        "refs, zero": (refs, []),
        "trash": (trash, [number(2, 1)]),
        "trash, parts": (trash, [number(3, 1)]),
        "trash, unknown": (trash, [number(9, 1)]),
    }
    return {name: bytes([which]) + bytes(Flat(table).out) for name, (which, table) in records.items()}


def completions():
    def part(n, digit="a"):
        return '{"part":%d,"blake3":"%s"}' % (n, digit * 64)

    texts = {
        "one": '{"parts":[%s]}' % part(1),
        "two and the whole": '{"parts":[%s,%s],"blake3":"%s"}' % (part(1), part(10000, "0"), "F" * 64),
        "none": '{"parts":[]}',
        "many": '{"parts":[%s]}' % ",".join(part(n) for n in range(1, 40)),
        "descending": '{"parts":[%s,%s]}' % (part(2), part(1)),
        "zero": '{"parts":[%s]}' % part(0),
        "too great": '{"parts":[%s]}' % part(10001),
        "huge": '{"parts":[%s]}' % part(1 << 70),
        "fraction": '{"parts":[{"part":1.0,"blake3":"%s"}]}' % ("a" * 64),
        "short hash": '{"parts":[{"part":1,"blake3":"aa"}]}',
        "no hex": '{"parts":[%s]}' % part(1, "g"),
        "member twice": '{"parts":[],"parts":[]}',
        "unknown member": '{"parts":[],"etag":"x"}',
        "unknown member of a part": '{"parts":[{"part":1,"blake3":"%s","size":1}]}' % ("a" * 64),
        "list": "[]",
        "parts an object": '{"parts":{}}',
        "whole no text": '{"parts":[],"blake3":null}',
        "deep": '{"parts":' + "[" * 40 + "]" * 40 + "}",
        "no JSON": "{",
        "empty": "",
        "NUL": '{"parts":[{"part":1,"blake3":"\\u0000"}]}',
    }
    return {name: text.encode() for name, text in texts.items()}


def segments():
    def record(length, name=b"name", magic=b"wflR", version=1, name_len=None):
        return (magic + struct.pack("<HHII", version, len(name) if name_len is None else name_len, length, 0) +
                bytes(range(32)) + name)

    def at(block, content):
        return bytes([block, len(content)]) + content

    return {
        "one": b"!" + at(1, record(100)),
        "several": b"!" + at(1, record(100)) + at(2, record(9000)) + at(5, record(1, b"n" * 64)),
        "behind a gap": b"!" + at(1, record(100)) + at(7, record(3968)) + at(8, record(3969)),
        "overlapping": b"!" + at(1, record(9000)) + at(2, record(5)) + at(4, record(5)),
        "behind the end": b"!" + at(31, record(4000)) + at(30, record(1 << 20)),
        "cut off": b"!" + at(31, record(3000)) + b"\xff",
        "no content": b"!" + at(1, record(0)),
        "too long": b"!" + at(1, record((1 << 20) + 1)),
        "no name": b"!" + at(1, record(5, b"")),
        "long name": b"!" + at(1, record(5, b"n" * 64, name_len=65)),
        "behind the name": b"!" + at(1, record(5, b"name" + bytes(20) + b"x", name_len=4)),
        "other version": b"!" + at(1, record(5, version=2)),
        "other magic": b"!" + at(1, record(5, magic=b"wflX")),
        "file": b"wflSEG01" + struct.pack("<IIQ", 1, 0, 1) + bytes(24) + bytes(200),
    }


def outcomes():
    """First byte: what outcome_fuzz.c makes of the row."""
    created, refusal, version, content = 1, 2, 4, 8

    def row(fields, rest=b"", kind=0, form=1, expires=1 << 40):
        return bytes([kind]) + struct.pack(">QB", expires, form) + bytes(range(32)) + bytes([fields]) + rest

    def text(value):
        return bytes([len(value)]) + value

    ulid, stored = bytes(range(1, 17)), struct.pack(">Q", 5) + bytes(range(1, 33))
    settings = struct.pack(">QQ", 3, 4000) + b'{"versions":3}'
    return {
        "deletion": row(version, ulid), "put": row(created | version | content, ulid + stored),
        "refused": row(refusal | version, text(b"precondition_failed") + text(b"the current version is another one") + ulid),
        "refused for no reason": row(refusal, text(b"forbidden") + text(b"")),
        "unknown refusal": row(refusal, text(b"x") + text(b"y")), "long text": row(refusal, b"\xffbucket_not_found"),
        "nothing": row(0), "cut": row(version | content, ulid + stored)[:-3], "other form": row(0, form=2),
        "other fields": row(64), "no hash": row(content, bytes(40)), "empty": b"\0",
        "bucket": row(version, ulid + settings, 1), "bucket without settings": row(version, ulid, 1),
        "bucket with others": row(version, ulid + bytes(16) + b'{"colour":1}', 1), "bucket cut": row(version, ulid + b"abc", 1),
        "batch": row(0, bytes(range(64)), 2), "batch of three": row(0, bytes(48), 2),
        "batch refused": row(refusal, text(b"key_not_found") + text(b"why") + struct.pack(">HHH", 0, 3, 9), 2),
    }


def messages():
    """First byte: what wire_fuzz.c takes it for."""
    def byte(n):
        return 1, bytes([n])

    def long(n):
        return 8, n.to_bytes(8, "little", signed=True)

    def message(kind, body):
        return bytes(Flat([byte(kind), body], b"WFLW").out)

    def op(kind, key=b"k", bucket=None, condition=None, version=None, value=None, content_type=None, meta=None, tags=None,
           source=None, source_version=None, *more):
        return [byte(kind), bucket, key, condition, version, value, content_type, meta, tags, source, source_version, *more]

    put, delete, copy, check = 1, 2, 3, 4
    ulid = (1, bytes(range(16)))
    pairs = ("tables", [[b"b", b"2"], [b"a", b"1"]])
    batches_ = {
        "each": [op(put, value=b"text", content_type=b"a/b", meta=pairs, tags=pairs), op(delete, b"b", condition=byte(1)),
                 op(copy, b"c", source=b"e", source_version=ulid, meta=pairs), op(check, b"d", condition=byte(3), version=ulid)],
        "absent": [op(put, value=b"", condition=byte(2))],
        "none": [],
        "no kind": [op(0)],
        "no value": [op(put)],
        "key twice": [op(put, value=b""), op(delete)],
        "name twice": [op(put, value=b"", meta=("tables", [[b"a", b"1"], [b"a", b"2"]]))],
        "condition without version": [op(check, condition=byte(3))],
        "a member more": [op(delete, b"k", None, None, None, None, None, None, None, None, None, byte(1))],
        "reserved": [op(delete, b"scan")],
    }
    out = {f"batch {name}": b"b" + message(8, [("tables", ops)]) for name, ops in batches_.items()}
    out["buckets"] = b"*" + message(8, [("tables", [op(delete, bucket=b"photos")])])
    out["buckets unnamed"] = b"*" + message(8, [("tables", [op(delete)])])
    out["settings for a batch"] = b"b" + message(3, [long(1)])
    out["record for a batch"] = b"b" + bytes(Flat([byte(8), [("tables", [op(delete)])]]).out)
    all_ = [long(i) for i in range(9)] + [byte(1)]
    for name, body in {"all": all_, "some": [long(-1), None, long(5)], "none": [], "unknown": [None] * 11 + [byte(1)],
                       "unset": [long(2)] + [None] * 9 + [("tables", [b"quota_bytes", b"public_read"])]}.items():
        out[f"settings {name}"] = b"s" + message(3, body)
        out[f"patch {name}"] = b"p" + message(3, body)
    out["batch for settings"] = b"s" + message(8, [("tables", [op(delete)])])
    return out


def batches():
    ulid = "01JDFJ7Z7Q2S4T6V8X0A2C4E6G"
    put = {"op": "put", "key": "a", "value": "text"}
    ops = {
        "protocol": [put, {"op": "put", "key": "b", "base64": "AAE=", "content_type": "a/b", "meta": {"m": "1"}, "tags": {"t": "2"}},
                     {"op": "delete", "key": "c"}, {"op": "copy", "from": "e", "key": "f"},
                     {"op": "check", "key": "d", "if": ulid}],
        "conditions": [dict(put, **{"if": None}), {"op": "delete", "key": "b", "if": "*"}, {"op": "check", "key": "a", "if": ulid}],
        "copy": [{"op": "copy", "from": "a", "key": "b", "from_version": ulid, "meta": {}, "tags": {"z": "1", "a": "2"}}],
        "key twice": [put, {"op": "delete", "key": "a"}],
        "bad names": [dict(put, key="a/../b")],
        "reserved": [dict(put, key="scan")],
        "no content": [{"op": "put", "key": "a"}],
        "bad base64": [{"op": "put", "key": "a", "base64": "AAF="}],
        "bad tag": [dict(put, tags={"t": ""})],
        "none": [],
        "many": [dict(put, key=str(i), value="") for i in range(40)],
    }
    seeds = {name: b"." + json.dumps({"ops": list_of}).encode() for name, list_of in ops.items()}
    named = [dict(op, bucket=bucket) for op, bucket in zip(ops["protocol"], ("photos", "films", "photos", "films", "a-b.c"))]
    seeds["buckets"] = b"*" + json.dumps({"ops": named}).encode()
    seeds["bad bucket"] = b"*" + json.dumps({"ops": [dict(put, bucket="-")]}).encode()
    seeds["escapes"] = rb'.{"ops":[{"op":"put","\u006bey":"\u00e4\ud83d\ude00","value":"\u0000\n"}]}'
    seeds["member twice"] = b'.{"ops":[{"op":"put","op":"put","key":"a","value":""}]}'
    seeds["deep"] = b'.{"ops":[[[[[[[[[1]]]]]]]]]}'
    seeds["cut"] = b'.{"ops":[{"op":"put","key":"a","value":"te'
    seeds["numbers"] = b'.{"ops":[1e400,99999999999999999999]}'
    return seeds


if __name__ == "__main__":
    for target, make in {"packet": packets, "canonical": canonical, "http1": http1, "http2": http2,
                         "keyfile": keyfiles, "cursor": cursors, "target": targets, "settings": settings,
                         "session": sessions, "presigned": presigned,
                         "revocation": revocations, "manifest": manifests,
                         "completion": completions, "segment": segments, "outcome": outcomes, "batch": batches, "wire": messages}.items():
        write(target, make())

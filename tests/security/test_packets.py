# SPDX-License-Identifier: Apache-2.0
"""Key packets under attack: each rule of the protocol's section on them, as a table of packets that break it."""
import base64
import json
import time

import pytest

from wfltest import Client, Grant, Key, Server, issue, link
from wfltest.keys import ALL_OPS, b64u, ulid

NOW = int(time.time())
ANY = [Grant("*", ops=["get"])]
BIG = 10 ** 400


@pytest.fixture(scope="module")
def server():
    with Server(audience="prod-eu") as running:
        yield running


class Chain:
    """The keys of a case: root signs a, a signs b, and so on; mallory is nobody's."""

    def __init__(self, root):
        self.root, self.a, self.b, self.c, self.d, self.e, self.mallory = root, Key(), Key(), Key(), Key(), Key(), Key()

    def one(self, **options):
        """root to a, as written."""
        return link(self.root, self.a, options.pop("grants", ANY), **options)

    def two(self, parent=(), child=(), grants=ANY, to=ANY, **options):
        """root to b by a; the rest changes the second link."""
        first = link(self.root, self.a, grants, delegate=options.pop("parent_delegate", 1), **dict(parent))
        return first + "~" + link(self.a, self.b, to, **dict(child), **options)

    def holder(self, packet_links):
        return {1: self.a, 2: self.b, 3: self.c, 4: self.d, 5: self.e}[packet_links]

    def long(self, links, delegate=4):
        keys = [self.root, self.a, self.b, self.c, self.d, self.e, self.mallory]
        return "~".join(link(keys[i], keys[i + 1], ANY, delegate=max(delegate - i, 0)) for i in range(links))


def raw(signer, header, payload):
    """A link of any two texts (or bytes), well signed."""
    def part(text):
        return b64u(text.encode() if isinstance(text, str) else text)
    text = part(header) + "." + part(payload)
    return text + "." + b64u(signer.sign(text.encode()))


def texts(c, **options):
    """Header and payload of a good link, as texts to spoil."""
    return [base64.urlsafe_b64decode(p + "==").decode() for p in c.one(**options).split(".")[:2]]


def spoil(old, new, where=1):
    def make(c):
        parts = texts(c)
        assert old in parts[where], (old, parts[where])
        parts[where] = parts[where].replace(old, new, 1)
        return raw(c.root, *parts)
    return make


def grant(**members):
    return lambda c: c.one(grants=[members])


def ask(server, packet, key):
    with Client(server, key=key, packet=packet) as client:
        return client.request("GET", "/v1/")


def holder_of(c, packet):
    return c.holder(min(packet.count("~") + 1, 5))


SMALL_ORDER = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
NOT_CANONICAL = b64u(bytes([0xee]) + b"\xff" * 30 + b"\x7f")

MALFORMED = {
    # the text
    "a word": lambda c: "x",
    "two parts": lambda c: ".".join(c.one().split(".")[:2]),
    "four parts": lambda c: c.one() + ".x",
    "a link cut short": lambda c: c.one()[:-10],
    "a link without its end": lambda c: c.one()[:-1],
    "one character more": lambda c: c.one() + "A",
    "padding": lambda c: c.one() + "=",
    "the standard alphabet": lambda c: c.one()[:-2] + "+A",
    "white space": lambda c: c.one().replace(".", " .", 1),
    "an empty link behind": lambda c: c.one() + "~",
    "an empty link before": lambda c: "~" + c.one(),
    "two joints": lambda c: c.two().replace("~", "~~"),
    "a detached signature": lambda c: c.one().rsplit(".", 1)[0] + ".",
    "an empty payload": lambda c: c.one().split(".")[0] + ".." + c.one().split(".")[2],
    "a cut payload": lambda c: (lambda p: f"{p[0]}.{p[1][:-3]}.{p[2]}")(c.one().split(".")),
    "two payloads in one": lambda c: raw(c.root, texts(c)[0], texts(c)[1] * 2),
    "six links": lambda c: c.long(6),
    "over 8192 bytes": lambda c: c.one(payload={"note": "x" * 6000}),
    # the JSON
    "no JSON": lambda c: raw(c.root, texts(c)[0], "x"),
    "an array": lambda c: raw(c.root, texts(c)[0], "[]"),
    "a header array": lambda c: raw(c.root, "[]", texts(c)[1]),
    "text behind": lambda c: raw(c.root, texts(c)[0], texts(c)[1] + " x"),
    "a byte order mark": lambda c: raw(c.root, texts(c)[0], "\ufeff" + texts(c)[1]),
    "latin-1": lambda c: raw(c.root, texts(c)[0], texts(c, sub="X")[1].encode().replace(b'"X"', b'"\xe4"')),
    "overlong UTF-8": lambda c: raw(c.root, texts(c)[0], texts(c, sub="X")[1].encode().replace(b'"X"', b'"\xc0\xaf"')),
    "a surrogate": lambda c: raw(c.root, texts(c)[0], texts(c, sub="X")[1].encode().replace(b'"X"', b'"\xed\xa0\x80"')),
    "half an escaped pair": spoil('"iat"', '"x":"\\ud800","iat"'),
    "an escaped NUL": spoil('"iat"', '"x":"\\u0000","iat"'),
    "a NUL": lambda c: raw(c.root, texts(c)[0], texts(c, sub="X")[1].replace("X", "\0")),
    "a single quote": spoil('"iat"', "'x':1,\"iat\""),
    "a comment": spoil("{", "{/**/"),
    "a comma too many": lambda c: raw(c.root, texts(c)[0], texts(c)[1][:-1] + ",}"),
    "NaN": spoil('"iat"', '"x":NaN,"iat"'),
    "nested 17 deep": lambda c: c.one(payload={"x": json.loads("[" * 16 + "]" * 16)}),
    "nested 3000 deep": lambda c: raw(c.root, texts(c)[0], "[" * 3000),
    "iat twice": spoil('"iat"', '"iat":1,"iat"'),
    "iat twice, once escaped": spoil('"iat"', '"i\\u0061t":1,"iat"'),
    "twice, and ignored": spoil('"iat"', '"x":1,"x":2,"iat"'),
    "twice, deep in what is ignored": spoil('"iat"', '"x":[{"y":1,"y":2}],"iat"'),
    "alg twice": spoil('"alg"', '"alg":"none","alg"', 0),
    "ops twice": spoil('"ops"', '"ops":["put"],"ops"'),
    "grants twice": spoil('"grants"', '"grants":[],"grants"'),
    "x twice": spoil('"x"', f'"x":"{SMALL_ORDER}","x"'),
    # the header
    "alg none": lambda c: c.one(header={"alg": "none"}),
    "alg None": lambda c: c.one(header={"alg": "None"}),
    "alg HS256": lambda c: c.one(header={"alg": "HS256"}),
    "alg eddsa": lambda c: c.one(header={"alg": "eddsa"}),
    "alg a list": lambda c: c.one(header={"alg": ["EdDSA"]}),
    "no alg": lambda c: c.one(header={"alg": None}),
    "typ JWT": lambda c: c.one(header={"typ": "JWT"}),
    "no typ": lambda c: c.one(header={"typ": None}),
    "no kid": lambda c: c.one(header={"kid": None}),
    "kid a number": lambda c: c.one(header={"kid": 1}),
    "a key in the header": lambda c: c.one(header={"jwk": c.mallory.jwk}),
    "jku": lambda c: c.one(header={"jku": "http://localhost/keys"}),
    "crit": lambda c: c.one(header={"crit": ["exp"]}),
    "b64": lambda c: c.one(header={"b64": False}),
    # the payload
    "no jti": lambda c: c.one(payload={"jti": None}),
    "jti a word": lambda c: c.one(payload={"jti": "x"}),
    "jti in lower case": lambda c: c.one(payload={"jti": ulid().lower()}),
    "jti too large": lambda c: c.one(payload={"jti": "8" + "Z" * 25}),
    "no iat": lambda c: c.one(payload={"iat": None}),
    "no exp": lambda c: c.one(payload={"exp": None}),
    "no cnf": lambda c: c.one(payload={"cnf": None}),
    "no wfl": lambda c: c.one(payload={"wfl": None}),
    "iat a text": lambda c: c.one(payload={"iat": str(NOW)}),
    "iat a fraction": lambda c: c.one(payload={"iat": NOW + 0.5}),
    "iat with a point": lambda c: c.one(payload={"iat": float(NOW)}),
    "iat in powers": spoil('"iat": ', '"iat": 1e9,"was":'),
    "iat below 0": lambda c: c.one(payload={"iat": -1}),
    "exp over 2^53": lambda c: c.one(exp=2 ** 53 + 1),
    "exp over 2^64": lambda c: c.one(exp=2 ** 64 + NOW),
    "exp of 400 digits": lambda c: c.one(exp=BIG),
    "exp true": lambda c: c.one(payload={"exp": True}),
    "exp at iat": lambda c: c.one(exp=NOW, iat=NOW),
    "exp before iat": lambda c: c.one(exp=NOW - 1, iat=NOW),
    "nbf a text": lambda c: c.one(payload={"nbf": "0"}),
    "nbf null": spoil('"iat"', '"nbf":null,"iat"'),
    "sub a number": lambda c: c.one(payload={"sub": 1}),
    "aud a list": lambda c: c.one(payload={"aud": ["prod-eu"]}),
    "aud null": spoil('"iat"', '"aud":null,"iat"'),
    # the holder
    "cnf without a key": lambda c: c.one(payload={"cnf": {}}),
    "cnf with a thumbprint only": lambda c: c.one(payload={"cnf": {"jkt": c.a.thumb}}),
    "a private holder": lambda c: c.one(payload={"cnf": {"jwk": {**c.a.jwk, "d": b64u(c.a.seed)}}}),
    "a private holder, null": spoil('"kty"', '"d":null,"kty"'),
    "X25519": lambda c: c.one(payload={"cnf": {"jwk": {**c.a.jwk, "crv": "X25519"}}}),
    "P-256": lambda c: c.one(payload={"cnf": {"jwk": {"kty": "EC", "crv": "P-256", "x": c.a.jwk["x"], "y": c.a.jwk["x"]}}}),
    "a point of small order": lambda c: c.one(payload={"cnf": {"jwk": {**c.a.jwk, "x": SMALL_ORDER}}}),
    "a point of order 4": lambda c: c.one(payload={"cnf": {"jwk": {**c.a.jwk, "x": b64u(bytes(32))}}}),
    "a point that is not canonical": lambda c: c.one(payload={"cnf": {"jwk": {**c.a.jwk, "x": NOT_CANONICAL}}}),
    "31 bytes": lambda c: c.one(payload={"cnf": {"jwk": {**c.a.jwk, "x": b64u(c.a.public[:31])}}}),
    "x padded": lambda c: c.one(payload={"cnf": {"jwk": {**c.a.jwk, "x": c.a.jwk["x"] + "="}}}),
    # wfl
    "v 2": lambda c: c.one(wfl={"v": 2}),
    "no v": lambda c: c.one(wfl={"v": None}),
    "v a text": lambda c: c.one(wfl={"v": "1"}),
    "no grants": lambda c: c.one(wfl={"grants": None}),
    "empty grants": lambda c: c.one(grants=[]),
    "grants an object": lambda c: c.one(grants={}),
    "65 grants": lambda c: c.one(grants=[{"bucket": "*", "ops": ["get"]}] * 65),
    "delegate 5": lambda c: c.one(wfl={"delegate": 5}),
    "delegate -1": lambda c: c.one(wfl={"delegate": -1}),
    "delegate true": lambda c: c.one(wfl={"delegate": True}),
    "delegate 0.0": lambda c: c.one(wfl={"delegate": 0.0}),
    "unknown in wfl": lambda c: c.one(wfl={"admin": True}),
    "limits a list": lambda c: c.one(limits=[]),
    "unknown limit": lambda c: c.one(limits={"objects": 1}),
    "limit 0": lambda c: c.one(limits={"max_object_bytes": 0}),
    "limit below 0": lambda c: c.one(limits={"requests_per_second": -1}),
    "limit of 400 digits": lambda c: c.one(limits={"bytes_per_second": BIG}),
    "limit a text": lambda c: c.one(limits={"bytes_per_second": "1"}),
    # grants
    "unknown in a grant": grant(bucket="*", ops=["get"], until=1),
    "a grant that is a list": lambda c: c.one(grants=[["*"]]),
    "no bucket": grant(ops=["get"]),
    "bucket a number": grant(bucket=1, ops=["get"]),
    "bucket empty": grant(bucket="", ops=["get"]),
    "bucket in upper case": grant(bucket="Photos", ops=["get"]),
    "bucket with a slash": grant(bucket="photos/", ops=["get"]),
    "two stars": grant(bucket="**", ops=["get"]),
    "a star in the middle": grant(bucket="a*c", ops=["get"]),
    "a star in front": grant(bucket="*abc", ops=["get"]),
    "the system's name": grant(bucket="-", ops=["get"]),
    "no ops": grant(bucket="*"),
    "empty ops": grant(bucket="*", ops=[]),
    "ops a text": grant(bucket="*", ops="get"),
    "an op twice": grant(bucket="*", ops=["get", "get"]),
    "op star": grant(bucket="*", ops=["*"]),
    "op GET": grant(bucket="*", ops=["GET"]),
    "op a number": grant(bucket="*", ops=[1]),
    "prefix a number": grant(bucket="*", prefix=1, ops=["get"]),
    "prefix null": grant(bucket="*", prefix=None, ops=["get"]),
    "manage with a prefix": grant(bucket="*", prefix="a/", ops=["manage"]),
    "admin with a prefix": grant(bucket="*", prefix="a/", ops=["admin"]),
    "admin of a bucket": grant(bucket="photos", ops=["admin"]),
    "admin of some buckets": grant(bucket="p*", ops=["admin"]),
    "admin among others": grant(bucket="photos", ops=["get", "admin"]),
    # more of the header: whatever a library might obey
    "crit empty": lambda c: c.one(header={"crit": []}),
    "crit of b64": lambda c: c.one(header={"crit": ["b64"], "b64": False}),
    "crit of ours": lambda c: c.one(header={"crit": ["wfl"]}),
    "x5c": lambda c: c.one(header={"x5c": ["AAAA"]}),
    "x5u": lambda c: c.one(header={"x5u": "http://localhost/cert"}),
    "zip": lambda c: c.one(header={"zip": "DEF"}),
    "cty": lambda c: c.one(header={"cty": "JWT"}),
    "enc": lambda c: c.one(header={"enc": "A128GCM"}),
    "alg nOnE": lambda c: c.one(header={"alg": "nOnE"}),
    "alg empty": lambda c: c.one(header={"alg": ""}),
    "alg null": spoil('"EdDSA"', "null", 0),
    "alg Ed25519": lambda c: c.one(header={"alg": "Ed25519"}),
    "alg ES256": lambda c: c.one(header={"alg": "ES256"}),
    "alg with space": lambda c: c.one(header={"alg": "EdDSA "}),
    "alg with an escaped NUL": spoil('"EdDSA"', '"EdDSA\\u0000"', 0),
    "typ in upper case": lambda c: c.one(header={"typ": "WFL-PACKET+JWT"}),
    "typ with application": lambda c: c.one(header={"typ": "application/wfl-packet+jwt"}),
    "typ a list": lambda c: c.one(header={"typ": ["wfl-packet+jwt"]}),
    "kid null": spoil('"kid": "', '"kid": null, "x": "', 0),
    "kid a list": lambda c: c.one(header={"kid": [c.root.thumb]}),
    "kid an object": lambda c: c.one(header={"kid": {"kid": c.root.thumb}}),
    "kid twice": spoil('"kid"', '"kid":"x","kid"', 0),
    "a header nested 17 deep": lambda c: c.one(header={"x": json.loads("[" * 16 + "]" * 16)}),
    "a claim in the header": lambda c: c.one(header={"exp": 2 ** 40}),
    # huge numbers, and numbers that are none
    "iat of 400 digits": lambda c: c.one(payload={"iat": BIG}),
    "nbf of 400 digits": lambda c: c.one(payload={"nbf": BIG}),
    "exp below -2^63": lambda c: c.one(payload={"exp": -2 ** 63 - 1}),
    "exp 1e400": spoil('"exp": ', '"exp": 1e400,"was":'),
    "exp -0": spoil('"exp": ', '"exp": -0.0,"was":'),
    "exp with a zero before": spoil('"exp": ', '"exp": 0'),
    "exp with a plus": spoil('"exp": ', '"exp": +'),
    "exp Infinity": spoil('"exp": ', '"exp": Infinity,"was":'),
    "exp in hexadecimal": spoil('"exp": ', '"exp": 0x7fffffff,"was":'),
    "exp a list": lambda c: c.one(payload={"exp": [2 ** 40]}),
    "delegate of 400 digits": lambda c: c.one(wfl={"delegate": BIG}),
    "delegate of 2^32": lambda c: c.one(wfl={"delegate": 2 ** 32}),
    "v of 2^32 and 1": lambda c: c.one(wfl={"v": 2 ** 32 + 1}),
    "v 1.0": lambda c: c.one(wfl={"v": 1.0}),
    # names twice, spelled in two ways
    "exp twice, once escaped": spoil('"exp"', '"\\u0065xp":9007199254740992,"exp"'),
    "wfl twice": spoil('"wfl"', '"wfl":{},"wfl"'),
    "cnf twice": spoil('"cnf"', '"cnf":{},"cnf"'),
    "bucket twice": spoil('"bucket"', '"bucket":"a","bucket"'),
    "delegate twice": spoil('"delegate"', '"delegate":4,"delegate"'),
    "aud twice": spoil('"iat"', '"aud":"a","aud":"prod-eu","iat"'),
    # the text joined and cut
    "a joint alone": lambda c: "~",
    "five joints": lambda c: "~~~~~",
    "joined by a comma": lambda c: c.two().replace("~", ","),
    "joined by a dot": lambda c: c.two().replace("~", "."),
    "two signatures": lambda c: c.one() + c.one().rsplit(".", 1)[1],
    "a signature in DER's length": lambda c: c.one()[:-4],
    "a line end behind": lambda c: c.one() + "%0A",
    "a header cut": lambda c: c.one()[3:],
    "JSON as it is": lambda c: ".".join(texts(c)) + "." + c.one().rsplit(".", 1)[1],
    "JSON serialisation": lambda c: json.dumps(dict(zip(("protected", "payload", "signature"), c.one().split(".")))).replace(" ", ""),
    "five parts, as encrypted ones have": lambda c: ".".join(c.one().split(".")[:1] * 5),
    "UTF-16": lambda c: raw(c.root, texts(c)[0], texts(c)[1].encode("utf-16")),
    # a fault anywhere in the chain
    "a malformed first link": lambda c: c.two(parent={"wfl": {"v": 2}}),
    "a malformed last link": lambda c: c.two(wfl={"v": 2}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_packet_is_malformed(server, name):
    c = Chain(server.root)
    packet = MALFORMED[name](c)
    refused = ask(server, packet, holder_of(c, packet))
    assert (refused.status, refused.code) == (401, "packet_malformed"), refused


GOOD = {
    "one link": lambda c: c.one(),
    "five links": lambda c: c.long(5),
    "a member that is ignored": lambda c: c.one(payload={"iss": "someone", "x": [{"y": None}]}),
    "nested 16 deep": lambda c: c.one(payload={"x": json.loads("[" * 15 + "]" * 15)}),
    "64 grants": lambda c: c.one(grants=[{"bucket": "*", "ops": ["get"]}] * 64),
    "8192 bytes or as good as": lambda c: (lambda n: c.one(payload={"note": "x" * n}))(
        6000 - (len(c.one(payload={"note": "x" * 6000})) - 8190) * 3 // 4),
    "times at the edge": lambda c: c.one(payload={"iat": 0, "exp": 2 ** 53}),
    "white space in the JSON": lambda c: raw(c.root, texts(c)[0], "\n\t " + texts(c)[1] + "\r\n"),
    "its audience": lambda c: c.one(aud="prod-eu"),
    "every op": lambda c: c.one(grants=[Grant("*", ops=ALL_OPS)]),
    "the last second": lambda c: c.one(payload={"iat": NOW - 100, "exp": int(time.time()) + 30}),
    "nbf within the grace": lambda c: c.one(iat=int(time.time()) + 20),
    "a first link that any JWT library makes": lambda c: c.one(sub="alice@laptop", nbf=NOW - 5),
    "prefix and pattern narrowed": lambda c: c.two(grants=[Grant("team-*", "a/", ["get", "put"])],
                                                   to=[Grant("team-x*", "a/b", ["put"])]),
    "the same again": lambda c: c.two(grants=[Grant("abc", "a/", ["get"])], to=[Grant("abc", "a/", ["get"])]),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_packet_is_let_in(server, name):
    c = Chain(server.root)
    packet = GOOD[name](c)
    assert len(packet) <= 8192
    answered = ask(server, packet, holder_of(c, packet))
    assert answered.status == 200, answered


def other_bits(packet):
    """The same bytes, another text: the last character's unused bits."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return packet[:-1] + alphabet[alphabet.index(packet[-1]) | 1]


def moved(c):
    """The second link of another chain behind this one's first."""
    return c.one(wfl={"delegate": 1}) + "~" + link(c.mallory, c.b, ANY)


def exchanged_payload(c):
    a, b = c.one().split("."), c.one(grants=[Grant("*", ops=ALL_OPS)]).split(".")
    return f"{a[0]}.{b[1]}.{a[2]}"


def flipped(at):
    def make(c):
        text, _ = c.one().rsplit(".", 1)
        changed = bytearray(c.root.sign(text.encode()))
        changed[at] ^= 1
        return f"{text}.{b64u(bytes(changed))}"
    return make


ORDER = 2 ** 252 + 27742317777372353535851937790883648493


def malleable(c):
    parts = c.one().split(".")
    good = c.root.sign(f"{parts[0]}.{parts[1]}".encode())
    s = int.from_bytes(good[32:], "little") + ORDER
    return f"{parts[0]}.{parts[1]}.{b64u(good[:32] + s.to_bytes(32, 'little'))}"


REFUSED = {
    "packet_untrusted": {
        "another root": lambda c: link(c.mallory, c.a, ANY),
        "another root by name": lambda c: link(c.root, c.a, ANY, kid=c.mallory.thumb),
        "no name": lambda c: link(c.root, c.a, ANY, header={"kid": ""}),
        "half a name": lambda c: link(c.root, c.a, ANY, kid=c.root.thumb[:-1]),
        "the second link by the root": lambda c: c.one(wfl={"delegate": 1}) + "~" + link(c.root, c.b, ANY),
        "the second link by its own holder": lambda c: c.one(wfl={"delegate": 1}) + "~" + link(c.b, c.b, ANY),
        "a link of another chain": moved,
        "links exchanged": lambda c: "~".join(reversed(c.two().split("~"))),
        "the first link left out": lambda c: c.two().split("~")[1],
        "a link in the middle left out": lambda c: "~".join(c.long(3).split("~")[::2]),
        "the first link twice": lambda c: c.one(wfl={"delegate": 1}) + "~" + c.one(),
        "two packets joined": lambda c: c.two() + "~" + c.two(),
        "the first link of another root's chain": lambda c: link(c.mallory, c.a, ANY, delegate=1) + "~" + link(c.a, c.b, ANY),
        "a chain behind its own end": lambda c: c.two(delegate=0) + "~" + c.one(),
        "the second link for a holder of the third": lambda c: c.long(3).rsplit("~", 1)[0] + "~" + link(c.a, c.c, ANY),
        "a name in other letters": lambda c: link(c.root, c.a, ANY, kid=c.root.thumb.swapcase()),
        "a name and more": lambda c: link(c.root, c.a, ANY, kid=c.root.thumb + "A"),
        "a name with a path": lambda c: link(c.root, c.a, ANY, kid="../" + c.root.thumb),
        "a name with a quote": lambda c: link(c.root, c.a, ANY, kid="' OR '1'='1"),
        "the key's own text for a name": lambda c: link(c.root, c.a, ANY, kid=c.root.jwk["x"]),
    },
    "packet_signature": {
        "a signature of another link of the chain": lambda c: (
            lambda two: two.rsplit(".", 1)[0] + "." + two.split("~")[0].rsplit(".", 1)[1])(c.two()),
        "signatures of two links exchanged": lambda c: (
            lambda one, two: "~".join([one.rsplit(".", 1)[0] + "." + two.rsplit(".", 1)[1], two.rsplit(".", 1)[0] + "." + one.rsplit(".", 1)[1]]))(*c.two().split("~")),
        "a header of one link, a payload of another": lambda c: (
            lambda one, other: ".".join([one.split(".")[0], other.split(".")[1], one.split(".")[2]]))(c.one(), c.one(wfl={"delegate": 4})),
        "signed by somebody else": lambda c: link(c.mallory, c.a, ANY, kid=c.root.thumb),
        "the second by somebody else": lambda c: c.one(wfl={"delegate": 1}) + "~" + link(c.mallory, c.b, ANY, kid=c.a.thumb),
        "another payload": exchanged_payload,
        "no signature but zeros": lambda c: c.one(signature=bytes(64)),
        "R flipped": flipped(0),
        "S flipped": flipped(40),
        "S plus the order": malleable,
        "R of small order, S zero": lambda c: c.one(signature=b"\x01" + bytes(63)),
        "the signature of the text without a dot": lambda c: (
            lambda p: f"{p[0]}.{p[1]}.{b64u(c.root.sign((p[0] + p[1]).encode()))}")(c.one().split(".")),
    },
    "packet_expired": {
        "long ago": lambda c: c.one(iat=1000, exp=2000),
        "this second": lambda c: c.one(iat=NOW - 100, exp=NOW),
        "the first link": lambda c: c.two(parent={"iat": 1000, "exp": 2000}),
        "the last link": lambda c: c.two(child={"iat": 1000, "exp": 2000}),
        "no grace behind": lambda c: c.one(iat=NOW - 100, exp=NOW - 1),
    },
    "packet_not_yet_valid": {
        "nbf in an hour": lambda c: c.one(nbf=NOW + 3600, ttl=7200),
        "iat in an hour": lambda c: c.one(iat=NOW + 3600),
        "past the grace": lambda c: c.one(nbf=int(time.time()) + 60, ttl=7200),
        "the first link": lambda c: c.two(parent={"nbf": NOW + 3600, "ttl": 7200}),
        "the last link": lambda c: c.two(child={"nbf": NOW + 3600, "ttl": 7200}),
    },
    "packet_escalation": {
        "no delegation": lambda c: c.two(parent_delegate=0),
        "as much delegation": lambda c: c.two(delegate=1),
        "more delegation": lambda c: c.two(delegate=4),
        "more in the third": lambda c: c.two(parent_delegate=1) + "~" + link(c.b, c.c, ANY),
        "another bucket": lambda c: c.two(grants=[Grant("abc")], to=[Grant("abd")]),
        "every bucket": lambda c: c.two(grants=[Grant("abc")], to=[Grant("*")]),
        "a longer name": lambda c: c.two(grants=[Grant("abc")], to=[Grant("abcd")]),
        "a bucket's name with a star": lambda c: c.two(grants=[Grant("abc")], to=[Grant("abc*")]),
        "a shorter pattern": lambda c: c.two(grants=[Grant("team-*")], to=[Grant("team*")]),
        "less than the pattern": lambda c: c.two(grants=[Grant("team-a*")], to=[Grant("team")]),
        "no prefix": lambda c: c.two(grants=[Grant("*", "a/", ["get"])], to=[Grant("*", ops=["get"])]),
        "an empty prefix": lambda c: c.two(grants=[Grant("*", "a/", ["get"])], to=[Grant("*", "", ["get"])]),
        "a shorter prefix": lambda c: c.two(grants=[Grant("*", "a/b", ["get"])], to=[Grant("*", "a/", ["get"])]),
        "another prefix": lambda c: c.two(grants=[Grant("*", "a/", ["get"])], to=[Grant("*", "b/", ["get"])]),
        "a prefix that climbs": lambda c: c.two(grants=[Grant("*", "a/", ["get"])], to=[Grant("*", "../a/", ["get"])]),
        "a prefix in other letters": lambda c: c.two(grants=[Grant("*", "a/", ["get"])], to=[Grant("*", "A/", ["get"])]),
        "an op more": lambda c: c.two(grants=[Grant("*", ops=["get"])], to=[Grant("*", ops=["get", "put"])]),
        "another op": lambda c: c.two(grants=[Grant("*", ops=["get"])], to=[Grant("*", ops=["put"])]),
        "admin from manage": lambda c: c.two(grants=[Grant("*", ops=["manage"])], to=[Grant("*", ops=["admin"])]),
        "manage from a prefix": lambda c: c.two(grants=[Grant("*", "a/", ["get", "put", "delete", "scan"])],
                                                to=[Grant("*", ops=["manage"])]),
        "two grants made one": lambda c: c.two(grants=[Grant("abc", ops=["get"]), Grant("abc", ops=["put"])],
                                               to=[Grant("abc", ops=["get", "put"])]),
        "one of two": lambda c: c.two(grants=[Grant("abc", ops=["get"])], to=[Grant("abc", ops=["get"]), Grant("abd", ops=["get"])]),
        "the grandparent's grant": lambda c: c.two(grants=[Grant("*", ops=["get"])], to=[Grant("abc", ops=["get"])],
                                                   parent_delegate=2, delegate=1) + "~" + link(c.b, c.c, [Grant("abd", ops=["get"])]),
    },
    "packet_audience": {
        "another": lambda c: c.one(aud="prod-us"),
        "an empty one": lambda c: c.one(aud=""),
        "a longer one": lambda c: c.one(aud="prod-eu2"),
        "in other letters": lambda c: c.one(aud="PROD-EU"),
        "of the first link": lambda c: c.two(parent={"aud": "prod-us"}),
        "of the last link": lambda c: c.two(child={"aud": "prod-us"}),
    },
}


@pytest.mark.parametrize("code, name", [(code, name) for code, cases in REFUSED.items() for name in cases])
def test_a_chain_that_does_not_hold_is_refused(server, code, name):
    c = Chain(server.root)
    packet = REFUSED[code][name](c)
    refused = ask(server, packet, holder_of(c, packet))
    assert (refused.status, refused.code) == (401, code), refused


def test_an_audience_needs_a_server_that_has_one(tmp_path):
    with Server(str(tmp_path)) as nameless:
        key = Key()
        assert ask(nameless, issue(nameless.root, key, ANY, aud="prod-eu"), key).code == "packet_audience"
        assert ask(nameless, issue(nameless.root, key, ANY, aud=""), key).code == "packet_audience"
        assert ask(nameless, issue(nameless.root, key, ANY), key).status == 200


def test_another_text_of_the_same_bytes_is_no_packet(server):
    c = Chain(server.root)
    packet = c.one()
    assert ask(server, packet, c.a).status == 200  # known by now
    changed = other_bits(packet)
    assert changed != packet
    assert ask(server, changed, c.a).code == "packet_malformed"


def test_a_known_packet_expires_all_the_same(server):
    """Judged anew on each use: the answer changes at the second, whatever is remembered."""
    c = Chain(server.root)
    end = int(time.time()) + 2
    packet = c.one(iat=end - 100, exp=end)
    with Client(server, key=c.a, packet=packet) as client:
        while True:
            before = time.time()
            answer = client.request("GET", "/v1/")
            after = time.time()
            if answer.status == 200:
                assert before < end
            else:
                assert answer.code == "packet_expired" and after >= end
                break


def test_the_smallest_limit_of_the_chain_holds(server):
    with Client(server) as maker:
        maker.make_bucket("limited")
    c = Chain(server.root)
    grants = [Grant("limited", ops=["put"])]
    for first, second, most in [(10, 20, 10), (20, 10, 10), (None, 10, 10), (10, None, 10)]:
        packet = c.two(grants=grants, to=grants, parent={"limits": {"max_object_bytes": first}} if first else {},
                       child={"limits": {"max_object_bytes": second}} if second else {})
        with Client(server, key=c.b, packet=packet) as client:
            client.put("limited", "k", b"x" * most)
            assert client.put("limited", "k", b"x" * (most + 1), status=413).code == "object_too_large"

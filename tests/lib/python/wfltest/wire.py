# SPDX-License-Identifier: Apache-2.0
"""FlatBuffers messages by flatc, which knows nothing but the schema; and the JSON document that says the same."""
import base64
import datetime
import json
import os
import subprocess
import tempfile

from .server import source_root

TYPE = "application/vnd.wfldb+flatbuffers"
ACCEPT = ("Accept", TYPE)
CONTENT = ("Content-Type", TYPE)
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _flatc(*args, cwd):
    schema = os.path.join(source_root(), "schema", "wfldb.fbs")
    done = subprocess.run(["flatc", *args[:-1], schema, *args[-1]], cwd=cwd, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def decode(message):
    """Bytes to what flatc reads from them: (type, body). The identifier must be right."""
    assert message[4:8] == b"WFLW", message[:8]
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "m.bin"), "wb") as out:
            out.write(message)
        _flatc("--json", "--strict-json", "--defaults-json", ("--", "m.bin"), cwd=folder)
        with open(os.path.join(folder, "m.json")) as text:
            read = json.load(text)
    return read["body_type"], read["body"]


def encode(kind, body):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "m.json"), "w") as out:
            json.dump({"body_type": kind, "body": body}, out)
        _flatc("--binary", ("m.json",), cwd=folder)
        with open(os.path.join(folder, "m.bin"), "rb") as message:
            return message.read()


# ---- values

def ulid(text):
    number = 0
    for character in text:
        number = number * 32 + CROCKFORD.index(character)
    return {"bytes": list(number.to_bytes(16, "big"))}


def ulid_text(value):
    number = int.from_bytes(bytes(value["bytes"]), "big")
    return "".join(CROCKFORD[number >> 5 * i & 31] for i in reversed(range(26)))


def time_text(ms):
    moment = datetime.datetime.fromtimestamp(ms // 1000, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"


def pairs(of):
    return [{"name": n, "value": v} for n, v in of.items()]


def _hash(value):
    return bytes(value["bytes"]).hex()


def _pairs(value):
    assert [p["name"] for p in value] == sorted({p["name"] for p in value})
    return {p["name"]: p["value"] for p in value}


def _kind(value):
    return value.lower()


def _bytes(value):
    return base64.b64encode(bytes(value)).decode()


def _rows(read):
    return lambda rows: [read(row) for row in rows]


def _table(**members):
    """A reader of a table; a member that JSON does not have fails."""
    def read(table):
        return {name: members[name](value) for name, value in table.items()}
    return read


def _as_is(value):
    return value


def _change(row):
    """JSON gives size to puts alone."""
    read = _table(version=ulid_text, op=_kind, key=_as_is, size=_as_is, blake3=_hash, by=_as_is, jti=ulid_text,
                  erased=ulid_text, tags=_pairs, modified=time_text)(row)
    if read["op"] != "put":
        assert read.pop("size") == 0
    return read




def _settings(table):
    """flatc writes null for those that are not there."""
    return {name: value for name, value in table.items() if value is not None}


_ITEM = _table(key=_as_is, version=ulid_text, size=_as_is, blake3=_hash, content_type=_as_is, modified=time_text,
               meta=_pairs, tags=_pairs, value=_bytes)
_BODIES = {
    "BucketList": _table(buckets=_rows(_table(name=_as_is))),
    "Bucket": _table(name=_as_is, settings=_settings, objects=_as_is, bytes=_as_is, version=ulid_text),
    "Listing": _table(items=_rows(_ITEM), prefixes=_as_is, at=ulid_text, cursor=_as_is),
    "VersionList": _table(versions=_rows(_change)),
    "UploadList": _table(uploads=_rows(_table(upload=ulid_text, key=_as_is, started=time_text, bytes=_as_is))),
    "PartList": _table(parts=_rows(_table(part=_as_is, size=_as_is, blake3=_hash))),
    "BatchResults": _table(results=_rows(_table(bucket=_as_is, key=_as_is, version=ulid_text))),
    "Changes": _table(changes=_rows(_change), next=ulid_text),
}


def document(answer):
    """The JSON document that says what a FlatBuffers answer says, and its type."""
    assert answer.header("content-type") == TYPE, answer
    kind, body = decode(answer.body)
    return kind, _BODIES[kind](body)


# ---- batches

def batch(ops):
    """A JSON batch's ops as a message."""
    return encode("Batch", {"ops": [_op(dict(op)) for op in ops]})


def _op(op):
    out = {"op": op.pop("op").capitalize()}
    if "if" in op:
        condition = op.pop("if")
        out["condition"] = {"*": "Exists", None: "Absent"}.get(condition, "Version")
        if out["condition"] == "Version":
            out["condition_version"] = ulid(condition)
    if "from_version" in op:
        out["from_version"] = ulid(op.pop("from_version"))
    if "base64" in op:
        out["value"] = list(base64.b64decode(op.pop("base64")))
    if "value" in op:
        out["value"] = list(op.pop("value").encode())
    for name in ("meta", "tags"):
        if name in op:
            out[name] = pairs(op.pop(name))
    return out | op

# SPDX-License-Identifier: Apache-2.0
"""wfldb on versions, copies, batches, queries and settings, against a real server: options, exit codes, JSON, odd keys."""
import base64
import json
import re
import subprocess

import pytest

from wfltest import Grant
from wfltest.client import path_of
from wfltest.programs import Cli, FakeServer
from wfltest.relay import Relay

NO_VERSION = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
ODD_KEYS = ["with space", "ümläut/日本/😀", "100% & more?x=1#y", "a//b", "/begins", "plus+and'quotes\"", "back\\slash", "-o", "%2F",
            "scan/x", "\u0080\uffff", "x" * 1024]


@pytest.fixture
def cli(server, tmp_path):
    return Cli(server, tmp_path)


@pytest.fixture
def kept(client1, bucket):
    """A bucket that keeps every version."""
    settings = b'{"versions":-1}'
    client1.expect(200, "PATCH", path_of(bucket), [("Content-Type", "application/json")], settings)
    return bucket


def put(client, bucket, key, body=b"x", headers=()):
    return client.put(bucket, key, body, headers).json["version"]


def live(client, bucket):
    return [item["key"] for item in client.scan(bucket)[0]]


# ---- used wrongly

@pytest.mark.parametrize("words, says", [
    (["versions"], "versions BUCKET/KEY"), (["versions", "bucket"], "BUCKET/KEY"), (["versions", "B!/k"], "bucket's name"),
    (["cat", "bucket/k", "--version"], "--version takes a version"), (["cat", "bucket/k", "--version=x"], "--version takes a version"),
    (["cat", "bucket/k", "--version", NO_VERSION.lower()], "--version takes a version"),
    (["cat", "bucket/k", "--version", NO_VERSION, "--at", NO_VERSION], "not both"), (["cat", "bucket/k", "--at"], "--at needs a value"),
    (["cat", "bucket/k", "--version", NO_VERSION, "--version", NO_VERSION], "twice"),
    (["put", "-", "bucket/k", "--version", NO_VERSION], "no option of put"), (["rm", "bucket/k", "--at", NO_VERSION], "no option of rm"),
    (["mv", "bucket/k", "bucket/l", "--version", NO_VERSION], "no option of mv"), (["ls", "bucket", "--version", NO_VERSION], "no option of ls"),
    (["ls", "--at", NO_VERSION], "--at needs a BUCKET"), (["stat", "bucket", "--at", NO_VERSION], "BUCKET/KEY"),
    (["rm", "bucket/k", "--version", NO_VERSION, "--if-match", "*"], "not both"),
    (["cp", "bucket/k"], "cp BUCKET/KEY BUCKET/KEY"), (["mv", "bucket/k"], "mv BUCKET/KEY BUCKET/KEY"), (["cp", "bucket", "bucket/k"], "BUCKET/KEY"),
    (["cp", "bucket/a/", "bucket/b/"], "ends with a slash"), (["cp", "bucket/k", "B!/k"], "bucket's name"), (["mv", "bucket/k", "bucket/k"], "already"),
    (["mv", "bucket/k", "bucket"], "already"), (["cp", "bucket/k", "bucket/l", "--meta", "x"], "NAME=VALUE"),
    (["cp", "bucket/k", "bucket/l", "--tag", "x"], "NAME=VALUE"), (["cp", "bucket/k", "bucket/l", "--if-match", "*", "--if-none-match"], "not both"),
    (["cp", b"bucket/k", b"bucket/\xff"], "UTF-8"),
    (["batch"], "batch FILE|- [BUCKET]"), (["batch", "-", "No"], "bucket's name"),
    (["query", "bucket"], "query BUCKET tag.NAME=VALUE"), (["query", "bucket", "kind=x"], "'kind=x' is not tag.NAME=VALUE"),
    (["query", "bucket", "tag.kind"], "NAME=VALUE"), (["query", "No", "tag.a=b"], "bucket's name"),
    (["query", "bucket", "tag.a=b", "--include", "tags,value"], "needs --json"), (["query", "bucket", "tag.a=b", "-r"], "no option of query"),
    (["settings"], "settings BUCKET"), (["settings", "No"], "bucket's name"), (["settings", "bucket", "versions"], "is not NAME=VALUE"),
    (["settings", "bucket", "versions=many"], "is not NAME=VALUE"), (["settings", "bucket", "=1"], "is not NAME=VALUE"),
    (["settings", "bucket", "versions=1", "versions=2"], "versions is given twice"), (["settings", "bucket", b"\xff=1"], "UTF-8"),
    (["watch"], "watch BUCKET"), (["watch", "No"], "bucket's name"), (["watch", "bucket", "--after", "then"], "a version, or now"),
])
def test_used_wrongly_is_2_and_says_how_it_is_done(cli, words, says):
    assert says in cli.run(*words, status=2)


def test_help_names_every_command(cli):
    text = cli.run("--help")
    for word in ("versions", "cp", "mv", "batch", "query", "watch", "settings", "--version VERSION", "--at", "--after", "--include", "download"):
        assert word in text


# ---- versions

@pytest.mark.parametrize("transport", [[], ["--http2"]], ids=["http1", "http2"])
def test_the_past_of_a_key(cli, client1, kept, transport):
    first = put(client1, kept, "d/k", b"one", [("X-WflDB-Tag-Kind", "old")])
    second = put(client1, kept, "d/k", b"second")
    gone = client1.delete(kept, "d/k").header("x-wfldb-version")
    third = put(client1, kept, "d/k", b"3")
    name = f"{kept}/d/k"

    lines = [line.split() for line in cli.run("versions", name, *transport).splitlines()]
    assert [line[:3] for line in lines] == [[third, "put", "1"], [gone, "delete", "-"], [second, "put", "6"], [first, "put", "3"]]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line[3]) for line in lines)
    listed = cli.json("versions", name, *transport)
    assert listed == client1.expect(200, "GET", path_of(kept, "d/k") + "?versions").json["versions"]

    for version, content in ((first, "one"), (second, "second"), (third, "3")):
        for option in ("--version", "--at"):
            assert cli.run("cat", name, option, version, *transport) == content
            assert cli.run("cat", f"{option}={version}", name, *transport) == content
            cli.run("get", name, "out", option, version, *transport)
            assert (cli.folder / "out").read_text() == content
            assert cli.json("stat", name, option, version, *transport)["version"] == version
    assert cli.json("stat", name, "--version", first)["tags"] == {"kind": "old"}
    assert cli.run("cat", name, "--at", "2999-01-01T00:00:00Z") == "3"
    for words in (["cat", name, "--version", gone], ["cat", name, "--at", gone], ["get", name, "no", "--version", NO_VERSION],
                  ["stat", name, "--version", gone], ["cat", f"{kept}/none", "--version", first], ["versions", f"{kept}/none"]):
        assert "not_found" in cli.run(*words, *transport, status=4)
    assert not (cli.folder / "no").exists()
    assert "invalid_query" in cli.run("cat", name, "--at", "yesterday", status=3)


def test_erasing_a_version(cli, client1, kept):
    first, second = put(client1, kept, "k", b"one"), put(client1, kept, "k", b"two")
    assert cli.run("rm", f"{kept}/k", "--version", first) == ""
    assert "version_not_found" in cli.run("cat", f"{kept}/k", "--version", first, status=4)
    assert "version_not_found" in cli.run("rm", f"{kept}/k", "--version", first, status=4)
    assert [v["version"] for v in cli.json("versions", f"{kept}/k")] == [second]
    assert cli.json("rm", f"{kept}/k", "--version", second) == {}
    client1.get(kept, "k", 404)


def test_a_listing_as_of_then(cli, client1, kept):
    put(client1, kept, "a/1")
    then = put(client1, kept, "b")
    put(client1, kept, "c")
    client1.delete(kept, "a/1")
    assert cli.run("ls", kept) == "b\nc\n"
    assert cli.run("ls", kept, "--at", then) == "a/\nb\n"
    assert cli.run("ls", "-r", kept, "--at", then) == "a/1\nb\n"
    assert {i.get("key", i.get("prefix")) for i in cli.json("ls", kept, "--at", then)} == {"a/", "b"}
    assert "invalid_query" in cli.run("ls", kept, "--at", "then", status=3)


def test_a_large_old_version_comes_in_parts_and_whole(cli, client1, kept):
    old = bytes(range(256)) * (3 << 12)  # 3 MiB
    version = put(client1, kept, "large", old)
    put(client1, kept, "large", b"new")
    for option in ("--version", "--at"):
        cli.run("get", f"{kept}/large", "out", "--part-size", "1M", option, version)
        assert (cli.folder / "out").read_bytes() == old
        assert cli.run("cat", f"{kept}/large", option, version, text=False) == old


def test_what_came_of_one_version_is_not_taken_for_another(cli, server, client1, kept):
    """An interrupted get of an old version, then one of the current version into the same file, and back."""
    old, new = b"o" * (4 << 20), b"n" * (4 << 20)
    version = put(client1, kept, "k", old)
    put(client1, kept, "k", new)
    words = ["get", f"{kept}/k", "out", "--part-size", "1M", "--parallel", "1"]
    with Relay(server.address) as relay:
        cli.environment["WFLDB_ENDPOINT"] = f"http://{relay.address}"
        relay.hold_down(2 << 20)
        process = cli.start(*words, "--version", version, stderr=subprocess.PIPE)
        relay.wait_held()
        process.send_signal(2)
        assert b"stopped" in process.communicate(timeout=30)[1]
        relay.release()
        cli.run(*words)
        assert (cli.folder / "out").read_bytes() == new
        cli.run(*words, "--version", version)
        assert (cli.folder / "out").read_bytes() == old


# ---- cp and mv

@pytest.mark.parametrize("transport", [[], ["--http2"]], ids=["http1", "http2"])
def test_copies_and_renames(cli, client1, bucket, transport):
    put(client1, bucket, "a", b"hello", [("X-WflDB-Tag-Kind", "x"), ("X-WflDB-Meta-M", "1"), ("Content-Type", "text/x")])
    said = cli.run("cp", f"{bucket}/a", f"{bucket}/d/b", *transport)
    copy = client1.get(bucket, "d/b")
    assert said == f"{bucket}/d/b  {copy.header('x-wfldb-version')}\n"
    assert (copy.body, copy.header("content-type"), copy.header("x-wfldb-tag-kind"), copy.header("x-wfldb-meta-m")) == (b"hello", "text/x", "x", "1")
    said = cli.run("mv", f"{bucket}/d/b", f"{bucket}/e/", *transport)  # keeps its name
    moved = client1.get(bucket, "e/b")
    assert said == f"{bucket}/e/b  {moved.header('x-wfldb-version')}\n" and moved.header("x-wfldb-tag-kind") == "x"
    cli.run("mv", f"{bucket}/e/b", bucket, *transport)
    assert live(client1, bucket) == ["a", "b"]
    cli.run("cp", f"{bucket}/a", f"{bucket}/b", "--tag", "kind=y", "--meta", "n=2", *transport)
    other = client1.get(bucket, "b")
    assert (other.header("x-wfldb-tag-kind"), other.header("x-wfldb-meta-m"), other.header("x-wfldb-meta-n")) == ("y", None, "2")
    said = cli.json("mv", f"{bucket}/b", f"{bucket}/c", *transport)
    assert said == {"bucket": bucket, "key": "c", "version": client1.get(bucket, "c").header("x-wfldb-version"), "from_bucket": bucket, "from": "b"}
    for command in ("cp", "mv"):
        assert "key_not_found" in cli.run(command, f"{bucket}/none", f"{bucket}/z", *transport, status=4)
        assert "bucket_not_found" in cli.run(command, "no-such-bucket/k", "no-such-bucket/l", *transport, status=4)
    assert live(client1, bucket) == ["a", "c"]


def test_an_old_version_comes_back(cli, client1, kept):
    old = put(client1, kept, "k", b"old")
    put(client1, kept, "k", b"new")
    cli.run("cp", f"{kept}/k", f"{kept}/k", "--version", old)
    assert client1.get(kept, "k").body == b"old"
    assert "version_not_found" in cli.run("cp", f"{kept}/k", f"{kept}/k", "--version", NO_VERSION, status=4)


@pytest.mark.parametrize("command", ["cp", "mv"])
@pytest.mark.parametrize("far", [False, True], ids=["within", "across"])
def test_copies_have_preconditions(cli, client1, bucket, command, far):
    target = f"{bucket}-far" if far else bucket
    if far:
        client1.make_bucket(target)
    for n, options in enumerate((["--if-none-match"], ["--if-match", NO_VERSION])):
        put(client1, bucket, f"s{n}", b"source")
        version = put(client1, target, f"t{n}", b"target")
        words = [command, f"{bucket}/s{n}", f"{target}/t{n}", "--buffered"]
        assert "precondition_failed" in cli.run(*words, *options, status=3)
        assert client1.get(target, f"t{n}").body == b"target" and client1.get(bucket, f"s{n}").body == b"source"
        cli.run(*words, "--if-match", version)
        assert client1.get(target, f"t{n}").body == b"source"
        assert client1.get(bucket, f"s{n}", 404 if command == "mv" else 200)


@pytest.mark.parametrize("size", [0, 5, 3 << 20])
@pytest.mark.parametrize("transport", [[], ["--http2"]], ids=["http1", "http2"])
def test_into_another_bucket_it_goes_through_here(cli, client1, bucket, size, transport):
    content = (b"%08d" * (size // 8 + 1) % tuple(range(size // 8 + 1)))[:size]
    client1.make_bucket(far := f"{bucket}-far")
    source = put(client1, bucket, "d/k", content, [("X-WflDB-Tag-Kind", "x"), ("X-WflDB-Meta-M", "1"), ("Content-Type", "text/x")])
    said = cli.run("cp", f"{bucket}/d/k", far, *transport)
    copy = client1.get(far, "k")
    assert said == f"{far}/k  {copy.header('x-wfldb-version')}  (downloaded and uploaded)\n"
    assert copy.body == content
    assert (copy.header("content-type"), copy.header("x-wfldb-tag-kind"), copy.header("x-wfldb-meta-m")) == ("text/x", "x", "1")
    assert client1.get(bucket, "d/k").header("x-wfldb-version") == source
    said = cli.json("mv", f"{bucket}/d/k", f"{far}/moved", *transport)
    moved = client1.get(far, "moved")
    assert said == {"bucket": far, "key": "moved", "version": moved.header("x-wfldb-version"), "from_bucket": bucket, "from": "d/k"}
    assert moved.body == content
    client1.get(bucket, "d/k", 404)
    assert "not_found" in cli.run("mv", f"{bucket}/d/k", f"{far}/again", *transport, status=4)
    if not transport:  # over HTTP/2 libcurl 7.88 loses an answer that comes before the upload has ended
        assert "bucket_not_found" in cli.run("cp", f"{far}/k", "no-such-bucket/k", status=4)


def test_a_move_that_may_not_delete_leaves_both_and_says_so(cli, client1, bucket):
    client1.make_bucket(far := f"{bucket}-far")
    put(client1, bucket, "k", b"hello")
    careful = cli.credential("careful.json", [Grant(bucket, ops=["get"]), Grant(far, ops=["put"])])
    said = cli.run("mv", f"{bucket}/k", f"{far}/k", "--credential", careful, status=3)
    assert "is copied and still there" in said and "forbidden" in said
    assert client1.get(bucket, "k").body == client1.get(far, "k").body == b"hello"
    cli.run("cp", f"{bucket}/k", f"{far}/l", "--credential", careful)
    assert "forbidden" in cli.run("mv", f"{bucket}/k", f"{bucket}/l", "--credential", careful, status=3)
    assert live(client1, bucket) == ["k"]


def test_a_source_that_changes_meanwhile_is_not_removed(cli, server, client1, bucket):
    client1.make_bucket(far := f"{bucket}-far")
    put(client1, bucket, "k", b"1" * 1000)
    with Relay(server.address) as relay:
        cli.environment["WFLDB_ENDPOINT"] = f"http://{relay.address}"
        cli.run("cp", f"{bucket}/k", f"{far}/k")
        relay.hold_up(relay.up + 300)  # as much as that took, then the deletion, which is longer than 300 bytes
        process = cli.start("mv", f"{bucket}/k", f"{far}/l", stderr=subprocess.PIPE)
        relay.wait_held()
        newer = put(client1, bucket, "k", b"2")
        relay.resume()
        said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 3 and "is copied and still there" in said and "precondition_failed" in said
    assert client1.get(bucket, "k").header("x-wfldb-version") == newer
    assert client1.get(far, "l").body == b"1" * 1000


def test_a_copy_that_is_interrupted_leaves_nothing(cli, server, client1, bucket):
    client1.make_bucket(far := f"{bucket}-far")
    put(client1, bucket, "k", b"1" * (2 << 20))
    with Relay(server.address) as relay:
        cli.environment["WFLDB_ENDPOINT"] = f"http://{relay.address}"
        relay.hold_up(1 << 20)
        process = cli.start("cp", f"{bucket}/k", f"{far}/k", stderr=subprocess.PIPE)
        relay.wait_held()
        process.send_signal(2)
        said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 1 and "stopped" in said
    assert live(client1, far) == []


def test_what_a_copy_may_not(cli, client1, bucket):
    put(client1, bucket, "a/k")
    reader = cli.credential("reader.json", [Grant(bucket, "a/", ["get"]), Grant(bucket, "b/", ["put"])])
    cli.run("cp", f"{bucket}/a/k", f"{bucket}/b/k", "--credential", reader)
    for words in (["cp", f"{bucket}/a/k", f"{bucket}/a/l"], ["cp", f"{bucket}/b/k", f"{bucket}/b/l"], ["mv", f"{bucket}/a/k", f"{bucket}/b/l"]):
        assert "forbidden" in cli.run(*words, "--credential", reader, status=3)


# ---- odd keys

@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key(cli, client1, kept, key):
    first = put(client1, kept, key, b"first", [("X-WflDB-Tag-Odd", "yes")])
    put(client1, kept, key, b"hello")
    assert [v["version"] for v in cli.json("versions", f"{kept}/{key}")][-1] == first
    assert cli.run("cat", f"{kept}/{key}", "--version", first) == "first"
    cli.run("cp", f"{kept}/{key}", f"{kept}/plain")
    cli.run("mv", f"{kept}/{key}", f"{kept}/moved")
    assert live(client1, kept) == ["moved", "plain"]
    cli.run("mv", f"{kept}/moved", f"{kept}/{key}")
    cli.run("cp", f"{kept}/{key}", f"{kept}/{key}", "--version", first)
    assert client1.get(kept, key).body == b"first"
    assert cli.run("query", kept, "tag.odd=yes") == key + "\n"
    assert cli.json("query", kept, "tag.odd=yes")[0]["key"] == key
    text = json.dumps({"ops": [{"op": "check", "key": key, "if": "*"}, {"op": "put", "key": "z", "value": key}]})
    assert cli.run("batch", "-", kept, stdin=text.encode()) .startswith(f"{key}  -\nz  ")
    cli.run("rm", f"{kept}/{key}", "--version", first)


# ---- batch

def batch(cli, ops, *words, **options):
    return cli.run("batch", "-", *words, stdin=json.dumps({"ops": ops}).encode(), **options)


def test_a_batch_in_one_bucket_and_across(cli, client1, bucket):
    put(client1, bucket, "gone")
    ops = [{"op": "put", "key": "a", "value": "text"}, {"op": "put", "key": "b", "base64": base64.b64encode(b"\0\1").decode()},
           {"op": "delete", "key": "gone"}, {"op": "check", "key": "never", "if": None}]
    lines = [line.rsplit("  ", 1) for line in batch(cli, ops, bucket).splitlines()]
    versions = {line[0]: line[1] for line in lines}
    assert [line[0] for line in lines] == ["a", "b", "gone", "never"] and versions["never"] == "-"
    assert versions["a"] == client1.get(bucket, "a").header("x-wfldb-version") < versions["b"] < versions["gone"]
    assert client1.get(bucket, "b").body == b"\0\1"

    client1.make_bucket(far := f"{bucket}-far")
    (cli.folder / "ops.json").write_text(json.dumps({"ops": [{"op": "put", "bucket": bucket, "key": "a", "value": "1"},
                                                             {"op": "put", "bucket": far, "key": "a", "value": "2"}]}))
    said = cli.run("batch", "ops.json", "--buffered")
    assert [line.split("  ")[0] for line in said.splitlines()] == [f"{bucket}/a", f"{far}/a"]
    assert client1.get(far, "a").body == b"2"
    answer = json.loads(batch(cli, [{"op": "copy", "from": "a", "key": "c"}], bucket, "--json"))
    assert answer == {"results": [{"key": "c", "version": client1.get(bucket, "c").header("x-wfldb-version")}]}


def test_a_batch_whose_conditions_fail_says_which(cli, client1, bucket):
    put(client1, bucket, "there")
    ops = [{"op": "put", "key": "a", "value": "x"}, {"op": "check", "key": "there", "if": None}, {"op": "put", "key": "b", "value": "x", "if": "*"},
           {"op": "check", "key": "there", "if": "*"}]
    said = batch(cli, ops, bucket, status=3)
    assert "ops 1, 2: " in said and "precondition_failed" in said
    assert batch(cli, ops, bucket, "--json", status=3).startswith("-: ops 1, 2: ")
    assert live(client1, bucket) == ["there"]
    many = [{"op": "check", "key": f"k{i}", "if": "*"} for i in range(1000)]
    assert re.search(r"ops 0, 1, 2, .*, \.\.\.: ", batch(cli, many, bucket, status=3))


@pytest.mark.parametrize("text, code", [
    (b"", "invalid_json"), (b"{", "invalid_json"), (b"{}", "invalid_batch"), (b'{"ops":[]}', "invalid_batch"),
    (b'{"ops":[{"op":"fly","key":"a"}]}', "invalid_batch"), (b'{"ops":[{"op":"put","key":"a"}]}', "invalid_batch"),
    (b'{"ops":[{"op":"put","key":"scan","value":""}]}', "reserved_key"),
])
def test_a_batch_that_is_none_is_refused(cli, bucket, text, code):
    assert code in cli.run("batch", "-", bucket, stdin=text, status=3)


def test_batches_that_do_not_get_there(cli, bucket):
    assert "No such file" in cli.run("batch", "none.json", bucket, status=1)
    (cli.folder / "large.json").write_bytes(b" " * ((16 << 20) + 1))
    assert "larger than" in cli.run("batch", "large.json", bucket, status=1)
    ops = [{"op": "put", "key": "a", "value": "x"}]
    assert "bucket_not_found" in batch(cli, ops, "no-such-bucket", status=4)
    reader = cli.credential("reader.json", [Grant(bucket, ops=["get"])])
    assert "forbidden" in batch(cli, ops, bucket, "--credential", reader, status=3)


# ---- query

def test_a_query(cli, client1, bucket):
    for key, tags in (("a/1", {"kind": "photo", "year": "2025"}), ("a/2", {"kind": "photo", "year": "2026"}), ("b", {"kind": "phone", "year": "2026"})):
        client1.put(bucket, key, b"hello", [(f"X-WflDB-Tag-{n}", v) for n, v in tags.items()] + [("X-WflDB-Meta-M", "1")])
    assert cli.run("query", bucket, "tag.kind=photo") == "a/1\na/2\n"
    assert cli.run("query", bucket, "tag.kind=photo", "tag.year=2026") == "a/2\n"
    assert cli.run("query", bucket, "tag.kind=pho*") == "a/1\na/2\nb\n"
    assert cli.run("query", bucket, "tag.year=2026", "--prefix", "a/") == "a/2\n"
    assert cli.run("query", bucket, "tag.kind=none") == "" and cli.json("query", bucket, "tag.kind=none") == []
    line, meta, *tags = cli.run("query", bucket, "tag.kind=phone", "-l", "--include", "meta,tags").splitlines()
    assert line.split()[0] == "5" and line.endswith("  b") and meta == "    meta m=1" and tags == ["    tag kind=phone", "    tag year=2026"]
    item, = cli.json("query", bucket, "tag.kind=phone", "--include", "meta,tags,value")
    assert (item["meta"], item["tags"], base64.b64decode(item["value"])) == ({"m": "1"}, {"kind": "phone", "year": "2026"}, b"hello")
    item, = cli.json("query", bucket, "tag.kind=phone")
    assert set(item) == {"key", "version", "size", "blake3", "content_type", "modified"}
    assert "invalid_query" in cli.run("query", bucket, "tag.kind=photo", "--include", "all", status=3)
    assert "invalid_query" in cli.run("query", bucket, "tag.A=photo", status=3)
    assert "bucket_not_found" in cli.run("query", "no-such-bucket", "tag.a=b", status=4)


def test_a_query_longer_than_a_page(cli, client1, bucket):
    for start in range(0, 2100, 700):
        ops = [{"op": "put", "key": f"{i:05}", "value": "", "tags": {"kind": "x"}} for i in range(start, start + 700)]
        batch(cli, ops, bucket, "--buffered")
    keys = [f"{i:05}" for i in range(2100)]
    assert cli.run("query", bucket, "tag.kind=x").splitlines() == keys
    assert [item["key"] for item in cli.json("query", "--http2", bucket, "tag.kind=*")] == keys


# ---- settings

def test_settings_are_shown_and_changed(cli, client1, bucket):
    def shown():
        return dict(line.split() for line in cli.run("settings", bucket).splitlines())

    before = shown()
    said = cli.run("settings", bucket, "versions=3", "public_read=true", "quota_objects=10")
    assert dict(line.split() for line in said.splitlines()) == shown() == {**before, "versions": "3", "public_read": "true", "quota_objects": "10"}
    changed = cli.json("settings", bucket, "versions=null", "public_read=false")
    assert changed["name"] == bucket and changed["settings"]["quota_objects"] == 10
    assert changed == cli.json("settings", bucket) == client1.expect(200, "GET", path_of(bucket)).json
    assert shown().get("versions") == before.get("versions")
    for words in (["versions=-2"], ["versions=1.5"], ["no_such=1"], ["versions=[]"], ['versions="x"']):
        assert "invalid_setting" in cli.run("settings", bucket, *words, status=3)
    assert "bucket_not_found" in cli.run("settings", "no-such-bucket", status=4)
    assert "bucket_not_found" in cli.run("settings", "no-such-bucket", "versions=1", status=4)
    reader = cli.credential("reader.json", [Grant(bucket, ops=["get"])])
    assert "forbidden" in cli.run("settings", bucket, "versions=1", "--credential", reader, status=3)


# ---- servers that are none

@pytest.mark.parametrize("words", [["versions", "bucket/k"], ["cp", "bucket/a", "bucket/b"], ["mv", "bucket/a", "bucket/b"], ["batch", "-", "bucket"],
                                   ["query", "bucket", "tag.a=b"], ["settings", "bucket"], ["settings", "bucket", "versions=1"], ["watch", "bucket"],
                                   ["watch", "bucket", "--after", "now"]], ids=" ".join)
def test_somebody_elses_page_is_no_yes(cli, words):
    for body in (b"<htm>", b"[1]", b'{"results":1,"versions":{},"items":0,"changes":1}'):
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        with FakeServer(answer) as fake:
            if words[0] in ("batch", "settings") and body.startswith(b"{"):
                continue  # documents are handed on as they are
            assert "endpoint" in cli.to(fake, *words, status=1)
    with FakeServer(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n") as fake:
        assert "302" in cli.to(fake, *words, status=1)

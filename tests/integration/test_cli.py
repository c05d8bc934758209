# SPDX-License-Identifier: Apache-2.0
"""wfldb against a real server: commands, options, exit codes (protocol, Programs), files and pipes."""
import json
import os
import stat
import subprocess
import threading

import pytest

from wfltest import Client, Grant, Key, issue
from wfltest.programs import Cli, FakeServer

HASH_OF_HELLO = "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"  # BLAKE3 of "hello"


@pytest.fixture
def cli(server, tmp_path):
    return Cli(server, tmp_path)


# ---- the program

def test_help_and_version(cli):
    text = cli.run("--help")
    for word in ("put", "get", "cat", "ls", "rm", "stat", "mb", "rb", "--credential", "--endpoint", "--json", "Exit codes"):
        assert word in text
    assert cli.run("put", "--help") == cli.run("-h") == text
    assert cli.run("--version").startswith("wfldb ")
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("words, says", [
    ([], "name a command"), (["fly"], "'fly' is no command"), (["--fly"], "--fly is no option"), (["put"], "put FILE|- BUCKET/KEY"),
    (["put", "a"], "put FILE|- BUCKET/KEY"), (["put", "a", "buc/k", "c"], "put FILE|- BUCKET/KEY"), (["get"], "get BUCKET/KEY"),
    (["get", "bucket"], "BUCKET/KEY"), (["get", "bucket/"], "BUCKET/KEY"), (["get", "B!/k"], "bucket's name"),
    (["get", "bucket/folder/"], "name the file"), (["put", "-", "bucket"], "BUCKET/KEY"),
    (["cat"], "cat BUCKET/KEY"), (["rm"], "rm BUCKET/KEY"), (["rm", "bucket"], "BUCKET/KEY"), (["stat"], "stat BUCKET"),
    (["mb"], "mb BUCKET"), (["rb"], "rb BUCKET"), (["mb", "No"], "bucket's name"), (["mb", "bucket/key"], "BUCKET"),
    (["rb", "bucket/key"], "BUCKET"), (["ls", "a", "b"], "ls ["), (["ls", "_x"], "bucket's name"),
    (["--credential"], "--credential needs a value"), (["--json=yes", "ls"], "takes no value"), (["--json", "--json", "ls"], "twice"),
    (["put", "-", "bucket/k", "--meta", "no-value"], "NAME=VALUE"), (["put", "-", "bucket/k", "--tag", "no-value"], "NAME=VALUE"),
    (["put", "-", "bucket/k", "--meta", "a=b\r\nX-Evil: 1"], "X-WflDB-Meta-a: "), (["put", "-", "bucket/k", "--meta", "A b=c"], "X-WflDB-Meta-A b: "),
    (["put", "-", "bucket/k", "--content-type", "a\nb"], "Content-Type"), (["rm", "bucket/k", "--if-match", "a\nb"], "If-Match"),
    (["ls", "bucket", "--if-match", "x"], "--if-match is no option of ls"), (["rm", "-r", "bucket/docs/"], "no option of rm"),
    (["get", "bucket/k", "--buffered"], "no option of get"), (["mb", "bucket", "-l"], "no option of mb"),
    (["--endpoint", "no url", "ls"], "endpoint"), (["--endpoint", "ftp://127.0.0.1", "ls"], "endpoint"),
    (["--credential", "none.json", "ls"], "none.json"),
])
def test_used_wrongly_is_2_and_says_how_it_is_done(cli, words, says):
    assert says in cli.run(*words, status=2)


def test_options_stand_anywhere(cli, bucket):
    (cli.folder / "-file").write_bytes(b"x")
    assert "-file is no option" in cli.run("put", "-file", f"{bucket}/k", status=2)
    cli.run("put", "--content-type", "text/plain", "--", "-file", f"{bucket}/-l")
    assert cli.run("cat", "--", f"{bucket}/-l") == "x"
    assert cli.run("ls", bucket, "--json") == cli.run("--json", "ls", bucket) == cli.run("ls", "--json", bucket)
    assert cli.run(f"--endpoint=http://{cli.server.address}", "ls", bucket, environment={"WFLDB_ENDPOINT": None}) == "-l\n"


# ---- commands

@pytest.mark.parametrize("transport", [[], ["--http2"]], ids=["http1", "http2"])
def test_a_life_of_a_bucket(cli, client1, transport):
    bucket = "life" + ("2" if transport else "1")
    assert cli.run("mb", bucket, *transport) == f"{bucket} is made\n"
    (cli.folder / "a file.txt").write_bytes(b"hello")
    said = cli.run("put", "a file.txt", f"{bucket}/docs/a.txt", *transport)
    version = client1.get(bucket, "docs/a.txt").header("x-wfldb-version")
    assert said == f"{bucket}/docs/a.txt  5 bytes  {version}\n"
    cli.run("put", "a file.txt", f"{bucket}", *transport)        # keeps its name
    cli.run("put", "./a file.txt", f"{bucket}/docs/", *transport)
    assert cli.run("ls", bucket, *transport) == "a file.txt\ndocs/\n"
    assert cli.run("ls", f"{bucket}/docs/", *transport) == "docs/a file.txt\ndocs/a.txt\n"
    assert cli.run("ls", f"{bucket}/d", *transport) == "docs/\n"
    assert cli.run("ls", "-r", bucket, *transport) == "a file.txt\ndocs/a file.txt\ndocs/a.txt\n"
    longer = cli.run("ls", "-l", bucket, *transport).splitlines()
    assert longer[0].split()[0] == "5" and longer[0].endswith("  a file.txt") and longer[1].split() == ["-", "-", "docs/"]
    assert bucket in cli.run("ls", *transport).splitlines()
    assert cli.run("cat", f"{bucket}/docs/a.txt", *transport) == "hello"
    assert cli.run("get", f"{bucket}/docs/a.txt", *transport) == ""
    assert (cli.folder / "a.txt").read_bytes() == b"hello"
    said = cli.run("stat", f"{bucket}/docs/a.txt", *transport)
    for word in (version, "5", HASH_OF_HELLO, "application/octet-stream"):
        assert word in said
    assert json.loads(cli.run("stat", bucket, *transport))["objects"] == 3
    assert "bucket_not_empty" in cli.run("rb", bucket, *transport, status=3)
    for key in ("docs/a.txt", "docs/a file.txt", "a file.txt"):
        assert cli.run("rm", f"{bucket}/{key}", *transport) == ""
    assert cli.run("ls", bucket, *transport) == ""
    assert cli.run("rb", bucket, *transport) == f"{bucket} is removed\n"
    assert bucket not in cli.run("ls", *transport).splitlines()


def test_json_of_every_command(cli, client1):
    assert cli.json("mb", "json-bucket")["name"] == "json-bucket"
    put = cli.run("--json", "put", "-", "json-bucket/d/ü", "--meta", "a=b=c", "--tag", "t=u", "--content-type", "text/x",
                  stdin=b"hello")
    version = client1.get("json-bucket", "d/ü").header("x-wfldb-version")
    same = {"bucket": "json-bucket", "key": "d/ü", "version": version, "size": 5, "blake3": HASH_OF_HELLO}
    assert json.loads(put) == {**same, "file": "-"}
    assert cli.json("get", "json-bucket/d/ü", "out") == {**same, "file": "out"}
    known = cli.json("stat", "json-bucket/d/ü")
    assert known.pop("modified")
    assert known == {**same, "content_type": "text/x", "meta": {"a": "b=c"}, "tags": {"t": "u"}}
    assert cli.json("stat", "json-bucket")["bytes"] == 5
    assert cli.json("ls", "json-bucket") == [{"prefix": "d/"}]
    item, = cli.json("ls", "-r", "json-bucket")
    assert item.pop("modified")
    assert item == {"key": "d/ü", "version": version, "size": 5, "blake3": HASH_OF_HELLO, "content_type": "text/x"}
    assert cli.json("ls", "json-bucket/none") == []
    assert {"name": "json-bucket"} in cli.json("ls")["buckets"]
    assert cli.json("rm", "json-bucket/d/ü") == {}
    assert cli.json("rb", "json-bucket") == {}


def test_what_put_says_of_an_object(cli, client1, bucket):
    cli.run("put", "-", f"{bucket}/k", "--content-type", "text/plain; charset=utf-8", "--meta", "a=1", "--meta=b=x y",
            "--tag", "kind=test", "--buffered", stdin=b"1")
    answer = client1.get(bucket, "k")
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    assert [answer.header(f"x-wfldb-{n}") for n in ("meta-a", "meta-b", "tag-kind")] == ["1", "x y", "test"]
    said = cli.run("stat", f"{bucket}/k")
    assert "a=1" in said and "b=x y" in said and "kind=test" in said


def test_preconditions(cli, client1, bucket):
    cli.run("put", "-", f"{bucket}/k", "--if-none-match", stdin=b"1")
    version = client1.get(bucket, "k").header("x-wfldb-version")
    assert "precondition_failed" in cli.run("put", "-", f"{bucket}/k", "--if-none-match", stdin=b"2", status=3)
    other = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    assert "precondition_failed" in cli.run("put", "-", f"{bucket}/k", "--if-match", other, stdin=b"2", status=3)
    assert "precondition_failed" in cli.run("rm", f"{bucket}/k", "--if-match", other, status=3)
    assert client1.get(bucket, "k").body == b"1"
    cli.run("put", "-", f"{bucket}/k", "--if-match", version, stdin=b"2")
    cli.run("put", "-", f"{bucket}/k", "--if-match", "*", stdin=b"3")
    cli.run("rm", f"{bucket}/k", "--if-match", client1.get(bucket, "k").header("x-wfldb-version"))
    client1.get(bucket, "k", 404)


def test_listings_longer_than_a_page(cli, client1, bucket):
    keys = [f"{i:05}" for i in range(2345)]

    def put(mine):
        with Client(cli.server) as client:
            for key in mine:
                client.put(bucket, key, b"", [("X-WflDB-Durability", "buffered")])

    threads = [threading.Thread(target=put, args=(keys[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cli.run("ls", bucket).splitlines() == cli.run("ls", "--http2", bucket).splitlines() == keys
    assert [item["key"] for item in cli.json("ls", bucket)] == keys


# ---- refusals

def test_what_is_not_there_is_4(cli, bucket):
    for words in (["get", f"{bucket}/none", "out"], ["cat", f"{bucket}/none"], ["rm", f"{bucket}/none"], ["stat", f"{bucket}/none"],
                  ["ls", "no-such-bucket"], ["stat", "no-such-bucket"], ["rb", "no-such-bucket"], ["cat", "no-such-bucket/k"]):
        said = cli.run(*words, status=4)
        assert "not_found" in said and "request 0" in said
    assert "bucket_not_found" in cli.run("put", "-", "no-such-bucket/k", status=4)
    assert not (cli.folder / "out").exists()


def test_what_the_server_refuses_is_3(cli, client1, bucket):
    client1.put(bucket, "secret", b"x")
    reader = cli.credential("reader.json", [Grant(bucket, "docs/", ["get", "scan"])])
    for words in (["cat", f"{bucket}/secret"], ["stat", f"{bucket}/secret"], ["put", "-", f"{bucket}/docs/a"], ["rm", f"{bucket}/docs/a"],
                  ["ls", bucket], ["ls", f"{bucket}/doc"], ["mb", "another"], ["stat", bucket], ["rb", bucket]):
        assert "forbidden" in cli.run(*words, "--credential", reader, status=3)
    assert cli.run("ls", f"{bucket}/docs/", "--credential", reader) == ""
    assert cli.run("ls", "--credential", reader) == f"{bucket}\n"
    assert "bucket_exists" in cli.run("mb", bucket, status=3)
    assert "invalid_key" in cli.run("cat", f"{bucket}/a/../b", status=3)
    assert "reserved_key" in cli.run("put", "-", f"{bucket}/scan", status=3)
    (cli.folder / "stolen.json").write_text(Key().file(issue(Key(), Key(), [Grant()])))
    (cli.folder / "stolen.json").chmod(0o600)
    assert "packet_untrusted" in cli.run("ls", "--credential", "stolen.json", status=3)


def test_what_fails_is_1(cli, bucket):
    assert "connect" in cli.run("ls", environment={"WFLDB_ENDPOINT": "http://127.0.0.1:1"}, status=1)
    assert "No such file" in cli.run("put", "none", f"{bucket}/k", status=1)
    assert "directory" in cli.run("put", ".", f"{bucket}/k", status=1)
    cli.run("put", "-", f"{bucket}/k", stdin=b"hello")
    assert "No such file" in cli.run("get", f"{bucket}/k", "no/such/folder", status=1)
    for words in (["ls"], ["ls", bucket], ["cat", f"{bucket}/k"], ["stat", f"{bucket}/k"], ["--help"], ["--version"]):
        with open("/dev/full", "wb") as full:
            assert "No space left" in cli.run(*words, stdout=full, status=1)


# ---- where credentials and the server come from

def test_the_credential_is_the_options_the_environments_the_homes(cli):
    def bucket_grant(name):
        return [Grant(name, ops=["get"])]

    # A credential that may get where there is nothing answers 4, any other 3.
    cli.credential(".config/wfldb/credential.json", bucket_grant("from-home"))
    environment = {"WFLDB_CREDENTIAL": str(cli.credential("environment.json", bucket_grant("from-environ")))}
    option = ["--credential", cli.credential("option.json", bucket_grant("from-option"))]
    nothing = {"WFLDB_CREDENTIAL": None}
    for words, env, bucket in ((option, environment, "from-option"), ([], environment, "from-environ"), ([], nothing, "from-home"),
                               ([], {"WFLDB_CREDENTIAL": ""}, "from-home")):
        for other in ("from-option", "from-environ", "from-home"):
            said = cli.run(*words, "cat", f"{other}/k", environment=env, status=4 if other == bucket else 3)
            assert ("bucket_not_found" if other == bucket else "forbidden") in said


def test_the_server_is_the_options_the_environments_the_credentials_the_usual(cli):
    """A proxy that refuses everything notes which server was asked for."""
    with_endpoint = cli.credential("with.json", endpoint="http://credential.invalid:1")
    without = cli.credential("without.json")
    cases = [
        ("http://option.invalid:2", with_endpoint, "http://environment.invalid", "http://option.invalid:2/v1/"),
        (None, with_endpoint, "http://environment.invalid/", "http://environment.invalid/v1/"),
        (None, with_endpoint, None, "http://credential.invalid:1/v1/"), (None, with_endpoint, "", "http://credential.invalid:1/v1/"),
        (None, without, None, "http://127.0.0.1:7410/v1/"),
    ]
    for option, credential, environment, asked in cases:
        with FakeServer(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n") as fake:
            words = ["ls", "--credential", credential] + (["--endpoint", option] if option else [])
            cli.run(*words, environment={"WFLDB_ENDPOINT": environment, "http_proxy": f"http://{fake.address}"}, status=3)
            assert fake.requests[0].splitlines()[0] == f"GET {asked} HTTP/1.1"


def test_a_credential_that_others_can_read_is_refused(cli):
    for mode in (0o640, 0o604, 0o660, 0o644):
        path = cli.credential("open.json", mode=mode)
        assert "chmod 600" in cli.run("ls", "--credential", path, status=2)
    assert "packet" in cli.run("ls", "--credential", write(cli, "key.json", Key().file()), status=2)
    for text in ("", "{", "[]", "{}", '{"kty":"OKP"}', "\0", Key().file(packet="x")[:-9]):
        said = cli.run("ls", "--credential", write(cli, "broken.json", text), status=2)
        assert "broken.json" in said
    key = Key()
    text = write(cli, "two.json", key.file(packet="x").replace(key.jwk["x"], Key().jwk["x"]))
    said = cli.run("ls", "--credential", text, status=2)
    assert json.loads(key.file())["d"] not in said


def write(cli, name, text, mode=0o600):
    path = cli.folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


# ---- keys, files, pipes

@pytest.mark.parametrize("key", [
    "with space", "ümläut/日本/😀", "100% & more?x=1#y", "a//b", "ends/", "/begins", "plus+and'quotes\"", "{a,b}[1-3]*$HOME",
    "~tilde_-.", "x" * 1024, "-o", "@file", "%2F", "scan/x", "\u0080\uffff",
])
def test_any_key(cli, client1, bucket, key):
    client1.put(bucket, key, b"hello")
    assert cli.run("cat", f"{bucket}/{key}") == "hello"
    assert cli.run("ls", "-r", bucket) == key + "\n"
    assert cli.json("stat", f"{bucket}/{key}")["key"] == key
    cli.run("get", f"{bucket}/{key}", "out")
    cli.run("rm", f"{bucket}/{key}")
    client1.get(bucket, key, 404)
    if not key.endswith("/"):
        cli.run("put", "out", f"{bucket}/{key}")
        assert client1.get(bucket, key).body == b"hello"


@pytest.mark.parametrize("content", [b"", b"\0", bytes(range(256)) * 33, os.urandom(1 << 20)], ids=["empty", "nul", "all", "large"])
def test_pipes_and_files_carry_every_byte(cli, client1, bucket, content):
    cli.run("put", "-", f"{bucket}/k", stdin=content)
    assert client1.get(bucket, "k").body == content
    assert cli.run("cat", f"{bucket}/k", text=False) == content
    assert cli.run("get", f"{bucket}/k", "-", text=False) == content
    cli.run("get", f"{bucket}/k", "file")
    assert (cli.folder / "file").read_bytes() == content
    cli.run("put", "file", f"{bucket}/again")
    assert client1.get(bucket, "again").body == content


def test_a_key_that_ends_with_a_dash_is_a_file(cli, client1, bucket):
    client1.put(bucket, "a/-", b"hello")
    assert cli.run("get", f"{bucket}/a/-") == ""
    assert (cli.folder / "-").read_bytes() == b"hello"


def test_get_takes_the_place_of_a_file_at_once(cli, client1, bucket):
    client1.put(bucket, "k", b"new")
    target = write(cli, "kept", "old", mode=0o640)
    (cli.folder / "link").symlink_to("kept")
    with open(target) as old:
        cli.run("get", f"{bucket}/k", "link")
        assert old.read() == "old"  # whoever had it open keeps what there was
    assert target.read_text() == "new" and (cli.folder / "link").is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    cli.run("get", f"{bucket}/k", "fresh")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((cli.folder / "fresh").stat().st_mode) == 0o666 & ~mask
    (cli.folder / "folder").mkdir()
    assert "folder" in cli.run("get", f"{bucket}/k", "folder", status=1)
    assert sorted(os.listdir(cli.folder)) == ["credential.json", "folder", "fresh", "kept", "link"]


def test_get_into_a_pipe_does_not_replace_it(cli, client1, bucket):
    client1.put(bucket, "k", b"through")
    os.mkfifo(cli.folder / "pipe")
    reader = subprocess.Popen(["cat", cli.folder / "pipe"], stdout=subprocess.PIPE)
    cli.run("get", f"{bucket}/k", "pipe")
    assert reader.communicate(timeout=30)[0] == b"through"
    assert stat.S_ISFIFO((cli.folder / "pipe").stat().st_mode)
    assert "No space left" in cli.run("get", f"{bucket}/k", "/dev/full", status=1)
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


# ---- servers that are none

def head(status="200 OK", length=5, **headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {length}", f"X-WflDB-Content-BLAKE3: {HASH_OF_HELLO}"]
    return ("\r\n".join(lines + [f"{n.replace('_', '-')}: {v}" for n, v in headers.items()]) + "\r\n\r\n").encode()


@pytest.mark.parametrize("answer, says", [
    (head() + b"hell", "connection"), (head(length=4) + b"hell", "corrupt"), (head() + b"hallo", "corrupt"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "corrupt"), (b"", "connection"), (b"SSH-2.0-x\r\n", "connection"),
    (head("302 Found", Location="http://127.0.0.1:1/") + b"hello", "302"), (head("204 No Content", 0), "corrupt"),
], ids=["cut", "short", "changed", "no-hash", "nothing", "other-protocol", "elsewhere", "empty"])
def test_a_download_that_is_not_whole_leaves_nothing(cli, answer, says):
    for before in (None, b"before"):
        if before:
            (cli.folder / "out").write_bytes(before)
        with FakeServer(answer) as fake:
            assert says in cli.to(fake, "get", "bucket/k", "out", status=1)
        assert sorted(os.listdir(cli.folder)) == ["credential.json"] + (["out"] if before else [])
        assert before is None or (cli.folder / "out").read_bytes() == before


WITH_CONTENT = [["mb", "bucket"], ["put", "-", "bucket/k"], ["ls"], ["ls", "bucket"], ["stat", "bucket"], ["cat", "bucket/k"]]
WITHOUT = [["rm", "bucket/k"], ["rb", "bucket"], ["stat", "bucket/k"]]


@pytest.mark.parametrize("words", WITH_CONTENT + WITHOUT, ids=" ".join)
def test_a_redirect_is_no_yes(cli, words):
    with FakeServer(head("302 Found", 0, Location="/")) as fake:
        assert "302" in cli.to(fake, *words, status=1)


@pytest.mark.parametrize("words", WITH_CONTENT, ids=" ".join)
def test_somebody_elses_page_is_no_yes(cli, words):
    with FakeServer(head("200 OK", 5) + b"<htm>") as fake:
        said = cli.to(fake, *words, status=1, **({"stdout": subprocess.DEVNULL} if words[0] == "cat" else {}))
        assert "endpoint" in said or "corrupt" in said


def test_what_a_server_says_stays_on_one_line(cli):
    body = json.dumps({"code": "forbidden", "detail": "no\nwfldb: \x1b[31mred\x7f \u009b31m"}).encode()
    with FakeServer(head("403 Forbidden", len(body)) + body) as fake:
        assert "forbidden" in cli.to(fake, "cat", "bucket/k", status=3)


@pytest.mark.parametrize("words", [["cat", "bucket/k"], ["stat", "bucket/k"]], ids=" ".join)
def test_a_clock_that_is_off_takes_the_servers(cli, words):
    body = b'{"code":"timestamp_skew","detail":"off"}'
    refusal = head("401 Unauthorized", len(body), Date="Tue, 24 Nov 2026 10:00:00 GMT") + (body if words[0] == "cat" else b"")
    with FakeServer(refusal, head() + (b"hello" if words[0] == "cat" else b"")) as fake:
        cli.to(fake, *words)
    stamps = [line.split(": ")[1] for request in fake.requests for line in request.splitlines() if line.lower().startswith("x-wfldb-timestamp")]
    assert len(stamps) == 2 and stamps[1].startswith("2026-11-24T10:00:0")

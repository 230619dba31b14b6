"""The builder's secret store, through `gantry secret` and its REST."""
import hashlib
import json
import os
import pty
import secrets
import signal
import subprocess

import pytest
from pipelines import one_stage
from stack import environment, eventually
from topics import read_topic

SERVICES = ["builder", "approver", "console"]
VALUE = "hunter2-" + secrets.token_hex(8)


def make(make_stack, aws=None, **builder):
    stack = make_stack(start=False, services=SERVICES, settings={"builder": builder})
    if aws:
        stack.settings["builder"] |= {"aws-endpoint-url": aws.url, "aws-region": "eu-central-1"}
    stack.prepare()
    stack.secret("master-key", os.urandom(32), builder=True)
    stack.start()
    ready(stack)
    return stack


def ready(stack):
    """The tokens are read a little after the builder is ready."""
    status, _, body = eventually(lambda: (a := stack.http("builder", "/api/v1/secrets"))[0] != 503 and a,
                                 what="the builder's tokens")
    assert status == 200, body


def names(stack):
    return [s["name"] for s in stack.gantry("secret", "list", "-o", "json").json()["secrets"]]


def test_a_secret_is_set_listed_granted_and_removed(make_stack):
    stack = make(make_stack)
    assert stack.gantry("secret", "set", "/shop/db", stdin=VALUE + "\n").out == "shop/db set: version 1\n"
    again = stack.folder / "value"
    again.write_text(VALUE)
    assert stack.gantry("secret", "set", "shop/db", "--file", again).out == "shop/db set: version 2\n"
    assert stack.gantry("secret", "grant", "shop", "shop/**").out == "shop may read shop/**\n"
    table = stack.gantry("secret", "list").out
    assert "shop/db" in table and "shop/**" in table and "token:bootstrap" in table and VALUE not in table
    told = stack.gantry("secret", "list", "-o", "json").json()
    versions = told["secrets"][0]["versions"]
    assert [(v["number"], v["size"], v["stages"]) for v in versions] == [
        (1, len(VALUE), ["AWSPREVIOUS"]), (2, len(VALUE), ["AWSCURRENT"])]
    assert told["grants"][0]["pipeline"] == "shop" and told["key"]["master"].startswith("file:")
    one = json.loads(stack.http("builder", "/api/v1/secrets/shop/db")[2])
    assert one == told["secrets"][0]
    stack.gantry("secret", "grant", "shop", "shop/**", "--revoke")
    assert stack.gantry("secret", "grant", "shop", "shop/**", "--revoke", check=False).code == 3
    assert stack.gantry("secret", "rm", "shop/db").out == "shop/db removed\n"
    assert stack.gantry("secret", "rm", "shop/db", check=False).code == 3
    assert names(stack) == []
    assert VALUE not in stack.log.read_text()


def test_secrets_outlive_the_builder_killed_and_are_nowhere_in_clear(make_stack):
    stack = make(make_stack)
    stack.gantry("secret", "set", "shop/db", stdin=VALUE)
    before = stack.pids("builder")
    stack.kill("builder", signal.SIGKILL)
    eventually(lambda: stack.pids("builder") not in ([], before), what="a new builder")
    stack.wait_ready(services=["builder"])
    ready(stack)
    assert names(stack) == ["shop/db"]
    store = stack.folder / "state/builder/secrets"
    assert store.stat().st_mode & 0o777 == 0o700
    files = [f for f in (stack.folder / "state").rglob("*") if f.is_file()]
    assert store / "index.json" in files and not any(VALUE.encode() in f.read_bytes() for f in files)


def test_only_operators_and_admins_manage_secrets(make_stack):
    stack = make(make_stack)
    for role, good in (("viewer", False), ("developer", False), ("approver", False), ("operator", True)):
        token = stack.person(role, role)
        status = eventually(lambda: (s := stack.http("builder", "/api/v1/secrets", token=token)[0]) != 401 and s,
                            what="the token known to the builder")
        assert status == (200 if good else 403)
        put = stack.http("builder", "/api/v1/secrets/x", "PUT", b"value", token=token)
        assert put[0] == (201 if good else 403), put[2]
    for method, path, body in (("GET", "/api/v1/secrets", None), ("PUT", "/api/v1/secrets/x", b"v"),
                               ("DELETE", "/api/v1/secrets/x", None), ("POST", "/api/v1/secrets/rotate", b""),
                               ("POST", "/api/v1/secret-grants", {"pipeline": "a", "path": "b"})):
        for token in (False, "gty_wrong"):
            status, headers, _ = stack.http("builder", path, method, body, token=token)
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    token = stack.person("gone", "admin")
    eventually(lambda: stack.http("builder", "/api/v1/secrets", token=token)[0] == 200, what="the token known")
    stack.gantry("token", "delete", "gone")
    eventually(lambda: stack.http("builder", "/api/v1/secrets", token=token)[0] == 401, what="the token gone")


def test_what_cannot_be_a_secret_is_refused(make_stack):
    stack = make(make_stack)
    assert stack.http("builder", "/api/v1/secrets/a%20b", "PUT", b"v")[0] == 400
    assert stack.http("builder", "/api/v1/secrets/a%2F..%2Fb", "PUT", b"v")[0] == 400
    assert stack.http("builder", "/api/v1/secrets/x", "PUT", b"")[0] == 400
    assert stack.http("builder", "/api/v1/secrets/x", "PUT", b"v" * 65536)[0] == 201
    assert stack.http("builder", "/api/v1/secrets/y", "PUT", b"v" * 65537)[0] == 413
    assert stack.http("builder", "/api/v1/secrets/y")[0] == 404
    for body in ({}, {"pipeline": "a"}, {"pipeline": "a b", "path": "c"}, {"pipeline": 1, "path": "c"}):
        assert stack.http("builder", "/api/v1/secret-grants", "POST", body)[0] == 400
    bad = stack.gantry("secret", "set", "a b", stdin=VALUE, check=False)
    assert bad.code == 2 and "is no name" in bad.err
    bad = stack.gantry("secret", "set", "x", stdin="", check=False)
    assert bad.code == 2 and "standard input is empty" in bad.err
    assert names(stack) == ["x"]


def test_a_value_is_asked_for_without_showing_it(make_stack):
    stack = make(make_stack)
    env = dict(environment(), GANTRY_BUILDER_URL=f"http://127.0.0.1:{stack.ports['builder']}", GANTRY_TOKEN=stack.token)

    def typed(first, second):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(stack.bin / "gantry", ["gantry", "secret", "set", "typed"], env)
        shown = b""
        for prompt, line in ((b"Value: ", first), (b"Once more: ", second)):
            while prompt not in shown:
                shown += os.read(terminal, 1024)
            os.write(terminal, line.encode() + b"\n")
        try:
            while chunk := os.read(terminal, 1024):
                shown += chunk
        except OSError:
            pass  # the terminal's other end closed
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()

    code, shown = typed(VALUE, VALUE + "x")
    assert code == 2 and "differ" in shown and names(stack) == []
    code, shown = typed(VALUE, VALUE)
    assert code == 0 and "typed set: version 1" in shown and VALUE not in shown
    assert stack.gantry("secret", "list", "-o", "json").json()["secrets"][0]["versions"][0]["size"] == len(VALUE)


def restart(stack, **builder):
    assert stack.stop() == 0
    stack.settings["builder"] |= builder
    stack.prepare()
    stack.up()
    stack.wait_ready()
    ready(stack)


def closed(stack):
    status, _, body = stack.http("builder", "/api/v1/secrets")
    return body.decode() if status == 409 else None


# Prints what it has in every way that the mask must see, and tells by its exit code whether it was right.
SPEC = """version: 0.2
env:
  shell: bash
  parameter-store: {TOKEN: /shop/token}
  secrets-manager: {PASSWORD: "shop/db:password", PEM: shop/pem}
  exported-variables: [SEEN]
phases:
  build:
    commands:
      - echo "it is $PASSWORD, $TOKEN"
      - printf '%s\\n' "$PEM" | sed 's/^/> /'
      - printf %s "$PASSWORD" | while IFS= read -rn1 c; do printf %s "$c"; done; echo " in pieces"
      - test "$(printf %s "$PASSWORD$TOKEN$PEM" | sha256sum | cut -d' ' -f1)" = EXPECTED
      - export SEEN=yes
      - |
        printf '<testsuite><testcase name="t"><failure>%02035d%s</failure></testcase></testsuite>' 0 "$TOKEN" >cut.xml
      - echo "last $PASSWORD"; false
reports: {unit: {files: cut.xml}}
"""
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----"


def test_a_build_has_its_secrets_and_nothing_that_is_told_shows_them(make_stack, repository):
    stack = make_stack(start=False)
    stack.prepare()
    stack.secret("master-key", os.urandom(32), builder=True)
    stack.start()
    ready(stack)
    token = "tok-" + secrets.token_hex(12)
    expected = hashlib.sha256((VALUE + token + PEM).encode()).hexdigest()
    repository.commit("first", {"buildspec.yml": SPEC.replace("EXPECTED", expected)})
    for name, value in (("shop/token", token), ("shop/db", json.dumps({"password": VALUE})), ("shop/pem", PEM)):
        stack.gantry("secret", "set", name, stdin=value)
    stack.apply(one_stage("shop", repository.url))
    assert stack.wait_release("shop", 1)["status"] == "failed"
    text = stack.gantry("release", "show", "shop/1", check=False).out
    assert "env.parameter-store.TOKEN: the pipeline 'shop'" in text and "gantry secret grant" in text

    stack.gantry("secret", "grant", "shop", "shop/**")
    repository.commit("second")
    assert stack.wait_release("shop", 2)["status"] == "failed"
    log = stack.gantry("logs", "shop/2", "app").out
    assert "it is ***, ***\n" in log and "> ***\n> ***\n" in log and "*** in pieces" in log and "last ***" in log
    told = log + json.dumps(stack.release("shop", 2)) + stack.gantry("release", "show", "shop/2", check=False).out
    told += stack.log.read_text() + text
    assert "ended with exit status 1" in told and "false" in told
    assert "000***" in told and token[:8] not in told  # hidden before the message was cut
    for secret in (VALUE, token, *PEM.split("\n")):
        assert secret not in told
    # Nor does any record of the topics.
    for topic in ("log", "result.build", "ledger", "event"):
        assert not any(VALUE.encode() in record.value for record in read_topic(stack, topic) if record.value)


def test_the_master_key_is_changed_by_rotation(make_stack):
    stack = make(make_stack)
    stack.gantry("secret", "set", "shop/db", stdin=VALUE)
    stack.secret("new-key", os.urandom(32), builder=True)
    assert stack.stop() == 0
    stack.settings["builder"] |= {"master-key": "new-key"}
    stack.prepare()
    stack.up()
    stack.wait_ready()
    assert "was sealed under the master key file:" in eventually(lambda: closed(stack), what="a closed store")
    assert stack.gantry("secret", "set", "x", stdin="y", check=False).code == 5
    restart(stack, **{"old-master-key": "master-key"})
    index = stack.folder / "state/builder/secrets/index.json"
    old = index.read_text()
    assert "rotated" in stack.gantry("secret", "rotate").out
    assert json.loads(old)["key"]["master"] != json.loads(index.read_text())["key"]["master"]
    del stack.settings["builder"]["old-master-key"]
    (stack.secrets / "master-key").unlink()
    restart(stack)
    assert names(stack) == ["shop/db"]


def test_without_a_master_key_the_store_says_how_to_make_one(make_stack):
    stack = make_stack(services=SERVICES)
    assert "head -c 32 /dev/urandom" in eventually(lambda: closed(stack), what="a closed store")
    stack.secret("master-key", os.urandom(32), builder=True)
    stack.gantry("secret", "set", "x", stdin="y")


def test_kms_is_the_master_key(make_stack, aws, monkeypatch):
    for name, value in aws.environment().items():
        if name.startswith("AWS_") and "ENDPOINT" not in name and "REGION" not in name:
            monkeypatch.setenv(name, value)
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    stack = make(make_stack, aws, **{"master-key": f"kms:{key}"})
    stack.gantry("secret", "set", "shop/db", stdin=VALUE)
    assert stack.gantry("secret", "list", "-o", "json").json()["key"]["master"] == f"kms:{key}"
    restart(stack)
    assert names(stack) == ["shop/db"]
    before = (stack.folder / "state/builder/secrets/index.json").read_text()
    stack.gantry("secret", "rotate")
    assert (stack.folder / "state/builder/secrets/index.json").read_text() != before
    assert names(stack) == ["shop/db"]


def test_a_store_that_somebody_changed_is_not_used(make_stack):
    stack = make(make_stack)
    stack.gantry("secret", "set", "shop/db", stdin=VALUE)
    stack.gantry("secret", "grant", "shop", "shop/db")
    index = stack.folder / "state/builder/secrets/index.json"
    good = index.read_text()
    index.write_text(good.replace('"path": "shop/db"', '"path": "**"'))
    status, _, body = stack.http("builder", "/api/v1/secrets")
    assert status == 400 and b"others than Gantry changed it" in body
    index.write_text(good)
    assert names(stack) == ["shop/db"]


@pytest.mark.parametrize("settings,part", [
    ({"parameters": "vault"}, "must be gantry or aws"),
    ({"parameters": "aws"}, "AWS needs a region"),
    ({"master-key": "kms:alias/x"}, "AWS needs a region"),
    ({"grants": {"shop": ["a b"]}}, "builder.grants"),
    ({"aws-region": "eu central"}, "is no AWS region"),
])
def test_settings_that_cannot_be_are_refused(make_stack, settings, part):
    stack = make_stack(start=False, services=SERVICES, settings={"builder": settings})
    stack.prepare()
    env = {k: v for k, v in environment().items() if not k.startswith("AWS_")} | {
        "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    done = subprocess.run([stack.bin / "gantry-builder", "--config", stack.config], env=env, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 2 and part in done.stdout + done.stderr

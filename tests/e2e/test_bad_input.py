"""What is wrong is refused with a reason, and starts nothing."""
import hashlib
import hmac
import http.client
import json

import pytest
from confluent_kafka import Producer
from pipelines import deployer_settings, environments, one_stage, pipeline
from stack import Repository, eventually
from topics import read_topic

SECRET = "hush-hush-hush-hush"


@pytest.fixture
def hooked(make_stack, repository):
    stack = make_stack(start=False, settings={"source-watcher": {"webhook-secret": "hook"}})
    stack.settings["deployer"] = deployer_settings(stack.folder)
    stack.prepare()
    stack.secret("hook", SECRET)
    stack.start()
    repository.commit("first", {"buildspec.yml": "version: 0.2\nphases: {build: {commands: ['true']}}\n"})
    stack.apply(environments("dev") + one_stage("lib", repository.url, "name: test, buildspec: buildspec.yml", stage="test"))
    stack.wait_release("lib", 1)
    return stack


def push_payload(repository, before, after):
    return json.dumps({
        "ref": "refs/heads/main", "before": before, "after": after, "forced": False,
        "repository": {"clone_url": repository.url, "html_url": repository.url, "ssh_url": repository.url, "full_name": "acme/app"},
        "pusher": {"name": "kim", "email": "kim@example.test"}, "head_commit": {"id": after, "message": "x"},
        "commits": [{"id": after, "message": "x", "author": {"name": "Kim", "email": "kim@example.test"},
                     "committer": {"name": "Kim", "email": "kim@example.test"}}]}).encode()


def signed(body, secret=SECRET):
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
            "X-GitHub-Event": "push", "X-GitHub-Delivery": hashlib.md5(body).hexdigest(), "Content-Type": "application/json"}


def releases(stack, pipeline="lib"):
    return stack.get(f"/api/v1/pipelines/{pipeline}/releases")["releases"]


@pytest.mark.parametrize("case", ["unsigned", "wrongly-signed", "truncated", "not-json"])
def test_a_bad_webhook_gets_4xx_with_a_reason_and_starts_nothing(hooked, repository, case):
    body = push_payload(repository, "0" * 40, "1" * 40)
    headers = signed(body)
    if case == "unsigned":
        del headers["X-Hub-Signature-256"]
    elif case == "wrongly-signed":
        headers = signed(body, "another-secret-altogether")
    elif case == "truncated":
        body = body[:-20]
    elif case == "not-json":
        body = b"\xff\xfe nonsense"
        headers = signed(body)
    status, _, answer = hooked.http("source-watcher", "/hooks/github", "POST", body, headers, token=None)
    assert 400 <= status < 500, answer
    assert json.loads(answer)["detail"]
    assert len(releases(hooked)) == 1


def test_an_oversized_webhook_gets_413_before_its_body_is_sent(hooked):
    size = 25 * 1024 * 1024 + 1
    connection = http.client.HTTPConnection("127.0.0.1", hooked.ports["source-watcher"], timeout=60)
    connection.putrequest("POST", "/hooks/github")
    # RFC 9110, 10.1.1: whoever sends this waits for an answer. A sender that does not may find the connection closed.
    for name, value in dict(signed(b" " * size), **{"Content-Length": size, "Expect": "100-continue"}).items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413 and answer.read()
    assert len(releases(hooked)) == 1


def test_a_signed_webhook_and_the_poll_of_the_same_commit_start_one_release(hooked, repository):
    before = repository.git("rev-parse", "HEAD")
    after = repository.commit("second")
    body = push_payload(repository, before, after)
    for _ in range(3):
        status, _, answer = hooked.http("source-watcher", "/hooks/github", "POST", body, signed(body), token=None)
        assert status in (200, 202), answer
    hooked.wait_release("lib", 2)
    third = repository.commit("third")
    hooked.wait_release("lib", 3)
    assert [r["number"] for r in releases(hooked)] == [3, 2, 1]
    assert third in json.dumps(hooked.release("lib", 3))


def test_a_definition_with_a_mistake_names_file_line_path_and_reason_and_the_old_one_stays(hooked, tmp_path):
    good = hooked.gantry("get", "pipeline", "lib").out
    bad = tmp_path / "lib.yaml"
    bad.write_text(good.replace("buildspec: buildspec.yml", "buildspec: buildspec.yml, sise: {cpu: 2}"))
    refused = hooked.gantry("apply", "-f", bad, check=False)
    assert refused.code == 2
    line = next(i for i, text in enumerate(bad.read_text().splitlines(), 1) if "sise" in text)
    assert f"lib.yaml:{line}:" in refused.err and "spec.stages[0].steps[0].build" in refused.err and "sise" in refused.err
    assert hooked.gantry("get", "pipeline", "lib").out == good
    status, _, answer = hooked.http("console", "/api/v1/definitions/Pipeline/lib", "PUT", bad.read_bytes(),
                                    {"Content-Type": "application/yaml", "If-Match": "*"})
    assert 400 <= status < 500 and json.loads(answer)["errors"][0]["line"] == line


def test_a_repository_that_is_away_is_shown_and_others_go_on(hooked, repository, workspace):
    hooked.apply(environments("dev") + pipeline("lost", f"file://{workspace}/nowhere.git", image="127.0.0.1:1/x"))
    eventually(lambda: "nowhere.git" in hooked.http("source-watcher", "/readyz", token=None)[2].decode() or
               "nowhere.git" in hooked.log.read_text(), what="the repository that is away shown")
    repository.commit("second")
    hooked.wait_release("lib", 2, "succeeded")
    # Once it is there, its pipeline starts by itself.
    late = Repository(workspace, "nowhere")
    late.commit("at last", {"buildspec.yml": "version: 0.2\nphases: {build: {commands: ['false']}}\n"})
    hooked.wait_release("lost", 1, timeout=90)


def test_a_failing_buildspec_ends_the_release_with_phase_command_exit_code_and_last_lines(hooked, repository):
    repository.commit("break it", {"buildspec.yml": "version: 0.2\nphases:\n  build:\n    commands:\n      - echo the last words\n      - exit 7\n"})
    release = hooked.wait_release("lib", 2, "failed")
    shown = hooked.gantry("release", "show", "lib/2").out
    assert "phase BUILD, command `exit 7`, exit code 7" in shown and "| the last words" in shown
    run = release["stages"][0]["actions"][0]["runs"][-1]
    assert (run["finished"]["phase"], run["finished"]["command"], run["finished"]["exitCode"]) == ("BUILD", "exit 7", 7)
    assert "the last words" in run["finished"]["logTail"]
    assert "Command did not exit successfully: exit 7 exit status 7" in hooked.gantry("logs", "lib/2", "test").out


def test_without_a_token_nothing_is_told_or_done(hooked):
    for path in ("/api/v1/pipelines", "/api/v1/events", "/api/v1/ledger", "/api/v1/definitions"):
        assert hooked.http("console", path, token=None)[0] == 401
    viewer = hooked.person("vic", "viewer")
    assert hooked.http("console", "/api/v1/pipelines/lib/releases", "POST", {}, token=viewer)[0] == 403
    assert hooked.http("console", "/api/v1/definitions/Pipeline/lib", "DELETE", token=viewer)[0] == 403
    assert hooked.http("approver", "/api/v1/tokens", token=viewer)[0] == 403


JUNK = ["definition", "access", "source", "command", "event", "log", "notification", "promoter.state",
        *(f"request.{kind}" for kind in ("build", "deploy", "custom", "approval")), *(f"result.{kind}" for kind in ("build", "deploy", "approval", "custom"))]
NOBODYS = {"request.custom", "log", "notification", "promoter.state"}  # nobody of ours works it off: who follows it passes over it


def test_what_cannot_be_decoded_is_put_aside_with_the_reason_and_everything_goes_on(hooked, repository):
    producer = Producer({"bootstrap.servers": hooked.kafka})
    for topic in JUNK:
        for value in (b"\xff\xff nonsense", b"\x0a\x7fshort"):
            for partition in range(hooked.partitions):  # whichever `lib` is in
                producer.produce(f"{hooked.prefix}.{topic}.v1", value, b"lib", partition=partition)
    producer.flush()
    repository.commit("after the nonsense")
    hooked.wait_release("lib", 2, "succeeded")

    def aside():
        return [(r.headers["gantry_topic"], r.headers["gantry_partition"], r.headers["gantry_offset"], r.value, r.headers["gantry_reason"])
                for r in read_topic(hooked, "deadletter")]
    wanted = 2 * hooked.partitions * (len(JUNK) - len(NOBODYS))
    eventually(lambda: len(aside()) >= wanted, what=f"{wanted} dead letters")
    assert {topic.removeprefix(f"{hooked.prefix}.").removesuffix(".v1") for topic, *_ in aside()} == set(JUNK) - NOBODYS
    assert len({place[:3] for place in aside()}) == len(aside()) == wanted, "each once"
    assert {value for *_, value, _ in aside()} == {b"\xff\xff nonsense", b"\x0a\x7fshort"} and all(reason for *_, reason in aside())
    repository.commit("and again")
    hooked.wait_release("lib", 3, "succeeded")
    assert hooked.gantry("audit", "verify").code == 0

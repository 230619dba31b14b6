"""What people type: commands that follow, compare, check and hand out tokens, and their exit codes."""
import json

import pytest
from following import Following
from pipelines import PUSH, STAGING_GATE, environments, pipeline
from stack import eventually

# As the other tests' deploy, but it waits as long as a file is there, and fails where another is.
DEPLOY = """#!/bin/sh
echo "begins in $GANTRY_ENVIRONMENT"
while [ -e "$TARGET/$GANTRY_PIPELINE.hold" ]; do sleep 0.05; done
[ ! -e "$TARGET/$GANTRY_PIPELINE.fail" ] || exit 9
echo "ends in $GANTRY_ENVIRONMENT"
"""


@pytest.fixture(scope="module")
def stack(make_shared_stack):
    stack = make_shared_stack(start=False)
    script = stack.folder / "deploy.sh"
    script.write_text(DEPLOY)
    script.chmod(0o755)
    stack.settings["deployer"] = {"commands": {"deploy": {"argv": [str(script)],
                                                          "env": {"TARGET": str(stack.folder), "PATH": "/usr/bin:/bin"}}}}
    stack.start()
    stack.apply(environments("dev", "staging", "prod"))
    return stack


@pytest.fixture
def applied(stack, registry, repository):
    """apply(name, ...): a pipeline of that name whose first commit is still to be made."""
    def apply(name, **more):
        stack.apply(pipeline(name, repository.url, image=f"{registry.address}/shop", buildspec="push.yml", **more))
        return name
    return apply


def in_order(lines, *words):
    at = 0
    for word in words:
        at = next((i + 1 for i, line in enumerate(lines[at:], at) if word in line), None)
        assert at, f"'{word}' is not there, or too early: {lines}"


def runs_in(stack, name, number, stage):
    return any(s["name"] == stage and s["status"] == "in-progress" for s in stack.release(name, number)["stages"])


def test_release_watch_follows_the_next_release_to_its_end(stack, applied, repository):
    applied("follow")
    watch = Following(stack, "release", "watch", "follow")
    watch.until("no release of follow is running; waiting for the next")
    repository.commit("a change to follow", PUSH)
    assert watch.end() == 0
    in_order(watch.lines, "follow/1", "image succeeded", "follow/1 succeeded")
    digest = stack.release("follow", 1)["artifacts"][0]["digest"]
    said = "\n".join(watch.lines)
    assert "a change to follow" in said and digest in said
    assert all(f"app succeeded in {e}" in said for e in ("dev", "staging", "prod"))


def test_release_watch_of_a_release_that_fails_says_why_and_exits_1(stack, applied, repository):
    (stack.folder / "breaks.fail").touch()
    applied("breaks")
    repository.commit("first", PUSH)
    stack.wait_release("breaks", 1)
    watched = stack.gantry("release", "watch", "breaks/1", check=False)
    assert watched.code == 1
    assert "app failed: " in watched.out and "exit code 9" in watched.out
    assert "breaks/1 failed" in watched.out.splitlines()[-1]
    assert stack.gantry("release", "watch", "breaks/1", "-o", "json", check=False).json()["status"] == "failed"
    assert stack.gantry("release", "watch", "breaks/2", check=False).code == 3


def test_release_watch_ends_when_a_vote_is_wanted_or_its_time_is_up(stack, applied, repository):
    applied("gated", staging_gate=STAGING_GATE)
    repository.commit("first", PUSH)
    watched = stack.gantry("release", "watch", "gated", "--until-approval", "staging")
    in_order(watched.out.splitlines(), "gated/1", "waits for approval, 0 of 1: gantry approve gated/1 staging")
    assert stack.release("gated", 1)["status"] == "waiting"
    late = stack.gantry("release", "watch", "gated/1", "--timeout", "300ms", check=False)
    assert late.code == 7 and "gated/1 goes on" in late.err
    # A stage that asks nobody does not end it before the release's own end.
    watch = Following(stack, "release", "watch", "gated/1", "--until-approval", "prod")
    watch.until("waits for approval")
    stack.gantry("approve", "gated/1", "staging", "--yes", token=stack.person("quinn", "approver", groups=["qa"]))
    assert watch.end() == 0
    in_order(watch.lines, "staging    approved", "gated/1 succeeded")


def test_logs_follow_an_action_until_it_ends(stack, applied, repository):
    hold = stack.folder / "logged.hold"
    hold.touch()
    applied("logged")
    assert stack.gantry("logs", "-f", "logged/1", "dev", "app", check=False).code == 3
    repository.commit("first", PUSH)
    eventually(lambda: runs_in(stack, "logged", 1, "dev"), what="the deploy into dev")
    logs = Following(stack, "logs", "-f", "logged/1", "dev", "app")
    logs.until("begins in dev")
    assert "ends in dev" not in stack.gantry("logs", "logged/1", "dev", "app").out  # without -f: what there is
    assert logs.process.poll() is None
    hold.unlink()
    assert logs.end() == 0
    in_order(logs.lines, "begins in dev", "ends in dev")
    stack.wait_release("logged", 1, "succeeded")
    assert "ends in prod" in stack.gantry("logs", "logged/1", "prod", "app").out


def test_diff_shows_what_apply_would_change_and_changes_nothing(stack, applied, tmp_path):
    applied("compared")
    text = stack.gantry("get", "pipeline", "compared").out
    path = tmp_path / "compared.yaml"
    path.write_text(text)
    assert (stack.gantry("diff", "-f", path).code, stack.gantry("diff", "-f", path).out) == (0, "")
    path.write_text(text.replace("mode: superseded", "mode: queued"))
    shown = stack.gantry("diff", "-f", path, check=False)
    assert shown.code == 1
    assert "~ mode: superseded -> queued" in shown.out and "-  mode: superseded" in shown.out and "+  mode: queued" in shown.out
    summary = stack.gantry("diff", "-f", path, "--summary", check=False)
    assert summary.code == 1 and "~ mode: superseded -> queued" in summary.out and "-  mode" not in summary.out
    assert stack.gantry("get", "pipeline", "compared").out == text
    path.write_text(text.replace("name: compared", "name: another"))
    assert stack.gantry("diff", "-f", path, check=False).code == 1
    assert stack.gantry("get", "pipeline", "another", check=False).code == 3
    path.write_text(text.replace("mode:", "mood:"))
    wrong = stack.gantry("diff", "-f", path, check=False)
    assert wrong.code == 2 and "compared.yaml:" in wrong.err and "mood" in wrong.err


def test_topics_check_names_what_is_not_as_gantry_needs_it(stack, tmp_path):
    good = stack.gantry("topics", "check", "--config", stack.config, token=False)
    assert good.out == "the topics are as Gantry needs them (durability: single)\n"
    settings = json.loads(stack.config.read_text())

    def check(**common):
        path = tmp_path / "gantry.yaml"
        path.write_text(json.dumps({"common": dict(settings["common"], **common)}))
        return stack.gantry("topics", "check", "--config", path, token=False, check=False)
    single = check(durability="replicated")
    assert single.code == 1 and "topic 'ledger' has 1 replicas; durability 'replicated' needs 3 or more" in single.out
    missing = check(**{"topic-prefix": "nobody"})
    assert missing.code == 1 and "topic 'ledger' is missing: `gantry topics create` makes it" in missing.out


def test_a_token_is_listed_and_good_until_it_is_deleted(stack):
    token = stack.person("vic", "viewer", groups=["guests"])
    listed = stack.gantry("token", "list")
    line = next(line for line in listed.out.splitlines() if line.startswith("vic "))
    assert all(word in line for word in ("Vic", "vic@example.test", "viewer", "guests"))
    assert token not in listed.out
    known = {t["name"]: t for t in stack.gantry("token", "list", "-o", "json").json()["tokens"]}
    assert known["vic"]["roles"] == ["viewer"] and token not in json.dumps(known)
    assert stack.gantry("pipelines", token=token).code == 0
    assert stack.gantry("token", "list", token=token, check=False).code == 4

    assert stack.gantry("token", "delete", "vic").out == "token vic deleted\n"
    eventually(lambda: stack.gantry("pipelines", token=token, check=False).code == 4, what="the token refused")
    assert "vic " not in stack.gantry("token", "list").out
    assert stack.gantry("token", "delete", "vic", check=False).code == 3

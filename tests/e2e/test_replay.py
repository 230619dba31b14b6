"""State out of the ledger alone: now, then, and as it would have been under another definition."""
import pathlib
import tempfile
import time

import pytest
from pipelines import PUSH, deployer_settings, environments
from stack import Repository, Stack, eventually
from topics import read_topic

PIPELINE = """
apiVersion: gantry/v1
kind: Pipeline
metadata: {name: shop}
spec:
  sources: [{name: app, git: '%s', branches: [main], poll: 1s}]
  stages:
    - name: build
      steps: [{build: {name: image, buildspec: push.yml, image: '%s/shop'}}]
    - name: dev
%s      steps: [{deploy: {name: app, environment: dev}}]
"""


def folder(workspace, name):
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=workspace))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def shop(workspace, kafka, registry):
    """Two releases of `shop` in dev, one after the other, and a time between them."""
    repository = Repository(folder(workspace, "git"))
    stack = Stack(folder(workspace, "replay"), kafka, settings={"promoter": {"checkpoint-every": "1s"}})
    stack.settings["deployer"] = deployer_settings(stack.folder)
    stack.definition = lambda gates="": PIPELINE % (repository.url, registry.address, gates)
    try:
        stack.start()
        two_releases(stack, repository)
        yield stack
    finally:
        stack.stop()


def two_releases(stack, repository):
    repository.commit("first", PUSH)
    stack.apply(environments("dev") + stack.definition())
    stack.wait_release("shop", 1, "succeeded")
    stack.commits = [repository.git("rev-parse", "HEAD")]
    time.sleep(1)
    stack.between = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    time.sleep(1)
    repository.commit("second")
    stack.commits.append(repository.git("rev-parse", "HEAD"))
    stack.wait_release("shop", 2, "succeeded")


def replay(stack, *options, check=True):
    return stack.gantry("replay", *options, "-o", "json", check=check)


def running(answer):
    return {(e["environment"], e["pipeline"]): e for e in answer.json()["environments"]}


def decisions(stack):
    return [r for r in read_topic(stack, "ledger") if r.message.pipeline == "shop"]


def test_replayed_state_is_byte_for_byte_what_the_promoter_keeps(shop):
    last = decisions(shop)[-1]

    def kept():
        answer = replay(shop, "--config", shop.config)
        state = next(p for p in answer.json()["pipelines"] if p["pipeline"] == "shop")
        return state["comparedAt"] == last.message.sequence and (answer, state)
    answer, state = eventually(kept, what="a checkpoint of the last Decision")
    assert answer.code == 0 and answer.json()["differences"] == []
    assert state["sequence"] == last.message.sequence and len(state["stateSha256"]) == 64
    table = shop.gantry("replay", "--config", shop.config).out
    assert "compared with the promoter's state: 1 of 1 pipelines" in table


def test_the_console_gives_the_same_ledger_and_says_that_the_same_runs(shop):
    answer = replay(shop)
    here = running(answer)["dev", "shop"]
    assert answer.code == 0 and (here["release"], here["commit"]) == (2, shop.commits[1])
    assert here["digest"] == shop.release("shop", 2)["artifacts"][0]["digest"]


def test_until_a_time_before_the_second_release_the_first_is_in_the_environment(shop):
    for options in ((), ("--config", shop.config)):
        here = running(replay(shop, "--until", shop.between, *options))["dev", "shop"]
        assert (here["release"], here["commit"]) == (1, shop.commits[0])
    assert "shop" in shop.gantry("replay", "--until", shop.between).out


def test_until_a_sequence_state_is_as_it_was_at_that_decision(shop):
    entered = next(r.message for r in decisions(shop) for c in r.message.changes if c.WhichOneof("what") == "stage_entered")
    answer = replay(shop, "--pipeline", "shop", "--until", entered.sequence).json()
    assert answer["pipelines"][0]["sequence"] == entered.sequence and answer["environments"] == []
    assert [(r["release"], r["status"], r["stage"]) for r in answer["releases"]] == [(1, "in-progress", "build")]


def test_wrong_words_and_an_unreachable_kafka_have_their_exit_codes(shop, tmp_path):
    assert replay(shop, "--until", "7", check=False).code == 2
    assert replay(shop, "--until", "yesterday", check=False).code == 2
    assert replay(shop, "--pipeline", "nothing", check=False).code == 3
    assert replay(shop, "--url", "http://127.0.0.1:9", check=False).code == 6


def test_a_definition_that_changes_nothing_that_matters_differs_in_nothing(shop, tmp_path):
    file = tmp_path / "same.yaml"
    file.write_text(shop.definition())
    for options in ((), ("--config", shop.config)):
        answer = shop.gantry("policy", "test", file, "-o", "json", *options)
        assert answer.json()["differences"] == [] and answer.json()["releases"] == 2


def test_a_new_gate_shows_what_past_releases_would_have_waited_for(shop, tmp_path):
    file = tmp_path / "soak.yaml"
    file.write_text(shop.definition("      gates: [{soak: 2h}]\n"))
    answer = shop.gantry("policy", "test", file, "-o", "json", check=False)
    rows = {(r["release"], r["stage"]): r for r in answer.json()["differences"]}
    assert answer.code == 1 and rows[2, "dev"]["would"] == "waiting still" and rows[2, "dev"]["because"] == "soak"
    assert rows[1, "dev"]["would"] == "superseded by release 2"
    table = shop.gantry("policy", "test", file, "--since", shop.between, check=False)
    assert table.code == 1 and "waiting still" in table.out and "1 releases of shop" in table.out


def test_mistakes_in_the_tried_definition_are_named(shop, tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text(shop.definition("      gates: [{soak: sideways}]\n"))
    answer = shop.gantry("policy", "test", file, check=False)
    assert answer.code == 2 and "soak" in answer.err and "wrong.yaml:" in answer.err

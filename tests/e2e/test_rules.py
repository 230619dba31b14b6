"""What a definition says of failure, modes and votes, through all services; the engine's own tests have every row of it."""
import pathlib
import tempfile

import pytest
from responder import Responder
from stack import Repository, eventually

PIPELINE = """
apiVersion: gantry/v1
kind: Pipeline
metadata: {name: %s}
spec:
  mode: %s
  sources: [{name: app, git: '%s', branches: [main], poll: 1s}]
  stages:
"""


@pytest.fixture(scope="module")
def stack(make_shared_stack):
    stack = make_shared_stack(services=["source-watcher", "promoter", "approver", "console"])
    stack.responder = Responder(stack)
    yield stack
    stack.responder.stop()


@pytest.fixture
def apply(stack, workspace):
    """apply(name, stages, mode): a pipeline of a repository of its own, which has one commit; that repository."""
    def make(name, stages, mode="superseded"):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="git-", dir=workspace))
        folder.chmod(0o755)
        repository = Repository(folder)
        repository.commit("first")
        stack.apply(PIPELINE % (name, mode, repository.url) + stages)
        return repository
    return make


def wait_waiting(stack, pipeline, number, stage):
    eventually(lambda: any(s["name"] == stage and s["status"] == "waiting" for s in stack.release(pipeline, number)["stages"]),
               what=f"{pipeline}/{number} before {stage}")


def entries(stack, pipeline, number, stage):
    """(status, by itself) of each time it entered."""
    return [(s["status"], s.get("automatic", False)) for s in stack.release(pipeline, number)["stages"] if s["name"] == stage and s["number"] > 0]


def vote(stack, who, verdict, release, stage):
    return stack.gantry(verdict, release, stage, "--yes", token=who, check=False)


def test_on_failure_retry_enters_the_stage_again_by_itself_up_to_n_times(stack, apply):
    responder = stack.responder
    responder.fails["flaky"] = 2
    repository = apply("retried", """
    - name: test
      on-failure: retry 2
      steps: [{custom/x: {name: steady}}, {custom/x: {name: flaky}}]
""")
    stack.wait_release("retried", 1, "succeeded")
    assert entries(stack, "retried", 1, "test") == [("failed", False), ("failed", True), ("succeeded", True)]
    assert (responder.runs("retried", 1, "steady"), responder.runs("retried", 1, "flaky")) == (1, 3), "only what failed"

    responder.fails["flaky"] = 99
    repository.commit("second")
    stack.wait_release("retried", 2, "failed")
    responder.fails["flaky"] = 0
    assert entries(stack, "retried", 2, "test") == [("failed", False), ("failed", True), ("failed", True)]
    assert responder.runs("retried", 2, "flaky") == 3


def test_on_failure_rollback_brings_the_last_success_back_and_does_so_once(stack, apply):
    responder = stack.responder
    responder.fails["go-live"] = 1
    repository = apply("rolled", """
    - name: prod
      on-failure: rollback
      steps: [{custom/x: {name: go-live}}]
""")
    stack.wait_release("rolled", 1, "failed")  # nothing to go back to
    repository.commit("second")
    stack.wait_release("rolled", 2, "succeeded")
    good = repository.git("rev-parse", "HEAD")

    responder.fails["go-live"] = 1
    repository.commit("third")
    stack.wait_release("rolled", 3, "failed")
    release = stack.wait_release("rolled", 4, "succeeded")
    assert (release["type"], release["rollbackTo"], release["failedRelease"]) == ("rollback", 2, 3)
    assert [r["commit"] for r in release["revisions"]] == [good]
    assert stack.release("rolled", 3)["rolledBackBy"] == 4

    responder.fails["go-live"] = 2  # the rollback fails as well
    repository.commit("fourth")
    stack.wait_release("rolled", 5, "failed")
    stack.wait_release("rolled", 6, "failed")
    repository.commit("fifth")
    release = stack.wait_release("rolled", 7, "succeeded")
    assert release["type"] == "normal", "no rollback of a rollback came between"


def test_releases_of_a_parallel_pipeline_are_in_a_stage_together_and_end_as_they_come(stack, apply):
    responder = stack.responder
    responder.held.add("slow")
    repository = apply("together", """
    - name: test
      steps: [{custom/x: {name: slow}}]
    - name: prod
      steps: [{custom/x: {name: quick}}]
""", mode="parallel")
    eventually(lambda: responder.runs("together", 1), what="release 1 inside")
    repository.commit("second")
    eventually(lambda: responder.runs("together", 2), what="release 2 inside as well")
    for number in (1, 2):
        stack.wait_release("together", number, "in-progress")
    requests = {r.release: r for r in responder.asked if r.pipeline == "together"}
    responder.finish(requests[2])
    stack.wait_release("together", 2, "succeeded")
    assert stack.release("together", 1)["status"] == "in-progress", "not superseded"
    responder.finish(requests[1])
    stack.wait_release("together", 1, "succeeded")
    back = stack.gantry("release", "rollback", "together", "prod", "--to", "1", "--reason", "x", check=False)
    assert back.code == 5 and "parallel" in back.err


def test_as_many_rejections_reject_as_rejects_says(stack, apply):
    repository = apply("counted", """
    - name: prod
      gates: [{approval: {by: ['group:qa'], count: 2, rejects: 2, expires: 1h}}]
      steps: [{custom/x: {name: go-live}}]
""")
    people = [stack.person(f"counter-{n}", "approver", groups=["qa"]) for n in range(4)]
    wait_waiting(stack, "counted", 1, "prod")
    assert "counted: 1 of 2 that reject it" in vote(stack, people[0], "reject", "counted/1", "prod").out
    assert "counted: 1 of 2\n" in vote(stack, people[1], "approve", "counted/1", "prod").out
    assert "counted: 2 of 2\n" in vote(stack, people[2], "approve", "counted/1", "prod").out
    stack.wait_release("counted", 1, "succeeded")

    repository.commit("second")
    wait_waiting(stack, "counted", 2, "prod")
    vote(stack, people[0], "reject", "counted/2", "prod")
    assert stack.release("counted", 2)["status"] == "waiting"
    assert vote(stack, people[0], "reject", "counted/2", "prod").code == 5, "one vote a person"
    assert "rejected" in vote(stack, people[3], "reject", "counted/2", "prod").out
    release = stack.wait_release("counted", 2, "failed")
    assert "rejected by Counter-3" in str(release) and stack.responder.runs("counted", 2) == 0


def test_who_approved_for_an_earlier_stage_does_not_approve_the_later_one(stack, apply):
    apply("eyes", """
    - name: staging
      gates: [{approval: {by: ['group:qa'], expires: 1h}}]
      steps: [{custom/x: {name: try-it}}]
    - name: prod
      gates: [{approval: {by: ['group:qa'], not: ['approver-of:staging'], expires: 1h}}]
      steps: [{custom/x: {name: go-live}}]
""")
    ana, bo = (stack.person(name, "approver", groups=["qa"]) for name in ("ana", "bo"))
    wait_waiting(stack, "eyes", 1, "staging")
    assert vote(stack, ana, "approve", "eyes/1", "staging").code == 0
    wait_waiting(stack, "eyes", 1, "prod")
    refused = vote(stack, ana, "approve", "eyes/1", "prod")
    assert refused.code == 5 and "who approved at stage 'staging' may not vote" in refused.err
    assert stack.responder.runs("eyes", 1, "go-live") == 0
    assert vote(stack, bo, "approve", "eyes/1", "prod").code == 0
    release = stack.wait_release("eyes", 1, "succeeded")
    assert [v["reason"] for v in release["refusedVotes"]] == ["who approved at stage 'staging' may not vote"]


def test_a_release_started_by_hand_has_the_commit_and_variables_that_were_asked_for(stack, apply):
    repository = apply("by-hand", """
    - name: test
      steps: [{custom/x: {name: say, input: {level: '{{variables.LEVEL}}', of: '{{revision}}'}}}]
  variables: {LEVEL: info}
""")
    stack.wait_release("by-hand", 1, "succeeded")
    first = repository.git("rev-parse", "HEAD")
    second = repository.commit("second")
    stack.wait_release("by-hand", 2, "succeeded")

    def asked(number):
        return [{i.key: i.value for i in r.custom.input} for r in stack.responder.asked if (r.pipeline, r.release) == ("by-hand", number)]
    assert "by-hand/3 started" in stack.gantry("release", "start", "by-hand", "--revision", first[:8], "--variable", "LEVEL=debug").out
    stack.wait_release("by-hand", 3, "succeeded")
    stack.gantry("release", "start", "by-hand", "--ref", "main")
    stack.wait_release("by-hand", 4, "succeeded")
    assert (asked(3), asked(4)) == ([{"level": "debug", "of": first}], [{"level": "info", "of": second}])
    for words, code, reason in ((("--variable", "LEVL=x"), 5, "no variable 'LEVL'"), (("--revision", "0123456"), 2, "revision: no known commit of the source"),
                                (("--revision", "zzz"), 2, "revision: must be a commit"),
                                (("--ref", "nowhere"), 5, "no commit of refs/heads/nowhere"), (("--source", "lib", "--ref", "main"), 2, "source: the pipeline has no such source")):
        refused = stack.gantry("release", "start", "by-hand", *words, check=False)
        assert refused.code == code and reason in refused.err, refused.err


def test_stop_wait_lets_what_runs_finish_and_retry_all_runs_everything_again(stack, apply):
    responder = stack.responder
    responder.held.add("long")
    apply("stopped", "    - {name: test, steps: [{custom/x: {name: long}}]}\n    - {name: prod, steps: [{custom/x: {name: go}}]}\n")
    eventually(lambda: responder.runs("stopped", 1, "long"), what="the action under way")
    assert "is stopping" in stack.gantry("release", "stop", "stopped/1", "--wait", "--reason", "\x1b[2Jenough\u202e").out
    assert stack.release("stopped", 1)["status"] == "in-progress"
    responder.finish(next(r for r in responder.asked if r.pipeline == "stopped"))
    stack.wait_release("stopped", 1, "stopped")
    shown = stack.gantry("release", "show", "stopped/1").out
    assert "stopped by bootstrap (wait): ?[2Jenough" in shown and "\x1b" not in shown and "\u202e" not in shown
    assert responder.runs("stopped", 1, "go") == 0 and not [r for r in responder.cancelled if r.pipeline == "stopped"]

    responder.fails["breaks"] = 2
    apply("again", "    - {name: test, steps: [{custom/x: {name: works}}, {custom/x: {name: breaks}}]}\n")
    for words, runs in ((("--all",), (2, 2)), ((), (2, 3))):
        stack.wait_release("again", 1, "failed")
        stack.gantry("release", "retry", "again/1", "test", *words)
        eventually(lambda: responder.runs("again", 1, "breaks") == runs[1], what="the stage again")
        assert (responder.runs("again", 1, "works"), responder.runs("again", 1, "breaks")) == runs
    stack.wait_release("again", 1, "succeeded")
    assert stack.gantry("release", "retry", "again/1", "test", check=False).code == 5

"""Batches: one action whose buildspec makes several builds, on a real builder."""
import random
import socket

from page import go, problems, shows
from pipelines import PUSH
from processes import sleepers
from stack import eventually

NAP = random.randrange(10**8, 10**9)  # so that two runs of this test on one machine do not see each other's
TAIL = "phases: {build: {commands: ['echo this is not the batch']}}\n"
# `lint` fails and is ignored, `image` makes the image, `load` goes on once the test listens on the port.
GRAPH = """version: 0.2
batch:
  build-graph:
    - {identifier: lint, buildspec: lint.yml, ignore-failure: true}
    - {identifier: image, buildspec: push.yml, depend-on: [lint]}
    - {identifier: load, buildspec: load.yml, env: {variables: {RATE: 50}}, depend-on: [image]}
""" + TAIL
SPECS = {
    "lint.yml": "version: 0.2\nphases: {build: {commands: ['echo bad style', 'exit 3']}}\n",
    "load.yml": "version: 0.2\nenv: {shell: bash, variables: {RATE: 1}, exported-variables: [SPEED]}\nphases: {build: {commands: ["
                "'echo $CODEBUILD_BATCH_BUILD_IDENTIFIER at $RATE', 'until (: >/dev/tcp/127.0.0.1/%d) 2>/dev/null; do sleep 0.1; done', "
                "'export SPEED=fast']}}\n",
    "say.yml": "version: 0.2\nphases: {build: {commands: ['echo it was $HOW']}}\n",
}
FAST = """version: 0.2
batch:
  fast-fail: true
  build-list:
    - identifier: first
      buildspec: first.yml
    - identifier: sleeps
      buildspec: sleeps.yml
    - identifier: fails
      buildspec: fails.yml
"""
FAST_SPECS = {
    "first.yml": "version: 0.2\nphases: {build: {commands: ['echo done at once']}}\n",
    "sleeps.yml": f"version: 0.2\nphases: {{build: {{commands: ['sleep {NAP}']}}}}\n",
    # Once the test listens on the first port; how it ends tells the second.
    "fails.yml": "version: 0.2\nenv: {shell: bash}\nphases: {build: {commands: ['until (: >/dev/tcp/127.0.0.1/%d) 2>/dev/null; do sleep 0.1; done', "
                 "'(: >/dev/tcp/127.0.0.1/%d) 2>/dev/null']}}\n",
}


def pipeline(name, repository, build, more=""):
    return f"""
apiVersion: gantry/v1
kind: Pipeline
metadata: {{name: {name}}}
spec:
  sources: [{{name: app, git: '{repository.url}', branches: [main], poll: 1s}}]
  stages:
    - name: build
      steps:
        - build: {{name: app, batch: true, {build}}}
{more}"""


def runs(release):
    """The runs of each action, by its name."""
    return {a["name"]: a["runs"] for a in release["stages"][0]["actions"]}


def last(release, name):
    return runs(release).get(name, [{}])[-1]


def test_a_graph_goes_on_after_a_failure_that_is_ignored_and_after_a_killed_builder(make_stack, repository, registry):
    stack = make_stack(settings={"builder": {"slots": 2}})
    with socket.socket() as gate:
        gate.bind(("127.0.0.1", 0))
        load = SPECS["load.yml"] % gate.getsockname()[1]
        repository.commit("first", {"buildspec.yml": GRAPH, **SPECS, **PUSH, "load.yml": load})
        stack.apply(pipeline("graph", repository, f"image: {registry.address}/acme/graph", """\
        - build: {name: say, buildspec: say.yml, env: {HOW: '{{actions.app.SPEED}}'}}
"""))
        eventually(lambda: "load at 50" in stack.gantry("logs", "graph/1", "app/load", check=False).out, what="the last build")
        release = stack.release("graph", 1)
        assert last(release, "app")["status"] == "in-progress"
        assert [b["identifier"] for b in last(release, "app")["batch"]["builds"]] == ["lint", "image", "load"]
        assert last(release, "app/lint")["status"] == "failed"
        assert last(release, "app/image")["status"] == "succeeded"
        assert not release["artifacts"]  # the batch may still fail

        stack.kill("builder")
        eventually(lambda: last(stack.release("graph", 1), "app/load").get("attempt") == 2, what="the second attempt")
        gate.listen()
        release = stack.wait_release("graph", 1)
    assert release["status"] == "succeeded"
    assert [len(of) for of in runs(release).values()] == [1] * 5
    assert last(release, "app/lint")["attempt"] == last(release, "app/image")["attempt"] == 1
    assert [a["name"] for a in release["artifacts"]] == ["app"]
    assert release["artifacts"][0]["digest"] == registry.digest("acme/graph", "graph-1")
    assert "2 of 3 builds succeeded" in last(release, "app")["reason"]
    assert "it was fast" in stack.gantry("logs", "graph/1", "say").out
    assert "bad style" in stack.gantry("logs", "graph/1", "app/lint").out
    planned = stack.gantry("logs", "graph/1", "app").out
    assert "Build load, after image, load.yml" in planned and "this is not the batch" not in planned
    text = stack.gantry("release", "show", "graph/1").out
    assert text.index("app  build") < text.index("image  build of the batch") < text.index("load  build of the batch")
    assert "app/load succeeded" in stack.gantry("release", "watch", "graph/1").out
    stack.gantry("audit", "verify")


def test_fast_fail_stops_the_others_and_a_retry_builds_what_did_not_succeed(make_stack, repository, browser):
    stack = make_stack(settings={"builder": {"slots": 3}, "console": {"anonymous-read": True}})
    with socket.socket() as gate, socket.socket() as cure:
        for one in (gate, cure):
            one.bind(("127.0.0.1", 0))
        fails = FAST_SPECS["fails.yml"] % (gate.getsockname()[1], cure.getsockname()[1])
        repository.commit("first", {"buildspec.yml": FAST, **FAST_SPECS, "fails.yml": fails})
        stack.apply(pipeline("fast", repository, "timeout: 10m"))
        eventually(lambda: sleepers(NAP) and last(stack.release("fast", 1), "app/first").get("status") == "succeeded", what="the builds")
        gate.listen()
        release = stack.wait_release("fast", 1)
        assert release["status"] == "failed"
        assert last(release, "app/fails")["status"] == "failed"
        assert last(release, "app/sleeps")["status"] == "stopped"
        assert last(release, "app")["reason"].startswith("build 'fails' failed: ")
        eventually(lambda: not sleepers(NAP), what="the end of what was stopped")
        assert "build 'fails' failed" in stack.gantry("release", "show", "fast/1").out
        go(browser, stack, "/pipelines/fast")
        shows(browser, "build 'fails' failed")
        assert browser.execute_script("return [...document.querySelectorAll('.action.is-build .action-name')].map((e) => e.textContent)") == [
            "first", "sleeps", "fails"]
        go(browser, stack, "/pipelines/fast/1")
        shows(browser, "app/fails in build: ")
        assert not problems(browser)

        cure.listen()
        stack.gantry("release", "retry", "fast/1", "build")
        eventually(lambda: sleepers(NAP) and last(stack.release("fast", 1), "app/fails").get("status") == "succeeded", what="the retry")
        release = stack.release("fast", 1)
        assert [len(runs(release)[name]) for name in ("app", "app/first", "app/sleeps", "app/fails")] == [2, 1, 2, 2]
        stack.gantry("release", "stop", "fast/1", "--abandon", "--reason", "that is enough")
        assert stack.wait_release("fast", 1)["status"] == "stopped"
        eventually(lambda: not sleepers(NAP), what="the end of what was abandoned")

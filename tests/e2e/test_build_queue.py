"""Builds that wait for a slot, and builds whose time is up, as the whole of Gantry sees them."""
import random
import socket

from pipelines import one_stage
from processes import sleepers
from stack import eventually

NAP = random.randrange(10**8, 10**9)  # so that two runs of this test on one machine do not see each other's
SPECS = {
    # Until the test listens on the port.
    "hold.yml": "version: 0.2\nenv: {shell: bash}\nphases: {build: {commands: ["
                "'echo holding; until (: >/dev/tcp/127.0.0.1/%d) 2>/dev/null; do sleep 0.1; done']}}\n",
    "quick.yml": "version: 0.2\nphases: {build: {commands: ['echo quick']}}\n",
    "slow.yml": f"version: 0.2\nphases: {{build: {{commands: ['echo slow; setsid sleep {NAP} & sleep {NAP}']}}}}\n",
}


def pipeline(name, repository, buildspec, timeout="60m"):
    return one_stage(name, repository.url, f"name: app, buildspec: {buildspec}, timeout: {timeout}")


def action(release):
    return release["stages"][0]["actions"][0]


def test_a_timeout_and_a_stop_reach_builds_that_wait_for_the_slot_and_one_that_has_it(make_stack, repository):
    stack = make_stack(settings={"builder": {"slots": 1}})
    with socket.socket() as gate:
        gate.bind(("127.0.0.1", 0))
        repository.commit("first", {**SPECS, "hold.yml": SPECS["hold.yml"] % gate.getsockname()[1]})
        stack.apply(pipeline("holds", repository, "hold.yml"))
        eventually(lambda: "holding" in stack.gantry("logs", "holds/1", "app", check=False).out, what="the build to hold")

        stack.apply(pipeline("late", repository, "quick.yml", timeout="2s"))
        stack.apply(pipeline("unwanted", repository, "quick.yml"))
        late = stack.wait_release("late", 1, timeout=60)
        assert late["status"] == "failed"
        assert "timed out after 2 s" in stack.gantry("release", "show", "late/1", check=False).out
        stack.wait_release("unwanted", 1, "in-progress")
        stack.gantry("release", "stop", "unwanted/1", "--abandon", "--reason", "nobody wants it")
        assert stack.wait_release("unwanted", 1, timeout=60)["status"] == "stopped"
        for name in ("late", "unwanted"):
            assert "quick" not in stack.gantry("logs", f"{name}/1", "app", check=False).out
        assert stack.release("holds", 1)["status"] == "in-progress"
        gate.listen()
        assert stack.wait_release("holds", 1)["status"] == "succeeded"

        stack.apply(pipeline("slow", repository, "slow.yml", timeout="3s"))
        assert stack.wait_release("slow", 1, timeout=60)["status"] == "failed"
        text = stack.gantry("release", "show", "slow/1", check=False).out
        assert "timed out after 3 s" in text
        eventually(lambda: not sleepers(NAP), what="the end of its processes")
        # The slot is free again, and what was cancelled while it waited never takes it.
        repository.commit("second")
        assert stack.wait_release("unwanted", 2)["status"] == "succeeded"
        assert "quick" not in stack.gantry("logs", "unwanted/1", "app", check=False).out

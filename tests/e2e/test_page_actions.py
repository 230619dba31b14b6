"""What people do by the page: each button pressed in a real browser, and what became of it."""
import pytest
from page import press, problems, shows, sign_in, snap, submit, text_of, usable, wait
from pipelines import PUSH, deployed, deployer_settings, environments
from stack import eventually

CUSTOM = """
apiVersion: gantry/v1
kind: Pipeline
metadata: {name: shop}
spec:
  variables: {LEVEL: info}
  sources: [{name: app, git: '%s', branches: [main], poll: 1s}]
  stages:
    - name: test
      steps: [{custom/x: {name: unit}}, {parallel: [{custom/x: {name: load}}, {custom/x: {name: smoke}}]}]
    - name: prod
      %s
      steps: [{custom/x: {name: go-live}}]
"""
DEPLOYS = """
apiVersion: gantry/v1
kind: Pipeline
metadata: {name: shop}
spec:
  sources: [{name: app, git: '%s', branches: [main], poll: 1s}]
  stages:
    - name: build
      steps: [{build: {name: image, source: app, buildspec: push.yml, image: %s/shop}}]
    - name: prod
      steps: [{deploy: {name: app, environment: prod}}]
"""


@pytest.fixture
def shop(make_stack, repository, respond, browser):
    """shop(gates, held): who answers its actions; `held` ones wait. An operator looks at the pipeline."""
    def make(gates="", held=()):
        stack = make_stack(services=["source-watcher", "promoter", "approver", "console"])
        responder = respond(stack)
        responder.held.update(held)
        repository.commit("first")
        stack.apply(CUSTOM % (repository.url, f"gates: [{gates}]" if gates else ""))
        sign_in(browser, stack, stack.person("olga", "operator"), "/pipelines/shop")
        shows(browser, "go-live")
        return stack, responder
    yield make
    assert not problems(browser)


def wait_asked(responder, *what):
    eventually(lambda: responder.runs("shop", *what), what=f"asked for {what}")


def test_a_release_is_started_with_variables(shop, browser):
    stack, responder = shop()
    stack.wait_release("shop", 1, "succeeded")
    press(browser, "Start a release")
    browser.find_element("css selector", "dialog textarea").send_keys("LEVEL debug")
    press(browser, "Start the release", within="//dialog")
    shows(browser, 'is no NAME=value')
    browser.find_element("css selector", "dialog textarea").clear()
    submit(browser, Variables="LEVEL=debug")
    shows(browser, "Release 2 has started")
    release = stack.wait_release("shop", 2, "succeeded")
    assert release["starter"]["name"] == "Olga" and "name" not in stack.release("shop", 1)["starter"]
    assert {v["key"]: v["value"] for v in release["variables"]} == {"LEVEL": "debug"}
    assert [{v.key: v.value for v in r.variables}["LEVEL"] for r in responder.asked if r.release == 2] == ["debug"] * 4


@pytest.mark.parametrize("mode", ["finish first", "are cancelled now"])
def test_a_release_is_stopped(shop, browser, mode):
    stack, responder = shop(held=["unit"])
    wait_asked(responder, 1, "unit")
    press(browser, "Stop")
    submit(browser, Running=mode, Reason="the wrong commit")
    shows(browser, "Release 1 is being stopped")
    if mode == "finish first":
        assert stack.release("shop", 1)["status"] == "in-progress"
        responder.finish(responder.asked[0])
    else:
        eventually(lambda: [r.run_id for r in responder.cancelled] == [responder.asked[0].run_id], what="the cancel")
    release = stack.wait_release("shop", 1, "stopped")
    assert (release["stop"]["by"], release["stop"]["reason"]) == ("Olga", "the wrong commit")
    assert responder.runs("shop", 1) == 1, "nothing more was asked for"
    shows(browser, "stopped")


@pytest.mark.parametrize("everything", [False, True], ids=["failed-only", "all"])
def test_a_failed_stage_is_tried_again(shop, browser, everything):
    stack, responder = shop(held=["load", "smoke"])
    wait_asked(responder, 1, "load")
    wait_asked(responder, 1, "smoke")
    for request in responder.asked[1:]:
        responder.finish(request, request.action == "load")
    responder.held.clear()
    stack.wait_release("shop", 1, "failed")
    shows(browser, "as the test wants it")
    snap(browser, "pipeline that failed")
    press(browser, "Retry")
    submit(browser, **({"every action": True} if everything else {}))
    shows(browser, "Release 1 enters test again")
    stack.wait_release("shop", 1, "succeeded")
    assert [responder.runs("shop", 1, name) for name in ("unit", "load", "smoke")] == ([2, 2, 2] if everything else [1, 1, 2])


def test_a_transition_is_disabled_and_enabled(shop, repository, browser):
    stack, responder = shop()
    stack.wait_release("shop", 1, "succeeded")
    press(browser, "Disable the way into prod")
    press(browser, "Disable the way into prod", within="//dialog")  # without a reason: the field asks for one
    assert usable(browser, "//dialog//textarea[@required]")
    submit(browser, Reason="the fair, until Monday")
    shows(browser, "No release enters prod now")
    repository.commit("second")
    shows(browser, "Disabled by Olga")
    shows(browser, "“the fair, until Monday”")
    eventually(lambda: stack.release("shop", 2)["status"] == "waiting", what="release 2 held")
    wait(browser, lambda b: "second" in b.find_element("css selector", ".waiting").text, "release 2 waits there")
    snap(browser, "pipeline with a disabled transition")
    assert responder.runs("shop", 2, "go-live") == 0
    press(browser, "Enable")
    submit(browser, Reason="over")
    shows(browser, "Releases enter prod again")
    stack.wait_release("shop", 2, "succeeded")


def test_a_gate_is_overridden_and_a_held_release_promoted(shop, browser):
    stack, responder = shop("{soak: 1h}, {manual: true}")
    eventually(lambda: stack.release("shop", 1)["status"] == "waiting", what="release 1 held")
    press(browser, "Override soak for release 1")
    submit(browser, Reason="Ana agreed by phone")
    shows(browser, "Overridden; other gates of prod still hold release 1")
    snap(browser, "pipeline with a manual gate")
    press(browser, "Promote")
    submit(browser)
    shows(browser, "Release 1 goes on into prod")
    release = stack.wait_release("shop", 1, "succeeded")
    assert [(p["gate"], p["how"], p["by"], p.get("reason", "")) for p in release["passes"]] == [
        ("soak", "overridden", "Olga", "Ana agreed by phone"), ("manual", "promoted", "Olga", "")]
    assert responder.runs("shop", 1, "go-live") == 1


def test_an_environment_is_pinned_unpinned_and_rolled_back(make_stack, registry, repository, browser):
    stack = make_stack(start=False)
    stack.settings["deployer"] = deployer_settings(stack.folder)
    stack.start()
    repository.commit("first", PUSH)
    stack.apply(environments("prod") + DEPLOYS % (repository.url, registry.address))
    stack.wait_release("shop", 1, "succeeded")
    sign_in(browser, stack, stack.person("olga", "operator"), "/pipelines/shop")
    press(browser, "Pin prod")
    submit(browser, Reason="measuring")
    shows(browser, "prod is pinned")
    repository.commit("second")
    eventually(lambda: stack.release("shop", 2)["status"] == "waiting", what="release 2 held")
    shows(browser, "is pinned to sha256:")
    snap(browser, "pipeline with a pin")
    assert [line[0] for line in deployed(stack.folder, "prod")] == ["shop/1"]
    press(browser, "Unpin prod")
    submit(browser, Reason="measured")
    shows(browser, "prod is not pinned any more")
    stack.wait_release("shop", 2, "succeeded")

    wait(browser, lambda b: text_of(b).count("second") >= 2, "release 2 is shown in prod")
    press(browser, "Roll back")
    shows(browser, "#1 ")
    submit(browser, Reason="the cart is empty")
    shows(browser, "Release 3 rolls prod back to 1")
    release = stack.wait_release("shop", 3, "succeeded")
    assert (release["type"], release["rollbackTo"], release["startReason"]) == ("rollback", 1, "the cart is empty")
    assert [line[1] for line in deployed(stack.folder, "prod")] == [stack.release("shop", n)["artifacts"][0]["digest"] for n in (1, 2, 1)]
    press(browser, "#3")
    shows(browser, "Rollback of prod to #1")
    snap(browser, "release that is a rollback")
    assert not problems(browser)

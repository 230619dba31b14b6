"""What people do between the stages: disable, promote, override, pin and freeze, by the command line, through all services."""
import pytest
from page import go, press, problems, shows, sign_in, wait
from pipelines import PUSH, deployed, deployer_settings, environments
from postbox import Postbox
from selenium.webdriver.common.by import By
from stack import eventually

PIPELINE = """
apiVersion: gantry/v1
kind: Pipeline
metadata: {name: shop}
spec:
  sources: [{name: app, git: '%s', branches: [main], poll: 1s}]
  stages:
    - name: build
      steps: [{build: {name: image, source: app, buildspec: push.yml, image: %s/shop}}]
    - name: prod
      gates: [%s]
      steps: [{deploy: {name: app, environment: prod}}]
"""
RULE = """
apiVersion: gantry/v1
kind: Notification
metadata: {name: team}
spec:
  events: [gate.overridden, transition.set, environment.pinned]
  mail: {to: [ana@example.test]}
---
"""


@pytest.fixture
def mailbox():
    mailbox = Postbox()
    yield mailbox
    mailbox.stop()


@pytest.fixture
def shop(make_stack, registry, repository, mailbox):
    """shop(gates): a stack with a pipeline that has these on the way into prod, and a first commit."""
    def make(gates=""):
        stack = make_stack(start=False, settings={"notifier": {"smtp": {"url": mailbox.url, "tls": "off"}, "mail-from": "gantry@example.test"}})
        stack.settings["deployer"] = deployer_settings(stack.folder)
        stack.start()
        repository.commit("first", PUSH)
        stack.apply(RULE + environments("prod") + PIPELINE % (repository.url, registry.address, gates))
        return stack
    return make


def held(stack, number):
    """What holds the release before prod; empty once nothing does."""
    waiting = [s for s in stack.release("shop", number)["stages"] if s["name"] == "prod" and s["status"] == "waiting"]
    return waiting[0]["heldBy"] if waiting else []


def wait_held(stack, number, *names):
    return eventually(lambda: held(stack, number) == list(names), 60, f"shop/{number} held by {names}")


def in_prod(stack):
    return [line[0] for line in deployed(stack.folder, "prod")]


def ledger(stack):
    """All Decisions, packed."""
    answers = [stack.http("console", f"/api/v1/ledger/{partition}?limit=1000") for partition in range(stack.partitions)]
    return b"".join(body for status, _, body in answers if status == 200)


def test_a_disabled_transition_holds_releases_until_it_is_enabled(shop, repository, mailbox):
    stack = shop()
    stack.wait_release("shop", 1, "succeeded")
    refused = stack.gantry("transition", "disable", "shop", "prod", check=False)
    assert refused.code == 2 and "--reason" in refused.err
    done = stack.gantry("transition", "disable", "shop", "prod", "--reason", "the fair")
    assert "gantry transition enable shop prod" in done.out
    again = stack.gantry("transition", "disable", "shop", "prod", "--reason", "the fair", check=False)
    assert again.code == 5 and "disabled already" in again.err
    assert stack.gantry("transition", "disable", "shop", "nowhere", "--reason", "x", check=False).code == 5

    repository.commit("second")
    wait_held(stack, 2, "disabled")
    shown = stack.gantry("release", "show", "shop/2").out
    assert "waits: disabled by" in shown and "the fair" in shown
    assert "[disabled]" in stack.gantry("pipelines").out
    assert "disabled" in stack.gantry("releases", "shop").out

    developer = stack.person("dev", "developer")
    assert stack.gantry("transition", "enable", "shop", "prod", token=developer, check=False).code == 4
    stack.gantry("transition", "enable", "shop", "prod")
    stack.wait_release("shop", 2, "succeeded")
    assert in_prod(stack) == ["shop/1", "shop/2"]
    eventually(lambda: "shop: the way into prod is disabled" in mailbox.subjects() and "shop: releases enter prod again" in mailbox.subjects(), what="two mails")


def test_a_release_behind_a_manual_gate_goes_on_when_it_is_promoted(shop):
    stack = shop("{manual: true}")
    wait_held(stack, 1, "manual")
    assert in_prod(stack) == []
    assert "held until it is promoted by hand" in stack.gantry("release", "show", "shop/1").out
    assert stack.gantry("release", "promote", "shop/9", "prod", check=False).code == 3
    assert stack.gantry("release", "promote", "shop", check=False).code == 2
    assert "promoted" in stack.gantry("release", "promote", "shop/1").out
    release = stack.wait_release("shop", 1, "succeeded")
    assert [(p["gate"], p["how"]) for p in release["passes"]] == [("manual", "promoted")]
    assert stack.gantry("release", "promote", "shop/1", check=False).code == 5


def test_a_release_before_a_stage_that_the_definition_lost_is_seen_and_goes_on(shop, repository, registry, browser):
    stack = shop("{manual: true}")
    wait_held(stack, 1, "manual")
    stack.apply((PIPELINE % (repository.url, registry.address, "")).split("    - name: prod")[0])
    seen = eventually(lambda: "[removed from the definition]" in (out := stack.gantry("pipelines").out) and out, what="the lost stage")
    assert "prod (1 waits: held) [removed from the definition]" in seen
    sign_in(browser, stack, stack.token, "/pipelines/shop")
    shows(browser, "The definition no longer has this stage")
    press(browser, "Promote")
    press(browser, "Promote release 1", within="//dialog")
    stack.wait_release("shop", 1, "succeeded")
    assert in_prod(stack) == ["shop/1"]
    eventually(lambda: "prod" not in stack.gantry("pipelines").out, what="nothing waits there any more")


def test_an_override_shows_in_the_ledger_the_page_and_a_mail(shop, mailbox, browser):
    reason = "PROD is down, Kim agreed <by phone> 📞"
    stack = shop("{approval: {by: ['group:qa'], count: 2, rejects: 2, not: [author]}}, {soak: 1h}")
    wait_held(stack, 1, "approval", "soak")
    refused = stack.gantry("gate", "override", "shop/1", "prod", "approval", check=False)
    assert refused.code == 2 and "--reason" in refused.err
    unknown = stack.gantry("gate", "override", "shop/1", "prod", "window", "--reason", "x", check=False)
    assert unknown.code == 5 and "no gate" in unknown.err

    override_by_page(browser, stack, reason)
    wait_held(stack, 1, "soak")
    assert stack.gantry("gate", "override", "shop/1", "prod", "soak", "--reason", reason, "-o", "json").json()["number"] == 1
    release = stack.wait_release("shop", 1, "succeeded")
    assert [a["outcome"] for a in release["approvals"]] == ["overridden"]
    assert {(p["gate"], p["how"], p["reason"]) for p in release["passes"]} == {("approval", "overridden", reason), ("soak", "overridden", reason)}
    shown = stack.gantry("release", "show", "shop/1").out
    assert "overridden approval by bootstrap" in shown and "Kim agreed" in shown
    assert reason.encode() in ledger(stack)
    assert stack.gantry("audit", "verify").code == 0
    mail = eventually(lambda: next((m for _, _, m in mailbox.got if "without approval" in str(m["Subject"])), None), what="a mail")
    text, html = (part.get_content() for part in mail.iter_parts())
    assert reason in text and "Gate overridden" in html and "&lt;by phone&gt;" in html


def override_by_page(browser, stack, reason):
    sign_in(browser, stack, stack.token, "/pipelines/shop")
    press(browser, "Override approval for release 1")
    shows(browser, "kept for ever")
    # Chromium's driver types no character beyond the first plane.
    browser.execute_script("document.querySelector('dialog textarea').value = arguments[0]", reason)
    press(browser, "Override approval", within="//dialog")
    shows(browser, "other gates of prod still hold release 1")
    wait(browser, lambda b: "soak:" in b.find_element(By.CSS_SELECTOR, ".waiting").text, "the soak is not shown")
    go(browser, stack, "/pipelines/shop/1")
    wait(browser, lambda b: b.find_elements(By.TAG_NAME, "main"), "no release is shown")
    assert not problems(browser)


def test_a_pinned_environment_keeps_its_digest_until_it_is_unpinned(shop, repository):
    stack = shop()
    stack.wait_release("shop", 1, "succeeded")
    digest = deployed(stack.folder, "prod")[0][1]
    assert stack.gantry("pin", "shop", "prod", check=False).code == 2
    assert stack.gantry("pin", "shop", "nowhere", "--reason", "x", check=False).code == 5
    assert digest in stack.gantry("pin", "shop", "prod", "--reason", "measuring").out
    repository.commit("second")
    wait_held(stack, 2, "pinned:prod")
    assert f"prod is pinned to {digest[:19]}" in stack.gantry("release", "show", "shop/2").out
    assert "prod is pinned for shop" in stack.gantry("env").out
    override = stack.gantry("gate", "override", "shop/2", "prod", "pinned", "--reason", "x", check=False)
    assert override.code == 5
    stack.gantry("unpin", "shop", "prod")
    stack.wait_release("shop", 2, "succeeded")
    assert in_prod(stack) == ["shop/1", "shop/2"]
    assert stack.gantry("unpin", "shop", "prod", check=False).code == 5


def test_a_frozen_environment_takes_nothing_until_it_is_unfrozen(shop, repository):
    stack = shop()
    stack.wait_release("shop", 1, "succeeded")
    before = stack.gantry("get", "environment", "prod").out
    wrong = stack.gantry("env", "freeze", "prod", "--window", "sometimes", "--reason", "x", check=False)
    assert wrong.code == 2 and "sometimes" in wrong.err
    assert stack.gantry("env", "freeze", "nowhere", "--for", "1h", "--reason", "x", check=False).code == 3
    operator = stack.person("olga", "operator")
    assert stack.gantry("env", "freeze", "prod", "--for", "1h", "--reason", "x", token=operator, check=False).code == 4
    stack.gantry("env", "freeze", "prod", "--for", "1h", "--reason", "a database upgrade")
    assert "a database upgrade" in stack.gantry("get", "environment", "prod").out
    assert "prod is frozen until" in stack.gantry("env", "prod").out
    repository.commit("second")
    wait_held(stack, 2, "freeze:prod")
    shown = stack.gantry("release", "show", "shop/2").out
    assert "frozen: prod until" in shown and "a database upgrade" in shown
    assert "1 freeze taken out" in stack.gantry("env", "unfreeze", "prod").out
    assert "freeze: []" in stack.gantry("get", "environment", "prod").out
    assert before.replace("spec: {", "spec: {freeze: [], ") == stack.gantry("get", "environment", "prod").out
    stack.wait_release("shop", 2, "succeeded")
    assert stack.gantry("env", "unfreeze", "prod", check=False).code == 3
    assert in_prod(stack) == ["shop/1", "shop/2"]

"""Several approvals of one stage at once: as gates before it and as actions inside, by the command line and by the page."""
import pytest
from following import Following
from page import press, problems, shows, sign_in, snap, text_of, usable, wait
from stack import eventually

PIPELINE = """
apiVersion: gantry/v1
kind: Pipeline
metadata: {name: shop}
spec:
  sources: [{name: app, git: '%s', branches: [main], poll: 1s}]
  stages:
    - name: prod
      gates:
        - approval: {by: ['group:qa'], expires: 1h}
        - approval: {by: ['group:release'], count: %d, expires: 1h}
      steps:
        - parallel:
            - approval: {name: legal, by: ['group:legal'], expires: 1h}
            - approval: {name: costs, by: ['group:money'], expires: 1h}
"""


@pytest.fixture
def shop(make_stack, repository):
    """shop(count): release 1 waits before prod for a vote of qa and `count` of release."""
    def make(count=1):
        stack = make_stack(services=["source-watcher", "promoter", "approver", "console"])
        repository.commit("first")
        stack.apply(PIPELINE % (repository.url, count))
        wait_open(stack, "approval", "approval-2")
        return stack
    return make


def wait_open(stack, *gates):
    for service in ("approver", "console"):
        eventually(lambda: [a["gate"] for a in stack.get("/api/v1/approvals", service)["approvals"]] == list(gates), what=f"open: {gates}")


def test_approve_takes_the_gate_that_is_mine_and_asks_where_several_are(shop):
    stack = shop(count=2)
    rob, bo = stack.person("rob", "approver", groups=["release"]), stack.person("bo", "approver", groups=["qa", "release"])

    def approve(who, *words, verdict="approve"):
        return stack.gantry(verdict, "shop/1", "prod", *words, "--yes", token=who, check=False)

    watch = Following(stack, "release", "watch", "shop/1")
    try:
        watch.until("gantry approve shop/1 prod approval-2")
        table = stack.gantry("approvals").out.splitlines()
        assert table[0].split()[:3] == ["RELEASE", "STAGE", "GATE"]
        assert [row.split()[2] for row in table[1:]] == ["approval", "approval-2"]

        asked = approve(bo)
        assert asked.code == 2 and "2 approvals of shop/1 on prod are open" in asked.err
        for gate in ("approval", "approval-2"):
            assert f"gantry approve shop/1 prod {gate} " in asked.err

        done = approve(rob)
        assert done.code == 0 and "gate     approval-2" in done.out and "counted: 1 of 2" in done.out
        again = approve(rob)
        assert again.code == 2 and "you have voted already" in again.err and "you are not among" in again.err
        assert approve(rob, "approval-9").code == 3
        assert approve(rob, "approval").code == 4

        assert "counted: 2 of 2" in approve(bo, "approval-2").out
        assert "gate     approval\n" in approve(bo).out, "the only one left"

        wait_open(stack, "costs", "legal")
        watch.until("gantry approve shop/1 prod costs", "gantry approve shop/1 prod legal")
        lee, mia = stack.person("lee", "approver", groups=["legal"]), stack.person("mia", "approver", groups=["money"])
        assert "gate     legal" in approve(lee).out
        assert "rejected" in approve(mia, "costs", verdict="reject").out
        assert watch.end() == 1
    finally:
        watch.close()
    stack.wait_release("shop", 1, "failed")


def test_the_page_tells_two_gates_of_a_stage_apart(shop, browser):
    stack = shop()
    sign_in(browser, stack, stack.person("rob", "approver", groups=["release"]), "/pipelines/shop")
    shows(browser, "approval of qa")
    shows(browser, "approval-2 of release")
    snap(browser, "pipeline with two approvals")
    press(browser, "Approvals")
    shows(browser, "For you 1")
    snap(browser, "approvals")
    assert "into prod approval-2" in text_of(browser)
    press(browser, "Review")
    shows(browser, "Gate\napproval-2")
    snap(browser, "review")
    press(browser, "Approve into prod", within="//dialog")
    shows(browser, "That was the last vote; other gates of prod still hold release 1.")
    press(browser, "Close", within="//dialog")
    shows(browser, "Nothing waits for you")

    sign_in(browser, stack, stack.person("quinn", "approver", groups=["qa", "legal"]), "/pipelines/shop/1")
    shows(browser, "Release 1 has not entered a stage, waiting for 1 approval from qa to enter prod, until")
    press(browser, "Review for prod")
    press(browser, "Approve into prod", within="//dialog")
    shows(browser, "That was the last vote: release 1 goes on into prod.")
    press(browser, "Close", within="//dialog")
    wait_open(stack, "costs", "legal")
    wait(browser, lambda b: len(usable(b, "//button[starts-with(., 'Review ')]")) == 2, "the two actions are not shown")
    shows(browser, "Release 1 is in prod, waiting for 1 approval from money, until")
    snap(browser, "release with two approvals inside")
    press(browser, "Review legal for prod")
    shows(browser, "Action\nlegal")
    press(browser, "Approve in prod", within="//dialog")
    shows(browser, "That was the last vote; release 1 waits for another in prod.")
    press(browser, "Close", within="//dialog")
    wait_open(stack, "costs")
    assert not problems(browser)

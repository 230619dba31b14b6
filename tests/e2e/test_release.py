"""The main job: a commit reaches PROD through three environments, on real parts."""
import pytest
from pipelines import (BUILDSPEC, DOCKERFILE, PROD_GATE, STAGING_GATE, deployed, deployer_settings, environments,
                       pipeline)
from stack import eventually


@pytest.fixture
def shop(make_stack, registry, repository):
    """A stack with the pipeline `shop` whose image goes to a real registry."""
    stack = make_stack(start=False)
    stack.settings["deployer"] = deployer_settings(stack.folder)
    stack.start()
    repository.commit("first 🌱 commit", {"Dockerfile": DOCKERFILE, "buildspec.yml": BUILDSPEC, "stamp": "1"})
    stack.apply(environments("dev", "staging", "prod") +
                pipeline("shop", repository.url, image=f"{registry.address}/shop", staging_gate=STAGING_GATE,
                         prod_gate=PROD_GATE))
    return stack


def open_approval(stack, stage):
    return eventually(lambda: next((a for a in stack.get("/api/v1/approvals", "approver")["approvals"]
                                    if a["stage"] == stage), None), what=f"an approval for {stage}")


def test_a_commit_reaches_prod_as_the_one_digest_that_was_built(shop, registry, repository):
    qa = shop.person("quinn", "approver", groups=["qa"])
    ana = shop.person("ana", "approver", groups=["release-managers"])
    bo = shop.person("bo", "approver", groups=["release-managers"])
    commit = repository.git("rev-parse", "HEAD")

    approval = open_approval(shop, "staging")
    digest = approval["digest"]
    assert digest.startswith("sha256:")
    assert "🚀" in approval["message"] and "1" in approval["message"]
    assert [d[1] for d in deployed(shop.folder, "dev")] == [digest]
    assert deployed(shop.folder, "staging") == []

    shop.gantry("approve", "shop/1", "staging", "--yes", "--comment", "tried it 👍", token=qa)
    eventually(lambda: deployed(shop.folder, "staging"), what="STAGING deployed")
    open_approval(shop, "prod")
    shop.gantry("approve", "shop/1", "prod", "--yes", token=ana)
    again = shop.gantry("approve", "shop/1", "prod", "--yes", token=ana, check=False)
    assert again.code == 5, "nobody votes twice"
    assert deployed(shop.folder, "prod") == []
    shop.gantry("approve", "shop/1", "prod", "--yes", token=bo)

    release = shop.wait_release("shop", 1, "succeeded")
    for environment in ("dev", "staging", "prod"):
        assert [d[:2] for d in deployed(shop.folder, environment)] == [["shop/1", digest]]
    assert registry.digest("shop", digest) == digest
    assert commit in str(release)
    assert "tried it 👍" in str(release)

    audit = shop.gantry("audit", "verify", "-o", "json").json()
    assert all(p["holds"] for p in audit) and sum(p["decisions"] for p in audit) > 10
    where = shop.gantry("env", "-o", "json").out
    assert where.count(digest) == 3


def test_the_author_cannot_vote_and_a_stranger_neither(shop):
    kim = shop.person("kim", "approver", groups=["release-managers", "qa"])
    stranger = shop.person("sam", "approver")
    approval = open_approval(shop, "staging")
    refused = shop.gantry("approve", "shop/1", "staging", "--yes", token=stranger, check=False)
    assert refused.code == 4 and "may vote" in refused.err
    shop.gantry("approve", "shop/1", "staging", "--yes", token=kim)  # STAGING does not say `not: author`
    open_approval(shop, "prod")
    refused = shop.gantry("approve", "shop/1", "prod", "--yes", token=kim, check=False)
    assert refused.code == 5 and "author" in refused.err
    status, _, body = shop.http("approver", f"/api/v1/approvals/{approval['approvalId']}/votes", "POST",
                                {"verdict": "approve", "digest": "sha256:" + "0" * 64}, token=kim)
    assert status == 409, body


def test_a_rejection_fails_the_release_and_a_newer_one_goes_its_way(shop, repository):
    qa = shop.person("quinn", "approver", groups=["qa"])
    open_approval(shop, "staging")
    shop.gantry("reject", "shop/1", "staging", "--yes", "--comment", "broken", token=qa)
    shop.wait_release("shop", 1, "failed")
    repository.commit("second")
    eventually(lambda: shop.release("shop", 2), what="release 2")
    eventually(lambda: any(a["release"] == 2 for a in shop.get("/api/v1/approvals", "approver")["approvals"]),
               what="release 2 waits for STAGING")


def test_a_newer_release_takes_the_place_of_one_that_waits(shop, repository):
    first = open_approval(shop, "staging")
    repository.commit("second")
    shop.wait_release("shop", 1, "superseded")
    second = eventually(lambda: next((a for a in shop.get("/api/v1/approvals", "approver")["approvals"]
                                      if a["release"] == 2), None))
    assert second["approvalId"] != first["approvalId"] and second["digest"] != first["digest"]
    qa = shop.person("quinn", "approver", groups=["qa"])
    old = shop.gantry("approve", "shop/1", "staging", "--yes", token=qa, check=False)
    assert old.code in (3, 5), "nobody can approve an old commit by mistake"


def test_a_rollback_brings_back_the_old_digest_without_building(shop, repository, registry):
    """By hand, in STAGING; gates are skipped for a rollback unless the stage says otherwise."""
    qa = shop.person("quinn", "approver", groups=["qa"])
    digests = []
    for number in (1, 2):
        digests.append(open_approval(shop, "staging")["digest"])
        shop.gantry("approve", f"shop/{number}", "staging", "--yes", token=qa)
        eventually(lambda: len(deployed(shop.folder, "staging")) == number, what="STAGING deployed")
        if number == 1:
            open_approval(shop, "prod")
            repository.commit("second")
            eventually(lambda: shop.release("shop", 2))
    eventually(lambda: any(a["release"] == 2 and a["stage"] == "prod"
                           for a in shop.get("/api/v1/approvals", "approver")["approvals"]))
    shop.gantry("release", "rollback", "shop", "staging", "--to", "1")
    shop.wait_release("shop", 3, "succeeded")
    assert [d[1] for d in deployed(shop.folder, "staging")] == [*digests, digests[0]]
    assert "build" not in [s["name"] for s in shop.release("shop", 3)["stages"] if s.get("status") == "succeeded"]


def test_stop_and_retry_by_hand(make_stack, repository):
    stack = make_stack(start=False)
    stack.settings["deployer"] = deployer_settings(stack.folder, seconds=300)
    stack.start()
    repository.commit("first", {"buildspec.yml": "version: 0.2\nphases: {build: {commands: ['test -e fixed']}}\n"})
    stack.apply(environments("dev") + f"""
apiVersion: gantry/v1
kind: Pipeline
metadata: {{name: tool}}
spec:
  sources: [{{name: app, git: '{repository.url}', branches: [main], poll: 1s}}]
  stages:
    - {{name: check, steps: [{{build: {{name: check, buildspec: buildspec.yml}}}}]}}
    - {{name: wait, steps: [{{build: {{name: wait, buildspec: wait.yml}}}}]}}
""")
    release = stack.wait_release("tool", 1, "failed")
    text = stack.gantry("release", "show", "tool/1", check=False).out
    assert "BUILD" in text and "test -e fixed" in text and "exit code 1" in text.lower()
    repository.commit("second", {"fixed": "yes", "wait.yml": "version: 0.2\nphases: {build: {commands: ['echo waiting; sleep 600']}}\n"})
    stack.wait_release("tool", 2, "in-progress")
    eventually(lambda: "waiting" in stack.gantry("logs", "tool/2", "wait", check=False).out, what="a live log line")
    stack.gantry("release", "stop", "tool/2", "--abandon", "--reason", "enough")
    stack.wait_release("tool", 2, "stopped", timeout=30)
    retry = stack.gantry("release", "retry", "tool/1", "check", check=False)
    assert retry.code == 5, "another release entered the stage since"

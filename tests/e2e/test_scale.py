"""Two instances of every service: the work is shared, nothing is done twice, and one takes over for the other."""
from pipelines import PUSH, STAGING_GATE, deployed, deployer_settings, environments, pipeline
from stack import SERVICES, eventually

PIPELINES = [f"shop-{i}" for i in range(6)]


def second_of(make_stack, first):
    """The same services again, as another machine would run them: of the console there is one."""
    second = make_stack(start=False, services=[s for s in SERVICES if s != "console"])
    second.prefix, second.token = first.prefix, first.token
    second.settings = {"deployer": first.settings["deployer"], "common": {"instance-id": "two"}}
    second.prepare()
    second.up()
    second.wait_ready()
    for service in ("promoter", "builder", "deployer", "notifier", "source-watcher"):
        eventually(lambda: any(line.startswith(service) and "assigned" in line for line in second.log.read_text().splitlines()), 60,
                   f"the second {service} has partitions")
    return second


def decided(stack):
    """How many inputs the stack's promoter decided."""
    text = stack.http("promoter", "/metrics", token=None)[2].decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith('gantry_promoter_decisions_total{cause="input"}'))


def test_two_of_every_service_share_the_work_and_do_nothing_twice(make_stack, registry, repository):
    first = make_stack(start=False)
    first.settings["deployer"] = deployer_settings(first.folder)
    first.start()
    second = second_of(make_stack, first)
    repository.commit("first", PUSH)
    first.apply(environments("dev", "staging", "prod") + "---".join(
        pipeline(name, repository.url, image=f"{registry.address}/shop", buildspec="push.yml", staging_gate=STAGING_GATE)
        for name in PIPELINES))
    qa = first.person("quinn", "approver", groups=["qa"])

    # A vote goes to any approver: half of them to the second.
    for i, name in enumerate(PIPELINES):
        voter = second if i % 2 else first
        eventually(lambda: any(a["pipeline"] == name for a in voter.get("/api/v1/approvals", "approver")["approvals"]), 180,
                   f"{name} waits for STAGING")
        voter.gantry("approve", f"{name}/1", "staging", "--yes", token=qa)
    for name in PIPELINES:
        first.wait_release(name, 1, "succeeded")
    assert decided(first) > 0 and decided(second) > 0, "each promoter decided something"

    # One ends; what it had goes on at the other.
    assert second.stop() == 0
    repository.commit("second")
    for name in PIPELINES:
        eventually(lambda: any(a["pipeline"] == name and a["release"] == 2 for a in first.get("/api/v1/approvals", "approver")["approvals"]),
                   180, f"{name}/2 waits for STAGING")
        first.gantry("approve", f"{name}/2", "staging", "--yes", token=qa)
        first.wait_release(name, 2, "succeeded")

    for environment in ("dev", "staging", "prod"):
        runs = [d[2] for d in deployed(first.folder, environment)]
        assert len(runs) == len(set(runs)) == 2 * len(PIPELINES), "each was deployed once"
    for name in PIPELINES:
        assert [r["number"] for r in first.get(f"/api/v1/pipelines/{name}/releases")["releases"]] == [2, 1], "a release a revision"
    assert all(p["holds"] for p in first.gantry("audit", "verify", "-o", "json").json())

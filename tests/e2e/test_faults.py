"""Whatever dies, a running release finishes: one digest, no stage twice, the chain unbroken, nothing lost."""
import base64
import os
import random
import subprocess
import time

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from pipelines import PUSH, deployed, deployer_settings, environments, pipeline
from sink import Sink
from stack import ROOT, SERVICES, free_port, eventually
from topics import check_history, read_topic, stages_entered

ROUNDS = int(os.environ.get("GANTRY_TEST_KILL_ROUNDS", "20"))
RULE = """
apiVersion: gantry/v1
kind: Notification
metadata: {name: all-releases}
spec: {events: ['release.*', 'stage.*'], webhook: {url: '%s', secret: sink}}
---
"""


@pytest.fixture
def sink():
    sink = Sink()
    yield sink
    sink.stop()


def build_and_deploys(stack, repository, sink, registry, retry_lost="true"):
    """A started stack with release 1 of `shop` on its way: a build and three deploys, no approvals."""
    stack.settings["deployer"] = deployer_settings(stack.folder, seconds=0.2)
    stack.prepare()
    stack.secret("sink", "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode())
    stack.start()
    repository.commit("first", PUSH)
    stack.apply((RULE % sink.url) + environments("dev", "staging", "prod") +
                pipeline("shop", repository.url, image=f"{registry.address}/shop", buildspec="push.yml", retry_lost=retry_lost))


def check_release(stack, number, events):
    release = stack.wait_release("shop", number, "succeeded")
    assert stages_entered(events(), "shop", number) == ["build", "dev", "staging", "prod"]
    digests = {d[1] for env in ("dev", "staging", "prod") for d in deployed(stack.folder, env) if d[0] == f"shop/{number}"}
    assert len(digests) == 1, "one digest"
    for env in ("dev", "staging", "prod"):
        runs = {d[2] for d in deployed(stack.folder, env) if d[0] == f"shop/{number}"}
        assert len(runs) == 1, f"{env} was asked twice: {runs}"


def test_every_service_killed_at_a_random_moment_of_a_running_release(make_stack, repository, registry, sink):
    seed = int(os.environ.get("GANTRY_TEST_SEED", random.randrange(1 << 30)))
    chance = random.Random(seed)
    print(f"GANTRY_TEST_SEED={seed}")
    stack = make_stack(start=False)
    build_and_deploys(stack, repository, sink, registry)
    stack.wait_release("shop", 1, "succeeded")
    for number in range(2, ROUNDS + 2):
        repository.commit(f"round {number}")
        victims = chance.sample(SERVICES, len(SERVICES))
        for service in victims:
            time.sleep(chance.uniform(0, 0.4))
            stack.kill(service)
        stack.wait_release("shop", number, "succeeded", timeout=120)
    stack.wait_ready(60)
    events = read_topic(stack, "event")
    for number in range(2, ROUNDS + 2):
        check_release(stack, number, lambda: events)
    decisions, void, events = check_history(stack)
    wanted = {e.ce_id for e in events if e.message.WhichOneof("fact") in
              ("release_started", "release_ended", "stage_waiting", "stage_entered", "stage_ended", "release_stopping")}
    eventually(lambda: len(set(sink.ids())) >= len(wanted), 60, f"{len(wanted)} notifications")
    assert len(set(sink.ids())) == len(wanted)
    audit = stack.gantry("audit", "verify", "-o", "json").json()
    assert all(p["holds"] for p in audit)


def test_the_broker_restarted_in_the_middle(make_stack, repository, registry, sink, workspace):
    env = dict(os.environ, KAFKA_DIR=str(workspace / "kafka"), KAFKA_PORT=str(free_port()))
    broker = lambda what: subprocess.run([ROOT / "deploy/kafka", what], env=env, check=True)
    broker("up")
    try:
        stack = make_stack(start=False)
        stack.kafka = f"127.0.0.1:{env['KAFKA_PORT']}"
        build_and_deploys(stack, repository, sink, registry)
        stack.wait_release("shop", 1, "succeeded")
        for number in (2, 3):
            repository.commit(f"round {number}")
            eventually(lambda: stack.release("shop", number), what=f"release {number}")
            time.sleep(0.3)
            broker("kill" if number == 2 else "down")
            status, headers, _ = stack.http("console", "/healthz", token=None)
            assert status == 200, "healthz does not depend on Kafka"
            time.sleep(3)
            broker("up")
            stack.wait_release("shop", number, "succeeded", timeout=120)
        for number in (2, 3):
            check_release(stack, number, lambda: read_topic(stack, "event"))
        check_history(stack)
        assert stack.stop() == 0
    finally:
        broker("wipe")


def test_a_killed_command_deploy_without_retry_lost_ends_as_lost(make_stack, repository, registry, sink):
    stack = make_stack(start=False)
    build_and_deploys(stack, repository, sink, registry, retry_lost="false")
    stack.wait_release("shop", 1, "succeeded")
    (stack.folder / "deploy.sh").write_text((stack.folder / "deploy.sh").read_text().replace("sleep", "sleep 30 #"))
    repository.commit("second")
    eventually(lambda: any(d[0] == "shop/2" for d in deployed(stack.folder, "dev")), what="the deploy runs")
    stack.kill("deployer")
    release = stack.wait_release("shop", 2, "failed", timeout=90)
    assert "lost" in str(release)
    assert len([d for d in deployed(stack.folder, "dev") if d[0] == "shop/2"]) == 1
    check_history(stack)


def test_the_console_rebuilds_what_it_shows_when_its_file_is_missing(make_stack, repository, registry, sink):
    stack = make_stack(start=False)
    build_and_deploys(stack, repository, sink, registry)
    before = stack.wait_release("shop", 1, "succeeded")
    for path in (stack.folder / "state").rglob("*.db*"):
        path.unlink()
    stack.kill("console")
    stack.wait_ready(60, ["console"])
    after = eventually(lambda: stack.release("shop", 1))
    assert after == before


def forget_groups(stack):
    """Deletes what every group of the stack committed, once Kafka no longer takes its members for alive."""
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    names = [g.group_id for g in admin.list_consumer_groups().result().valid if g.group_id.startswith(f"{stack.prefix}.")]
    left = set(names)

    def gone():
        for name, done in admin.delete_consumer_groups(sorted(left)).items() if left else ():
            try:
                done.result()
                left.discard(name)
            except KafkaException:
                pass  # not empty yet
        return not left
    eventually(gone, 60, "the groups deleted", every=1)
    return names


def forget_snapshots(stack):
    producer = Producer({"bootstrap.servers": stack.kafka})
    for record in read_topic(stack, "promoter.state"):
        producer.produce(f"{stack.prefix}.promoter.state.v1", None, record.key, partition=record.partition)
    producer.flush()


def test_without_any_groups_offsets_and_snapshots_nothing_is_done_or_told_again(make_stack, repository, registry, sink):
    stack = make_stack(start=False)
    build_and_deploys(stack, repository, sink, registry)
    stack.wait_release("shop", 1, "succeeded")
    eventually(lambda: any(e["headline"] == "shop/1 succeeded" for e in sink.events()), what="the end told")
    assert stack.stop() == 0
    assert len(forget_groups(stack)) >= 5
    forget_snapshots(stack)
    told = sink.ids()
    stack.up()
    stack.wait_ready(60)
    repository.commit("second")
    for number in (1, 2):
        check_release(stack, number, lambda: read_topic(stack, "event"))
    eventually(lambda: any(e["headline"] == "shop/2 succeeded" for e in sink.events()), what="the second end told")
    assert len(sink.ids()) == len(set(sink.ids())) and sink.ids()[:len(told)] == told
    assert [r["number"] for r in stack.get("/api/v1/pipelines/shop/releases")["releases"]] == [2, 1]
    check_history(stack)

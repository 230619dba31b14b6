"""A ledger that lost records: the promoter says so and stops, an operator begins a new epoch, and it goes on."""
import json

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pipelines import one_stage
from stack import eventually
from topics import read_topic

REASON = "somebody deleted records"


@pytest.fixture
def lib(make_stack, repository):
    """A stack whose pipeline `lib` has had its first release, and a checkpoint beyond it."""
    stack = make_stack(settings={"promoter": {"checkpoint-every": "1s"}})
    repository.commit("first", {"buildspec.yml": "version: 0.2\nphases: {build: {commands: ['true']}}\n"})
    stack.apply(one_stage("lib", repository.url, "name: test, buildspec: buildspec.yml", stage="test"))
    stack.wait_release("lib", 1, "succeeded")
    decisions = [r for r in read_topic(stack, "ledger") if r.message.pipeline == "lib"]
    stack.partition = decisions[0].partition
    eventually(lambda: any(r.message.checkpoint.head_offset == decisions[-1].offset for r in read_topic(stack, "promoter.state")
                           if r.partition == stack.partition and r.message.WhichOneof("what") == "checkpoint"),
               what="a checkpoint of the release's end")
    return stack


def delete_below(stack, offset):
    """As Kafka's own kafka-delete-records; -1: all there is."""
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    where = TopicPartition(f"{stack.prefix}.ledger.v1", stack.partition, offset)
    for answer in admin.delete_records([where]).values():
        answer.result(30)


def not_ready(stack):
    status, _, body = stack.http("promoter", "/readyz", token=None)
    return body.decode() if status == 503 else None


def new_epoch(stack, *options, check=True):
    return stack.gantry("topics", "new-epoch", stack.partition, "--config", stack.config, "--reason", REASON,
                        "--operator", "ann", *options, check=check)


def ledger(stack):
    return [r for r in read_topic(stack, "ledger") if r.partition == stack.partition]


def refused(stack, text):
    stack.kill("promoter")
    return eventually(lambda: text in (not_ready(stack) or ""), what=f"readiness that says '{text}'")


def goes_on(stack, repository, release):
    """The next commit is release `release`, in the new epoch, and the ledger's history can be checked."""
    stack.wait_ready(90, ["promoter"])
    repository.commit("next")
    stack.wait_release("lib", release, "succeeded")
    genesis = [r.message for r in ledger(stack) if r.message.cause.kind == 3][-1]
    started = [r.message for r in ledger(stack) if any(c.WhichOneof("what") == "release_started" for c in r.message.changes)]
    assert started[-1].epoch == genesis.epoch == genesis.changes[0].genesis.epoch
    assert [c.release_started.release for c in started[-1].changes if c.WhichOneof("what") == "release_started"] == [release]
    audit = stack.gantry("audit", "verify")
    assert f"epoch {genesis.epoch} " in audit.out and "begun by ann" in audit.out and REASON in audit.out
    return next(p for p in stack.gantry("audit", "verify", "-o", "json").json() if p["partition"] == stack.partition)


def test_after_a_missing_beginning_the_next_release_has_the_next_number(lib, repository):
    whole = new_epoch(lib, "--yes", check=False)
    assert whole.code == 5 and "nothing is missing" in whole.err
    delete_below(lib, 2)
    refused(lib, "beginning is missing")
    assert "gantry topics new-epoch" in not_ready(lib)
    broken = lib.gantry("audit", "verify", lib.partition, check=False)
    assert broken.code == 1 and "its beginning is missing" in broken.out
    unasked = new_epoch(lib, check=False)
    assert unasked.code == 1 and "--yes" in unasked.err and "offsets 0 to 1" in unasked.out
    end = ledger(lib)[-1].offset
    begun = new_epoch(lib, "--yes")
    assert f"Offset {end + 1} counts" in begun.out
    assert ledger(lib)[end + 1 - 2].message.previous, "it extends what is left"
    checked = goes_on(lib, repository, 2)
    assert checked["holds"] and checked["missingBelow"] == 2 and checked["pipelinesUnknown"] == 1
    lib.kill("promoter")  # restores from a checkpoint of the new epoch
    assert goes_on(lib, repository, 3)["void"] == 0


def test_after_an_emptied_partition_the_next_release_has_the_next_number(lib, repository, tmp_path):
    delete_below(lib, -1)
    refused(lib, "was not before")
    low = tmp_path / "numbers.yaml"
    low.write_text("lib: {release: 1}\n")
    wrong = new_epoch(lib, "--yes", "--numbers", low, check=False)
    assert wrong.code == 2 and "a number is given once" in wrong.err
    begun = new_epoch(lib, "--yes")
    assert "lib: {release: 2, sequence: " in begun.out
    checked = goes_on(lib, repository, 2)
    assert checked["holds"] and checked["missingBelow"] == 0
    assert json.loads(lib.gantry("releases", "lib", "-o", "json").out)

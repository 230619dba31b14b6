"""Reads Gantry's topics as a stranger would: Kafka's protocol, the FileDescriptorSet, the ledger's one rule."""
import hashlib
import time

from confluent_kafka import Consumer, TopicPartition
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from stack import BUILD

MESSAGES = {"ledger": "Decision", "event": "ReleaseEvent", "source": "SourceChanged", "command": "Command",
            "definition": "Definition", "notification": "NotificationSent", "promoter.state": "PromoterState",
            "request.build": "ActionRequest", "request.deploy": "ActionRequest", "request.custom": "ActionRequest",
            "request.approval": "ApprovalRequest", "result.build": "ActionResult", "result.deploy": "ActionResult",
            "result.approval": "ActionResult", "result.custom": "ActionResult", "log": "LogChunk", "access": "Access"}


def message_class(name):
    files = descriptor_pb2.FileDescriptorSet.FromString((BUILD / "proto/gantry.desc").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for f in files.file:
        pool.Add(f)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"gantry.v1.{name}"))


class Record:
    def __init__(self, raw, cls):
        self.partition, self.offset, self.key, self.value = raw.partition(), raw.offset(), raw.key(), raw.value()
        self.headers = {k: v.decode(errors="replace") for k, v in raw.headers() or []}
        self.message = cls.FromString(raw.value()) if cls and raw.value() else None

    @property
    def ce_id(self):
        return self.headers["ce_id"]


def read_topic(stack, topic):
    """Every record of a topic up to its end as it is now, partition by partition in order."""
    cls = message_class(MESSAGES[topic]) if topic in MESSAGES else None
    name = f"{stack.prefix}.{topic}.v1"
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": "reader", "enable.auto.commit": False})
    records = []
    try:
        for p in consumer.list_topics(name, timeout=10).topics[name].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(name, p), timeout=10)
            at, until = low, time.monotonic() + 30
            consumer.assign([TopicPartition(name, p, low)])
            while at < high:
                raw = consumer.poll(1)
                if raw is None or raw.error():  # a connection that was lost is made again
                    assert time.monotonic() < until, f"{name}/{p} at {at} of {high}: {raw and raw.error()}"
                    continue
                records.append(Record(raw, cls))
                at = raw.offset() + 1
    finally:
        consumer.close()
    return records


def counted(records):
    """The Decisions that count, by the rule: `previous` is the hash of the last that counted. (counted, void)"""
    head, good, void = {}, [], []
    for r in records:
        if r.message.previous == head.get(r.partition, b""):
            head[r.partition] = hashlib.sha256(r.value).digest()
            good.append(r)
        else:
            void.append(r)
    return good, void


def check_history(stack):
    """What must hold whatever happened: returns (decisions, void, events)."""
    decisions, void = counted(read_topic(stack, "ledger"))
    events = read_topic(stack, "event")
    by_pipeline, seen = {}, {}
    for d in decisions:
        if d.message.pipeline:
            by_pipeline.setdefault(d.message.pipeline, []).append(d)
    for pipeline, history in by_pipeline.items():
        previous = b""
        for n, d in enumerate(history, 1):
            assert d.message.sequence == n, f"{pipeline}: a gap at {n}"
            assert d.message.pipeline_previous == previous, f"{pipeline}: Decision {n} does not name the one before"
            previous = hashlib.sha256(d.value).digest()
    for e in events:
        place = (e.message.pipeline, e.message.order.epoch, e.message.order.sequence, e.message.order.index)
        assert seen.setdefault(place, (e.ce_id, e.value)) == (e.ce_id, e.value), f"{place} published as two things"
    facts = {}
    for (pipeline, _, sequence, index), (_, value) in sorted(seen.items()):
        fact = next(e for e in events if e.value == value).message.WhichOneof("fact")
        facts.setdefault((pipeline, sequence), []).append(fact)
    for pipeline, history in by_pipeline.items():
        for d in history:
            wanted = [c.WhichOneof("what") for c in d.message.changes]
            wanted = [w for w in wanted if w not in ("genesis", "command_taken")]
            got = facts.get((pipeline, d.message.sequence), [])
            assert got == wanted, f"{pipeline} Decision {d.message.sequence}: {got} were published of {wanted}"
    return decisions, void, events


def stages_entered(events, pipeline, release):
    """Stages that a release entered, each Order once, in order."""
    places = {(e.message.order.sequence, e.message.order.index): e.message.stage_entered.stage for e in events
              if e.message.pipeline == pipeline and e.message.WhichOneof("fact") == "stage_entered"
              and e.message.stage_entered.release == release}
    return [stage for _, stage in sorted(places.items())]

"""Answers custom actions as a test tells it, at once: a release goes through in no time and fails where it is to."""
import collections
import threading
import uuid

from confluent_kafka import Consumer, Producer
from topics import message_class

CANCEL, SUCCEEDED, FAILED = 2, 1, 2


class Responder:
    """What a test says of an action: `fails[action]` times it fails, `held` is answered only by finish()."""

    def __init__(self, stack):
        self.stack, self.fails, self.held = stack, collections.Counter(), set()
        self.asked, self.cancelled = [], []  # requests, in order
        self.request, self.result = message_class("ActionRequest"), message_class("ActionResult")
        self.producer = Producer({"bootstrap.servers": stack.kafka, "partitioner": "murmur2_random", "linger.ms": 0})
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        consumer = Consumer({"bootstrap.servers": self.stack.kafka, "group.id": f"{self.stack.prefix}.responder",
                             "auto.offset.reset": "earliest"})
        consumer.subscribe([f"{self.stack.prefix}.request.custom.v1"])
        while not self.over.is_set():
            record = consumer.poll(0.1)
            if record is None or record.error():
                continue
            request = self.request.FromString(record.value())
            if request.verb == CANCEL:
                self.cancelled.append(request)
                continue
            self.asked.append(request)
            self.tell(request, 1, "started", started={})
            if request.action not in self.held:
                fails = self.fails[request.action] > 0
                self.fails[request.action] -= fails
                self.finish(request, not fails)
        consumer.close()

    def finish(self, request, succeeds=True):
        self.tell(request, 2, "finished", finished={"outcome": SUCCEEDED} if succeeds else {"outcome": FAILED, "reason": "as the test wants it"})

    def tell(self, request, number, past, **body):
        result = self.result(pipeline=request.pipeline, run_id=request.run_id, attempt=1, number=number, executor="test", **body)
        self.producer.produce(f"{self.stack.prefix}.result.custom.v1", result.SerializeToString(), request.pipeline, headers={
            "ce_specversion": "1.0", "ce_id": uuid.uuid4().hex, "ce_source": "/test", "ce_type": f"gantry.custom.{past}.v1"})
        self.producer.flush(10)

    def runs(self, pipeline, release, action=None):
        """How often it was asked for."""
        return len([r for r in self.asked if (r.pipeline, r.release) == (pipeline, release) and action in (None, r.action)])

    def stop(self):
        self.over.set()
        self.thread.join()

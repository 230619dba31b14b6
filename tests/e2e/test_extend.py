"""The programs of docs/extend.md, as they stand there, against real Kafka."""
import http.server
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from stack import BUILD, ROOT, environment, eventually, free_port
from topics import check_history, read_topic

COMMON, ACTION, LISTENER = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/extend.md").read_text(), re.M | re.S)
PIPELINE = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/extend.md").read_text(), re.M | re.S)[0]
STARTED, PROGRESSED, FINISHED, LOST = *(f"gantry.custom.{past}.v1" for past in ("started", "progressed", "finished")), 4


class Site:
    """Answers what it is told to, and notes what it was asked."""

    def __init__(self):
        self.asked, self.answers, self.held = [], {}, threading.Event()
        self.held.set()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked.append(self.path)
                site.held.wait(60)
                self.send_response(site.answers.get(self.path.split("?")[0], 200))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.held.set()
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture
def run_program(tmp_path):
    started = []
    (tmp_path / "gantry.py").write_text(COMMON)

    def run(stack, text):
        name = "action" if text == ACTION else "listener"
        state, program, out = tmp_path / f"{name}.state", tmp_path / f"{name}.py", tmp_path / f"{name}.out"
        state.mkdir(exist_ok=True)
        program.write_text(text)
        process = subprocess.Popen(
            [sys.executable, program], stdout=open(out, "ab"), stderr=subprocess.STDOUT,
            env=dict(environment(), GANTRY_KAFKA=stack.kafka, GANTRY_TOPIC_PREFIX=stack.prefix,
                     GANTRY_DESC=str(BUILD / "proto/gantry.desc"), STATE=str(state)))
        process.out = out
        started.append(process)
        return process
    yield run
    for process in started:
        process.kill()
        process.wait()
        print(pathlib.Path(process.out).read_text()[-3000:])


def extended(make_stack, repository, site, change=lambda text: text):
    stack = make_stack(services=["source-watcher", "promoter", "approver", "console"])
    repository.commit("first")
    text = PIPELINE.replace("https://git.example/acme/shop.git", repository.url).replace("every: 1m", "every: 1s")
    text = re.sub(r"https://\w+(\.shop)?\.example", site.url, text)
    assert site.url in text and repository.url in text
    stack.apply(change(text))
    return stack


def results(stack, action):
    """Of the one run of that action."""
    runs = {r.message.run_id for r in read_topic(stack, "request.custom") if r.message.action == action}
    assert len(runs) <= 1
    return [r for r in read_topic(stack, "result.custom") if r.message.run_id in runs]


def publish_again(stack, events):
    """What a promoter does that died after publishing and before it knew."""
    producer = Producer({"bootstrap.servers": stack.kafka})
    for e in events:
        producer.produce(f"{stack.prefix}.event.v1", e.value, e.key, partition=e.partition, headers=e.headers)
    producer.flush()


def test_the_action_and_the_check_of_the_docs_bring_a_release_through_and_the_listener_tells_it(
        make_stack, repository, site, run_program):
    site.answers["/green"] = 503
    stack = extended(make_stack, repository, site)
    run_program(stack, ACTION)
    listener = run_program(stack, LISTENER)

    eventually(lambda: site.asked.count("/green") >= 2, what="the check asked again after a no")
    assert stack.release("extended", 1)["status"] not in ("succeeded", "failed")
    site.answers["/green"] = 200
    stack.wait_release("extended", 1, "succeeded")
    assert "/health" in site.asked and "/seen?status=200" in site.asked, "what an action exports is known to the next"

    told = eventually(lambda: "gantry.release.ended.v1" in listener.out.read_text() and listener.out.read_text(),
                      what="the end told")
    events = [e for e in check_history(stack)[2] if e.message.pipeline == "extended"]
    assert [line.split()[0] for line in told.splitlines()] == [e.headers["ce_type"] for e in events]
    assert '"stage": "report"' in told

    first = results(stack, "ask")
    assert [r.headers["ce_type"] for r in first] == [STARTED, FINISHED]
    assert [r.key.decode() for r in first] == ["extended"] * 2

    publish_again(stack, events)
    stack.gantry("release", "start", "extended")
    stack.wait_release("extended", 2, "succeeded")
    eventually(lambda: listener.out.read_text().count("gantry.release.ended.v1") >= 2, what="the second release told")
    assert listener.out.read_text().startswith(told) and listener.out.read_text().count("gantry.release.started.v1") == 2


def test_an_action_that_fails_fails_the_release_with_its_reason(make_stack, repository, site, run_program):
    site.answers["/health"] = 500
    stack = extended(make_stack, repository, site)
    run_program(stack, ACTION)
    release = stack.wait_release("extended", 1, "failed")
    assert "/health: HTTP Error 500" in str(release)


def test_the_programs_are_short():
    assert max(len(text.splitlines()) for text in (COMMON, ACTION, LISTENER)) <= 35


def committed(stack):
    """Whether the action has committed all of its topic."""
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": f"{stack.prefix}.http"})
    try:
        topic = f"{stack.prefix}.request.custom.v1"
        parts = [TopicPartition(topic, p) for p in consumer.list_topics(topic, timeout=10).topics[topic].partitions]
        ends = {p.partition: consumer.get_watermark_offsets(p, timeout=10)[1] for p in parts}
        return all(p.offset == ends[p.partition] for p in consumer.committed(parts, timeout=10) if ends[p.partition])
    finally:
        consumer.close()


def test_an_action_that_waits_is_heard_of_and_ends_with_a_cancel(make_stack, repository, site, run_program):
    nobody = f"http://127.0.0.1:{free_port()}"
    stack = extended(make_stack, repository, site, lambda text: text.replace(f"{site.url}/health", f"{nobody}/health"))
    run_program(stack, ACTION)
    eventually(lambda: [r.headers["ce_type"] for r in results(stack, "ask")][:3] == [STARTED, PROGRESSED, PROGRESSED], what="two heartbeats")
    assert not committed(stack)
    stack.gantry("release", "stop", "extended/1", "--abandon")
    stack.wait_release("extended", 1, "stopped")
    eventually(lambda: committed(stack), what="nothing under way")
    told = results(stack, "ask")
    assert FINISHED not in [r.headers["ce_type"] for r in told]
    assert [r.message.number for r in told] == list(range(1, len(told) + 1))


def test_what_is_no_address_fails_and_the_action_goes_on(make_stack, repository, site, run_program):
    stack = extended(make_stack, repository, site, lambda text: text.replace(f"{site.url}/health", "nowhere"))
    action = run_program(stack, ACTION)
    release = stack.wait_release("extended", 1, "failed")
    assert "unknown url type" in str(release)
    eventually(lambda: committed(stack), what="the request settled")
    assert action.poll() is None


@pytest.mark.parametrize("retry", [False, True], ids=["lost", "retried"])
def test_an_action_that_was_killed_in_the_middle_is_done_again_only_where_that_is_allowed(
        make_stack, repository, site, run_program, retry):
    site.held.clear()
    stack = extended(make_stack, repository, site,
                     lambda text: text.replace("timeout: 5m}", "timeout: 5m, retry-lost: true}") if retry else text)
    action = run_program(stack, ACTION)
    eventually(lambda: "/health" in site.asked, what="the action under way")
    os.kill(action.pid, signal.SIGKILL)
    action.wait()
    before = len(site.asked)
    site.held.set()
    run_program(stack, ACTION)
    stack.wait_release("extended", 1, "succeeded" if retry else "failed")
    finished = [r.message for r in results(stack, "ask") if r.headers["ce_type"] == FINISHED]
    assert [f.attempt for f in finished] == [2]
    if retry:
        assert "/health" in site.asked[before:]
    else:
        assert "/health" not in site.asked[before:]
        assert finished[0].finished.outcome == LOST

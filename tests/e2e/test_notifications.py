"""People and systems are told: mail by a real SMTP server, webhooks, of what really happened."""
import base64
import html.parser
import socket
import threading

import pytest
from postbox import Postbox
from sink import Sink
from stack import eventually
from topics import read_topic

BUILDSPEC = "version: 0.2\nphases: {build: {commands: ['%s']}}\n"
RULE = """
apiVersion: gantry/v1
kind: Notification
metadata: {name: team}
spec:
  events: [release.started, release.ended, action.ended, 'approval.*']
  mail: {to: [ana@example.test, bo@example.test]}
---
"""
PIPELINE = """
apiVersion: gantry/v1
kind: Pipeline
metadata: {name: shop}
spec:
  sources: [{name: app, git: '%s', branches: [main], poll: 1s}]
  stages:
    - {name: check, steps: [{build: {name: check, buildspec: buildspec.yml}}]}
    - name: prod
      gates: [{approval: {by: ['group:qa'], count: 1, expires: 1h, message: 'Go live? 🚀 <now>'}}]
      steps: [{build: {name: again, buildspec: buildspec.yml}}]
"""


@pytest.fixture
def mailbox():
    mailbox = Postbox()
    yield mailbox
    mailbox.stop()


class Page(html.parser.HTMLParser):
    """What a reader sees, and where the links go."""

    def __init__(self, text):
        super().__init__()
        self.words, self.links, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.links += [v for k, v in attrs if k == "href"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        self.words.append(data)


def parts(message):
    assert message.get_content_type() == "multipart/alternative"
    text, page = message.iter_parts()
    assert (text.get_content_type(), page.get_content_type()) == ("text/plain", "text/html")
    page = Page(page.get_content())
    assert page.open == []
    return text.get_content(), page


def started(make_stack, repository, mailbox, command="true", **smtp):
    stack = make_stack(start=False)
    stack.settings["notifier"] = {"smtp": {"url": mailbox.url, "tls": "off", **smtp}, "mail-from": "gantry@example.test"}
    stack.start()
    repository.commit("first 🌱 <commit>", {"buildspec.yml": BUILDSPEC % command})
    stack.apply(RULE + PIPELINE % repository.url)
    return stack


def test_people_get_a_mail_for_a_release_its_approval_and_its_end(make_stack, repository, mailbox):
    stack = started(make_stack, repository, mailbox)
    mailbox.answers.append("451 try again soon")  # the first is not taken, and comes again
    qa = stack.person("quinn", "approver", groups=["qa"])
    asked = eventually(lambda: next((m for m in mailbox.got if "approval" in str(m[2]["Subject"])), None), what="a mail")
    sender, to, message = asked
    assert sender == "gantry@example.test" and to == ["ana@example.test", "bo@example.test"]
    assert str(message["Subject"]) == "shop/1 wants approval for prod"
    assert message["Auto-Submitted"] == "auto-generated" and message["Message-ID"] and message["Date"]
    text, page = parts(message)
    link = f"http://127.0.0.1:{stack.ports['console']}/pipelines/shop/1"
    for seen in (text, " ".join(page.words)):
        assert "Go live? 🚀 <now>" in seen and "first 🌱 <commit>" in seen and "kim@example.test" in seen
    assert link in text and page.links == [link]
    assert stack.http("console", "/pipelines/shop/1", token=None)[0] == 200

    stack.gantry("approve", "shop/1", "prod", "--yes", "--comment", "läuft 👍", token=qa)
    stack.wait_release("shop", 1, "succeeded")
    wanted = {"shop/1 started", "shop/1: check succeeded in check", "shop/1 wants approval for prod",
              "shop/1: approval for prod approved", "shop/1: again succeeded in prod", "shop/1 succeeded"}
    eventually(lambda: wanted <= set(mailbox.subjects()), what="all mails")
    assert len(mailbox.got) == len(wanted)
    threads = {str(m["References"]) for _, _, m in mailbox.got}
    assert len(threads) == 1, "a reader's program shows one thread a release"
    closed = next(m for _, _, m in mailbox.got if str(m["Subject"]).endswith("approved"))
    assert "Quinn: läuft 👍" in parts(closed)[0]

    stack.kill("notifier")
    stack.wait_ready(services=["notifier"])
    repository.commit("second")
    eventually(lambda: "shop/2 started" in mailbox.subjects(), what="the next release's mail")
    assert len(set(mailbox.subjects())) == len(mailbox.subjects()), "nothing was told twice"


def test_a_failure_is_told_with_its_command_and_last_lines(make_stack, repository, mailbox):
    stack = started(make_stack, repository, mailbox, command="printf \"\\033[31mred alert\\033[0m\\n\"; exit 3")
    stack.wait_release("shop", 1, "failed")
    message = eventually(lambda: next((m for _, _, m in mailbox.got if "check failed" in str(m["Subject"])), None))
    text, page = parts(message)
    for seen in (text, " ".join(page.words)):
        assert "exit 3" in seen and "red alert" in seen and "\x1b" not in seen
    eventually(lambda: "shop/1 failed" in mailbox.subjects(), what="the release's end")


def test_a_server_without_starttls_is_refused_where_it_is_required(make_stack, repository, mailbox):
    stack = started(make_stack, repository, mailbox, tls="required")
    stack.wait_release("shop", 1, "in-progress", "succeeded")
    delayed = eventually(lambda: [r for r in read_topic(stack, "notification") if r.message.delivery == 2], what="a try")
    assert delayed[0].message.channel == "mail" and delayed[0].message.error
    assert mailbox.got == []


def test_a_mail_server_that_hangs_holds_up_nothing_else(make_stack, repository):
    class Hanging:
        def __init__(self):
            self.socket = socket.create_server(("127.0.0.1", 0))
            self.url = f"smtp://127.0.0.1:{self.socket.getsockname()[1]}"
            self.kept = []
            threading.Thread(target=self.run, daemon=True).start()

        def run(self):
            while True:
                try:
                    self.kept.append(self.socket.accept())
                except OSError:
                    return

    hanging, sink = Hanging(), Sink()
    try:
        stack = started(make_stack, repository, hanging)
        stack.secret("sink", "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode())
        stack.apply("apiVersion: gantry/v1\nkind: Notification\nmetadata: {name: hook}\n"
                    f"spec: {{events: ['release.*'], webhook: {{url: '{sink.url}', secret: sink}}}}\n")
        eventually(lambda: hanging.kept, what="a mail that hangs")
        repository.commit("second")
        eventually(lambda: any(e["headline"] == "shop/2 started" for e in sink.events()), what="the webhook")
        assert stack.http("notifier", "/readyz", token=None)[0] == 200
    finally:
        sink.stop()
        hanging.socket.close()

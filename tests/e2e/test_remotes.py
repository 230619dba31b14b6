"""Repositories behind ssh and https: a real sshd, a TLS server with a private authority, and what is said when they refuse."""
import contextlib
import os
import pwd
import subprocess
import sys

import pytest
from stack import ROOT, eventually, free_port
from test_sources import PASSES, PIPELINE, SERVICES


class Sshd:
    """OpenSSH's server on loopback, as whoever runs the test."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.process = None
        for name in ("host", "other-host", "key", "other-key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True)
        (folder / "authorized").write_text((folder / "key.pub").read_text())

    def url(self, path):
        return f"ssh://{self.user}@127.0.0.1:{self.port}{path}"

    def start(self, host_key="host"):
        (self.folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {self.folder}/{host_key}\nAuthorizedKeysFile {self.folder}/authorized\n"
            "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n")
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "sshd_config")]
        if os.geteuid() == 0:  # wants a folder in /run, which is this test's own here
            command = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run && mkdir -m 0755 /run/sshd && exec "$@"', "sh", *command]
        self.process = subprocess.Popen(command, stdout=open(self.folder / "log", "ab"), stderr=subprocess.STDOUT)
        eventually(self.answers, what="sshd")

    def answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with contextlib.suppress(ConnectionRefusedError):
            return subprocess.run(["ssh-keyscan", "-p", str(self.port), "127.0.0.1"], capture_output=True, check=True).stdout

    def stop(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def sshd(repository):
    sshd = Sshd(repository.bare.parent)
    sshd.start()
    yield sshd
    sshd.stop()


class Https:
    """git over https with a login, its certificate by an authority that no machine knows."""

    def __init__(self, folder, login):
        self.authority = folder / "authority.pem"
        new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        for command in (
                [*new, "-x509", "-subj", "/CN=Authority", "-keyout", folder / "authority.key", "-out", self.authority],
                [*new, "-x509", "-CA", self.authority, "-CAkey", folder / "authority.key", "-subj", "/CN=git", "-addext",
                 "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", folder / "server.key",
                 "-out", folder / "server.pem"]):
            subprocess.run(command, check=True, capture_output=True)
        self.process = subprocess.Popen([sys.executable, ROOT / "tests/unit/git/http_git.py", folder, login, folder / "server.pem",
                                         folder / "server.key"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = f"https://127.0.0.1:{int(self.process.stdout.readline())}"

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


@pytest.fixture
def https(repository):
    server = Https(repository.bare.parent, "ann:pass:word")
    yield server
    server.stop()


def start(make_stack, secrets, *sources, **settings):
    stack = make_stack(start=False, services=SERVICES, settings=settings)
    stack.prepare()
    for name, value in secrets.items():
        stack.secret(name, value, builder=True)
    stack.start()
    stack.apply(PIPELINE % ", ".join(sources))
    return stack


def says(stack, *words):
    """/readyz of the source-watcher says all of it."""
    eventually(lambda: all(w in stack.http("source-watcher", "/readyz", token=None)[2].decode() for w in words),
               what=f"{words} in /readyz")


def test_a_repository_behind_ssh_is_polled_and_built_and_its_host_must_stay_the_same(make_stack, repository, sshd):
    first = repository.commit("first", PASSES)
    stack = start(make_stack, {"deploy-key": (sshd.folder / "key").read_text()},
                  f"{{name: app, git: '{sshd.url(repository.bare)}', branches: [main], credentials: deploy-key, poll: 1s}}")
    assert stack.wait_release("shop", 1, "succeeded")["commit"] == first
    host = (sshd.folder / "host.pub").read_text().split()[1]
    kept = [p for p in (stack.folder / "state").rglob("known_hosts") if host in p.read_text()]
    assert {p.parent.name for p in kept} == {"source-watcher", "ssh"}  # the builder has its own

    sshd.stop()
    sshd.start("other-host")
    second = repository.commit("second")
    says(stack, "Host key verification failed")
    sshd.stop()
    sshd.start()
    assert stack.wait_release("shop", 2, "succeeded")["commit"] == second
    stack.stop()
    assert not list((stack.folder / "state").rglob("key-*"))


def test_a_key_that_the_host_does_not_know_is_said(make_stack, repository, sshd):
    repository.commit("first", PASSES)
    stack = start(make_stack, {"deploy-key": (sshd.folder / "other-key").read_text()},
                  f"{{name: app, git: '{sshd.url(repository.bare)}', branches: [main], credentials: deploy-key, poll: 1s}}")
    says(stack, "Permission denied (publickey)", "127.0.0.1")


def test_a_repository_behind_https_with_an_authority_of_ones_own_is_polled_and_built(make_stack, repository, https):
    commit = repository.commit("first", PASSES)
    stack = start(make_stack, {"login": "ann:pass:word"},
                  f"{{name: app, git: '{https.address}/app.git', branches: [main], credentials: login, poll: 1s}}",
                  common={"git-ca": str(https.authority)})
    assert stack.wait_release("shop", 1, "succeeded")["commit"] == commit


HELPER = """\
version: 0.2
env: {git-credential-helper: yes, exported-variables: [GANTRY_GIT_PASSWORD]}
phases:
  build:
    commands:
      - export GIT_SSL_NO_VERIFY=1 GIT_TERMINAL_PROMPT=0
      - git ls-remote "$CODEBUILD_SOURCE_REPO_URL" main && echo it was asked
      - git clone -q "$CODEBUILD_SOURCE_REPO_URL" /tmp/again && git -C /tmp/again fetch -q && echo it was cloned
      - |
        echo "the password is $GANTRY_GIT_PASSWORD"
        GIT_TRACE_CURL=1 GIT_TRACE_REDACT=0 git ls-remote "$CODEBUILD_SOURCE_REPO_URL" 2>&1 | grep -i 'send header: authorization'
      - |
        for it in protocol=http:host=127.0.0.1 protocol=https:host=127.0.0.1 protocol=https:host=elsewhere; do
          echo "$it" | tr : "\\n" | git credential fill 2>/dev/null || echo "nothing for $it"
        done
"""


def test_git_in_the_commands_has_the_sources_login_for_its_own_server_alone(make_stack, repository, https):
    repository.commit("first", {"b.yml": HELPER})
    stack = start(make_stack, {"login": "ann:pass:word"},
                  f"{{name: app, git: '{https.address}/app.git', branches: [main], credentials: login, poll: 1s}}",
                  common={"git-ca": str(https.authority)})
    stack.wait_release("shop", 1, "succeeded")
    log = stack.gantry("logs", "shop/1", "unit").out
    assert "\nit was asked\n" in log and "\nit was cloned\n" in log and "\nthe password is ***\n" in log
    for other in ("protocol=http:host=127.0.0.1", "protocol=https:host=127.0.0.1", "protocol=https:host=elsewhere"):
        assert f"\nnothing for {other}\n" in log, log
    assert "Authorization: Basic ***" in log or "authorization: Basic ***" in log, log
    assert "pass:word" not in log + str(stack.get("/api/v1/pipelines/shop/releases/1"))


def test_a_source_with_an_ssh_key_has_no_login_to_give_and_the_build_says_so(make_stack, repository, sshd):
    repository.commit("first", {"b.yml": HELPER})
    stack = start(make_stack, {"deploy-key": (sshd.folder / "key").read_text()},
                  f"{{name: app, git: '{sshd.url(repository.bare)}', branches: [main], credentials: deploy-key, poll: 1s}}")
    stack.wait_release("shop", 1, "failed")
    shown = stack.gantry("release", "show", "shop/1").out
    assert "b.yml:2: env.git-credential-helper: 'ssh://" in shown
    assert "is fetched by ssh, with a key, which is not given to the commands" in shown


def test_an_authority_that_nobody_named_is_not_trusted(make_stack, repository, https):
    repository.commit("first", PASSES)
    stack = start(make_stack, {"login": "ann:pass:word"},
                  f"{{name: app, git: '{https.address}/app.git', branches: [main], credentials: login, poll: 1s}}")
    says(stack, "certificate verification failed")

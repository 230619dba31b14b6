"""deploy/demo as a newcomer runs it: to PROD, the next release by the printed lines, a bad one, and nothing left after `down`."""
import contextlib
import json
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request

import pytest
from stack import ROOT, environment, eventually, free_port

ENVIRONMENTS = ("dev", "staging", "prod")
PORTS = 23


class Demo:
    def __init__(self, folder, kafka=None):
        self.folder, self.base = folder, free_port(PORTS)
        self.user = f"gantry-demo-{self.base}" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.env = dict(environment(), GANTRY_DEMO_DIR=str(folder), GANTRY_DEMO_PORT=str(self.base))
        if kafka:
            self.env["GANTRY_KAFKA"] = kafka

    def __call__(self, *words):
        done = subprocess.run([ROOT / "deploy/demo", *words], env=self.env, text=True, timeout=900, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def gantry(self, *words):
        env = dict(environment(), GANTRY_URL=f"http://127.0.0.1:{self.base}", GANTRY_TOKEN_FILE=str(self.folder / "secrets/admin-token"))
        return json.loads(subprocess.run([ROOT / "build/release/bin/gantry", *words, "-o", "json"], env=env, check=True,
                                         capture_output=True, text=True).stdout)

    def newest(self):
        return self.gantry("releases", "hello")["releases"][0]

    def answer(self, environment):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.base + 20 + ENVIRONMENTS.index(environment)}/") as answer:
            return answer.read().decode().splitlines()

    def runs(self, number):
        """Every environment answers with this release and the digest that it built."""
        digest = self.gantry("release", "show", f"hello/{number}")["artifacts"][0]["digest"]
        return all(self.answer(e) == [f"Hello from {e}, release hello/{number}", digest] for e in ENVIRONMENTS)

    def git(self, *words):
        subprocess.run(["git", "-C", self.folder / "hello", *words], check=True, capture_output=True)

    def supervisor(self):
        return int((self.folder / "services.pid").read_text())

    def ids(self):
        """Its user's subordinate ids, and the user's own where it is the demo's."""
        lines = [line for file in ("subuid", "subgid", "passwd", "group", "shadow") for line in lines_of(f"/etc/{file}")]
        return [line for line in lines if line.startswith(f"{self.user}:")]


def lines_of(path):
    try:
        return pathlib.Path(path).read_text().splitlines()
    except (PermissionError, FileNotFoundError):
        return []


def processes(folder):
    """Those that were started by the demo of that folder: by their command line, working folder or environment."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            told = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
            told += b" " + os.readlink(entry / "cwd").encode() + b" " + (entry / "environ").read_bytes()
            if str(folder).encode() in told:
                found.append(f"{entry.name}: {told[:200]!r}")
    return found


def belonging_to(ids, besides):
    """Files of these owners where a program may leave some, outside of a folder."""
    found = []
    for top in ("/tmp", "/var/tmp", "/var/lib", "/var/log", "/run", "/dev/shm", "/home", "/root", "/etc"):
        for folder, folders, files in os.walk(top):
            folders[:] = [f for f in folders if pathlib.Path(folder, f) != besides]
            for name in folders + files:
                with contextlib.suppress(OSError):
                    if os.lstat(os.path.join(folder, name)).st_uid in ids:
                        found.append(os.path.join(folder, name))
    return found


def owners(demo):
    """The user ids that the demo's builds have, where they are not those of whoever runs the test."""
    ids = {pwd.getpwnam(demo.user).pw_uid} if os.geteuid() == 0 else set()
    for line in lines_of("/etc/subuid"):
        name, first, count = line.split(":")
        if name == demo.user and os.geteuid() == 0:
            ids.update(range(int(first), int(first) + int(count)))
    return ids


def leftovers(demo, supervisors, ids, names):
    """What is there of a demo that is gone."""
    left = processes(demo.folder)
    left += [line for line in lines_of("/proc/self/mountinfo") if str(demo.folder) in line]
    left += [str(p) for pid in supervisors for p in pathlib.Path("/sys/fs/cgroup").rglob(f"gantry-up-{pid}")]
    left += [line for line in demo.ids() if line not in names]
    left += belonging_to(ids, demo.folder)
    left += [str(p) for p in pathlib.Path("/var/tmp").glob("gantry-demo-*") if ids and p.stat().st_uid == 0]
    left += [str(demo.folder)] if demo.folder.exists() else []
    for port in range(demo.base, demo.base + PORTS):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            left.append(f"port {port}")
    return left


@pytest.fixture(scope="module")
def demo():
    demo = Demo(ROOT / "build/tests/demo")
    demo("down")
    demo.names = demo.ids()
    demo.said = demo("--yes")
    yield demo
    demo("down")


def test_the_demo_ends_only_when_prod_answers_with_the_digest_that_was_built(demo):
    assert "the digest that was built" in demo.said
    assert demo.runs(1)


def test_the_lines_that_it_prints_take_the_next_release_to_prod(demo):
    number = demo.newest()["number"] + 1
    lines = [line for line in demo("status").splitlines() if line.startswith("    ")]
    assert len(lines) == 8, lines
    # Nobody's home, and a git that knows nobody: as on a machine that was set up a minute ago.
    done = subprocess.run(["bash", "-e", "-c", "\n".join(lines)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert demo.runs(number)


def test_an_image_that_never_answers_fails_its_release_and_the_former_one_is_served(demo):
    before = demo.newest()["number"]
    dockerfile = demo.folder / "hello/Dockerfile"
    good = dockerfile.read_text()
    dockerfile.write_text(good.replace('ENTRYPOINT ["/server"]', 'ENTRYPOINT ["/nowhere"]'))
    demo.git("commit", "-q", "-a", "-m", "Start nothing")
    demo.git("push", "-q", "origin", "HEAD:main")
    release = eventually(lambda: demo.newest() if demo.newest()["number"] > before and demo.newest()["status"] == "failed" else None,
                         what="the release that fails")
    assert "the former one keeps serving" in json.dumps(demo.gantry("release", "show", f"hello/{release['number']}"))
    assert demo.runs(before)
    dockerfile.write_text(good)
    demo.git("commit", "-q", "-a", "-m", "Start the server")


def test_a_second_run_starts_again_what_is_older_than_its_programs_and_releases_what_it_pushes(demo):
    before, old = demo.newest()["number"], demo.supervisor()
    demo("--yes")
    assert demo.supervisor() == old and demo.runs(before + 1)
    os.utime(demo.folder / "services.pid", (1, 1))
    assert "starting the services again" in demo("--yes")
    assert demo.supervisor() != old and demo.runs(before + 2)


def test_down_leaves_nothing_even_of_a_supervisor_that_was_killed(demo):
    supervisors = (demo.folder / "supervisors").read_text().split()
    assert str(demo.supervisor()) in supervisors
    ids = owners(demo)
    os.kill(demo.supervisor(), signal.SIGKILL)
    demo("down")
    assert leftovers(demo, supervisors, ids, demo.names) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its builds another user")
def test_on_a_broker_of_others_where_builds_cannot_reach_the_folder_nothing_of_a_former_demo_matters_or_stays(kafka):
    private = pathlib.Path(tempfile.mkdtemp(prefix="private-", dir=ROOT / "build/tests"))
    demo = Demo(private / "demo", kafka)
    others = pathlib.Path(tempfile.mkdtemp(prefix="gantry-test-", dir="/var/tmp"))
    os.chown(others, 65534, 65534)
    (others / "file").touch()
    prefixes = set()
    try:
        for _ in range(2):
            # A name of its own in /var/tmp that somebody else has by now.
            demo.folder.mkdir()
            (demo.folder / "outside").write_text(f"{others}\n")
            demo("--yes")
            assert demo.runs(1)
            prefixes.update(re.findall(r"topic-prefix: (\S+)", (demo.folder / "gantry.yaml").read_text()))
            assert re.search(r"state-dir: /var/tmp/gantry-demo-\w+/builder\n", (demo.folder / "gantry.yaml").read_text())
            supervisors, ids = (demo.folder / "supervisors").read_text().split(), owners(demo)
            demo("down")
            assert leftovers(demo, supervisors, ids, []) == []
        assert (others / "file").exists()
        topics = subprocess.run([ROOT / "deploy/kafka", "run", "topics", "--bootstrap-server", kafka, "--list"], check=True,
                                capture_output=True, text=True).stdout
        assert len(prefixes) == 2 and not [p for p in prefixes if p in topics]
    finally:
        demo("down")
        shutil.rmtree(private)
        shutil.rmtree(others)


@pytest.mark.skipif(os.geteuid() != 0, reason="changes /etc/subuid")
def test_ids_that_were_added_for_a_user_of_the_machine_are_taken_back_and_no_others():
    name = f"gantry-t{random.randrange(10**6)}"
    script = ROOT / "deploy/builder-user"

    def lines():
        return [line for file in ("subuid", "subgid") for line in lines_of(f"/etc/{file}") if line.startswith(f"{name}:")]
    subprocess.run(["useradd", "--system", "--no-create-home", name], check=True)
    try:
        subprocess.run(["usermod", "--add-subuids", "4000000-4000009", name], check=True)
        made = subprocess.run([script, "add", name], check=True, capture_output=True, text=True).stdout.split()
        assert len(made) == 1 and len(lines()) == 3
        assert subprocess.run([script, "add", name], check=True, capture_output=True, text=True).stdout == ""
        subprocess.run([script, "remove", name, *made], check=True)
        assert lines() == [f"{name}:4000000:10"]
        assert pwd.getpwnam(name)
    finally:
        subprocess.run([script, "remove", name], check=True)
    assert lines() == []

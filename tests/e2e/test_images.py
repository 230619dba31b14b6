"""The images and docker-compose.yml on a real Docker engine: a commit becomes an image, built in the builder's container."""
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import urllib.request

import pytest
from pipelines import one_stage
from stack import ROOT, SERVICES, Repository, eventually

pytestmark = pytest.mark.full
ENGINE = ROOT / "tests/engine"
IMAGES = ROOT / "tests/e2e/images"
PROJECT = "gantry-test"
ADDRESS = "127.77.0.1"  # a loopback address of the tests' own, so that no port is taken

BUILDSPEC = """version: 0.2
phases:
  install:
    commands:
      - echo "uid $(id -u), processes $(ls /proc | grep -c '^[0-9]')"
      - test ! -e /run/proc
      - test ! -e /run/gantry/secrets
      - if umount /run 2>/dev/null; then echo "what hides the host can be taken away"; exit 1; fi
  build:
    commands:
      - buildah bud --isolation chroot -t "$GANTRY_IMAGE" .
      - buildah push "$GANTRY_IMAGE"
"""
DOCKERFILE = 'FROM scratch\nCOPY hello /hello\nRUN ["/hello", "while building"]\nENTRYPOINT ["/hello"]\n'
HELLO = '#include <stdio.h>\nint main(int c, char **v) { return printf("hello %s\\n", c > 1 ? v[1] : "there") < 0; }\n'


def run(*words, env=None, check=True, stdin=None, timeout=900):
    words = [str(w) for w in words]
    done = subprocess.run(words, cwd=ROOT, env=env, input=stdin, capture_output=True, text=True, timeout=timeout)
    said = f"{done.stdout[-4000:]}{done.stderr[-4000:]}"
    assert not check or done.returncode == 0, f"{shlex.join(words)}: exit {done.returncode}\n{said}"
    return done


@pytest.fixture(scope="module")
def engine():
    """The environment in which docker and docker-compose find the engine, and the stand-ins for what registries hold."""
    run(ENGINE, "up")
    env = dict(os.environ, COMPOSE_PROJECT_NAME=PROJECT, LISTEN=ADDRESS, CONSOLE_URL=f"http://{ADDRESS}:8080",
               APPROVER_URL=f"http://{ADDRESS}:8085", KAFKA_IMAGE=f"{PROJECT}/kafka", REGISTRY_IMAGE=f"{PROJECT}/registry")
    for word in shlex.split(run(ENGINE, "env").stdout)[1:]:
        name, value = word.split("=", 1)
        env[name] = value
    yield env
    if not os.environ.get("GANTRY_TEST_KEEP"):
        run(ENGINE, "down")


class Compose:
    """docker-compose.yml with a git server beside it."""

    def __init__(self, env, git):
        self.env = dict(env, GANTRY_TEST_GIT=str(git))
        self.token = None

    def __call__(self, *words, **more):
        return run("docker-compose", "-f", "docker-compose.yml", "-f", IMAGES / "git.yml", *words, env=self.env, **more)

    def docker(self, *words, **more):
        return run("docker", *words, env=self.env, **more)

    def gantry(self, *words, **more):
        return self("run", "--rm", "-T", "cli", *words, **more).stdout

    def container(self, service):
        labels = {"project": PROJECT, "service": service, "oneoff": "False"}
        words = [w for k, v in labels.items() for w in ("--filter", f"label=com.docker.compose.{k}={v}")]
        return self.docker("ps", "-aq", *words).stdout.strip()

    def inspect(self, service):
        return json.loads(self.docker("inspect", self.container(service)).stdout)[0]

    def inside(self, service, *words):
        return self.docker("exec", self.container(service), *words, check=False)

    def ended(self, pipeline, number):
        """A release as the console tells it, once it ended."""
        req = urllib.request.Request(f"http://{ADDRESS}:8080/api/v1/pipelines/{pipeline}/releases/{number}",
                                     headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(req, timeout=20) as answer:
            release = json.load(answer)
        return release if release["status"] in ("succeeded", "failed", "stopped", "superseded") else None

    def up(self):
        self("up", "-d", "--build", timeout=3600)

        def healthy():
            return all(self.inspect(s)["State"]["Health"]["Status"] == "healthy" for s in [*SERVICES, "kafka", "registry"])
        eventually(healthy, 120, "every service healthy", every=1)
        self.token = self("run", "--rm", "-T", "token").stdout.strip()


@pytest.fixture(scope="module")
def compose(engine):
    jars = run("deploy/kafka", "fetch").stdout.strip()
    for name, context in (("kafka", jars), ("registry", IMAGES)):
        run("docker", "build", "-q", "--build-arg", f"BASE={engine['BASE']}", "-f", IMAGES / f"{name}.Dockerfile",
            "-t", f"{PROJECT}/{name}", context, env=engine)
    git = pathlib.Path(tempfile.mkdtemp(prefix="gantry-images-"))
    git.chmod(0o755)
    compose = Compose(engine, git)
    compose("down", "-v", "--remove-orphans")
    try:
        compose.up()
        yield compose
    finally:
        if not os.environ.get("GANTRY_TEST_KEEP"):
            compose("down", "-v", "--remove-orphans", check=False)
            shutil.rmtree(git, ignore_errors=True)


@pytest.fixture(scope="module")
def released(compose):
    """A commit, and what two pipelines made of it: one with a buildspec, one with a Dockerfile alone."""
    folder = pathlib.Path(compose.env["GANTRY_TEST_GIT"])
    repository = Repository(folder)
    source, program = folder / "hello.c", repository.clone / "hello"
    source.write_text(HELLO)
    run("gcc", "-static", "-s", "-o", program, source)
    repository.git("add", "hello")
    repository.commit("A program in an image", {"Dockerfile": DOCKERFILE, "buildspec.yml": BUILDSPEC})
    for path in [repository.bare, *repository.bare.rglob("*")]:
        os.chown(path, 10001, 10001)  # the git server's user
    compose.gantry("apply", "-f", "-", stdin="---\n".join([
        one_stage(name, "git://git/app.git", f"name: image, source: app, {build}, image: 'registry:5000/{name}'")
        for name, build in (("spec", "buildspec: buildspec.yml"), ("file", "dockerfile: Dockerfile"))]))
    releases = {}
    for name in ("spec", "file"):
        release = eventually(lambda: compose.ended(name, 1), 120, f"the end of {name}/1", every=0.5)
        assert release["status"] == "succeeded", compose.gantry("logs", f"{name}/1", "image")
        releases[name] = release
    return releases


def test_docker_compose_1_and_2_both_take_the_file(engine):
    run("docker-compose", "config", "-q", env=engine)
    found = run(ENGINE, "compose", env=engine, check=False, timeout=3600)
    if found.returncode == 3:
        pytest.skip("no docker compose v2, and no Go that compiles it")
    assert found.returncode == 0, found.stderr
    run(found.stdout.strip(), "config", "-q", env=engine)


def test_every_service_runs_as_an_ordinary_user_and_the_builder_as_one_of_its_own(compose):
    for service in SERVICES:
        uids = compose.docker("top", compose.container(service), "-eo", "uid,pid").stdout.split("\n")[1:]
        assert {line.split()[0] for line in uids if line} == {"10002" if service == "builder" else "10001"}, service


def test_nothing_in_an_image_makes_a_process_root(compose):
    for service in SERVICES:
        words = ["find", "/", "-xdev", "-type", "f", "-perm", "/6000"]
        found = compose.docker("exec", "-u", "0", compose.container(service), *words, check=False)
        assert found.stdout == "", service


def test_a_commit_becomes_the_image_in_the_registry(compose, released):
    for name, release in released.items():
        image = release["artifacts"][0]
        accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
        head = run("curl", "-fsI", "-H", f"Accept: {accept}", f"http://{ADDRESS}:5000/v2/{name}/manifests/{image['digest']}")
        assert image["digest"] in head.stdout
        log = compose.gantry("logs", f"{name}/1", "image")
        assert "hello while building" in log  # RUN ran in the sandbox


def test_a_build_sees_neither_the_containers_processes_nor_its_secrets(compose, released):
    assert released["spec"]["status"] == "succeeded"  # its buildspec looks
    log = compose.gantry("logs", "spec/1", "image")
    processes = int(log.split("uid 0, processes ")[1].split()[0])
    assert processes < 8, log


def test_the_admins_token_is_where_it_is_needed_alone(compose):
    assert compose.token.startswith("gty_") and len(compose.token) > 40
    for service in SERVICES:
        there = compose.inside(service, "test", "-e", "/run/gantry/secrets/admin-token").returncode == 0
        assert there == (service in ("approver", "console")), service


def test_a_secret_reaches_those_that_speak_to_others(compose):
    compose("run", "--rm", "-T", "secret", "shop/git-token", stdin="s3cret\n")
    for service in SERVICES:
        got = compose.inside(service, "cat", "/run/gantry/secrets/shop/git-token").stdout
        assert got == ("s3cret\n" if service in ("source-watcher", "builder", "notifier") else ""), service


@pytest.mark.parametrize("lacking, options, says", [
    ("nothing", ["--security-opt", "seccomp=unconfined", "-v", f"{PROJECT}_proc:/run/proc"], None),
    ("seccomp", ["-v", f"{PROJECT}_proc:/run/proc"], "seccomp=unconfined"),
    ("proc", ["--security-opt", "seccomp=unconfined"], "volume of type proc"),
    ("capabilities", ["--security-opt", "seccomp=unconfined", "-v", f"{PROJECT}_proc:/run/proc", "--cap-drop", "ALL"],
     "SETUID and SETGID"),
])
def test_the_builder_says_what_its_container_lacks(compose, lacking, options, says):
    name = f"{PROJECT}-lacking-{lacking}"
    image = compose.inspect("builder")["Image"]
    compose.docker("run", "-d", "--name", name, "--network", f"{PROJECT}_default", "--security-opt", "apparmor=unconfined",
                   *options, "-e", "GANTRY_KAFKA=kafka:9092", "-e", "GANTRY_TOPIC_PREFIX=nothing", image)
    try:
        def sandbox():
            answer = compose.docker("exec", name, "curl", "-s", "http://127.0.0.1:8083/readyz", check=False).stdout
            check = next((c for c in json.loads(answer or "{}").get("checks", []) if c["name"] == "sandbox"), None)
            return check if check and "not ready yet" not in check["reason"] else None
        check = eventually(sandbox, 20, "the sandbox's state")
        assert check["ready"] == (says is None), check
        assert says is None or says in check["reason"]
    finally:
        compose.docker("rm", "-f", name)


def test_after_down_and_up_everything_is_where_it_was(compose, released):
    compose("stop", "-t", "40", *SERVICES)
    for service in SERVICES:
        assert compose.inspect(service)["State"]["ExitCode"] == 0, service
    compose("down")
    compose.up()

    def there():
        release = compose.ended("spec", 1)
        return release and release["artifacts"] == released["spec"]["artifacts"]
    eventually(there, 60, "the release in the console's new read model", every=1)
    compose.gantry("audit", "verify")

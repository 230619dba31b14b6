"""Builds in containers of a real Docker engine: `builder.driver: docker`."""
import base64
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
import zipfile

import pytest
from stack import ROOT, Registry, eventually

pytestmark = pytest.mark.full
ENGINE = ROOT / "tests/engine"

SPECS = {
    "life.yml": """version: 0.2
env:
  variables: {GREETING: "it's \\"fine\\"", LINES: "one\\ntwo"}
  exported-variables: [VERSION, GREETING]
phases:
  install:
    commands: [cd sub, HERE=1]
  pre_build:
    commands: ['pwd; echo "$HERE $GREETING"; echo "$LINES" | wc -l', 'printf half; echo ", to stderr" >&2', exit 0]
  build:
    commands: ['pwd; echo "here: $HERE."', 'export VERSION="1.2 beta"', 'id -u; echo $HOME; cat /etc/debian_version',
               'codebuild-glob-search "**/a file.txt"', 'readlink ../link; test -x tool && ./tool',
               'mkdir -p ../out/deep; echo made >../out/deep/made; ln -s made ../out/deep/l; ln ../out/deep/made ../out/hard; rm "a file.txt"',
               'read -r line || echo "no input"', 'false']
    finally: [echo finally]
  post_build:
    commands: ['echo "succeeding: $CODEBUILD_BUILD_SUCCEEDING in $CODEBUILD_BUILD_IMAGE"']
artifacts: {files: ['**/*'], base-directory: out, name: made}
""",
    "cached.yml": """version: 0.2
env: {shell: bash, variables: {OF: sub}, exported-variables: [VERSION, LINES]}
phases:
  build:
    commands:
      - '[[ -d "$CODEBUILD_SRC_DIR" ]]; VERSION="1.2 beta"; LINES=$(printf "one\\ntwo")'
      - 'cat kept/it 2>/dev/null; mkdir -p kept; echo kept >kept/it'
      - 'echo "<testsuite><testcase name=''a''/></testsuite>" >report.xml'
reports: {unit: {files: report.xml}}
cache: {key: 'of-$OF', paths: ['kept/**/*']}
""",
    "sleep.yml": "version: 0.2\nphases: {build: {commands: ['trap \"echo asked to end; exit 0\" TERM; echo sleeping; "
                 "sh -c \"trap : TERM; sleep 987 & wait; wait\" & sleep 987 & wait $!; wait']}}\n",
    "hog.yml": "version: 0.2\nphases: {build: {commands: [echo before, 'head -c 300000000 /dev/zero | tail >/dev/null', echo after]}}\n",
    "filler.yml": "version: 0.2\nphases: {build: {commands: [echo before, 'trap : TERM; head -c 150M /dev/zero >/var/filled; while :; do sleep 1; done', echo after]}}\n",
    "filler-behind.yml": "version: 0.2\nenv: {exported-variables: [A]}\nphases: {build: {commands: ['(trap : TERM; head -c 150M /dev/zero >/var/filled; while :; do sleep 1; done) &', "
                         "'for i in $(seq 300); do sleep 0.1; done; true']}}\n",
    "beside.yml": "version: 0.2\nphases: {build: {commands: ['head -c 30M /dev/zero >kept', 'while [ ! -e over ]; do sleep 0.2; done', echo after]}}\n",
    "twenty.yml": "version: 0.2\nphases: {build: {commands: [sleep 20]}}\n",
    "flood.yml": "version: 0.2\nphases: {build: {commands: ['seq 400000', 'for i in 1 2 3; do echo line $i; done']}}\n",
    "fine.yml": "version: 0.2\nphases: {build: {commands: ['echo fine; test ! -e /var/run/docker.sock', "
                "'if mount -t tmpfs none /mnt 2>/dev/null; then exit 3; fi']}}\n",
    "root.yml": "version: 0.2\nphases: {build: {commands: ['test -S /var/run/docker.sock -a -w /var/run/docker.sock', echo there]}}\n",
    "batch.yml": "version: 0.2\nbatch:\n  build-list:\n"
                 "    - {identifier: other, env: {image: 'gantry-test/other:1'}}\n"
                 "    - {identifier: curated, env: {image: 'aws/codebuild/standard:7.0'}}\n"
                 "    - {identifier: root, buildspec: root.yml, env: {privileged-mode: true}}\n"
                 "phases: {build: {commands: ['echo in $CODEBUILD_BUILD_IMAGE; test ! -e /var/run/docker.sock']}}\n",
    "users.yml": """version: 0.2
env: {exported-variables: [WHO]}
phases:
  install:
    commands:
      - useradd --create-home --groups audio ci; useradd --home-dir /srv/other other
      - export GIVEN=by-root; mkdir out && chown ci out && cd out
  pre_build:
    run-as: ci
    commands:
      - echo "$(id -un) $(id -Gn) $GIVEN $PWD $HOME $USER"; echo made >file; export WHO=$(id -un)
      - touch ../no 2>/dev/null || echo the source is not theirs
      - echo to a file of standard output >/dev/stdout
      - (exit 0); exit 0
      - echo "again $(id -un) $PWD $HOME"; cd ..
  build:
    run-as: other
    commands: ['echo "$(id -un) $PWD $HOME $USER $(stat -c %U $HOME)"']
  post_build:
    commands: ['echo "$(id -un) $WHO $HOME $(stat -c %U out/file)"']
artifacts: {files: [out/*], name: of-$WHO}
""",
    "own.yml": """version: 0.1
run-as: nobody
phases: {build: {commands: ['cd /; A=1', 'echo "$(id -un) $PWD .$A. $HOME"']}, post_build: {run-as: root, commands: ['echo "$(id -un) $HOME"']}}
""",
    "unknown.yml": """version: 0.2
phases:
  install: {commands: [echo first]}
  build:
    run-as: nobody-knows
    commands: [echo never]
  post_build: {commands: [echo never]}
""",
    "separate.yml": "version: 0.1\nphases: {build: {commands: [cd sub, 'pwd']}}\n",
}


def run(*words, env=None, check=True, stdin=None):
    done = subprocess.run([str(w) for w in words], env=env, capture_output=True, text=True, timeout=900, input=stdin)
    assert not check or done.returncode == 0, f"{shlex.join(map(str, words))}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


class Engine:
    def __init__(self):
        run(ENGINE, "up")
        words = dict(w.split("=", 1) for w in shlex.split(run(ENGINE, "env"))[1:])
        self.base, self.env = words["BASE"], dict(os.environ, **words)
        self.socket = words["DOCKER_HOST"].removeprefix("unix://")

    def docker(self, *words, **more):
        return run("docker", *words, env=self.env, **more)

    def containers(self, pipeline):
        return self.docker("ps", "-aq", "--filter", f"label=gantry.pipeline={pipeline}").split()


@pytest.fixture(scope="module")
def engine():
    engine = Engine()
    yield engine
    if not os.environ.get("GANTRY_TEST_KEEP"):
        run(ENGINE, "down")


def settings(engine, **more):
    return {"builder": {"driver": "docker", "docker-socket": engine.socket, "docker-image": engine.base, **more}}


@pytest.fixture(scope="module")
def stack(make_shared_stack, engine):
    return make_shared_stack(settings=settings(engine))


def commit(repository):
    repository.commit("first", {**SPECS, "sub/a file.txt": "text\n", "sub/tool": "#!/bin/sh\necho a tool\n"})
    link = repository.clone / "link"
    if not link.is_symlink():
        link.symlink_to("sub/tool")
    (repository.clone / "sub/tool").chmod(0o755)
    repository.git("add", "-A")
    repository.commit("links and modes", {"count": str(time.time_ns())})


def pipeline(name, repository, spec, more="", timeout="60m"):
    return (f"apiVersion: gantry/v1\nkind: Pipeline\nmetadata: {{name: {name}}}\nspec:\n"
            f"  sources: [{{name: app, git: '{repository.url}', branches: [main], poll: 1s}}]\n"
            f"  stages:\n    - {{name: build, steps: [{{build: {{name: app, buildspec: {spec}, timeout: {timeout}{more}}}}}]}}\n")


def released(stack, repository, name, spec, more="", timeout="60m"):
    """How a pipeline's first release ended, and the log of its build."""
    commit(repository)
    stack.apply(pipeline(name, repository, spec, more, timeout))
    release = stack.wait_release(name, 1)
    return release, stack.gantry("logs", f"{name}/1", "app", check=False).out


def action(release):
    return release["stages"][0]["actions"][0]


def finished(release):
    return action(release)["runs"][-1]["finished"]


def nothing_is_left(engine, pipeline):
    eventually(lambda: not engine.containers(pipeline), what=f"the removal of the container of {pipeline}")


def test_a_buildspec_runs_in_one_shell_and_its_artifacts_come_back(stack, engine, repository):
    release, log = released(stack, repository, "life", "life.yml")
    assert release["status"] == "failed" and finished(release)["reason"] == "A command of BUILD ended with exit status 1"
    for said in ["/home/build/src/sub\n1 it's \"fine\"\n2\n", "half, to stderr\n", "exit 0\nPhase complete: PRE_BUILD SUCCEEDED",
                 "/home/build/src/sub\nhere: .\n", "\n0\n/root\n12.", "\nsub/a file.txt\n", "\nsub/tool\na tool\n", "\nno input\n",
                 "exit status 1\nRunning command echo finally\nfinally\nPhase complete: BUILD FAILED",
                 f"succeeding: 0 in {engine.base}\n", "Artifacts made.zip: 3 files, 15 bytes"]:
        assert said in log, log
    [made] = (stack.folder / "state").rglob("made.zip")
    with zipfile.ZipFile(made) as archive:
        assert {n: archive.read(n) for n in archive.namelist()} == dict.fromkeys(["deep/l", "deep/made", "hard"], b"made\n")
    assert finished(release)["usage"]["cpuMs"] > 0 and finished(release)["usage"]["memoryPeakBytes"] > 1 << 20
    nothing_is_left(engine, "life")


def test_exported_variables_and_reports_come_back_and_a_cache_goes_there(stack, engine, repository):
    release, log = released(stack, repository, "cached", "cached.yml")
    assert release["status"] == "succeeded", log
    assert {v["key"]: v["value"] for v in finished(release)["exported"]} == {"VERSION": "1.2 beta", "LINES": "one\ntwo"}
    [report] = action(release)["runs"][-1]["reports"]
    assert report["group"] == "unit" and '"passed": 1' in json.dumps(report)
    assert "Cache: there is none yet" in log and "Cache kept: of-sub" in log, log
    repository.commit("second")
    release = stack.wait_release("cached", 2)
    log = stack.gantry("logs", "cached/2", "app").out
    assert release["status"] == "succeeded" and "Cache restored: of-sub" in log and "\nkept\n" in log, log


def test_version_0_1_has_a_shell_for_each_command(stack, engine, repository):
    release, log = released(stack, repository, "separate", "separate.yml")
    assert release["status"] == "succeeded" and "Running command pwd\n/home/build/src\n" in log, log


def test_all_output_is_there_and_in_order(stack, engine, repository):
    release, log = released(stack, repository, "flood", "flood.yml")
    assert release["status"] == "succeeded"
    lines = log.splitlines()
    at = lines.index("Running command seq 400000")
    assert lines[at + 1:at + 400001] == [str(i) for i in range(1, 400001)]
    assert lines[at + 400002:at + 400005] == ["line 1", "line 2", "line 3"]


def test_a_build_that_is_stopped_is_asked_to_end_first_and_nothing_of_it_is_left(stack, engine, repository):
    commit(repository)
    stack.apply(pipeline("stopped", repository, "sleep.yml"))
    eventually(lambda: "sleeping\n" in stack.gantry("logs", "stopped/1", "app", check=False).out, what="the build to sleep")
    stack.gantry("release", "stop", "stopped/1", "--abandon", "--reason", "enough")
    release = stack.wait_release("stopped", 1)
    assert release["status"] == "stopped"
    eventually(lambda: "asked to end\n" in stack.gantry("logs", "stopped/1", "app").out, what="its last words")
    nothing_is_left(engine, "stopped")


def test_memory_over_the_limit_ends_it_with_the_reason(stack, engine, repository):
    release, log = released(stack, repository, "hog", "hog.yml", ", size: {memory: 64Mi, cpu: 1}")
    assert release["status"] == "failed" and "before\n" in log and "after\n" not in log.replace("echo after", ""), log
    assert finished(release)["reason"] == "It used more memory than the limit of 64 MiB"
    nothing_is_left(engine, "hog")


def test_disk_over_the_limit_ends_it_with_the_reason_and_no_other(make_stack, engine, repository):
    stack = make_stack(settings=settings(engine, disk="64Mi", slots=3))
    commit(repository)
    for name in ("beside", "filler", "filler-behind"):
        stack.apply(pipeline(name, repository, f"{name}.yml"))
    builder = stack.pids("builder")
    for name in ("filler", "filler-behind"):
        release = stack.wait_release(name, 1)
        log = stack.gantry("logs", f"{name}/1", "app").out
        reason = finished(release)["reason"]
        assert release["status"] == "failed" and re.fullmatch("It used 1[45][0-9] MiB of disk; the limit is 64 MiB", reason), reason
        assert f"\n{reason}\n" in log and "after\n" not in log.replace("echo after", ""), log
        assert len(action(release)["runs"]) == 1 and finished(release)["exitCode"] == 137 and finished(release)["usage"]["cpuMs"] > 0
        nothing_is_left(engine, name)
    assert stack.release("beside", 1)["status"] == "in-progress"
    [beside] = engine.containers("beside")
    engine.docker("exec", beside, "touch", "/home/build/src/over")
    release = stack.wait_release("beside", 1)
    assert release["status"] == "succeeded" and "\nafter\n" in stack.gantry("logs", "beside/1", "app").out
    assert stack.pids("builder") == builder


class SlowEngine:
    """Before the real one: takes its time for what a container wrote."""

    def __init__(self, path, engine, seconds):
        self.engine, self.seconds, self.asked, self.now, self.most = engine, seconds, 0, 0, 0
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(64)
        path.chmod(0o666)
        os.chown(path, -1, os.stat(engine.socket).st_gid)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                threading.Thread(target=self.serve, args=self.listener.accept()[:1], daemon=True).start()
            except OSError:
                return

    def serve(self, client):
        with client, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self.engine.socket)
            threading.Thread(target=self.pass_on, args=(engine, client), daemon=True).start()
            self.pass_on(client, engine, self.delay)

    def delay(self, data):
        if b"/json?size=true " not in data:
            return
        with self.lock:
            self.asked, self.now = self.asked + 1, self.now + 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self.lock:
            self.now -= 1

    @staticmethod
    def pass_on(source, to, before=lambda data: None):
        try:
            while data := source.recv(65536):
                before(data)
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_an_engine_that_is_slow_to_tell_what_was_written_is_not_asked_all_the_time(make_stack, engine, repository, workspace):
    slow = SlowEngine(workspace / "slow.sock", engine, seconds=6)
    stack = make_stack(settings=settings(engine, **{"docker-socket": str(workspace / "slow.sock")}))
    try:
        release, log = released(stack, repository, "slowly", "twenty.yml")
        assert release["status"] == "succeeded" and (slow.asked, slow.most) == (1, 1), (slow.asked, slow.most, log)
    finally:
        slow.listener.close()


def test_privileges_are_refused_unless_the_builder_allows_them(make_stack, stack, engine, repository):
    release, log = released(stack, repository, "fine", "fine.yml")
    assert release["status"] == "succeeded", log
    stack.apply(pipeline("root", repository, "root.yml", ", privileged: true"))
    release = stack.wait_release("root", 1)
    assert "'privileged: true' is not allowed on this builder" in finished(release)["reason"]
    allowing = make_stack(settings=settings(engine, **{"docker-privileged": True}))
    release, log = released(allowing, repository, "root", "root.yml", ", privileged: true")
    assert release["status"] == "succeeded" and "\nthere\n" in log, log


def test_a_batch_says_the_image_and_the_privileges_of_its_builds(make_stack, stack, engine, repository):
    engine.docker("tag", engine.base, "gantry-test/other:1")
    release, log = released(stack, repository, "batch", "batch.yml", ", batch: true")
    assert "Build other, image gantry-test/other:1" in log
    runs = {a["name"]: a["runs"][-1]["finished"] for a in release["stages"][0]["actions"]}
    assert "nor is a batch's 'privileged-mode'" in runs["app/root"]["reason"]
    assert "in gantry-test/other:1\n" in stack.gantry("logs", "batch/1", "app/other").out
    log = stack.gantry("logs", "batch/1", "app/curated").out
    assert f"in {engine.base}\n" in log
    assert "The batch's image aws/codebuild/standard:7.0 is not used: it can be pulled inside AWS alone" in log
    allowing = make_stack(settings=settings(engine, **{"docker-privileged": True}))
    release, log = released(allowing, repository, "batch", "batch.yml", ", batch: true")
    assert release["status"] == "succeeded", log
    assert "\nthere\n" in allowing.gantry("logs", "batch/1", "app/root").out


def test_an_image_that_cannot_be_had_or_cannot_run_a_shell_fails_with_the_reason(stack, engine, repository, registry):
    release, log = released(stack, repository, "missing", "fine.yml", f", build-image: '{registry.address}/none:1'")
    assert "the build image can't be had" in finished(release)["reason"] and f"{registry.address}/none:1" in finished(release)["reason"]
    engine.docker("build", "-q", "-t", "gantry-test/empty", "-", stdin="FROM scratch\nCMD none\n")
    stack.apply(pipeline("empty", repository, "fine.yml", ", build-image: gantry-test/empty"))
    reason = finished(stack.wait_release("empty", 1))["reason"]
    assert "no command can run in the image gantry-test/empty" in reason and "/bin/sh" in reason
    for name in ("missing", "empty"):
        assert len(action(stack.release(name, 1))["runs"]) == 1
        nothing_is_left(engine, name)


def test_an_image_is_pulled_with_the_builders_login_and_by_its_digest(make_stack, engine, repository, workspace):
    registry = Registry(workspace / "locked-registry", login=("puller", "s3cret:pass"))
    registry.start()
    try:
        name = f"{registry.address}/ci/base"
        engine.docker("login", "-u", "puller", "--password-stdin", registry.address, stdin="s3cret:pass")
        engine.docker("tag", engine.base, f"{name}:1")
        digest = engine.docker("push", f"{name}:1").split("digest: ")[1].split()[0]
        engine.docker("logout", registry.address)
        engine.docker("rmi", f"{name}:1")
        stack = make_stack(settings=settings(engine, **{"registry-login": "registries"}), start=False)
        stack.prepare()
        auth = base64.b64encode(b"puller:s3cret:pass").decode()
        stack.secret("registries", json.dumps({"auths": {registry.address: {"auth": auth}}}), builder=True)
        stack.start()
        release, log = released(stack, repository, "pinned", "fine.yml", f", build-image: '{name}@{digest}'")
        assert release["status"] == "succeeded", log
        stack.apply(pipeline("changed", repository, "fine.yml", f", build-image: '{name}@sha256:{'0' * 64}'"))
        assert "can't be had" in finished(stack.wait_release("changed", 1))["reason"]
    finally:
        registry.stop()


def test_a_killed_builder_leaves_nothing_running_and_its_next_start_removes_the_container(make_stack, engine, repository):
    stack = make_stack(settings=settings(engine))
    commit(repository)
    stack.apply(pipeline("killed", repository, "sleep.yml"))
    eventually(lambda: "sleeping\n" in stack.gantry("logs", "killed/1", "app", check=False).out, what="the build to sleep")
    [first] = engine.containers("killed")
    supervisor = stack.pids("builder")
    os.kill(stack.supervisor.pid, signal.SIGSTOP)  # which would start it anew at once
    try:
        stack.kill("builder")
        eventually(lambda: engine.docker("inspect", "-f", "{{.State.Running}}", first) == "false", what="the end of all that ran")
    finally:
        os.kill(stack.supervisor.pid, signal.SIGCONT)
    eventually(lambda: engine.containers("killed") and first[:12] not in [c[:12] for c in engine.containers("killed")],
               what="its removal, and the next attempt")
    assert supervisor != stack.pids("builder")
    stack.gantry("release", "stop", "killed/1", "--abandon", "--reason", "enough")
    assert stack.wait_release("killed", 1)["status"] == "stopped"
    nothing_is_left(engine, "killed")


def test_without_an_engine_no_build_is_taken_and_readiness_says_why(make_stack, engine, repository, workspace):
    """An engine that is away is waited for."""
    link = workspace / "engine.sock"
    stack = make_stack(settings={"builder": {**settings(engine)["builder"], "docker-socket": str(link)}}, start=False)
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(link))
    link.chmod(0o666)
    os.chown(link, -1, os.stat(engine.socket).st_gid)
    stack.prepare()
    stack.gantry("topics", "create", "--config", stack.config)
    stack.up()
    stack.wait_ready(services=["promoter", "console", "approver", "source-watcher"])

    def reason():
        checks = json.loads(stack.http("builder", "/readyz", token=None)[2])["checks"]
        return next(c.get("reason", "") for c in checks if c["name"] == "docker")
    eventually(lambda: f"the Docker engine at '{link}'" in reason(), what="the reason")
    commit(repository)
    stack.apply(pipeline("waits", repository, "fine.yml"))
    stack.wait_release("waits", 1, "in-progress")
    link.unlink()
    link.symlink_to(engine.socket)
    assert stack.wait_release("waits", 1)["status"] == "succeeded"


# ---- other users ----

USERS = ["ci ci audio by-root /home/build/src/out /home/ci ci\n", "the source is not theirs\n", "\nto a file of standard output\n",
         "again ci /home/build/src/out /home/ci\n", "other /home/build/src /srv/other other other\n", "root ci /root ci\n"]


def test_phases_run_as_users_that_an_earlier_one_made(stack, engine, repository):
    release, log = released(stack, repository, "users", "users.yml")
    assert release["status"] == "succeeded", log
    for said in USERS + ["Artifacts of-ci.zip: 1 files"]:
        assert said in log, log
    assert {v["key"]: v["value"] for v in finished(release)["exported"]} == {"WHO": "ci"}
    nothing_is_left(engine, "users")


def test_a_whole_build_runs_as_a_user_of_the_image_also_in_version_0_1(stack, engine, repository):
    release, log = released(stack, repository, "own", "own.yml")
    assert release["status"] == "succeeded" and "nobody /home/build/src .. /nonexistent\n" in log and "root /root\n" in log, log


def test_a_user_that_the_image_has_not_fails_the_build_with_file_and_line(stack, engine, repository):
    release, log = released(stack, repository, "unknown", "unknown.yml")
    assert release["status"] == "failed" and "\nfirst\n" in log and "\nnever\n" not in log, log
    assert finished(release)["reason"] == ("unknown.yml:5: run-as: the commands of BUILD can't run as 'nobody-knows': "
                                           "there is no such user in the build's /etc/passwd")
    nothing_is_left(engine, "unknown")


@pytest.mark.parametrize("without", ["setpriv", "chroot", "su"])
def test_an_image_need_not_have_one_certain_program_to_change_the_user(stack, engine, repository, without):
    gone = {"setpriv": "/usr/bin/setpriv", "chroot": "/usr/bin/setpriv /usr/sbin/chroot", "su": "/usr/bin/setpriv /usr/sbin/chroot /usr/bin/su"}
    image, name = f"gantry-test/without-{without}", f"without-{without}"
    engine.docker("build", "-q", "-t", image, "-", stdin=f"FROM {engine.base}\nRUN rm {gone[without]}\n")
    release, log = released(stack, repository, name, "users.yml", f", build-image: {image}")
    if without == "su":
        assert "its ids cannot be had: the build image has no setpriv" in finished(release)["reason"], log
    else:
        assert release["status"] == "succeeded" and [s for s in USERS if s not in log] == [], log


# ---- Dockerfiles ----

def dockerfile(stack, repository, name, text, image, files=None, more=""):
    """Starts a release of a pipeline that makes `image` of this Dockerfile."""
    repository.commit(name, {"Dockerfile": text, ".dockerignore": "", **(files or {})})
    stack.apply(pipeline(name, repository, "x").replace("buildspec: x", f"dockerfile: Dockerfile, image: '{image}'{more}"))


def made(stack, name):
    release = stack.wait_release(name, 1)
    return release, stack.gantry("logs", f"{name}/1", "app", check=False).out


@pytest.fixture(scope="module")
def base(engine, registry):
    """The base image, where builds may take it from."""
    name = f"{registry.address}/ci/base:1"
    engine.docker("tag", engine.base, name)
    engine.docker("push", name)
    engine.docker("rmi", name)
    return name


def engine_has(engine):
    return set(engine.docker("images", "-aq", "--no-trunc").split()), set(engine.docker("ps", "-aq", "--no-trunc").split())


def left_as_before(engine, before, image):
    eventually(lambda: not engine.docker("images", "-q", image) and engine_has(engine) == before, what=f"the removal of {image}")


def test_a_dockerfile_is_built_and_pushed_by_the_engine_and_nothing_of_it_is_left_there(stack, engine, repository, registry, base):
    engine.docker("pull", base)
    before = engine_has(engine)
    image = f"{registry.address}/made/app"
    text = (f"FROM {base} AS first\nRUN echo made >/made\nFROM {base}\nCOPY --from=first /made /made\nCOPY . /src\nRUN id -u && cat /src/kept && ls -A /src /src/folder && readlink /src/link && "
            "printf 'nul\\0here\\n' && test -x /src/tool && (cat /sys/fs/cgroup/memory.max || cat /sys/fs/cgroup/memory/memory.limit_in_bytes) 2>/dev/null\nCMD echo fine\n")
    files = {"kept": "kept text\n", "left": "x", "folder/a.md": "x", "folder/b.txt": "x", "tool": "#!/bin/sh\n",
             ".dockerignore": "# what is not to be in it\n/left\n**/*.md\nDockerfile\n.dockerignore\n.git\n"}
    link = repository.clone / "link"
    link.symlink_to("kept")
    (repository.clone / "tool").touch()
    (repository.clone / "tool").chmod(0o755)
    repository.git("add", "-A")
    dockerfile(stack, repository, "made", text, image, files, ", size: {memory: 128Mi, cpu: 1}")
    release, log = made(stack, "made")
    assert release["status"] == "succeeded", log
    for said in ["Running command docker build --file 'Dockerfile' --tag", "Step 1/7 : FROM", "\n0\nkept text\n/src:\nfolder\nkept\nlink\ntool\n",
                 "/src/folder:\nb.txt\nkept\nnul\0here\n", "\n134217728\n", "Running command docker push", "Phase complete: BUILD SUCCEEDED"]:
        assert said in log, log
    [artifact] = release["artifacts"]
    assert (artifact["repository"], artifact["tag"]) == (image, "made-1"), artifact
    left_as_before(engine, before, image)
    assert engine.docker("run", "--rm", f"{image}@{artifact['digest']}") == "fine"
    engine.docker("rmi", "-f", f"{image}@{artifact['digest']}")


def test_an_image_that_cannot_be_made_or_pushed_fails_the_build_with_the_engines_words(stack, engine, repository, registry, base):
    engine.docker("pull", base)
    before = engine_has(engine)
    image = f"{registry.address}/failed/app"
    cases = {
        "step": (f"FROM {base}\nRUN echo before; exit 7\n", image, "returned a non-zero code: 7"),
        "word": (f"FROM {base}\nRUM true\n", image, "unknown instruction: RUM"),
        "from": (f"FROM {registry.address}/none:1\n", image, "none:1"),
        "copy": (f"FROM {base}\nCOPY missing /\n", image, "missing"),
        "taken": (f"FROM {base}\nRUN true\n", "127.0.0.1:1/nobody/there", "cannot push the image 127.0.0.1:1/nobody/there:taken-1: "),
    }
    for name, (text, to, reason) in cases.items():
        dockerfile(stack, repository, name, text, to)
        release, log = made(stack, name)
        assert release["status"] == "failed" and reason in finished(release)["reason"], log
        assert len(action(release)["runs"]) == 1 and finished(release)["reason"] in log
        left_as_before(engine, before, to)
    assert finished(stack.release("step", 1))["exitCode"] == 7
    stack.apply(pipeline("nofile", repository, "x").replace("buildspec: x", f"dockerfile: sub/none, image: {image}"))
    assert "sub/none" in finished(stack.wait_release("nofile", 1))["reason"]
    stack.apply(pipeline("privileged", repository, "x").replace("buildspec: x", f"dockerfile: Dockerfile, image: {image}, build-image: x"))
    assert "'build-image:' is for the commands of a buildspec" in finished(stack.wait_release("privileged", 1))["reason"]


SLEEP = "FROM {}\nRUN echo sleeping; sleep 987\n"


def sleeps(stack, engine, name):
    eventually(lambda: "\nsleeping\n" in stack.gantry("logs", f"{name}/1", "app", check=False).out, what="the build to sleep")
    return set(engine.docker("ps", "-q", "--no-trunc").split())


def test_an_image_whose_build_is_stopped_is_not_gone_on_with(stack, engine, repository, registry, base):
    before = engine_has(engine)
    image = f"{registry.address}/stopped/app"
    dockerfile(stack, repository, "halted", SLEEP.format(base + "\nRUN echo first >/x"), image)
    assert sleeps(stack, engine, "halted") > before[1]
    stack.gantry("release", "stop", "halted/1", "--abandon", "--reason", "enough")
    assert stack.wait_release("halted", 1)["status"] == "stopped"
    left_as_before(engine, before, image)


def test_a_killed_builder_takes_the_engines_build_with_it(make_stack, engine, repository, registry, base):
    stack = make_stack(settings=settings(engine))
    before = engine_has(engine)
    image = f"{registry.address}/killed/app"
    dockerfile(stack, repository, "gone", SLEEP.format(base), image)
    assert sleeps(stack, engine, "gone") > before[1]
    [note] = (stack.folder / "state").rglob("docker/images/*")
    assert note.read_text() == f"{image}:gone-1"
    engine.docker("tag", base, f"{image}:gone-1")  # as if it had been made
    os.kill(stack.supervisor.pid, signal.SIGSTOP)
    try:
        stack.kill("builder")
        eventually(lambda: engine_has(engine)[1] == before[1], what="the end of the step")
    finally:
        os.kill(stack.supervisor.pid, signal.SIGCONT)
    eventually(lambda: not engine.docker("images", "-q", image), what="the removal of the tag")
    eventually(lambda: engine_has(engine)[1] > before[1], what="the next attempt")
    stack.gantry("release", "stop", "gone/1", "--abandon", "--reason", "enough")
    assert stack.wait_release("gone", 1)["status"] == "stopped"
    eventually(lambda: not engine.docker("images", "-q", image), what=f"the removal of {image}")


def test_a_dockerfile_begins_with_and_is_pushed_to_what_only_the_builders_login_may(make_stack, engine, repository, workspace):
    registry = Registry(workspace / "locked-images", login=("pusher", "s3cret:pass"))
    registry.start()
    try:
        name = f"{registry.address}/ci/base:1"
        engine.docker("login", "-u", "pusher", "--password-stdin", registry.address, stdin="s3cret:pass")
        engine.docker("tag", engine.base, name)
        engine.docker("push", name)
        engine.docker("logout", registry.address)
        engine.docker("rmi", name)
        stack = make_stack(settings=settings(engine, **{"registry-login": "registries", "registry-ca": str(registry.ca), "insecure-registries": []}), start=False)
        stack.prepare()
        auth = base64.b64encode(b"pusher:s3cret:pass").decode()
        stack.secret("registries", json.dumps({"auths": {registry.address: {"auth": auth}}}), builder=True)
        stack.start()
        dockerfile(stack, repository, "locked", f"FROM {name}\nRUN env | grep -c s3cret || true\n", f"{registry.address}/ci/made")
        release, log = made(stack, "locked")
        assert release["status"] == "succeeded" and "s3cret:pass" not in log, log
    finally:
        registry.stop()

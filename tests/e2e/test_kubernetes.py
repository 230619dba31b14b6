"""Builds as Jobs in Kubernetes, their pods played through by a kubelet that runs them (kubelet.py): against what plays its API
(kubernetes_played.py), and with --full against the real one, with the rights that docs/builder.md gives a builder."""
import os
import pathlib
import re
import secrets
import shutil
import subprocess

import pytest
import yaml
from kubelet import Cluster, Kubelet
from kubernetes_played import Played
from stack import ROOT, eventually, free_port

SCRIPT = ROOT / "tests/kubernetes"


@pytest.fixture(scope="module")
def real():
    """The script's own."""
    env = dict(os.environ, KUBERNETES_PORT=str(free_port()))
    subprocess.run([SCRIPT, "up"], check=True, env=env)
    lines = subprocess.run([SCRIPT, "env"], check=True, env=env, capture_output=True, text=True).stdout
    yield dict(re.findall(r"(KUBE_\w+)=(\S+)", lines))
    subprocess.run([SCRIPT, "down"], check=True, env=env)


class Place:
    """A namespace, a node for it, and what a builder is to know."""

    def __init__(self, cluster, folder, builder_token, played=None):
        self.cluster, self.played = cluster, played
        self.namespace = "builds-" + secrets.token_hex(3)
        self.folder = folder / self.namespace
        self.folder.mkdir()
        self.folder.chmod(0o755)
        for name, text in {"token": builder_token, "ca.crt": pathlib.Path(cluster.ca).read_text() if cluster.ca else ""}.items():
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o644)
        if not played:
            self.give_rights()
        self.kubelet = Kubelet(cluster, folder / "kubelet" if played else self.folder / "kubelet")

    def give_rights(self):
        """Those that the page says."""
        self.cluster.api("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        text = (ROOT / "docs/builder.md").read_text().replace("namespace: builds", f"namespace: {self.namespace}")
        block = next(b for b in re.findall(r"```yaml\n(.*?)```", text, re.S) if "kind: RoleBinding" in b)
        for document in yaml.safe_load_all(block):
            if document["kind"] == "RoleBinding":
                document["subjects"] = [{"kind": "User", "name": "gantry-builder", "apiGroup": "rbac.authorization.k8s.io"}]
            if document["kind"] != "ServiceAccount":
                path = {"Role": "roles", "RoleBinding": "rolebindings"}[document["kind"]]
                self.cluster.api("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}/{path}", document)

    def settings(self, **more):
        server = {"server": self.cluster.server, "token-file": str(self.folder / "token"), "namespace": self.namespace,
                  "image": "registry.example/build", **more}
        if self.cluster.ca:
            server["ca-file"] = str(self.folder / "ca.crt")
        return {"builder": {"driver": "kubernetes", "kubernetes": server}}

    def jobs(self):
        return self.cluster.items(f"/apis/batch/v1/namespaces/{self.namespace}/jobs")

    def pods(self):
        return self.cluster.items(f"/api/v1/namespaces/{self.namespace}/pods")

    def secrets(self):
        return self.cluster.items(f"/api/v1/namespaces/{self.namespace}/secrets")

    def running(self, but=None):
        """The kubelet's pod that runs, once there is one; another one than `but`."""
        def there():
            with self.kubelet.lock:
                return next((p for p in self.kubelet.pods.values() if p.inner and p is not but and not p.ending.is_set()), None)
        return eventually(there, what="a pod that runs")

    def is_empty(self):
        return not self.jobs() and not self.pods() and not self.secrets()


@pytest.fixture(scope="module", params=["played", pytest.param("real", marks=pytest.mark.full)])
def place(request, workspace):
    if request.param == "played":
        played = Played({"of-admin": "admin", "of-builder": "builder"})
        place = Place(Cluster(played.server, None, "of-admin"), workspace, "of-builder", played)
    else:
        env = request.getfixturevalue("real")
        read = {k: pathlib.Path(v).read_text() for k, v in env.items() if k.endswith("TOKEN_FILE")}
        place = Place(Cluster(env["KUBE_SERVER"], env["KUBE_CA_FILE"], read["KUBE_TOKEN_FILE"]), workspace, read["KUBE_BUILDER_TOKEN_FILE"])
    yield place
    place.kubelet.stop()
    if place.played:
        place.played.stop()
    shutil.rmtree(place.folder, ignore_errors=True)


def make_ready(make, place, **settings):
    """A started Stack whose builder builds there."""
    stack = make(start=False, settings=place.settings(**settings))
    stack.settings["builder"]["kubernetes"]["url"] = f"http://127.0.0.1:{stack.ports['builder']}"
    stack.settings["common"] = {"instance-id": "b-" + stack.prefix}
    stack.start()
    return stack


@pytest.fixture(scope="module")
def shared(make_shared_stack, place):
    return make_ready(make_shared_stack, place)


@pytest.fixture
def builds(shared, repository, place):
    """builds(name, buildspec, ...): a Stack with a pipeline whose first release is under way."""
    def make(name, buildspec, files=(), build="", stack=shared, recipe="buildspec: buildspec.yml"):
        repository.commit("first", {"buildspec.yml": buildspec, **dict(files)})
        stack.apply(f"""
apiVersion: gantry/v1
kind: Pipeline
metadata: {{name: {name}}}
spec:
  sources: [{{name: app, git: '{repository.url}', branches: [main], poll: 1s}}]
  stages:
    - {{name: build, steps: [{{build: {{name: app, {recipe}{build}}}}}]}}
""")
        return stack
    yield make
    eventually(place.is_empty, 60, "everything of the builds to be gone")


def let_go(pod):
    """Its build waits for that."""
    eventually((pod.folder / "place/home").exists, what="the folder of the build in its pod")
    (pod.folder / "place/home/go").touch()


def run_of(release):
    return release["stages"][0]["actions"][0]["runs"][-1]


def log_of(stack, release):
    return stack.gantry("logs", f"{release}/1", "app", check=False).out


def test_a_build_is_a_job_and_leaves_nothing_there(builds, place):
    stack = builds("whole", r"""version: 0.2
env: {variables: {GREETING: "it's me"}, exported-variables: [MADE]}
phases:
  install:
    commands: ['cd deep', 'LATER=kept']
  build:
    commands:
      - 'echo "$GREETING in $PWD as $(id -u), $LATER, $CODEBUILD_BUILD_SUCCEEDING"'
      - 'printf "no newline"; printf "to standard error" >&2'
      - 'until [ -e /gantry/home/go ]; do sleep 0.05; done'
      - 'mkdir -p ../out; dd if=/dev/urandom of=../out/large bs=1M count=20 2>/dev/null; ln ../out/large ../out/same; sha256sum ../out/large'
      - 'mkfifo ../out/pipe; ln -s /etc/passwd ../out/away; rm ../out/old'
      - 'export MADE=here'
artifacts: {files: ['**/*'], base-directory: out}
""", {"deep/file": "x", "out/old": "x"}, build=", size: {cpu: 0.5, memory: 256Mi}, timeout: 5m")
    pod = place.running()
    job, = place.jobs()
    spec, template = job["spec"], job["spec"]["template"]["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (0, 420, 600)
    assert template["restartPolicy"] == "Never" and template["automountServiceAccountToken"] is False
    assert template["securityContext"]["runAsNonRoot"] is True and template["securityContext"]["runAsUser"] == 1000
    container, = template["containers"]
    assert container["image"] == "registry.example/build"
    assert container["resources"]["limits"] == {"cpu": "500m", "memory": "268435456", "ephemeral-storage": str(20 << 30)} or \
        container["resources"]["limits"]["memory"] == "256Mi"
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert "it's me" not in str(job) and "Bearer" not in str(job)
    labels = job["metadata"]["labels"]
    assert labels["gantry/attempt"] == "1" and len(labels["gantry/run"]) == 32
    let_go(pod)
    release = stack.wait_release("whole", 1, "succeeded")
    log = log_of(stack, "whole")
    assert "it's me in /gantry/build/src/deep as 1000, kept, 1" in log
    assert "no newlineto standard error" in log and "\x1e" not in log
    finished = run_of(release)["finished"]
    assert finished["exported"] == [{"key": "MADE", "value": "here"}]
    archive = stack.folder / "artifacts.zip"
    stored = next((stack.folder / "state").rglob("app.zip"))
    shutil.copy(stored, archive)
    names = subprocess.run(["python3", "-m", "zipfile", "-l", archive], check=True, capture_output=True, text=True).stdout
    assert "large" in names and "same" in names
    assert "pipe" not in names and "away" not in names and "old" not in names
    subprocess.run(["python3", "-m", "zipfile", "-e", archive, stack.folder / "unpacked"], check=True)
    digest = subprocess.run(["sha256sum", stack.folder / "unpacked/same"], check=True, capture_output=True, text=True).stdout.split()[0]
    assert digest in log


def test_a_build_of_a_batch_runs_in_the_image_that_it_names(builds, place):
    stack = builds("batch", """version: 0.2
batch: {build-list: [{identifier: one, env: {image: 'registry.example/of-one:1', privileged-mode: true}}]}
phases: {build: {commands: ['echo in $CODEBUILD_BUILD_IMAGE', 'until [ -e /gantry/home/go ]; do sleep 0.05; done']}}
""", build=", batch: true")
    pod = place.running()
    job, = place.jobs()
    container, = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/of-one:1" and "privileged" not in container["securityContext"]
    let_go(pod)
    stack.wait_release("batch", 1, "succeeded")
    assert "Build one, image registry.example/of-one:1, privileged" in log_of(stack, "batch")
    log = stack.gantry("logs", "batch/1", "app/one").out
    assert "in registry.example/of-one:1\n" in log
    assert "The batch's privileged-mode is not given: a build's container never has more rights than its user" in log


def test_a_command_that_fails_fails_the_build_and_what_follows_runs(builds):
    stack = builds("fails", """version: 0.2
phases:
  build: {commands: ['echo one', 'exit 7', 'echo never'], finally: ['echo "at the end: $CODEBUILD_BUILD_SUCCEEDING"']}
  post_build: {commands: ['echo after it']}
""")
    release = stack.wait_release("fails", 1, "failed")
    finished = run_of(release)["finished"]
    assert finished["exitCode"] == 7 and finished["command"] == "exit 7"
    log = log_of(stack, "fails")
    assert "at the end: 0" in log and "after it" in log and "never" not in log.replace("echo never", "")


def test_a_broken_connection_loses_no_line_of_the_log(builds, place):
    place.kubelet.cuts = [100, 1500, 5000, 5001]
    stack = builds("cut", "version: 0.2\nphases: {build: {commands: ['i=0; while [ $i -lt 3000 ]; do echo \"line $i\"; i=$((i+1)); done', 'true']}}\n")
    stack.wait_release("cut", 1, "succeeded")
    assert not place.kubelet.cuts
    assert [int(n) for n in re.findall(r"^line (\d+)$", log_of(stack, "cut"), re.M)] == list(range(3000))


def test_what_kubernetes_says_of_a_build_that_cannot_run_is_its_reason(builds):
    spec = "version: 0.2\nphases: {build: {commands: ['sleep 1000']}}\n"
    stack = builds("missing", spec, build=", build-image: registry.example/missing")
    reason = run_of(stack.wait_release("missing", 1, "failed"))["reason"]
    assert "the image of the build cannot be pulled (ImagePullBackOff): Back-off pulling image registry.example/missing" in reason
    builds("hungry", spec, build=", build-image: registry.example/hungry", stack=stack)
    assert "it took more memory than its limit (OOMKilled)" in run_of(stack.wait_release("hungry", 1, "failed"))["reason"]


REFUSED = {
    "privileges": (", privileged: true", "'privileged: true' is not supported by the kubernetes driver"),
    "user": ("", "run-as: the commands can't run as 'nobody': the driver kubernetes runs all as one user"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_it_cannot_give_is_refused_with_the_reason(builds, what):
    build, reason = REFUSED[what]
    stack = builds("refused-" + what, "version: 0.2\n%sphases: {build: {commands: ['true']}}\n" % ("run-as: nobody\n" if what == "user" else ""),
                   build=build)
    assert reason in run_of(stack.wait_release("refused-" + what, 1, "failed"))["reason"]


def test_a_dockerfile_is_refused_with_what_to_do_instead(builds):
    stack = builds("file", "", {"Dockerfile": "FROM scratch\n"}, recipe="dockerfile: Dockerfile, image: registry.example/x")
    assert "'dockerfile:' is built by builders whose driver is sandbox" in run_of(stack.wait_release("file", 1, "failed"))["reason"]


def test_a_link_of_the_source_leads_what_is_brought_back_nowhere(builds, repository, place):
    kept = place.folder / "kept"
    kept.mkdir()
    kept.chmod(0o777)
    (kept / "out").mkdir()
    (kept / "out").chmod(0o777)
    (kept / "out/file").write_text("kept")
    (repository.clone / "link").symlink_to(kept)
    repository.git("add", "link")
    stack = builds("linked", """version: 0.2
phases: {build: {commands: ['true']}}
artifacts: {files: ['**/*'], base-directory: link/out}
""")
    reason = run_of(stack.wait_release("linked", 1, "failed"))["reason"]
    assert "link/out" in reason, reason
    assert (kept / "out/file").read_text() == "kept"


def test_a_build_that_no_node_takes_is_given_up(builds, make_stack, place):
    stack = make_ready(make_stack, place, **{"start-timeout": "2s"})
    builds("nowhere", "version: 0.2\nphases: {build: {commands: ['true']}}\n", build=", kubernetes: {node-selector: {disk: slow}}", stack=stack)
    run = run_of(stack.wait_release("nowhere", 1, "failed"))
    assert "did not start the build within 2 s: no node takes the pod (Unschedulable)" in run["reason"] and run["attempt"] == 3


WAITS = "version: 0.2\nphases: {build: {commands: ['until [ -e /gantry/home/go ]; do sleep 0.05; done']}}\n"


def test_a_pod_that_its_node_evicts_is_started_again(builds, place):
    stack = builds("evicted", WAITS)
    first = place.running()
    first.evict("The node was low on resource: memory.")
    let_go(place.running(but=first))
    assert run_of(stack.wait_release("evicted", 1, "succeeded"))["attempt"] == 2


def test_a_pod_that_is_evicted_for_its_own_limit_of_disk_fails_its_build(builds, place):
    stack = builds("large", WAITS)
    place.running().evict("Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.")
    assert "it took more disk than its limit (Evicted)" in run_of(stack.wait_release("large", 1, "failed"))["reason"]


def test_a_build_that_is_stopped_gets_a_sigterm_and_its_job_is_gone(builds, place):
    stack = builds("stopped", "version: 0.2\nphases: {build: {commands: ['trap \"echo asked to end; exit 1\" TERM; echo up; sleep 1000 & wait']}}\n")
    eventually(lambda: "\nup" in log_of(stack, "stopped"), what="the command")
    pod = place.running()
    stack.gantry("release", "stop", "stopped/1", "--abandon", "--reason", "enough")
    stack.wait_release("stopped", 1, "stopped")
    eventually(place.is_empty, what="the Job to be gone")
    assert b"asked to end\n" in b"".join(line for _, line in pod.log.lines)


def test_a_builder_that_was_killed_finds_its_jobs_and_builds_again(builds, place):
    stack = builds("killed", WAITS)
    first = place.running()
    stack.kill("builder")
    second = place.running(but=first)
    eventually(first.ending.is_set, what="the first attempt's pod to be asked to end")
    eventually(lambda: [j["metadata"]["labels"]["gantry/attempt"] for j in place.jobs()] == ["2"], what="the first attempt's Job to be gone")
    let_go(second)
    assert run_of(stack.wait_release("killed", 1, "succeeded"))["attempt"] == 2


def test_what_a_cache_has_comes_to_the_pod_also_once_its_shell_runs(builds, place):
    spec = """version: 0.2
phases: {build: {commands: ['cat kept/it || echo nothing yet', 'mkdir -p kept; echo "from the first" >kept/it']}}
cache: {key: 'k-$(cat name)', paths: ['kept/**/*']}
"""
    stack = builds("cached", spec, {"name": "one"})
    stack.wait_release("cached", 1, "succeeded")
    assert "nothing yet" in log_of(stack, "cached").replace("echo nothing yet", "")
    stack.gantry("release", "start", "cached")
    stack.wait_release("cached", 2, "succeeded")
    assert "\nfrom the first\n" in stack.gantry("logs", "cached/2", "app").out


def test_nobody_but_the_pod_is_answered(builds, place):
    stack = builds("alone", WAITS)
    pod = place.running()
    name = place.jobs()[0]["metadata"]["name"]
    for path in ("start", "env", "next?after=0", "files/1"):
        for token in (None, stack.token, "0" * 64):
            status, _, body = stack.http("builder", f"/api/v1/builds/{name}/{path}", token=token)
            assert status == 401, (path, body)
    assert stack.http("builder", "/api/v1/builds/gantry-none-1/env", token="0" * 64)[0] == 401
    let_go(pod)
    stack.wait_release("alone", 1, "succeeded")


def test_a_server_that_refuses_is_said_by_readyz(make_stack, place):
    stack = make_stack(start=False, settings=place.settings(), services=["builder"])
    stack.settings["builder"]["kubernetes"]["url"] = f"http://127.0.0.1:{stack.ports['builder']}"
    wrong = place.folder / "wrong"
    wrong.write_text("of-nobody")
    wrong.chmod(0o644)
    stack.settings["builder"]["kubernetes"]["token-file"] = str(wrong)
    stack.prepare()
    stack.gantry("topics", "create", "--config", stack.config)
    stack.up()

    def said():
        status, _, body = stack.http("builder", "/readyz", token=None)
        return status == 503 and b"Kubernetes answers 401" in body
    eventually(said, what="the reason")
    wrong.write_text((place.folder / "token").read_text())
    stack.wait_ready()

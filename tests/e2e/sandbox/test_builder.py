"""Hostile builds on a builder that has others beside them: each ends with a reason, nothing of it stays, the others succeed."""
import hashlib
import io
import os
import pathlib
import random
import re
import shutil
import socket
import stat
import tempfile
import zipfile

import pytest
from local import BUILDER, processes, spec
from pipelines import one_stage
from stack import Repository, eventually

MARK = random.randrange(10**9, 10**10)  # so that runs beside each other do not see each other's
SECRETS = {name: f"{name}-nobody-may-read-{MARK}" for name in ("kafka-password", "registry-password", "environment", "state", "hidden", "beside", "settings")}
SERVICES = ["source-watcher", "promoter", "builder", "console"]
SLOTS = 8
DISK, MEMORY, PROCESSES = 48, 100, 60  # MiB, MiB, at once

# Each: what fails it, as its reason, or None: it succeeds, for it is harmless; its commands.
CASES = {
    "fork-bomb": (f"the limit is {PROCESSES}", ["/usr/bin/python3 - <<'PY'\nimport os\nwhile True:\n    try: os.fork()\n    except OSError: pass\nPY"]),
    "processes-slowly": (f"the limit is {PROCESSES}", ["for n in $(seq 80); do sleep 20 & done; sleep 20"]),
    "memory": (r"memory.* the limit (is|of) 100 MiB", ["/usr/bin/python3 -c 'import time; x = b\"x\" * (300 << 20); time.sleep(20)'"]),
    "limits-of-its-own": (r"memory.* the limit (is|of) 100 MiB", [
        # Where control groups limit it (gantry up delegates some where it may): in sight of a cgroup namespace of its own.
        "for type in 'cgroup -o memory' cgroup2; do unshare -C -m sh -c \"mount -t $type x /mnt && cd /mnt && ls && "
        "{ echo 2000M >memory.max; echo max >memory.max; for n in 1 2; do for f in memory.memsw.limit_in_bytes memory.limit_in_bytes; do echo -1 >\\$f; done; done; }\"; done || true",
        "/usr/bin/python3 -c 'import time; x = b\"x\" * (300 << 20); time.sleep(20)'"]),
    "disk": (f"MiB of disk; the limit is {DISK} MiB", ["head -c 150M /dev/zero >x; sleep 20"]),
    "disk-in-tmp": (f"MiB of disk; the limit is {DISK} MiB", ["head -c 80M /dev/zero >/tmp/x; head -c 80M /dev/zero >/var/tmp/x; sleep 20"]),
    "disk-below-many-folders": (f"MiB of disk; the limit is {DISK} MiB", [
        "for n in $(seq 100); do mkdir d; cd d; done", "head -c 150M /dev/zero >x; sleep 20"]),
    "disk-below-too-many-folders": ("folders more than 400 deep", ["for n in $(seq 500); do mkdir d; cd d; done; sleep 20"]),
    "disk-without-a-name": (f"MiB of disk; the limit is {DISK} MiB", ["exec 3>x; rm x; head -c 150M /dev/zero >&3; sleep 20"]),
    "output": ("timed out after 4 s", ["yes an endless line of output"]),
    "output-without-a-line": ("timed out after 4 s", ["tr '\\0' x </dev/zero"]),
    "ignores-everything": ("timed out after 4 s", [f"trap '' TERM INT HUP PIPE; while :; do sleep {MARK}1 || true; done"]),
    "daemons": (None, [f"setsid -f sh -c \"trap '' TERM HUP; while :; do sleep {MARK}2; done\" >/dev/null 2>&1",
                       f"(sh -c 'exec sleep {MARK}3 >/dev/null 2>&1' &)", f"nohup setsid sleep {MARK}4 >/dev/null 2>&1 &"]),
    "status-descriptors": (None, ["for fd in 8 9; do for p in $PPID $$; do echo 0 0 >/proc/$p/fd/$fd; done; done 2>/dev/null || true"]),
    "files-nobody-can-remove": (None, ["mkdir -p d/e; echo x >d/e/f; chown -R 1234:1234 d; chmod 0 d/e/f d/e d",
                                       # In its own control group, where there is one.
                                       "unshare -C -m sh -c 'mount -t cgroup -o memory x /mnt && mkdir -p /mnt/a/b && cat /mnt/cgroup.procs' || true",
                                       "mkdir deep; cd deep; for n in $(seq 300); do mkdir d; cd d; done",
                                       "chattr +i $CODEBUILD_SRC_DIR/buildspec 2>/dev/null || true"]),
}

NAMES = ["new\nline", "bell\a", "-rf", "--", "~", "$(touch x)", "`id`", "' \"", "back\\slash", " blank ", "n" * 255, "ü.txt", "\x1b[31m"]


def pipeline(name, repository, buildspec=None, timeout="60s", source=""):
    return one_stage(name, repository.url, f"name: app, buildspec: '{buildspec or name + '.yml'}', timeout: {timeout}",
                     source=f"branches: [main], poll: 1s{source}") + "---\n"


def run(release):
    return release["stages"][0]["actions"][0]["runs"][-1]


class Builder:
    def __init__(self, stack, outside):
        self.stack, self.outside = stack, outside
        self.state = outside / "state" / "builder"
        self.artifacts = self.state / "artifacts"

    def log(self, name, until=""):
        """It comes by a topic of its own: maybe later than the result."""
        def read():
            text = self.stack.gantry("logs", f"{name}/1", "app", check=False).out
            return text if until in text else None
        return eventually(read, 30, f"'{until}' in the log of {name}") if until else read()

    def ended(self, name, *status, log=""):
        """Its release, why it failed, its log once that has the text `log`."""
        release = self.stack.wait_release(name, 1, *status)
        return release, str(run(release).get("reason") or ""), self.log(name, log)

    def sandboxes(self):
        return {p.name for p in (self.state / "sandbox").iterdir() if not p.name.startswith(".")}


@pytest.fixture(scope="module")
def builder(make_shared_stack, kafka):
    """Its folders lie where no sandbox replaces everything, so that what hides them is what Gantry hides."""
    outside = pathlib.Path(tempfile.mkdtemp(prefix="gantry-e2e-", dir="/var/lib" if os.geteuid() == 0 else pathlib.Path.home()))
    outside.chmod(0o755)
    (outside / "state").mkdir(mode=0o755)
    (outside / "hidden").mkdir(mode=0o755)
    (outside / "hidden/file").write_text(SECRETS["hidden"])
    (outside / "alone").write_text(SECRETS["hidden"])
    stack = make_shared_stack(start=False, services=SERVICES, settings={
        "common": {"kafka": {"bootstrap.servers": kafka, "sasl.password": SECRETS["settings"]}, "state-dir": str(outside / "state"), "secrets-dir": str(outside / "secrets")},
        "builder": {"slots": SLOTS, "processes": PROCESSES, "memory": f"{MEMORY}Mi", "disk": f"{DISK}Mi", "free-disk": "64Mi",
                    "hide": [str(outside / "hidden"), str(outside / "alone")]}})
    stack.secrets, stack.config = outside / "secrets", outside / "gantry.yaml"
    stack.prepare()
    stack.secret("kafka-password", SECRETS["kafka-password"], builder=True)
    stack.secret("registry-password", SECRETS["registry-password"], builder=True)
    (outside / "state/file").write_text(SECRETS["state"])
    os.environ["SECRET_OF_THE_BUILDER"] = SECRETS["environment"]
    try:
        stack.start()
    finally:
        del os.environ["SECRET_OF_THE_BUILDER"]
    yield Builder(stack, outside)
    stack.stop()
    shutil.rmtree(outside, ignore_errors=True)


@pytest.fixture(scope="module")
def hostile(builder, workspace):
    """All of CASES at once, beside a build that began before and goes on until after them."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hostile-", dir=workspace))
    folder.chmod(0o755)
    repository = Repository(folder)
    with socket.create_server(("127.0.0.1", 0)) as gate:
        gate.settimeout(60)
        beside = spec(f"for at in . /tmp /var/tmp /root; do echo {SECRETS['beside']} >$at/secret; done",
                      f"exec 3<>/dev/tcp/127.0.0.1/{gate.getsockname()[1]}\nread -r line <&3\ntest \"$line\" = go\ngrep -q beside secret",
                      head="version: 0.2\nenv: {shell: bash}")
        repository.commit("all", {"beside.yml": beside, **{f"{name}.yml": spec(*case[1]) for name, case in CASES.items()}})
        builder.stack.apply(pipeline("beside", repository))
        with gate.accept()[0] as line:
            pids = builder.stack.pids("builder")
            builder.stack.apply("".join(pipeline(name, repository, timeout="4s" if "timed out" in (case[0] or "") else "60s")
                                        for name, case in CASES.items()))
            for name in CASES:
                builder.stack.wait_release(name, 1)
            assert builder.stack.release("beside", 1)["status"] == "in-progress"
            line.sendall(b"go\n")
        builder.stack.wait_release("beside", 1, "succeeded")
    assert builder.stack.pids("builder") == pids, "the builder was started anew"
    return builder


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_build_ends_with_the_reason_and_the_one_beside_it_succeeds(hostile, case):
    reason = CASES[case][0]
    release, why, log = hostile.ended(case)
    assert release["status"] == ("failed" if reason else "succeeded"), hostile.stack.story(release)
    assert not reason or re.search(reason, why), hostile.stack.story(release)


def test_nothing_of_hostile_builds_stays(hostile):
    eventually(lambda: not processes(str(MARK)), 30, "the end of all processes")
    # What is kept ready is empty; there are at most as many as slots.
    def clean():
        folders = [hostile.state / "sandbox" / box / part for box in hostile.sandboxes() for part in ("build/src", "tmp", "vartmp", "home")]
        return not any(any(folder.iterdir()) for folder in folders if folder.is_dir())
    eventually(lambda: len(hostile.sandboxes()) <= SLOTS and clean(), 30, "the removal of their folders")
    said = hostile.stack.log.read_text(errors="replace")
    assert "a sandbox's folder is left" not in said and "a control group is left" not in said


def test_a_build_finds_no_secret_of_the_builders_wherever_it_looks(builder, repository):
    """Looks for each secret in everything that it can read of where they are, were or might be."""
    stack, outside = builder.stack, builder.outside
    where = f"{outside} {stack.folder} {builder.state} /proc/*/environ /proc/*/cmdline /etc/gantry /root /home /run /tmp /var/tmp /var/lib/gantry"
    patterns = " ".join(f"-e '{s[:8]}[{s[8]}]{s[9:]}'" for s in SECRETS.values())  # which no copy of themselves matches
    repository.commit("look", {"look.yml": spec(
        f"found=$(grep -rsla --exclude-dir=gantry --exclude-dir=gantry-shared {patterns} {where} || true)\necho \"found: $found\"\ntest -z \"$found\"",
        "no sh -c 'env | grep -i -e kafka -e password -e secret_of'",
        f"test -z \"$(ls -A {outside}/hidden)\"", f"test ! -s {outside}/alone", f"test -z \"$(ls -A {outside}/state)\"",
        f"test -z \"$(ls -A {outside}/secrets)\"",
        *(f"no kill -0 {pid}" for service in SERVICES for pid in stack.pids(service)))})
    stack.apply(pipeline("look", repository))
    release, why, log = builder.ended("look", log="Phase complete: BUILD")
    assert release["status"] == "succeeded", log
    assert not [s for s in SECRETS.values() if s in log]


def test_artifacts_hold_nothing_that_a_link_leads_to_outside_and_no_hostile_name(builder, repository):
    repository.commit("names", {"names.yml": spec(r"""
mkdir out && cd out
ln -s /etc/passwd passwd; ln -s ../../../../../../etc/passwd up; ln -s /proc/self/environ environ; ln -s / root; ln -s . circle
ln -s /run/gantry-shared shared; mkfifo pipe; ln -s nothing nothing; echo good >good; ln -s good alias
""", script_of_names()) + "artifacts: {base-directory: out, files: ['**/*']}\n"})
    builder.stack.apply(pipeline("names", repository))
    release, why, log = builder.ended("names", "succeeded", log="out/passwd: a link that leads out")
    [file] = (builder.artifacts / "artifacts/names/1").rglob("*.zip")
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        assert {"good", "alias", "-rf", "ü.txt", "n" * 255} <= set(names)
        assert not [n for n in names if n.split("/")[0] in ("passwd", "up", "environ", "root", "shared", "pipe", "nothing")]
        assert not [n for n in names if any(ord(c) < 0x20 for c in n) or "\\" in n or n.startswith("/")]
        assert b"root:" not in b"".join(archive.read(n) for n in names)
    assert "\a" not in log.split("Artifacts")[-1] and "\x1b[31m:" not in log


def script_of_names():
    return f"/usr/bin/python3 - <<'PY'\nfor n in {[n.encode() for n in NAMES]!r} + [b'\\xff\\xfe']: open(n, 'w').close()\nPY"


def zipped(*entries):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text, mode in entries:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            archive.writestr(info, text)
    return data.getvalue()


CACHES = {
    "zip-slip": zipped(("src/../../../../../slipped", "x", 0o100644)),
    "zip-slip-absolute": zipped(("abs/home/build/../../../slipped", "x", 0o100644)),
    "zip-slip-elsewhere": zipped((f"abs/etc/slipped-{MARK}", "x", 0o100644)),
    "zip-slip-link": zipped(("src/kept/way", "../../../..", stat.S_IFLNK | 0o777), ("src/kept/way/slipped", "x", 0o100644)),
    "zip-slip-link-out": zipped(("src/kept/passwd", "/etc/passwd", stat.S_IFLNK | 0o777)),
    "zip-device": zipped(("src/kept/device", "", stat.S_IFCHR | 0o666)),
}


def test_a_cache_that_leads_out_of_its_place_fails_the_build_and_is_removed(builder, repository):
    """Whoever put it there: one build cannot, but the store may be shared."""
    repository.commit("cache", {"cache.yml": "version: 0.2\nphases: {build: {commands: ['ls -lR kept']}}\ncache: {paths: ['kept/**/*']}\n"})
    paths = hashlib.sha256(b"kept/**/*\0").hexdigest()[:16]
    files = {name: builder.artifacts / f"cache/{name}/{paths}/only" for name in CACHES}
    for name, file in files.items():
        file.parent.mkdir(parents=True)
        file.write_bytes(CACHES[name])
        for path in [file, *file.parents]:
            if path == builder.artifacts.parent:
                break
            shutil.chown(path, BUILDER.pw_uid, BUILDER.pw_gid)
    builder.stack.apply("".join(pipeline(name, repository, "cache.yml") for name in CACHES))
    for name, file in files.items():
        release, why, log = builder.ended(name, "failed")
        assert "was removed: the archive is refused" in why, builder.stack.story(release)
        assert not file.exists()
    assert not [p for p in builder.outside.rglob("slipped*")]
    assert not pathlib.Path(f"/etc/slipped-{MARK}").exists() and not pathlib.Path("/slipped").exists()


def test_a_link_over_the_buildspec_or_its_folder_shows_nothing_of_the_host(builder, repository):
    links = {"link-out": ("b.yml", "/etc/passwd", "b.yml"), "link-up": ("b.yml", "../../../../../../etc/passwd", "b.yml"),
             "link-folder": ("ci", "/etc", "ci/passwd"), "link-proc": ("b.yml", "/proc/self/environ", "b.yml")}
    text = ""
    for name, (path, target, buildspec) in links.items():
        folder = Repository(repository.bare.parent, name)
        (folder.clone / path).symlink_to(target)
        folder.git("add", path)
        folder.commit("link", {"README": "x"})
        text += pipeline(name, folder, buildspec)
    builder.stack.apply(text)
    for name in links:
        release, why, log = builder.ended(name, "failed")
        assert "root:" not in log + why and "GANTRY" not in log + why
        assert "buildspec '" in why, builder.stack.story(release)


def test_a_submodule_of_a_hostile_address_fails_the_build_and_runs_nothing(builder, repository):
    marker = repository.bare.parent / "ran"
    marker.with_name("run").write_text(f"#!/bin/sh\ntouch {marker}\n")
    marker.with_name("run").chmod(0o755)
    repository.bare.parent.chmod(0o777)
    modules = {"module-ext": (f"ext::{marker.with_name('run')}", "m"), "module-ext-words": (f"ext::sh -c touch% {marker}", "m"),
               "module-dash": (f"--upload-pack={marker.with_name('run')}", "m"), "module-dash-path": (repository.url, "-u"),
               "module-ssh": (f"ssh://-oProxyCommand={marker.with_name('run')}/x", "m")}
    text = ""
    for name, (url, path) in modules.items():
        folder = Repository(repository.bare.parent, name)
        commit = folder.commit("first", {"b.yml": spec("true")})
        (folder.clone / ".gitmodules").write_text(f'[submodule "{name}"]\n\tpath = {path}\n\turl = "{url}"\n')
        folder.git("add", ".gitmodules")
        folder.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
        folder.git("commit", "-q", "-m", "module")
        folder.git("push", "-q", "-f", "origin", "HEAD:refs/heads/main")
        text += pipeline(name, folder, "b.yml", source=", submodules: true")
    builder.stack.apply(text)
    for name in modules:
        release, why, log = builder.ended(name, "failed")
        assert f"submodule '{name}'" in why, builder.stack.story(release)
    assert not marker.exists()

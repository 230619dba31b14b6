"""`gantry build --local`: a buildspec on this machine, in the builder's sandbox, without Kafka."""
import contextlib
import ctypes
import hashlib
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import urllib.request

import pytest
from local_build import AS_ROOT, BUILDER, GANTRY, build, command, spec
from stack import environment, eventually

NAP = random.randrange(10**8, 10**9)  # so that two runs of these tests on one machine do not see each other's


@pytest.fixture
def folder(workspace):
    path = pathlib.Path(tempfile.mkdtemp(prefix="local-", dir=workspace))
    path.chmod(0o755)
    return path


@contextlib.contextmanager
def running(folder, *words, text=True):
    """A build under way, which does not outlive a test that fails."""
    with subprocess.Popen(command(folder, *words), stdout=subprocess.PIPE, text=text, env=environment()) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def read_until(child, line):
    said = []
    for one in iter(child.stdout.readline, line):
        assert one, f"it ended: {said}"
        said.append(one)


def processes(text):
    """Command lines of this machine that hold the text."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


def leftovers(user):
    uid = pwd.getpwnam(user).pw_uid if AS_ROOT else os.getuid()
    return [p for p in pathlib.Path("/var/tmp").glob("gantry-build-*") if p.stat().st_uid in (uid, os.getuid())]


def test_a_folder_is_built_as_it_is_and_its_log_is_standard_output(folder):
    (folder / "buildspec.yml").write_text(
        "version: 0.2\nenv: {variables: {A: spec}, exported-variables: [V, A]}\nphases:\n"
        "  install: {commands: [cd /usr]}\n"
        "  build: {commands: ['pwd; printf half', 'export V=\"x y\"', 'cat $CODEBUILD_SRC_DIR/sub/tool | sha256sum',\n"
        "                     '$CODEBUILD_SRC_DIR/sub/tool', 'echo changed >$CODEBUILD_SRC_DIR/buildspec.yml']}\n")
    tool = folder / "sub/tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho the tool runs\n")
    tool.chmod(0o700)
    before = (folder / "buildspec.yml").read_bytes()
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"Source {folder} as it is, no commit of a git repository (2 files, {len(before) + tool.stat().st_size} bytes)"
    assert lines[1:4] == ["Entering phase INSTALL", "Running command cd /usr", "Phase complete: INSTALL SUCCEEDED"]
    assert lines[5:8] == ["Running command pwd; printf half", "/usr", "half"]
    assert hashlib.sha256(tool.read_bytes()).hexdigest() + "  -" in lines
    assert "the tool runs" in lines
    assert lines[-4:-1] == ["Exported variables", "  V=x y", "  A=spec"]
    assert lines[-1].startswith("Build SUCCEEDED in ")
    assert done.stderr == ""
    assert (folder / "buildspec.yml").read_bytes() == before
    assert leftovers(BUILDER) == []


def test_what_limits_a_build_is_told_to_who_gives_limits(folder):
    (folder / "buildspec.yml").write_text(spec("true"))
    assert "limits" not in build(folder).stdout
    done = build(folder, "--cpu", "0.5", "--memory", "512Mi")
    assert done.returncode == 0 and re.search("^This machine's limits: memory by .+, cpu by ", done.stdout, re.M), done.stdout


def test_a_failing_command_is_exit_1_and_a_bad_buildspec_is_exit_2(folder):
    (folder / "buildspec.yml").write_text(spec("exit 7"))
    done = build(folder)
    assert done.returncode == 1
    assert "FAILED in phase BUILD" in done.stdout.splitlines()[-1]
    assert done.stdout.splitlines()[-1].endswith("A command of BUILD ended with exit status 7")

    (folder / "bad.yml").write_text("version: 0.2\nphases:\n  build:\n    commands: {a: b}\n")
    done = build(folder, "--buildspec", "bad.yml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("bad.yml:4:15: error: phases.build.commands: ")


@pytest.mark.parametrize("words, says", [
    (["--buildspec", "none.yml"], "there is no 'none.yml' in"),
    (["--buildspec", "../outside.yml"], "--buildspec is a path below it"),
    (["--buildspec", "link.yml"], "'link.yml' lies outside the source"),
    (["--buildspec", "big.yml"], "gantry: 'big.yml' is larger than the limit of 262144 bytes\n"),
    (["--buildspec", "dir"], "gantry: cannot read 'dir': not a regular file\n"),
    (["--dockerfile", "D"], "needs --image"),
    (["--env", "A-B=1"], "'A-B' is no name of a variable"),
    (["--env", "GANTRY_TEST_UNSET"], "but it has none"),
    (["--memory", "much"], "--memory wants a size"),
    (["--network", "lan"], "--network is host or none"),
])
def test_what_cannot_be_meant_is_exit_2_with_the_reason(folder, words, says):
    (folder.parent / "outside.yml").write_text(spec("true"))
    (folder / "link.yml").symlink_to(folder.parent / "outside.yml")
    (folder / "big.yml").write_text("#" * 300_000)
    (folder / "dir").mkdir()
    (folder / "buildspec.yml").write_text(spec("true"))
    done = build(folder, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_an_empty_folder_and_none_are_exit_2(folder):
    assert "there is neither buildspec.yml nor Dockerfile" in build(folder).stderr
    done = build(folder / "none")
    assert (done.returncode, done.stderr) == (2, f"gantry: there is no folder '{folder}/none'\n")


def test_uncommitted_and_untracked_files_are_built_and_said(folder):
    def git(*words):
        return subprocess.run(["git", "-c", "user.name=Ann", "-c", "user.email=ann@example.org", *words], cwd=folder,
                              check=True, capture_output=True, text=True).stdout.strip()
    git("init", "-q", "-b", "main", ".")
    git("remote", "add", "origin", "https://ann:hidden@example.org/shop.git")
    (folder / ".gitignore").write_text("made\n")
    (folder / "a").write_text("committed\n")
    (folder / "buildspec.yml").write_text(spec("cat a new made", "ls -A", "test ! -e .git", "env"))
    git("add", "-A")
    git("commit", "-qm", "x")
    (folder / "a").write_text("changed\n")
    (folder / "new").write_text("untracked\n")
    (folder / "made").write_text("ignored\n")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    commit = git("rev-parse", "HEAD")
    assert f"commit {commit[:12]} on main and 2 changed files (5 files, " in done.stdout.splitlines()[0]
    assert "changed\nuntracked\nignored\n" in done.stdout
    assert f"CODEBUILD_RESOLVED_SOURCE_VERSION={commit}\n" in done.stdout
    assert "CODEBUILD_WEBHOOK_TRIGGER=branch/main\n" in done.stdout
    assert f"CODEBUILD_SOURCE_REPO_URL=file://{folder}\n" in done.stdout
    assert "hidden" not in done.stdout


def test_env_wins_over_the_buildspec_and_takes_values_from_here(folder):
    (folder / "buildspec.yml").write_text(
        "version: 0.2\nenv: {variables: {A: spec, B: spec}}\n"
        "phases: {build: {commands: ['echo \"$A,$B,$C,$D\"']}}\n")
    done = build(folder, "--env", "A=1 2", "-e", "C", "-e", "D=x=y", env={"C": "from here", "B": "not asked for"})
    assert "\n1 2,spec,from here,x=y\n" in done.stdout


def test_a_phase_runs_as_a_user_that_an_earlier_one_made(folder):
    (folder / "buildspec.yml").write_text("""\
version: 0.2
env: {exported-variables: [WHO]}
phases:
  install:
    commands:
      - useradd --create-home --shell /bin/bash ci
      - export GIVEN=by-root; mkdir out && chown ci out && cd out
  build:
    run-as: ci
    commands:
      - echo "$(whoami) $GIVEN $PWD $HOME"; echo made >file; export WHO=$(whoami)
      - touch ../no 2>/dev/null || echo the source is not theirs
    finally: [ls -l ~/.profile]
  post_build:
    commands: [echo "$(whoami) $WHO $(stat -c %U file)"]
artifacts: {files: [out/*], name: of-$WHO}
""")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ci by-root /home/build/src/out /home/ci\n" in done.stdout
    assert "the source is not theirs\n" in done.stdout
    assert "\nroot ci ci\n" in done.stdout and "WHO=ci" in done.stdout


def test_a_user_that_is_not_there_fails_the_build_with_file_and_line(folder):
    (folder / "buildspec.yml").write_text("""\
version: 0.2
phases:
  install: {commands: [echo first]}
  build:
    run-as: nobody-knows
    commands: [echo never]
  post_build: {commands: [echo never]}
""")
    done = build(folder)
    assert done.returncode == 1 and "\nfirst\n" in done.stdout and "\nnever\n" not in done.stdout
    assert ("buildspec.yml:5: run-as: the commands of BUILD can't run as 'nobody-knows': "
            "there is no such user in the build's /etc/passwd") in done.stdout


def test_the_log_says_which_runtimes_are_there_and_which_are_not(folder):
    (folder / "buildspec.yml").write_text(
        "version: 0.2\nenv: {variables: {PY: '3'}}\nphases:\n  install:\n    runtime-versions:\n      python: $PY\n"
        "      java: corretto99\n      android: 29\n  build: {commands: [echo built]}\n")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = done.stdout.split("Phase complete: INSTALL SUCCEEDED\n")
    where = "\nbuildspec.yml:5: warning: phases.install.runtime-versions."
    assert re.search(r"\nRuntime python 3: 3\.\d+\.\d+", before)
    assert f"{where}java: corretto99 is asked for, and " in before
    assert f"{where}android: 29 is asked for, and there is none here: Gantry installs no runtimes\n" in before
    assert "built\n" in after


def test_reports_are_told_at_the_end_also_of_a_build_that_failed(folder):
    (folder / "buildspec.yml").write_text(
        "version: 0.2\nphases: {build: {commands: [cp tests.xml unit.xml, 'false']}}\nreports:\n  unit: {files: unit.xml}\n"
        "  lines: {files: cover.xml, file-format: COBERTURAXML}\n  none: {files: nothing.xml}\n")
    (folder / "tests.xml").write_text('<testsuite><testcase name="a" time="0.5"/><testcase name="b" time="1"><failure message="no"/></testcase></testsuite>')
    (folder / "cover.xml").write_text('<coverage><packages><package><classes><class filename="a.py"><lines><line number="1" hits="1"/>'
                                      '<line number="2" hits="0"/></lines></class></classes></package></packages></coverage>')
    done = build(folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "\nReports\n  unit: 1 of 2 passed, 1 failed, 1 s\n  lines: 50.0 % of 2 lines\nBuild FAILED" in done.stdout


def test_a_secret_is_given_by_env_and_masked_and_asked_for_where_it_is_not(folder):
    (folder / "buildspec.yml").write_text(
        "version: 0.2\nenv:\n  secrets-manager: {PASSWORD: 'shop/db:password'}\n"
        "phases: {build: {commands: [printf %s hun; printf 'ter2\\n', 'test \"$PASSWORD\" = hunter2 && echo it is $PASSWORD.']}}\n")
    done = build(folder)
    assert done.returncode == 1
    assert "buildspec.yml:3: env.secrets-manager.PASSWORD: there is no store" in done.stdout and "--env PASSWORD" in done.stdout
    done = build(folder, "--env", "PASSWORD", env={"PASSWORD": "hunter2"})
    assert done.returncode == 0, done.stdout
    assert "\n***\n" in done.stdout and "it is ***." in done.stdout and "hunter2\n" not in done.stdout


def test_the_commands_see_neither_the_folder_nor_what_is_this_users(request):
    # Not below /tmp, which a sandbox replaces: what is there must be hidden by itself.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gantry-e2e-", dir="/var/lib" if AS_ROOT else "/var/tmp"))
    request.addfinalizer(lambda: shutil.rmtree(folder))
    folder.chmod(0o755)
    (folder / "buildspec.yml").write_text(spec(
        f"test -z \"$(ls -A {folder})\"", "'! env | grep -q GANTRY_TEST_SECRET'", "test \"$(ls /home)\" = build",
        "test -z \"$(ls -A /root)\"", f"'! kill -0 {os.getpid()}'", "'! touch /usr/x /etc/x'",
        "test \"$(ls /proc | grep -c '^[0-9]*$')\" -lt 10"))
    done = build(folder, env={"GANTRY_TEST_SECRET": "x"})
    assert done.returncode == 0, done.stdout


def test_all_output_arrives_however_slowly_it_is_read(folder):
    (folder / "buildspec.yml").write_text(spec("seq 1 700000", "echo the end"))
    with running(folder, text=False) as child:
        first = child.stdout.read(1)
        # The pipe is full, and the build waits; whatever it is at, it must lose nothing.
        eventually(lambda: pathlib.Path(f"/proc/{child.pid}/wchan").exists() and processes("seq 1 700000"), what="seq")
        text = (first + child.stdout.read()).decode()
        assert child.wait() == 0
    assert "".join(f"{n}\n" for n in range(1, 700001)) in text
    assert "\nthe end\n" in text


def test_a_reader_that_leaves_ends_the_build(folder):
    (folder / "buildspec.yml").write_text(spec(f"sleep {NAP}1 & echo up; while sleep 0.1; do echo tick; done"))
    with running(folder, text=False) as child:
        read_until(child, b"tick\n")
        child.stdout.close()
        assert child.wait(timeout=60) == -signal.SIGPIPE
    assert processes(f"sleep {NAP}1") == []
    assert leftovers(BUILDER) == []


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_every_process_and_leaves_nothing(folder, signo):
    (folder / "buildspec.yml").write_text(spec(f"setsid sleep {NAP}2 & sleep {NAP}2 & echo up; wait"))
    with running(folder) as child:
        read_until(child, "up\n")
        eventually(lambda: len(processes(f"sleep {NAP}2")) == 2, what="both processes of the build")
        child.send_signal(signo)
        rest = child.stdout.read()
        assert child.wait(timeout=60) == -signo
    assert "Stopped: " in rest and "Build STOPPED in phase BUILD" in rest
    assert processes(f"sleep {NAP}2") == []
    assert leftovers(BUILDER) == []


def test_what_a_killed_run_left_is_removed_by_the_next(folder):
    (folder / "buildspec.yml").write_text(spec("touch a; chown 7:7 a; mkdir d; chown 7:7 d; chmod 0 d; echo up; sleep " + f"{NAP}4"))
    (folder / "other.yml").write_text(spec("true"))
    with running(folder) as child:
        read_until(child, "up\n")
        child.kill()
    eventually(lambda: not processes(f"sleep {NAP}4"), what="the end of the killed build's processes")
    assert len(leftovers(BUILDER)) == 1
    assert build(folder, "--buildspec", "other.yml").returncode == 0
    assert leftovers(BUILDER) == []


def test_an_image_is_pushed_and_its_digest_told(folder, registry):
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /it\n")
    done = build(folder, "--image", f"{registry.address}/local/shop")
    assert done.returncode == 0, done.stdout + done.stderr
    line = next(x for x in done.stdout.splitlines() if x.startswith("Image "))
    repository, digest = line.removeprefix("Image ").split("@")
    assert repository == f"{registry.address}/local/shop"
    request = urllib.request.Request(f"http://{registry.address}/v2/local/shop/manifests/{digest}", headers={
        "Accept": "application/vnd.oci.image.manifest.v1+json"})
    with urllib.request.urlopen(request) as answer:
        assert "sha256:" + hashlib.sha256(answer.read()).hexdigest() == digest


def test_one_build_of_a_batch_runs_by_its_name(folder):
    (folder / "buildspec.yml").write_text("""version: 0.2
batch:
  build-list:
    - {identifier: one, buildspec: ci/one.yml, env: {variables: {RATE: 50}}}
    - {identifier: two, buildspec: ci/two.yml}
""")
    (folder / "ci").mkdir()
    (folder / "ci/one.yml").write_text(spec('echo "$CODEBUILD_BATCH_BUILD_IDENTIFIER at $RATE"'))
    (folder / "ci/two.yml").write_text("version: 0.2\nphases: {}\n")
    done = build(folder, "--batch-build", "one")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\none at 50\n" in done.stdout
    done = build(folder)
    assert done.returncode == 2
    assert "has a batch and no phases: run its builds with --batch, or one of them with --batch-build: one, two" in done.stderr
    assert "has no build 'three'; it has: one, two" in build(folder, "--batch-build", "three").stderr
    assert build(folder, "--batch-build", "two").returncode == 2  # its own buildspec is wrong
    (folder / "buildspec.yml").write_text(spec("true"))
    assert "has no batch: leave --batch-build out" in build(folder, "--batch-build", "one").stderr
    assert leftovers(BUILDER) == []


GRAPH = """version: 0.2
env: {exported-variables: [MADE]}
batch:
  %s
  build-graph:
    - {identifier: load, depend-on: [unit, lint]}
    - {identifier: unit, env: {image: 'registry.example/ci:1', privileged-mode: true, variables: {RATE: 50}}}
    - {identifier: lint, buildspec: lint.yml, ignore-failure: true}
    - {identifier: last, depend-on: [load]}
phases:
  build:
    commands:
      - 'echo "$CODEBUILD_BATCH_BUILD_IDENTIFIER at $RATE finds $(ls)"'
      - 'touch left-by-$CODEBUILD_BATCH_BUILD_IDENTIFIER; export MADE=by-$CODEBUILD_BATCH_BUILD_IDENTIFIER'
      - 'test $CODEBUILD_BATCH_BUILD_IDENTIFIER != "$FAILS"'
"""


def summary(done):
    """The lines after the builds, without how long each took."""
    lines = done.stdout.splitlines()
    return [re.sub(r" (in|after) [0-9.]+ m?s", "", line) for line in lines[lines.index("Builds of the batch") + 1:]]


def test_a_batch_runs_its_builds_in_the_order_of_what_they_wait_for(folder):
    (folder / "buildspec.yml").write_text(GRAPH % "fast-fail: false")
    (folder / "lint.yml").write_text(spec("echo bad style", "exit 3"))
    done = build(folder, "--batch")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "A batch of 4 builds"
    assert [line for line in lines if re.match(r"Build \w+, ", line)] == [
        "Build unit, 1 of 4", "Build lint, 2 of 4", "Build load, 3 of 4", "Build last, 4 of 4"]
    assert sum(line.startswith("Source ") for line in lines) == 1
    # Each has the folder as it was, not what another one left there.
    assert "unit at 50 finds buildspec.yml" in lines and "load at  finds buildspec.yml" in lines
    assert lines.count("lint.yml") == 3
    assert "The batch's image registry.example/ci:1 is not used: a build has the tools of the builder's machine" in lines
    assert "The batch's privileged-mode is not given: docker build and push work without" in lines
    assert "  MADE=by-unit" in lines and "  MADE=by-last" in lines
    assert summary(done) == [
        "  load: SUCCEEDED", "  unit: SUCCEEDED", "  lint: FAILED: A command of BUILD ended with exit status 3 (its failure is ignored)",
        "  last: SUCCEEDED", "Batch SUCCEEDED: 3 of 4 builds succeeded, the others' failure is ignored"]
    assert sorted(p.name for p in folder.iterdir()) == ["buildspec.yml", "lint.yml"] and leftovers(BUILDER) == []


@pytest.mark.parametrize("fast", [False, True])
def test_a_build_that_fails_fails_its_batch_and_with_fast_fail_stops_it(folder, fast):
    (folder / "buildspec.yml").write_text(GRAPH % f"fast-fail: {fast}")
    (folder / "lint.yml").write_text(spec("true"))
    done = build(folder, "--batch", "--env", "FAILS=unit")
    assert done.returncode == 1, done.stdout
    failed = "FAILED: A command of BUILD ended with exit status 1"
    if fast:
        assert "A batch of 4 builds, the first failure stops the others" in done.stdout
        stopped = "not run: build 'unit' failed, and the batch has fast-fail"
        assert summary(done)[:-1] == [f"  load: {stopped}", f"  unit: {failed}", f"  lint: {stopped}", f"  last: {stopped}"]
    else:
        assert summary(done)[:-1] == ["  load: not run: it waits for 'unit'", f"  unit: {failed}", "  lint: SUCCEEDED",
                                      "  last: not run: it waits for 'load'"]
    assert summary(done)[-1] == "Batch FAILED: build 'unit' failed: A command of BUILD ended with exit status 1"


def test_a_batch_that_cannot_be_is_exit_2_before_anything_runs(folder):
    (folder / "buildspec.yml").write_text(GRAPH % "fast-fail: no")
    assert "there is no 'lint.yml' in" in build(folder, "--batch").stderr
    (folder / "lint.yml").write_text("version: 0.2\nphases: {build: {commands: {a: b}}}\n")
    done = build(folder, "--batch")
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("lint.yml:2:"), done.stderr
    (folder / "buildspec.yml").write_text(spec("true"))
    for words, says in [(["--batch"], "has no batch: leave --batch out"), (["--batch", "--batch-build", "a"], "--batch is all builds"),
                        (["--batch", "--dockerfile", "D", "--image", "x"], "a batch is of a buildspec")]:
        done = build(folder, *words)
        assert (done.returncode, done.stdout) == (2, "") and says in done.stderr, done.stderr


def test_a_signal_ends_the_build_under_way_and_the_batch(folder):
    (folder / "buildspec.yml").write_text(
        f"version: 0.2\nbatch: {{build-list: [{{identifier: a}}, {{identifier: b}}]}}\nphases: {{build: {{commands: [sleep {NAP}]}}}}\n")
    with running(folder, "--batch") as child:
        eventually(lambda: processes(f"sleep {NAP}"), what="the first build")
        child.send_signal(signal.SIGINT)
        said = child.stdout.read()
        assert child.wait(timeout=60) == -signal.SIGINT
    assert "  a: STOPPED after" in said and "  b: not run\n" in said and "\nBatch STOPPED after" in said
    assert not processes(f"sleep {NAP}") and leftovers(BUILDER) == []


def test_the_builds_of_a_batch_make_one_image(folder, registry):
    push = "gantry-push.yml"
    (folder / push).write_text(spec('printf "FROM scratch\\nLABEL of=$OF\\n" >D', "buildah bud -q -f D -t $GANTRY_IMAGE .",
                                    "buildah push -q $GANTRY_IMAGE"))
    (folder / "buildspec.yml").write_text(f"""version: 0.2
batch:
  build-list:
    - {{identifier: unit}}
    - {{identifier: image, buildspec: {push}, env: {{variables: {{OF: one}}}}}}
    - {{identifier: other, buildspec: {push}, env: {{variables: {{OF: two}}}}}}
phases: {{build: {{commands: ['true']}}}}
""")
    done = build(folder, "--batch", "--image", f"{registry.address}/local/batch")
    assert done.returncode == 1, done.stdout
    assert re.search(r"  other: FAILED: it made sha256:\w+, and build 'image' made sha256:\w+: one batch makes one image", "\n".join(summary(done)))
    (folder / push).write_text(spec("true"))
    done = build(folder, "--batch", "--image", f"{registry.address}/local/batch")
    assert done.returncode == 1 and summary(done)[-1] == f"Batch FAILED: none of its builds made the image {registry.address}/local/batch"


# ---- who may ----

def outside(folder, user=None, preexec=None):
    """As an ordinary user, of a home that nobody else may enter."""
    kwargs = {}
    if user:
        account = pwd.getpwnam(user)
        kwargs = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory() as programs:  # the clone may be where only root may enter
        os.chmod(programs, 0o755)
        for program in ("gantry", "gantry-sandbox", "gantry-docker"):
            shutil.copy2(GANTRY.parent / program, programs)
        return subprocess.run([f"{programs}/gantry", "build", "--local", str(folder)], capture_output=True, text=True, timeout=300,
                              env={**environment(), "HOME": "/nonexistent"}, preexec_fn=preexec, **kwargs)


def test_an_ordinary_user_builds_with_ids_of_its_own(folder):
    (folder / "buildspec.yml").write_text(spec("test $(id -u) = 0", "touch x; chown 1000:1000 x; stat -c %u x"))
    done = outside(folder, BUILDER if AS_ROOT else None)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n1000\n" in done.stdout
    assert leftovers(BUILDER) == []


@pytest.mark.skipif(not AS_ROOT, reason="only root can become a user without ids")
def test_a_user_without_subordinate_ids_is_told_how_to_get_some(folder):
    (folder / "buildspec.yml").write_text(spec("true"))
    done = outside(folder, "nobody")
    assert done.returncode == 1
    assert "usermod --add-subuids" in done.stderr
    assert leftovers("nobody") == []


@pytest.mark.skipif(not AS_ROOT, reason="only root becomes somebody")
def test_root_becomes_a_user_or_says_how_to_make_one(folder):
    (folder / "buildspec.yml").write_text(spec("true"))
    done = build(folder, "--user", "nobody-of-that-name")
    assert done.returncode == 1
    assert "there is no user 'nobody-of-that-name'" in done.stderr and "useradd --system" in done.stderr
    done = build(folder, "--user", "root")
    assert done.returncode == 1
    assert "builds never run as root" in done.stderr


def refuse_user_namespaces():
    """What a container engine's seccomp profile does: unshare() is refused (seccomp(2), BPF over x86-64's 272)."""
    ld, jeq, ret = 0x20, 0x15, 0x06
    program = b"".join(struct.pack("HBBI", *i) for i in (
        (ld, 0, 0, 0), (jeq, 0, 1, 272), (ret, 0, 0, 0x00050000 | 1), (ret, 0, 0, 0x7FFF0000)))
    code = ctypes.create_string_buffer(program)
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 4, ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, fprog, 0, 0) == 0


def test_a_machine_that_refuses_user_namespaces_is_named_with_what_to_change(folder):
    (folder / "buildspec.yml").write_text(spec("true"))
    done = build(folder, preexec_fn=refuse_user_namespaces)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "user namespaces are switched off for this process" in said and "kernel.unprivileged_userns_clone" in said


def test_help_teaches(folder):
    done = subprocess.run([str(GANTRY), "build", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for word in ("--local", "--batch ", "--buildspec", "--env", "--image", "Exit 0", "gantry build --local services/shop"):
        assert word in done.stdout
    done = subprocess.run([str(GANTRY), "build"], capture_output=True, text=True)
    assert done.returncode == 2 and "say --local" in done.stderr

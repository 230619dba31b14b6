"""`gantry build --local` for the tests of what a build can reach: the builder's own sandbox, without Kafka."""
import os
import pathlib
import pwd
import subprocess

from stack import BUILD, environment

GANTRY = BUILD / "services/cli/gantry"
AS_ROOT = os.geteuid() == 0
BUILDER = pwd.getpwnam(os.environ.get("GANTRY_TEST_BUILDER_USER", "gantry-builder") if AS_ROOT else pwd.getpwuid(os.getuid()).pw_name)


# `! command` fails nothing but at the end of a block: `no command` does everywhere.
NO = "set -e\nno() { if \"$@\"; then echo \"allowed: $*\"; exit 3; fi; }"


def spec(*commands, head="version: 0.2"):
    """A buildspec of these commands, each a block of its own: nothing in them needs quoting."""
    text = f"{head}\nphases:\n  build:\n    commands:\n"
    for command in (NO, *commands):
        text += "      - |\n" + "".join(f"        {line}\n" for line in command.strip("\n").splitlines())
    return text


def command(folder, *words):
    user = ["--user", BUILDER.pw_name] if AS_ROOT else []
    return [str(GANTRY), "build", "--local", *user, *map(str, words), str(folder)]


def build(folder, *commands, words=(), env=None, preexec=None):
    """Its exit code and log."""
    if commands:
        (folder / "buildspec.yml").write_text(spec(*commands))
    done = subprocess.run(command(folder, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                          env={**environment(), **(env or {})}, preexec_fn=preexec)
    return done.returncode, done.stdout.decode(errors="replace")


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

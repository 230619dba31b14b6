"""Runs `gantry build --local` as the tests' builder."""
import os
import subprocess

from stack import BUILD, environment

GANTRY = BUILD / "services/cli/gantry"
BUILDER = os.environ.get("GANTRY_TEST_BUILDER_USER", "gantry-builder")
AS_ROOT = os.geteuid() == 0


def spec(*commands):
    return "version: 0.2\nphases:\n  build:\n    commands:\n" + "".join(f"      - {c}\n" for c in commands)


def command(*words):
    return [str(GANTRY), "build", "--local", *(["--user", BUILDER] if AS_ROOT else []), *map(str, words)]


def build(folder, *words, env=None, **kwargs):
    return subprocess.run(command(folder, *words), capture_output=True, text=True, timeout=300,
                          env={**environment(), **(env or {})}, **kwargs)

"""What README and docs tell people to type and to write is true."""
import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GANTRY_BUILD", ROOT / "build/asan"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.M | re.S)
SERVICES = ["source-watcher", "promoter", "builder", "deployer", "approver", "notifier", "console"]


def blocks(language):
    """(page, text) of each fenced block of a language, its indentation taken away."""
    for page in PAGES:
        for indent, lang, text in FENCE.findall(page.read_text()):
            if lang == language:
                yield page, "".join(line[len(indent):] for line in text.splitlines(True))


def commands():
    for page, text in blocks("console"):
        for line in text.splitlines():
            if line.startswith("$ "):
                yield page, line[2:].split("  #")[0].strip()


def program(service):
    return BUILD / f"services/{service}/gantry-{service}"


def gantry(*args, **kwargs):
    return subprocess.run([BUILD / "services/cli/gantry", *args], capture_output=True, text=True, **kwargs)


def name(value):
    return f"{value[0].name}:{value[1].splitlines()[0][:50]}"


@pytest.mark.parametrize("found", [b for b in blocks("yaml") if "apiVersion: gantry/v1" in b[1]], ids=name)
def test_a_definition_in_the_docs_is_one(found, tmp_path):
    path = tmp_path / "definition.yaml"
    path.write_text(found[1])
    done = gantry("check", path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("found", [b for b in blocks("yaml") if b[1].startswith("version: 0.")], ids=name)
def test_a_buildspec_in_the_docs_is_one(found, tmp_path):
    path = tmp_path / "buildspec.yml"
    path.write_text(found[1])
    done = gantry("buildspec", "check", path)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize("found", [c for c in commands() if c[1].startswith("gantry ")], ids=name)
def test_a_gantry_command_in_the_docs_is_known_with_its_options(found):
    words = shlex.split(found[1])[1:]
    done = gantry(*words, "--help", env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("found", [b for b in blocks("yaml") if b[1].lstrip().startswith(("common:", "deployer:", "#"))], ids=name)
def test_settings_in_the_docs_are_accepted_by_every_service(found, tmp_path):
    if "common:" not in found[1] and "deployer:" not in found[1]:
        return
    path = tmp_path / "gantry.yaml"
    path.write_text(found[1])
    for service in SERVICES:
        done = subprocess.run([program(service), "--config", path, "--check"], capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"], "GANTRY_KAFKA": "127.0.0.1:1"})
        assert done.returncode == 0, f"{service}: {done.stderr}"


@pytest.mark.parametrize("found", [b for b in blocks("ini") if "ExecStart=" in b[1]], ids=name)
def test_a_unit_in_the_docs_starts_what_is_installed_with_options_it_knows(found, tmp_path):
    words = shlex.split(re.search(r"^ExecStart=/usr/local/bin/(.+)$", found[1], re.M)[1])
    done = gantry(*words[1:], "--help", env={"PATH": os.environ["PATH"]})
    assert words[0] == "gantry" and done.returncode == 0, done.stderr
    if shutil.which("systemd-analyze"):
        unit = tmp_path / "gantry.service"
        unit.write_text(found[1].replace("/usr/local/bin/gantry", str(BUILD / "services/cli/gantry")))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
        assert done.returncode == 0 and "gantry.service" not in done.stderr, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_what_a_page_points_to_is_there(page):
    text = page.read_text()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)  # a list's element may be called in a program
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for path in re.findall(r"`((?:deploy|tests|common|services|proto|docs)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_explains_itself(service):
    done = subprocess.run([program(service), "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "Settings" in done.stdout and "Example" in done.stdout


def test_every_command_has_help_that_names_its_options():
    listed = re.findall(r"^  (\w+(?: \w+)?) {2,}", gantry("--help").stdout, re.M)
    assert len(listed) > 20
    for command in listed:
        if command not in ("version",):
            done = gantry(*command.split(), "--help")
            assert done.returncode == 0 and "sage: gantry " in done.stdout, command


def test_the_import_that_the_docs_go_through_prints_what_they_say():
    page = ROOT / "docs/from-codepipeline.md"
    done = gantry("import", "codepipeline", ROOT / "tests/unit/cli/import/eks-three-stages.json")
    assert done.returncode == 0, done.stderr
    shown = [t for p, t in blocks("text") if p == page] + [t for p, t in blocks("yaml") if p == page and "gates:" not in t]
    assert len(shown) == 3
    for line in shown[0].splitlines():
        assert line in done.stderr.splitlines(), line
    for text in shown[1:]:
        assert text in done.stdout, text


def test_every_type_of_record_is_in_the_reference():
    types = re.findall(r'"(gantry\.[a-z.-]+\.v1)"', (ROOT / "common/events/event_type.c").read_text())
    listed = re.findall(r"`(gantry\.[a-z.-]+\.v1)`", (ROOT / "docs/reference/events.md").read_text())
    assert set(types) and set(types) == set(listed)

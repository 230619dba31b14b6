"""The JSON Schema says of a definition what gantry says: what is taken is valid, and what is plainly wrong is refused by both.

What end-to-end tests apply is held against it where they apply it (tests/e2e/conftest.py)."""
import sys

import jsonschema
import pytest
from test_docs import ROOT, blocks, gantry

sys.path.insert(0, str(ROOT / "tests/e2e"))
import schema  # noqa: E402

GOOD = """apiVersion: gantry/v1
kind: Pipeline
metadata: {name: shop, labels: {team: web}}
spec:
  mode: queued
  variables: {LEVEL: info, RETRIES: 3}
  sources:
    - {name: app, git: https://git.example/shop.git, branches: [main], tags: v*, pull-requests: true, paths: {exclude: [docs/**]}, poll: 0}
  stages:
    - name: build
      steps:
        - build: {name: image, image: registry.example/shop, size: {cpu: 2, memory: 4Gi}, env: {LEVEL: "{{variables.LEVEL}}"}, timeout: 90s, build-image: "debian:12", privileged: true, kubernetes: {service-account: ci, node-selector: {kubernetes.io/arch: arm64}}}
    - name: prod
      gates:
        - soak: 2h
        - window: Mon-Fri 09:00-16:00 Europe/Berlin
        - manual: true
        - check: {custom: budget, input: {of: "{{release.number}}"}, every: 5m}
        - approval: {by: [group:qa], count: 2, rejects: 2, not: [author, starter], expires: 3d}
      on-failure: retry 2
      steps:
        - parallel:
            - approval: {name: look, by: user:kim@example.test}
            - custom/test: {name: test, input: {rate: 50}, lost-after: 5m, retry-lost: true}
        - deploy: {name: app, environment: prod, artifact: image, kubernetes: {namespace: "{{variables.LEVEL}}-x", deployment: shop, container: app}}
"""
ENVIRONMENT = """apiVersion: gantry/v1
kind: Environment
metadata: {name: prod}
spec: {driver: command, command: {run: deploy}, freeze: [{window: "Fri 14:00-24:00 Europe/Berlin", reason: weekend}]}
"""
NOTIFICATION = """apiVersion: gantry/v1
kind: Notification
metadata: {name: hook}
spec: {events: release.*, outcomes: [failed], webhook: {url: https://hooks.example/x, secret: hooks/x}}
"""
# of what, what is there, what is put there
WRONG = [
    (GOOD, "apiVersion: gantry/v1", "apiVersion: gantry/v2"),
    (GOOD, "kind: Pipeline", "kind: Pipelin"),
    (GOOD, "name: shop,", "name: Shop,"),
    (GOOD, "mode: queued", "mode: sideways"),
    (GOOD, "variables: {LEVEL", "variables: {1LEVEL"),
    (GOOD, "branches: [main]", "branch: [main]"),
    (GOOD, "branches: [main]", "branches: [refs/heads/main]"),
    (GOOD, "timeout: 90s", "timeout: 90 seconds"),
    (GOOD, "soak: 2h", "soak: long"),
    (GOOD, "manual: true", "manual: false"),
    (GOOD, "        - manual: true\n", "        - {manual: true, soak: 1h}\n"),
    (GOOD, "count: 2", "count: 0"),
    (GOOD, "not: [author, starter]", "not: [autor]"),
    (GOOD, "by: [group:qa]", "by: [qa]"),
    (GOOD, "on-failure: retry 2", "on-failure: retry 11"),
    (GOOD, "custom/test:", "custom/Test:"),
    (GOOD, "custom: budget, ", ""),
    (GOOD, "environment: prod, ", ""),
    (GOOD, "container: app", "container: app, nope: 1"),
    (GOOD, "container: app", "container: app, daemonset: shop"),
    (GOOD, "deployment: shop, ", ""),
    (GOOD, "deployment: shop", "deployment: Shop"),
    (GOOD, "retry-lost: true", "retry-lost: maybe"),
    (GOOD, "privileged: true", "privileged: maybe"),
    (ENVIRONMENT, "driver: command", "driver: telnet"),
    (ENVIRONMENT, ", reason: weekend", ""),
    (ENVIRONMENT, "{run: deploy}", "deploy"),
    (NOTIFICATION, "events: release.*, ", ""),
    (NOTIFICATION, "[failed]", "[faild]"),
    (NOTIFICATION, "https://hooks", "ftp://hooks"),
]


def documents():
    """Definitions from all over the sources, by where they stand."""
    for page, text in blocks("yaml"):
        if "apiVersion: gantry/v1" in text:
            yield f"{page.name}:{text.splitlines()[0][:40]}", text
    for path in sorted([*(ROOT / "tests/fuzz/corpus/definition").iterdir(), *(ROOT / "tests/unit/cli/import/known").glob("*.gantry")]):
        yield path.name, path.read_text()
    for name, text in (("good", GOOD), ("environment", ENVIRONMENT), ("notification", NOTIFICATION)):
        yield name, text


def taken(text, tmp_path):
    path = tmp_path / "definition.yaml"
    path.write_text(text)
    return gantry("check", path)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema.SCHEMA)


@pytest.mark.parametrize("text", [t for _, t in documents()], ids=[n for n, _ in documents()])
def test_a_definition_that_is_taken_is_valid(text, tmp_path):
    done = taken(text, tmp_path)
    if done.returncode == 0:
        schema.assert_valid(text)
    else:
        assert text not in (GOOD, ENVIRONMENT, NOTIFICATION), done.stderr


@pytest.mark.parametrize("of, there, instead", WRONG, ids=[f"{t} -> {i}".strip()[:60] for _, t, i in WRONG])
def test_what_is_plainly_wrong_is_refused_by_both(of, there, instead, tmp_path):
    assert of.count(there) == 1
    text = of.replace(there, instead)
    assert taken(text, tmp_path).returncode != 0
    assert schema.problems(text)

"""Definitions by the command line: what an apply would change, and every mistake in a file."""
import pytest

ENVIRONMENT = """apiVersion: gantry/v1
kind: Environment
metadata: {name: prod}
spec: {deployer: default, driver: command, command: {run: deploy}}
"""
PIPELINE = """# who may: ask Ana
apiVersion: gantry/v1
kind: Pipeline
metadata: {name: shop}
spec:
  sources: [{name: app, git: "https://git.example/shop.git", branches: [main], poll: 0}]
  stages:
    - name: build
      steps: [{build: {name: image, image: registry.example/shop}}]
    - name: prod
      gates:
        - approval: {by: ["group:qa"], count: 1}
      steps: [{deploy: {name: app, environment: prod}}]
"""
BOTH = PIPELINE + "---\n" + ENVIRONMENT


@pytest.fixture
def stack(make_stack):
    return make_stack(services=["promoter", "approver", "console"])


def diff(stack, text, *options, file="-", code=None, **kwargs):
    done = stack.gantry("diff", "-f", file, *options, stdin=text, check=False, **kwargs)
    assert code is None or done.code == code, (done.code, done.out, done.err)
    return done


def test_diff_of_what_is_not_there_says_that_it_would_be_created(stack):
    new = diff(stack, BOTH, code=1)
    assert "Pipeline/shop would be created" in new.out and "Environment/prod would be created" in new.out
    assert "--- Pipeline/shop (in force)\n+++ Pipeline/shop (to be applied)" in new.out
    assert "\n+metadata: {name: shop}" in new.out
    answer = diff(stack, BOTH, "-o", "json", code=1).json()
    assert [(a["kind"], a["name"], a["exists"], a["changes"]) for a in answer] == [
        ("Pipeline", "shop", False, []), ("Environment", "prod", False, [])]


def test_diff_tells_what_would_change_and_nothing_of_what_would_not(stack, tmp_path):
    stack.apply(BOTH)
    same = diff(stack, BOTH, code=0)
    assert same.out == "" and diff(stack, BOTH, "-o", "json", code=0).json() == []

    changed = BOTH.replace("count: 1", "count: 2").replace("branches: [main]", "branches: [main, 'release/*']")
    file = tmp_path / "shop.yaml"
    file.write_text(changed)
    whole = diff(stack, None, file=file, code=1)
    assert "Pipeline/shop would change" in whole.out and "prod" not in whole.out.split("\n")[0]
    assert "Environment/prod" not in whole.out
    assert "~ stages.prod.gates.approval.count: 1 -> 2" in whole.out
    assert '-        - approval: {by: ["group:qa"], count: 1}' in whole.out
    assert '+        - approval: {by: ["group:qa"], count: 2}' in whole.out

    summary = diff(stack, changed, "--summary", code=1).out
    assert "stages.prod.gates.approval.count: 1 -> 2" in summary and "sources.app.branches" in summary
    assert "@@" not in summary and "+++" not in summary

    (answer,) = diff(stack, changed, "-o", "json", code=1).json()
    assert (answer["kind"], answer["name"], answer["exists"]) == ("Pipeline", "shop", True)
    change = next(c for c in answer["changes"] if c["path"].endswith("count"))
    assert change == {"op": "~", "path": "spec.stages.prod.gates.approval.count", "before": "1", "after": "2"}

    layout = diff(stack, BOTH.replace("ask Ana", "ask Bo"), code=1).out
    assert "only comments or layout would change" in layout and "-# who may: ask Ana" in layout
    assert stack.gantry("get", "pipeline", "shop").out.strip() == PIPELINE.strip(), "diff changes nothing"


def test_diff_of_a_wrong_file_asks_nobody_and_one_that_nobody_answers_says_so(stack):
    wrong = diff(stack, BOTH.replace("steps:", "stpes:", 1), code=2)
    assert "stpes" in wrong.err and "did you mean 'steps'?" in wrong.err and wrong.out == ""
    assert diff(stack, None, file="/nowhere/shop.yaml", code=2).err
    assert stack.gantry("diff", check=False).code == 2
    assert diff(stack, BOTH, "--url", "http://127.0.0.1:9", code=6).err
    assert diff(stack, BOTH, token="gty_nobody", code=4).err


def test_check_gives_every_mistake_as_json(stack, tmp_path):
    good, bad, missing = tmp_path / "good.yaml", tmp_path / "bad.yaml", tmp_path / "missing.yaml"
    good.write_text(BOTH)
    bad.write_text(ENVIRONMENT + "---\n" + PIPELINE.replace("branches:", "branchs:").replace("count: 1", "count: many"))
    done = stack.gantry("check", "-o", "json", good, bad, missing, check=False)
    answer = done.json()
    assert done.code == 2 and done.err == ""
    assert answer["files"] == [{"file": str(good), "definitions": 2}, {"file": str(bad), "definitions": 1}, {"file": str(missing), "definitions": 0}]
    ref, key, count, file = answer["mistakes"]
    assert key == {"file": str(bad), "line": 11, "column": 62, "path": "spec.sources[0].branchs", "nearest": "branches",
                   "reason": "not a key of a source; did you mean 'branches'?"}
    assert ref["path"] == "spec.sources[0]" and "branches" in ref["reason"] and "nearest" not in ref
    assert (count["file"], count["line"], count["path"]) == (str(bad), 17, "spec.stages[1].gates[0].approval.count")
    assert (file["file"], "line" in file) == (str(missing), False) and file["reason"]

    fine = stack.gantry("check", "-o", "json", good)
    assert fine.json() == {"files": [{"file": str(good), "definitions": 2}], "mistakes": []}
    broken = stack.gantry("check", "-o", "json", "-", stdin="a: [", check=False)
    assert broken.code == 2 and broken.json()["mistakes"][0]["file"] == "(standard input)" and broken.json()["mistakes"][0]["line"] >= 1
    text = stack.gantry("check", good, bad, check=False)
    assert text.code == 2 and f"{good}: 2 definitions, no mistakes" in text.out and f"{bad}:11:62: spec.sources[0].branchs: " in text.err

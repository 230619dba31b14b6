"""`gantry import codepipeline` as people call it: streams, options, exit codes."""
import json
import subprocess

from stack import BUILD, ROOT, environment

EXAMPLES = ROOT / "tests/unit/cli/import"
EKS = EXAMPLES / "eks-three-stages.json"


def gantry(*args, stdin=None):
    return subprocess.run([BUILD / "services/cli/gantry", *map(str, args)], capture_output=True, text=True,
                          input=stdin, env=environment(), timeout=60)


def test_definitions_go_to_standard_output_and_the_report_to_standard_error():
    done = gantry("import", "codepipeline", EKS)
    assert done.returncode == 0
    assert "kind: Pipeline" in done.stdout and "needs you" not in done.stdout
    assert "needs you" in done.stderr and "kind: Pipeline" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("11 kept, 3 changed, ")
    applies = gantry("check", "-", stdin=done.stdout)
    assert applies.returncode == 0 and "4 definitions, no mistakes" in applies.stdout


def test_a_dash_is_standard_input_with_or_without_the_outer_mapping():
    whole = json.loads(EKS.read_text())
    bare = gantry("import", "codepipeline", "-", stdin=json.dumps(whole["pipeline"]))
    assert bare.returncode == 0
    assert bare.stdout == gantry("import", "codepipeline", "-", stdin=EKS.read_text()).stdout


def test_the_report_goes_into_a_file_and_leaves_a_device_as_it_is(tmp_path):
    report = tmp_path / "report"
    done = gantry("import", "codepipeline", EKS, "--report", report)
    assert done.returncode == 0 and done.stderr == "" and "needs you" in report.read_text()
    link = tmp_path / "link"
    link.symlink_to(report)
    assert gantry("import", "codepipeline", EKS, "--report", link).returncode == 0
    assert link.is_symlink(), "what is there is written to, not replaced"
    missing = gantry("import", "codepipeline", EKS, "--report", tmp_path / "no/such")
    assert missing.returncode == 2 and "no/such" in missing.stderr and missing.stdout == ""


def test_json_has_both():
    both = json.loads(gantry("import", "codepipeline", EKS, "-o", "json").stdout)
    assert both["definitions"] == gantry("import", "codepipeline", EKS).stdout
    assert {line["kind"] for line in both["report"]} == {"kept", "changed", "needs you"}


def test_parameters_are_filled_in():
    template = EXAMPLES / "cloudformation-change-sets.yaml"
    done = gantry("import", "codepipeline", template, "-p", "GitHubOwner=acme", "--parameter", "Branch=main")
    assert "git: https://github.com/acme/network.git\n      branches: [main]\n" in done.stdout
    assert gantry("import", "codepipeline", template, "-p", "Branch").returncode == 2


def test_what_is_no_pipeline_is_refused_with_file_and_line(tmp_path):
    for name, text, said in [("a.yaml", "a: 1\nb: *x\n", "a.yaml:2:4: aliases"), ("b.json", '{"a":\n}', "b.json:2:"),
                             ("c.yaml", "Resources: {}\n", "c.yaml:1: a template without")]:
        (tmp_path / name).write_text(text)
        done = gantry("import", "codepipeline", tmp_path / name)
        assert done.returncode == 2 and said in done.stderr and done.stdout == "", done.stderr
    gone = gantry("import", "codepipeline", tmp_path / "gone")
    assert gone.returncode == 2 and "gone" in gone.stderr
    assert gantry("import", "codepipeline").returncode == 2
    assert gantry("import").returncode == 2


def test_what_is_too_large_is_refused_at_once():
    assert "larger than 2 MiB" in gantry("import", "codepipeline", "-", stdin=" " * (3 << 20)).stderr
    action = {"name": "a", "actionTypeId": {"category": "Invoke", "provider": "X"}}
    stage = {"name": "s", "actions": [action] * 51}
    done = gantry("import", "codepipeline", "-", stdin=json.dumps({"name": "p", "stages": [stage]}))
    assert done.returncode == 2 and "up to 51 in a stage" in done.stderr

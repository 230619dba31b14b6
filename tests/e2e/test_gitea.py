"""A real Gitea pushes its webhooks: the forge's own signature, payload and timing."""
import json
import os
import re
import subprocess
import urllib.request

import pytest
from stack import ROOT, eventually

pytestmark = pytest.mark.full
SERVICES = ROOT.parent / "shared/lab/services"
SECRET = "a-secret-of-both"


@pytest.fixture(scope="module")
def gitea():
    if "GITEA_URL" not in os.environ:
        if not SERVICES.exists():
            pytest.fail("set GITEA_URL, GITEA_USER, GITEA_PASSWORD and GITEA_TOKEN to a Gitea that may call loopback")
        subprocess.run([SERVICES, "up", "gitea"], check=True, stdout=subprocess.DEVNULL)
        lines = subprocess.run([SERVICES, "env", "gitea"], check=True, capture_output=True, text=True).stdout
        os.environ.update(re.findall(r"(GITEA_\w+)=(\S+)", lines))
        yield Gitea()
        subprocess.run([SERVICES, "down", "gitea"], check=True, stdout=subprocess.DEVNULL)
    else:
        yield Gitea()


class Gitea:
    def __init__(self):
        self.url, self.user, self.token = (os.environ[f"GITEA_{k}"] for k in ("URL", "USER", "TOKEN"))

    def api(self, method, path, body=None):
        req = urllib.request.Request(f"{self.url}/api/v1{path}", method=method, data=json.dumps(body).encode() if body else None)
        req.add_header("Authorization", f"token {self.token}")
        req.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(req) as answer:
            return json.loads(answer.read() or b"null")


def test_a_push_to_gitea_starts_a_release_by_its_webhook_alone(make_stack, gitea, repository):
    stack = make_stack(start=False, settings={"source-watcher": {"webhook-secret": "hook"}})
    stack.prepare()
    stack.secret("hook", SECRET)
    stack.secret("gitea", f"{gitea.user}:{gitea.token}", builder=True)
    stack.start()
    name = stack.prefix
    remote = gitea.api("POST", "/user/repos", {"name": name, "private": True})["clone_url"]
    repository.git("remote", "add", "gitea", remote.replace("://", f"://{gitea.user}:{gitea.token}@"))
    repository.commit("first", {"buildspec.yml": "version: 0.2\nphases: {build: {commands: ['true']}}\n"})
    repository.git("push", "-q", "gitea", "HEAD:refs/heads/main")
    gitea.api("POST", f"/repos/{gitea.user}/{name}/hooks", {
        "type": "gitea", "active": True, "events": ["push"],
        "config": {"url": f"http://127.0.0.1:{stack.ports['source-watcher']}/hooks/gitea", "content_type": "json", "secret": SECRET}})
    stack.apply(f"""
apiVersion: gantry/v1
kind: Pipeline
metadata: {{name: forge}}
spec:
  sources: [{{name: app, git: '{remote}', branches: [main], credentials: gitea, poll: 0}}]
  stages:
    - {{name: test, steps: [{{build: {{name: test, buildspec: buildspec.yml}}}}]}}
""")
    commit = repository.commit("second", push=False)
    repository.git("push", "-q", "gitea", "HEAD:refs/heads/main")
    release = eventually(lambda: next((r for r in stack.get("/api/v1/pipelines/forge/releases")["releases"] if r["commit"] == commit), None),
                         30, "a release by the webhook")
    release = stack.wait_release("forge", release["number"])
    assert release["status"] == "succeeded"
    assert release["revisions"][0]["pusher"] == gitea.user

"""A real Gitea pushes its webhooks: the forge's own signature, payload and timing."""
import json
import os
import re
import subprocess
import urllib.request

import pytest
from pipelines import one_stage
from stack import ROOT, eventually, free_port

pytestmark = pytest.mark.full
SCRIPT = ROOT / "tests/gitea"
SECRET = "a-secret-of-both"


@pytest.fixture(scope="module")
def gitea():
    """One that GITEA_URL, GITEA_USER and GITEA_TOKEN name and that may call loopback, or our own."""
    if "GITEA_URL" in os.environ:
        yield Gitea(os.environ)
        return
    env = dict(os.environ, GITEA_PORT=str(free_port()))
    subprocess.run([SCRIPT, "up"], check=True, env=env)
    lines = subprocess.run([SCRIPT, "env"], check=True, env=env, capture_output=True, text=True).stdout
    yield Gitea(dict(re.findall(r"(GITEA_\w+)=(\S+)", lines)))
    subprocess.run([SCRIPT, "down"], check=True, env=env)


class Gitea:
    def __init__(self, env):
        self.url, self.user, self.token = (env[f"GITEA_{k}"] for k in ("URL", "USER", "TOKEN"))

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
    stack.apply(one_stage("forge", remote, "name: test, buildspec: buildspec.yml", stage="test",
                          source="branches: [main], credentials: gitea, poll: 0"))
    commit = repository.commit("second", push=False)
    repository.git("push", "-q", "gitea", "HEAD:refs/heads/main")
    release = eventually(lambda: next((r for r in stack.get("/api/v1/pipelines/forge/releases")["releases"] if r["commit"] == commit), None),
                         30, "a release by the webhook")
    release = stack.wait_release("forge", release["number"], "succeeded")
    assert release["revisions"][0]["pusher"] == gitea.user

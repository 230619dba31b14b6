"""What starts a release: several sources, paths, tags and pull requests, in real repositories."""
import json
import time

from stack import Repository, eventually

PIPELINE = """
apiVersion: gantry/v1
kind: Pipeline
metadata: {name: shop}
spec:
  mode: queued
  sources: [%s]
  stages: [{name: test, steps: [{build: {name: unit, source: app, buildspec: b.yml}}]}]
"""
PASSES = {"b.yml": "version: 0.2\nphases: {build: {commands: ['true']}}\n"}
FAILS = {"b.yml": "version: 0.2\nphases: {build: {commands: ['exit 9']}}\n"}
SERVICES = ["source-watcher", "promoter", "builder", "console"]


def revisions(release):
    """{source: (ref, commit)}"""
    return {r["source"]: (r["ref"], r["commit"]) for r in release["revisions"]}


def releases(stack):
    return stack.get("/api/v1/pipelines/shop/releases")["releases"]


def make(make_stack, *sources):
    stack = make_stack(services=SERVICES)
    stack.apply(PIPELINE % ", ".join(sources))
    return stack


def first_look(stack):
    """Waits until the watcher noted what was there."""
    eventually(lambda: "first look noted" in stack.log.read_text(errors="replace"), what="the first look")


def assert_stays_at(stack, number, seconds=3):
    time.sleep(seconds)
    assert max([r["number"] for r in releases(stack)], default=0) == number


def test_both_sources_are_pinned_at_the_start_and_what_starts_nothing_comes_along_later(make_stack, repository, tmp_path):
    conf = Repository(tmp_path, "conf")
    app_1, conf_1 = repository.commit("first", {**PASSES, "src/a.c": "1"}), conf.commit("first", {"dev.conf": "1"})
    stack = make(make_stack, f"{{name: app, git: '{repository.url}', branches: [main], paths: [src/**], poll: 1s}}",
                 f"{{name: conf, git: '{conf.url}', branches: [main], paths: {{exclude: [docs/**, '**.md']}}, poll: 1s}}")
    release = stack.wait_release("shop", 1, "succeeded")
    assert revisions(release) == {"app": ("refs/heads/main", app_1), "conf": ("refs/heads/main", conf_1)}

    conf.commit("words", {"docs/guide.txt": "long", "README.md": "short"})
    app_2 = repository.commit("not of interest", {"notes/x": "1"})
    assert_stays_at(stack, 1)
    conf_2 = conf.commit("of interest", {"dev.conf": "2"})
    release = stack.wait_release("shop", 2, "succeeded")
    assert revisions(release) == {"app": ("refs/heads/main", app_2), "conf": ("refs/heads/main", conf_2)}

    conf_3 = conf.commit("words again", {"docs/guide.txt": "longer"})
    app_3 = repository.commit("of interest [skip ci]", {"src/a.c": "2"})
    assert_stays_at(stack, 2)
    repository.git("mv", "src/a.c", "a.c")
    app_4 = repository.commit("moved away", {"notes/x": "2"})
    release = stack.wait_release("shop", 3, "succeeded")
    assert app_4 != app_3
    assert revisions(release) == {"app": ("refs/heads/main", app_4), "conf": ("refs/heads/main", conf_3)}


def test_a_release_by_hand_is_of_the_commits_that_were_named_of_several_sources(make_stack, repository, tmp_path):
    conf = Repository(tmp_path, "conf")
    app_1, conf_1 = repository.commit("first", PASSES), conf.commit("first", {"dev.conf": "1"})
    stack = make(make_stack, *(f"{{name: {name}, git: '{url}', branches: [main], poll: 1s}}" for name, url in
                               (("app", repository.url), ("conf", conf.url))))
    stack.wait_release("shop", 1, "succeeded")
    app_2 = repository.commit("second", FAILS)
    stack.wait_release("shop", 2, "failed")
    conf_2 = conf.commit("second", {"dev.conf": "2"})
    stack.wait_release("shop", 3, "failed")

    def start(*words, check=True):
        return stack.gantry("release", "start", "shop", *words, check=check)

    def shown(number):
        stack.wait_release("shop", number)
        release = json.loads(stack.gantry("release", "show", f"shop/{number}", "-o", "json").out)
        assert {ref for ref, _ in revisions(release).values()} == {"refs/heads/main"}
        return release["status"], {source: commit for source, (_, commit) in revisions(release).items()}
    # The first commit of app passes: it is what was built.
    assert "shop/4 started" in start("--revision", f"conf={conf_1[:7]}", "--revision", f"app={app_1}").out
    assert shown(4) == ("succeeded", {"app": app_1, "conf": conf_1})
    assert "shop/5 started" in start("-r", f"conf={conf_1}").out
    assert shown(5) == ("failed", {"app": app_2, "conf": conf_1})
    assert "shop/6 started" in start("--source", "app", "--revision", app_1[:7]).out
    assert shown(6) == ("succeeded", {"app": app_1, "conf": conf_2})

    for words, reason in (((f"app={app_1}", f"app={app_2}"), "revisions[1].source: revisions[0] is of 'app' already"),
                          ((f"app={conf_1[:7]}",), "revisions[0].revision: no known commit of the source"),
                          ((f"app={app_1}", f"lib={app_1}"), "revisions[1].source: the pipeline has no such source"),
                          ((f"app={app_1}", conf_1), f"SOURCE=COMMIT, not '{conf_1}'"), (("app=",), "SOURCE=COMMIT, not 'app='")):
        refused = start(*(f"--revision={word}" for word in words), check=False)
        assert refused.code == 2 and reason in refused.err, refused.err
    refused = start("--revision", f"app={app_1}", "--source", "app", check=False)
    assert refused.code == 2 and "--source exclude each other" in refused.err, refused.err
    assert_stays_at(stack, 6, seconds=0)


def test_a_new_tag_starts_a_release_of_the_commit_that_it_names(make_stack, repository):
    repository.commit("first", PASSES)
    for tag in ("v1", "v2", "other"):
        repository.git("tag", tag)
    repository.git("push", "-q", "--tags", "origin")
    stack = make(make_stack, f"{{name: app, git: '{repository.url}', tags: ['v*'], poll: 1s}}")
    first_look(stack)
    second = repository.commit("second", FAILS)
    repository.git("tag", "-a", "-m", "Out with it", "v3")
    repository.git("push", "-q", "origin", "v3")
    # It is the tagged commit that is built: it fails.
    release = stack.wait_release("shop", 1, "failed")
    assert revisions(release) == {"app": ("refs/tags/v3", second)}

    third = repository.commit("third", PASSES)
    repository.git("tag", "-f", "v1")
    repository.git("push", "-q", "-f", "origin", "v1")
    release = stack.wait_release("shop", 2, "succeeded")
    assert revisions(release) == {"app": ("refs/tags/v1", third)}
    repository.git("push", "-q", "origin", ":refs/tags/v2")
    assert_stays_at(stack, 2)


def test_a_pull_requests_head_starts_a_release(make_stack, repository):
    repository.commit("first", PASSES)
    repository.git("push", "-q", "origin", "HEAD:refs/pull/1/head")
    stack = make(make_stack, f"{{name: app, git: '{repository.url}', branches: [main], pull-requests: true, poll: 1s}}")
    stack.wait_release("shop", 1, "succeeded")
    first_look(stack)

    # No branch has it: it is fetched by its name, by the watcher and by the builder.
    proposed = repository.commit("proposed", FAILS, push=False, author="Eve <eve@example.test>")
    repository.git("push", "-q", "origin", "HEAD:refs/pull/2/head", "HEAD:refs/pull/2/merge")
    release = stack.wait_release("shop", 2, "failed")
    assert revisions(release) == {"app": ("refs/pull/2/head", proposed)}

    better = repository.commit("better", PASSES, push=False, author="Eve <eve@example.test>")
    repository.git("push", "-q", "origin", "HEAD:refs/merge-requests/3/head")
    release = stack.wait_release("shop", 3, "succeeded")
    assert revisions(release) == {"app": ("refs/merge-requests/3/head", better)}
    assert_stays_at(stack, 3)

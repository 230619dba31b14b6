"""What a build finds in its folder: submodules, what Git LFS keeps, a .git; and what a hostile commit gets."""
import hashlib

from pipelines import one_stage
from stack import Repository

BUILDSPEC = """version: 0.2
phases:
  build:
    commands:
%s
"""


def keep(repository, name, content):
    """Puts a file where Git LFS keeps it, as a push would, and returns its pointer."""
    oid = hashlib.sha256(content).hexdigest()
    place = repository.bare / "lfs/objects" / oid[:2] / oid[2:4]
    place.mkdir(parents=True, exist_ok=True)
    (place / oid).write_bytes(content)
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


def commands(*lines):
    return BUILDSPEC % "\n".join(f"      - {line}" for line in lines)


def build(stack, name, repository, extra):
    stack.apply(one_stage(name, repository.url, "name: look, source: app, buildspec: buildspec.yml", source=f"branches: [main], poll: 1s{extra}"))
    return stack.wait_release(name, 1, "succeeded", "failed")


def test_a_build_has_its_submodules_its_large_files_and_a_git(make_stack, workspace, repository):
    stack = make_stack()
    library = Repository(stack.folder, "library")
    library.commit("library", {"answer": "42\n", "film": keep(library, "film", b"of the library")})
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", library.url, "vendor/library")
    repository.commit("all", {"large": keep(repository, "large", b"a large file"), "buildspec.yml": commands(
        'test "$(cat vendor/library/answer)" = 42',
        'test "$(cat vendor/library/film)" = "of the library"',
        'test "$(cat large)" = "a large file"',
        'test "$(git rev-parse HEAD)" = "$CODEBUILD_RESOLVED_SOURCE_VERSION"',
        'git log --oneline')})
    release = build(stack, "all", repository, ", submodules: true, lfs: true, clone: true")
    assert release["status"] == "succeeded", release

    repository.commit("nothing", {"buildspec.yml": commands(
        'test -z "$(ls vendor/library)"', 'grep -q git-lfs large', 'test ! -e .git')})
    release = build(stack, "nothing", repository, "")
    assert release["status"] == "succeeded", release


def test_a_hostile_submodule_fails_its_build_alone_and_by_name(make_stack, workspace, repository):
    stack = make_stack()
    for number, (line, word) in enumerate([("url = ext::sh -c 'touch /tmp/pwned'", "blank"),
                                           ("url = ext::pwned", "https, ssh, git"),
                                           ("url = -u./pwned", "dash"),
                                           ("url = ./x\n\tupdate = !touch /tmp/pwned", "command")]):
        repository.commit("evil", push=False, files={
            "buildspec.yml": commands("true"), ".gitmodules": f'[submodule "evil"]\n\tpath = evil\n\t{line}\n'})
        repository.git("update-index", "--add", "--cacheinfo", f"160000,{repository.git('rev-parse', 'HEAD')},evil")
        repository.commit("evil", files={"stamp": str(number)})
        release = build(stack, f"evil-{number}", repository, ", submodules: true")
        assert release["status"] == "failed"
        assert "evil" in str(release) and word in str(release), release
    repository.git("rm", "-q", "--cached", "evil")
    repository.commit("good", {"stamp": "good"})
    assert build(stack, "good", repository, ", submodules: true")["status"] == "succeeded"

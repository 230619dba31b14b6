"""`docker` in a build's sandbox: people's buildspecs push images unchanged, without an engine."""
import hashlib
import json
import pathlib
import tempfile
import urllib.request

import pytest
from local_build import build, spec
from stack import Registry

DOCKERFILE = "FROM scratch\nARG WHO=nobody\nLABEL who=$WHO\nCOPY Dockerfile /it\nHEALTHCHECK CMD /it\nCMD [\"/it\"]\n"
MANIFESTS = ", ".join(f"application/vnd.{kind}+json" for kind in (
    "docker.distribution.manifest.v2", "docker.distribution.manifest.list.v2", "oci.image.manifest.v1",
    "oci.image.index.v1"))


@pytest.fixture
def folder(workspace):
    path = pathlib.Path(tempfile.mkdtemp(prefix="docker-", dir=workspace))
    path.chmod(0o755)
    (path / "Dockerfile").write_text(DOCKERFILE)
    return path


@pytest.fixture(scope="module")
def locked(workspace):
    registry = Registry(workspace / "registry-login", login=("AWS", "s3cret"))
    registry.start()
    yield registry
    registry.stop()


def quoted(command):
    return "'" + command.replace("'", "''") + "'"


def run(folder, *commands, code=0, env=()):
    (folder / "buildspec.yml").write_text(spec(*map(quoted, commands)))
    done = build(folder, *(word for pair in env for word in ("--env", pair)))
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def manifest(registry, name, tag="latest"):
    """Its digest and what it says."""
    request = urllib.request.Request(f"http://{registry.address}/v2/{name}/manifests/{tag}", headers={"Accept": MANIFESTS})
    body = urllib.request.urlopen(request).read()
    return "sha256:" + hashlib.sha256(body).hexdigest(), json.loads(body)


def config(registry, name, of):
    url = f"http://{registry.address}/v2/{name}/blobs/{of['config']['digest']}"
    return json.loads(urllib.request.urlopen(url).read())


def test_the_buildspec_of_codebuilds_docker_sample_works_unchanged(folder, registry):
    (folder / "buildspec.yml").write_text("""version: 0.2

phases:
  pre_build:
    commands:
      - echo Logging in to the registry...
  build:
    commands:
      - echo Build started on `date`
      - echo Building the Docker image...
      - docker build -t $IMAGE_REPO_NAME:$IMAGE_TAG --build-arg WHO=sample .
      - docker tag $IMAGE_REPO_NAME:$IMAGE_TAG $AWS_ACCOUNT_ID/$IMAGE_REPO_NAME:$IMAGE_TAG
  post_build:
    commands:
      - echo Build completed on `date`
      - echo Pushing the Docker image...
      - docker push $AWS_ACCOUNT_ID/$IMAGE_REPO_NAME:$IMAGE_TAG
""")
    done = build(folder, "--env", "IMAGE_REPO_NAME=sample", "--env", "IMAGE_TAG=v1", "--env", f"AWS_ACCOUNT_ID={registry.address}")
    assert done.returncode == 0, done.stdout
    digest, image = manifest(registry, "sample", "v1")
    assert f"v1: digest: {digest}" in done.stdout.splitlines()
    about = config(registry, "sample", image)["config"]
    assert about["Labels"]["who"] == "sample"
    assert about["Healthcheck"] == {"Test": ["CMD-SHELL", "/it"]}


def test_the_digest_of_a_push_is_what_inspect_says(folder, registry):
    said = run(folder, f"docker build -q -t {registry.address}/inspected .", f"docker push -q {registry.address}/inspected",
               f"""docker inspect --format='said {{{{index .RepoDigests 0}}}}' {registry.address}/inspected""",
               f"""docker inspect -f '{{{{index .Config.Labels "who"}}}} {{{{json .Config.Cmd}}}} {{{{.Os}}}}' {registry.address}/inspected""",
               "docker image inspect none || echo exit $?")
    digest, _ = manifest(registry, "inspected")
    assert f"said {registry.address}/inspected@{digest}" in said
    assert 'nobody ["/it"] linux' in said
    assert "docker: no such image: none\n[]\nexit 1\n" in said


def test_an_image_is_a_base_by_its_short_name_and_by_its_registrys(folder, registry):
    run(folder, "docker build -q -t base:1 .", "printf 'FROM base:1\\nENV A=b\\n' | docker build -q -t next -f - .",
        f"docker tag next {registry.address}/next", f"docker push -q {registry.address}/next", "docker rmi -f -a >/dev/null",
        "test -z \"$(docker images -q)\"",
        f"docker pull -q {registry.address}/next", f"printf 'FROM {registry.address}/next\\nENV C=d\\n' >D",
        f"docker build -q -f D -t {registry.address}/last .", f"docker push -q {registry.address}/last")
    assert {"A=b", "C=d"} <= set(config(registry, "last", manifest(registry, "last")[1])["config"]["Env"])


def test_saved_images_are_loaded_again(folder):
    said = run(folder, "docker build -q -t saved:3 .", "docker save -o saved.tar saved:3", "docker save saved:3 | gzip >saved.tgz",
               "docker rmi -f saved:3 >/dev/null", "docker load -i saved.tar", "docker rmi -a -f >/dev/null",
               "docker load <saved.tgz", "docker images --format '{{.Repository}} {{.Tag}}'")
    assert said.count("Loaded image: saved:3\n") == 2
    assert "\nsaved 3\n" in said


def test_a_build_for_several_platforms_pushes_one_list(folder, registry):
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /it\n")
    said = run(folder, "docker buildx create --use",
               f"docker buildx build --platform linux/amd64,linux/arm64 -t {registry.address}/several:1 "
               f"-t {registry.address}/several:2 --push --metadata-file m.json .", "cat m.json")
    digest, index = manifest(registry, "several", "1")
    assert sorted(m["platform"]["architecture"] for m in index["manifests"]) == ["amd64", "arm64"]
    assert manifest(registry, "several", "2")[0] == digest
    assert f'"containerimage.digest": "{digest}"' in said


def test_manifest_makes_a_list_of_pushed_images(folder, registry):
    a = registry.address
    said = run(folder, f"docker build -q -t {a}/part:1 .", f"docker push -q {a}/part:1",
               f"docker manifest create {a}/list:1 {a}/part:1", f"docker manifest push {a}/list:1",
               f"docker manifest create {a}/list:2 {a}/none:1 || echo exit $?",
               f"docker buildx imagetools create -t {a}/list:3 {a}/part:1")
    digest, index = manifest(registry, "list", "1")
    assert [m["digest"] for m in index["manifests"]] == [manifest(registry, "part", "1")[0]]
    assert digest in said
    assert "\nexit 125\n" in said
    assert manifest(registry, "list", "3")[1]["manifests"] == index["manifests"]


def test_a_registry_with_a_login_takes_the_push_after_docker_login(folder, locked):
    (folder / "ca.pem").write_text(locked.ca.read_text())
    a = locked.address
    ca = "SSL_CERT_FILE=/home/build/src/ca.pem"
    said = run(folder, f"echo s3cret >pw; docker build -q -t {a}/locked .", f"docker push -q {a}/locked || echo exit $?",
               f"docker login --username AWS --password-stdin https://{a} <pw", "ls ~/.docker/config.json",
               f"docker push -q {a}/locked", f"docker logout {a}", f"docker push -q {a}/locked || echo exit $?",
               f"echo wrong | docker login -u AWS --password-stdin {a} || echo refused", env=[ca])
    assert said.count("\nexit 125\n") == 2
    assert "Login Succeeded!" in said
    assert "\nrefused\n" in said


def test_layers_are_taken_from_the_registry_of_the_build_before(folder, registry):
    (folder / "Dockerfile").write_text("FROM scratch AS base\nCOPY one /one\n"
                                       f"FROM {registry.address}/cached-base\nCOPY one /one\nCOPY two /two\n")
    for name in ("one", "two"):
        (folder / name).write_text(name)
    run(folder, "printf 'FROM scratch\\nCOPY one /zero\\n' >D", f"docker build -q -f D -t {registry.address}/cached-base .",
        f"docker push -q {registry.address}/cached-base")
    cache = f"--cache-from type=registry,ref={registry.address}/cached/layers --cache-to type=registry,ref={registry.address}/cached/layers,mode=max"
    assert "Cache pulled" not in run(folder, f"docker build {cache} .")
    assert run(folder, f"docker build {cache} .").count("Cache pulled from remote") == 2
    (folder / "two").write_text("changed")
    assert run(folder, f"docker build {cache} .").count("Cache pulled from remote") == 1


def test_what_codebuilds_samples_say_about_a_cache_goes_on_without_one_and_is_told_why(folder, registry):
    image = f"{registry.address}/legacy:latest"
    said = run(folder, f"docker pull {image} || echo none yet", f"docker build --cache-from {image} -t {image} .", f"docker push {image}",
               f"docker rmi {image} && docker pull {image}", f"docker images {registry.address}/legacy --format '{{{{.Tag}}}} {{{{.ID}}}}'",
               f"docker build --cache-from {image} -t again . && docker tag again {image} && docker inspect {image} --format '{{{{.RepoTags}}}}'")
    assert "\nnone yet\n" in said and "\nlatest " in said and "latest: digest: sha256:" in said
    assert said.count(f"docker: --cache-from={image} has no effect here: the layers of an image are not looked through") == 2


def test_an_image_that_is_not_there_is_named_and_fails(folder):
    said = run(folder, *(f"docker {words} || echo exit $?" for words in (
        "tag missing x", "push missing", "save missing -o x.tar", "load -i missing.tar", "rmi missing")))
    assert said.count("\nexit 125\n") + said.count("\nexit 1\n") == 5 and said.count("missing") >= 10


@pytest.mark.parametrize("words", ["run --rm alpine true", "exec x sh", "compose up", "ps", "system events"])
def test_what_needs_an_engine_says_so_and_exits_125(folder, words):
    said = run(folder, f"docker {words} || echo exit $?")
    name = " ".join(words.split()[:2]) if words.startswith("system") else words.split()[0]
    assert f"docker: {name} needs an engine" in said
    assert "on a builder whose driver is docker (docs/builder.md)" in said
    assert "privileged: true" in said
    assert "\nexit 125\n" in said


def test_mistakes_are_exit_125_with_the_reason(folder):
    said = run(folder, "docker build --nonsense . || echo exit $?", "docker push || echo exit $?", "docker save a b || echo exit $?")
    assert said.count("\nexit 125\n") == 3
    assert "docker: build: unknown option: --nonsense" in said


def test_scripts_that_look_for_docker_find_it(folder):
    said = run(folder, "docker --version", "docker version --format '{{.Server.Version}}'", "until docker info; do sleep 1; done",
               "command -v docker podman", "docker system prune -af && docker builder prune -f")
    assert "Docker version " in said
    assert "/run/gantry-shared/containers/docker\n" in said

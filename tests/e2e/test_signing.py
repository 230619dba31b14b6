"""Images are signed, and their provenance told, so that others can check both."""
import base64
import json
import os
import subprocess
import urllib.request

import pytest
from pipelines import one_stage
from stack import ROOT, Registry, eventually, free_port

INDEX = "application/vnd.oci.image.index.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGNATURE, PROVENANCE = "https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v1"
FILES = {"Dockerfile": "FROM scratch\nCOPY Dockerfile /it\n",
         "docker.yml": "version: 0.2\nphases: {build: {commands: [docker build -q -t $GANTRY_IMAGE ., docker push -q $GANTRY_IMAGE]}}\n"}


@pytest.fixture
def key(tmp_path):
    """A private key, PEM, and the file of its public half."""
    private = subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], check=True,
                             capture_output=True).stdout
    public = tmp_path / "cosign.pub"
    subprocess.run(["openssl", "pkey", "-pubout", "-out", str(public)], input=private, check=True, capture_output=True)
    return private, public


@pytest.fixture
def released(make_stack, repository, key):
    """released(image, ...): the stack, and its release with that image."""
    def release(image, status="succeeded", secrets=None, build="dockerfile: Dockerfile", files=None, **builder):
        stack = make_stack(start=False, settings={"builder": {
            "signing-key": "cosign-key", "builder-id": "https://builder.example/1", **builder}})
        stack.prepare()
        for name, value in {"cosign-key": key[0], **(secrets or {})}.items():
            stack.secret(name, value, builder=True)
        stack.start()
        repository.commit("first", {**FILES, **(files or {})})
        stack.apply(one_stage("shop", repository.url, f"name: image, source: app, {build}, image: {image}, env: {{COLOUR: green}}"))
        return stack, stack.wait_release("shop", 1, status)
    return release


def get(registry, path, accept="*/*"):
    request = urllib.request.Request(f"http://{registry.address}/v2/{path}", headers={"Accept": accept})
    return json.loads(urllib.request.urlopen(request).read())


def statements(registry, repository, digest, public, tmp_path):
    """What the referrers tag lists, its signatures checked by OpenSSL, by predicate; with each manifest's digest."""
    found = {}
    for entry in get(registry, f"{repository}/manifests/{digest.replace(':', '-')}", INDEX)["manifests"]:
        assert entry["artifactType"] == BUNDLE
        manifest = get(registry, f"{repository}/manifests/{entry['digest']}", entry["mediaType"])
        assert manifest["subject"]["digest"] == digest
        bundle = get(registry, f"{repository}/blobs/{manifest['layers'][0]['digest']}")
        payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
        signed, signature = tmp_path / "signed", tmp_path / "signature"
        signed.write_bytes(b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload))
        signature.write_bytes(base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"]))
        subprocess.run(["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", str(signature), str(signed)],
                       check=True, capture_output=True)
        statement = json.loads(payload)
        assert statement["predicateType"] == manifest["annotations"]["dev.sigstore.bundle.predicateType"]
        assert statement["subject"][0]["digest"]["sha256"] == digest.removeprefix("sha256:")
        found[statement["predicateType"]] = entry["digest"], statement["predicate"]
    return found


def test_an_image_is_signed_and_its_provenance_says_what_built_it_of_what(released, registry, repository, key, tmp_path):
    stack, release = released(f"{registry.address}/signed")
    image = release["artifacts"][0]
    said = statements(registry, "signed", image["digest"], key[1], tmp_path)
    assert said[SIGNATURE] == (image["signature"], {})
    assert said[PROVENANCE][0] == image["provenance"]
    definition, run = said[PROVENANCE][1]["buildDefinition"], said[PROVENANCE][1]["runDetails"]
    assert definition["externalParameters"] == {
        "pipeline": "shop", "stage": "build", "action": "image", "dockerfile": "Dockerfile",
        "source": f"git+{repository.url}@refs/heads/main" if "://" in repository.url else f"{repository.url}@refs/heads/main",
        "image": f"{registry.address}/signed", "variables": {"COLOUR": "green"}}
    assert definition["resolvedDependencies"][0]["digest"] == {"gitCommit": repository.git("rev-parse", "HEAD")}
    assert definition["internalParameters"]["release"] == 1
    assert run["builder"]["id"] == "https://builder.example/1"
    assert run["metadata"]["startedOn"] <= run["metadata"]["finishedOn"]
    assert f"{image['digest']}  signed\n" in stack.gantry("release", "show", "shop/1").out


def test_a_registry_with_a_login_is_signed_in_with_the_builders_own(released, workspace, key):
    registry = Registry(workspace / "registry-signed", login=("ann", "s3cret"))
    registry.start()
    try:
        login = json.dumps({"auths": {registry.address: {"auth": base64.b64encode(b"ann:s3cret").decode()}}})
        _, release = released(
            f"{registry.address}/signed", build="buildspec: login.yml", secrets={"registries": login},
            files={"login.yml": "version: 0.2\nphases: {build: {commands: ["
                                f"echo s3cret | docker login -u ann --password-stdin {registry.address}, "
                                "docker build -q -t $GANTRY_IMAGE ., docker push -q $GANTRY_IMAGE]}}\n"},
            **{"registry-login": "registries", "registry-ca": str(registry.ca), "insecure-registries": ["localhost"]})
        assert release["artifacts"][0]["signature"].startswith("sha256:")
        assert release["artifacts"][0]["provenance"].startswith("sha256:")
    finally:
        registry.stop()


def test_an_image_that_cannot_be_signed_is_a_build_that_failed(released, registry):
    stack, release = released(f"{registry.address}/unsigned", status="failed", secrets={"cosign-key": "no key"})
    assert "The image could not be signed: the secret 'cosign-key': it is no private key in PEM" in json.dumps(release)


def test_layers_of_a_dockerfile_are_kept_in_the_registry_where_that_is_configured(released, registry, repository):
    registry.push("layered-base")
    stack, _ = released(f"{registry.address}/layered", files={
        "Dockerfile": f"FROM {registry.address}/layered-base\nCOPY stamp /a\nCOPY other /b\n", "stamp": "1", "other": "1"},
        **{"layer-cache": "cache"})
    repository.commit("second", {"other": "2"})
    stack.wait_release("shop", 2, "succeeded")
    log = eventually(lambda: (t := stack.gantry("logs", "shop/2", "image").out) and "Successfully tagged" in t and t, what="the log")
    assert log.count("Cache pulled from remote") == 1


def test_layers_are_kept_on_the_builder_for_the_pipelines_next_build_where_that_is_configured(released, registry, repository):
    registry.push("layered-base")
    dockerfile = f"FROM {registry.address}/layered-base\nCOPY stamp /a\nCOPY other /b\n"
    stack, _ = released(f"{registry.address}/local", files={"Dockerfile": dockerfile, "stamp": "1", "other": "1"}, **{"layer-cache": "local"})

    def log(number):
        return eventually(lambda: (t := stack.gantry("logs", f"shop/{number}", "image").out) and "Successfully tagged" in t and t, what="the log")

    assert "Using cache" not in log(1)
    repository.commit("second", {"other": "2"})
    stack.wait_release("shop", 2, "succeeded")
    assert "Layers of the pipeline's earlier builds are here" in log(2) and log(2).count("Using cache") == 1
    repository.commit("third", {"Dockerfile": dockerfile + "RUN false\n"})  # a step that fails leaves those before it
    stack.wait_release("shop", 3, "failed")
    repository.commit("fourth", {"Dockerfile": dockerfile})
    stack.wait_release("shop", 4, "succeeded")
    assert log(4).count("Using cache") == 2


@pytest.fixture(scope="module")
def tools():
    """What tests/cosign made: cosign's and the registry's paths."""
    subprocess.run([ROOT / "tests/cosign", "up"], check=True)
    line = subprocess.run([ROOT / "tests/cosign", "env"], check=True, capture_output=True, text=True).stdout
    return dict(word.split("=", 1) for word in line.split()[1:])


class InMemory:
    """A registry with the referrers API."""

    def __init__(self, program):
        self.address = f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen([program, self.address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: urllib.request.urlopen(f"http://{self.address}/v2/").status == 200, what="the registry")

    def stop(self):
        self.process.kill()
        self.process.wait()


def cosign(tools, verb, public, image, *words):
    return subprocess.run([tools["COSIGN"], verb, "--key", public, "--insecure-ignore-tlog", "--private-infrastructure",
                           "--allow-insecure-registry", *words, image], capture_output=True, text=True,
                          env={"HOME": "/nonexistent", "PATH": os.environ["PATH"]})


@pytest.mark.full
@pytest.mark.parametrize("api", [False, True], ids=["the referrers tag", "the referrers API"])
def test_cosign_accepts_signature_and_provenance(released, registry, tools, key, api, tmp_path):
    at = InMemory(tools["REFERRERS"]) if api else registry
    try:
        _, release = released(f"{at.address}/cosigned", build="buildspec: docker.yml")
        image = f"{at.address}/cosigned@{release['artifacts'][0]['digest']}"
        if api:
            assert len(get(at, f"cosigned/referrers/{release['artifacts'][0]['digest']}")["manifests"]) == 2
        done = cosign(tools, "verify", key[1], image)
        assert done.returncode == 0, done.stderr
        done = cosign(tools, "verify-attestation", key[1], image, "--type", "slsaprovenance1")
        assert done.returncode == 0, done.stderr
        other = tmp_path / "other"
        subprocess.run([tools["COSIGN"], "generate-key-pair", "--output-key-prefix", str(other)], check=True,
                       capture_output=True, env={"COSIGN_PASSWORD": "", "HOME": "/nonexistent", "PATH": os.environ["PATH"]})
        assert cosign(tools, "verify", f"{other}.pub", image).returncode != 0
    finally:
        if api:
            at.stop()

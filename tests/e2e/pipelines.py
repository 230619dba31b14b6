"""Definitions and settings that several tests use."""
import stat

ENVIRONMENTS = """
apiVersion: gantry/v1
kind: Environment
metadata: {name: %s}
spec: {deployer: default, driver: command, command: {run: %s}}
---
"""

# Writes what it deployed beside itself; a line a deploy, so that a second one shows.
DEPLOY = """#!/bin/sh
set -e
mkdir -p "$TARGET/$GANTRY_ENVIRONMENT"
echo "$GANTRY_PIPELINE/$GANTRY_RELEASE $GANTRY_DIGEST $GANTRY_RUN_ID $GANTRY_ATTEMPT" >>"$TARGET/$GANTRY_ENVIRONMENT/deploys"
echo "deploying $GANTRY_DIGEST to $GANTRY_ENVIRONMENT"
sleep "${DEPLOY_SECONDS:-0}"
"""

BUILDSPEC = """version: 0.2
phases:
  build:
    commands:
      - echo "building $GANTRY_PIPELINE/$GANTRY_RELEASE"
      - buildah bud --isolation chroot -t "$GANTRY_IMAGE" .
      - buildah push --tls-verify=false "$GANTRY_IMAGE"
"""

DOCKERFILE = "FROM scratch\nCOPY stamp /stamp\n"


# Pushes an image of its own for each pipeline and revision, without an image tool: fast, and as real to the registry as any.
# Of its own, since Debian's registry refuses one of two pushes of the same bytes at the same moment; under the build's own tag,
# since where another test's shop/1 has left that in the registry, it would name another image than the build made.
PUSH = {"push.yml": """version: 0.2
env: {exported-variables: [GANTRY_IMAGE_DIGEST]}
phases: {build: {commands: ['sleep 0.3', 'GANTRY_IMAGE_DIGEST=$(sh push.sh)', 'export GANTRY_IMAGE_DIGEST']}}
""", "push.sh": r"""set -e
name=${GANTRY_IMAGE#*/}
registry=http://${GANTRY_IMAGE%%/*}/v2/${name%:*}
curl() { command curl -fsS --retry 3 --retry-all-errors "$@"; }
digest() { echo "sha256:$(sha256sum <"$1" | cut -d' ' -f1)"; }
cat >config.json <<JSON
{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"Labels":{"of":"$GANTRY_PIPELINE $GANTRY_REVISION"}}}
JSON
place=$(curl -X POST -D - -o /dev/null "$registry/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
curl -X PUT --data-binary @config.json -H 'Content-Type: application/octet-stream' "$place&digest=$(digest config.json)"
cat >manifest.json <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[],
 "config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"$(digest config.json)","size":$(stat -c %s config.json)}}
JSON
curl -X PUT --data-binary @manifest.json -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' \
    "$registry/manifests/${name##*:}"
digest manifest.json
"""}


def environments(*names, run="deploy"):
    return "".join(ENVIRONMENTS % (name, run) for name in names)


def deployer_settings(folder, seconds=0):
    """Settings of a deployer whose one command, `deploy`, notes what it was asked to."""
    target = folder / "deployed"
    target.mkdir(exist_ok=True)
    script = folder / "deploy.sh"
    script.write_text(DEPLOY)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"commands": {"deploy": {"argv": [str(script)],
                                    "env": {"TARGET": str(target), "DEPLOY_SECONDS": str(seconds), "PATH": "/usr/bin:/bin"}}}}


def deployed(folder, environment):
    path = folder / "deployed" / environment / "deploys"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def pipeline(name, git, image=None, poll="1s", mode="superseded", buildspec="buildspec.yml", staging_gate="", prod_gate="",
             retry_lost="true"):
    build = f"{{name: image, source: app, buildspec: {buildspec}" + (f", image: {image}" if image else "") + "}"
    return f"""
apiVersion: gantry/v1
kind: Pipeline
metadata: {{name: {name}}}
spec:
  mode: {mode}
  sources:
    - {{name: app, git: '{git}', branches: [main], poll: {poll}}}
  stages:
    - name: build
      steps:
        - build: {build}
    - name: dev
      steps:
        - deploy: {{name: app, environment: dev, retry-lost: {retry_lost}}}
    - name: staging
      {staging_gate}
      steps:
        - deploy: {{name: app, environment: staging, retry-lost: {retry_lost}}}
    - name: prod
      {prod_gate}
      steps:
        - deploy: {{name: app, environment: prod, retry-lost: {retry_lost}}}
"""


def one_stage(name, git, build="name: app, buildspec: buildspec.yml", stage="build", source="branches: [main], poll: 1s"):
    """One stage with one build action; `build` and `source`: what stands in their mappings."""
    return f"""
apiVersion: gantry/v1
kind: Pipeline
metadata: {{name: {name}}}
spec:
  sources: [{{name: app, git: '{git}', {source}}}]
  stages: [{{name: {stage}, steps: [{{build: {{{build}}}}}]}}]
"""


STAGING_GATE = "gates: [{approval: {by: ['group:qa'], count: 1, expires: 1h, message: 'Try {{release.number}} in DEV 🚀'}}]"
PROD_GATE = "gates: [{approval: {by: ['group:release-managers'], count: 2, not: [author], expires: 1h}}]"

"""A whole Gantry on this machine: real Kafka, real registry, real git, every service as its own process."""
import contextlib
import crypt
import hashlib
import json
import os
import pathlib
import random
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GANTRY_BUILD", ROOT / "build/asan"))
ENDED = ("succeeded", "failed", "stopped", "superseded")
SERVICES = ["source-watcher", "promoter", "builder", "deployer", "approver", "notifier", "console"]


given = set()


def free_port(count=2):
    """The first of `count` ports in a row that are free and were given to nobody before, below those that the kernel gives
    to clients: a server that has not started yet, or is down for a while, finds its port free."""
    while True:
        first = random.randrange(20000, 30000)
        ports = range(first, first + count)
        if given.intersection(ports):
            continue
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for port in ports:
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            given.update(ports)
            return first


def environment():
    """Ours without Gantry's own variables: they would win over a stack's settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith("GANTRY_")}


def eventually(check, timeout=60, what="it", every=0.05):
    """Calls check() until it gives something true, and returns that."""
    end = time.monotonic() + timeout
    last = None
    while time.monotonic() < end:
        try:
            got = check()
            if got:
                return got
        except (urllib.error.URLError, ConnectionError, subprocess.CalledProcessError, KeyError, IndexError) as e:
            last = e
        time.sleep(every)
    raise AssertionError(f"{what} did not happen in {timeout} s (last: {last})")


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self):
        return json.loads(self.out)


class Registry:
    """Debian's docker-registry on loopback; with a login (user, password) also https, its authority in `ca`."""

    def __init__(self, folder, login=None):
        self.folder, self.port, self.login = pathlib.Path(folder), free_port(), login
        self.address = f"127.0.0.1:{self.port}"
        self.ca = self.folder / "cert.pem"
        self.process = None

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.yml").write_text(
            "version: 0.1\nlog: {level: warn, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.folder}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.address}', secret: {secrets.token_hex(16)}{self.lock() if self.login else '}'}\n")
        self.process = subprocess.Popen(["docker-registry", "serve", "config.yml"], cwd=self.folder,
                                        stdout=open(self.folder / "log", "ab"), stderr=subprocess.STDOUT)
        scheme, context, expected = "http", None, 200
        if self.login:
            scheme, context, expected = "https", ssl.create_default_context(cafile=self.ca), 401

        def status():
            try:
                return urllib.request.urlopen(f"{scheme}://{self.address}/v2/", context=context).status
            except urllib.error.HTTPError as e:
                return e.code
        eventually(lambda: status() == expected, what="the registry")

    def lock(self):
        """The rest of the configuration's http, and auth."""
        key, users = self.folder / "key.pem", self.folder / "htpasswd"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", str(key), "-out", str(self.ca)], check=True, capture_output=True)
        user, password = self.login
        users.write_text(f"{user}:{crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n")
        return f", tls: {{certificate: {self.ca}, key: {key}}}}}\nauth: {{htpasswd: {{realm: test, path: {users}}}}}"

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()

    def push(self, repository, layers=(), config=None):
        """An image of layers, each the bytes of a tar archive; its digest."""
        def send(path, data, kind, method="PUT"):
            req = urllib.request.Request(path, data=data, method=method, headers={"Content-Type": kind})
            return urllib.request.urlopen(req).headers

        def blob(data, kind):
            named = "sha256:" + hashlib.sha256(data).hexdigest()
            place = send(f"{base}/blobs/uploads/", b"", "application/octet-stream", "POST")["Location"]
            send(f"{place}&digest={named}", data, "application/octet-stream")
            return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": named, "size": len(data)}
        base = f"http://{self.address}/v2/{repository}"
        parts = [blob(layer, "layer.v1.tar") for layer in layers]
        about = {"architecture": "amd64", "os": "linux", "config": config or {},
                 "rootfs": {"type": "layers", "diff_ids": [part["digest"] for part in parts]}}
        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": kind, "layers": parts, "config": blob(json.dumps(about).encode(), "config.v1+json")}
        return send(f"{base}/manifests/latest", json.dumps(manifest).encode(), kind)["Docker-Content-Digest"]

    def digest(self, repository, reference):
        req = urllib.request.Request(f"http://{self.address}/v2/{repository}/manifests/{reference}", method="HEAD")
        req.add_header("Accept", "application/vnd.oci.image.manifest.v1+json, "
                                 "application/vnd.docker.distribution.manifest.v2+json")
        with urllib.request.urlopen(req) as answer:
            return answer.headers["Docker-Content-Digest"]


class Repository:
    """A bare git repository and a clone that commits to it."""

    def __init__(self, folder, name="app"):
        self.bare = pathlib.Path(folder) / f"{name}.git"
        self.clone = pathlib.Path(folder) / name
        self.url = f"file://{self.bare}"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", self.bare], check=True)
        subprocess.run(["git", "init", "-q", "-b", "main", self.clone], check=True)
        self.git("remote", "add", "origin", self.bare)

    def git(self, *args, author="Kim <kim@example.test>"):
        name, mail = author.rstrip(">").split(" <")
        env = dict(os.environ, GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null",
                   GIT_AUTHOR_NAME=name, GIT_AUTHOR_EMAIL=mail, GIT_COMMITTER_NAME=name, GIT_COMMITTER_EMAIL=mail)
        return subprocess.run(["git", "-C", self.clone, *map(str, args)], check=True, env=env,
                              capture_output=True, text=True).stdout.strip()

    def commit(self, message="change", files=None, push=True, author="Kim <kim@example.test>", branch="main"):
        for name, text in (files or {"stamp": secrets.token_hex(8)}).items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            self.git("add", name)
        self.git("commit", "-q", "--allow-empty", "-m", message, author=author)
        if push:
            self.git("push", "-q", "-f", "origin", f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", "HEAD")


class Stack:
    """All services under `gantry up`. `settings` is merged into the file: {"builder": {...}, "common": {...}}."""
    made = []

    def __init__(self, folder, kafka, settings=None, partitions=4, services=SERVICES):
        self.folder = pathlib.Path(folder)
        self.kafka = kafka
        self.prefix = f"e2e-{secrets.token_hex(4)}"
        self.partitions = partitions
        self.services = services
        self.ports = {s: free_port() for s in SERVICES}
        self.token = "gty_" + secrets.token_urlsafe(32)
        self.settings = settings or {}
        self.config = self.folder / "gantry.yaml"
        self.secrets = self.folder / "secrets"
        self.log = self.folder / "services.log"
        self.bin = self.folder / "bin"
        self.supervisor = None
        Stack.made.append(self)

    # -- life

    def prepare(self):
        for d in (self.secrets, self.folder / "state", self.bin):
            d.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.secret("admin-token", self.token, builder=True)
        # The supervisor looks for the services beside itself.
        for program in [BUILD / "services/cli/gantry", BUILD / "services/builder/gantry-sandbox", BUILD / "services/builder/gantry-docker", *(BUILD / f"services/{s}/gantry-{s}" for s in SERVICES)]:
            link = self.bin / program.name
            if not link.exists():
                shutil.copy2(program, link)
        conf = {s: {"listen": f"127.0.0.1:{self.ports[s]}"} for s in SERVICES}
        conf["common"] = {
            "kafka": {"bootstrap.servers": self.kafka}, "topic-prefix": self.prefix, "partitions": self.partitions,
            "durability": "single", "instance-id": "one", "secrets-dir": str(self.secrets),
            "state-dir": str(self.folder / "state"),
            "console-url": f"http://127.0.0.1:{self.ports['console']}",
            "approver-url": f"http://127.0.0.1:{self.ports['approver']}"}
        for service in ("console", "approver", "builder"):
            conf[service]["bootstrap-token"] = "admin-token"
        conf["builder"]["trust-file-owner"] = True
        if os.geteuid() == 0:
            conf["builder"]["user"] = os.environ.get("GANTRY_TEST_BUILDER_USER", "gantry-builder")
        for section, values in self.settings.items():
            conf.setdefault(section, {}).update(values)
        self.config.write_text(json.dumps(conf, indent=1))  # JSON is YAML

    def start(self, ready=60):
        self.prepare()
        self.gantry("topics", "create", "--config", self.config)
        self.up()
        self.wait_ready(ready)

    def up(self):
        only = [] if self.services == SERVICES else ["--only", ",".join(self.services)]
        self.supervisor = subprocess.Popen([self.bin / "gantry", "up", "--config", self.config, *only],
                                           stdout=open(self.log, "ab"), stderr=subprocess.STDOUT,
                                           env=environment(), cwd=self.folder)

    def wait_ready(self, timeout=60, services=None):
        for service in services or self.services:
            eventually(lambda: self.http(service, "/readyz", token=None)[0] == 200, timeout, f"{service} ready")

    def stop(self, timeout=45):
        if not self.supervisor:
            return 0
        self.supervisor.send_signal(signal.SIGTERM)
        try:
            return self.supervisor.wait(timeout)
        except subprocess.TimeoutExpired:
            self.supervisor.kill()
            self.supervisor.wait()
            raise AssertionError(f"the supervisor did not stop in {timeout} s; see {self.log}")
        finally:
            self.supervisor = None

    def pids(self, service):
        """Processes of a service that this supervisor started."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(entry / "exe").split(" ")[0] == str(self.bin / f"gantry-{service}"):
                    stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    if stat[0] != "Z" and int(stat[1]) == self.supervisor.pid:
                        found.append(int(entry.name))
        return found

    def kill(self, service, signo=signal.SIGKILL):
        for pid in self.pids(service):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signo)

    # -- speaking to it

    def secret(self, name, value, builder=False):
        """`builder`: its own user may read it, too."""
        path = self.secrets / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(value if isinstance(value, bytes) else value.encode())
        if builder and os.geteuid() == 0:
            shutil.chown(path, group=os.environ.get("GANTRY_TEST_BUILDER_USER", "gantry-builder"))
            path.chmod(0o640)

    def gantry(self, *args, token=True, check=True, stdin=None, timeout=120):
        env = dict(environment(), GANTRY_URL=f"http://127.0.0.1:{self.ports['console']}",
                   GANTRY_APPROVER_URL=f"http://127.0.0.1:{self.ports['approver']}",
                   GANTRY_BUILDER_URL=f"http://127.0.0.1:{self.ports['builder']}", LC_ALL="C.UTF-8")
        if token:
            env["GANTRY_TOKEN"] = self.token if token is True else token
        done = subprocess.run([self.bin / "gantry", *map(str, args)], env=env, capture_output=True, text=True,
                              input=stdin, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"gantry {' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return Result(done)

    def http(self, service, path, method="GET", body=None, headers=None, token=True, timeout=20):
        """(status, headers, body) whatever the status."""
        req = urllib.request.Request(f"http://127.0.0.1:{self.ports[service]}{path}", method=method)
        data = body
        if isinstance(body, (dict, list)):
            data = json.dumps(body).encode()
            req.add_header("Content-Type", "application/json")
        if token:
            req.add_header("Authorization", f"Bearer {self.token if token is True else token}")
        for k, v in (headers or {}).items():
            req.add_header(k, v)
        try:
            with urllib.request.urlopen(req, data=data, timeout=timeout) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read()

    def get(self, path, service="console"):
        status, _, body = self.http(service, path)
        if status != 200:
            raise urllib.error.URLError(f"{path}: {status} {body[:200]!r}")
        return json.loads(body)

    applied = None  # told of each text that was applied

    def apply(self, text):
        done = self.gantry("apply", "-f", "-", stdin=text)
        if self.applied:
            self.applied(text)
        return done

    def person(self, name, *roles, groups=()):
        """A token for somebody, with a verified address."""
        words = [w for r in roles for w in ("--role", r)] + [w for g in groups for w in ("--group", g)]
        return self.gantry("token", "create", name, "--person", name.title(), "--email", f"{name}@example.test",
                           *words).out.strip()

    def release(self, pipeline, number):
        return self.get(f"/api/v1/pipelines/{pipeline}/releases/{number}")

    def wait_release(self, pipeline, number, *status, timeout=120):
        """The release once it is in one of these states; without any, once it has ended. One that ends in another
        fails the test, and what it did and what the services said stands in the failure."""
        release = None

        def there():
            nonlocal release
            release = self.release(pipeline, number)
            return release["status"] in status or release["status"] in ENDED
        try:
            eventually(there, timeout, f"{pipeline}/{number} {' or '.join(status) or 'ended'}")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.story(release)}") from None
        if status and release["status"] not in status:
            raise AssertionError(f"{pipeline}/{number} is {release['status']}, not {' or '.join(status)}\n{self.story(release)}")
        return release

    def story(self, release):
        """What a release did, for people, and the end of the services' log."""
        lines = [f"{release['pipeline']}/{release['number']} {release['status']} {release.get('reason', '')}"] if release else ["there is no such release"]
        for stage in release["stages"] if release else []:
            lines.append(f"  {stage['name']} {stage['status']} {stage.get('reason', '')} {stage.get('heldBy', '')}")
            for action in stage["actions"]:
                for run in action["runs"]:
                    lines.append(f"    {action['name']} {run['status']} attempt {run.get('attempt', 0)}: {run.get('reason', '')}")
                    finished = run.get("finished") or {}
                    lines += [f"      {key} {finished[key]}" for key in ("phase", "command", "exitCode") if finished.get(key)]
                    lines += [f"      | {line}" for line in finished.get("logTail", [])]
        return "\n".join([*lines, f"--- log of {self.folder.name}", *self.log_tail(60)])

    def log_tail(self, lines):
        return self.log.read_text(errors="replace").splitlines()[-lines:] if self.log.exists() else []

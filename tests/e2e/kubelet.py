"""A node for a cluster without nodes: pods that the scheduler gives it run as processes in bubblewrap, with the folders, the
environment, the user and the first process that their specification says; their logs are served as a kubelet serves them.
What images do to a pod is told by their names: `missing` cannot be pulled, `hungry` is killed for its memory at once."""
import base64
import calendar
import contextlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

GRACE = 5


class Cluster:
    """The API of Kubernetes, as an admin."""

    def __init__(self, server, ca, token):
        self.server, self.ca, self.token = server, ca, token
        self.context = ssl.create_default_context(cafile=ca) if ca else None

    def api(self, method, path, body=None, kind="application/json"):
        """The answer; None where there is nothing of that name."""
        request = urllib.request.Request(self.server + path, method=method, data=json.dumps(body).encode() if body is not None else None)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=20) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:400]}") from None

    def patch(self, path, body):
        return self.api("PATCH", path, body, "application/merge-patch+json")

    def items(self, path):
        return (self.api("GET", path) or {}).get("items", [])


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Log:
    """Lines with their times; who reads may wait for more."""

    def __init__(self):
        self.lines, self.ended, self.changed = [], False, threading.Condition()

    def fill(self, stream):
        rest = b""
        while chunk := stream.read1(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            with self.changed:
                self.lines += [(time.time_ns(), line + b"\n") for line in lines]
                self.changed.notify_all()
        with self.changed:
            self.lines += [(time.time_ns(), rest)] if rest else []
            self.ended = True
            self.changed.notify_all()

    def read(self, since, follow):
        at = 0
        while True:
            with self.changed:
                while follow and at == len(self.lines) and not self.ended:
                    self.changed.wait()
                lines, at, ended = self.lines[at:], len(self.lines), self.ended
            for moment, line in lines:
                if moment >= since:
                    yield time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 10**9)).encode() + b".%09dZ " % (moment % 10**9) + line
            if ended or not follow:
                return


class Pod:
    """A pod's only container."""

    def __init__(self, kubelet, pod):
        self.kubelet, self.meta, self.spec = kubelet, pod["metadata"], pod["spec"]
        self.path = f"/api/v1/namespaces/{self.meta['namespace']}/pods/{self.meta['name']}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pod-", dir=kubelet.folder))
        self.container = self.spec["containers"][0]
        self.log, self.process, self.inner, self.started, self.kept = Log(), None, None, now(), None
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.live, daemon=True)
        self.thread.start()

    def tell(self, phase, state, **more):
        status = {"phase": phase, "startTime": self.started, "containerStatuses": [{
            "name": self.container["name"], "image": self.container["image"], "imageID": "", "restartCount": 0,
            "ready": "running" in state, "started": "running" in state, "state": state}], **more}
        self.kubelet.cluster.patch(self.path + "/status", {"status": status})

    def live(self):
        try:
            self.go_through()
        finally:
            self.ended()

    def go_through(self):
        image = self.container["image"]
        if "missing" in image:
            self.tell("Pending", {"waiting": {"reason": "ImagePullBackOff", "message": f"Back-off pulling image {image}"}})
            self.ending.wait()
            return
        while not (secret := self.secret()):
            if self.ending.wait(0.05):
                return
        self.run(secret)
        self.tell("Running", {"running": {"startedAt": now()}})
        if "hungry" in image:
            self.signal(signal.SIGKILL)
        self.log.fill(self.process.stdout)
        code = self.process.wait()
        ended = {"exitCode": code, "reason": "OOMKilled" if "hungry" in image else "Completed" if code == 0 else "Error",
                 "startedAt": self.started, "finishedAt": now()}
        if self.kept is None:
            self.tell("Succeeded" if code == 0 else "Failed", {"terminated": ended})
        else:
            self.tell("Failed", {"terminated": ended}, reason="Evicted", message=self.kept)
        self.ending.wait()

    def secret(self):
        name = next(v["secret"]["secretName"] for v in self.spec["volumes"] if "secret" in v)
        return self.kubelet.cluster.api("GET", f"/api/v1/namespaces/{self.meta['namespace']}/secrets/{name}")

    def run(self, secret):
        mounts = {m["name"]: m["mountPath"] for m in self.container["volumeMounts"]}
        words = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--as-pid-1", "--new-session", "--die-with-parent",
                 "--clearenv", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run", "--symlink", "../run", "/var/run",
                 "--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc"]
        for name in ("bin", "sbin", "lib", "lib64"):
            words += ["--symlink", f"usr/{name}", f"/{name}"]
        for volume in self.spec["volumes"]:
            folder = self.folder / volume["name"]
            folder.mkdir()
            for name, value in secret["data"].items() if "secret" in volume else ():
                (folder / name).write_bytes(base64.b64decode(value))
            words += ["--ro-bind" if "secret" in volume else "--bind", folder, mounts[volume["name"]].replace("/var/run", "/run")]
        context = self.spec["securityContext"]
        words += ["--uid", context["runAsUser"], "--gid", context["runAsGroup"], "--chdir", "/",
                  "--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin"]
        for variable in self.container["env"]:
            words += ["--setenv", variable["name"], variable["value"]]
        told, tells = os.pipe()
        self.process = subprocess.Popen([*map(str, words), "--info-fd", str(tells), *self.container["command"]], pass_fds=[tells],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        os.close(tells)
        with open(told) as said:
            self.inner = json.load(said)["child-pid"]

    def signal(self, signo):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.inner, signo)

    def evict(self, message):
        """As a node does that is short of something, or a pod that has more than its limit."""
        self.kept = message
        self.signal(signal.SIGKILL)

    def delete(self):
        """Somebody has deleted it: SIGTERM, later SIGKILL."""
        if self.ending.is_set():
            return
        self.ending.set()
        if self.inner:
            self.signal(signal.SIGTERM)
            threading.Timer(GRACE, self.signal, [signal.SIGKILL]).start()

    def ended(self):
        if self.process:
            self.process.wait()
        self.kubelet.gone(self)
        shutil.rmtree(self.folder, ignore_errors=True)


class Kubelet:
    """`cuts`: so many bytes of a log are sent by a connection that then breaks; one connection each."""

    def __init__(self, cluster, folder, name="node-1"):
        self.cluster, self.folder, self.name = cluster, pathlib.Path(folder), name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pods, self.cuts, self.lock, self.stopping = {}, [], threading.Lock(), threading.Event()
        self.served = []
        self.server = self.serve()
        self.register()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def register(self):
        port = self.server.server_address[1]
        room = {"cpu": "64", "memory": "64Gi", "pods": "100", "ephemeral-storage": "100Gi"}
        self.cluster.api("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {
            "name": self.name, "labels": {"kubernetes.io/hostname": self.name, "disk": "fast"}}})
        self.cluster.patch(f"/api/v1/nodes/{self.name}/status", {"status": {
            "capacity": room, "allocatable": room, "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastHeartbeatTime": now(),
                            "lastTransitionTime": now()}]}})
        self.cluster.patch(f"/api/v1/nodes/{self.name}", {"spec": {"taints": None}})

    def follow(self):
        while not self.stopping.wait(0.1):
            with contextlib.suppress(OSError, AssertionError):
                pods = self.cluster.items(f"/api/v1/pods?fieldSelector=spec.nodeName={self.name}")
                for pod in pods:
                    self.look_at(pod)
                self.look_for({pod["metadata"]["uid"] for pod in pods})

    def look_at(self, pod):
        uid, deleted = pod["metadata"]["uid"], "deletionTimestamp" in pod["metadata"]
        with self.lock:
            known = self.pods.get(uid)
            if not known and not deleted and not pod["status"].get("startTime"):
                self.pods[uid] = Pod(self, pod)
        if deleted and known:
            known.delete()

    def look_for(self, uids):
        """A pod that has ended is deleted at once, without a time at which it is to go."""
        with self.lock:
            missing = [pod for uid, pod in self.pods.items() if uid not in uids]
        for pod in missing:
            pod.delete()

    def gone(self, pod):
        with contextlib.suppress(OSError, AssertionError):
            self.cluster.api("DELETE", pod.path, {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.meta["uid"]}})
        with self.lock:
            self.pods.pop(pod.meta["uid"], None)

    def of_name(self, name):
        with self.lock:
            return next((p for p in self.pods.values() if p.meta["name"] == name), None)

    def serve(self):
        kubelet = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                at = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(at.query))
                kubelet.log_to(self, at.path.split("/")[3], query)

            def log_message(self, *args):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        key, certificate = self.folder / "key.pem", self.folder / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=kubelet", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def log_to(self, handler, name, query):
        """/containerLogs/{namespace}/{pod}/{container}"""
        pod = self.of_name(name)
        self.served.append((name, query))
        if not pod:
            handler.send_error(404)
            return
        since = 0
        if "sinceTime" in query:
            since = calendar.timegm(time.strptime(query["sinceTime"], "%Y-%m-%dT%H:%M:%SZ")) * 10**9
        left = self.cuts.pop(0) if self.cuts else None
        handler.send_response(200)
        handler.send_header("Content-Type", "text/plain")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        with contextlib.suppress(OSError):
            for piece in pod.log.read(since, query.get("follow") == "true"):
                piece = piece if left is None else piece[:left]
                left = None if left is None else left - len(piece)
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b"")
                handler.wfile.flush()
                if left == 0:
                    handler.close_connection = True
                    handler.connection.shutdown(socket.SHUT_RDWR)
                    return
            handler.wfile.write(b"0\r\n\r\n")

    def stop(self):
        self.stopping.set()
        self.thread.join()
        with self.lock:
            pods = list(self.pods.values())
        for pod in pods:
            pod.delete()
            pod.signal(signal.SIGKILL) if pod.inner else None
            pod.thread.join(10)
        self.cluster.api("DELETE", f"/api/v1/nodes/{self.name}")
        self.server.shutdown()
        self.server.server_close()

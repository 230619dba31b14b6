"""As much of Kubernetes' API as a builder and a kubelet need, with the Job controller, the scheduler and the garbage collector
that go with it, in one process: for every run of the tests. tests/kubernetes is the real one."""
import base64
import contextlib
import copy
import http.client
import http.server
import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

PLURALS = {"Job": "jobs", "Secret": "secrets", "Pod": "pods", "Node": "nodes"}


def merge(into, patch):
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Played:
    """`tokens`: who may ask. `faults`: answers (status, headers) given instead of the next ones to a builder."""

    def __init__(self, tokens):
        self.tokens, self.faults = tokens, []
        self.objects = {}  # (plural, namespace, name) -> object
        self.version, self.events, self.changed = 1, [], threading.Condition()
        self.forgotten = 0  # events up to here can be watched no more
        played = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def handle_any(self):
                with contextlib.suppress(OSError):
                    played.answer(self)
            do_GET = do_POST = do_PATCH = do_DELETE = handle_any
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.server = f"http://127.0.0.1:{self.http.server_address[1]}"

    def stop(self):
        self.http.shutdown()
        self.http.server_close()

    # -- objects

    def touch(self, kind, key):
        self.version += 1
        self.objects[key]["metadata"]["resourceVersion"] = str(self.version)
        self.events.append((self.version, kind, key, copy.deepcopy(self.objects[key])))
        self.changed.notify_all()

    def create(self, plural, namespace, body):
        key = (plural, namespace, body["metadata"]["name"])
        if key in self.objects:
            raise Refused(409, f"{plural} {key[2]!r} already exists")
        body["metadata"] |= {"uid": str(uuid.uuid4()), "namespace": namespace}
        body.setdefault("status", {})
        if plural == "secrets":
            body["data"] = {k: base64.b64encode(v.encode()).decode() for k, v in body.pop("stringData", {}).items()}
        self.objects[key] = body
        self.touch("ADDED", key)
        if plural == "jobs":
            self.make_pod(namespace, body)
        return body

    def remove(self, key):
        body = self.objects[key]
        self.touch("DELETED", key)
        del self.objects[key]
        owner = body["metadata"]["uid"]
        for other, child in list(self.objects.items()):
            if any(o["uid"] == owner for o in child["metadata"].get("ownerReferences", ())):
                self.delete(other)
        if key[0] == "pods":
            job = ("jobs", key[1], body["metadata"]["labels"]["batch.kubernetes.io/job-name"])
            if "deletionTimestamp" in self.objects.get(job, {"metadata": {}})["metadata"]:
                self.remove(job)

    def delete(self, key, now=False):
        body = self.objects[key]
        pods = [k for k, o in self.objects.items() if k[0] == "pods" and key[0] == "jobs" and k[1] == key[1]
                and o["metadata"]["labels"]["batch.kubernetes.io/job-name"] == key[2]]
        waits = bool(pods) if key[0] == "jobs" else key[0] == "pods" and not now and body["spec"].get("nodeName")
        if not waits:
            self.remove(key)
            return
        body["metadata"].setdefault("deletionTimestamp", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        self.touch("MODIFIED", key)
        for pod in pods:
            self.delete(pod)

    # -- the controllers

    def make_pod(self, namespace, job):
        template, name = copy.deepcopy(job["spec"]["template"]), job["metadata"]["name"]
        template["metadata"]["labels"] |= {"batch.kubernetes.io/job-name": name, "job-name": name}
        pod = {"metadata": {**template["metadata"], "name": f"{name}-{uuid.uuid4().hex[:5]}"}, "spec": template["spec"],
               "status": {"phase": "Pending"}}
        wanted = pod["spec"].get("nodeSelector", {}).items()
        node = next((k[2] for k, o in self.objects.items() if k[0] == "nodes" and wanted <= o["metadata"]["labels"].items()), None)
        if node:
            pod["spec"]["nodeName"] = node
        else:
            pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                                            "message": "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."}]
        self.create("pods", namespace, pod)

    # -- requests

    def answer(self, handler):
        at = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(at.query))
        text = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        who = self.tokens.get(handler.headers.get("Authorization", "").removeprefix("Bearer "))
        try:
            if not who:
                raise Refused(401, "Unauthorized")
            if who == "builder" and self.faults:
                status, headers = self.faults.pop(0)
                self.send(handler, status, {"kind": "Status", "code": status, "message": "told to"}, headers)
                return
            words = [w for w in at.path.split("/") if w]
            words = words[2:] if words[0] == "api" else words[3:]
            namespace = words[1] if words[0] == "namespaces" and len(words) > 2 else None
            plural, name, sub = (words[2:] if namespace else words) + [None] * (3 - len(words[2:] if namespace else words))
            if sub == "log":
                self.send_log(handler, namespace, name, query)
            elif "watch" in query:
                self.send_events(handler, plural, namespace, query)
            else:
                with self.changed:
                    self.send(handler, 200, self.serve(handler.command, plural, namespace, name, query, json.loads(text or b"{}")))
        except Refused as refused:
            self.send(handler, refused.code, {"kind": "Status", "code": refused.code, "message": str(refused)})

    @staticmethod
    def send(handler, status, body, headers=()):
        text = json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **dict(headers)}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(text)

    def matches(self, body, query):
        wanted = dict(pair.split("=") for pair in query.get("labelSelector", "").split(",") if pair)
        node = query.get("fieldSelector", "").removeprefix("spec.nodeName=")
        return wanted.items() <= body["metadata"].get("labels", {}).items() and (not node or body["spec"].get("nodeName") == node)

    def serve(self, method, plural, namespace, name, query, body):
        keys = [k for k, o in self.objects.items() if k[0] == plural and namespace in (None, k[1])
                and (k[2] == name if name else self.matches(o, query))]
        if method == "POST":
            return self.create(plural, namespace, body)
        if name and not keys:
            raise Refused(404, f"{plural} {name!r} not found")
        if method == "GET":
            found = [self.objects[k] for k in keys]
            return found[0] if name else {"metadata": {"resourceVersion": str(self.version)}, "items": found}
        if method == "PATCH":
            merge(self.objects[keys[0]], body)
            self.touch("MODIFIED", keys[0])
            return self.objects[keys[0]]
        for key in keys:
            if key in self.objects:
                self.delete(key, now=body.get("gracePeriodSeconds") == 0)
        return {"kind": "Status", "status": "Success"}

    @staticmethod
    def begin_stream(handler, kind):
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()

    @staticmethod
    def send_piece(handler, piece):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.flush()

    def send_events(self, handler, plural, namespace, query):
        version, end = int(query["resourceVersion"]), time.monotonic() + int(query.get("timeoutSeconds", 60))
        self.begin_stream(handler, "application/json")
        if version < self.forgotten:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            self.send_piece(handler, json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
        while version >= self.forgotten and time.monotonic() < end:
            with self.changed:
                events = [e for e in self.events if e[0] > version]
                if not events:
                    self.changed.wait(1)
            for version, kind, key, body in events:
                if key[0] == plural and key[1] == namespace and self.matches(body, query):
                    self.send_piece(handler, json.dumps({"type": kind, "object": body}).encode() + b"\n")
        handler.wfile.write(b"0\r\n\r\n")

    def forget(self):
        """Who watches has to begin anew."""
        with self.changed:
            self.forgotten = self.version = self.version + 1
            self.changed.notify_all()

    def send_log(self, handler, namespace, name, query):
        pod = self.objects.get(("pods", namespace, name))
        if not pod:
            raise Refused(404, f"pods {name!r} not found")
        node = self.objects[("nodes", None, pod["spec"]["nodeName"])]
        port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        container = query.pop("container")
        url = f"https://127.0.0.1:{port}/containerLogs/{namespace}/{name}/{container}?{urllib.parse.urlencode(query)}"
        context = ssl._create_unverified_context()  # as the API server asks a kubelet that it was given no authority for
        try:
            with urllib.request.urlopen(url, context=context) as log:
                self.begin_stream(handler, "text/plain")
                while piece := log.read1(65536):
                    self.send_piece(handler, piece)
        except urllib.error.HTTPError as error:
            raise Refused(error.code, "the kubelet has no such log") from None
        except (OSError, http.client.HTTPException):
            handler.close_connection = True
            handler.connection.close()
            return
        handler.wfile.write(b"0\r\n\r\n")

"""Smart HTTP for the repositories below a folder, by `git http-backend`, and the objects that Git LFS keeps of
them (docs/api/batch.md of git-lfs), behind a login.

usage: http_git.py FOLDER USER:PASSWORD [CERTIFICATE KEY] [old] [endless]
  prints its port, serves until its standard input ends
  old: git's protocol of before 2018, which gives no commit by its name; endless: an LFS object never ends
"""
import base64
import http.server
import json
import os
import pathlib
import re
import ssl
import subprocess
import sys
import threading

folder, login, *how = sys.argv[1:]
tls = [word for word in how if word not in ("old", "endless")]
wanted = "Basic " + base64.b64encode(login.encode()).decode()


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        if self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        if "/info/lfs/" in path:
            self.lfs(path)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": folder,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": "" if "old" in how else self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        out = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE).stdout
        head, _, content = out.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def lfs(self, path):
        repository, _, what = path.partition(".git/info/lfs/objects/")
        objects = pathlib.Path(folder + repository) / ".git/lfs/objects"
        if what != "batch":
            name = re.fullmatch("[0-9a-f]{64}", what)[0]
            self.send_response(200)
            self.end_headers()
            self.wfile.write((objects / name[:2] / name[2:4] / name).read_bytes())
            try:
                while "endless" in how:
                    self.wfile.write(bytes(65536))
            except ConnectionError:
                self.close_connection = True
            return
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["objects"]
        base = f"http://127.0.0.1:{server.server_port}{repository}.git/info/lfs/objects"
        answer = {"transfer": "basic", "objects": [
            {**o, "authenticated": True, "actions": {"download": {
                "href": f"{base}/{o['oid']}", "header": {"Authorization": self.headers["Authorization"]}}}} for o in wanted]}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.git-lfs+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()

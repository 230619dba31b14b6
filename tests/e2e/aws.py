"""moto: AWS's interfaces (S3, SSM, Secrets Manager, KMS) on loopback, in a process of its own."""
import os
import pathlib
import subprocess
import sys
import urllib.request

import boto3
from stack import BUILD, eventually, free_port

REGION = "eu-central-1"


class Aws:
    def __init__(self, folder):
        self.folder, self.port = pathlib.Path(folder), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [pathlib.Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=open(self.folder / "log", "ab"), stderr=subprocess.STDOUT, env=self.environment())
        eventually(lambda: urllib.request.urlopen(f"{self.url}/moto-api/").status == 200, what="moto")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()

    def environment(self):
        """Ours without what AWS's tools would find on this machine."""
        return {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}

    def client(self, service):
        return boto3.client(service, region_name=REGION, endpoint_url=self.url,
                            aws_access_key_id="test", aws_secret_access_key="test")

    def probe(self, *words, check=True, **extra):
        """tests/unit/aws/probe.c: one call of common/aws. Its standard output, or with check=False all."""
        done = subprocess.run([BUILD / "tests/unit/aws/aws_probe", *map(str, words)], capture_output=True, text=True,
                              env=self.environment() | extra, timeout=120)
        if not check:
            return done
        assert done.returncode == 0, done.stderr
        return done.stdout

"""What tests/bench/run and tests/bench/build share: a broker, programs beside it, the table, the order of events."""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("GANTRY_BUILD", str(ROOT / "build/bench"))
sys.path.insert(0, str(ROOT / "tests/e2e"))
VENV = ROOT / "build/tests/venv"
if not str(sys.prefix).startswith(str(VENV)):  # Kafka's client and protobuf, as the end-to-end tests use them
    if not (VENV / "complete").exists():
        subprocess.run([ROOT / "deploy/install-packages", "test"], check=True)
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin/pip", "-q", "install", "-r", ROOT / "tests/e2e/requirements.txt"], check=True)
        (VENV / "complete").touch()
    os.execv(VENV / "bin/python", [VENV / "bin/python", *sys.argv])
from stack import BUILD, SERVICES, Repository, Stack, free_port  # noqa: E402

PARTITIONS = 12


def note(text):
    print(f"bench: {text}", file=sys.stderr)


def compile_all():
    note("building (preset bench)")
    for command in (["deploy/install-packages", "build", "run", "demo"], ["cmake", "--preset", "bench"],
                    ["cmake", "--build", "--preset", "bench", "--target", "proto/all", "services/all", "tests/bench/all"]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout[-3000:] + done.stderr[-3000:])


class Broker:
    """GANTRY_KAFKA, or a broker of our own with Kafka's default settings."""

    def __init__(self, folder):
        self.address = os.environ.get("GANTRY_KAFKA")
        self.env = None
        if not self.address:
            port = free_port()
            self.env = dict(os.environ, KAFKA_DIR=str(folder / "kafka"), KAFKA_PORT=str(port), KAFKA_DEFAULTS="1")
            self.address = f"127.0.0.1:{port}"
            subprocess.run([ROOT / "deploy/kafka", "up"], env=self.env, check=True)

    def pid(self):
        """None: it is not deploy/kafka's."""
        pid = pathlib.Path((self.env or os.environ).get("KAFKA_DIR", ROOT / "build/kafka")) / "pid"
        return int(pid.read_text()) if pid.exists() else None

    def stop(self):
        if self.env:
            subprocess.run([ROOT / "deploy/kafka", "wipe"], env=self.env, check=True)


def tool(name, *args):
    done = subprocess.run([BUILD / "tests/bench" / name, *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def row(name, value, aim=""):
    print(f"| {name} | {value} | {aim} |")


class Bench:
    def __init__(self, args, folder, broker):
        self.args, self.folder, self.broker, self.out = args, folder, broker, {}
        self.repository = Repository(folder)
        self.repository.commit("first")

    def stack(self, services=SERVICES, **settings):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="stack-", dir=self.folder))
        stack = Stack(folder, self.broker.address, settings=settings, partitions=PARTITIONS, services=list(services))
        stack.settings.setdefault("deployer", {})["commands"] = {"deploy": {"argv": ["/bin/true"]}}
        stack.start(ready=120)
        return stack


def main(text, kind, parts, table):
    """`kind`, a Bench, has a method run_X for each of the parts X; `table` prints what they found."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default=",".join(parts))
    args = parser.parse_args()
    if unknown := set(args.only.split(",")) - set(parts):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; parts are {', '.join(parts)}")
    compile_all()
    own_user = "GANTRY_TEST_BUILDER_USER" not in os.environ
    user = os.environ.setdefault("GANTRY_TEST_BUILDER_USER", "gantry-bench")
    subprocess.run([ROOT / "deploy/builder-user", "add", user], check=True, stdout=subprocess.DEVNULL)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gantry-bench-"))
    folder.chmod(0o755)
    broker = Broker(folder)
    bench = kind(args, folder, broker)
    try:
        for part in args.only.split(","):
            getattr(bench, f"run_{part}")()
    finally:
        for stack in Stack.made:
            stack.stop()
        broker.stop()
        if own_user:
            subprocess.run([ROOT / "deploy/builder-user", "remove", user], check=True)
        shutil.rmtree(folder, ignore_errors=True)
    if args.json:
        print(json.dumps(bench.out, indent=1))
    else:
        print("| figure | measured | aim |\n| --- | --- | --- |")
        table(bench.out)

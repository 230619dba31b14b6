"""Memory in every form that a build can take it in counts, where no control group does the counting."""
import pathlib
import tempfile

import pytest
from local import build

LIMIT = 100  # MiB
HOGS = {
    "of-a-process": '/usr/bin/python3 -c \'import time; x = b"x" * (300 << 20); time.sleep(20)\'',
    "in-dev-shm": "head -c 300M /dev/zero >/dev/shm/x; sleep 20",
    "in-a-tmpfs-of-its-own": "mkdir m; mount -t tmpfs x m; head -c 300M /dev/zero >m/x; sleep 20",
    "in-a-tmpfs-of-another-namespace": "unshare -m sh -c 'mount -t tmpfs x /mnt; head -c 300M /dev/zero >/mnt/x; sleep 20'",
    "in-a-ramfs": "mount -t ramfs x /mnt; head -c 300M /dev/zero >/mnt/x; sleep 20",
    "without-a-name": "/usr/bin/python3 -c 'import os, time; fd = os.memfd_create(\"x\"); [os.write(fd, bytes(1 << 20)) for n in range(300)]; time.sleep(20)'",
    "shared": "/usr/bin/python3 -c 'import mmap, time; m = mmap.mmap(-1, 300 << 20); [m.write(bytes(1 << 20)) for n in range(300)]; time.sleep(20)'",
    "of-a-daemon": "setsid -f /usr/bin/python3 -c 'import time; x = b\"x\" * (300 << 20); time.sleep(20)' >/dev/null 2>&1; sleep 20",
}


@pytest.mark.parametrize("hog", HOGS)
def test_memory_beyond_the_limit_ends_the_build_with_the_reason(workspace, hog):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="memory-", dir=workspace))
    folder.chmod(0o755)
    code, log = build(folder, HOGS[hog], words=["--memory", f"{LIMIT}Mi"])
    assert code == 1
    reason = log.splitlines()[-1]
    if hog == "in-a-ramfs":
        assert "It mounted a ramfs, whose memory can't be limited" in reason, log
    else:
        assert "MiB of memory; the limit is 100 MiB" in reason, log


def test_memory_that_processes_share_counts_once(workspace):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="memory-", dir=workspace))
    folder.chmod(0o755)
    code, log = build(folder, """
/usr/bin/python3 - <<'PY'
import mmap, os, time
m = mmap.mmap(-1, 40 << 20)
m.write(bytes(40 << 20))
for child in range(5):
    if os.fork() == 0:
        sum(m[::4096])
        time.sleep(1)
        os._exit(0)
for child in range(5):
    os.wait()
PY
""", words=["--memory", f"{LIMIT}Mi"])
    assert code == 0, log

"""What the commands of a build can see, read, signal and become: nothing of this machine's but programs."""
import contextlib
import ctypes
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile

import pytest
from local import AS_ROOT, BUILDER, build, command, spec

SECRET = f"nobody-may-read-{random.randrange(10**12):012}"  # so that runs beside each other do not see each other's
ADD_KEY, KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_SETPERM, KEYCTL_SEARCH = 248, 250, 1, 5, 10  # x86-64; keyctl(2)
KEY_SPEC_SESSION_KEYRING = -3
LIBC = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def refused(what, number, *words):
    words = [w.encode() if isinstance(w, str) else w for w in words]
    ctypes.set_errno(0)
    got = libc.syscall(number, *words)
    why = errno.errorcode.get(ctypes.get_errno(), "none")
    print(what, got, why)
    if got >= 0:
        sys.exit(f"{what} was allowed")
    return why
"""


def script(text):
    return f"/usr/bin/python3 - <<'PY'\n{LIBC}{text}\nPY\n"


@pytest.fixture
def folder(workspace):
    path = pathlib.Path(tempfile.mkdtemp(prefix="reach-", dir=workspace))
    path.chmod(0o755)
    return path


@pytest.fixture
def elsewhere(request):
    """A folder of the builder's user that no sandbox replaces as a whole, as a home or a state folder is."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="gantry-e2e-", dir="/var/lib" if AS_ROOT else pathlib.Path.home()))
    request.addfinalizer(lambda: shutil.rmtree(path, ignore_errors=True))
    path.chmod(0o755)
    return path


def sleeper():
    """A process of the user that builds run as, outside of any sandbox."""
    kwargs = {"user": BUILDER.pw_uid, "group": BUILDER.pw_gid, "extra_groups": []} if AS_ROOT else {}
    return subprocess.Popen(["sleep", "600"], env={"TOKEN": SECRET, "PATH": "/usr/bin:/bin"}, **kwargs)


def test_processes_of_this_machine_are_neither_seen_nor_signalled_nor_traced(folder):
    with sleeper() as other:
        try:
            code, log = build(folder, f"""
test $(ls /proc | grep -c '^[0-9]*$') -lt 10
no ls -d /proc/{other.pid}
no kill -9 {other.pid}
kill -9 -1 || true
""", f"test -z \"$(grep -sal {SECRET[:15]} /proc/[0-9]*/environ)\"", script(f"""
refused("pidfd_open", 434, {other.pid}, 0)
refused("ptrace attach", 101, 16, {other.pid}, 0, 0)
refused("ptrace of process 1", 101, 16, 1, 0, 0)
refused("process_vm_readv of process 1", 310, 1, None, 1, None, 1, 0)
"""), env={"TOKEN": SECRET})
            assert other.poll() is None
        finally:
            other.kill()
    # What signals every process ends its own shell, and nothing else.
    assert "process_vm_readv of process 1" in log, log
    assert SECRET not in log


def test_process_1_gives_nothing_away(folder):
    code, log = build(folder, """
for it in environ mem maps root/etc/passwd cwd/. fd/3 ns/user; do
    no cat /proc/1/$it
    no ls /proc/1/$it/
done
no nsenter -t 1 -m true
no nsenter -t 1 -U true
for signal in KILL STOP TERM USR1; do kill -$signal 1 || true; done
sleep 0.2
""", """
set -- $(ls /proc/self/fd)
echo "descriptors $*"
for fd; do case $(readlink /proc/self/fd/$fd) in pipe:*|/dev/null|/proc/*|"") ;; *) exit 1 ;; esac; done
""", env={"TOKEN": SECRET})
    assert code == 0, log
    assert SECRET not in log


def test_another_builds_files_are_out_of_reach(folder, workspace):
    """Two at once: the first leaves its secret everywhere that it may write, the second looks for it."""
    mine = pathlib.Path(tempfile.mkdtemp(prefix="reach-", dir=workspace))
    mine.chmod(0o755)
    gate = socket.create_server(("127.0.0.1", 0))
    gate.settimeout(60)
    (mine / "buildspec.yml").write_text(spec(f"""
for at in . /tmp /var/tmp /root /home /run /dev/shm /run/gantry; do echo {SECRET} >$at/secret || true; done
export SECRET={SECRET}
exec 3<>/dev/tcp/127.0.0.1/{gate.getsockname()[1]}
read -r line <&3
""", head="version: 0.2\nenv: {shell: bash}"))
    with gate, subprocess.Popen(command(mine), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as first:
        try:
            with gate.accept()[0] as line:
                code, log = build(folder, f"""
places="/tmp /var/tmp /root /home /run /dev/shm /proc/[0-9]*/environ /proc/[0-9]*/cwd/ /proc/[0-9]*/root/tmp"
found=$(grep -rsla {SECRET} --exclude-dir=gantry $places || true)
test -z "$found"
no sh -c "ls -A /tmp /var/tmp | grep gantry-build"
""".replace(SECRET, SECRET[:10] + "[" + SECRET[10] + "]" + SECRET[11:]))
                line.sendall(b"go\n")
            said = first.communicate(timeout=60)[0].decode()
            assert first.returncode == 0, said
        finally:
            if first.poll() is None:
                first.kill()
    assert code == 0, log


def test_homes_sockets_and_the_users_own_files_are_hidden(folder, elsewhere):
    """What an engine, a desktop and a bus listen at lies in /run and /tmp; whoever reaches a socket speaks to what is behind."""
    listening = []
    with contextlib.ExitStack() as stack:
        places = [pathlib.Path(p) for p in ("/run", "/tmp", "/var/tmp") if os.access(p, os.W_OK)]
        for place in places:
            path = place / f"gantry-e2e-{random.randrange(10**9)}.sock"
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(str(path))
            stack.callback(path.unlink)
            path.chmod(0o777)
            server.listen()
            listening.append(path)
        code, log = build(folder, *(f"no test -e {path}" for path in listening), """
for path in /run/docker.sock /var/run/docker.sock /run/podman/podman.sock /run/dbus /run/user /run/systemd /tmp/.X11-unix; do
    no test -e $path
done
""", "test \"$(ls -A /home)\" = build", "test -z \"$(ls -A /root)\"", f"no test -e {BUILDER.pw_dir}/.profile")
        assert code == 0, log


def test_abstract_sockets_are_out_of_reach_without_network(folder):
    name = f"gantry-e2e-{random.randrange(10**9)}"
    look = script(f"""
import socket
s = socket.socket(socket.AF_UNIX)
try:
    s.connect("\\0{name}")
    print("it answers")
except OSError as e:
    print("no", e)
""") + """
no sh -c 'grep -v lo: /proc/net/dev | grep :'
"""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + name)
        server.listen()
        code, log = build(folder, look, words=["--network", "none"])
    assert code == 0, log
    assert "it answers" not in log.replace(look, "") and "no [Errno" in log


def test_no_privilege_is_gained(folder):
    """Not by setuid programs, devices, keys, or any file system that a namespace lets one mount."""
    code, log = build(folder, """
grep -q 'NoNewPrivs:.*1' /proc/self/status
test "$(awk '$3 > 1 && $2 == 0' /proc/self/uid_map)" = ""
cp /bin/id ./id && chmod 4755 ./id && test "$(setpriv --reuid 1000 --clear-groups ./id -u)" = 1000
no mknod sda b 8 0
no mknod mem c 1 1
test "$(find /dev -type b)" = ""
no dd if=/dev/mem count=1
no test -e /dev/kmsg
no test -e /dev/fuse
no test -e /dev/kvm
""", """
no sh -c 'echo 1 >/proc/sys/kernel/panic'
no sh -c 'echo x >/proc/sys/kernel/core_pattern'
no sh -c 'echo b >/proc/sysrq-trigger'
no touch /sys/x
for file in /sys/kernel/uevent_helper /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs /sys/power/state; do
    no sh -c "echo 0 >$file"
done
no chown 0 /usr/bin/env
no touch /usr/x
no touch /etc/x
no rm /etc/passwd
""", script("""
refused("swapon", 167, "/root/x", 0)
refused("init_module", 175, None, 0, "")
refused("reboot", 169, 0xfee1dead, 672274793, 0, None)
refused("settimeofday", 164, None, b"\\0" * 8)
refused("iopl", 172, 3)
refused("quotactl", 179, 0x80000300, "/", 0, None)
refused("open_by_handle_at", 304, -100, b"\\x08\\0\\0\\0\\x01\\0\\0\\0\\x02\\0\\0\\0\\0\\0\\0\\0", 0)
"""))
    assert code == 0, log


def test_mounts_that_hide_the_host_stay(elsewhere):
    """Root of a namespace may mount; what bubblewrap mounted over the host's folders, the built one among them, is locked."""
    (elsewhere / "secret").write_text(SECRET)
    code, log = build(elsewhere, f"""
no test -e {elsewhere}/secret
no umount {elsewhere}
for it in /tmp /var/tmp /home /run /root /proc /dev; do no umount $it; done
no umount -l /
no mount -o remount,rw /
no mount -o remount,rw,bind /
no mount -o remount,rw,bind /usr
no mount --bind / /mnt
no mount --bind /var /mnt
no mount -t ext4 /dev/vda /mnt
no sh -c 'mount -t sysfs x /mnt -o rw && echo 1 >/mnt/kernel/profiling'
""", f"""
mkdir -p /root/u /root/w
for trick in "mount --rbind / /mnt" "mount -t overlay -o lowerdir=/ x /mnt" \\
        "mount -t overlay -o lowerdir=/,upperdir=/root/u,workdir=/root/w x /mnt"; do
    no unshare -m sh -c "$trick && umount -l /mnt{elsewhere}; cat /mnt{elsewhere}/secret"
    no unshare -Urm sh -c "$trick && umount -l /mnt{elsewhere}; cat /mnt{elsewhere}/secret"
    no unshare -m sh -c "$trick && mount -o remount,rw,bind /mnt; touch /mnt/etc/x && test -e /etc/x"
done
no unshare -m umount -l /run
no unshare -Urm umount -l /run
no unshare -Urm sh -c 'mount -o remount,rw,bind / && touch /etc/x'
""", script("""
# open_tree(2) without what is mounted below, and move_mount(2) of it
fd = libc.syscall(428, -100, b"/", 1 | 0x80000)
print("open_tree", fd, errno.errorcode.get(ctypes.get_errno()))
if fd >= 0:
    print(os.listdir(f"/proc/self/fd/{fd}/tmp"), os.listdir(f"/proc/self/fd/{fd}/run"))
    sys.exit("open_tree showed what is hidden")
"""))
    assert code == 0, log
    assert SECRET not in log


def session_with_a_key():
    """In a child before it becomes `gantry`: a session keyring as a login or a service manager makes one, with a key in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None) > 0, "this kernel keeps no keys"
    key = libc.syscall(ADD_KEY, b"user", SECRET.encode(), b"payload", 7, KEY_SPEC_SESSION_KEYRING)
    assert key > 0 and libc.syscall(KEYCTL, KEYCTL_SETPERM, key, 0x3F3F3F3F) == 0


def test_keys_of_the_session_that_the_builder_runs_in_are_not_there(folder):
    """A session's keyring goes on to children, across user namespaces too; so they get no keys at all."""
    code, log = build(folder, script(f"""
refused("search", {KEYCTL}, {KEYCTL_SEARCH}, {KEY_SPEC_SESSION_KEYRING}, b"user", b"{SECRET}", 0)
refused("add", {ADD_KEY}, b"user", b"x", b"payload", 7, {KEY_SPEC_SESSION_KEYRING})
refused("request", {ADD_KEY + 1}, b"user", b"{SECRET}", None, {KEY_SPEC_SESSION_KEYRING})
refused("search by x32", {KEYCTL} | 1 << 30, {KEYCTL_SEARCH}, {KEY_SPEC_SESSION_KEYRING}, b"user", b"{SECRET}", 0)
"""), preexec=session_with_a_key)
    assert code == 0, log
    assert log.count(" -1 ENOSYS") == 4


def test_a_folder_of_the_builders_user_stays_as_it_was(folder, elsewhere):
    shutil.chown(elsewhere, BUILDER.pw_uid, BUILDER.pw_gid)
    (elsewhere / "mine").write_text("as it was")
    shutil.chown(elsewhere / "mine", BUILDER.pw_uid, BUILDER.pw_gid)
    code, log = build(folder, f"no touch {elsewhere}/new", f"no sh -c 'echo x >{elsewhere}/mine'", f"no rm {elsewhere}/mine",
                      f"no chmod 777 {elsewhere}", f"no setfattr -n user.x -v 1 {elsewhere}/mine")
    assert code == 0, log
    assert sorted(p.name for p in elsewhere.iterdir()) == ["mine"]
    assert (elsewhere / "mine").read_text() == "as it was"

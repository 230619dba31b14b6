"""The scripts in deploy/ that the demo and the tests stand on."""
import os
import shutil
import subprocess

import pytest
from stack import ROOT

APT = """#!/bin/sh
[ "$1" = install ] || exit 0
/usr/sbin/policy-rc.d thing start; echo "$?" >{folder}/policy
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -s /lib/systemd/system/thing.service /etc/systemd/system/multi-user.target.wants/
exit {code}
"""


def install(folder, code=0, policy=None):
    """install-packages with an apt-get that installs a service, on this machine with a /usr/sbin and units of its own."""
    tools = folder / "tools"
    tools.mkdir()
    shutil.copy(ROOT / "deploy/install-packages", folder)
    (folder / "packages").write_text("run a-package-that-is-not-there\n")
    for name, text in {"apt-get": APT.format(folder=folder, code=code),
                       "systemctl": f'#!/bin/sh\necho "$@" >>{folder}/systemctl\n'}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    script = f"PATH={tools}:$PATH\n{folder}/install-packages run\ncode=$?\nls /usr/sbin >{folder}/left\nexit $code\n"
    if policy:
        script = f"printf '{policy}' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d\n{script}"
    return subprocess.run(["bwrap", "--unshare-user", "--uid", "0", "--dev-bind", "/", "/", "--tmpfs", "/usr/sbin",
                           "--tmpfs", "/etc/systemd/system", "sh", "-c", script], capture_output=True, text=True)


@pytest.mark.parametrize("code", [0, 1], ids=["installed", "failed"])
def test_a_package_that_is_installed_starts_no_service_now_nor_at_boot(tmp_path, code):
    done = install(tmp_path, code)
    assert done.returncode == code, done.stderr
    assert (tmp_path / "policy").read_text() == "101\n"
    assert (tmp_path / "left").read_text() == ""
    if code == 0:
        assert (tmp_path / "systemctl").read_text() == "disable --quiet thing.service\n"


def test_a_policy_that_the_machine_has_is_left_as_it_is(tmp_path):
    assert install(tmp_path, policy="#!/bin/sh\\nexit 104\\n").returncode == 0
    assert (tmp_path / "policy").read_text() == "104\n"
    assert (tmp_path / "left").read_text() == "policy-rc.d\n"

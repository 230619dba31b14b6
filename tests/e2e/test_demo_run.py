"""deploy/demo-run: images of several layers, and the former image that stays until the new one answers."""
import io
import os
import socket
import subprocess
import tarfile
import urllib.request

import pytest
from stack import ROOT, free_port


def layer(entries):
    """A tar archive: text is a file, None a folder, bytes a program, a tuple a symbolic link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, what in entries.items():
            info = tarfile.TarInfo(name)
            data = what.encode() if isinstance(what, str) else what if isinstance(what, bytes) else b""
            info.mode, info.size = 0o755, len(data)
            if what is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(what, tuple):
                info.type, info.linkname = tarfile.SYMTYPE, what[0]
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    program = tmp_path_factory.mktemp("server") / "server"
    subprocess.run(["cc", "-static", "-O1", "-o", program, ROOT / "deploy/demo-app/server.c"], check=True)
    return program.read_bytes()


class Deployer:
    def __init__(self, folder, registry, server):
        self.folder, self.registry, self.server, self.port = folder, registry, server, free_port()
        self.env = {"PATH": os.environ["PATH"], "DEMO_RUN_DIR": str(folder), "DEMO_PORT_DEV": str(self.port)}

    def image(self, *layers, entrypoint="/server"):
        return self.registry.push("app", [layer({"server": self.server}), *map(layer, layers)], {"Entrypoint": [entrypoint]})

    def run(self, digest):
        done = subprocess.run([ROOT / "deploy/demo-run"], capture_output=True, text=True, timeout=120, env=dict(
            self.env, GANTRY_ENVIRONMENT="dev", GANTRY_IMAGE=f"{self.registry.address}/app@{digest}"))
        return done.returncode, done.stdout + done.stderr

    def files(self, digest):
        """What the image has, without the places that bubblewrap mounts over."""
        root = self.folder / "dev" / digest.removeprefix("sha256:") / "root"
        return sorted(str(p.relative_to(root)) for p in root.rglob("*")
                      if str(p.relative_to(root)) not in ("proc", "dev", "tmp", "server"))

    def serves(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/") as answer:
            return answer.read().decode()


@pytest.fixture
def deployer(tmp_path, registry, server):
    deployer = Deployer(tmp_path, registry, server)
    yield deployer
    subprocess.run([ROOT / "deploy/demo-run", "down"], env=deployer.env, check=True)


def test_a_whiteout_removes_what_the_layers_below_have_and_nothing_of_its_own(deployer):
    digest = deployer.image({"gone": "1", "kept": "1", "folder": None, "folder/gone": "1", "again": None, "again/old": "1"},
                            # The whiteout after the file that it makes room for, as an archiver may write it.
                            {".wh.gone": "", "folder/.wh.gone": "", "again": None, "again/new": "2", ".wh.again": ""})
    code, said = deployer.run(digest)
    assert code == 0, said
    assert deployer.files(digest) == ["again", "again/new", "folder", "kept"]


def test_an_opaque_whiteout_empties_the_folder_of_the_layers_below(deployer):
    digest = deployer.image({"folder": None, "folder/old": "1", "folder/deep": None, "folder/deep/old": "1", "beside": "1"},
                            {"folder": None, "folder/new": "2", "folder/.wh..wh..opq": ""})
    code, said = deployer.run(digest)
    assert code == 0, said
    assert deployer.files(digest) == ["beside", "folder", "folder/new"]


def test_a_file_takes_the_place_of_a_folder(deployer):
    digest = deployer.image({"thing": None, "thing/inside": "1"}, {"thing": "2"})
    code, said = deployer.run(digest)
    assert code == 0, said
    assert deployer.files(digest) == ["thing"]


@pytest.mark.parametrize("entries", [{"out/new": "2"}, {"out/.wh.mine": ""}, {"out/.wh..wh..opq": ""}], ids=["file", "whiteout", "opaque"])
def test_a_link_out_of_the_image_changes_nothing_there(deployer, tmp_path_factory, entries):
    victim = tmp_path_factory.mktemp("victim")
    (victim / "mine").write_text("1")
    code, said = deployer.run(deployer.image({"out": (str(victim),)}, entries))
    assert [p.name for p in victim.iterdir()] == ["mine"], said
    if "out/new" in entries:
        assert code == 1 and "cannot be unpacked" in said


def test_where_the_port_is_taken_the_deploy_fails(deployer):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", deployer.port))
        taken.listen()
        code, said = deployer.run(deployer.image())
    assert code == 1 and f"it could not take port {deployer.port}" in said


def test_an_image_that_does_not_answer_fails_and_the_former_one_keeps_serving(deployer):
    good = deployer.image()
    assert deployer.run(good)[0] == 0
    for bad in (deployer.image(entrypoint="/nowhere"), deployer.image({"other": "1"}, entrypoint="/other")):
        code, said = deployer.run(bad)
        assert code == 1 and f"{bad} did not answer in dev; the former one keeps serving" in said
        assert good in deployer.serves()

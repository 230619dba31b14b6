import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest
from stack import ROOT, Registry, Repository, Stack


@pytest.fixture(scope="session")
def kafka():
    """Bootstrap servers of a real broker; tests/run starts one."""
    address = os.environ.get("GANTRY_KAFKA")
    if not address:
        pytest.fail("GANTRY_KAFKA is not set; start the tests with tests/run, or eval \"$(deploy/kafka env)\"")
    return address


@pytest.fixture(scope="session")
def workspace():
    """A folder that the builder's own user can reach, wherever the checkout is."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gantry-e2e-"))
    folder.chmod(0o755)
    yield folder
    if not os.environ.get("GANTRY_TEST_KEEP"):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def registry(workspace):
    registry = Registry(workspace / "registry")
    registry.start()
    yield registry
    registry.stop()


@pytest.fixture
def make_stack(workspace, kafka, request):
    """make_stack(settings=..., ...): a started Stack that is stopped after the test."""
    stacks = []

    def make(start=True, **kwargs):
        folder = pathlib.Path(tempfile.mkdtemp(prefix=request.node.name[:40].replace("[", "-").replace("]", "") + "-",
                                               dir=workspace))
        folder.chmod(0o755)
        stack = Stack(folder, kafka, **kwargs)
        stacks.append(stack)
        if start:
            stack.start()
        return stack
    yield make
    problems = []
    for stack in stacks:
        if stack.supervisor:
            code = stack.stop()
            if code != 0:
                problems.append(f"gantry up ended with {code}")
        log = stack.log.read_text(errors="replace") if stack.log.exists() else ""
        for sign in ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer", "Assertion"):
            if sign in log:
                at = log.index(sign)
                problems.append(log[max(0, at - 500):at + 3000])
    failed = getattr(request.node, "outcome_of_call", None)
    if failed is not None and failed.failed:
        for stack in stacks:
            if stack.log.exists():
                print(f"--- {stack.log}\n" + "\n".join(stack.log.read_text(errors="replace").splitlines()[-80:]))
    assert not problems, "\n".join(problems)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    if outcome.get_result().when == "call":
        item.outcome_of_call = outcome.get_result()


@pytest.fixture
def repository(tmp_path_factory, workspace):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="git-", dir=workspace))
    folder.chmod(0o755)
    return Repository(folder)


def pytest_collection_modifyitems(config, items):
    """What needs `tests/run --full` is left out by name, never silently."""
    if os.environ.get("GANTRY_TEST_FULL"):
        return
    left = [i for i in items if i.get_closest_marker("full")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [i for i in items if not i.get_closest_marker("full")]
        print("left out without --full: " + ", ".join(i.name for i in left))


def pytest_configure(config):
    config.addinivalue_line("markers", "full: needs what is slow to get; run with tests/run --full")

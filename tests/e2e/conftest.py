import os
import pathlib
import shutil
import subprocess
import tempfile

import page
import pytest
import schema
from aws import Aws
from responder import Responder
from stack import Registry, Repository, Stack


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


@pytest.fixture(scope="session")
def aws(workspace):
    aws = Aws(workspace / "aws")
    aws.start()
    yield aws
    aws.stop()


@pytest.fixture
def respond():
    """respond(stack): who answers its custom actions."""
    made = []

    def make(stack):
        made.append(Responder(stack))
        return made[-1]
    yield make
    for responder in made:
        responder.stop()


class Stacks:
    """Started Stacks, to be stopped and looked over at the end."""

    def __init__(self, workspace, kafka, name):
        self.workspace, self.kafka, self.name = workspace, kafka, name[:40].replace("[", "-").replace("]", "")
        self.stacks = []

    def make(self, start=True, **kwargs):
        folder = pathlib.Path(tempfile.mkdtemp(prefix=self.name + "-", dir=self.workspace))
        folder.chmod(0o755)
        stack = Stack(folder, self.kafka, **kwargs)
        stack.applied = schema.assert_valid
        self.stacks.append(stack)
        if start:
            stack.start()
        return stack

    def end(self):
        """What was wrong with them."""
        problems = []
        for stack in self.stacks:
            if stack.supervisor:
                code = stack.stop()
                if code != 0:
                    problems.append(f"gantry up ended with {code}")
            log = stack.log.read_text(errors="replace") if stack.log.exists() else ""
            for sign in ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer", "Assertion"):
                if sign in log:
                    at = log.index(sign)
                    problems.append(log[max(0, at - 500):at + 3000])
        return "\n".join(problems)


@pytest.fixture
def make_stack(workspace, kafka, request):
    """make_stack(settings=..., ...): a started Stack that is stopped after the test."""
    stacks = Stacks(workspace, kafka, request.node.name)
    yield stacks.make
    problems = stacks.end()
    assert not problems, problems


@pytest.fixture(scope="module")
def make_shared_stack(workspace, kafka, request):
    """The same for all tests of a module, which keep out of each other's way."""
    stacks = Stacks(workspace, kafka, pathlib.Path(request.node.name).stem)
    yield stacks.make
    problems = stacks.end()
    assert not problems, problems


@pytest.fixture(scope="module")
def open_browser(tmp_path_factory):
    browser = page.open_browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.quit()


@pytest.fixture
def browser(open_browser):
    """On no page: one of a stack that has stopped would go on asking it, and complain."""
    open_browser.get("about:blank")
    page.problems(open_browser)
    return open_browser


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """With a failure, in a fixture or a test, comes what every stack said meanwhile, unless it stands there already."""
    report = (yield).get_result()
    if call.when == "setup":
        item.began = call.start
    for stack in Stack.made if report.failed else []:
        title = f"log of {stack.folder.name}"
        if stack.log.exists() and stack.log.stat().st_mtime >= item.began and title not in str(report.longrepr):
            report.sections.append((title, "\n".join(stack.log_tail(80))))


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

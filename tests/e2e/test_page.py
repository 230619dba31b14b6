"""The page in a real browser: where is my change, what waits for me, and a vote that counts."""
import os
import shutil
import socket

from local_build import BUILDER
from page import go, press, problems, shows, sign_in, snap, wait
from pipelines import PUSH, STAGING_GATE, deployed, deployer_settings, environments, one_stage, pipeline
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from stack import eventually


def in_stage(browser, name):
    """What the page of a pipeline shows in a stage's column."""
    return browser.execute_script("return [...document.querySelectorAll('li.stage')]"
                                  ".find(stage => stage.querySelector('h2')?.textContent === arguments[0])?.innerText || ''", name)


def test_a_person_signs_in_sees_the_change_and_approves_it(make_stack, registry, repository, browser):
    stack = make_stack(start=False, settings={"console": {"anonymous-read": True}})
    stack.settings["deployer"] = deployer_settings(stack.folder)
    stack.start()
    repository.commit("Say hello <b>loudly</b> 🌍", PUSH)
    stack.apply(environments("dev", "staging", "prod") +
                pipeline("shop", repository.url, image=f"{registry.address}/shop", buildspec="push.yml", staging_gate=STAGING_GATE))
    quinn = stack.person("quinn", "approver", groups=["qa"])
    eventually(lambda: stack.get("/api/v1/approvals")["approvals"], what="the approval")

    sign_in(browser, stack, quinn)
    shows(browser, "Quinn")

    press(browser, "shop")
    shows(browser, "Say hello <b>loudly</b> 🌍")
    press(browser, "Approvals")
    press(browser, "Review")
    shows(browser, "into staging")
    browser.find_element(By.ID, "comment").send_keys("looks good")
    press(browser, "Approve into staging")
    shows(browser, "That was the last vote")
    eventually(lambda: deployed(stack.folder, "prod"), what="PROD")
    press(browser, "Close")
    press(browser, "Overview")
    press(browser, "shop")
    shows(browser, "succeeded")

    assert not problems(browser)
    assert "looks good" in str(stack.release("shop", 1))


def test_what_happens_shows_without_a_reload_while_it_happens(make_stack, registry, repository, browser):
    stack = make_stack(start=False, settings={"console": {"anonymous-read": True}})
    stack.settings["deployer"] = deployer_settings(stack.folder)
    stack.start()
    repository.commit("first", PUSH)
    stack.apply(environments("dev", "staging", "prod") +
                pipeline("shop", repository.url, image=f"{registry.address}/shop", buildspec="push.yml", staging_gate=STAGING_GATE))
    eventually(lambda: stack.get("/api/v1/approvals")["approvals"], what="the first approval")
    go(browser, stack, "/pipelines/shop")
    shows(browser, "first")
    browser.execute_script("window.thisLoad = 'the same'")
    repository.commit("a second change")
    shows(browser, "a second change")
    # It cannot have ended: it needs a vote. What follows the vote shows, too.
    assert "a second change" not in in_stage(browser, "prod")
    eventually(lambda: stack.release("shop", 2)["status"] == "waiting", what="the second release before its gate")
    stack.gantry("approve", "shop/2", "staging", "--yes", token=stack.person("quinn", "approver", groups=["qa"]))
    eventually(lambda: "a second change" in in_stage(browser, "prod"), what="the second release in prod, on the page")
    assert browser.execute_script("return window.thisLoad") == "the same"


COLOURS = """version: 0.2
phases:
  build:
    commands:
      - printf 'plain needle\\n\\033[31mred Needle\\033[0m\\nhay\\n'
      - 'until (: >/dev/tcp/127.0.0.1/%d) 2>/dev/null; do sleep 0.1; done; echo one needle more'
env: {shell: bash}
"""


def test_a_log_is_searched_while_it_comes_and_keeps_its_colours(make_stack, repository, browser):
    stack = make_stack(start=False, settings={"console": {"anonymous-read": True}})
    stack.start()
    with socket.socket() as gate:
        gate.bind(("127.0.0.1", 0))
        repository.commit("first", {"buildspec.yml": COLOURS % gate.getsockname()[1]})
        stack.apply(one_stage("shop", repository.url))
        stack.wait_release("shop", 1, "in-progress")
        go(browser, stack, "/pipelines/shop/1")
        shows(browser, "red Needle")
        assert browser.find_element(By.CSS_SELECTOR, ".log-text .ansi-red").text == "red Needle"

        def here():
            return [line.text for line in browser.find_elements(By.CSS_SELECTOR, ".log-line.is-here .log-text")]

        def counted(text):
            wait(browser, lambda b: b.find_element(By.CLASS_NAME, "log-found").text == text, f"the count is not '{text}'")

        find = browser.find_element(By.CLASS_NAME, "log-search")
        find.send_keys("NEEDLE")
        counted("1 of 2")
        assert here() == ["plain needle"]
        find.send_keys(Keys.ENTER)
        counted("2 of 2")
        assert here() == ["red Needle"]
        snap(browser, "search in a log")
        press(browser, "Next in the log")
        counted("1 of 2")
        press(browser, "Previous in the log")
        counted("2 of 2")
        find.send_keys(Keys.SHIFT, Keys.ENTER)
        counted("1 of 2")
        gate.listen()
        counted("1 of 3")  # what comes later is found, too
        assert here() == ["plain needle"]
        find.send_keys("x")
        counted("not found")
        assert not here() and not browser.find_element(By.XPATH, "//button[@aria-label='Next in the log']").is_enabled()
    assert not problems(browser)


KEEPS = """version: 0.2
phases:
  build:
    commands:
      - mkdir out; echo hello >out/hello.txt; head -c 3000000 /dev/zero >out/zeros
      - i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done # seen in CPU time and memory
artifacts: {files: [out/*], name: site, secondary-artifacts: {docs: {files: [out/hello.txt], name: docs}}}
"""


def test_what_a_build_kept_and_took_stands_with_its_release_and_is_downloaded(make_stack, repository, browser, tmp_path):
    stack = make_stack(start=False)
    kept = stack.folder / "kept"
    for folder in (kept, kept / ".tmp"):  # root's console may read what the builder's user has
        folder.mkdir(parents=True, mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(folder, BUILDER)
    stack.settings.update({"console": {"artifacts": str(kept)}, "builder": {"artifacts": str(kept)}})
    stack.start()
    repository.commit("first", {"buildspec.yml": KEEPS})
    stack.apply(one_stage("shop", repository.url))
    stack.wait_release("shop", 1, "succeeded")
    sign_in(browser, stack, stack.person("vera", "viewer"), "/pipelines/shop/1")
    shows(browser, "site.zip")
    card = browser.find_element(By.CSS_SELECTOR, "section[aria-label=Builds]").text
    assert "\ndocs\n" in card and "\nlog\n" in card and "2 files" in card and "took " in card and " of CPU" in card and " of memory at most" in card and " kept" in card, card
    snap(browser, "what builds kept and took")
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    press(browser, "site.zip")
    there = tmp_path / "site.zip"
    eventually(lambda: there.exists() and not list(tmp_path.glob("*.crdownload")), what="the download")
    stack.gantry("artifacts", "shop/1", "site.zip", "--to", tmp_path / "by-the-cli")
    assert there.read_bytes() == (tmp_path / "by-the-cli").read_bytes()
    assert not problems(browser)

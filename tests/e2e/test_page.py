"""The page in a real browser: where is my change, what waits for me, and a vote that counts."""
import tempfile

import pytest
from pipelines import PUSH, STAGING_GATE, deployed, deployer_settings, environments, pipeline
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from stack import eventually


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
                 "disable-component-update", "disable-sync", "window-size=1400,900", "user-data-dir=" + tempfile.mkdtemp()):
        options.add_argument("--" + flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def shows(browser, text, timeout=30):
    WebDriverWait(browser, timeout).until(lambda b: text in b.find_element(By.TAG_NAME, "body").text, f"the page does not show '{text}'")


def press(browser, text):
    find = f"//*[self::button or self::a][contains(normalize-space(.), '{text}')]"
    WebDriverWait(browser, 20).until(lambda b: any(e.is_displayed() and e.is_enabled() for e in b.find_elements(By.XPATH, find)))
    next(e for e in browser.find_elements(By.XPATH, find) if e.is_displayed() and e.is_enabled()).click()


def test_a_person_signs_in_sees_the_change_and_approves_it(make_stack, registry, repository, browser):
    stack = make_stack(start=False, settings={"console": {"anonymous-read": True}})
    stack.settings["deployer"] = deployer_settings(stack.folder)
    stack.start()
    repository.commit("Say hello <b>loudly</b> 🌍", PUSH)
    stack.apply(environments("dev", "staging", "prod") +
                pipeline("shop", repository.url, image=f"{registry.address}/shop", buildspec="push.yml", staging_gate=STAGING_GATE))
    quinn = stack.person("quinn", "approver", groups=["qa"])
    eventually(lambda: stack.get("/api/v1/approvals")["approvals"], what="the approval")

    browser.get(f"http://127.0.0.1:{stack.ports['console']}/")
    shows(browser, "shop")
    press(browser, "Sign in")
    browser.find_element(By.ID, "token").send_keys(quinn)
    browser.find_element(By.CSS_SELECTOR, "dialog button[type=submit]").click()
    WebDriverWait(browser, 20).until(lambda b: not b.find_elements(By.TAG_NAME, "dialog"))
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

    problems = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE" and "favicon" not in e["message"]]
    assert not problems, problems
    assert "looks good" in str(stack.release("shop", 1))


def test_what_happens_shows_within_a_second_without_a_reload(make_stack, registry, repository, browser):
    stack = make_stack(start=False, settings={"console": {"anonymous-read": True}})
    stack.settings["deployer"] = deployer_settings(stack.folder)
    stack.start()
    repository.commit("first", PUSH)
    stack.apply(environments("dev", "staging", "prod") +
                pipeline("shop", repository.url, image=f"{registry.address}/shop", buildspec="push.yml"))
    stack.wait_release("shop", 1)
    browser.get(f"http://127.0.0.1:{stack.ports['console']}/pipelines/shop")
    shows(browser, "first")
    repository.commit("a second change")
    stack.wait_release("shop", 2)
    shows(browser, "a second change", timeout=5)

"""The page in a real Chromium, as people use it: by what it shows."""
import os
import pathlib
import time

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

FLAGS = ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
         "disable-component-update", "disable-sync", "window-size=1500,1000")


def open_browser(profile):
    """`profile`: a folder for what Chromium keeps."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"user-data-dir={profile}"):
        options.add_argument("--" + flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))


def wait(browser, check, what, timeout=30):
    """check(browser) until it gives something true; what changes under it is looked at anew."""
    try:
        return WebDriverWait(browser, timeout, ignored_exceptions=[StaleElementReferenceException]).until(check)
    except TimeoutException:
        raise AssertionError(f"{what} after {timeout} s:\n{text_of(browser)}") from None


def text_of(browser):
    return browser.find_element(By.TAG_NAME, "body").text


def shows(browser, text, timeout=30):
    wait(browser, lambda b: text in text_of(b), f"the page does not show '{text}'", timeout)


def usable(browser, xpath):
    return [e for e in browser.find_elements(By.XPATH, xpath) if e.is_displayed() and e.is_enabled()]


def press(browser, text, within=""):
    """The button or link that says it; `within`: an XPath of where."""
    find = f"{within}//*[self::button or self::a][contains(normalize-space(.), '{text}') or @aria-label='{text}']"

    def pressed(b):
        found = usable(b, find)
        if found:
            found[0].click()
        return bool(found)
    wait(browser, pressed, f"there is no button '{text}'")


def go(browser, stack, path):
    browser.get(f"http://127.0.0.1:{stack.ports['console']}{path}")


def sign_in(browser, stack, token, path="/"):
    """Anew: whoever was signed in is forgotten, and what an earlier page complained of."""
    browser.get("about:blank")
    browser.get_log("browser")
    go(browser, stack, path)
    press(browser, "Sign in")
    browser.find_element(By.ID, "token").send_keys(token)
    browser.find_element(By.CSS_SELECTOR, "dialog button[type=submit]").click()
    wait(browser, lambda b: not b.find_elements(By.TAG_NAME, "dialog"), "the dialog stays open")


def problems(browser):
    """What Chromium complained of; asking without a token is answered 401 by design."""
    return [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"
            and "favicon" not in e["message"] and "401" not in e["message"]]


def field(browser, label):
    """An input of the open dialog."""
    return browser.find_element(By.XPATH, f"//dialog//*[@id=//dialog//label[contains(., '{label}')]/@for]")


def submit(browser, **fields):
    """Fills in the open dialog, by the beginnings of its labels, and does what it asks about; waits until it is gone."""
    for label, text in fields.items():
        element = field(browser, label)
        if element.tag_name == "select":
            Select(element).select_by_visible_text(text)
        elif element.get_attribute("type") == "checkbox":
            element.click()
        else:
            element.send_keys(text)
    snap(browser, browser.find_element(By.CSS_SELECTOR, "dialog h2").text)
    browser.find_element(By.CSS_SELECTOR, "dialog button[type=submit]").click()
    wait(browser, lambda b: not b.find_elements(By.TAG_NAME, "dialog"), "the dialog stays open")


def snap(browser, name):
    """With GANTRY_TEST_SHOTS, a picture of what is there, light and dark."""
    folder = os.environ.get("GANTRY_TEST_SHOTS")
    for theme in ("dark", "light") if folder else ():
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        time.sleep(0.5)  # colours fade
        (pathlib.Path(folder) / f"{name.replace('/', '-')} {theme}.png").write_bytes(browser.get_screenshot_as_png())

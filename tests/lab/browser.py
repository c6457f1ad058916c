"""A headless Chromium, and what a person sees of Horizon in it."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

from isthmus.testing.until import until

#: Debian's packages of the same names bring them.
CHROMIUM, DRIVER = "chromium", "chromedriver"
#: What fits on a page of the documentation, in pixels.
WIDTH, HEIGHT = 1100, 800
#: A page asks Keystone and Neutron several times, one behind the other; seconds on a busy machine.
PAGE_S = 120
#: What is read of a page, by scripts that it runs itself.
_ROWS = """return [...document.querySelectorAll(arguments[0] + " tbody tr:not(.empty)")].map(
    row => [...row.querySelectorAll("td")].map(cell => cell.innerText.trim()))"""
_TEXTS = (
    """return [...document.querySelectorAll(arguments[0])].map(one => one.textContent.trim())"""
)
#: Messages by which Horizon says that something went wrong.
_TROUBLE = ".alert-danger, .alert-warning"


def missing_programs() -> list[str]:
    """List what is not installed of a browser and its driver."""
    return [name for name in (CHROMIUM, DRIVER) if shutil.which(name) is None]


@contextlib.contextmanager
def open_browser() -> Iterator[Any]:
    """Open a browser with a profile of its own; both are gone afterwards."""
    options = ChromeOptions()
    options.binary_location = shutil.which(CHROMIUM) or CHROMIUM
    for word in (
        "--headless=new",
        "--no-sandbox",  # root may not have one
        "--disable-dev-shm-usage",
        "--force-prefers-reduced-motion",
        "--hide-scrollbars",
        "--lang=en-US",
        f"--window-size={WIDTH},{HEIGHT}",
    ):
        options.add_argument(word)
    driver = Chrome(options, service=ChromeService(shutil.which(DRIVER) or DRIVER))
    try:
        driver.set_page_load_timeout(PAGE_S)
        yield driver
    finally:
        driver.quit()


class Dashboard:
    """Horizon, as somebody sees it who has logged in."""

    def __init__(self, driver: Any, url: str) -> None:
        """Bind it; nothing is opened yet."""
        self.driver = driver
        self._url = url.rstrip("/")

    def log_in(self, user: str, password: str) -> None:
        """Log in as a person does; waits for the page on which people start."""
        self.open("/auth/login/")
        self.type("username", user)
        self.type("password", password)
        self.press("#loginBtn")
        self.find("#sidebar-accordion, .login .alert-danger")
        assert self.troubles() == []

    def open(self, path: str) -> None:
        """Open a page."""
        self.driver.get(f"{self._url}{path}")

    @property
    def path(self) -> str:
        """Return the path of the page that is open."""
        return str(self.driver.current_url).removeprefix(self._url).partition("?")[0]

    def list_panels(self) -> list[str]:
        """List the panels of the menu, of all its groups, as paths."""
        links = self.driver.find_elements(By.CSS_SELECTOR, "#sidebar-accordion a.openstack-panel")
        return [str(link.get_attribute("href")).removeprefix(self._url) for link in links]

    def list_rows(self, table: str) -> list[list[str]]:
        """List the texts of a table's rows; none where the table says that it is empty."""
        self.find(f"table#{table}")
        # At once: the page may be replaced by the next one while it is read.
        rows: list[list[str]] = self.driver.execute_script(_ROWS, f"table#{table}")
        return rows

    def list_texts(self, selector: str) -> list[str]:
        """List the texts of all that fits a selector, seen or not."""
        texts: list[str] = self.driver.execute_script(_TEXTS, selector)
        return texts

    def troubles(self) -> list[str]:
        """List what Horizon says went wrong."""
        return [one for one in self.list_texts(_TROUBLE) if one]

    def find(self, selector: str) -> Any:
        """Find what is to be seen on the page, as soon as it is."""

        def seen() -> Any:
            found = self.driver.find_elements(By.CSS_SELECTOR, selector)
            with contextlib.suppress(StaleElementReferenceException):
                return next((one for one in found if one.is_displayed()), None)
            return None

        return until(seen, timeout_s=PAGE_S, what=f"{selector} at {self.path}")

    def press(self, selector: str) -> None:
        """Press a button or a link as soon as it is there."""
        self.find(selector).click()

    def type(self, name: str, text: str) -> None:
        """Write into a field of a form, by its name."""
        field = self.find(f"[name={name}]")
        field.clear()
        field.send_keys(text)

    def save_picture(self, file: Path) -> None:
        """Save what is to be seen as a PNG."""
        assert self.driver.save_screenshot(str(file))

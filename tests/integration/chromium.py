"""A headless Chromium for tests of pages: Debian's, driven by Selenium.

Selenium's calls block, so they are made in a thread while the reactor runs on.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.needs import find, require

__all__ = ["DESKTOP", "PHONE", "Chromium"]

T = TypeVar("T")
DESKTOP = (1440, 900)
PHONE = (360, 780)
SCREENSHOTS_VARIABLE = "METRICS_AGENT_SCREENSHOTS"
"""Names a directory for the screenshots, for who wants to look at them."""

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_LIMIT_S = 30
_TALLEST = 2600
"""Pixels of a screenshot."""


class Chromium:
    """One browser, with a profile of its own; ends with the test.

    Attributes:
        driver: Selenium's; use it in `do`.
    """

    def __init__(self, case: TestCase, driver: Any) -> None:
        self._case = case
        self.driver = driver

    @classmethod
    async def start(cls, case: TestCase) -> Chromium:
        """Start one; skips the test where it is not installed."""
        binary, chromedriver = find("chromium"), find("chromium", "chromedriver")
        require("selenium")
        from selenium import webdriver

        profile = tempfile.mkdtemp(prefix="chromium-")
        case.addCleanup(shutil.rmtree, profile, ignore_errors=True)
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        # The fake's authority is the test's own; the agent verifies it, the browser need not.
        options.accept_insecure_certs = True
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(chromedriver)
        driver = await deferToThread(webdriver.Chrome, options=options, service=service)
        case.addCleanup(deferToThread, driver.quit)
        driver.set_page_load_timeout(_LIMIT_S)
        driver.implicitly_wait(_LIMIT_S)
        return cls(case, driver)

    def do(self, call: Callable[..., T], *args: Any) -> Deferred[T]:
        """Make one of Selenium's calls."""
        return deferToThread(call, *args)

    async def open(self, url: str) -> None:
        """Open an address."""
        await self.do(self.driver.get, url)

    async def click(self, selector: str) -> None:
        """Click what a CSS selector finds."""
        await self.do(lambda: self.driver.find_element("css selector", selector).click())

    async def type(self, keys: str) -> None:
        """Press keys, as of W3C's WebDriver, where the focus is."""
        await self.do(lambda: self.driver.switch_to.active_element.send_keys(keys))

    async def at(self, heading: str) -> None:
        """Wait for the page with a heading; it may be on its way."""
        from selenium.common.exceptions import StaleElementReferenceException

        deadline_s = time.monotonic() + _LIMIT_S
        found = ""
        while found != heading:
            if time.monotonic() > deadline_s:
                raise AssertionError(f"the page has the heading {found!r}, expected {heading!r}")
            with suppress(StaleElementReferenceException):
                found = await self.do(self._heading)

    async def wait_for(self, condition: str) -> None:
        """Wait until an expression of JavaScript is true in the page."""
        deadline_s = time.monotonic() + _LIMIT_S
        while not await self.script(f"return {condition}"):
            if time.monotonic() > deadline_s:
                text = await self.script("return document.body.innerText")
                raise AssertionError(f"not so: {condition}; the page says:\n{text}")

    def _heading(self) -> str:
        return str(self.driver.find_element("css selector", "h1").text)

    async def script(self, text: str) -> Any:
        """Return what a script in the page returns."""
        return await self.do(self.driver.execute_script, text)

    @property
    def url(self) -> str:
        """The address in its address bar."""
        return str(self.driver.current_url)

    async def look(self, name: str) -> None:
        """Look at the page as on a desktop and on a phone, in light and dark.

        Nothing is cut off or needs scrolling sideways, text is large enough to read, and the
        screenshots go where the environment says.
        """
        for kind, (width, height) in (("desktop", DESKTOP), ("phone", PHONE)):
            for scheme in ("light", "dark"):
                await self.do(self._emulate, width, height, scheme)
                sizes = await self.script(_SIZES)
                self._case.assertLessEqual(sizes["needed"], sizes["width"], f"{name} on a {kind}")
                self._case.assertGreaterEqual(sizes["smallest"], 14, f"{name} on a {kind}")
                self._case.assertGreaterEqual(sizes["contrast"], 4.5, f"{name}, {scheme}")
                await self._shoot(f"{name}-{kind}-{scheme}")
        await self.do(self._emulate, *DESKTOP, "light")

    def _emulate(self, width: int, height: int, scheme: str) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": width,
                "height": height,
                "deviceScaleFactor": 2 if width == PHONE[0] else 1,
                "mobile": width == PHONE[0],
            },
        )
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )

    async def _shoot(self, name: str) -> None:
        directory = os.environ.get(SCREENSHOTS_VARIABLE)
        if directory:
            height = await self.script("return document.documentElement.scrollHeight")
            width = await self.script("return document.documentElement.clientWidth")
            clip = {"x": 0, "y": 0, "width": width, "height": min(height, _TALLEST), "scale": 1}
            how = {"captureBeyondViewport": True, "clip": clip}
            shot = await self.do(self.driver.execute_cdp_cmd, "Page.captureScreenshot", how)
            (Path(directory) / f"{name}.png").write_bytes(b64decode(shot["data"]))

    async def complaints(self) -> list[str]:
        """Return what the browser has complained of: blocked by a policy, broken, not found."""
        entries = await self.do(self.driver.get_log, "browser")
        return [str(entry["message"]) for entry in entries if entry["level"] != "INFO"]


_SIZES = """
const light = text => {
  const parts = text.match(/[\\d.]+/g).slice(0, 3).map(part => {
    const share = Number(part) / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
};
const background = element => {
  for (let each = element; each; each = each.parentElement) {
    const colour = getComputedStyle(each).backgroundColor;
    if (colour !== 'rgba(0, 0, 0, 0)') return colour;
  }
  return 'rgb(255, 255, 255)';
};
let smallest = 99, contrast = 99;
for (const element of document.querySelectorAll('body *')) {
  const shown = [...element.childNodes].some(each => each.nodeType === 3 && each.data.trim());
  if (!shown || !element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  smallest = Math.min(smallest, parseFloat(style.fontSize));
  const one = light(style.color), other = light(background(element));
  contrast = Math.min(contrast, (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05));
}
const root = document.documentElement;
return {needed: root.scrollWidth, width: root.clientWidth, smallest, contrast};
"""

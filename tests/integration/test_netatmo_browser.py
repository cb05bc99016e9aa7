"""The login in a real browser, from the first click to the first metric on stdout."""

from __future__ import annotations

import re
from typing import Any
from urllib.request import urlopen

from tests.integration.case import logged
from tests.integration.chromium import Chromium
from tests.integration.test_netatmo import NetatmoCase
from tests.integration.watching import until

_OUTSIDE = """
return performance.getEntriesByType('resource').map(entry => entry.name)
  .concat([...document.querySelectorAll('script, img, link, iframe')].map(each => each.outerHTML))
"""


class Login(NetatmoCase):
    """A user at a browser, and the agent beside it."""

    timeout = 240

    async def run_without_login(self, **changes: Any) -> tuple[Any, str]:
        """Start an agent without tokens; return it and the address that its log says to open."""
        self.configure(self.peer.config(**changes))
        parent = await self.start()
        await self.said(parent, "A login at Netatmo is needed", "E")
        [line] = self.lines_with(parent, "A login at Netatmo is needed")
        found = re.search(
            r"Open (http://127\.0\.0\.1:\d+/\?token=[\w-]{43}) in a browser", line.text
        )
        assert found is not None
        return parent, found[1]

    async def assert_safe(self, browser: Chromium) -> None:
        """The page has nothing from elsewhere and no secret, and the browser has no complaint."""
        self.assertEqual(await browser.script(_OUTSIDE), [])
        source = await browser.do(lambda: browser.driver.page_source)
        for word in self.peer.secrets():
            self.assertNotIn(word, source)
            self.assertNotIn(word, browser.url)
        self.assertNotIn("code=", browser.url)
        self.assertEqual(await browser.complaints(), [])

    async def test_from_the_first_click_to_the_first_metric(self) -> None:
        """Open what the log says, press the button, accept; metrics come, the page is gone."""
        parent, address = await self.run_without_login(home_coaches=True)
        origin = address.partition("/?")[0]
        browser = await Chromium.start(self)
        await browser.open(address)
        await browser.at("Connect to Netatmo")
        await self.assert_safe(browser)
        await browser.look("1-start")
        self.assertEqual(self.climate(parent), [])
        await browser.click("button")
        await browser.at("Fake Netatmo")
        self.assertTrue(browser.url.startswith(f"{self.peer.url}/oauth2/authorize?"))
        await browser.click("#accept")
        await browser.at("Connected to Netatmo")
        self.assertEqual(browser.url, f"{origin}/done")
        await self.assert_safe(browser)
        await browser.look("2-done")
        await self.metrics(parent, 3)
        self.assert_valid(parent)
        self.assertEqual(self.stored().refresh.reveal(), self.peer.pair["refresh_token"])
        await until(lambda: not self.is_open(address), lambda: logged(parent.log))
        await self.said(parent, "Logged in at Netatmo.", "I")
        self.assertEqual(len(self.lines_with(parent, "", "E")), 1)
        self.assert_nothing_secret(parent)
        self.assert_private()
        # Who goes back, or reloads, finds no one, and no code in the history.
        history = await browser.do(browser.driver.execute_cdp_cmd, "Page.getNavigationHistory", {})
        for entry in history["entries"]:
            self.assertNotIn("code=", entry["url"])

    async def test_declined_then_accepted(self) -> None:
        """A user who says no is informed, and may think better of it."""
        parent, address = await self.run_without_login()
        browser = await Chromium.start(self)
        await browser.open(address)
        await browser.click("button")
        await browser.click("#refuse")
        await browser.at("Permission was not given")
        await self.assert_safe(browser)
        await browser.look("3-declined")
        await self.said(parent, "The login at Netatmo was refused: 'access_denied'.", "W")
        await browser.click("a.button")
        await browser.at("Connect to Netatmo")
        await browser.click("button")
        await browser.click("#accept")
        await browser.at("Connected to Netatmo")
        await self.metrics(parent)

    async def test_without_the_token(self) -> None:
        """Without the address of the log there is no button; another browser cannot use it too."""
        _parent, address = await self.run_without_login()
        origin = address.partition("?")[0]
        browser = await Chromium.start(self)
        await browser.open(origin)
        await browser.at("Open the address in the log")
        await browser.look("6-locked")
        await browser.open(address.replace("127.0.0.1", "localhost"))
        await browser.at("Connect to Netatmo")
        self.assertEqual(browser.url, address)
        await browser.click("button")
        await browser.at("Fake Netatmo")
        other = await Chromium.start(self)
        await other.open(address)
        await other.at("Open the address in the log")
        await browser.open(origin)
        await browser.at("Connect to Netatmo")

    async def test_forms_of_other_sites(self) -> None:
        """A page from elsewhere that sends our form, with the token even, begins no login."""
        _parent, address = await self.run_without_login()
        origin, _mark, token = address.partition("?token=")
        page = self.peer.directory / "evil.html"
        page.write_text(
            f'<form method="post" action="{origin}start"><input name="token" value="{token}">'
            "<button>x</button></form>"
        )
        browser = await Chromium.start(self)
        await browser.open(page.as_uri())
        await browser.click("button")
        await browser.at("Open the address in the log")
        await browser.open(address)
        await browser.click("button")
        await browser.at("Fake Netatmo")

    async def test_pkce(self) -> None:
        """Where the server wants PKCE it gets it."""
        self.peer.control(pkce=True)
        parent, address = await self.run_without_login(pkce=True)
        browser = await Chromium.start(self)
        await browser.open(address)
        await browser.click("button")
        await browser.click("#accept")
        await browser.at("Connected to Netatmo")
        await self.metrics(parent)

    async def test_what_goes_wrong(self) -> None:
        """A network that fails while the code is used, and answers that were forged."""
        parent, address = await self.run_without_login()
        browser = await Chromium.start(self)
        origin = address.partition("/?")[0]
        await browser.open(f"{origin}/callback?state=forged&code=c0de")
        await browser.at("This answer cannot be used")
        # The browser's console reports the status 400.
        self.assertEqual(len(await browser.complaints()), 1)
        await browser.look("4-unknown")
        self.peer.control(faults={"token": "silent"})
        await browser.open(address)
        await browser.click("button")
        await browser.click("#accept")
        await browser.at("That did not work")
        self.assertIn("no answer within 3 s", await browser.do(lambda: browser.driver.page_source))
        await self.assert_safe(browser)
        await browser.look("5-failed")
        self.peer.control(faults={"token": ""})
        await browser.click("a.button")
        await browser.click("button")
        await browser.click("#accept")
        await browser.at("Connected to Netatmo")
        await self.metrics(parent)
        self.assert_nothing_secret(parent)

    def is_open(self, address: str) -> bool:
        try:
            urlopen(address, timeout=5).close()
        except OSError:
            return False
        return True

"""What the status page answers, and to whom."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from metrics_agent.status.web.root import PIECE_BYTES
from tests.browser import Answer, Browser
from tests.status.page_case import TOKEN, PageCase, whole

HTML = "text/html; charset=utf-8"
PROBLEM = {"module": "demo", "text": "is parked: it\nfailed"}


class AnswerTests(PageCase):
    """On loopback, without a token."""

    def setUp(self) -> None:
        super().setUp()
        self.configure()

    def assert_safe(self, answer: Answer) -> None:
        """Every answer is held to the same rules."""
        self.assertNotIn("server", answer.headers)
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertEqual(answer.headers["referrer-policy"], "no-referrer")
        self.assertEqual(answer.headers["cross-origin-resource-policy"], "same-origin")
        policy = answer.headers["content-security-policy"].split("; ")
        for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
            self.assertIn(part, policy)
        self.assertNotIn("unsafe", answer.headers["content-security-policy"])

    def test_page(self) -> None:
        """The page itself comes from the package."""
        answer = self.get("/")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, HTML))
        self.assertIn("metrics-agent", answer.body)
        self.assert_safe(answer)

    def test_status(self) -> None:
        """All that the socket answers, in one object."""
        answer = self.get("/status.json")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertEqual(json.loads(answer.data), {**whole(), "more": 1, "devices": self.devices})
        self.assert_safe(answer)
        self.devices.clear()
        self.assertEqual(json.loads(self.get("/status.json").data)["devices"], [])

    def test_gzip(self) -> None:
        """Who takes gzip gets it."""
        answer = self.get("/status.json", Accept_Encoding="br, gzip")
        self.assertEqual(answer.headers["content-encoding"], "gzip")
        self.assertEqual(json.loads(gzip.decompress(answer.data))["devices"], self.devices)

    def test_who_takes_gzip(self) -> None:
        """What a client refuses, or does not name, it does not get."""
        for accepted, packed in (
            *(("gzip", True), ("GZIP;q=0.5,br", True), ("br, gzip ; q=1.0", True)),
            *(("gzip;q=0", False), ("gzip; q=0.000, br", False), ("x-gzip, notgzip", False)),
        ):
            answer = self.get("/status.json", Accept_Encoding=accepted)
            self.assertEqual("content-encoding" in answer.headers, packed, accepted)

    def test_gzip_makes_no_turn_longer(self) -> None:
        """It keeps much back, so that it would ask for many pieces before it gives one."""
        turns: list[int] = []
        call_later = self.reactor.callLater

        def counting(delay_s: float, *call: Any) -> Any:
            turns.append(made)
            return call_later(delay_s, *call)

        made = 0

        def devices() -> Iterator[dict[str, Any]]:
            nonlocal made
            for made in range(200):  # noqa: B007 - read above
                yield {"device": "x" * (PIECE_BYTES // 10)}

        self.each_device = devices  # type: ignore[method-assign]
        self.reactor.callLater = counting  # type: ignore[method-assign]
        self.get("/status.json", Accept_Encoding="gzip")
        self.assertGreater(len(turns), 15)
        self.assertLessEqual(max(after - before for before, after in pairwise(turns)), 10)

    def test_many_devices_come_in_pieces(self) -> None:
        """No turn of the reactor makes more than a piece."""
        name = "x" * (PIECE_BYTES // 10)
        self.devices = [{"device": f"{name}{number}"} for number in range(100)]
        first = self.browser.ask("GET", "/status.json")
        self.assertLess(len(first.data), 1.3 * PIECE_BYTES)
        answer = self.rest()
        self.assertLess(max(map(len, answer.parts)), 1.3 * PIECE_BYTES)
        self.assertEqual(json.loads(answer.data)["devices"], self.devices)

    def test_a_client_that_does_not_read_is_cut(self) -> None:
        """What it was sent waits in the transport, and no more is made."""
        self.devices = [{"device": "x" * PIECE_BYTES} for _ in range(100)]
        self.browser.ask("GET", "/status.json")
        transport = self.browser.transport
        transport.producer.pauseProducing()
        sent = len(transport.value())
        self.reactor.advance(9.9)
        self.assertEqual((len(transport.value()), transport.aborted), (sent, False))
        transport.producer.resumeProducing()
        transport.producer.pauseProducing()
        self.reactor.advance(9.9)
        self.assertFalse(transport.aborted)
        self.reactor.advance(0.1)
        self.assertTrue(transport.aborted)

    def test_a_client_that_goes_ends_the_work(self) -> None:
        """No timer is left, which the end of each test looks for."""
        self.devices = [{"device": "x" * PIECE_BYTES} for _ in range(100)]
        self.browser.ask("GET", "/status.json")
        self.browser.transport.loseConnection()

    def test_a_fault_cuts_the_answer(self) -> None:
        """Half an answer looks like none; the fault is the agent's to log."""
        self.devices = [{"device": "x" * PIECE_BYTES}, {"device": {1}}]
        self.browser.ask("GET", "/status.json")
        self.reactor.advance(0)
        self.assertTrue(self.browser.transport.aborted)
        self.assertEqual([type(each) for each in self.faults], [TypeError])
        self.faults.clear()
        self.state = {}
        answer = self.get("/healthz")
        self.assertEqual((answer.status, len(self.faults)), (500, 1))
        self.assert_safe(answer)
        self.faults.clear()

    def test_health(self) -> None:
        """200, or 503 and the first problem in a line."""
        self.assertEqual(self.verdict("/healthz"), (200, "ok\n"))
        self.state = whole(problems=[PROBLEM])
        self.assertEqual(self.verdict("/healthz"), (503, "demo is parked: it failed\n"))
        self.state = whole(problems=[PROBLEM, PROBLEM, PROBLEM])
        self.assertEqual(
            self.verdict("/healthz"), (503, "demo is parked: it failed (and 2 more)\n")
        )

    def test_readiness(self) -> None:
        """All modules run and the output works."""
        self.assertEqual(self.verdict("/readyz"), (200, "ok\n"))
        self.state = whole(modules=[{"module": "demo", "state_text": "backing_off"}])
        self.assertEqual(self.verdict("/readyz"), (503, "demo is backing off\n"))
        output = {"output": "tcp://a:1", "state_text": "backing_off", "last_error": "refused"}
        self.state = whole(outputs=[output])
        expected = "output tcp://a:1 is not written to: refused\n"
        self.assertEqual(self.verdict("/readyz"), (503, expected))
        self.state, self.has_output = whole(), False
        self.assertEqual(self.verdict("/readyz"), (503, "output stdout has taken nothing yet\n"))

    def verdict(self, path: str) -> tuple[int, str]:
        answer = self.get(path)
        self.assert_safe(answer)
        return answer.status, answer.body

    def test_head(self) -> None:
        """The same without the body."""
        for path in ("/", "/status.json", "/healthz", "/metrics"):
            answer = self.browser.ask("HEAD", path)
            self.assertEqual((answer.status, answer.data), (200, b""), path)
            self.assertTrue(self.browser.transport.disconnecting)
            self.assert_safe(answer)

    def test_nothing_can_be_changed(self) -> None:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "x"):
            answer = self.browser.ask(method, "/status.json")
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"), method)
            self.assert_safe(answer)

    def test_no_other_address(self) -> None:
        """Addresses are compared as they are: no file is ever looked for."""
        for path in (
            *("/x", "/index.html", "/status.json/", "//status.json", "/STATUS.JSON", "*", "/%2e"),
            *("/..%2fsetup.py", "/../page_server.py", "/%2e%2e/page_server.py", "/page/.."),
        ):
            answer = self.get(path)
            self.assertEqual(answer.status, 404, path)
            self.assert_safe(answer)


class AccessTests(PageCase):
    """Who gets the state."""

    def status_of(self, path: str = "/status.json", **headers: Any) -> int:
        return self.get(path, **headers).status

    def test_names(self) -> None:
        """Addresses and localhost are ours, and what the configuration names; nothing else is."""
        self.configure(hosts=("pi.local",))
        for host in (
            *("127.0.0.1:9127", "192.0.2.1", "[::1]:9127", "localhost", "LocalHost:1"),
            *("pi.local:9127", "PI.LOCAL", "pi.local."),
        ):
            self.browser.host = host
            self.assertEqual(self.status_of(), 200, host)
        for host in (
            *(
                "evil.example",
                "localhost.evil.example",
                "evil.example:9127",
                "127.0.0.1.evil.example",
            ),
            *("a@127.0.0.1", "127.0.0.1/", "127.0.0.1 evil", "", "[::1", "0x7f.1", "xpi.local"),
        ):
            self.browser.host = host
            for path in ("/", "/status.json", "/healthz", "/metrics"):
                self.assertEqual(self.status_of(path), 421, host)

    def test_one_name(self) -> None:
        """Two headers Host, or none, name nothing."""
        self.configure()
        for lines in ("Host: 127.0.0.1\r\nHost: evil.example\r\n", ""):
            answer = self.browser.send(f"GET /healthz HTTP/1.1\r\n{lines}\r\n".encode())
            self.assertEqual(answer.status, 421, lines)

    def test_other_sites(self) -> None:
        """Their pages get nothing; a link on one may lead to the page."""
        self.configure()
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:9128"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site", "Origin": "http://127.0.0.1:9127"},
            {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
        ):
            self.assertEqual(self.status_of(**headers), 403, headers)
        self.assertEqual(self.status_of("/", Sec_Fetch_Site="cross-site"), 403)
        link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
        self.assertEqual(self.status_of("/", **link), 200)
        for headers in (
            {"Origin": "http://127.0.0.1:9127", "Sec_Fetch_Site": "same-origin"},
            {"Sec_Fetch_Site": "none"},
        ):
            self.assertEqual(self.status_of(**headers), 200, headers)

    def test_token_of_a_program(self) -> None:
        self.configure(token=TOKEN)
        for path in ("/status.json", "/healthz", "/readyz", "/metrics"):
            answer = self.get(path)
            self.assertEqual((answer.status, answer.headers["www-authenticate"]), (401, "Bearer"))
            self.assertIn("Authorization: Bearer", answer.body)
            for wrong in (
                "Bearer x",
                f"Basic {TOKEN}",
                f"Bearer {TOKEN}x",
                "Bearer ",
                TOKEN,
                "\xfc",
            ):
                self.assertEqual(self.status_of(path, Authorization=wrong), 401, wrong)
            for right in (f"Bearer {TOKEN}", f"bearer  {TOKEN}"):
                self.assertEqual(self.status_of(path, Authorization=right), 200)
        self.assertEqual(self.status_of("/"), 200)

    def test_token_of_a_browser(self) -> None:
        """It opens the address with the token once; the cookie is not the token."""
        self.configure(token=TOKEN)
        answer = self.get(f"/?token={TOKEN}")
        self.assertEqual((answer.status, answer.headers["location"]), (303, "/"))
        cookie = answer.headers["set-cookie"].lower()
        for attribute in ("httponly", "samesite=strict", "path=/"):
            self.assertIn(attribute, cookie)
        self.assertNotIn(TOKEN, cookie)
        self.assertEqual(self.status_of(), 200)
        self.browser.cookie += "x"
        self.assertEqual(self.status_of(), 401)

    def test_wrong_tokens_of_a_browser(self) -> None:
        self.configure(token=TOKEN)
        for query in ("token=x", "token=", f"token={TOKEN}&token={TOKEN}", "token=%fc"):
            answer = self.get(f"/?{query}")
            self.assertEqual(answer.status, 403, query)
            self.assertNotIn("set-cookie", answer.headers)
        self.browser.cookie = f"metrics_agent_status={TOKEN}"
        self.assertEqual(self.status_of(), 401)
        self.assertEqual(self.status_of("/?other=1"), 200)

    def test_headers_of_any_bytes(self) -> None:
        """Text that is not ASCII is never a name, site or token, and never causes a fault."""
        self.configure(token=TOKEN)
        for line, status in (
            (b"Host: \xff", 421),
            (b"Host: localhost\r\nOrigin: \xff", 403),
            (b"Host: localhost\r\nSec-Fetch-Site: \xff", 403),
            (b"Host: localhost\r\nAuthorization: Bearer \xff", 401),
            (b"Host: localhost\r\nCookie: metrics_agent_status=\xff", 401),
        ):
            answer = self.browser.send(b"GET /healthz HTTP/1.1\r\n" + line + b"\r\n\r\n")
            self.assertEqual(answer.status, status, line)
            self.browser.cookie = ""

    def test_a_new_token_counts_at_once(self) -> None:
        """Browsers that were let in with the old one are no longer known."""
        self.configure(token=TOKEN)
        self.get(f"/?token={TOKEN}")
        self.configure(token=f"{TOKEN}x")
        self.assertEqual(self.status_of(), 401)
        self.configure()
        self.assertEqual(self.status_of(), 200)

    def test_a_token_where_none_is_needed(self) -> None:
        """An old address still leads to the page."""
        self.configure()
        answer = self.get(f"/?token={TOKEN}")
        self.assertEqual((answer.status, "set-cookie" in answer.headers), (303, False))

    def test_nothing_of_a_request_is_logged(self) -> None:
        self.configure(token=TOKEN)
        Browser(self.reactor, "evil.example").ask("GET", f"/?token={TOKEN}", X="secret")
        self.assertEqual(len(self.events), 1)
        self.assertNotIn(TOKEN, str(self.logged()))

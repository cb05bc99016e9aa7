"""The page of agents of real parts."""

from __future__ import annotations

import json

from metrics_agent.catalogue import MEASUREMENTS
from metrics_agent.status.web.history import STEP_S
from tests.browser import HOST, Answer, Browser
from tests.test_assembly import BAD, DEMO, TASMOTA, AssemblyCase

PAGE = '[status]\nlisten = "tcp:9127:interface=127.0.0.1"\n'


class AgentTests(AssemblyCase):
    """What is served, and how a reload changes it."""

    def get(self, path: str) -> Answer:
        browser = Browser(self.reactor)
        browser.ask("GET", path)
        self.reactor.advance(0)
        answer = browser.answer()
        assert answer is not None
        return answer

    def test_state(self) -> None:
        """All of it, with what only the page has."""
        self.started(PAGE + DEMO + TASMOTA)
        self.reactor.pump([STEP_S / 2] * 4)
        found = json.loads(self.get("/status.json").data)
        self.assertEqual([each["module"] for each in found["modules"]], ["demo", "tasmota"])
        history = found["history"]
        self.assertEqual(list(history["modules"]), ["demo", "tasmota"])
        self.assertEqual(history["modules"]["demo"][-1], [2 / STEP_S, 0])
        self.assertEqual(found["units"]["electricity"]["power"], "W")
        self.assertLessEqual(found["units"].keys(), {each.name for each in MEASUREMENTS})

    def test_metrics(self) -> None:
        self.started(PAGE + DEMO)
        self.assertIn('\nmetrics_agent_state{module="demo"} 2\n', self.get("/metrics").body)

    def test_wrong_settings(self) -> None:
        """A module that cannot be started is neither well nor ready."""
        self.started(PAGE + DEMO + BAD)
        for path in ("/healthz", "/readyz"):
            answer = self.get(path)
            self.assertEqual(answer.status, 503)
            self.assertTrue(answer.body.startswith("demo:bad is config error"), answer.body)

    def test_ready(self) -> None:
        """A file is opened at once; a socket is not connected yet."""
        self.started(PAGE + DEMO)
        self.assertEqual(self.get("/readyz").body, "ok\n")

    def test_output_that_is_not_connected_yet(self) -> None:
        agent = self.started(PAGE + DEMO, output='"tcp://127.0.0.1:8094"')
        self.assertEqual(self.get("/readyz").status, 503)
        self.assertEqual(self.get("/healthz").status, 200)
        agent._parts.sink.recovered()
        self.assertEqual(self.get("/readyz").status, 200)

    def test_reload(self) -> None:
        """The page comes, goes and comes again."""
        agent = self.started(DEMO)
        self.assertEqual(self.reactor.tcpServers, [])
        for text, count in ((PAGE + DEMO, 1), (DEMO, 1), (PAGE + DEMO, 2)):
            self.write(text)
            agent.request_reload()
            self.reactor.pump([0.1] * 5)
            self.assertEqual(len(self.reactor.tcpServers), count)

    def test_stop(self) -> None:
        """No answer is left half, no timer: the end of each test looks for those."""
        agent = self.started(PAGE + DEMO)
        browser = Browser(self.reactor)
        browser.send(f"GET / HTTP/1.1\r\nHost: {HOST}".encode())
        agent.stopService()
        self.reactor.pump([0.1] * 60)
        self.assertTrue(browser.transport.aborted)

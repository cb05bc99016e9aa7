"""The state of agents of real parts, as a client of their sockets gets it."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

from twisted.internet.error import CannotListenError
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.catalogue import METRICS_AGENT
from metrics_agent.devices.book import DeviceBook
from metrics_agent.devices.rhythm import Rhythm
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import Metric, Series
from metrics_agent.status.snapshot import device
from tests.test_assembly import BAD, DEMO, OPENDTU, TASMOTA, AssemblyCase

NOT_A_FIELD = {
    *("module", "output", "broker", "client_id", "module_instance"),
    *("config", "stopping", "last_reload"),
}


class WholeTests(AssemblyCase):
    """What there is to say of agents."""

    def ask(self) -> dict[str, Any]:
        client = self.sockets.connect()
        client.ask(ask="status")
        whole, *_devices, end = client.objects()
        self.assertEqual(end, {"end": True})
        return whole

    def test_all_well(self) -> None:
        """Nothing is a problem; each module, connection and output is there."""
        self.started(DEMO)
        whole = self.ask()
        self.assertEqual(whole["problems"], [])
        self.assertEqual(list(whole), ["problems", "agent", "modules", "connections", "outputs"])
        [demo] = whole["modules"]
        self.assertEqual((demo["module"], demo["state_text"]), ("demo", "running"))
        self.assertEqual(whole["outputs"][0]["output"], "stdout")
        self.assertEqual(whole["agent"]["config"], str(self.directory / "agent.toml"))

    def test_names(self) -> None:
        """Values have the names of the self-metrics."""
        self.started(DEMO + TASMOTA + BAD)
        whole = self.ask()
        rows = [whole["agent"], *whole["modules"], *whole["connections"], *whole["outputs"]]
        for row in rows:
            for name in set(row) - NOT_A_FIELD:
                self.assertTrue(any(each.covers(name) for each in METRICS_AGENT.fields), name)

    def test_wrong_settings(self) -> None:
        """A module that is not started is a problem, with the reason."""
        self.started(DEMO + BAD)
        [problem] = self.ask()["problems"]
        self.assertEqual(problem["module"], "demo:bad")
        self.assertTrue(problem["text"].startswith("is config error: "), problem)
        self.assertIn("interval", problem["text"])

    def test_a_page_that_cannot_listen(self) -> None:
        """It is a problem until it can, or is not wanted any more."""

        def refuse(*_args: object, **_kw: object) -> None:
            raise CannotListenError("127.0.0.1", 8686, OSError(98, "Address already in use"))

        listen = '[status]\nlisten = "tcp:8686:interface=127.0.0.1"\n'
        with mock.patch.object(self.reactor, "listenTCP", refuse):
            agent = self.started(listen + DEMO)
        self.assertEqual(
            self.ask()["problems"],
            [
                {
                    "module": "status",
                    "text": "page cannot listen at tcp:8686:interface=127.0.0.1: Address already "
                    "in use",
                }
            ],
        )
        self.reload(agent, DEMO)
        self.assertEqual(self.ask()["problems"], [])

    def test_a_broker_that_is_away(self) -> None:
        """It is a problem once an attempt has failed, not before; the address has no secret."""
        agent = self.started(TASMOTA)
        whole = self.ask()
        self.assertEqual(whole["problems"], [])
        [connection] = whole["connections"]
        self.assertEqual((connection["module_instance"], connection["state"]), ("tasmota", 3))
        [(_module, mqtt)] = agent._parts.connections.named()
        mqtt._noted(mqtt.broker, "connection refused")
        whole = self.ask()
        self.assertEqual(whole["connections"][0]["last_error"], "connection refused")
        self.assertEqual(
            whole["problems"],
            [
                {
                    "module": "tasmota",
                    "text": "is not connected to tcp://127.0.0.1:1883: connection refused",
                }
            ],
        )

    def test_a_connection_of_a_module(self) -> None:
        """A WebSocket is there too; what is gone after a reload is not."""
        websocket = '[modules.opendtu]\nenabled = true\nurl = "ws://127.0.0.1:{port}"\n'
        agent = self.started(websocket.format(port=81))
        [connection] = self.ask()["connections"]
        self.assertEqual(connection["module_instance"], "opendtu")
        self.assertIn(":81", connection["broker"])
        self.reload(agent, websocket.format(port=82))
        [connection] = self.ask()["connections"]
        self.assertIn(":82", connection["broker"])

    def test_two_connections(self) -> None:
        """One of each module."""
        self.started(TASMOTA + OPENDTU)
        found = [each["module_instance"] for each in self.ask()["connections"]]
        self.assertEqual(found, ["tasmota", "opendtu"])

    def test_reloads(self) -> None:
        """What the last one did, or why it did nothing."""
        agent = self.started(DEMO)
        self.assertNotIn("last_reload", self.ask()["agent"])
        self.reload(agent, DEMO + TASMOTA)
        found = self.ask()["agent"]
        self.assertEqual((found["reloads"], found["reloads_rejected"]), (1, 0))
        report = found["last_reload"]
        self.assertEqual((report["accepted"], report["modules"]["added"]), (True, ["tasmota"]))
        self.reactor.advance(5)
        self.reload(agent, "nonsense")
        found = self.ask()["agent"]
        self.assertEqual((found["reloads"], found["reloads_rejected"]), (1, 1))
        self.assertFalse(found["last_reload"]["accepted"])
        self.assertIn("not valid TOML", found["last_reload"]["reasons"])
        self.assertLess(found["last_reload"]["since"], 1)

    def test_a_module_that_fails(self) -> None:
        """While it waits for its restart it is a problem, with its last error."""
        trigger = self.directory / "trigger"
        trigger.touch()
        self.started(DEMO + f'trigger_file = "{trigger}"\n', failed_ticks_limit="1")
        self.reactor.pump([10, 0.1])
        whole = self.ask()
        [problem] = whole["problems"]
        self.assertTrue(problem["text"].startswith("is backing off: "), problem)
        [demo] = whole["modules"]
        self.assertEqual((demo["last_error_place"], demo["restarts_recent"]), ("tick", 2))

    def test_tap(self) -> None:
        """Lines are shown as they go to the output, the agent's own by the name agent."""
        self.started(DEMO, self_metrics_interval='"15s"')
        demo, own = self.sockets.connect(), self.sockets.connect()
        demo.ask(ask="tap", name="demo")
        own.ask(ask="tap", name="agent")
        self.reactor.pump([10, 5, 0.1])
        self.assertEqual({line[:5] for line in demo.read().splitlines()}, {b"demo,"})
        self.assertEqual({line[:13] for line in own.read().splitlines()}, {b"metrics_agent"})

    def test_stop(self) -> None:
        """The socket goes with the agent."""
        agent = self.started(DEMO)
        client = self.sockets.connect()
        self.end(agent)
        self.assertTrue(self.sockets.listening.stopped)
        self.assertTrue(client.closed)


class DeviceTests(SynchronousTestCase):
    """What there is to say of a device."""

    def setUp(self) -> None:
        self.book = DeviceBook()
        self.book.keeps_lines = True

    def note(
        self, at_ns: int, fields: dict[str, Any], of: str = "electricity", **tags: str
    ) -> None:
        metric = Metric(Series(of, tags), fields, at_ns)
        self.book.note(metric, Encoder().encode(metric), at_ns)

    def test_values(self) -> None:
        """The last of each series; tags that name the device are not repeated."""
        tags = {"vendor": "tasmota", "device": "p 1", "friendly": "Plug"}
        self.note(1_700_000_000_000_000_001, {"power": 1.0}, **tags)
        self.note(1_700_000_000_000_000_002, {"power": 2.0}, **tags)
        self.note(1_700_000_000_000_000_003, {"power": 3.0}, channel="2", **tags)
        known = self.book.devices["p 1"]
        values = device(known, 5.0, 1_700_000_003_000_000_003)
        self.assertEqual(json.loads(json.dumps(values)), values)
        series = values.pop("series")
        self.assertEqual(
            values,
            {
                "device": "p 1",
                "friendly": "Plug",
                "vendor": "tasmota",
                "last_seen": 3.0,
                "online": None,
                "stale": False,
                "interval": None,
            },
        )
        self.assertEqual(
            [(each["measurement"], each["tags"], each["fields"]) for each in series],
            [
                ("electricity", {}, {"power": 2.0}),
                ("electricity", {"channel": "2"}, {"power": 3.0}),
            ],
        )

    def test_interval(self) -> None:
        """It is shown once it is known; nothing is learned of how short a short one is."""
        self.note(1, {"power": 1.0}, device="p")
        known = self.book.devices["p"]
        for gap_s, expected in ((2.0, None), (300.0, 300.0)):
            rhythm = Rhythm()
            for _ in range(4):
                rhythm.learn(gap_s)
            known.learned = rhythm.packed()
            self.assertEqual(device(known, 5.0, 1)["interval"], expected)

    def test_what_it_measures_comes_first(self) -> None:
        """Then what is not in the catalogue, then how the device is; fields as there."""
        for number, of in enumerate(("device", "own", "climate", "electricity")):
            self.note(
                number + 1, {"apparent_power": 1.0, "voltage": 2.0, "power": 3.0}, of, device="a"
            )
        series = device(self.book.devices["a"], 5.0, 1)["series"]
        found = [each["measurement"] for each in series]
        self.assertEqual(found, ["electricity", "climate", "own", "device"])
        self.assertEqual(list(series[0]["fields"]), ["power", "voltage", "apparent_power"])

    def test_last_seen(self) -> None:
        """Between sweeps by the message's own time, then by the sweep; a clock may jump."""
        self.note(1_700_000_000_000_000_000, {"power": 1.0}, device="a")
        known = self.book.devices["a"]
        for now_ns, seen in ((1_700_000_002_000_000_000, 2.0), (1, 0.0), (2**62, 10.0)):
            self.assertEqual(device(known, 0.0, now_ns)["last_seen"], seen)
        self.book.sweep(100.0, 1_700_000_004_000_000_000, hears=True)
        # The first sweep takes it for heard now.
        self.assertEqual(device(known, 110.0, 1)["last_seen"], 10.0)

    def test_never_heard(self) -> None:
        """One that was only announced."""
        self.book.expect("a", 1.0, 60.0)
        values = device(self.book.devices["a"], 5.0, 1)
        self.assertEqual((values["last_seen"], values["series"]), (None, []))

"""The module between the door of the agent and the DTU."""

from __future__ import annotations

from twisted.internet import error
from twisted.trial.unittest import SynchronousTestCase
from wsproto.events import CloseConnection

from metrics_agent.interfaces import IModule
from metrics_agent.modules.opendtu import MODULE, live
from metrics_agent.modules.opendtu.config import OpenDtuSettings
from metrics_agent.testing import FakeContext
from tests.modules.opendtu.support import SERIAL, Dtu, frame, inverter, leaf

PASSWORD = "s3cr3t"
BROKER = '[mqtt]\nbroker = "tcp://192.0.2.9"\n'


class Case(SynchronousTestCase):
    """Makes DTUs, and sees to it that none leaves anything behind."""

    def make(self, raw: str = "") -> Dtu:
        dtu = Dtu(raw)
        self.addCleanup(self.nothing_is_left, dtu)
        return dtu

    def start(self, raw: str = "") -> Dtu:
        return self.make(raw).start()

    def nothing_is_left(self, dtu: Dtu) -> None:
        dtu.stop()
        self.assertEqual(dtu.reactor.getDelayedCalls(), [])
        for event in dtu.context.events:
            self.assertNotIn(PASSWORD, repr(event))


class LifeTests(Case):
    """Starting, running, stopping."""

    def test_kind(self) -> None:
        """The registry's entry makes a module that provides IModule; making it does nothing."""
        dtu = self.make()
        self.assertTrue(IModule.providedBy(dtu.module))
        self.assertEqual(dtu.reactor.tcpClients, [])
        dtu.start()

    def test_asks_for_livedata(self) -> None:
        """Where nothing is said of a path."""
        dtu = self.start()
        self.assertEqual(dtu.request.target, "/livedata")
        self.assertEqual(dtu.reactor.tcpClients[0][:2], ("192.0.2.1", 80))

    def test_frames_become_lines(self) -> None:
        """What comes is on its way at once, and who sends it is said once."""
        dtu = self.start()
        dtu.send(frame())
        self.assertEqual(len(dtu.lines("electricity")), 2)
        dtu.wait(5)
        dtu.send(frame(inverter(data_age_ms=0)))
        self.assertEqual(len(dtu.lines("electricity")), 2)
        self.assertEqual(
            dtu.context.logged("info"),
            ["Connected to ws://192.0.2.1/livedata.", f"Found inverter {SERIAL}."],
        )
        self.assertEqual(dtu.context.dropped, {})

    def test_stop_before_start_and_twice(self) -> None:
        """Harmless, for both sources."""
        for raw in ("", BROKER):
            dtu = Dtu(raw)
            dtu.module.stopService()
            dtu.start()
            dtu.module.stopService()
            dtu.module.stopService()
            dtu.stop()
            self.assertEqual(dtu.reactor.getDelayedCalls(), [])

    def test_stop_waits_for_the_socket(self) -> None:
        """A stop has ended when the socket is closed: the next instance has its place."""
        dtu = self.start()
        dtu.transport.hangs_at_close = True
        stopped = dtu.module.stopService()
        self.assertNoResult(stopped)
        dtu.context.advance(0.3)
        self.successResultOf(stopped)
        self.assertTrue(dtu.transport.gone)

    def test_online(self) -> None:
        """Whether the DTU is there is a point at each change, not at a stop."""
        dtu = self.start()
        self.assertEqual(
            dtu.lines(), ["device,device=dtu,vendor=opendtu online=true 1700000000000000000"]
        )
        dtu.transport.lost(error.ConnectionLost())
        self.assertIn("online=false", dtu.lines()[0])
        dtu.wait(1)
        dtu.accept()
        self.assertIn("online=true", dtu.lines()[0])
        dtu.module.stopService()
        self.assertEqual(dtu.lines(), [])

    def test_restart_of_the_dtu(self) -> None:
        """After its restart a DTU sums what it has heard so far: no such sum is written."""
        dtu = self.start()
        old, new = inverter(data_age_ms=0), inverter(serial="114182ab0002", data_age_ms=0)
        unheard = inverter(serial="114182ab0002", AC={}, DC={}, INV={})

        def send(one: dict, total_kwh: float, today_wh: float) -> None:
            total = {
                "YieldTotal": leaf(total_kwh, "kWh", 3),
                "YieldDay": leaf(today_wh, "Wh", 0),
            }
            dtu.send(frame(one, total=total))
            dtu.wait(5)

        for one in (old, new, old, new):
            send(one, 1200.029, 4200)
        self.assertIn("energy_today=4.2,energy_total=1200.029", dtu.lines()[-1])
        dtu.transport.lost(error.ConnectionLost())
        dtu.dial_again()
        dtu.accept()
        for one in (old, old, old, unheard, old, unheard):
            send(one, 600.005, 2100)
        self.assertEqual([line for line in dtu.lines() if "device=total" in line], [])
        for one in (old, new):
            send(one, 1200.03, 4300)
        [line] = [line for line in dtu.lines() if "device=total" in line]
        self.assertIn("energy_today=4.3,energy_total=1200.03 ", line)


class ContainmentTests(Case):
    """What is wrong with one message costs that message."""

    def test_broken_payloads(self) -> None:
        """They are counted by reason and told once; the socket stays."""
        dtu = self.start()
        for text in ("{", "{", "[[", "null", "[" * 100, '"x"', ""):
            dtu.send(text)
        dtu.send(frame())
        self.assertEqual(len(dtu.lines("electricity")), 2)
        self.assertEqual(
            dtu.context.dropped, {"invalid_json": 3, "not_an_object": 2, "too_deep": 1, "empty": 1}
        )
        self.assertEqual(len(dtu.context.logged("warn")), 4)
        self.assertEqual(len(dtu.reactor.tcpClients), 1)

    def test_large_message(self) -> None:
        """It is counted, and the socket stays."""
        dtu = self.start('max_message = "1KiB"')
        dtu.send(frame(inverter(name="x" * 2000)))
        dtu.send('{"battery":{"soc":{"v":71,"u":"%","d":0}}}')
        self.assertEqual(dtu.context.dropped, {"oversized": 1})
        self.assertEqual(len(dtu.lines("battery")), 1)

    def test_fault_of_our_own(self) -> None:
        """An exception in the decoder ends in the context's guard and not in the socket."""

        def broken(*_args: object) -> None:
            raise RuntimeError("oops")

        dtu = self.start()
        self.patch(live, "decode_frame", broken)
        dtu.send(frame())
        self.assertIsInstance(dtu.context.faults.pop(), RuntimeError)
        self.assertFalse(dtu.transport.gone)

    def test_no_more_inverters_than_there_can_be(self) -> None:
        """A flood of serial numbers does not fill the memory."""
        dtu = self.start()
        for index in range(200):
            dtu.send(frame(inverter(serial=f"{index:012x}")))
        self.assertEqual(dtu.context.dropped["too_many_devices"], 136)
        self.assertEqual(len(dtu.context.logged("info")), 65)


class ConnectionTests(Case):
    """What a person is told, and what a DTU in trouble gets."""

    def refused(self, status: int, *headers: tuple[bytes, bytes], raw: str = "") -> tuple:
        dtu = self.make(raw)
        dtu.module.startService()
        dtu.refuse(status, *headers)
        return dtu, dtu.context.logged("error") + dtu.context.logged("warn")

    def test_not_found(self) -> None:
        """A wrong path, as the Go agent's example has it: the right one is named."""
        _dtu, lines = self.refused(404, raw='url = "http://192.0.2.1/ws"')
        [line] = lines
        self.assertIn("Cannot connect to ws://192.0.2.1/ws: there is no WebSocket at that", line)
        self.assertIn("(HTTP 404); OpenDTU has it at /livedata. Trying again.", line)

    def test_short_of_memory(self) -> None:
        """429 with Retry-After: left alone for so long."""
        dtu, [line] = self.refused(429, (b"Retry-After", b"60"))
        self.assertIn("(HTTP 429); the DTU is short of memory.", line)
        dtu.wait(59)
        self.assertEqual(len(dtu.reactor.tcpClients), 1)
        dtu.wait(2)
        self.assertEqual(len(dtu.reactor.tcpClients), 2)

    def test_login_wanted(self) -> None:
        """A DTU that allows no read-only access, and no password: both ways out are named."""
        digest = b'Digest realm="live websocket", qop="auth", nonce="x", opaque="y"'
        _dtu, [line] = self.refused(401, (b"WWW-Authenticate", digest))
        self.assertIn("set the password; or allow read-only access", line)

    def test_login(self) -> None:
        """With a password the challenge is answered on the next socket, at once."""
        digest = b'Digest realm="live websocket", qop="auth", nonce="x", opaque="y"'
        raw = f'password = "{PASSWORD}"'
        dtu, lines = self.refused(401, (b"WWW-Authenticate", digest), raw=raw)
        dtu.accept()
        dtu.send(frame())
        self.assertEqual(lines, [])
        sent = dict(dtu.request.extra_headers)[b"authorization"].decode()
        self.assertIn('Digest username="admin", realm="live websocket"', sent)
        self.assertEqual(len(dtu.lines("electricity")), 2)

    def test_without_inverters(self) -> None:
        """A DTU that sends nothing is told of once, and never given up."""
        dtu = self.start()
        dtu.wait(24 * 3600)
        self.assertEqual(len(dtu.reactor.tcpClients), 1)
        [line] = dtu.context.logged("warn")
        self.assertIn("has sent nothing for 60 s: there is no inverter in its settings", line)

    def test_sends_in_time(self) -> None:
        """A DTU that sends is not."""
        dtu = self.start()
        dtu.send(frame())
        dtu.wait(100)
        self.assertEqual(dtu.context.logged("warn"), [])

    def test_too_many_clients(self) -> None:
        """A DTU that closes us again and again: the line says why that may be."""
        dtu = self.start()
        for _ in range(3):
            dtu.feed(dtu.server.send(CloseConnection(code=1000)))
            dtu.dial_again()
            dtu.accept()
        self.assertIn("a DTU has room for about eight", dtu.context.logged("warn")[-1])


class BrokerTests(Case):
    """The same data from a broker."""

    def test_subscribes(self) -> None:
        """Two shapes of topics below the base topic, at the QoS that is set."""
        dtu = self.start(BROKER + 'base_topic = "home/pv"\nqos = 0')
        self.assertEqual(dtu.context.filters(), ["home/pv/+/+", "home/pv/+/+/+"])
        self.assertEqual({each.qos for each in dtu.context.subscriptions}, {0})
        self.assertEqual(dtu.reactor.tcpClients, [])

    def test_availability_topic_of_the_user(self) -> None:
        """The DTU's last will may be anywhere below the base topic, with any texts."""
        texts = 'availability_online = "up"\navailability_offline = "down"'
        for topic, filters in (
            ("lwt", ["solar/+/+", "solar/+/+/+", "solar/lwt"]),
            ("my/dtu", ["solar/+/+", "solar/+/+/+"]),
            ("a/b/c/d", ["solar/+/+", "solar/+/+/+", "solar/a/b/c/d"]),
        ):
            dtu = self.start(f'{BROKER}availability_topic = "{topic}"\n{texts}')
            self.assertEqual(dtu.context.filters(), filters)
            for payload, expected in (("up", "true"), ("down", "false")):
                dtu.context.deliver(f"solar/{topic}", payload.encode(), retain=payload == "up")
                self.assertIn(f"device=dtu,vendor=opendtu online={expected}", dtu.lines()[0])
            dtu.context.deliver(f"solar/{topic}", b"online")
            self.assertEqual(dtu.context.dropped, {"unknown_state": 1})

    def test_two_dtus_on_one_base_topic(self) -> None:
        """Addresses that take turns are logged once; one that changes is not."""
        dtu = self.start(BROKER)

        def heard(*addresses: str) -> list[str]:
            for address in addresses:
                dtu.context.deliver("solar/dtu/ip", address.encode())
            return dtu.context.logged("warn")

        one, two = "192.0.2.1", "192.0.2.2"
        self.assertEqual(heard(one, one, two, two, "192.0.2.3", one, "192.0.2.4"), [])
        [line] = heard(one, two, one, two, one, two, one, two)
        self.assertIn("Two DTUs publish below solar/, '192.0.2.2' and '192.0.2.1'", line)
        self.assertEqual(dtu.lines(), [])

    def test_restart_of_the_dtu(self) -> None:
        """A DTU that is online again may have heard nothing yet: the total has no yields."""
        dtu = self.start(BROKER)

        def burst(*topics: tuple[str, str]) -> list[str]:
            for topic, payload in topics:
                dtu.context.deliver(f"solar/{topic}", payload.encode())
            dtu.wait(1)
            return [line for line in dtu.lines() if "device=total" in line]

        status = (f"{SERIAL}/status/last_update", "1700000000")
        self.assertEqual(len(burst(status, ("ac/yieldtotal", "1200"))), 1)
        self.assertEqual(burst(("dtu/status", "online"), ("ac/yieldtotal", "1201")), [])
        self.assertEqual(len(burst(status, ("ac/yieldtotal", "1202"))), 1)

    def test_flood_of_chargers(self) -> None:
        """No more are kept than there can be."""
        dtu = self.start(BROKER)
        for index in range(400):
            dtu.context.deliver(f"solar/victron/HQ{index:06}/PPV", b"1")
            if index % 100 == 0:
                dtu.wait(1)
        dtu.wait(1)
        self.assertEqual(len(dtu.lines("electricity")), 256)
        self.assertEqual(dtu.context.dropped["too_many_devices"], 144)

    def test_a_burst_is_one_point(self) -> None:
        """What comes together goes together, half a second later."""
        dtu = self.start(BROKER)
        for key, value in (("power", "1"), ("voltage", "230"), ("current", "0.01")):
            dtu.context.deliver(f"solar/{SERIAL}/0/{key}", value.encode())
            dtu.wait(0)
            dtu.context.advance(0.4)
        self.assertEqual(dtu.lines(), [])
        dtu.context.advance(0.1)
        [line] = dtu.lines()
        self.assertIn("current=0.01,power=1.0,voltage=230.0", line)

    def test_a_burst_without_an_end(self) -> None:
        """After three seconds it is taken as it is."""
        dtu = self.start(BROKER)
        for index in range(40):
            dtu.context.deliver(f"solar/{SERIAL}/0/power", str(index).encode())
            dtu.context.advance(0.1)
        self.assertEqual(len(dtu.lines()), 1)

    def test_stop_gives_out_what_is_gathered(self) -> None:
        """A stop loses nothing that was acknowledged."""
        dtu = self.start(BROKER)
        dtu.context.deliver(f"solar/{SERIAL}/0/power", b"5")
        dtu.module.stopService()
        self.assertEqual(len(dtu.lines()), 1)

    def test_same_lines_as_from_the_socket(self) -> None:
        """The same inverter gives the same series and fields either way."""
        live_dtu = self.start()
        live_dtu.send(frame(inverter(radio_stats={}, events=-1, data_age_ms=0)))
        expected = [line.rpartition(" ")[0] for line in live_dtu.lines() if "dtu" not in line[:20]]
        dtu = self.start(BROKER)
        for key, value in (
            ("name", "Garage"),
            ("status/limit_relative", "62.5"),
            ("status/limit_absolute", "500"),
            ("status/reachable", "1"),
            ("status/producing", "1"),
            ("status/last_update", "1700000000"),
            ("0/power", "312.4"),
            ("0/voltage", "231.6"),
            ("0/current", "1.34"),
            ("0/frequency", "50.01"),
            ("0/yieldday", "790"),
            ("0/yieldtotal", "1209.276"),
            ("0/temperature", "31.7"),
            ("1/name", "Ost"),
            ("1/power", "171.2"),
            ("1/yieldday", "402"),
            ("1/yieldtotal", "611.205"),
        ):
            dtu.context.deliver(f"solar/{SERIAL}/{key}", value.encode())
        dtu.wait(1)
        self.assertEqual([line.rpartition(" ")[0] for line in dtu.lines()], expected)

    def test_never_heard(self) -> None:
        """As on the socket: that it is reachable says nothing before it was heard."""
        dtu = self.start(BROKER)
        for key, value in (("reachable", b"1"), ("producing", b"0"), ("last_update", b"0")):
            dtu.context.deliver(f"solar/{SERIAL}/status/{key}", value)
        dtu.wait(1)
        self.assertEqual((dtu.lines(), dtu.context.dropped), ([], {"never_heard": 1}))

    def test_flood_of_devices(self) -> None:
        """No more are kept than there can be."""
        dtu = self.start(BROKER)
        for index in range(200):
            dtu.context.deliver(f"solar/{index:012x}/0/power", b"1")
            dtu.context.deliver(f"solar/{index:012x}/name", b"x")
        self.assertEqual(dtu.context.dropped["too_many_devices"], 136)

    def test_a_burst_keeps_nothing_that_it_does_not_know(self) -> None:
        """Whatever topics somebody makes up while a burst is gathered."""
        dtu = self.start(BROKER)
        dtu.context.deliver(f"solar/{SERIAL}/0/power", b"1")
        pending = dtu.module._source._gathering._inverters[SERIAL]
        for index in range(1000):
            for group in ("status", "radio", "0", "1"):
                dtu.context.deliver(f"solar/{SERIAL}/{group}/{index}", b"1")
            dtu.context.deliver(f"solar/{SERIAL}/0/power", b"1")
        held = (pending.status, pending.radio, pending.keys[0], pending.values)
        self.assertLess(sum(map(len, held)), 5)


class SettingsAreEnough(SynchronousTestCase):
    """The module asks for nothing else."""

    def test_made_of_settings_and_context(self) -> None:
        """As the agent makes it."""
        context = FakeContext()
        MODULE.make(OpenDtuSettings(url="http://dtu"), context)
        self.assertEqual(context.reactor.getDelayedCalls(), [])

    def test_one_table_is_used(self) -> None:
        """A leaf that is no leaf in the one place does not hide those of the others."""
        dtu = Dtu().start()
        dtu.send(frame(inverter(AC={"0": {"Power": leaf(1, "W"), "Voltage": "x"}})))
        self.assertEqual(len(dtu.lines("electricity")), 2)
        dtu.stop()

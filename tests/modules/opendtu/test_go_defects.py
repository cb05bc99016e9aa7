"""Defects of the Go agent that this module must not have; the numbers are of our list of them."""

from __future__ import annotations

from twisted.internet import error
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from wsproto.events import CloseConnection

from metrics_agent.catalogue import ELECTRICITY
from tests.modules.opendtu.support import Dtu, frame, inverter, leaf
from tests.transports.websocket.scripted import Scripted


class GoDefects(SynchronousTestCase):
    """One test a defect, or a part of it."""

    def start(self) -> Dtu:
        dtu = Dtu().start()
        self.addCleanup(dtu.stop)
        dtu.lines()
        return dtu

    def test_limits_with_a_fraction(self) -> None:
        """B20: limits were declared as integers, so 9.3 % lost the whole message."""
        dtu = self.start()
        dtu.send(frame(inverter(limit_relative=9.300000191, limit_absolute=55.79999924)))
        lines = dtu.lines()
        self.assertEqual(len([line for line in lines if line.startswith("electricity")]), 2)
        self.assertIn("limit_absolute=55.8,limit_relative=9.3", "".join(lines))

    def test_an_outage_of_any_length(self) -> None:
        """B21: after some twenty minutes without the DTU the module ended for good."""
        dtu = self.start()
        dtu.wait(11)
        dtu.transport.lost(error.ConnectionLost())
        for _ in range(24 * 60):
            dtu.dial_again()
            *_where, factory, _timeout, _bind = dtu.reactor.tcpClients[-1]
            factory.clientConnectionFailed(None, Failure(error.ConnectionRefusedError()))
        self.assertEqual(dtu.context.failures, [])
        dtu.dial_again()
        dtu.accept()
        dtu.send(frame())
        self.assertEqual(len(dtu.lines("electricity")), 2)
        self.assertEqual(len(dtu.context.logged("warn")), 1, "one line down")
        self.assertEqual(len(dtu.context.logged("info")), 3, "up, found, up again")

    def test_old_values_have_their_own_time(self) -> None:
        """B22: what was measured hours ago was written with the time of now."""
        dtu = self.start()
        dtu.send(frame(inverter(data_age=3600, data_age_ms=3_600_000, reachable=False)))
        times = {line.rpartition(" ")[2] for line in dtu.lines("electricity")}
        self.assertEqual(times, {"1699996400000000000"})
        dtu.wait(10)
        dtu.send(frame(inverter(data_age=3610, data_age_ms=3_610_000, reachable=False)))
        self.assertEqual(dtu.lines("electricity"), [], "and it was written again and again")

    def test_zeros_of_an_inverter_out_of_reach(self) -> None:
        """B22: 0 V and yields of 0 were written for an inverter that does not answer."""
        dtu = self.start()
        zeros = {"Power": leaf(0, "W"), "Voltage": leaf(0, "V"), "Frequency": leaf(0, "Hz")}
        yields = {"YieldDay": leaf(0, "Wh", 0), "YieldTotal": leaf(0, "kWh", 3)}
        never = inverter(AC={"0": zeros}, DC={}, INV={"0": yields}, reachable=False)
        dtu.send(frame(never))
        self.assertEqual(dtu.lines("electricity"), [], "nothing was ever heard")
        heard = {**yields, "YieldTotal": leaf(12.5, "kWh", 3)}
        dtu.send(frame({**never, "INV": {"0": heard}}))
        [line] = dtu.lines("electricity")
        self.assertIn(" energy_today=0.0,energy_total=12.5,power=0.0 ", line)

    def test_units_are_those_of_every_vendor(self) -> None:
        """B23: YieldTotal in kWh and A stood beside Tasmota's Wh and mA in one measurement."""
        dtu = self.start()
        dtu.send(frame(inverter(DC={})))
        [line] = dtu.lines("electricity")
        self.assertIn("current=1.34,energy_today=0.79,energy_total=1209.276", line)
        units = {name: ELECTRICITY.field(name).unit for name in ("energy_total", "current")}
        self.assertEqual(units, {"energy_total": "kWh", "current": "A"})

    def test_yields_where_they_are_today(self) -> None:
        """The yields moved to INV in v2024.02.19: the Go agent wrote 0 for them ever since."""
        dtu = self.start()
        dtu.send(frame(inverter(DC={})))
        self.assertIn("energy_total=1209.276", dtu.lines("electricity")[0])

    def test_no_connection_is_left_behind(self) -> None:
        """B24: an attempt that took too long went on beside the next one and kept its socket."""
        script = Scripted(connect_timeout=10)
        script.connection.startService()
        for index in range(20):
            script.until_next_attempt()
            self.assertTrue(script.attempts[index].cancelled)
        script.accept()
        script.wait(100)
        self.assertFalse(script.connection.connected, "one that is silent is noticed")
        script.connection.stopService()
        self.assertEqual(script.clock.getDelayedCalls(), [])

    def test_pings(self) -> None:
        """B24: there was no ping, so a dead peer and a silent one were the same."""
        script = Scripted(ping_interval=15)
        script.start()
        script.clock.advance(15)
        self.assertEqual(len(script.heard()), 1)
        script.connection.stopService()
        script.clock.advance(1)

    def test_no_fault_is_told_by_its_text(self) -> None:
        """B24: whether a fault was fatal was decided by "403" or "parse" somewhere in its text."""
        dtu = self.start()
        dtu.feed(dtu.server.send(CloseConnection(code=1001, reason="parse error 403 forbidden")))
        dtu.dial_again(limit_s=2)
        self.assertEqual(dtu.context.logged("error"), [])
        dtu.accept()

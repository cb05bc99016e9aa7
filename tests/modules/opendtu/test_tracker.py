"""What is new in a reading, when it was measured, and what is believed."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.modules.opendtu.naming import InverterNames
from metrics_agent.modules.opendtu.reading import Frame, Inverter, Part, String
from metrics_agent.modules.opendtu.tracker import MAX_KNOWN, Tracker
from tests.modules.opendtu.support import SERIAL

NOW_S = 1_700_000_000.0
READING = Inverter(SERIAL, "Garage", age_s=0.0, status={"reachable": True}, values={"power": 100.0})


class Case(SynchronousTestCase):
    """A tracker on a clock of the test's own."""

    def setUp(self) -> None:
        self.dropped: list[str] = []
        self.tracker = Tracker(
            InverterNames({}, "opendtu"),
            lambda _device, reason, _where: self.dropped.append(reason),
        )
        self.now_s = NOW_S

    def times(self, reading: Inverter, after_s: float = 0.0) -> list[float]:
        """Give a reading some seconds later; return when its electricity was measured."""
        self.now_s += after_s
        metrics = self.tracker.inverter(reading, round(self.now_s * 1e9))
        return [
            round(metric.time_ns / 1e9 - NOW_S, 3)
            for metric in metrics
            if metric.series.measurement == "electricity"
        ]

    def status(self, reading: Inverter, after_s: float = 0.0) -> list[dict]:
        """Give a reading some seconds later; return the points of ``inverter``."""
        self.now_s += after_s
        metrics = self.tracker.inverter(reading, round(self.now_s * 1e9))
        return [
            dict(metric.fields) for metric in metrics if metric.series.measurement == "inverter"
        ]


class TimeTests(Case):
    """When values were measured."""

    def test_repetitions_that_are_late(self) -> None:
        """A repetition that hung in the network for some seconds is one all the same."""
        self.assertEqual(self.times(READING), [0.0])
        late = evolve(READING, age_s=10.0)
        self.assertEqual(self.times(late, 14), [])
        self.assertEqual(self.times(evolve(READING, age_s=20.0), 6), [])

    def test_new_values_that_are_the_same(self) -> None:
        """The sun may stand still: what the radio brought anew is a point."""
        self.assertEqual(self.times(READING), [0.0])
        self.assertEqual(self.times(READING, 5), [5.0])
        self.assertEqual(self.times(evolve(READING, age_s=1.0), 6), [10.0])

    def test_ages_in_whole_seconds(self) -> None:
        """That an age is rounded down does not make a repetition new."""
        for after_s, age_s, expected in ((0, 0, [0.0]), (4.9, 4, []), (1.2, 6, []), (5, 11, [])):
            self.assertEqual(self.times(evolve(READING, age_s=float(age_s)), after_s), expected)

    def test_clock_that_is_set_back(self) -> None:
        """After our clock jumped back by an hour values have the new time at once."""
        self.assertEqual(self.times(READING), [0.0])
        self.assertEqual(self.times(evolve(READING, age_s=3.0), -3600), [-3603.0])
        self.assertEqual(self.times(READING, 5), [-3595.0])

    def test_changed_by_the_dtu(self) -> None:
        """Values that change without getting younger were changed now."""
        self.assertEqual(self.times(evolve(READING, age_s=30.0)), [-30.0])
        changed = evolve(READING, age_s=40.0, values={"power": 0.0})
        self.assertEqual(self.times(changed, 10), [10.0])
        self.assertEqual(self.times(evolve(changed, age_s=50.0), 10), [])

    def test_changed_by_the_dtu_out_of_reach(self) -> None:
        """Only what has changed is of now: of the whole, of each string and of each phase."""
        reading = evolve(
            READING,
            age_s=30.0,
            status={"reachable": False},
            values={"power": 3.0, "energy_today": 0.5, "temperature": 12.0},
            strings={number: String("", {"power": 1.0, "energy_today": 0.2}) for number in (1, 2)},
            phases={1: {"voltage": 230.0}},
        )
        self.assertEqual(len(self.times(reading)), 4)
        midnight = evolve(
            reading,
            age_s=40.0,
            values={**reading.values, "energy_today": 0.0},
            strings={**reading.strings, 2: String("", {"power": 1.0, "energy_today": 0.0})},
        )
        self.now_s += 10
        metrics = self.tracker.inverter(midnight, round(self.now_s * 1e9))
        self.assertEqual(
            [
                (metric.series.tags.get("channel"), dict(metric.fields))
                for metric in metrics
                if metric.series.measurement == "electricity"
            ],
            [(None, {"energy_today": 0.0}), ("2", {"energy_today": 0.0})],
        )
        self.assertNotIn("temperature", metrics[-1].fields)

    def test_zeroed_before_we_came(self) -> None:
        """0 V out of reach was filled in: it is of now, however old the last message is."""
        zeroed = evolve(
            READING,
            age_s=3600.0,
            status={"reachable": False},
            values={"power": 0.0, "voltage": 0.0},
        )
        self.assertEqual(self.times(zeroed), [0.0])
        self.assertEqual(self.times(evolve(zeroed, age_s=3610.0), 10), [])

    def test_of_a_broker(self) -> None:
        """What is only sent when it is new is never a repetition; its age counts to a minute."""
        reading = evolve(READING, sent_when_new=True)
        for age_s, expected in ((5.0, [-5.0]), (5.0, [-5.0]), (61.0, [0.0]), (None, [0.0])):
            self.assertEqual(self.times(evolve(reading, age_s=age_s)), expected)

    def test_without_an_age(self) -> None:
        """Then it is the time of the message."""
        self.assertEqual(self.times(evolve(READING, age_s=None)), [0.0])
        self.assertEqual(self.times(evolve(READING, age_s=None), 5), [5.0])

    def test_nothing_measured(self) -> None:
        """A reading without values gives none."""
        self.assertEqual(self.times(evolve(READING, values={})), [])


class StatusTests(Case):
    """How an inverter is doing."""

    def test_with_new_values_on_a_change_and_once_a_minute(self) -> None:
        """And not with every repetition."""
        self.assertEqual(self.status(READING), [{"reachable": True, "data_age": 0.0}])
        self.assertEqual(self.status(evolve(READING, age_s=10.0), 10), [])
        lost = evolve(READING, age_s=20.0, status={"reachable": False})
        self.assertEqual(self.status(lost, 10), [{"reachable": False, "data_age": 20.0}])
        for age_s in (30.0, 40.0, 50.0, 60.0, 70.0):
            self.assertEqual(self.status(evolve(lost, age_s=age_s), 10), [])
        [told] = self.status(evolve(lost, age_s=80.0), 10)
        self.assertEqual(told["data_age"], 80.0)

    def test_counters_alone_are_no_change(self) -> None:
        """Radio counters count all the time."""
        self.status(READING)
        counting = evolve(READING, age_s=10.0, status={"reachable": True, "tx_request": 5.0})
        self.assertEqual(self.status(counting, 10), [])


class TotalTests(Case):
    """Counters, and all inverters together."""

    def totals(self, *values: float, device: str = SERIAL) -> list[float | None]:
        found = []
        for value in values:
            self.now_s += 5
            reading = evolve(READING, serial=device, values={"energy_total": value, "power": 1.0})
            [metric] = [
                metric
                for metric in self.tracker.inverter(reading, round(self.now_s * 1e9))
                if metric.series.measurement == "electricity"
            ]
            found.append(metric.fields.get("energy_total"))
        return found

    def test_backwards(self) -> None:
        """A lower total is left out, three in a row are believed, others do not matter."""
        self.assertEqual(self.totals(10.0, 9.995, 5.0, 10.1), [10.0, 9.995, None, 10.1])
        self.assertEqual(self.totals(5.0, 5.1, 5.2, 5.1), [None, None, 5.2, None])
        self.assertEqual(self.totals(1.0, device="another"), [1.0])
        self.assertEqual(self.dropped, ["lower_total"] * 4)

    def test_strings_count_for_themselves(self) -> None:
        """The total of one string says nothing about another's."""
        strings = {1: String("", {"energy_total": 5.0}), 2: String("", {"energy_total": 3.0})}
        reading = evolve(READING, strings=strings)
        self.assertEqual(len(self.times(reading)), 3)
        self.assertEqual(self.dropped, [])

    def total(self, values: dict[str, float], *, complete: bool = False) -> list[dict]:
        part = Part("total", "electricity", values)
        metrics = self.tracker.total(part, round(self.now_s * 1e9), complete=complete)
        return [dict(metric.fields) for metric in metrics]

    def test_same_again(self) -> None:
        """The total is written when it changes, and once a minute."""
        values = {"power": 5.0, "energy_total": 2.0}
        self.tracker.inverter(READING, round(self.now_s * 1e9))
        self.assertEqual(self.total(values, complete=True), [values])
        self.now_s += 10
        self.tracker.inverter(READING, round(self.now_s * 1e9))
        self.assertEqual(self.total(values, complete=True), [])
        self.now_s += 50
        self.assertEqual(self.total(values, complete=True), [values])

    def test_nobody_was_heard(self) -> None:
        """A sum over nothing is no 0."""
        self.tracker.inverter(evolve(READING, heard=False), round(self.now_s * 1e9))
        self.assertEqual(self.total({"power": 0.0}), [])

    def test_a_connection_that_ended_at_once(self) -> None:
        """The next one has its own time for inverters that were not seen in it."""
        values = {"power": 5.0, "energy_total": 2.0}
        self.tracker.frame(Frame((READING,)), round(self.now_s * 1e9))
        self.now_s += 30
        self.tracker.restart()
        self.tracker.frame(Frame((READING,)), round(self.now_s * 1e9))
        self.assertEqual(self.total(values), [{"power": 5.0}])
        self.now_s += 12
        self.tracker.frame(Frame((READING,)), round(self.now_s * 1e9))
        self.assertEqual(self.total(values), [values])

    def test_inverter_that_is_gone(self) -> None:
        """One that is not in the DTU any more holds nothing back."""
        unheard = evolve(READING, serial="another", heard=False)
        self.tracker.inverter(unheard, round(self.now_s * 1e9))
        self.tracker.inverter(READING, round(self.now_s * 1e9))
        values = {"power": 5.0, "energy_total": 2.0}
        self.assertEqual(self.total(values, complete=True), [{"power": 5.0}])
        self.now_s += 61
        self.tracker.inverter(READING, round(self.now_s * 1e9))
        self.assertEqual(self.total(values, complete=True), [values])


class BoundTests(Case):
    """What is remembered has a bound."""

    def test_inverters(self) -> None:
        """So many are remembered; more give no points."""
        for index in range(MAX_KNOWN + 5):
            self.times(evolve(READING, serial=str(index)))
        self.assertEqual(len(self.tracker.serials), MAX_KNOWN)
        self.assertEqual(self.dropped, ["too_many_devices"] * 5)

    def test_names(self) -> None:
        """Names that change all the time do not pile up."""
        naming = InverterNames({}, "opendtu")
        for index in range(300):
            naming.inverter("electricity", SERIAL, f"{index:05000}")
        self.assertLess(len(naming._series), 110)
        for index in range(5000):
            naming.inverter("electricity", SERIAL, str(index))
        self.assertLess(len(naming._series), 2000)

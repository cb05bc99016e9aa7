"""What is made of the lines that arrive."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.collector import Tally, count_lines, count_marks, count_reports, tally


def line(device: int, number: int, stamp: int = 0) -> bytes:
    """Make a line as the agent writes it."""
    return (
        b"electricity,device=bench_%05d,vendor=tasmota energy_today=%d.0,energy_total=%d.207 1\n"
        % (device, 1_000_000_000 + stamp, 1_000_000 + number)
    )


def looked_at(*lines: bytes, first_round: int = 0) -> Tally:
    """Tally a load of 3 devices and 4 rounds."""
    return tally([(0, b"".join(lines))], devices=3, rounds=4, first_round=first_round)


class TallyTests(SynchronousTestCase):
    """Loss, duplicates, order, latency."""

    def test_all_there(self) -> None:
        found = looked_at(*[line(device, number) for number in range(4) for device in range(3)])
        self.assertEqual(
            (found.distinct, found.duplicates, found.misplaced, found.foreign), (12, 0, 0, 0)
        )

    def test_one_lost_of_one_device(self) -> None:
        lines = [line(device, number) for number in range(4) for device in range(3)]
        del lines[5]
        self.assertEqual(looked_at(*lines).distinct, 11)

    def test_a_duplicate_does_not_make_up_for_a_loss(self) -> None:
        found = looked_at(line(0, 0), line(0, 0), line(0, 2))
        self.assertEqual((found.distinct, found.duplicates), (2, 1))

    def test_out_of_order_counts_by_device(self) -> None:
        found = looked_at(line(0, 1), line(1, 0), line(0, 0), line(1, 1))
        self.assertEqual(found.misplaced, 1)

    def test_messages_of_another_load_are_foreign(self) -> None:
        found = looked_at(line(0, 4), line(0, 8), line(9, 5), first_round=4)
        self.assertEqual((found.distinct, found.foreign), (1, 2))

    def test_lines_without_a_sequence_number_are_lines_only(self) -> None:
        found = looked_at(b"metrics_agent,module=agent uptime=1.0 1\n", line(0, 0))
        self.assertEqual((found.lines, found.distinct, found.foreign), (2, 1, 0))

    def test_latency_is_from_the_stamp_to_the_read(self) -> None:
        found = tally(
            [(5_000_000, line(0, 0, 1500)), (7_000_000, line(0, 1, 2500))],
            devices=1,
            rounds=2,
            origin_us=1000,
        )
        self.assertEqual(found.latencies_us, [2500.0, 3500.0])

    def test_the_order_of_fields_does_not_matter(self) -> None:
        """Telegraf writes them in another order, and integers without a point."""
        other = (
            b"electricity,device=bench_00002 energy_total=1000003.207,energy_today=1000000007 1\n"
        )
        found = looked_at(other)
        self.assertEqual((found.distinct, found.foreign), (1, 0))
        self.assertEqual(found.latencies_us, [-7.0])


class CountTests(SynchronousTestCase):
    """The quick counts while the load runs."""

    def test_marks(self) -> None:
        climate = b"climate,device=bench_00004,sensor=BH1750 illuminance=1000001.0 1\n"
        self.assertEqual(count_marks(line(0, 0) + climate + b"other value=1 1\n", 10), 12)

    def test_reports(self) -> None:
        self.assertEqual(count_reports(b"received=500\nreceived=1000\n", 0), 1000)
        self.assertEqual(count_reports(b"", 500), 500)

    def test_lines(self) -> None:
        self.assertEqual(count_lines(line(0, 0) + line(1, 0), 1), 3)

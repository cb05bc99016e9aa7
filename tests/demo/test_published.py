"""The demo's DTU by MQTT: the module reads the same from its topics as from its socket."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.demo.opendtu import Dtu
from metrics_agent.demo.published import DTU_ONLINE, as_published
from metrics_agent.modules.opendtu.decode import decode_frame
from metrics_agent.modules.opendtu.topics import Gathering, is_taken

NOW_S = 1_760_000_000.0
SECOND_NS = 1_000_000_000


class PublishedTests(SynchronousTestCase):
    """One second of it."""

    def setUp(self) -> None:
        self.dropped: list[tuple[str, str, str]] = []
        self.messages = list(as_published(Dtu(), NOW_S))
        frames = map(str.encode, Dtu().messages(NOW_S))
        self.frames = [decode_frame(frame, self.drop) for frame in frames]
        gathering = Gathering("solar/", self.drop)
        for message in self.messages:
            gathering.add(message.topic, message.payload)
        self.burst = gathering.take(int(NOW_S) * SECOND_NS)

    def drop(self, *what: str) -> None:
        self.dropped.append(what)

    def test_nothing_is_left_out(self) -> None:
        """Each topic is one that the module takes, and each value one that it believes."""
        for message in (*self.messages, DTU_ONLINE):
            self.assertTrue(
                is_taken("solar/", message.topic) or message.topic.endswith("/name"), message.topic
            )
        self.assertEqual(self.dropped, [])

    def test_inverters(self) -> None:
        """Names, values, strings, and whether it is in reach."""
        by_socket = [one for frame in self.frames for one in frame.inverters]
        self.assertEqual(len(by_socket), 3)
        for expected, found in zip(by_socket, self.burst.inverters, strict=True):
            self.assertEqual((found.serial, found.name), (expected.serial, expected.name))
            self.assertEqual(found.values, expected.values)
            self.assertEqual(found.strings, expected.strings)
            # The number of events has no topic.
            self.assertEqual({**found.status, "events": 1.0}, expected.status)

    def test_others(self) -> None:
        """The sum of the inverters, the battery and the meter."""
        self.assertEqual(self.burst.total.values, self.frames[-1].total.values)
        by_socket = {part.device: part.values for frame in self.frames for part in frame.parts}
        self.assertEqual({part.device: part.values for part in self.burst.parts}, by_socket)
        self.assertEqual(set(by_socket), {"battery", "power_meter"})

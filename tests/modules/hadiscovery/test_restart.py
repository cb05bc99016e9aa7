"""Whether entities are there is known after a restart, before the broker says it again."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from metrics_agent.limits import HADISCOVERY_STATUS_BYTES
from metrics_agent.modules.hadiscovery.config import HadiscoverySettings
from metrics_agent.modules.hadiscovery.remembered import FORGET_AFTER_S
from metrics_agent.modules.hadiscovery.remembered_availability import SAVE_EVERY_S
from metrics_agent.modules.hadiscovery.service import HadiscoveryModule
from metrics_agent.state.directory import Pace, StateFaults, StateFile
from metrics_agent.testing import FakeContext
from tests.modules.hadiscovery.test_service import ServiceCase, sensor, topic

AWAY, THERE = b"offline", b"online"
FILE = "availability.json"


class _Paced(FakeContext):
    """Writes files when the agent would; its clock for that is not moved."""

    def state_file(self, name: str) -> StateFile:
        path = self.state_path(name)
        return StateFile(path, StateFaults(path.parent, self.log), Pace(Clock(), maybeDeferred))


def file_with(topics: str) -> str:
    """Return the text of a file of the broker that the tests have."""
    return f'{{"broker": ["tcp://localhost:1883"], "topics": {topics}}}'


class AvailabilityTests(ServiceCase):
    """A node with a topic of availability, over a restart of the module."""

    def begin(self, said: bytes = THERE, **settings: Any) -> FakeContext:
        """Start a module with a node that has said whether it is there."""
        context = self.make(**settings)
        context.deliver(topic(), sensor(availability_topic="n1/a"))
        context.deliver("n1/a", said, retain=True)
        return context

    def restart(self, context: FakeContext, **settings: Any) -> FakeContext:
        """Stop the module and start another one with its state."""
        self.module.stopService()
        return self.make(context.state_path("x").parent, **settings)

    def online(self, context: FakeContext) -> list[str]:
        """Return what was written of `online`."""
        return [line.split()[-2] for line in context.lines() if "online=" in line]

    def topics(self, context: FakeContext) -> object:
        """Return what the file says of topics."""
        return json.loads(context.state_path(FILE).read_text())["topics"]

    def values(self, context: FakeContext) -> list[str]:
        """Return the values that were written."""
        return [line.split()[-2] for line in context.lines() if line.startswith("climate")]

    def test_values_that_the_broker_kept_meanwhile(self) -> None:
        """All of them count, though the stored message that says so comes last."""
        again = self.restart(self.begin())
        for number in range(3):
            again.deliver("n1/t", b"%d" % number, qos=1)
        again.deliver("n1/a", THERE, retain=True)
        self.assertEqual(
            self.values(again), ["temperature=0.0", "temperature=1.0", "temperature=2.0"]
        )

    def test_one_that_went_meanwhile(self) -> None:
        """What it sent before it went counts; what is sent after that waits."""
        again = self.restart(self.begin())
        again.deliver("n1/t", b"1", qos=1)
        again.deliver("n1/a", AWAY, qos=1)
        again.deliver("n1/t", b"2", qos=1)
        again.deliver("n1/a", AWAY, retain=True)
        self.assertEqual(self.values(again), ["temperature=1.0"])

    def test_one_that_was_away_before(self) -> None:
        """Its values wait as before."""
        again = self.restart(self.begin(AWAY))
        again.deliver("n1/t", b"1", qos=1)
        self.assertEqual(self.values(again), [])
        again.deliver("n1/a", THERE, qos=1)
        self.assertEqual(self.values(again), ["temperature=1.0"])

    def test_an_announcement_of_the_broker_after_the_start(self) -> None:
        """The file of announcements has no room for all of them, or is lost."""
        context = self.begin()
        self.module.stopService()
        context.state_path("announcements.json").unlink()
        again = self.make(context.state_path("x").parent)
        again.deliver(topic(), sensor(availability_topic="n1/a"), retain=True)
        again.deliver("n1/t", b"1", qos=1)
        again.deliver("n1/t", b"2", qos=1)
        self.assertEqual(len(self.values(again)), 2)

    def test_online_is_written_when_it_is_said(self) -> None:
        """Not from memory, and once."""
        for said in (THERE, AWAY):
            again = self.restart(self.begin(said))
            again.deliver("n1/t", b"1")
            again.deliver(topic(), sensor(availability_topic="n1/a", expire_after=60))
            again.deliver("n1/a", b"something else")
            self.assertEqual(self.online(again), [])
            for _ in range(2):
                again.deliver("n1/a", said, retain=True)
            expected = "online=true" if said == THERE else "online=false"
            self.assertEqual(self.online(again), [expected])

    def test_online_of_two_topics(self) -> None:
        """While one may say that the device is there, the other does not make it offline."""
        context = self.begin()
        context.deliver(topic("o"), sensor(unique_id="o", availability_topic="n1/b"))
        context.deliver("n1/b", THERE)
        again = self.restart(context)
        again.deliver("n1/a", AWAY, retain=True)
        self.assertEqual(self.online(again), [])
        again.deliver("n1/b", AWAY, retain=True)
        self.assertEqual(self.online(again), ["online=false"])

    def test_stored_values_wait_for_the_stored_availability(self) -> None:
        """With `retained = "take"`: both may be old, and the broker's copy of one comes later."""
        for said, expected in ((AWAY, []), (THERE, ["temperature=1.0"])):
            again = self.restart(self.begin(retained="take"), retained="take")
            again.deliver("n1/t", b"1", retain=True)
            self.assertEqual(self.values(again), [])
            again.deliver("n1/a", said, retain=True)
            self.assertEqual(self.values(again), expected)

    def test_stored_values_wait_for_all_topics(self) -> None:
        """As they would if nothing were remembered; others do not."""
        two = {"availability": [{"topic": "n1/a"}, {"topic": "n1/b"}], "availability_mode": "all"}
        for mode, after_one in (("all", 0), ("any", 1), ("latest", 1)):
            context = self.make(retained="take")
            context.deliver(topic(), sensor(**{**two, "availability_mode": mode}))
            context.deliver("n1/a", THERE)
            context.deliver("n1/b", THERE)
            again = self.restart(context, retained="take")
            again.deliver("n1/t", b"1", retain=True)
            self.assertEqual(self.values(again), [])
            again.deliver("n1/b", THERE, retain=True)
            self.assertEqual(len(self.values(again)), after_one, mode)
            again.deliver("n1/a", THERE, retain=True)
            self.assertEqual(len(self.values(again)), 1, mode)
            last = self.restart(context, retained="take")
            last.deliver("n1/t", b"1", qos=1)
            self.assertEqual(len(self.values(last)), 1, mode)
            self.module.stopService()

    def test_other_broker(self) -> None:
        """What topics of the same name said at one broker is nothing to another."""
        context = self.begin()
        again = self.restart(context, broker="tcp://other:1883")
        again.deliver("n1/t", b"1", qos=1)
        self.assertEqual(self.values(again), [])

    def test_saved_while_running(self) -> None:
        """Soon after the first change, then every 30 s at most, though files are written slower."""
        context = _Paced()
        self.addCleanup(context.stop)
        self.module = HadiscoveryModule(HadiscoverySettings(), context)
        self.successResultOf(self.module.startService())
        context.deliver(topic(), sensor(availability_topic="n1/a"))
        context.deliver("n1/a", THERE, retain=True)
        context.advance(3)
        self.assertEqual(self.topics(context), {"n1/a": "online"})
        context.deliver("n1/a", AWAY)
        context.advance(SAVE_EVERY_S - 5)
        self.assertEqual(self.topics(context), {"n1/a": "online"})
        context.advance(5)
        self.assertEqual(self.topics(context), {"n1/a": "offline"})
        self.assertFalse(context.state_path("announcements.json").exists())
        self.module.stopService()

    def test_removed_ones_are_not_kept(self) -> None:
        """A topic that nothing has any more is not in the file."""
        context = self.begin()
        context.deliver(topic("other"), sensor(unique_id="o", availability_topic="n2/a"))
        context.deliver("n2/a", THERE)
        context.deliver(topic(), b"")
        self.module.stopService()
        self.assertEqual(self.topics(context), {"n2/a": "online"})

    def test_damaged_file(self) -> None:
        """Contents that are not messages of topics are ignored."""
        context = self.make()
        inner = ('{"n1/a": 5, "x": "y"}', "[]", "null", '{"n1/a": "\\ud800"}')
        for text in ("[]", "{", "null", '{"n1/a": "online"}', *map(file_with, inner)):
            context.state_path(FILE).write_text(text)
            again = self.restart(context)
            again.deliver(topic(), sensor(availability_topic="n1/a"))
            again.deliver("n1/t", b"1")
            self.assertEqual(self.values(again), [])
            self.module.stopService()
            again.state_path("announcements.json").unlink()

    def test_what_is_read_has_a_limit(self) -> None:
        """No more topics than there may be, and nothing longer than what is kept of a message."""
        context = self.make()
        context.state_path(FILE).write_text(
            file_with(json.dumps({str(n): "x" * 999 for n in range(900)}))
        )
        module = "metrics_agent.modules.hadiscovery.remembered_availability"
        with patch(f"{module}.HADISCOVERY_TOPICS", 100):
            self.restart(context)
        said = self.module.registry.said_before
        self.assertEqual(len(said), 100)
        self.assertEqual({len(payload) for payload in said.values()}, {HADISCOVERY_STATUS_BYTES})

    def test_forgotten_after_a_day(self) -> None:
        """What no announcement has asked for by then."""
        again = self.restart(self.begin())
        again.state_path(FILE).write_text(file_with('{"n2/a": "online"}'))
        later = self.restart(again)
        self.assertEqual(list(self.module.registry.said_before), ["n2/a"])
        later.advance(FORGET_AFTER_S)
        self.assertEqual(self.module.registry.said_before, {})

    def test_file_has_a_limit(self) -> None:
        """As many topics as there is room for."""
        context = self.make()
        with patch(
            "metrics_agent.modules.hadiscovery.remembered_availability.STATE_FILE_BYTES", 1000
        ):
            for number in range(100):
                name = f"n1/a\xe9{number}"
                context.deliver(
                    topic(f"x{number}"), sensor(unique_id=str(number), availability_topic=name)
                )
                context.deliver(name, THERE)
            self.module.stopService()
        path = context.state_path(FILE)
        self.assertTrue(900 < path.stat().st_size <= 1000)
        self.assertIn("n1/a\xe90", self.topics(context))

"""What one message says of very many entities, and what is forgotten at once: some in each turn."""

from __future__ import annotations

from unittest.mock import patch

from twisted.internet.task import deferLater

from metrics_agent.modules.hadiscovery import arrivals
from metrics_agent.modules.hadiscovery.arrivals import Arrivals
from metrics_agent.modules.hadiscovery.entity import Entity
from metrics_agent.modules.hadiscovery.remembered import FORGET_AFTER_S
from metrics_agent.testing import FakeContext
from tests.modules.hadiscovery.test_service import ServiceCase, sensor, topic

BRIDGE = {"topic": "bridge", "value_template": "{{ value_json.state + '' }}"}
ONLINE = b'{"state": "online"}'
OFFLINE = b'{"state": "offline"}'
PER_TURN = 50
COUNT = 4 * PER_TURN + 1


class ArrivalTests(ServiceCase):
    """A bridge that comes and goes with all its devices."""

    def setUp(self) -> None:
        """Make turns short."""
        self.patch(arrivals, "PER_TURN", PER_TURN)

    def announce(self, count: int) -> FakeContext:
        """Announce as many devices with a value that waits for the bridge."""
        context = self.make()
        for number in range(count):
            name = f"n{number}"
            own = {"topic": f"{name}/a"} if number % 100 == 0 else BRIDGE
            context.deliver(
                topic(node=name),
                sensor(
                    unique_id=name,
                    state_topic=f"{name}/t",
                    availability=[BRIDGE, own],
                    device={"identifiers": [name]},
                ),
            )
            context.deliver(f"{name}/t", b"5")
        self.assertEqual(context.metrics, [])
        return context

    def test_bounded_in_each_turn(self) -> None:
        """No turn shows more than its share, and all are shown in the end."""
        context = self.announce(COUNT)
        shown: list[int] = []
        show, turn = Entity.show, Arrivals._turn

        def count(entity: Entity, now_s: float) -> object:
            shown[-1] += 1
            return show(entity, now_s)

        def begin(self: Arrivals) -> None:
            shown.append(0)
            turn(self)

        with patch.object(Entity, "show", count), patch.object(Arrivals, "_turn", begin):
            shown.append(0)
            context.deliver("bridge", ONLINE)
            self.assertEqual(shown, [PER_TURN])
            context.advance(0)
        self.assertLessEqual(max(shown), PER_TURN)
        self.assertEqual(sum(shown), COUNT)
        # The value that waited, and the device.
        self.assertEqual(len(context.metrics), 2 * COUNT)

    def test_the_last_word_counts(self) -> None:
        """Whatever comes meanwhile: another word, values, removals."""
        context = self.announce(COUNT)
        context.deliver("bridge", ONLINE)
        last = COUNT - 1
        context.deliver(f"n{last}/t", b"6")
        context.deliver(topic(node=f"n{last - 1}"), b"")
        context.deliver("bridge", OFFLINE)
        context.deliver("bridge", ONLINE)
        context.deliver("bridge", OFFLINE)
        context.advance(0)
        devices = [entity.device for entity in self.module.registry.entities.values()]
        self.assertEqual({each.online for each in devices if each is not None}, {False})
        values = [
            each.fields["temperature"]
            for each in context.metrics
            if each.series.tags["device"] == f"n{last}" and "temperature" in each.fields
        ]
        self.assertEqual(values, [6.0])

    def test_one_rendering_for_all(self) -> None:
        """However many devices have the template of their bridge."""
        context = self.announce(300)
        with patch(
            "metrics_agent.modules.hadiscovery.availability.render_or_raw", return_value="online"
        ) as render:
            context.deliver("bridge", ONLINE)
        self.assertEqual(render.call_count, 1)

    def test_a_failing_one_is_counted_once(self) -> None:
        """And changes nothing."""
        context = self.announce(300)
        context.deliver("bridge", b'{"state": 5}')
        self.assertEqual(context.dropped, {"template_error": 1})
        self.assertEqual(context.metrics, [])


class ForgetTests(ServiceCase):
    """What was not heard for a day."""

    def test_some_in_each_turn(self) -> None:
        """The reactor does other work between them."""
        context = self.announce()
        before = len(self.module.registry)
        with (
            patch("metrics_agent.modules.hadiscovery.remembered._SLICE_S", 0),
            patch(
                "metrics_agent.modules.hadiscovery.remembered.deferLater", wraps=deferLater
            ) as rest,
        ):
            context.advance(FORGET_AFTER_S)
        self.assertEqual((before, rest.call_count), (30, 30))
        self.assertEqual(len(self.module.registry), 0)

    def announce(self) -> FakeContext:
        """Announce entities in an earlier run."""
        context = self.make()
        for number in range(30):
            context.deliver(topic(f"x{number}"), sensor(unique_id=str(number)))
        self.module.stopService()
        return self.make(context.state_path("x").parent)

"""A hostile publisher: nothing it sends takes long, takes much memory or says much in the log."""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, Final
from unittest.mock import patch

from attrs import evolve, fields
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.interfaces import Message
from metrics_agent.limits import (
    HADISCOVERY_COMPONENTS,
    HADISCOVERY_ENTITIES_TOGETHER,
    HADISCOVERY_TEXT_CHARS,
    HADISCOVERY_WILDCARDS_TOGETHER,
)
from metrics_agent.modules.hadiscovery.config import HadiscoverySettings
from metrics_agent.modules.hadiscovery.entity_config import EntityConfig
from metrics_agent.modules.hadiscovery.footprint import footprint
from metrics_agent.modules.hadiscovery.service import HadiscoveryModule
from metrics_agent.testing import FakeContext, FakeSubscription
from tests.cpu_time import TRIES, least_s, scaled_s
from tests.modules.hadiscovery.test_service import PREFIX, sensor, topic

LONGEST_S: Final = 0.1
"""CPU time of one message; `cpu_time` says on which machine."""
REGISTRY: Final = "metrics_agent.modules.hadiscovery.registry"
MIB: Final = 1024 * 1024
Said = tuple[str, bytes]


class _Ending(FakeSubscription):
    """Takes its handler away when it ends."""

    def cancel(self) -> None:
        if self.active:
            self.active = False
            self.handler(self.topic_filter)  # type: ignore[arg-type]  # it is ``pop``


class Broker(FakeContext):
    """Finds handlers by topic at once, and keeps no subscription that has ended."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.handlers: dict[str, Callable[[Message], object]] = {}

    def subscribe(self, *args: Any, **options: Any) -> FakeSubscription:
        """Keep the handler."""
        made = super().subscribe(*args, **options)
        self.subscriptions.clear()
        self.handlers[made.topic_filter] = made.handler
        return _Ending(made.broker, made.topic_filter, self.handlers.pop, 0, made.place)

    def say(self, topic_name: str, payload: bytes) -> float:
        """Hand a message on; returns the CPU time that it took."""
        levels = topic_name.count("/")
        wanted = f"{PREFIX}/+/+/config" if levels == 3 else f"{PREFIX}/+/+/+/config"
        handler = self.handlers[wanted if topic_name.startswith(PREFIX) else topic_name]
        message = Message(topic_name, payload, 0, False, self.now_ns())
        began_s = time.thread_time()
        metrics = handler(message)
        took_s = time.thread_time() - began_s
        self.emit(metrics)  # type: ignore[arg-type]  # of a handler
        return took_s


def device(count: int, mark: str = "c", **more: Any) -> bytes:
    """Return the payload of a device with so many entities on one topic."""
    component = {"p": "sensor", "unit_of_meas": "W", "stat_t": "n1/t", **more}
    components = {
        f"{mark}{index}": {
            "uniq_id": f"{mark}{index}",
            **component,
            "val_tpl": str(component.get("val_tpl", "{{ value_json.k# }}")).replace(
                "#", str(index)
            ),
        }
        for index in range(count)
    }
    named = {"ids": ["n1"], "name": more.get("name", "Node")}
    return json.dumps({"dev": named, "o": {"name": "x"}, "cmps": components}).encode()


def configs() -> Iterator[Said]:
    """Yield announcements, each with something that it should not have."""
    yield topic("huge"), sensor(value_template="{{ value }}" + "x" * MIB)
    yield (
        topic("loop"),
        sensor(
            value_template="{% for a in range(10**9) %}{% for b in value %}"
            "x{% endfor %}{% endfor %}"
        ),
    )
    yield topic("nested"), sensor(value_template="{{ " + "(" * 2000 + "1" + ")" * 2000 + " }}")
    yield topic("brackets"), sensor(value_template="{{ " + "[" * 2000)
    yield topic("deep"), b'{"a":' * 20_000 + b"1" + b"}" * 20_000
    yield topic("list"), sensor(device={"identifiers": ["x"] * 20_000})
    yield topic("options"), sensor(device_class="enum", options=["x"] * 30_000)
    yield topic("wild"), sensor(state_topic="+/" * 100 + "#")
    yield topic("all"), sensor(state_topic="#")
    yield topic("own"), sensor(state_topic=f"{PREFIX}/+/+/config")
    yield topic("long"), sensor(state_topic="x/" * 30_000 + "x")
    yield topic("number"), b'{"expire_after":' + b"9" * 200_000 + b"}"
    yield topic("late"), sensor(expire_after="9" * 400)
    yield topic("unit"), sensor(unit_of_measurement="x" * 200_000, device_class=None)
    yield topic("text"), sensor(payload_available="x" * 200_000, availability_topic="a")
    yield topic("o" * 60_000), sensor()
    yield f"{PREFIX}/device/key/config", device(1, "k" * 200_000)
    yield f"{PREFIX}/device/many/config", device(2000)
    yield (
        f"{PREFIX}/device/templates/config",
        device(HADISCOVERY_COMPONENTS, val_tpl="{{ value_json.k# * # + 1 }}"),
    )


class HostileTests(SynchronousTestCase):
    """See above."""

    def make(self, **settings: Any) -> Broker:
        """Start a module."""
        context = Broker()
        self.module = HadiscoveryModule(HadiscoverySettings(texts=True, **settings), context)
        self.successResultOf(self.module.startService())
        self.addCleanup(context.stop)
        self.addCleanup(self.module.stopService)
        return context

    def test_announcements(self) -> None:
        """Each ends soon, and is one line in the log, however often it comes."""
        slow = []
        for topic_name, payload in configs():
            context = self.make()
            took_s = least_s(lambda: context.say(topic_name, payload))  # noqa: B023 - at once
            if took_s > LONGEST_S:
                slow.append((topic_name, took_s))
            lines = context.logged()
            if topic_name.endswith("templates/config"):
                self.assertLessEqual(len(lines), HADISCOVERY_COMPONENTS)
            else:
                self.assertEqual(len(lines), 1, f"{topic_name}: {lines}"[:500])
            self.assertLess(max(map(len, lines)), 1000)
        self.assertEqual(slow, [])

    def test_one_message_for_as_many_as_there_may_be(self) -> None:
        """With templates that want much, each of another value."""
        context = self.make()
        template = "{{ (value_json.s * 3) | replace('a', 'bb') | upper | length + # }}"
        for number in range(3):
            payload = device(HADISCOVERY_COMPONENTS, f"d{number}c", val_tpl=template)
            context.say(f"{PREFIX}/device/n{number}/config", payload)
        payload = json.dumps({"s": "a" * 60_000}).encode()
        self.assertLess(least_s(lambda: context.say("n1/t", payload)), LONGEST_S)

    def test_filters_with_a_topic_in_common(self) -> None:
        """Thousands can have one; a message is for as many as may have it, and no more."""
        context = self.make()
        levels = [f"l{index}" for index in range(12)]
        template = "{{ (value_json.s * 3) | replace('a', 'bb') | upper | length + # }}"
        for number in range(2 ** len(levels) - 1):
            if number % 10:  # a part of them is enough
                continue
            filtered = ["+" if number >> index & 1 else level for index, level in enumerate(levels)]
            text = template.replace("#", str(number))
            one = {"unique_id": str(number), "value_template": text}
            context.say(topic(f"x{number}"), sensor(**one, state_topic="/".join(filtered)))
        handlers = list(context.handlers.items())[2:]
        self.assertLessEqual(len(handlers), 2 * HADISCOVERY_WILDCARDS_TOGETHER + 1)
        self.assertGreaterEqual(len(handlers), HADISCOVERY_WILDCARDS_TOGETHER)
        payload = json.dumps({"s": "a" * 10_000}).encode()

        def say() -> float:
            message = Message("/".join(levels), payload, 0, False, context.now_ns())
            began_s = time.thread_time()
            for _filter, handler in handlers:
                handler(message)
            return time.thread_time() - began_s

        self.assertLess(least_s(say), LONGEST_S)
        shared = [line for line in context.logged() if "it takes more than 2,000 steps" in line]
        self.assertGreater(len(shared), len(handlers) // 2)
        # Others are not kept out, and one that is removed makes room.
        context.say(topic("y"), sensor(unique_id="y", state_topic="+/+/BTtoMQTT/A4C138"))
        self.assertIn("+/+/BTtoMQTT/A4C138", context.handlers)
        for number in range(2 ** len(levels)):
            context.say(topic(f"x{number}"), b"")
        context.say(topic("z"), sensor(unique_id="z", state_topic="+/l1/l2/l11"))
        self.assertIn("+/l1/l2/l11", context.handlers)

    def test_availability_by_very_many_templates(self) -> None:
        """Each other than the others, on one topic: of one message only so many are rendered."""
        context = self.make()
        for number in range(HADISCOVERY_ENTITIES_TOGETHER + 50):
            text = f"{{{{ value | length + {number} }}}}"
            one = {"availability_topic": "a", "availability_template": text}
            device_of = {"identifiers": [str(number)]}
            own = {"unique_id": str(number), "state_topic": f"t/{number}", "device": device_of}
            context.say(topic(f"x{number}"), sensor(**own, **one))
        context.say("a", b"12345")
        [line] = context.logged()
        self.assertIn("more than 500 different availability templates read this message", line)
        self.assertEqual(context.dropped, {"template_error": 50})

    def test_numbers(self) -> None:
        """One that no float or timer takes is refused; others on its topic go on."""
        many = "9" * 400
        position = {"state_topic": "n1/t", "reports_position": True, "position_open": many}
        cover = {"position_topic": "n1/t", "position_open": 10**18, "command_topic": "c"}
        plain = {"state_topic": "n1/t"}
        cases = (
            ("sensor", {**plain, "expire_after": many}),
            ("sensor", {**plain, "suggested_display_precision": many}),
            ("binary_sensor", {**plain, "off_delay": many}),
            ("binary_sensor", {**plain, "expire_after": 1e300}),
            ("binary_sensor", {**plain, "qos": many}),
            ("valve", position),
            ("valve", {**position, "position_open": 100, "position_closed": f"-{many}"}),
            ("cover", cover),
            ("cover", {**cover, "position_open": 100, "tilt_max": -(10**18)}),
        )
        for component, config in cases:
            context = self.make()
            context.say(topic(), sensor())
            announcement = {"unique_id": "m", "device": {"identifiers": ["n1"]}, **config}
            context.say(topic("m", component=component), json.dumps(announcement).encode())
            [line] = context.logged()
            self.assertIn("expected at most 2147483648", line)
            context.say("n1/t", b"5")
            self.assertEqual(len(context.lines()), 1)

    def test_renames(self) -> None:
        """A device with as many entities as there may be gets another name 30 times."""
        context = self.make()
        for number in range(HADISCOVERY_ENTITIES_TOGETHER // HADISCOVERY_COMPONENTS):
            payload = device(HADISCOVERY_COMPONENTS, f"d{number}c")
            context.say(f"{PREFIX}/device/n{number}/config", payload)
        before = len(self.module.registry)
        self.assertEqual(before, HADISCOVERY_ENTITIES_TOGETHER)
        context.say(topic(), b"")

        def rename(number: int) -> float:
            components = json.loads(device(1, "d0c"))
            components["dev"]["name"] = f"Node {number}"
            took_s = context.say(f"{PREFIX}/device/n0/config", json.dumps(components).encode())
            context.say("n1/t", json.dumps({f"k{number}": 5}).encode())
            return scaled_s(took_s)

        times = [rename(number) for number in range(30)]
        self.assertLess(sorted(times)[-TRIES], LONGEST_S)
        # Two entities read each value.
        names = [line.partition("friendly=")[2].partition(",")[0] for line in context.lines()]
        self.assertEqual(names, [f"Node\\ {number // 2}" for number in range(60)])

    def test_names_with_metacharacters(self) -> None:
        """They are names, in the log and in what is written."""
        context = self.make()
        bad = 'a,b=c "d" \\ $(x) `y` %s {0} {z} \n\r\t\x1b[31m \u202e {{ 7*7 }}'
        config = sensor(
            device={"identifiers": [bad], "name": bad, "manufacturer": bad}, unique_id=bad
        )
        context.say(topic(), config)
        context.say("n1/t", b"5")
        context.say("n1/t", bad.encode())
        [line] = context.lines()
        self.assertNotIn("\n", line)
        self.assertIn("7*7", line)
        for text in (*context.logged(), *context.logged("info")):
            self.assertNotIn("49", text)

    def test_all_that_is_kept_is_counted(self) -> None:
        """Each text of an entity, in bytes; the ids, the topic, each member of a list."""
        context = self.make()
        context.say(topic(), sensor(availability_topic="a", origin={"name": "o"}, name="n"))
        [entity] = self.module.registry.entities.values()
        config, key = entity.config, entity.key
        before = footprint(key, entity.topic, config)
        wide = "\N{GRINNING FACE}" * 1000
        assert config.device is not None
        device = evolve(config.device, connections=(("mac", wide),))
        available = evolve(config.availability.topics[0], available=wide)
        grown = [
            footprint((key[0], wide), entity.topic, config),
            footprint(key, wide, config),
            footprint(key, entity.topic, evolve(config, options=(wide,))),
            footprint(key, entity.topic, evolve(config, device=device)),
            footprint(
                key,
                entity.topic,
                evolve(config, availability=evolve(config.availability, topics=(available,))),
            ),
        ]
        texts = [each.name for each in fields(EntityConfig) if isinstance(each.default, str)]
        for name in ("unique_id", "name", *texts):
            grown.append(footprint(key, entity.topic, evolve(config, **{name: wide})))  # noqa: PERF401
        self.assertGreater(len(texts), 8)
        self.assertGreater(min(grown), before + 3900)

    def test_memory(self) -> None:
        """What is kept stays within its bounds, however much comes: in entities and in bytes."""
        # 8 KiB an entity, 1 KiB a topic, 1 MiB each for templates and announcements.
        limit = 5 * MIB
        # Python's table of interned names grows as a whole, by MiB, but not twice in a row.
        if self.measure_growth() >= limit:
            self.assertLess(self.measure_growth() / MIB, limit / MIB)

    def measure_growth(self) -> int:
        """Return the bytes that a module takes for very much that is announced."""
        context = self.make()
        context.log = Logger(observer=lambda _event: None)  # type: ignore[arg-type]  # an observer
        with (
            patch(f"{REGISTRY}.HADISCOVERY_ENTITIES", 200),
            patch(f"{REGISTRY}.HADISCOVERY_TOPICS", 2000),
            patch(f"{REGISTRY}.HADISCOVERY_LONG_BYTES", MIB // 4),
            patch(
                "metrics_agent.modules.hadiscovery.template_store.HADISCOVERY_TEMPLATE_BYTES", MIB
            ),
        ):
            self.say_much(context, 1000)  # Jinja2 is loaded once
            gc.collect()
            tracemalloc.start()
            try:
                before = tracemalloc.get_traced_memory()[0]
                for number in range(700):
                    self.say_much(context, number)
                gc.collect()
                grown = tracemalloc.get_traced_memory()[0] - before
            finally:
                tracemalloc.stop()
        self.assertLessEqual(len(self.module.registry), 200)
        self.assertIn("too_many_entities", context.dropped)
        return grown

    def say_much(self, context: Broker, number: int) -> None:
        """Announce an entity in which everything is new, and as long as it may be."""
        is_long = number % 7 == 0

        def made_up(most: int) -> str:
            return (f"{number}_" * 1000)[: most if is_long else 40]

        ids = [made_up(250) + str(index) for index in range(32 if is_long else 1)]
        wide = "\N{GRINNING FACE}" * (HADISCOVERY_TEXT_CHARS if is_long else 10)
        config = sensor(
            unique_id=made_up(255),
            name=made_up(HADISCOVERY_TEXT_CHARS),
            device={"identifiers": ids, "name": made_up(255)},
            unit_of_measurement=made_up(255),
            device_class=None,
            state_topic=f"t/{number}/{made_up(400)}",
            value_template=f"{{{{ value_json.k{number} * {number} }}}}",
            payload_available=wide,
            payload_not_available=made_up(HADISCOVERY_TEXT_CHARS),
            availability=[{"topic": f"a/{number}/{each}"} for each in range(20 if is_long else 1)],
        )
        context.say(topic(made_up(400)), config)
        if number % 3 == 0:
            context.say(topic(made_up(400)), b"")
        # Beyond what a text may have: refused, and nothing is kept of it.
        too_long = f"{number}_" * 10_000
        context.say(topic("unit"), sensor(unit_of_measurement=too_long, device_class=None))
        context.say(topic(too_long), sensor())
        context.say(f"{PREFIX}/device/key/config", device(1, too_long))
        # One that changes again and again.
        ids = ["n1", *(f"{number}_{index}" for index in range(31))]
        context.say(topic("same"), sensor(unique_id="same", device={"identifiers": ids}))

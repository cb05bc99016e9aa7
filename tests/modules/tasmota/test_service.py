"""The service between the door of the agent and the decoders."""

from __future__ import annotations

import json
from pathlib import Path

from attrs import fields_dict
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.structure import structure
from metrics_agent.interfaces import IModule
from metrics_agent.limits import TASMOTA_DEVICES
from metrics_agent.modules import tasmota
from metrics_agent.modules.tasmota import MODULE
from metrics_agent.modules.tasmota.config import TasmotaSettings
from metrics_agent.testing import FakeContext
from metrics_agent.transports.mqtt.settings import MqttSettings
from tests.modules.tasmota.support import (
    MAC,
    TWO_CHANNELS,
    announcement,
    config_topic,
    make,
    read_toml,
)

POWER = b'{"Time":"2025-02-11T07:30:00","ENERGY":{"Power":1}}'
DEFAULT_FILTERS = [
    "stat/+/ENERGYTOTAL",
    "stat/+/RESULT",
    "stat/+/SENSOR",
    "stat/+/STATUS10",
    "stat/+/STATUS11",
    "stat/+/STATUS8",
    "tasmota/discovery/+/config",
    "tele/+/+/SENSOR",
    "tele/+/+/ZbReceived",
    "tele/+/LWT",
    "tele/+/SENSOR",
    "tele/+/STATE",
    "tele/+/ZbReceived",
    "tele/tasmota_ble/+",
]


class Life(SynchronousTestCase):
    """Starting and stopping."""

    def test_kind(self) -> None:
        """The registry's entry makes a module that provides IModule, and names its broker."""
        settings = TasmotaSettings(broker="broker.example", friendly_name_overrides={"a": "b"})
        self.assertTrue(IModule.providedBy(MODULE.make(settings, FakeContext())))
        self.assertEqual(list(MODULE.brokers(settings)), [settings.connection_settings()])
        hash(MODULE.brokers(settings)[0])
        self.assertIn("keep_alive", MODULE.custom_ignored)

    def test_subscribes_to_announcements_first(self) -> None:
        """One subscription a shape and subtopic; names come before what is to bear them."""
        for qos in (0, 1):
            _, context = make(qos=qos)
            self.assertEqual(context.filters(), DEFAULT_FILTERS)
            first, *others = context.subscriptions
            self.assertEqual(first.topic_filter, "tasmota/discovery/+/config")
            self.assertEqual(first.qos, 0, "a retained burst must not fill the broker's queue")
            self.assertEqual({each.qos for each in others}, {qos})

    def test_shared_group(self) -> None:
        """Agents of a group share telemetry; each of them gets all announcements."""
        _, context = make(shared_group="fleet")
        self.assertIn("$share/fleet/tele/+/SENSOR", context.filters())
        self.assertIn("tasmota/discovery/+/config", context.filters())
        context.deliver(config_topic(), announcement())
        self.assertEqual(len(context.deliver("tele/plug/SENSOR", POWER)), 1)

    def test_stop_before_start_and_twice(self) -> None:
        """Stopping is harmless before the start and the second time."""
        context = FakeContext()
        module = MODULE.make(TasmotaSettings(), context)
        module.stopService()
        module.startService()
        module.stopService()
        module.stopService()
        context.stop()
        self.assertEqual(context.reactor.getDelayedCalls(), [])


class Shapes(SynchronousTestCase):
    """One subscription for each distinct shape of topics, remembered over a restart."""

    def test_thousand_devices_of_one_shape_need_no_more_subscriptions(self) -> None:
        _, context = make()
        before = len(context.subscriptions)
        for index in range(1000):
            mac = f"{index:012X}"
            context.deliver(config_topic(mac), announcement(t=f"t{index}", mac=mac))
        self.assertEqual(len(context.subscriptions), before)

    def test_another_shape_is_subscribed_once(self) -> None:
        _, context = make()
        for mac, topic in (("A", "one"), ("B", "two")):
            context.deliver(
                config_topic(mac), announcement(t=topic, mac=mac, ft="home/%prefix%/%topic%/")
            )
        new = sorted(set(context.filters()) - set(DEFAULT_FILTERS))
        self.assertEqual(len(new), 12)
        self.assertEqual(new[-1], "home/tele/+/ZbReceived")
        self.assertEqual(len(context.subscriptions), len(DEFAULT_FILTERS) + 12)

    def test_replies_of_devices_with_setoption4(self) -> None:
        """Their topics are subscribed to once such a device is known, also from an earlier run."""
        state = Path(self.mktemp())
        module, context = make(state_dir=state)
        context.deliver(config_topic(), announcement(so={"4": 0}))
        self.assertNotIn("stat/+/POWER", context.filters())
        context.deliver(config_topic(), announcement(so={"4": 1}))
        self.assertIn("stat/+/POWER", context.filters())
        self.assertIn("stat/+/POWER8", context.filters())
        module.stopService()
        _, again = make(state_dir=state)
        self.assertIn("stat/+/POWER", again.filters())

    def test_without_setoption4_nothing_comes_twice(self) -> None:
        """Others send what is switched on the same topics too, as a text, beside RESULT."""
        _, context = make()
        context.deliver(config_topic("B"), announcement(mac="B", t="other", so={"4": 1}))
        context.deliver(config_topic(), announcement(so={"4": 0}))
        self.assertEqual(context.deliver("stat/plug/POWER", b"ON"), [])
        (metric,) = context.deliver("stat/plug/RESULT", b'{"POWER":"ON"}')
        self.assertEqual(metric.fields, {"state": True})
        self.assertEqual(context.dropped, {})

    def test_a_filter_that_covers_others_replaces_them(self) -> None:
        """A message must not come to us twice because two of our filters match it."""
        _, context = make()
        context.deliver(config_topic(), announcement(ft="%topic%/%hostname%/", t="a", hn="b"))
        self.assertIn("+/+/SENSOR", context.filters())
        self.assertNotIn("tele/+/SENSOR", context.filters())
        self.assertEqual(len(context.deliver("a/b/SENSOR", POWER)), 1)

    def test_what_a_user_filter_covers_is_not_subscribed(self) -> None:
        _, context = make(topics=("home/#",))
        context.deliver(config_topic(), announcement(ft="home/%prefix%/%topic%/"))
        self.assertEqual(
            [each for each in context.filters() if each.startswith("home")], ["home/#"]
        )
        self.assertEqual(len(context.deliver("home/tele/plug/SENSOR", POWER)), 1)

    def test_shapes_are_remembered(self) -> None:
        """After a restart the filters are there before the announcements."""
        state = Path(self.mktemp())
        state.mkdir()
        _, context = make(state_dir=state)
        context.deliver(config_topic(), announcement(ft="home/%prefix%/%topic%/"))
        context.advance(1)
        _, again = make(state_dir=state)
        self.assertIn("home/tele/+/SENSOR", again.filters())
        # The device is removed: after a minute with others its shape is forgotten.
        again.deliver(config_topic("B"), announcement(mac="B", t="other"))
        again.deliver(config_topic())
        again.advance(61)
        again.advance(3)
        _, third = make(state_dir=state)
        self.assertEqual(third.filters(), DEFAULT_FILTERS)

    def test_damaged_state(self) -> None:
        """A state file that cannot be read or written costs one warning, no start."""
        for content in (b"{", b"\xff", b'{"a":1}', b'[1,["a"],["a","b",3]]'):
            state = Path(self.mktemp())
            state.mkdir()
            (state / "topics.json").write_bytes(content)
            _, context = make(state_dir=state)
            self.assertEqual(context.filters(), DEFAULT_FILTERS)
            self.assertEqual(
                len(context.logged("warn")), 0 if content.endswith((b"1}", b"]")) else 1
            )
        state = Path(self.mktemp())
        state.write_text("a file in its place")
        _, context = make(state_dir=state)
        context.deliver(config_topic(), announcement(ft="home/%prefix%/%topic%/"))
        context.advance(1)
        (line,) = context.logged("warn")
        self.assertIn("Cannot write to the state directory", line)
        self.assertIn("home/tele/+/SENSOR", context.filters())

    def test_bad_and_too_many_topics(self) -> None:
        """What a device announces cannot subscribe us to everything, or without end."""
        _, context = make()
        context.deliver(config_topic(), announcement(ft="$share/g/%prefix%/%topic%/"))
        context.deliver(config_topic("B"), announcement(mac="B", ft="a\x01/%prefix%/%topic%/"))
        self.assertEqual(context.dropped, {"bad_topic": 2})
        self.assertEqual(context.filters(), DEFAULT_FILTERS)
        for index in range(300):
            mac = f"{index:012X}"
            context.deliver(config_topic(mac), announcement(mac=mac, ft=f"r{index}/%topic%/"))
        self.assertEqual(context.dropped["too_many_topics"], 300 + 1 - 256)
        [line] = [each for each in context.logged("warn") if "256 different" in each]
        self.assertIn("r255/+/#", line)


class Strangers(SynchronousTestCase):
    """Messages of devices that are not known."""

    def test_taken_at_once(self) -> None:
        """No message waits for an announcement; what it names afterwards has the name."""
        _, context = make()
        (metric,) = context.deliver("tele/plug/SENSOR", POWER)
        self.assertEqual(dict(metric.series.tags), {"vendor": "tasmota", "device": "plug"})
        self.assertEqual(context.deliver(config_topic(), announcement()), [])
        (metric,) = context.deliver("tele/plug/SENSOR", POWER)
        self.assertEqual(metric.series.tags["friendly"], "Plug")

    def test_other_topics_make_no_device(self) -> None:
        """Of a device that is not known only what could become a metric is looked at."""
        module, context = make(topics=("home/#",))
        self.assertEqual(context.deliver("home/tele/x/INFO1", b"{}"), [])
        self.assertFalse(module._registry.seen_any)
        context.deliver(config_topic(), announcement(ft="home/%prefix%/%topic%/"))
        self.assertEqual(context.deliver("home/tele/plug/INFO1", b"{}"), [])
        self.assertEqual((context.metrics, context.dropped), ([], {}))


class LogTests(SynchronousTestCase):
    """What a user sees in the log."""

    def test_faults_are_logged_once_a_device(self) -> None:
        """Equal faults of a device are one line, and counted each time."""
        _, context = make()
        for mac, topic in (("A", "one"), ("B", "two")):
            context.deliver(config_topic(mac), announcement(mac=mac, t=topic))
        for _ in range(3):
            for topic in ("one", "two"):
                context.deliver(f"tele/{topic}/SENSOR", b'{"CHIRP0":{"sleeping"}}')
                context.deliver(f"tele/{topic}/SENSOR", b'{"AM2301":{"Temperature":null}}')
        self.assertEqual(context.dropped, {"invalid_json": 6, "null_value": 6})
        warned = context.logged("warn")
        self.assertEqual(len(warned), 4)
        self.assertIn("one: left out a message on tele/one/SENSOR: ", warned[0])
        self.assertEqual(warned[0].count("invalid_json"), 1)
        self.assertIn("one: left out AM2301.Temperature (null_value)", warned[1])

    def test_what_has_no_field_is_a_remark(self) -> None:
        """Keys and objects that no table knows are logged so that they can be mapped."""
        _, context = make()
        context.deliver(config_topic(), announcement())
        context.deliver("tele/plug/SENSOR", b'{"WAT":{"x":1},"SML":{"E_in":1,"Foo":2}}')
        context.advance(2)
        self.assertEqual(context.dropped, {"unknown_object": 1, "unmapped_key": 2})
        self.assertEqual(context.logged("warn"), [])
        self.assertEqual(
            [text for text in context.logged("info") if "left out" in text],
            [
                "plug: left out WAT (unknown_object); counted from now on, not logged again.",
                (
                    "plug: left out WAT.x, SML.Foo (unmapped_key); counted from now on, "
                    "not logged again."
                ),
            ],
        )

    def test_every_key_without_a_field_is_named_once(self) -> None:
        """All of a message in one line, new ones of a later message in another."""
        _, context = make()
        for payload in (b'{"X":{"Humidity":1,"a":1,"b":2}}', b'{"X":{"Humidity":1,"b":2,"c":3}}'):
            for _ in range(2):
                context.deliver("tele/plug/SENSOR", payload)
        context.advance(2)
        self.assertEqual(context.dropped, {"unmapped_key": 8})
        self.assertEqual(
            [text.split(" (")[0] for text in context.logged("info") if "left out" in text],
            ["plug: left out X.a, X.b", "plug: left out X.c"],
        )

    def test_keys_that_a_device_makes_up_are_bounded(self) -> None:
        """After 64 they are counted only, so that one device does not fill the log."""
        _, context = make()
        for index in range(200):
            context.deliver("tele/plug/SENSOR", b'{"X":{"Humidity":1,"k%d":1}}' % index)
        context.advance(2)
        self.assertEqual(context.dropped, {"unmapped_key": 200})
        self.assertEqual(sum("left out" in text for text in context.logged("info")), 64)

    def test_keys_do_not_take_the_place_of_questions(self) -> None:
        """A bridge with forty plugs: the unit of each is asked for, whatever else they send."""
        _, context = make()
        for plug in range(40):
            context.deliver(
                "tele/bridge/SENSOR",
                b'{"ZbReceived":{"0x0A11":{"Device":"0x0A11","Name":"Plug%d","PowerFactor":1,'
                b'"ACFrequency":50,"CurrentSummationDelivered":5}}}' % plug,
            )
        self.assertEqual(context.dropped, {"unit_not_known": 40, "unmapped_key": 80})
        self.assertEqual(len(context.logged("warn")), 40)

    def test_bursts_are_one_line(self) -> None:
        """5,000 discovered devices are one line, and 5,000 removed ones."""
        _, context = make()
        for index in range(5000):
            mac = f"{index:012X}"
            context.deliver(config_topic(mac), announcement(mac=mac, t=f"t{index}"))
        context.advance(20)
        for index in range(5000):
            context.deliver(config_topic(f"{index:012X}"))
        context.advance(20)
        self.assertEqual(
            context.logged("info"),
            [
                "Discovered 5000 devices, the first: t0.",
                "5000 devices were removed, the first: t0.",
            ],
        )

    def test_no_device_at_all(self) -> None:
        """After a minute without any device one warning names the likely causes."""
        _, context = make(broker="broker.example")
        context.advance(59)
        self.assertEqual(context.logged("warn"), [])
        context.advance(100)
        (text,) = context.logged("warn")
        for part in ("broker.example", "60 s", "SetOption19", "FullTopic", "tasmota/discovery/#"):
            self.assertIn(part, text)

    def test_a_token_is_not_logged(self) -> None:
        """The query of a broker's address may be a secret."""
        _, context = make(broker="wss://broker.example/mqtt?token=geheim", silent_after=1)
        context.advance(1)
        (text,) = context.logged("warn")
        self.assertIn("wss://broker.example:443/mqtt.", text)
        self.assertNotIn("geheim", text)

    def test_no_warning_when_something_was_seen(self) -> None:
        """Neither an announcement nor a message of a stranger counts as silence."""
        for topic, payload in ((config_topic(), announcement()), ("tele/plug/SENSOR", POWER)):
            _, context = make(silent_after=2)
            context.deliver(topic, payload)
            context.advance(2)
            context.advance(60)
            self.assertEqual(context.logged("warn"), [])
        _, context = make(silent_after=0)
        context.advance(1000)
        self.assertEqual(context.logged("warn"), [])

    def test_two_devices_with_one_topic(self) -> None:
        """It is said, the later one has the topic, and the removal of the other leaves it."""
        _, context = make()
        context.deliver(config_topic("A"), announcement(mac="A", fn=["One"]))
        context.deliver(config_topic("B"), announcement(mac="B", fn=["Two"]))
        self.assertIn("Devices B and A have the same topic 'plug'", context.logged("warn")[0])
        context.deliver(config_topic("A"))
        (metric,) = context.deliver("tele/plug/SENSOR", POWER)
        self.assertEqual(metric.series.tags["friendly"], "Two")
        context.deliver(config_topic("A"))

    def test_unreadable_announcement(self) -> None:
        _, context = make()
        context.deliver(config_topic(), b"{")
        self.assertEqual(context.dropped, {"invalid_json": 1})
        self.assertIn(MAC, context.logged("warn")[0])

    def test_too_many_devices(self) -> None:
        """The number of devices has a bound."""
        module, context = make()
        module._registry._by_mac.update({str(index): None for index in range(TASMOTA_DEVICES)})
        for _ in range(2):
            context.deliver(config_topic(), announcement())
        self.assertEqual(context.dropped, {"too_many_devices": 2})
        (line,) = context.logged("warn")
        self.assertIn(MAC, line)


class ChannelTotals(SynchronousTestCase):
    """The counters of channels, asked for over MQTT."""

    def setUp(self) -> None:
        self.module, self.context = make()
        self.context.deliver(config_topic(), announcement())

    def send(self, total: int) -> None:
        self.context.deliver("tele/plug/SENSOR", TWO_CHANNELS % total)

    def asked(self) -> list[tuple[str, bytes]]:
        return [(each.topic, each.payload) for each in self.context.published]

    def test_with_an_empty_payload(self) -> None:
        """A payload would set the counter."""
        self.send(5)
        self.assertEqual(self.asked(), [("cmnd/plug/EnergyTotal", b"")])

    def test_only_if_the_sum_changed_and_once_a_minute(self) -> None:
        for total, after_s, count in ((5, 0, 1), (6, 59, 1), (6, 1, 2), (6, 600, 2), (7, 0, 3)):
            self.context.advance(after_s)
            self.send(total)
            self.assertEqual(len(self.context.published), count, (total, after_s))

    def test_once_a_minute_also_for_a_device_that_announces_itself_again(self) -> None:
        """An announcement after the first message, or a changed one, does not start it over."""
        _, context = make()
        for total in (5, 6):
            context.deliver("tele/plug/SENSOR", TWO_CHANNELS % total)
        for name in ("One", "Two"):
            context.deliver(config_topic(), announcement(fn=[name]))
            context.advance(1)
            context.deliver("tele/plug/SENSOR", TWO_CHANNELS % 7)
        self.assertEqual(len(context.published), 1)
        context.advance(60)
        context.deliver("tele/plug/SENSOR", TWO_CHANNELS % 7)
        self.assertEqual(len(context.published), 2)

    def test_not_where_the_message_tells(self) -> None:
        """Neither with one channel, nor with SetOption129 1, nor for a reply to STATUS 10."""
        for payload in (
            b'{"ENERGY":{"Total":5,"Power":1},"BME280":{"Temperature":20}}',
            b'{"ENERGY":{"Total":[5,6],"Power":[1,2]}}',
            b'{"ENERGY":{"Power":[1,2]}}',
            b'{"ENERGY":{"Total":null,"Power":[1,2]}}',
            b'{"BME280":{"Temperature":20},"BMP280":{"Temperature":20}}',
        ):
            self.context.deliver("tele/plug/SENSOR", payload)
        self.context.deliver("stat/plug/STATUS10", b'{"StatusSNS":%b}' % (TWO_CHANNELS % 5))
        self.assertEqual(self.asked(), [])

    def test_asked_again_when_the_broker_was_away(self) -> None:
        self.context.connected = False
        self.send(5)
        self.context.connected = True
        self.send(5)
        self.assertEqual(len(self.asked()), 1)

    def test_not_after_the_device_refused(self) -> None:
        """Before 9.5.0.5 the command is unknown; that reply counts only right after asking."""
        self.context.deliver("stat/plug/RESULT", b'{"Command":"Unknown"}')
        self.send(5)
        self.context.advance(1)
        self.context.deliver("stat/plug/RESULT", b'{"Command":"Unknown"}')
        self.context.advance(100)
        self.send(6)
        self.assertEqual(len(self.asked()), 1)
        self.assertIn("plug does not know EnergyTotal", "".join(self.context.logged("info")))

    def test_stranger(self) -> None:
        """A device that did not announce itself is asked where its shape says how."""
        _, context = make(topics=("garden/#",))
        for topic in ("tele/x/SENSOR", "garden/tele/y/SENSOR"):
            context.deliver(topic, TWO_CHANNELS % 5)
        self.assertEqual([each.topic for each in context.published], ["cmnd/x/EnergyTotal"])

    def test_turned_off(self) -> None:
        _, context = make(request_channel_totals=False)
        context.deliver(config_topic(), announcement())
        context.deliver("tele/plug/SENSOR", TWO_CHANNELS % 5)
        self.assertEqual(context.published, [])


class Settings(SynchronousTestCase):
    """What the settings' own check finds."""

    def test_faults(self) -> None:
        """Wrong topics and meters are named with their keys."""
        settings = TasmotaSettings(
            broker=(),
            discovery_prefix="tasmota/+",
            topics=("home/%prefix%/%topic%/", "a/#/b"),
            meters={"Strom": {"a": "power", "b": "powr", "c": "power kg", "d": "power@x"}},
        )
        self.assertEqual(
            [fault.path for fault in settings.check()],
            ["broker", "discovery_prefix", "topics[1]", *(f"meters.Strom.{key}" for key in "bcd")],
        )

    def test_right(self) -> None:
        self.assertEqual(list(TasmotaSettings().check()), [])

    def test_state_file_is_json(self) -> None:
        """The remembered shapes are readable by users."""
        state = Path(self.mktemp())
        state.mkdir()
        _, context = make(state_dir=state)
        context.deliver(config_topic(), announcement(ft="home/%prefix%/%topic%/"))
        context.advance(1)
        self.assertEqual(
            json.loads((state / "topics.json").read_text("utf-8")),
            [["cmnd/+", "stat/+", "tele/+"], ["home/cmnd/+", "home/stat/+", "home/tele/+"]],
        )


class Readme(SynchronousTestCase):
    """The module's README."""

    def test_its_configuration_is_right(self) -> None:
        """The sample has every setting of the module and no fault."""
        readme = Path(tasmota.__file__).with_name("README.md").read_text("utf-8")
        sample = readme.split("```toml\n")[1].split("```")[0]
        raw = read_toml(sample)["modules"]["tasmota"]
        self.assertTrue(raw.pop("enabled"))
        found = structure(TasmotaSettings, raw)
        self.assertEqual(found.faults, ())
        own = set(fields_dict(TasmotaSettings)) - set(fields_dict(MqttSettings))
        self.assertEqual(own - set(raw), set())

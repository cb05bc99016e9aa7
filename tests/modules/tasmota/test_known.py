"""Devices that are known after a restart, without an announcement."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import PayloadError
from metrics_agent.limits import STATE_FILE_BYTES, TASMOTA_REMEMBERED_DEVICES
from metrics_agent.modules.tasmota import known
from metrics_agent.modules.tasmota.discovery import DeviceConfig, parse_config
from metrics_agent.modules.tasmota.service import TasmotaModule
from metrics_agent.testing import FakeContext
from tests.modules.tasmota.support import MAC, announcement, config_topic, make

POWER = b'{"ENERGY":{"Power":1}}'
NAMES = st.text(max_size=20)
TOPICS = st.text("ab0_/%", min_size=1, max_size=12)
ANNOUNCEMENTS = st.fixed_dictionaries(
    {"t": TOPICS, "dn": NAMES, "fn": st.lists(st.none() | NAMES, max_size=4)},
    optional={
        "ft": st.sampled_from(("%prefix%/%topic%/", "%hostname%/%prefix%", "home/%id%/%prefix%/")),
        "hn": st.text("abc", max_size=5),
        "mac": st.sampled_from((MAC, "", "B4CF12C0FFEE")),
        "tp": st.lists(st.sampled_from(("cmnd", "befehl", "x")), min_size=2, max_size=3),
        "onln": NAMES,
        "ofln": NAMES,
        "state": st.lists(NAMES, max_size=3),
        "dslp": st.sampled_from((0, 1)),
    },
)


def friendly(context: FakeContext, topic: str = "plug") -> str | None:
    """Return the name in a point of a device; None if there is none."""
    (metric,) = context.deliver(f"tele/{topic}/SENSOR", POWER)
    return metric.series.tags.get("friendly")


class Documents(SynchronousTestCase):
    """What the file has of a device."""

    @given(ANNOUNCEMENTS)
    def test_read_back_as_it_was(self, changes: dict[str, Any]) -> None:
        """A device is the same after a restart, whatever it announced."""
        try:
            config = parse_config(announcement(**changes))
        except PayloadError:
            return
        text = json.dumps(known._to_document(MAC, config))
        self.assertEqual(known._of_document(MAC, json.loads(text)), config)

    def test_ordinary_one_is_short(self) -> None:
        """Ten thousand devices fit into the file: what most have in common is left out."""
        name = "Lamp in kitchen"
        config = parse_config(announcement(t="tasmota_C0FFEE", fn=[name, None], dn=name))
        text = json.dumps({MAC: known._to_document(MAC, config)})
        self.assertEqual(text, f'{{"{MAC}": {{"t": "tasmota_C0FFEE", "fn": ["{name}"]}}}}')
        self.assertLess(len(text), STATE_FILE_BYTES / 10_000)


class KnownCase(SynchronousTestCase):
    """With a state directory."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp())
        self.state.mkdir()
        self.file = self.state / "devices.json"

    def start(self, **options: Any) -> tuple[TasmotaModule, FakeContext]:
        return make(state_dir=self.state, **options)

    def kept(self) -> list[str]:
        return list(json.loads(self.file.read_text("utf-8")))


class Restart(KnownCase):
    """Over a restart."""

    def test_names_need_no_announcement(self) -> None:
        """After a kill too: no stop is needed to save."""
        for stop in (False, True):
            module, context = self.start()
            context.deliver(config_topic(), announcement(fn=[f"Name {stop}"]))
            if stop:
                module.stopService()
            else:
                context.advance(2)
            _, again = self.start()
            self.assertEqual(friendly(again), f"Name {stop}")

    def test_other_topics_need_no_announcement(self) -> None:
        """A device with another FullTopic is subscribed to, also where only this file is left."""
        module, context = self.start()
        context.deliver(config_topic(), announcement(ft="home/%prefix%/%topic%/"))
        module.stopService()
        (self.state / "topics.json").unlink()
        _, again = self.start()
        self.assertIn("home/tele/+/SENSOR", again.filters())

    def test_announcement_wins(self) -> None:
        module, context = self.start()
        context.deliver(config_topic(), announcement(fn=["Old"]))
        module.stopService()
        module, context = self.start()
        context.deliver(config_topic(), announcement(fn=["New"]))
        self.assertEqual(friendly(context), "New")
        module.stopService()
        _, context = self.start()
        self.assertEqual(friendly(context), "New")

    def test_removed_device(self) -> None:
        """An empty announcement removes it from the file."""
        module, context = self.start()
        context.deliver(config_topic(), announcement())
        context.deliver(config_topic("B"), announcement(mac="B", t="other"))
        context.advance(2)
        self.assertEqual(self.kept(), ["B", MAC])
        context.deliver(config_topic())
        context.advance(59)
        self.assertEqual(self.kept(), ["B", MAC])
        context.advance(1)
        self.assertEqual(self.kept(), ["B"])
        context.deliver(config_topic("B"))
        module.stopService()
        self.assertEqual(self.kept(), [])

    def test_nothing_new_is_not_written(self) -> None:
        """A start at which all devices say what they said before leaves the file alone."""
        module, context = self.start()
        context.deliver(config_topic(), announcement())
        module.stopService()
        self.file.write_bytes(self.file.read_bytes() + b" ")
        module, context = self.start()
        context.deliver(config_topic(), announcement(), retain=True)
        context.advance(100)
        module.stopService()
        self.assertTrue(self.file.read_bytes().endswith(b" "))

    def test_discovered_and_seen_in_this_run(self) -> None:
        """A device that is remembered was not seen: the log says when it is, and when none is."""
        module, context = self.start()
        context.deliver(config_topic(), announcement())
        module.stopService()
        _, silent = self.start()
        silent.advance(60)
        self.assertIn("No Tasmota device was seen", silent.logged("warn")[0])
        _, heard = self.start()
        heard.deliver("tele/plug/SENSOR", POWER)
        heard.advance(60)
        _, announced = self.start()
        announced.deliver(config_topic(), announcement())
        announced.advance(60)
        self.assertEqual(heard.logged("warn") + announced.logged("warn"), [])
        self.assertEqual(announced.logged("info"), ["Discovered device plug."])

    def test_replaced_hardware(self) -> None:
        """The topic of a device that is only remembered is another's, without a warning."""
        module, context = self.start()
        context.deliver(config_topic(), announcement(fn=["Old"]))
        module.stopService()
        for _ in range(2):
            module, context = self.start()
            context.deliver(config_topic("B"), announcement(mac="B", fn=["New"]))
            self.assertEqual(friendly(context), "New")
            self.assertEqual(context.logged("warn"), [])
            module.stopService()
        _, context = self.start()
        self.assertEqual(friendly(context), "New")

    def test_silent_devices_are_forgotten_after_a_day(self) -> None:
        """What is gone, or was made up, does not take room for good; its FullTopic neither."""
        module, context = self.start(silent_after=0)
        for mac in ("gone", "sends", "announced"):
            texts = {"mac": mac, "t": mac, "ft": f"{mac}/%prefix%/%topic%/"}
            context.deliver(config_topic(mac), announcement(**texts))
        module.stopService()
        module, context = self.start(silent_after=0)
        context.deliver("sends/tele/sends/SENSOR", POWER)
        context.deliver(
            config_topic("announced"),
            announcement(mac="announced", t="announced", ft="announced/%prefix%/%topic%/"),
        )
        context.advance(known.FORGET_AFTER_S - 1)
        context.advance(1)
        context.advance(60)
        self.assertEqual(sorted(self.kept()), ["announced", "sends"])
        _, context = self.start()
        self.assertEqual(
            [each for each in context.filters() if each.endswith("tele/+/SENSOR")],
            ["announced/tele/+/SENSOR", "sends/tele/+/SENSOR", "tele/+/SENSOR"],
        )


class Bounds(KnownCase):
    """Number, bytes and time."""

    def announce(self, context: FakeContext, count: int, **changes: Any) -> None:
        for index in range(count):
            mac = f"{index:012X}"
            context.deliver(config_topic(mac), announcement(mac=mac, t=f"t{index}", **changes))

    def test_bytes(self) -> None:
        """As many as fit, those that announced themselves last; the file is a whole one."""
        module, context = self.start()
        self.announce(context, 100, fn=["ü\n\U0001f600" * 40] * 32)
        module.stopService()
        self.assertLessEqual(self.file.stat().st_size, STATE_FILE_BYTES)
        kept = self.kept()
        self.assertGreater(len(kept), 30)
        self.assertEqual(kept, [f"{100 - index:012X}" for index in range(1, 1 + len(kept))])
        self.assertEqual([line for line in context.logged("warn") if "State" in line], [])

    def test_number(self) -> None:
        module, _ = self.start()
        config = parse_config(announcement(fn=[], dn=""))
        count = TASMOTA_REMEMBERED_DEVICES + 100
        for index in range(count):
            module._registry.restore(f"{index:X}", config)
        module._known.note_change()
        module.stopService()
        self.assertLess(self.file.stat().st_size, STATE_FILE_BYTES)
        self.assertEqual(len(self.kept()), TASMOTA_REMEMBERED_DEVICES)
        self.assertEqual(self.kept()[0], f"{count - 1:X}")
        self.file.write_text(json.dumps({f"{index:X}": {"t": "a"} for index in range(40_000)}))
        module, _ = self.start()
        self.assertEqual(len(module._registry), TASMOTA_REMEMBERED_DEVICES)

    def test_slices(self) -> None:
        """Neither to read nor to write a fleet keeps the reactor for long."""
        turns: list[int] = []

        def slow(call: Callable[..., Any]) -> Callable[..., Any]:
            """Take a millisecond, in which each turn that is due begins."""

            def slowly(*args: Any) -> Any:
                turns[-1] += 1
                context.reactor.rightNow += 0.001
                return call(*args)

            return slowly

        def defer_later(clock: Any, delay_s: float) -> Any:
            turns.append(0)
            return deferLater(clock, delay_s)

        self.patch(known, "deferLater", defer_later)
        self.patch(known, "_to_document", slow(known._to_document))
        self.patch(known, "_of_document", slow(known._of_document))
        module, context = self.start()
        self.announce(context, 200)
        turns.append(0)
        context.advance(2)
        self.assertEqual(turns, [32] * 6 + [8])
        module.stopService()
        turns[:] = [0]
        context = FakeContext(state_dir=self.state)
        module = TasmotaModule(module._settings, context)
        started = module.startService()
        self.assertNoResult(started)
        context.advance(0)
        while turns[-1] == known._DEVICES_A_LOOK:
            context.advance(0)
        self.successResultOf(started)
        self.assertEqual(turns, [32] * 6 + [8])
        self.assertEqual(len(module._registry), 200)

    def test_stop_while_restoring(self) -> None:
        """What was not restored yet stays in the file."""
        module, context = self.start()
        self.announce(context, 100)
        module.stopService()
        before = self.file.read_bytes()
        context = FakeContext(state_dir=self.state)
        module = TasmotaModule(module._settings, context)
        self.patch(known, "_SLICE_S", 0)
        self.assertNoResult(module.startService())
        self.announce(context, 1, fn=["New"])
        module.stopService()
        context.stop()
        self.assertEqual(self.file.read_bytes(), before)
        self.assertEqual(context.reactor.getDelayedCalls(), [])

    def test_stop_while_saving(self) -> None:
        """What was to be saved is."""
        module, context = self.start()
        self.announce(context, 100)
        self.patch(known, "_SLICE_S", 0)
        self.patch(known, "deferLater", lambda _clock, _delay_s: Deferred())
        context.advance(2)
        self.assertFalse(self.file.exists())
        module.stopService()
        context.stop()
        self.assertEqual(len(self.kept()), 100)


class Damage(KnownCase):
    """A file that holds something else than what was written."""

    def test_one_log_line(self) -> None:
        """Each costs one warning, no start, and no device that an announcement could not make."""
        good = {"t": "plug", "fn": ["Plug"]}
        many = {f"{index}": {"t": "x" * 300} for index in range(1000)}
        for content in (
            b"{",
            b"\xff",
            b"[" * 100_000,
            b"[1]",
            b'"text"',
            b'{"A":1}',
            b'{"A":{}}',
            b'{"A":{"t":1}}',
            b'{"A":{"t":"plug","ver":2}}',
            b'{"A":{"t":"a\\u0000b"}}',
            b'{"A":{"t":"plug","ft":"$share/g/%prefix%/%topic%/"}}',
            b'{"A":{"t":"/%b"}}' % b"/".join([b"x"] * 100),
            b'{"A":{"t":"a","tp":["c","s","\\ud800"]}}',
            json.dumps({"x" * 1000: good}).encode(),
            json.dumps(many).encode(),
            b'{"A":{"t":"plug","fn":["%b"]}}' % (b"x" * STATE_FILE_BYTES),
        ):
            self.file.write_bytes(content)
            module, context = self.start()
            (line,) = context.logged("warn")
            self.assertIn("devices.json", line)
            self.assertLess(len(line), 600, content[:40])
            self.assertEqual(len(module._registry), 0)
            self.assertIn("tele/+/SENSOR", context.filters())
            context.stop()

    def test_what_is_usable_is_used(self) -> None:
        """One bad device costs itself only; names are cut, odd types are absent."""
        odd = {"t": "odd", "fn": ["x" * 1000, 7], "dn": 5, "state": "no", "tp": [1], "mac": []}
        self.file.write_text(json.dumps({"A": [], "B": odd, "C": {"t": "plug", "fn": {}}}))
        module, context = self.start()
        (line,) = context.logged("warn")
        self.assertIn("1 devices", line)
        self.assertIn("A: not_an_object", line)
        config = module._registry.get("B").config
        self.assertEqual(config.friendly_names, ("x" * 128,))
        self.assertEqual(config.prefixes, DeviceConfig("x").prefixes)
        self.assertIsNone(friendly(context))

"""The decoders' work grows with the size of a message, not with its square."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import PayloadError
from metrics_agent.json_payload import loads
from metrics_agent.modules.tasmota.decode import decode_document
from metrics_agent.modules.tasmota.device import Device, DeviceNaming
from metrics_agent.modules.tasmota.discovery import parse_config
from tests.cpu_time import cpu_s
from tests.fuzz.long_texts import LIMITS
from tests.modules.tasmota.support import announcement

SMALL: Final = 1 << 17
LARGE: Final = 1 << 20
QUIET_S: Final = 0.1
"""A time that is short enough, whatever the ratio; in one message of 64 KiB it is a sixteenth."""
RATIO: Final = 3 * LARGE // SMALL

# Pieces that were, or could be, bad for a regular expression or a loop.
PIECES: Final = ("1", "1_", "A1", "\\", '"dn":"', '","fn":[', "/", "+/", "%topic%", "\n", "é")
DEVICE: Final = Device("plug", DeviceNaming({}))
DOCUMENTS: Final[tuple[Callable[[str], dict[str, object]], ...]] = (
    lambda text: {text: {"Temperature": 1}},
    lambda text: {text + "x": {text + "x": 1, "Power": 1}},
    lambda text: {"ANALOG" + text: {text: 1, text + "x": 2}},
    lambda text: {"ANALOG": {text: 1, text + "x": 2, "Temperature" + text: 1}},
    lambda text: {"ENERGY": {text: 1, "Pv" + text: 2, "Total": {text: 1}}},
    lambda text: {text: "ON", "Time": text, "Epoch": text, "TempUnit": text},
    lambda text: {"SML": {"E_in": text, text: 1}, "AM2301": {"Temperature": text}},
    lambda text: {"SML": {"E_in": 1, text: 1, "1-0:" + text: 2, text + "_max": 3}},
    lambda text: {"ZbReceived": {text: {"Device": text, text: 1}}},
)
MANY: Final[tuple[Callable[[int], dict[str, object]], ...]] = (
    lambda count: {f"S{index}": {"Temperature": 1} for index in range(count)},
    lambda count: {f"S{index}": "ON" for index in range(count)},
    lambda count: {"DS18B20": {f"k{index}": 1 for index in range(count)}},
    lambda count: {"SML": {"E_in": 1, **{f"k{index}": 1 for index in range(count)}}},
    lambda count: {"ENERGY": {f"k{index}": 1 for index in range(count)}},
    lambda count: {"ENERGY": {f"k{index}": {"Temperature": 1} for index in range(count)}},
    lambda count: {"ZbReceived": {f"k{index}": {"Temperature": 1} for index in range(count)}},
)


def ignore(_reason: str, _where: str) -> None:
    """Take what is left out."""


class LinearWork(SynchronousTestCase):
    """Messages of 1 MiB, as if there were no limit on them and their texts."""

    def setUp(self) -> None:
        for module, name in LIMITS:
            self.patch(module, name, 1 << 30)

    def check(self, work: Callable[[int], Callable[[], object]]) -> None:
        """Compare two sizes, as often as it takes for a busy machine to let both run."""
        for _ in range(4):
            small_s, large_s = cpu_s(work(SMALL)), cpu_s(work(LARGE))
            if large_s < max(QUIET_S, RATIO * small_s):
                return
        self.fail(f"{large_s:.3f} s for {LARGE} bytes, {small_s:.3f} s for {SMALL}")

    def test_long_texts(self) -> None:
        """Names and values of any length."""
        for piece in PIECES:
            for document in DOCUMENTS:
                self.check(lambda size, piece=piece, of=document: self.decode(of, piece, size))

    def decode(
        self, document: Callable[[str], dict[str, object]], piece: str, size: int
    ) -> Callable[[], object]:
        found = document(piece * (size // len(piece)))
        return lambda: decode_document(found, DEVICE, 1, ignore, {})

    def test_many_members(self) -> None:
        """As many objects and keys as fit into a message."""
        for document in MANY:

            def work(
                size: int, of: Callable[[int], dict[str, object]] = document
            ) -> Callable[[], object]:
                payload = json.dumps(of(size // 24)).encode()
                return lambda: decode_document(loads(payload), DEVICE, 1, ignore, {})

            self.check(work)

    def test_announcements(self) -> None:
        """Each text of an announcement, and what is not JSON."""
        for piece in PIECES:
            self.check(lambda size, piece=piece: self.announce(piece * (size // len(piece))))

    def announce(self, text: str) -> Callable[[], object]:
        changes: list[dict[str, object]] = [
            {key: text} for key in ("t", "dn", "hn", "mac", "ft", "onln", "ofln")
        ]
        changes += [{"fn": [text]}, {"tp": [text] * 3}, {"state": [text] * 2}]
        payloads = [announcement(**change) for change in changes]
        payloads += [text.encode(), b'{"dn":"' + text.encode()]

        def read() -> None:
            for payload in payloads:
                with contextlib.suppress(PayloadError):
                    parse_config(payload)

        return read

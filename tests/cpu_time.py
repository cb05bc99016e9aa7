"""CPU time to compare with a limit, on a slow machine and where coverage is measured as well."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from metrics_agent.json_payload import loads
from metrics_agent.modules.tasmota.decode import decode_document
from metrics_agent.modules.tasmota.device import Device, DeviceNaming

TRIES: Final = 3
_MESSAGES: Final = 100
_YARDSTICK_S: Final = 0.0016
"""CPU time of the yardstick where the limits of the tests were chosen."""
_DEVICE: Final = Device("plug", DeviceNaming({}))
_PAYLOAD: Final = b'{"Time":"2025-02-11T07:30:00","AM2301":{"Temperature":21.5,"Humidity":40}}'


def cpu_s(call: Callable[[], object]) -> float:
    """Return the CPU time of a call, in seconds."""
    began_s = time.thread_time()
    call()
    return time.thread_time() - began_s


def scaled_s(taken_s: float) -> float:
    """Return what a time just measured would be where the limits were chosen.

    The yardstick is code of the package, so whatever slows that slows it as well.
    """
    yardstick_s = min(cpu_s(_decode_messages) for _ in range(TRIES))
    return taken_s * min(1.0, _YARDSTICK_S / yardstick_s)


def least_s(measure: Callable[[], float]) -> float:
    """Return the least scaled time of some measurements: others use the machine too."""
    return min(scaled_s(measure()) for _ in range(TRIES))


def _decode_messages() -> None:
    for _ in range(_MESSAGES):
        decode_document(loads(_PAYLOAD), _DEVICE, 1, _ignore, {})


def _ignore(_reason: str, _where: str) -> None:
    """Take what is left out."""

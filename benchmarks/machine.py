"""What a measurement was taken on, and with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.broker import BASE_SETTINGS
from benchmarks.subjects import Subject

__all__ = ["describe", "load_average"]

_PACKAGES: Final = ("Twisted", "paho-mqtt", "orjson", "attrs", "influxdb-client")


def describe(subjects: Sequence[Subject], brokers: Sequence[str]) -> dict[str, str]:
    """Return names and values for the head of the table.

    Args:
        brokers: the versions of mosquitto.
        subjects: whose versions to name, those that are installed.
    """
    found = {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "mosquitto": f"{', '.join(brokers)} ({', '.join(BASE_SETTINGS)})",
    }
    found |= {package: _version(package) for package in _PACKAGES}
    for subject in subjects:
        if not subject.missing():
            found[subject.name] = subject.version()
    return found


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def load_average() -> float:
    """Return the load of the last minute: near 0 on a machine that does nothing else."""
    return os.getloadavg()[0]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()

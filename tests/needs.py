"""What tests need that `./run-tests` does not install, and how to install each.

A test that needs something of it calls `find` or `require`, or has ``skip = missing(NAME)``. The
reason of such a skip is "NAME is not installed", and the last lines of a run say what to install.

    python3 -m tests.needs

prints the Debian packages, for CI. It runs before any Python package is installed.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from unittest import SkipTest

__all__ = ["NEEDS", "Need", "debian_packages", "find", "missing", "missing_name", "require"]

_DIRECTORIES = "/usr/sbin:/usr/local/sbin:/sbin"
"""Of programs, besides PATH: an ordinary user's has no sbin on Debian."""


class Need(NamedTuple):
    """Something that tests need.

    Attributes:
        files: programs to be found on PATH, or patterns of absolute paths; all must be there.
        packages: of Debian that bring it, separated by spaces.
        modules: Python modules that must be there.
        how: to install what is not a Debian package.
    """

    files: tuple[str, ...] = ()
    packages: str = ""
    modules: tuple[str, ...] = ()
    how: str = ""

    def instruction(self) -> str:
        """Return how to install it, as a command if there is one."""
        return self.how or f"apt install {self.packages}"


_TEST_EXTRA = "pip install '.[test]'"

NEEDS = {
    "mosquitto": Need(
        ("mosquitto", "mosquitto_passwd", "mosquitto_pub", "mosquitto_sub"),
        "mosquitto mosquitto-clients",
    ),
    "mosquitto-debian13": Need(
        ("mosquitto-debian13",), how='PATH="$(.ci/mosquitto-debian13):$PATH" in a checkout'
    ),
    "mosquitto-dynamic-security": Need(
        ("/usr/lib/*/mosquitto_dynamic_security.so", "mosquitto_ctrl"),
        "mosquitto mosquitto-clients",
    ),
    "telegraf": Need(("telegraf",), how="https://docs.influxdata.com/telegraf/v1/install/"),
    "influxdb": Need(("influxd",), "influxdb"),
    "victoria-metrics": Need(
        ("victoria-metrics",),
        how="go install github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics@v1.148.0",
    ),
    "vmalert": Need(
        ("vmalert",),
        how="go install github.com/VictoriaMetrics/VictoriaMetrics/app/vmalert@v1.148.0",
    ),
    "rtl_433": Need(("rtl_433", "/usr/share/doc/rtl-433/examples/rtl_433_mqtt_hass.py"), "rtl-433"),
    **{
        name: Need((file,), how='PATH="$(.ci/publishers):$PATH" in a checkout')
        for name, file in (
            ("ecowitt2mqtt", "ecowitt2mqtt"),
            ("theengs-gateway", "TheengsGateway"),
            ("zigbee2mqtt", "zigbee2mqtt"),
        )
    },
    "chromium": Need(("chromium", "chromedriver"), "chromium chromium-driver"),
    "systemd": Need(("systemctl", "systemd-analyze", "/lib/systemd/systemd"), "systemd"),
    "procps": Need(("/bin/kill",), "procps"),
    "curl": Need(("curl",), "curl"),
    "util-linux": Need(("flock", "nsenter", "setpriv", "unshare"), "util-linux"),
    "debootstrap": Need(("debootstrap",), "debootstrap"),
    "iproute2": Need(("ip",), "iproute2"),
    "libfaketime": Need(("/usr/lib/*/faketime/libfaketimeMT.so.1",), "faketime"),
    "shellcheck": Need(("shellcheck",), "shellcheck"),
    "python3-venv": Need(("/usr/lib*/python3*/ensurepip",), "python3-venv"),
    "amqtt": Need(modules=("amqtt",), how=_TEST_EXTRA),
    "orjson": Need(modules=("orjson",), how=_TEST_EXTRA),
    "selenium": Need(modules=("selenium",), how=_TEST_EXTRA),
    "grafana-foundation-sdk": Need(modules=("grafana_foundation_sdk",), how=_TEST_EXTRA),
    "PyYAML": Need(modules=("yaml",), how=_TEST_EXTRA),
    "pyOpenSSL": Need(modules=("OpenSSL",), how=_TEST_EXTRA),
}
"""By the name that a skip has."""


def find(name: str, file: str = "") -> str:
    """Return the path of a file of what a test needs.

    Args:
        name: of NEEDS.
        file: one of its files; the first by default.

    Raises:
        SkipTest: a part of it is not there.
    """
    require(name)
    path = _path(file or NEEDS[name].files[0])
    assert path is not None
    return path


def require(*names: str) -> None:
    """Skip the test unless all of these are installed.

    Raises:
        SkipTest: one is not there.
    """
    for name in names:
        reason = missing(name)
        if reason is not None:
            raise SkipTest(reason)


def missing(name: str) -> str | None:
    """Return the reason to skip a test for, None if what it needs is there."""
    need = NEEDS[name]
    there = all(map(_path, need.files)) and all(map(find_spec, need.modules))
    return None if there else f"{name} is not installed"


def missing_name(reason: str) -> str | None:
    """Return what is not installed if that is the reason of a skip."""
    match = re.fullmatch(r"(\S+) is not installed", reason)
    return match[1] if match and match[1] in NEEDS else None


def debian_packages(needs: Iterable[Need] = NEEDS.values()) -> list[str]:
    """Return the Debian packages that bring all of it."""
    return [package for need in needs for package in need.packages.split()]


def _path(file: str) -> str | None:
    if file.startswith("/"):
        return next(map(str, Path("/").glob(file[1:])), None)
    return shutil.which(file) or shutil.which(file, path=_DIRECTORIES)


if __name__ == "__main__":
    sys.stdout.write("\n".join(debian_packages()) + "\n")

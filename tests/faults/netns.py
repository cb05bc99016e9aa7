"""A second host on this machine: a network namespace, joined to us by a pair of interfaces.

Needs root and iproute2. Its addresses belong to the test alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.needs import find

__all__ = ["Host"]


class Host:
    """A host with one link to us; ends with the test.

    Attributes:
        prefix: in front of a command that shall run there.
        our_address: ours, as seen from there.
    """

    def __init__(self, case: SynchronousTestCase) -> None:
        if os.getuid() != 0:
            raise SkipTest("network namespaces need root")
        find("iproute2")
        number = os.getpid() % 10_000
        self._name = f"ma-{number}"
        self._ours, theirs = f"ma{number}a", f"ma{number}b"
        self.our_address = f"10.213.{number % 250}.1"
        self._case = case
        if self._run("netns", "add", self._name, check=False) != 0:
            raise SkipTest("network namespaces are not allowed on this machine")
        case.addCleanup(self._run, "netns", "del", self._name, check=False)
        self._run("link", "add", self._ours, "type", "veth", "peer", "name", theirs)
        case.addCleanup(self._run, "link", "del", self._ours, check=False)
        self._run("link", "set", theirs, "netns", self._name)
        self._run("addr", "add", f"{self.our_address}/30", "dev", self._ours)
        self._run("link", "set", self._ours, "up")
        inside = ("-n", self._name)
        self._run(*inside, "addr", "add", f"10.213.{number % 250}.2/30", "dev", theirs)
        self._run(*inside, "link", "set", theirs, "up")
        self._run(*inside, "link", "set", "lo", "up")
        self.prefix = [find("iproute2"), "netns", "exec", self._name]

    def name_server(self, address: str) -> None:
        """Have the programs there ask this address for names."""
        directory = Path("/etc/netns") / self._name
        directory.mkdir(parents=True)
        self._case.addCleanup(shutil.rmtree, directory)
        (directory / "resolv.conf").write_text(f"nameserver {address}\n")

    def cut(self) -> None:
        """Take the link down: nothing arrives, and no one is notified."""
        self._run("link", "set", self._ours, "down")

    def mend(self) -> None:
        """Take it up again."""
        self._run("link", "set", self._ours, "up")

    def _run(self, *words: str, check: bool = True) -> int:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"ip {' '.join(words)}: {done.stderr}")
        return done.returncode

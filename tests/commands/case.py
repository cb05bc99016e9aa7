"""Configuration files, and what a command writes."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from unittest import mock

import twisted.internet
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import search

GOOD = '[modules.demo]\nenabled = true\ninterval = "1s"\n'
FAULTY = '[modules.demo]\nenabled = true\ninterval = "soon"\n'
GLOBAL_FAULT = 'log_level = "loud"\nunheard = 1\n'
NOTHING = "[modules.demo]\nenabled = false\n"


class CommandCase(SynchronousTestCase):
    """Has a directory of its own, and stdout and stderr that can be read."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.stdout = io.StringIO()
        self.stderr = io.StringIO()
        self.patch(sys, "stdout", self.stdout)
        self.patch(sys, "stderr", self.stderr)
        # The state directory is the test's own: one of this machine may belong to another user,
        # which is worth a warning.
        self.patch(os, "environ", {**os.environ, "STATE_DIRECTORY": str(self.directory)})

    def write(self, text: str, name: str = "agent.toml") -> str:
        """Write a file; return its path."""
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        return str(path)

    def go_there(self) -> None:
        """Make the directory the current one until the test is over, and a trusted one."""
        self.patch(search, "_distrust", lambda *_places, **_how: None)
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.directory)

    def use_reactor(self, reactor: object) -> None:
        """Have `from twisted.internet import reactor` give a fake; trial may not have one yet."""
        patcher = mock.patch.object(twisted.internet, "reactor", reactor, create=True)
        patcher.start()
        self.addCleanup(patcher.stop)

    def said(self) -> list[str]:
        """Return the lines on stdout."""
        return self.stdout.getvalue().splitlines()

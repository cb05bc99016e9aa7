"""What this process uses."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process import usage as module
from metrics_agent.process.usage import Usage, usage


class UsageTests(SynchronousTestCase):
    """Of the process of the test."""

    def test_memory_and_time(self) -> None:
        """There is some of both; Python itself takes more than 5 MB."""
        used = usage()
        assert used.cpu_s is not None
        assert used.memory_bytes is not None
        self.assertGreater(used.cpu_s, 0)
        self.assertGreater(used.memory_bytes, 5_000_000)

    def test_open_files(self) -> None:
        """One more that is open is one more."""
        before = usage().open_files
        assert before is not None
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        self.assertEqual(usage().open_files, before + 2)

    def test_no_proc(self) -> None:
        """Where the system does not say it is None."""
        self.patch(module, "_MEMORY", Path("/nonexistent/statm"))
        self.patch(module, "_DESCRIPTORS", Path("/nonexistent/fd"))
        used = usage()
        self.assertEqual(used, Usage(cpu_s=used.cpu_s))

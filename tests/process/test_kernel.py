"""The thread that writes; the system calls themselves are tested with the writers."""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process.kernel import Kernel

LIMIT_S = 5.0


class WritingThreadTests(SynchronousTestCase):
    """A real one, on a pipe."""

    def setUp(self) -> None:
        self.reader, self.fd = os.pipe()
        self.addCleanup(lambda: os.close(self.reader))
        self.written: SimpleQueue[OSError | None] = SimpleQueue()
        before = set(threading.enumerate())
        self.writer = Kernel().writing_thread(self.fd, self.written.put)
        (self.thread,) = set(threading.enumerate()) - before

    def end(self) -> None:
        self.writer.close()
        self.thread.join(LIMIT_S)
        self.assertFalse(self.thread.is_alive())
        self.assertRaises(OSError, os.fstat, self.fd)

    def test_writes_in_order(self) -> None:
        """Everything is written, reported and closed; the process need not wait for it."""
        self.assertTrue(self.thread.daemon)
        self.writer.write(b"a\n")
        self.writer.write(b"b\n")
        self.end()
        self.assertEqual(os.read(self.reader, 10), b"a\nb\n")
        self.assertEqual([self.written.get_nowait() for _ in range(2)], [None, None])

    def test_more_than_the_pipe_holds(self) -> None:
        """It waits for the reader, and reports once all is written."""
        self.writer.write(b"x" * 100_000)
        got = b""
        while len(got) < 100_000:
            got += os.read(self.reader, 30_000)
        self.assertIsNone(self.written.get(timeout=LIMIT_S))
        self.end()

    def test_error(self) -> None:
        """An error is reported, and the next chunk tried."""
        reader, self.reader = self.reader, os.dup(self.fd)
        os.close(reader)
        self.writer.write(b"a\n")
        self.writer.write(b"b\n")
        for _ in range(2):
            self.assertIsInstance(self.written.get(timeout=LIMIT_S), BrokenPipeError)
        self.end()

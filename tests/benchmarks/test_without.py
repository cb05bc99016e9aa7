"""The agent without a part, as the row `status` runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.without import PARTS, wrap
from metrics_agent.devices.book import DeviceBook
from metrics_agent.interfaces import Message
from metrics_agent.line_protocol import Encoder
from metrics_agent.logs.logger import make_logger
from metrics_agent.metric import Metric, Series
from metrics_agent.supervision.counters import Counters
from metrics_agent.supervision.guard import Guard
from metrics_agent.supervision.message_handlers import MessageHandlers


class WithoutTests(SynchronousTestCase):
    """What is left out, and nothing else."""

    def deliver(self, book: DeviceBook) -> tuple[object, ...]:
        """Deliver two messages, of which the second raises; return what came of it."""
        counters = Counters()
        log = make_logger("demo", lambda _event: None)
        handlers = MessageHandlers(
            encode=Encoder().encode,
            refused=lambda _refusal, _metric: None,
            guard=Guard(log, counters.error),
            counters=counters,
            devices=book,
            log=log,
        )

        def handle(message: Message) -> list[Metric]:
            if not message.payload:
                raise ValueError
            return [Metric(Series("m", {"device": "x"}), {"f": 1.0}, 17)]

        lines: list[bytes] = []
        deliver = handlers.deliverer(handle, "message")
        for payload in (b"1", b""):
            deliver(Message("t", payload, 1, False, 17), lines)
        return lines, counters.messages, counters.metrics, dict(counters.errors)

    def test_devices(self) -> None:
        """The same lines and counters, and no device."""
        book = DeviceBook()
        expected = self.deliver(book)
        self.assertEqual([*book.devices], ["x"])
        self.patch(MessageHandlers, "_wrap", wrap)
        book = DeviceBook()
        found = self.deliver(book)
        self.assertEqual(found, expected)
        self.assertEqual(book.devices, {})

    def test_it_runs(self) -> None:
        """The classes that are changed are there, and the command works on."""
        root = Path(__file__).resolve().parents[2]
        for part in PARTS:
            command = [sys.executable, "-m", "benchmarks.without", part, "--version"]
            done = subprocess.run(
                command, cwd=root, capture_output=True, text=True, check=False, timeout=30
            )
            self.assertIn("metrics-agent", done.stdout, done.stderr)

"""A sink in the process of the test, so that any bytes can be sent to a real reader."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from metrics_agent.config.output import OutputSettings
from metrics_agent.output.sink import Sink
from metrics_agent.output.target import make_output
from metrics_agent.platform import Platform

__all__ = ["SinkCase"]


class SinkCase(TestCase):
    """Sinks that are stopped at the end of the test."""

    timeout = 120

    def sink(self, output: str, **settings: Any) -> Sink:
        """Make and start one."""
        sink = Sink(
            reactor,
            make_output(
                Platform(), reactor, output, self.no_stdout, settings=OutputSettings(**settings)
            ),
            limit_bytes=16 << 20,
            high_mark_bytes=1 << 20,
            low_mark_bytes=1 << 18,
            on_pressure=lambda _pressed: None,
            on_lost=self.fail,
        )
        sink.startService()
        self.addCleanup(sink.stopService)
        return sink

    def no_stdout(self) -> int:
        raise AssertionError("stdout is not asked for")

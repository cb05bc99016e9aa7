"""Prints, logging and warnings of others become lines."""

from __future__ import annotations

import logging
import sys
from typing import Any

from twisted.logger import globalLogPublisher

from metrics_agent.logs.capture import (
    LoggingBridge,
    begin_logging,
    bridge_logging,
    redirect_stdout,
)
from tests.logs.fakes import ObserverCase

BROKEN = """W! [amqtt] Broken: ValueError("invalid literal for int() with base 10: 'x'")"""


class StdoutTest(ObserverCase):
    """Stray prints."""

    def test_a_print_is_a_warning_and_stderr_stays(self):
        self.patch(sys, "stdout", sys.stdout)
        stderr = sys.stderr
        redirect_stdout(self.observer)
        print("oops", 1)  # noqa: T201
        print()  # noqa: T201
        sys.stdout.flush()
        self.assertIs(sys.stderr, stderr)
        self.assertEqual(
            self.target.lines,
            ["W! [agent] Printed to stdout, which is for metrics: 'oops 1'"],
        )


class BeginTest(ObserverCase):
    """The start of logging."""

    def test_logging_begins_without_touching_the_standard_streams(self):
        began: list[Any] = []

        class Beginner:
            def beginLoggingTo(self, observers: Any, **options: Any) -> None:
                began.append((observers, options))

        begin_logging(self.observer, Beginner())
        self.assertEqual(began, [([self.observer], {"redirectStandardIO": False})])


class BridgeTest(ObserverCase):
    """Records of Python's logging."""

    def setUp(self) -> None:
        super().setUp()
        self.root = logging.Logger("root")  # noqa: LOG001 - apart from trial's
        self.root.propagate = False
        self.bridge = bridge_logging(self.observer, self.root)

    def logger(self, name: str) -> logging.Logger:
        logger = logging.Logger(name)  # noqa: LOG001 - as above
        logger.parent = self.root
        return logger

    def test_errors_and_warnings_are_warnings_of_the_library(self):
        self.logger("amqtt.broker").error("No %s", "luck")
        self.logger("paho.mqtt").warning("hm")
        self.assertEqual(self.target.lines, ["W! [amqtt] No luck", "W! [paho] hm"])

    def test_the_rest_is_debug(self):
        self.logger("amqtt").info("hello")
        self.assertEqual(self.target.lines, [])
        self.observer.set_levels("info", {"amqtt": "debug"})
        self.logger("amqtt").info("hello")
        self.assertEqual(self.target.lines, ["D! [amqtt] hello"])

    def test_python_s_own_level_follows_so_that_nothing_is_made_in_vain(self):
        self.assertEqual(self.root.level, logging.WARNING)
        self.observer.set_levels("info", {"amqtt": "debug"})
        self.assertEqual(self.root.level, logging.DEBUG)
        self.observer.set_levels("info")
        self.assertEqual(self.root.level, logging.WARNING)

    def test_an_exception_is_told(self):
        try:
            int("x")
        except ValueError:
            self.logger("amqtt").exception("Broken")
        self.logger("amqtt").error("No exception", exc_info=(None, None, None))
        self.assertEqual(self.target.lines, [BROKEN, "W! [amqtt] No exception"])

    def test_values_that_do_not_fit_are_told_with_the_format(self):
        self.logger("amqtt").error("%d things", "many")
        (line,) = self.target.lines
        self.assertTrue(line.startswith("W! [amqtt] %d things (its values do not fit: "))

    def test_records_are_folded_by_their_format(self):
        for number in range(100):
            self.logger("amqtt").error("No %d", number)
            self.logger("amqtt").error(f"Text {number % 2}")
        self.assertEqual(len(self.target.lines), 5 + 2)

    def test_by_default_records_go_to_all_observers_and_to_the_root_logger(self):
        self.assertIs(LoggingBridge()._publish, globalLogPublisher)
        root = logging.getLogger()
        level = root.level
        bridge = bridge_logging(self.observer)
        self.addCleanup(root.setLevel, level)
        self.addCleanup(root.removeHandler, bridge)
        self.assertIn(bridge, root.handlers)

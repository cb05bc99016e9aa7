"""The logger of a module."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.logs.logger import make_logger


class LoggerTest(SynchronousTestCase):
    """Events of a module logger."""

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.log = make_logger("demo:a", self.events.append)

    def test_every_event_carries_the_module(self):
        self.log.info("a")
        self.log.failure("b", Failure(ValueError()), level=LogLevel.warn)
        with self.log.failuresHandled("c"):
            raise ValueError
        self.assertEqual([event["module"] for event in self.events], ["demo:a"] * 3)
        self.assertEqual(self.events[0]["log_namespace"], "metrics_agent.module.demo:a")

    def test_an_event_may_name_another_module(self):
        self.log.info("a", module="b")
        self.assertEqual(self.events[0]["module"], "b")

    def test_it_keeps_its_module_as_an_attribute_of_a_class(self):
        class Service:
            log: Logger = make_logger("demo", self.events.append)

        Service().log.info("a")
        Service.log.info("a")
        self.assertEqual([event["module"] for event in self.events], ["demo", "demo"])

    def test_by_default_it_is_the_agent_s_and_goes_to_all_observers(self):
        log = make_logger()
        self.assertEqual(log.module, "agent")
        self.assertIs(log.observer, globalLogPublisher)

"""What is looked for in the modules of a process is found."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.supervision.lifecycle import State
from metrics_agent.transports.reconnecting import Reconnecting
from tests.simulation.supervising import Supervising

START_S = 3.0


class SupervisingTests(SynchronousTestCase):
    """One module."""

    def setUp(self) -> None:
        self.violations: list[str] = []
        self.supervising = Supervising(self.violations.append, START_S)
        self.module = SimpleNamespace(module_name="a", state=State.RUNNING, _life=object())
        self.agent: Any = SimpleNamespace(
            stopping=False,
            _working=None,
            plan=SimpleNamespace(modules=[SimpleNamespace(name="a")]),
            supervisors=[self.module],
            _modules=SimpleNamespace(_leaving={}),
        )

    def look(self, now_s: float, stood_s: float = 0.0, factories: Any = ()) -> None:
        """Look at some time."""
        self.supervising.look(self.agent, factories, now_s - stood_s)

    def test_missing(self) -> None:
        """A module of the plan is not there, although nothing changes."""
        self.agent.supervisors = []
        self.agent._modules._leaving = {"a": ()}
        self.look(0.0)
        self.agent._modules._leaving = {}
        self.agent._working = Deferred()
        self.look(0.0)
        self.agent._working, self.agent.stopping = None, True
        self.look(0.0)
        self.assertEqual(self.violations, [])
        self.agent.stopping = False
        self.look(0.0)
        self.assertEqual(self.violations, ["nothing runs ['a']"])

    def test_a_start_that_lasts(self) -> None:
        """It may last as long as the process runs for that time."""
        self.module.state = State.STARTING
        self.look(10.0)
        self.look(14.0, stood_s=1.0)
        self.module._life = object()
        self.look(15.0, stood_s=1.0)
        self.assertEqual(self.violations, [])
        self.look(18.2, stood_s=1.0)
        self.assertEqual(self.violations, ["a has been starting for 3.2 s"])

    def test_an_attempt_of_what_is_stopped(self) -> None:
        """It must not be under way."""
        made: list[Any] = []

        class Endpoint:
            def connect(self, factory: Any) -> Deferred[Any]:
                made.append(factory)
                return Deferred()

        connection = Reconnecting[Any](
            Clock(),
            addresses=["there"],
            dial=lambda _address: SimpleNamespace(endpoint=Endpoint()),  # type: ignore[arg-type,return-value]
            make_link=lambda: None,
            timeout_s=1.0,
            backoff=SimpleNamespace(),  # type: ignore[arg-type]
            report=SimpleNamespace(),  # type: ignore[arg-type]
            short_lived=lambda _count: None,  # type: ignore[arg-type,return-value]
            log=Logger(),
        )
        connection.start()
        factories = [SimpleNamespace(_wrappedFactory=made[0]), object()]
        self.look(0.0, factories=factories)
        self.assertEqual(self.violations, [])
        connection.stop()
        self.look(0.0, factories=factories)
        self.assertEqual(self.violations, ["a stopped connection to there is made"])

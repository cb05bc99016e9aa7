"""The connections to brokers: one for each module and broker setting.

Theory of operation. A message is read only while its module runs, for only then can the module look
at it; whatever else is read would be acknowledged and lost. So whether a connection reads follows
from three things, and is derived from them again whenever one changes: the reasons for which
nothing is read at all (a full output, a reload, a stop), the modules that run, and the modules that
are parked, whose connections end: the broker keeps their messages in the session.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.deferreds import as_deferred
from metrics_agent.transports.mqtt.settings import MqttSettings

if TYPE_CHECKING:
    from metrics_agent.transports.mqtt.connection import MqttConnection

__all__ = ["NOT_RUNNING", "Connections", "Wanted"]

Wanted: TypeAlias = tuple[str, MqttSettings]
"""The name of a module, ``tasmota:garage``, and a broker that it uses."""

MakeConnection = Callable[[str, MqttSettings, str], "MqttConnection"]
MakeClientId = Callable[[str, MqttSettings], str]

NOT_RUNNING: Final = "module"
"""The reason to pause a connection whose module does not run."""


class Connections(MultiService):
    """Keeps the connections that the configuration wants, and only those.

    A reload that leaves a broker's settings alone leaves its connections alone: this is why
    connections do not belong to the instances of modules, which a reload replaces.

    Args:
        make: makes a connection that is not started, of a module's name, settings and client id.
        client_id: of a module's name and settings; different for each connection.
        log: where a fault while starting or stopping a connection goes.
    """

    def __init__(self, make: MakeConnection, client_id: MakeClientId, log: Logger) -> None:
        super().__init__()
        self._make = make
        self._client_id = client_id
        self._log = log
        self._connections: dict[Wanted, MqttConnection] = {}
        self._closing: dict[str, Deferred[Any]] = {}
        self._wanted: dict[Wanted, None] = {}
        self._normal: dict[MqttSettings, MqttSettings] = {}
        self._drain_s = 0.0
        self._pause_reasons: set[str] = set()
        self._running: Collection[str] = ()
        self._parked: Collection[str] = ()
        self._ending: Mapping[MqttConnection, bool] = {}

    def get(self, module: str, settings: MqttSettings) -> MqttConnection:
        """Return a module's connection to a broker, made now if there is none.

        Args:
            module: its name.
            settings: of the module; what does not concern the connection does not matter.

        Raises:
            KeyError: the configuration in force does not name this broker for this module.
            Exception: the connection cannot be made.
        """
        wanted = (module, self._normalise(settings))
        if wanted not in self._connections:
            if wanted not in self._wanted:
                raise KeyError(
                    f"module {module} has no broker {_name(settings)} in the settings in force"
                )
            self._add(wanted)
        return self._connections[wanted]

    def all(self) -> tuple[MqttConnection, ...]:
        """Return all connections."""
        return tuple(self._connections.values())

    def named(self) -> tuple[tuple[str, MqttConnection], ...]:
        """Return all connections, each after the name of its module."""
        return tuple((module, each) for (module, _), each in self._connections.items())

    def reconcile(self, wanted: Iterable[Wanted], drain_s: float) -> Deferred[None]:
        """Stop what is not wanted, then start what is new; what is equal is not touched.

        Args:
            wanted: what all modules use, with repetitions.
            drain_s: how long a connection that ends waits for the reader of the output, so that
                its last acknowledgements go out; also when a module is parked.

        Returns:
            A Deferred that fires when the old connections are closed.
        """
        self._normal.clear()
        self._drain_s = drain_s
        self._wanted = self._distinct(wanted)
        gone = [each for each in self._connections if each not in self._wanted]
        closed = self._gather([self._remove(each) for each in gone])
        for each in self._wanted:
            if each not in self._connections:
                self._try_to_add(each)
        return closed

    def follow(self, *, running: Collection[str], parked: Collection[str]) -> None:
        """Read for the modules that run, and for no others; call it whenever that changes.

        Args:
            running: the modules that run: each has subscribed to all that it wants.
            parked: those that wait long for their next try; their connections end, and are made
                again then.
        """
        before, self._running, self._parked = self._running, running, parked
        # Read again each time: a connection that resumes reading can change them.
        for wanted in list(self._connections):
            module, connection = wanted[0], self._connections.get(wanted)
            if connection is None:
                continue
            if module in self._parked:
                self._remove(wanted)
            elif module not in self._running:
                connection.pause_reading(NOT_RUNNING)
            else:
                if module not in before:
                    connection.unsubscribe_unwanted()
                connection.resume_reading(NOT_RUNNING)

    def pause(self, reason: str) -> None:
        """Stop reading from all brokers until each reason is taken back."""
        self._pause_reasons.add(reason)
        for connection in self.all():
            connection.pause_reading(reason)

    def resume(self, reason: str) -> None:
        """Take back a reason."""
        self._pause_reasons.discard(reason)
        for connection in self.all():
            # A connection that resumes hands on what it held, which may pause everything again.
            if reason in self._pause_reasons:
                return
            connection.resume_reading(reason)

    def handle_delivered(
        self, timeout_s: float, rest_s: float, then: Iterable[Wanted] | None = None
    ) -> Deferred[None]:
        """Wait until what the brokers have delivered so far was handled, or for the timeout.

        Then nothing more is read, and what was read by then is handed on.

        What waits for a module that does not run stays unread: its broker has it still.

        Args:
            timeout_s: at most.
            rest_s: how long it is waited then, at most, until what was read is handed on.
            then: what will be wanted. What is wanted now and then does not end and need not be
                waited for; a session that goes on with other settings comes back. None: all
                sessions come back, at the next start.
        """
        wanted = self._distinct(then or ())
        sessions = {self._session(module, settings) for module, settings in wanted}
        ending = {
            connection: then is None or self._session(module, settings) in sessions
            for (module, settings), connection in self._connections.items()
            if module in self._running
            if (module, settings) not in wanted
        }
        return as_deferred(self._handle_delivered(ending, timeout_s, rest_s))

    async def _handle_delivered(
        self, ending: Mapping[MqttConnection, bool], timeout_s: float, rest_s: float
    ) -> None:
        self._ending = ending
        await self._gather(
            [
                connection.handle_delivered(timeout_s, comes_back=comes_back)
                for connection, comes_back in ending.items()
            ]
        )
        # A stop may have come in a reload meanwhile: it reads on.
        if self._ending is ending:
            lifted = tuple(self._pause_reasons)
            await self._gather([each.read_no_more(rest_s, lifted) for each in ending])

    def stopService(self) -> Deferred[None]:
        """Disconnect from all brokers; safe before start and twice."""
        stopped = cast("Deferred[Any]", super().stopService())
        closing = [_after(each) for each in self._closing.values()]
        return self._gather([stopped, *closing])

    def _session(self, module: str, settings: MqttSettings) -> object:
        """Return what says whether two connections have the same session at the same broker."""
        client_id = self._client_id(module, settings)
        return module, client_id, settings.brokers, settings.persistent_session

    def _distinct(self, wanted: Iterable[Wanted]) -> dict[Wanted, None]:
        return {(module, self._normalise(settings)): None for module, settings in wanted}

    def _normalise(self, settings: MqttSettings) -> MqttSettings:
        normal = self._normal.get(settings)
        if normal is None:
            normal = self._normal[settings] = settings.connection_settings()
        return normal

    def _try_to_add(self, wanted: Wanted) -> None:
        """Add a connection; one that cannot be made takes no other with it."""
        try:
            self._add(wanted)
        except Exception as error:
            self._log.error(
                "The connection of module {name} to {broker} cannot be made: {error}. It is "
                "tried again when the module asks for it.",
                name=wanted[0],
                broker=_name(wanted[1]),
                error=f"{type(error).__name__}: {error}",
            )

    def _add(self, wanted: Wanted) -> None:
        module, settings = wanted
        client_id = self._client_id(module, settings)
        connection = self._make(module, settings, client_id)
        for reason in self._pause_reasons:
            connection.pause_reading(reason)
        if module not in self._running:
            connection.pause_reading(NOT_RUNNING)
        else:
            connection.unsubscribe_unwanted()
        self._connections[wanted] = connection

        def start(_closed: object) -> None:
            if self._connections.get(wanted) is connection:
                connection.setServiceParent(self)

        # The broker throws a client out when another comes with its id: the old one goes first.
        closing = self._closing.get(client_id)
        if closing is None:
            start(None)
        else:
            _after(closing).addCallback(start)

    def _remove(self, wanted: Wanted) -> Deferred[Any]:
        connection = self._connections.pop(wanted)
        connection.pause_reading(NOT_RUNNING)
        client_id = connection.client_id
        before = self._closing.get(client_id)

        def end(_acknowledged: object) -> Deferred[None]:
            ended = connection.stopService()
            # Stopping twice is harmless.
            if connection.parent is not None:
                connection.disownServiceParent()
            return ended

        # What is not acknowledged would be delivered once more. A stop of all ends it sooner.
        ended = connection.acknowledged(self._drain_s).addBoth(end)
        closed = self._gather([ended, succeed(None) if before is None else _after(before)])

        def forget(_closed: object) -> None:
            if self._closing.get(client_id) is closed:
                del self._closing[client_id]

        self._closing[client_id] = closed
        closed.addCallback(forget)
        return _after(closed)

    def _gather(self, waiting: list[Deferred[Any]]) -> Deferred[None]:
        def report(failure: Failure) -> None:
            self._log.failure("while waiting for the connections to brokers", failure)

        # Each contained, so that none keeps the others from being waited for.
        contained = [each.addErrback(report) for each in waiting]
        return gatherResults(contained).addCallback(lambda _results: None)


def _after(work: Deferred[Any]) -> Deferred[None]:
    """Return a Deferred of its own that fires when another one has."""
    waiting: Deferred[None] = Deferred()

    def over(result: object) -> object:
        waiting.callback(None)
        return result

    work.addBoth(over)
    return waiting


def _name(settings: MqttSettings) -> str:
    """Return the addresses as a log may show them."""
    return ", ".join(map(str, settings.brokers))

"""All connections of the agent: one for each distinct broker setting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from attrs import astuple
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.config import Secret
from metrics_agent.transports.mqtt.settings import MqttSettings

if TYPE_CHECKING:
    from metrics_agent.transports.mqtt.connection import MqttConnection

__all__ = ["Connections"]

MakeConnection = Callable[[MqttSettings, str], "MqttConnection"]
MakeClientId = Callable[[MqttSettings, int], str]


class Connections(MultiService):
    """Keeps the connections that the configuration wants, and only those.

    A reload that leaves a broker's settings alone leaves its connection alone: this is why
    connections are not the modules'.

    Args:
        make: makes a connection that is not started, of settings and client id.
        client_id: of settings and an ordinal; the ordinal counts up from 0 until the id is one
            that no other connection of this process has.
        log: where a fault while starting or stopping a connection goes.
    """

    def __init__(self, make: MakeConnection, client_id: MakeClientId, log: Logger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's is untyped
        self._make = make
        self._client_id = client_id
        self._log = log
        self._connections: dict[MqttSettings, MqttConnection] = {}
        self._ids: dict[MqttSettings, str] = {}
        self._wanted: list[MqttSettings] = []
        self._normal: dict[MqttSettings, MqttSettings] = {}
        self._pause_reasons: set[str] = set()

    def get(self, settings: MqttSettings) -> MqttConnection:
        """Return the connection to a broker; one that could not be made is tried again.

        Args:
            settings: of a module; what does not concern the connection does not matter.

        Raises:
            KeyError: the configuration in force does not name this broker.
            Exception: the connection cannot be made.
        """
        normal = self._normalise(settings)
        if normal not in self._connections:
            if normal not in self._wanted:
                raise KeyError(
                    f"no connection to {_name(normal)}: no module's settings in force name it so"
                )
            self._add(normal)
        return self._connections[normal]

    def all(self) -> tuple[MqttConnection, ...]:
        """Return all connections."""
        return tuple(self._connections.values())

    def reconcile(self, wanted: Iterable[MqttSettings]) -> Deferred[None]:
        """Stop what is not wanted, then start what is new; what is equal is not touched.

        Args:
            wanted: settings of all modules, in any order, with repetitions.

        Returns:
            A Deferred that fires when the old connections are closed and the new ones are
            started (not: connected).
        """
        self._normal.clear()
        # Sorted, so that client ids with an ordinal are the same at each start.
        targets = sorted({self._normalise(settings) for settings in wanted}, key=_order)
        self._wanted = targets
        gone = [settings for settings in self._connections if settings not in set(targets)]
        # A new connection may have the client id of an old one: the old one must be gone first,
        # or the broker would throw one of them out.
        closed = self._gather([self._remove(settings) for settings in gone])

        def start(_closed: object) -> None:
            for settings in targets:
                if settings not in self._connections:
                    self._try_to_add(settings)

        return closed.addCallback(start)

    def reconcile_subscriptions(self) -> None:
        """Give up filters that no module wants; call it when all modules have subscribed."""
        for connection in self.all():
            connection.reconcile()

    def pause(self, reason: str) -> None:
        """Stop reading from all brokers until each reason is taken back."""
        self._pause_reasons.add(reason)
        for connection in self.all():
            connection.pause_reading(reason)

    def resume(self, reason: str) -> None:
        """Take back a reason."""
        self._pause_reasons.discard(reason)
        for connection in self.all():
            connection.resume_reading(reason)

    def settle(self, timeout_s: float) -> Deferred[None]:
        """Wait until what the brokers have delivered so far was handled, or for the timeout."""
        return self._gather([connection.settle(timeout_s) for connection in self.all()])

    def flush_acknowledgements(self) -> None:
        """Send the acknowledgements whose turn has come."""
        for connection in self.all():
            connection.flush_acknowledgements()

    def startService(self) -> None:
        """Start; connections that are added later are started as they are added."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's is untyped

    def stopService(self) -> Deferred[None]:
        """Disconnect from all brokers; safe before start and twice."""
        stopped = cast("Deferred[Any]", super().stopService())  # type: ignore[no-untyped-call]
        return stopped.addCallback(lambda _results: None)

    def _normalise(self, settings: MqttSettings) -> MqttSettings:
        normal = self._normal.get(settings)
        if normal is None:
            normal = self._normal[settings] = settings.connection_settings()
        return normal

    def _try_to_add(self, settings: MqttSettings) -> None:
        """Add a connection; one that cannot be made takes no other with it."""
        try:
            self._add(settings)
        except Exception as error:
            self._log.error(
                "The connection to {broker} cannot be made: {error}. It is tried again when a "
                "module asks for it.",
                broker=_name(settings),
                error=f"{type(error).__name__}: {error}",
            )

    def _add(self, settings: MqttSettings) -> None:
        client_id = self._free_client_id(settings)
        connection = self._make(settings, client_id)
        for reason in self._pause_reasons:
            connection.pause_reading(reason)
        self._connections[settings] = connection
        self._ids[settings] = client_id
        connection.setServiceParent(self)  # type: ignore[no-untyped-call]  # Twisted's is untyped

    def _remove(self, settings: MqttSettings) -> Deferred[Any]:
        connection = self._connections.pop(settings)
        del self._ids[settings]
        closed: Deferred[Any] = connection.stopService()
        # Off the list of children at once; stopping twice is harmless.
        connection.disownServiceParent()  # type: ignore[no-untyped-call]  # Twisted's is untyped
        return closed

    def _free_client_id(self, settings: MqttSettings) -> str:
        taken = set(self._ids.values())
        ordinal = 0
        client_id = self._client_id(settings, ordinal)
        while client_id in taken:
            ordinal += 1
            client_id = self._client_id(settings, ordinal)
            if settings.client_id:
                # A fixed id knows of no ordinal; the same id twice would be an endless fight.
                client_id = f"{settings.client_id}-{ordinal + 1}"
        return client_id

    def _gather(self, waiting: list[Deferred[Any]]) -> Deferred[None]:
        def told(failure: Failure) -> None:
            self._log.failure("while waiting for the connections to brokers", failure)

        # Each contained, so that none keeps the others from being waited for.
        contained = [each.addErrback(told) for each in waiting]
        return gatherResults(contained).addCallback(lambda _results: None)


def _order(settings: MqttSettings) -> str:
    """Return what sorts settings, the same way at each start; never for a log."""
    values = (each.reveal() if isinstance(each, Secret) else each for each in astuple(settings))
    return repr(list(values))


def _name(settings: MqttSettings) -> str:
    """Return the addresses as a log may show them."""
    return ", ".join(map(str, settings.brokers))

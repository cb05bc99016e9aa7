"""The socket ``/livedata`` as a source."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from metrics_agent.catalogue import DEVICE
from metrics_agent.errors import PayloadError
from metrics_agent.interfaces import Closable, ModuleContext
from metrics_agent.metric import Metric
from metrics_agent.modules.opendtu.config import OpenDtuSettings
from metrics_agent.modules.opendtu.decode import decode_frame
from metrics_agent.modules.opendtu.points import DtuPoints
from metrics_agent.modules.opendtu.topics import DTU

__all__ = ["LiveSource"]

_SILENT_AFTER_S: Final = 60.0
_HINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "http_404": "OpenDTU has it at /livedata",
        "login_wanted": "or allow read-only access in the DTU's security settings",
        "http_429": "the DTU is short of memory",
        "short_lives": "a DTU has room for about eight",
    }
)


class LiveSource:
    """Keeps one socket to the DTU.

    Args:
        settings: of the connection.
        context: the door to the agent.
        points: where readings go.
    """

    def __init__(
        self, settings: OpenDtuSettings, context: ModuleContext, points: DtuPoints
    ) -> None:
        self._settings = settings
        self._context = context
        self._points = points
        self._address = str(settings.address)
        self._heard = False  # or said that it was not
        self._patience: IDelayedCall | None = None
        self._connection: Closable | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._connection = self._context.websocket(
            self._settings,
            self._on_frame,
            changed=self._on_change,
            oversized=self._on_oversized,
            hints=_HINTS,
        )

    def stop(self) -> Deferred[None] | None:
        """Close the socket."""
        self._stop_waiting()
        return None if self._connection is None else self._connection.cancel()

    def _on_oversized(self) -> None:
        self._points.drop("", "oversized", "a message")

    def _on_frame(self, data: bytes) -> None:
        received_ns = self._context.now_ns()
        if not self._heard:
            self._heard = True
            self._stop_waiting()
        try:
            frame = decode_frame(data, self._points.drop)
        except PayloadError as error:
            self._points.drop("", error.reason, f"a message: {error.detail}")
            return
        self._points.emit(self._points.tracker.frame(frame, received_ns))

    def _on_change(self, is_open: bool) -> None:
        series = self._points.naming.part(DEVICE.name, DTU)
        online = {DEVICE.key("online"): is_open}
        self._points.emit([Metric(series, online, self._context.now_ns())])
        self._stop_waiting()
        if is_open:
            self._points.tracker.restart()
        if is_open and not self._heard:
            self._patience = self._context.later(
                _SILENT_AFTER_S, self._say_silent, place="look_around"
            )

    def _stop_waiting(self) -> None:
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._patience = None

    def _say_silent(self) -> None:
        if not self._heard:
            self._heard = True
            self._context.log.warn(
                "{address} is there but has sent nothing for {seconds:g} s: there is no inverter "
                "in its settings, or it is short of memory.",
                address=self._address,
                seconds=_SILENT_AFTER_S,
            )

"""The settings that connections of all kinds have in common; imports no OpenSSL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from attrs import frozen

from metrics_agent.config import Duration, Fault, setting
from metrics_agent.config.tls import TlsSettings
from metrics_agent.config.types import format_duration

__all__ = ["ConnectionSettings", "TlsSettings"]

_HOUR_S: Final = 3600


@frozen
class ConnectionSettings(TlsSettings):
    """How a connection is secured and made again."""

    reconnect_min: Duration = setting(
        default="1s",
        doc="Wait after the first failed attempt.",
        minimum=0.1,
        maximum=_HOUR_S,
        last=True,
    )
    reconnect_max: Duration = setting(
        default="60s",
        doc="Longest wait between attempts; the waits grow and vary by chance.",
        minimum=0.1,
        maximum=_HOUR_S,
        last=True,
    )

    def check_common(self, key: str, schemes: str, plain: Any | None) -> Iterator[Fault]:
        """Yield what is wrong between these settings, and between them and the address.

        Args:
            key: of the setting with the address.
            schemes: those with TLS, for the text.
            plain: an address without TLS, if none has it.
        """
        yield from self.check_tls(key, schemes, plain)
        if self.reconnect_max < self.reconnect_min:
            yield Fault(
                "reconnect_max",
                format_duration(self.reconnect_max),
                f"at least reconnect_min ({format_duration(self.reconnect_min)})",
            )

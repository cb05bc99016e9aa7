"""What the settings of all transports that speak TLS have in common; imports no OpenSSL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

from metrics_agent.config import Fault, Secret

__all__ = ["INSECURE_WARNING", "TlsSettings", "check_pair", "given_keys", "tls_arguments"]

_KEYS: Final = (
    "tls_ca",
    "tls_certificate",
    "tls_key",
    "tls_key_password",
    "tls_server_name",
    "tls_insecure",
)
INSECURE_WARNING: Final = (
    "the certificate of the other side is not verified: whoever is in between can read and change "
    "everything, the password included; name its authority in tls_ca instead"
)


class TlsSettings(Protocol):
    """The settings of a transport that speaks TLS, see there."""

    @property
    def tls_ca(self) -> str:
        """The authorities to trust."""

    @property
    def tls_certificate(self) -> str:
        """Our certificate."""

    @property
    def tls_key(self) -> str:
        """Its key."""

    @property
    def tls_key_password(self) -> Secret | None:
        """The password of the key."""

    @property
    def tls_insecure(self) -> bool:
        """Verify nothing."""


def given_keys(settings: TlsSettings) -> list[str]:
    """Return the names of the settings of TLS that are set; an empty password is none."""
    values = {key: getattr(settings, key) for key in _KEYS}
    if settings.tls_key_password == Secret(""):
        del values["tls_key_password"]
    return [key for key, value in values.items() if value]


def check_pair(settings: TlsSettings) -> Iterator[Fault]:
    """Yield what is wrong between our certificate, its key and the key's password."""
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        given, missing = "tls_certificate", "tls_key"
        if settings.tls_key:
            given, missing = missing, given
        yield Fault(missing, "nothing", "a PEM file", f"{given} is set and needs it")
    if "tls_key_password" in given_keys(settings) and not settings.tls_key:
        yield Fault("tls_key", "nothing", "a PEM file", "tls_key_password is set and needs it")


def tls_arguments(settings: TlsSettings) -> dict[str, Any]:
    """Return the arguments of `tls.tls_options`."""
    return {
        "ca_file": settings.tls_ca,
        "certificate_file": settings.tls_certificate,
        "key_file": settings.tls_key,
        "key_password": settings.tls_key_password,
        "insecure": settings.tls_insecure,
    }

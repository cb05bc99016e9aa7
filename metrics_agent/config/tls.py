"""The settings of TLS, which all that speaks it has in common; imports no OpenSSL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from attrs import fields, frozen

from metrics_agent.config.faults import Fault
from metrics_agent.config.secret import Secret
from metrics_agent.config.setting import setting

__all__ = ["TlsSettings"]


@frozen
class TlsSettings:
    """How TLS is spoken.

    Attributes:
        ca_hint: what to do about a certificate of an authority that is not trusted.
    """

    ca_hint: ClassVar[str] = "see tls_ca"

    tls_ca: str = setting(
        default="",
        doc="PEM file with the authorities to trust; empty for those of the system.",
        example="/etc/metrics-agent/ca.pem",
        file="authorities",
        last=True,
    )
    tls_certificate: str = setting(
        default="",
        doc="PEM file with our certificate, where the server asks for one.",
        file="certificate",
        last=True,
    )
    tls_key: str = setting(
        default="",
        doc="PEM file with the key of tls_certificate.",
        file="key",
        unlocked_by="tls_key_password",
        last=True,
    )
    tls_key_password: Secret | None = setting(
        default=None, doc="Password of tls_key, where that is encrypted.", example="", last=True
    )
    tls_server_name: str = setting(
        default="",
        doc="Name in the server's certificate; empty for the host of its address.",
        last=True,
    )
    tls_insecure: bool = setting(
        default=False,
        doc="Do not verify the server's certificate: whoever is in between can read all.",
        warning=(
            "the certificate of the other side is not verified: whoever is in between can read "
            "and change everything, the password included; name its authority in tls_ca instead"
        ),
        last=True,
    )

    def check_tls(self, key: str, schemes: str, plain: Any | None) -> Iterator[Fault]:
        """Yield what is wrong between these settings, and between them and an address.

        Args:
            key: of the setting with the address.
            schemes: those with TLS, for the text.
            plain: an address without TLS, if none has it.
        """
        values = {each.name: getattr(self, each.name) for each in fields(TlsSettings)}
        if self.tls_key_password == Secret(""):
            del values["tls_key_password"]
        given = [name for name, value in values.items() if value]
        if plain is not None:
            for name in given:
                yield Fault(
                    name,
                    f"a setting of TLS for {plain}",
                    f"a {key} with {schemes}",
                    f"remove it or change {key}",
                )
        for name, other in (("tls_key", "tls_certificate"), ("tls_certificate", "tls_key")):
            if name in given and other not in given:
                yield Fault(other, "nothing", "a PEM file", f"{name} is set and needs it")
        if "tls_key_password" in given and not self.tls_key:
            yield Fault("tls_key", "nothing", "a PEM file", "tls_key_password is set and needs it")

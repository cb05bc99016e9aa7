"""TLS to a server that is verified; imported only when it is needed, since OpenSSL costs 13 MB.

Twisted's `optionsForClientTLS` verifies well but keeps to itself what was wrong. The verification
here is the same in effect (chain by OpenSSL, name by service_identity, both in OpenSSL's own
callback, refusing on any doubt), and it notes its reason for the log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Final

from twisted.internet import endpoints
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from metrics_agent.cause import Cause, CauseError
from metrics_agent.config import Secret
from metrics_agent.config.regular import read_regular
from metrics_agent.errors import MissingDependency, how_to_install
from metrics_agent.host_port import is_address
from metrics_agent.process.openssl import allow_openssl
from metrics_agent.transports.settings import TlsSettings

allow_openssl()

try:
    from OpenSSL import SSL, crypto
    from service_identity import VerificationError
    from service_identity.cryptography import extract_patterns
    from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
    from twisted.internet.ssl import (
        AcceptableCiphers,
        Certificate,
        CertificateOptions,
        TLSVersion,
        trustRootFromCertificates,
    )
except ImportError as error:
    raise MissingDependency(
        f"TLS needs a package that is not installed ({error}): {how_to_install('tls')}"
    ) from error

__all__ = ["VerifyingCreator", "tls_options", "wrap_tls"]

_PEM_CERTIFICATE = re.compile(
    # Base64 has no hyphen: where an end is missing, the search is over at the next hyphen.
    rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----"
)
_STRICT: Final[Mapping[str, Any]] = {
    "raiseMinimumTo": TLSVersion.TLSv1_2,
    "acceptableCiphers": AcceptableCiphers.fromOpenSSLCipherString(
        "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL"
    ),
}
"""For Twisted's CertificateOptions: suites with forward secrecy and authenticated encryption only.

RFC 9325, section 4.2. Static RSA is out, since the server's key then opens what was recorded
before, and so is CBC. All suites of TLS 1.3 qualify.
"""

_PEM_LIMIT_BYTES = 4 * 1024 * 1024
_UNTRUSTED = "its certificate comes from an authority that we do not trust ({ca_hint})"
_CHAIN_FAULTS = {
    # OpenSSL's X509_V_ERR numbers: our word, a clause for the log.
    9: ("not_yet_valid", "its certificate is not valid yet (is the clock right?)"),
    10: ("expired", "its certificate has expired"),
    18: ("untrusted", _UNTRUSTED),
    19: ("untrusted", _UNTRUSTED),
    20: ("untrusted", _UNTRUSTED),
    21: ("untrusted", _UNTRUSTED),
    23: ("revoked", "its certificate was revoked"),
}


def tls_options(
    *,
    ca_file: str = "",
    certificate_file: str = "",
    key_file: str = "",
    key_password: Secret | None = None,
    insecure: bool = False,
) -> CertificateOptions:
    """Read what a connection needs.

    Args:
        ca_file: the authorities to trust; empty for those of the system.
        certificate_file: ours, where the server asks for one.
        key_file: the key of that.
        key_password: of the key, where it is encrypted.
        insecure: trust everybody.

    Raises:
        CauseError: a file cannot be read or holds something else; the kind is the setting that
            names it, with which the text begins.
    """
    options: dict[str, Any] = {**_STRICT}
    if insecure:
        options["verify"] = False
    elif ca_file:
        authorities = _read("tls_ca", ca_file, _load_certificates)
        options["trustRoot"] = trustRootFromCertificates([Certificate(one) for one in authorities])
    else:
        from twisted.internet.ssl import platformTrust

        options["trustRoot"] = platformTrust()
    if certificate_file:
        chain = _read("tls_certificate", certificate_file, _load_certificates)
        options["certificate"], *options["extraCertChain"] = chain
        options["privateKey"] = _read("tls_key", key_file, partial(_load_key, key_password))
    made = CertificateOptions(**options)
    try:
        made.getContext()
    except SSL.Error as error:
        # What OpenSSL refuses of a certificate, or that the key is another's.
        words = "; ".join(str(each[2]) for each in error.args[0])
        if "mismatch" in words:
            reason = f"{key_file!r} is not the key of tls_certificate {certificate_file!r}"
            raise _file_error("tls_key", reason) from None
        reason = f"{certificate_file!r} cannot be used: {words}"
        raise _file_error("tls_certificate", reason) from None
    return made


def wrap_tls(creator: VerifyingCreator, endpoint: Any, clock: Any) -> Any:
    """Put TLS over an endpoint.

    Raises:
        MissingDependency: Twisted's endpoints were imported when OpenSSL could not be.
    """
    if endpoints.TLSMemoryBIOFactory is None:
        raise MissingDependency("TLS was not loaded when the agent started: restart it")
    wrap: Any = endpoints.wrapClientTLS
    # Older versions of Twisted take no clock here.
    more = (clock,) if "clock" in signature(wrap).parameters else ()
    return wrap(creator, endpoint, *more)


def _read(key: str, path: str, load: Callable[[bytes], Any]) -> Any:
    try:
        content, _mode = read_regular(Path(path), _PEM_LIMIT_BYTES)
        return load(content)
    except OSError as fault:
        reason = f"{path!r} cannot be read: {fault.strerror}"
    except ValueError as fault:
        reason = f"{path!r} cannot be used: {fault}"
    raise _file_error(key, reason)


def _file_error(key: str, reason: str) -> CauseError:
    return CauseError(Cause(key, f"{key} {reason}", needs_user_action=True))


def _load_certificates(pem: bytes) -> list[crypto.X509]:
    found = _PEM_CERTIFICATE.findall(pem)
    if not found:
        raise ValueError("no PEM certificate in it")
    try:
        return [crypto.load_certificate(crypto.FILETYPE_PEM, one) for one in found]
    except crypto.Error:
        raise ValueError("a PEM certificate in it is damaged") from None


def _load_key(password: Secret | None, pem: bytes) -> crypto.PKey:
    # An empty passphrase: OpenSSL would ask on the terminal for the one of an encrypted key.
    passphrase = b"" if password is None else password.reveal().encode()
    try:
        return crypto.load_privatekey(crypto.FILETYPE_PEM, pem, passphrase=passphrase)
    except crypto.Error:
        if b"PRIVATE KEY-----" not in pem:
            raise ValueError("no PEM private key in it") from None
        if b"ENCRYPTED" not in pem:
            raise ValueError("the PEM private key in it is damaged") from None
        if not passphrase:
            raise ValueError("its key is encrypted; set tls_key_password") from None
        raise ValueError("tls_key_password is not the password of its key") from None


@implementer(IOpenSSLClientConnectionCreator)
class VerifyingCreator:
    """Makes the TLS side of one connection and notes why it cannot be trusted.

    Args:
        options: see `tls_options`.
        host: the name or IP address that the certificate must be for.
        insecure: verify nothing.
        ca_hint: see `TlsSettings`.

    Attributes:
        why: why the server was refused, None if it was not.
    """

    def __init__(
        self,
        options: CertificateOptions,
        host: str,
        *,
        insecure: bool = False,
        ca_hint: str = TlsSettings.ca_hint,
    ) -> None:
        self._ca_hint = ca_hint
        self._options = options
        self._insecure = insecure
        self._host = host
        self._is_address = is_address(host)
        self.why: Cause | None = None

    def clientConnectionForTLS(self, _protocol: Any) -> SSL.Connection:
        """Make the connection's TLS state, for Twisted."""
        connection = SSL.Connection(self._options.getContext(), None)
        if not self._is_address:  # an IP address must not be sent as a server name (RFC 6066)
            connection.set_tlsext_host_name(self._host.encode("idna"))
        if self._insecure:
            connection.set_verify(SSL.VERIFY_NONE)
        else:
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        return connection

    def _verify(
        self, _connection: SSL.Connection, shown: crypto.X509, number: int, depth: int, ok: int
    ) -> bool:
        # What escapes from here is printed by the C binding and lost, so nothing does.
        try:
            if not ok:
                text = f"its certificate cannot be trusted (OpenSSL's number {number})"
                kind, text = _CHAIN_FAULTS.get(number, ("certificate", text))
                return self._refuse(f"tls_{kind}", text.format(ca_hint=self._ca_hint))
            if depth == 0:
                self._verify_host(shown)
        except VerificationError:
            names = ", ".join(_names(shown)) or "no host at all"
            return self._refuse("tls_host", f"its certificate is for {names}, not {self._host}")
        except Exception as fault:
            return self._refuse("tls_certificate", f"its certificate cannot be checked: {fault!r}")
        return True

    def _verify_host(self, shown: crypto.X509) -> None:
        wanted = (
            IPAddress_ID(self._host)
            if self._is_address
            else DNS_ID(self._host.encode("idna").decode("ascii"))
        )
        verify_service_identity(extract_patterns(shown.to_cryptography()), [wanted], [])

    def _refuse(self, kind: str, text: str) -> bool:
        if self.why is None:
            self.why = Cause(kind, f"{text}; it is not trusted", needs_user_action=True)
        return False


def _names(shown: crypto.X509) -> list[str]:
    from cryptography import x509

    try:
        extension = shown.to_cryptography().extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [str(name.value) for name in extension.value]

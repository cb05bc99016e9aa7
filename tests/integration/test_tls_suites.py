"""What a real TLS server and this agent agree upon: nothing without forward secrecy, no CBC."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from twisted.internet import endpoints, reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from metrics_agent.config.output import read_output
from metrics_agent.output.dial import make_dial
from metrics_agent.transports.tls import VerifyingCreator, tls_options, wrap_tls

REFUSED = (
    "AES256-GCM-SHA384",
    "AES128-SHA256",
    "AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA384",
)
TAKEN = ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305")
LIMIT_S = 20


class Waiting(Protocol):
    """Notes the end of its connection."""

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class Server:
    """A server of Python's own ssl with one suite; takes one connection."""

    def __init__(self, files: tuple[Path, Path], suite: str | None) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*map(str, files))
        if suite is not None:
            self._context.maximum_version = ssl.TLSVersion.TLSv1_2
            self._context.set_ciphers(f"{suite}:@SECLEVEL=0")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LIMIT_S)
        self.port = self._listener.getsockname()[1]

    def serve(self) -> str:
        """Return the suite that was agreed upon, or what the handshake failed with."""
        with self._listener, self._listener.accept()[0] as connection:
            connection.settimeout(LIMIT_S)
            try:
                with self._context.wrap_socket(connection, server_side=True) as secure:
                    return str(secure.cipher()[0])
            except OSError as error:
                return str(error)


class SuiteTests(TestCase):
    """Handshakes with a server that has one suite."""

    timeout = 120

    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        # With RSA, which the exchange of keys by static RSA needs.
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = dt.datetime.now(dt.timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        self.files = (directory / "a.pem", directory / "a.key")
        pem = serialization.Encoding.PEM
        self.files[0].write_bytes(certificate.public_bytes(pem))
        self.files[1].write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )

    async def shake(self, suite: str | None, *, as_output: bool = False) -> str:
        """Return what a server with a suite has to say of us."""
        server = Server(self.files, suite)
        served = deferToThread(server.serve)
        if as_output:
            setting = f"tls://localhost:{server.port}"
            endpoint = make_dial(reactor, read_output(setting), setting)().endpoint
        else:
            creator = VerifyingCreator(tls_options(insecure=True), "localhost", insecure=True)
            tcp: Any = endpoints.HostnameEndpoint(reactor, "localhost", server.port)
            endpoint = wrap_tls(creator, tcp, reactor)
        protocol: Any = await endpoint.connect(Factory.forProtocol(Waiting))
        await protocol.lost
        return await served

    async def test_refused(self) -> None:
        """Static RSA and CBC: the handshake ends without a common suite."""
        for suite in REFUSED:
            self.assertIn("no shared cipher", (await self.shake(suite)).lower(), suite)

    async def test_taken(self) -> None:
        """Suites with both, and TLS 1.3."""
        for suite in TAKEN:
            self.assertEqual(await self.shake(suite), suite)
        self.assertTrue((await self.shake(None)).startswith("TLS_"))

    async def test_output(self) -> None:
        """The output `tls://` refuses the same ones."""
        for suite in REFUSED:
            said = (await self.shake(suite, as_output=True)).lower()
            self.assertIn("no shared cipher", said, suite)

"""The certificates of the tests pass the strictest verification that Python offers."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.certificates import Authority

HOSTS = ("localhost", "127.0.0.1")


def shake_hands(client: ssl.SSLObject, server: ssl.SSLObject, between: list[ssl.MemoryBIO]) -> None:
    """Run a handshake in memory; raises what either side raises.

    Args:
        client: one side.
        server: the other.
        between: what the client reads from and writes to, then the same of the server.
    """
    to_client, of_client, to_server, of_server = between
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
            to_server.write(of_client.read())
            to_client.write(of_server.read())


class AuthorityTests(SynchronousTestCase):
    """Python 3.13 and newer verify with VERIFY_X509_STRICT by default, older ones on request."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.authority = Authority(self.directory, "authority")

    def context(self, purpose: ssl.Purpose, name: str, *hosts: str) -> ssl.SSLContext:
        """Return a context with a certificate that verifies its peer strictly."""
        context = ssl.create_default_context(purpose, cafile=str(self.authority.path))
        context.load_cert_chain(*self.authority.issue(name, *hosts))
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    def connect(self, host: str) -> None:
        """Let a client with a certificate connect to a server with one."""
        bios = [ssl.MemoryBIO() for _ in range(4)]
        client = self.context(ssl.Purpose.SERVER_AUTH, "client").wrap_bio(
            bios[0], bios[1], server_hostname=host
        )
        server = self.context(ssl.Purpose.CLIENT_AUTH, "server", *HOSTS).wrap_bio(
            bios[2], bios[3], server_side=True
        )
        shake_hands(client, server, bios)

    def test_both_sides_verify_strictly(self) -> None:
        for host in HOSTS:
            self.connect(host)

    def test_another_host_is_rejected(self) -> None:
        with self.assertRaisesRegex(ssl.SSLCertVerificationError, "Hostname mismatch"):
            self.connect("elsewhere")

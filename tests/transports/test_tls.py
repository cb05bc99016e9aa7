"""TLS that verifies; what a real server shows is in the integration tests."""

from __future__ import annotations

from pathlib import Path

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.transports.tls import TlsFileError, VerifyingCreator, tls_options


class TlsTests(SynchronousTestCase):
    """Options and creator."""

    def test_no_verification_only_when_asked_for(self) -> None:
        """A certificate that cannot be checked is refused, whatever goes wrong in checking."""
        for insecure, mode in (
            (False, SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT),
            (True, SSL.VERIFY_NONE),
        ):
            creator = VerifyingCreator(tls_options(insecure=insecure), "b", insecure=insecure)
            self.assertEqual(creator.clientConnectionForTLS(None).get_verify_mode(), mode)
        self.assertIsNone(creator.why)
        self.assertFalse(creator._verify(None, None, 0, 0, 1))
        self.assertFalse(creator._verify(None, None, 26, 1, 0))
        self.assertIn("cannot be checked", creator.why.text)

    def test_files(self) -> None:
        """A file that is not there, or holds something else, is named with its setting."""
        path = Path(self.mktemp())
        error = self.assertRaises(TlsFileError, tls_options, ca_file=str(path))
        self.assertEqual(error.key, "tls_ca")
        self.assertIn("No such file", str(error))
        path.write_text("not PEM")
        error = self.assertRaises(TlsFileError, tls_options, certificate_file=str(path))
        self.assertEqual(error.key, "tls_certificate")
        self.assertIn("no PEM certificate", str(error))

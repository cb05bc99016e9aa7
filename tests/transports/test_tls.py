"""TLS that verifies; what a real server shows is in the integration tests."""

from __future__ import annotations

import os
from pathlib import Path

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.transports.tls import TlsFileError, VerifyingCreator, tls_options
from tests.integration.certificates import Authority


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
        path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        error = self.assertRaises(TlsFileError, tls_options, ca_file=str(path))
        self.assertIn("a PEM certificate in it is damaged", str(error))
        path.unlink()
        os.mkfifo(path)
        error = self.assertRaises(TlsFileError, tls_options, ca_file=str(path))
        self.assertIn("not a regular file", str(error))

    def test_a_key_has_to_be_that_of_the_certificate(self) -> None:
        """A pair is taken; another's key, one with a passphrase, or no key at all are named."""
        directory = Path(self.mktemp())
        directory.mkdir()
        authority = Authority(directory, "ca")
        certificate, key = authority.issue("a")
        _other, other_key = authority.issue("b")
        tls_options(
            ca_file=str(authority.path), certificate_file=str(certificate), key_file=str(key)
        )
        for wrong, text in (
            (other_key, "is not the key of tls_certificate"),
            (certificate, "no PEM private key in it"),
            (directory / "none.key", "cannot be read: No such file"),
        ):
            error = self.assertRaises(
                TlsFileError, tls_options, certificate_file=str(certificate), key_file=str(wrong)
            )
            self.assertEqual(error.key, "tls_key")
            self.assertEqual(error.text, f"tls_key {error.reason}")
            self.assertIn(text, error.reason)

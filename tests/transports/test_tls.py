"""TLS that verifies; what a real server shows is in the integration tests."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.cause import CauseError
from metrics_agent.config import Secret
from metrics_agent.transports.tls import VerifyingCreator, tls_options
from tests.integration.certificates import Authority

PASSWORD = "passw\N{LATIN SMALL LETTER O WITH DIAERESIS}rd"


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

    def test_host(self) -> None:
        """A certificate of an authority that we trust is refused by a host that is not in it."""
        directory = Path(self.mktemp())
        directory.mkdir()
        authority = Authority(directory, "ca")
        certificate, _key = authority.issue("server", "broker.example", "192.0.2.1", "2001:db8::1")
        shown = crypto.load_certificate(crypto.FILETYPE_PEM, certificate.read_bytes())
        options = tls_options(ca_file=str(authority.path))
        for host in ("broker.example", "192.0.2.1", "2001:db8::1"):
            creator = VerifyingCreator(options, host)
            self.assertTrue(creator._verify(None, shown, 0, 0, 1), host)
            self.assertIsNone(creator.why)
        for host in ("other.example", "192.0.2.2", "2001:db8::2"):
            creator = VerifyingCreator(options, host)
            self.assertFalse(creator._verify(None, shown, 0, 0, 1), host)
            self.assertEqual(creator.why.kind, "tls_host")
            self.assertIn(f"not {host}", creator.why.text)

    def test_files(self) -> None:
        """A file that is not there, or holds something else, is named with its setting."""
        path = Path(self.mktemp())
        error = self.assertRaises(CauseError, tls_options, ca_file=str(path))
        self.assertEqual(error.cause.kind, "tls_ca")
        self.assertIn("No such file", str(error))
        path.write_text("not PEM")
        error = self.assertRaises(CauseError, tls_options, certificate_file=str(path))
        self.assertEqual(error.cause.kind, "tls_certificate")
        self.assertIn("no PEM certificate", str(error))
        path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        error = self.assertRaises(CauseError, tls_options, ca_file=str(path))
        self.assertIn("a PEM certificate in it is damaged", str(error))
        path.unlink()
        os.mkfifo(path)
        error = self.assertRaises(CauseError, tls_options, ca_file=str(path))
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
                CauseError, tls_options, certificate_file=str(certificate), key_file=str(wrong)
            )
            self.assertEqual(error.cause.kind, "tls_key")
            self.assertTrue(error.cause.text.startswith("tls_key "))
            self.assertIn(text, error.cause.text)

    def test_an_encrypted_key(self) -> None:
        """It needs its password; a missing, a wrong and a long one are named, and not shown."""
        directory = Path(self.mktemp())
        directory.mkdir()
        certificate, path = Authority(directory, "ca").issue("a")
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        for form in (
            serialization.PrivateFormat.PKCS8,
            serialization.PrivateFormat.TraditionalOpenSSL,
        ):
            path.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    form,
                    serialization.BestAvailableEncryption(PASSWORD.encode()),
                )
            )
            files = {"certificate_file": str(certificate), "key_file": str(path)}
            tls_options(**files, key_password=Secret(PASSWORD))
            for password, text in (
                (None, "its key is encrypted; set tls_key_password"),
                (Secret("hunter2"), "tls_key_password is not the password of its key"),
                (Secret(""), "its key is encrypted; set tls_key_password"),
                (Secret("hunter2" * 1000), "cannot be used: "),
            ):
                error = self.assertRaises(CauseError, tls_options, **files, key_password=password)
                self.assertEqual(error.cause.kind, "tls_key")
                self.assertIn(text, error.cause.text)
                self.assertNotIn("hunter2", error.cause.text)

    def test_a_damaged_key(self) -> None:
        """It is said to be damaged, not to be missing."""
        directory = Path(self.mktemp())
        directory.mkdir()
        certificate, key = Authority(directory, "ca").issue("a")
        key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        error = self.assertRaises(
            CauseError, tls_options, certificate_file=str(certificate), key_file=str(key)
        )
        self.assertIn("the PEM private key in it is damaged", error.cause.text)
        self.assertNotIn("AAAA", error.cause.text)

    def test_cipher_suites(self) -> None:
        """Only those with forward secrecy and authenticated encryption are offered."""
        offered = SSL.Connection(tls_options().getContext(), None).get_cipher_list()
        self.assertIn("TLS_AES_256_GCM_SHA384", offered)
        self.assertIn("ECDHE-RSA-AES128-GCM-SHA256", offered)
        for suite in offered:
            self.assertRegex(suite, r"\A(TLS_|ECDHE-|DHE-).*(GCM|CHACHA20|CCM)")

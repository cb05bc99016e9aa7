"""Why a connection cannot be had, in words."""

from __future__ import annotations

from twisted.internet import defer, error
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.cause import Cause, CauseError
from metrics_agent.errors import MissingDependency, ProtocolError
from metrics_agent.transports.mqtt import causes


class ConnectFailureTests(SynchronousTestCase):
    """Each failure of an endpoint has its clause."""

    def test_known_failures(self) -> None:
        """The usual ones are named; nothing shows a class name."""
        for fault, words in (
            (error.ConnectionRefusedError(), "connection refused"),
            (error.DNSLookupError("nowhere"), "host name cannot be resolved"),
            (error.UnknownHostError(), "host name cannot be resolved"),
            (error.NoRouteError(), "network is unreachable"),
            (error.TimeoutError(), "no connection within 7 s"),
            (error.TCPTimedOutError(), "no connection within 7 s"),
            (defer.TimeoutError(), "no connection within 7 s"),
            (defer.CancelledError(), "no connection within 7 s"),
            (error.ConnectError(2, "x"), "No such file or directory"),
            (OSError(13, "x"), "Permission denied"),
        ):
            cause = causes.of_connect_failure(Failure(fault), 7.0)
            self.assertIn(words, cause.text)
            self.assertFalse(cause.needs_user_action)

    def test_needs_user_action(self) -> None:
        """What a setting or a package would mend is an error."""
        cause = Cause("x", "y", needs_user_action=True)
        self.assertIs(causes.of_connect_failure(Failure(CauseError(cause)), 1.0), cause)
        missing = causes.of_connect_failure(Failure(MissingDependency("pip install it")), 1.0)
        self.assertEqual((missing.text, missing.needs_user_action), ("pip install it", True))

    def test_unknown(self) -> None:
        """Anything else is quoted."""
        self.assertEqual(
            causes.of_connect_failure(Failure(ValueError("odd")), 1.0).text, "ValueError: odd"
        )


class LossTests(SynchronousTestCase):
    """Each way in which a transport ends."""

    def test_known(self) -> None:
        """Closed, cut and broken."""
        for fault, words in (
            (error.ConnectionDone(), "closed the connection"),
            (error.ConnectionLost(), "was cut"),
            (ProtocolError("websocket", "a text frame"), "broke the protocol (websocket: a text"),
        ):
            self.assertIn(words, causes.of_loss(Failure(fault), accepted=True, doubt="x").text)
        before = causes.of_loss(Failure(error.ConnectionDone()), accepted=False, doubt="")
        self.assertIn("before accepting it", before.text)

    def test_tls(self) -> None:
        """What OpenSSL says is put into words."""
        from OpenSSL import SSL

        for said, kind in (
            ("tlsv13 alert certificate required", "tls_client_certificate"),
            ("ssl/tls alert handshake failure", "tls_handshake"),
            ("tlsv1 alert unknown ca", "tls_client_ca"),
            ("wrong version number", "tls_not_tls"),
            ("unexpected eof while reading", "tls_eof"),
            ("never heard of", "tls"),
        ):
            fault = SSL.Error([("SSL routines", "", said)])
            cause = causes.of_loss(Failure(fault), accepted=False, doubt=causes.OLD_BROKER)
            self.assertEqual((cause.kind, cause.needs_user_action), (kind, True))

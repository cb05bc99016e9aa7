"""The sd_notify protocol, spoken to real datagram sockets in systemd's place."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from twisted.logger import ILogObserver, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from metrics_agent.supervision.notify import Notifier, make_notifier
from tests.output.fakes import FakeReactor

PID = 4711


class Systemd:
    """The socket that systemd would read."""

    def __init__(self, case: SynchronousTestCase, address: str) -> None:
        self.address = address
        self._case = case
        self._socket: socket.socket | None = None
        case.addCleanup(self.close)
        self.open()

    def open(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(self.address.replace("@", "\0", 1))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            if not self.address.startswith("@"):
                Path(self.address).unlink()

    def heard(self) -> list[str]:
        """Read all that was sent since the last call, one string a datagram."""
        assert self._socket is not None
        datagrams: list[str] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                datagrams.append(self._socket.recv(4096).decode())
        return datagrams


def send_all(sender: socket.socket, address: str) -> int:
    """Send small datagrams until one is not taken; returns how many were."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while sender.sendto(b"X", socket.MSG_DONTWAIT, address):
            count += 1
    return count


class NotifyTestCase(SynchronousTestCase):
    """A reactor, a log and a notifier with fakes; nothing is left in the reactor."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.said: list[str] = []

        @provider(ILogObserver)
        def observer(event) -> None:
            self.said.append(f"{event['log_level'].name}: {formatEvent(event)}")

        self.log = Logger(observer=observer)

    def path(self) -> str:
        # A socket's path has room for 107 bytes, too few for trial's temporary names.
        name = f"/tmp/notify-{os.getpid()}-{id(self)}"
        self.assertLess(len(name), 100)
        return name

    def systemd(self, address: str | None = None) -> Systemd:
        return Systemd(self, address or self.path())

    def notifier(self, address: str | None, watchdog_s: float = 0.0) -> Notifier:
        notifier = Notifier(
            self.reactor,
            address,
            watchdog_s=watchdog_s,
            log=self.log,
            monotonic_us=lambda: 123456,
        )
        self.addCleanup(self.assertEqual, self.reactor.getDelayedCalls(), [])
        self.addCleanup(notifier.stopService)
        return notifier


class StateTests(NotifyTestCase):
    """What the agent says."""

    def test_life(self) -> None:
        """Each state is one datagram, in order; a reload is reported with its time."""
        systemd = self.systemd()
        notifier = self.notifier(systemd.address)
        self.assertTrue(notifier.active)
        notifier.startService()
        notifier.ready()
        notifier.status("2 modules run.")
        notifier.reloading()
        notifier.ready()
        notifier.stopping()
        notifier.stopService()
        self.assertEqual(
            systemd.heard(),
            [
                "READY=1\n",
                "STATUS=2 modules run.\n",
                "RELOADING=1\nMONOTONIC_USEC=123456\n",
                "READY=1\n",
                "STOPPING=1\n",
            ],
        )
        self.assertEqual((self.reactor.getDelayedCalls(), self.said), ([], []))

    def test_abstract_socket(self) -> None:
        """@ means the abstract namespace, as systemd writes it."""
        systemd = self.systemd(f"@metrics-agent-test-{os.getpid()}")
        self.notifier(systemd.address).ready()
        self.assertEqual(systemd.heard(), ["READY=1\n"])

    def test_status_is_one_bounded_line(self) -> None:
        """A line break in a status must not become a message of its own, a long text is cut."""
        systemd = self.systemd()
        notifier = self.notifier(systemd.address)
        notifier.status("a\nSTOPPING=1\n" + "é" * 600)
        [heard] = systemd.heard()
        self.assertEqual(heard, "STATUS=a STOPPING=1 " + "é" * 487 + "\n")
        notifier.status("\udcff\x1b[2K\u202e")
        self.assertEqual(systemd.heard(), ["STATUS=\\udcff\\x1b[2K\\u202e\n"])

    def test_same_status(self) -> None:
        """A status that is shown already is not sent again."""
        systemd = self.systemd()
        notifier = self.notifier(systemd.address)
        for text in ("a", "a", "b", "a"):
            notifier.status(text)
        self.assertEqual(systemd.heard(), ["STATUS=a\n", "STATUS=b\n", "STATUS=a\n"])

    def test_nobody(self) -> None:
        """Where no one is to be notified, everything is a no-op."""
        notifier = self.notifier(None, watchdog_s=1)
        self.assertFalse(notifier.active)
        notifier.startService()
        notifier.ready()
        notifier.reloading()
        notifier.stopping()
        notifier.status("text")
        notifier.stopService()
        self.assertEqual((self.reactor.getDelayedCalls(), self.said), ([], []))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_after_the_stop(self) -> None:
        """A stopped notifier is silent, and stopping it twice or before its start is harmless."""
        systemd = self.systemd()
        notifier = self.notifier(systemd.address, watchdog_s=1)
        notifier.stopService()
        notifier.stopService()
        notifier.ready()
        notifier.startService()
        self.assertEqual((systemd.heard(), self.reactor.getDelayedCalls()), ([], []))


class TroubleTests(NotifyTestCase):
    """A socket that is full, gone or comes back: never blocked, never raised, nothing lost."""

    def fill(self, systemd: Systemd) -> int:
        """Send until systemd's queue is full; returns how many datagrams it took.

        A sender's own buffer is full after some hundred of them, so there are many senders.
        """
        total, taken = 0, -1
        while taken:
            sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.addCleanup(sender.close)
            taken = send_all(sender, systemd.address)
            total += taken
        return total

    def test_full(self) -> None:
        """A full socket does not block; what waits goes out once there is room, said once."""
        systemd = self.systemd()
        notifier = self.notifier(systemd.address)
        count = self.fill(systemd)
        notifier.ready()
        notifier.status("all is well")
        self.reactor.advance(1)
        self.assertEqual(len(systemd.heard()), count)
        self.assertEqual(len(self.said), 1)
        self.assertIn("warn: Cannot notify systemd", self.said[0])
        self.assertIn("Resource temporarily unavailable", self.said[0])
        self.reactor.advance(1)
        self.assertEqual(systemd.heard(), ["READY=1\nSTATUS=all is well\n"])
        self.assertEqual(self.said[1:], ["info: Connection to systemd's notify socket restored."])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_gone_and_back(self) -> None:
        """While the socket is gone, only the newest state and status are kept."""
        systemd = self.systemd()
        notifier = self.notifier(systemd.address)
        notifier.ready()
        systemd.close()
        notifier.reloading()
        notifier.status("reloading")
        notifier.ready()
        notifier.status("running")
        for _ in range(5):
            self.reactor.advance(1)
        systemd.open()
        self.reactor.advance(1)
        self.assertEqual(systemd.heard(), ["READY=1\nSTATUS=running\n"])
        self.assertEqual([line.partition(":")[0] for line in self.said], ["warn", "info"])
        self.assertIn("No such file or directory", self.said[0])

    def test_gone_for_good(self) -> None:
        """Nothing raises and nothing is left in the reactor when it never comes back."""
        notifier = self.notifier("/nonexistent/socket", watchdog_s=1)
        notifier.startService()
        notifier.ready()
        self.reactor.advance(1)
        notifier.stopping()
        notifier.stopService()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(len(self.said), 1)

    def test_path_too_long(self) -> None:
        """An address that no socket can have is reported like one that is not there."""
        self.notifier("/" + "x" * 200).ready()
        self.assertIn("AF_UNIX path too long", self.said[0])

    def test_last_words(self) -> None:
        """What could not be said is tried a last time at the stop."""
        systemd = self.systemd()
        notifier = self.notifier(systemd.address)
        systemd.close()
        notifier.stopping()
        systemd.open()
        notifier.stopService()
        self.assertEqual(systemd.heard(), ["STOPPING=1\n"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_ping_carries_what_waits(self) -> None:
        """A ping that gets through takes along what could not be sent before it."""
        systemd = self.systemd()
        notifier = self.notifier(systemd.address, watchdog_s=1.2)
        notifier.startService()
        systemd.close()
        notifier.ready()
        systemd.open()
        self.reactor.advance(0.6)
        self.assertEqual(systemd.heard(), ["READY=1\nWATCHDOG=1\n"])
        self.reactor.advance(0.5)
        self.assertEqual(systemd.heard(), [])


class PingTests(NotifyTestCase):
    """The watchdog."""

    def test_pings(self) -> None:
        """One at the start, then one each half of systemd's limit; none after the stop."""
        systemd = self.systemd()
        notifier = self.notifier(systemd.address, watchdog_s=90)
        notifier.startService()
        self.assertEqual(systemd.heard(), ["WATCHDOG=1\n"])
        for _ in range(3):
            self.reactor.advance(44)
            self.assertEqual(systemd.heard(), [])
            self.reactor.advance(1)
            self.assertEqual(systemd.heard(), ["WATCHDOG=1\n"])
        notifier.stopService()
        self.assertEqual((systemd.heard(), self.reactor.getDelayedCalls()), ([], []))

    def test_hung_reactor(self) -> None:
        """No ping while the reactor hangs, and one, not a heap of them, when it goes on."""
        systemd = self.systemd()
        self.notifier(systemd.address, watchdog_s=90).startService()
        systemd.heard()
        self.reactor.advance(5 * 45)
        self.assertEqual(systemd.heard(), ["WATCHDOG=1\n"])


class EnvironmentTests(NotifyTestCase):
    """When the environment means us."""

    def make(self, **environ: str) -> Notifier:
        notifier = make_notifier(self.reactor, environ, pid=PID, log=self.log)
        self.addCleanup(notifier.stopService)
        return notifier

    def test_started_by_systemd(self) -> None:
        """SYSTEMD_EXEC_PID is our own: the socket is ours, and so is the watchdog."""
        notifier = self.make(
            NOTIFY_SOCKET="/run/systemd/notify",
            SYSTEMD_EXEC_PID=str(PID),
            WATCHDOG_USEC="90000000",
            WATCHDOG_PID=str(PID),
        )
        self.assertTrue(notifier.active)
        self.assertEqual(notifier._watchdog_s, 90)

    def test_started_by_a_service(self) -> None:
        """As Telegraf's child the variables are Telegraf's: nothing is sent."""
        systemd = self.systemd()
        notifier = self.make(
            NOTIFY_SOCKET=systemd.address, SYSTEMD_EXEC_PID="4710", WATCHDOG_USEC="90000000"
        )
        notifier.startService()
        notifier.ready()
        notifier.stopping()
        self.assertEqual((notifier.active, systemd.heard()), (False, []))

    def test_silent(self) -> None:
        """Without SYSTEMD_EXEC_PID, or without a socket, nothing is sent and nothing logged."""
        for environ in (
            {},
            {"SYSTEMD_EXEC_PID": str(PID)},
            {"NOTIFY_SOCKET": "", "SYSTEMD_EXEC_PID": str(PID)},
            {"NOTIFY_SOCKET": "/run/systemd/notify"},
            {"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "4711"},
            {"NOTIFY_SOCKET": "/run/systemd/notify", "SYSTEMD_EXEC_PID": "04711"},
        ):
            self.assertFalse(self.make(**environ).active, environ)
        self.assertEqual(self.said, [])

    def test_own_pid(self) -> None:
        """By default the process is this one."""
        environ = {"NOTIFY_SOCKET": "/x", "SYSTEMD_EXEC_PID": str(os.getpid())}
        self.assertTrue(make_notifier(self.reactor, environ).active)

    def test_wrong_address(self) -> None:
        """An address of another kind is said, and no one is notified."""
        for address in ("vsock:2:1234", "relative", "@", "/"):
            self.said.clear()
            notifier = self.make(NOTIFY_SOCKET=address, SYSTEMD_EXEC_PID=str(PID))
            self.assertFalse(notifier.active)
            self.assertEqual(len(self.said), 1)
            self.assertIn(repr(address), self.said[0])

    def test_watchdog_of_another(self) -> None:
        """A watchdog that watches another process gets no pings from us."""
        notifier = self.make(
            NOTIFY_SOCKET="/x", SYSTEMD_EXEC_PID=str(PID), WATCHDOG_USEC="1", WATCHDOG_PID="4710"
        )
        self.assertEqual((notifier.active, notifier._watchdog_s), (True, 0))

    def test_wrong_watchdog(self) -> None:
        """A limit that is not a number of microseconds is logged; states are sent all the same."""
        for text in ("0", "-1", "1.5", "soon", "²", "9" * 5000):
            self.said.clear()
            notifier = self.make(NOTIFY_SOCKET="/x", SYSTEMD_EXEC_PID=str(PID), WATCHDOG_USEC=text)
            self.assertEqual((notifier.active, notifier._watchdog_s), (True, 0), text)
            self.assertEqual(len(self.said), 1)

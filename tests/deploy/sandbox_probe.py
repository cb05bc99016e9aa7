"""Run by the box's systemd in the sandbox of metrics-agent.service: does Python run in there?

Not a test module: the unit's ExecStart in a test, with the interpreter of the installed agent. It
ends with a traceback, or prints one line of what it saw.
"""

import ctypes
import os
import socket
import ssl
import sys
import tempfile
import threading
from pathlib import Path

import cffi
import orjson
from twisted.internet import defer, endpoints, protocol, reactor
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS

LIMIT_S = 20
HERE = Path(__file__).parent
FILES = ("localhost.pem", "localhost.key", "authority.pem")  # put here by the test


def certificates():
    """Return the certificate of the server with its key, and that of the authority."""
    server, key, authority = ((HERE / name).read_bytes() for name in FILES)
    return PrivateCertificate.loadPEM(server + key), Certificate.loadPEM(authority)


class Talk(protocol.Protocol):
    """Says hello and waits for hello."""

    def __init__(self):
        self.heard = defer.Deferred()

    def connectionMade(self):
        self.transport.write(b"hello")

    def dataReceived(self, data):
        if not self.heard.called:
            self.heard.callback(data)


async def tls():
    """Shake hands over TLS, by a name that a thread looks up; its callbacks come through cffi."""
    own, authority = certificates()
    listening = await endpoints.SSL4ServerEndpoint(
        reactor, 0, own.options(), interface="127.0.0.1"
    ).listen(protocol.Factory.forProtocol(Talk))
    client = endpoints.wrapClientTLS(
        optionsForClientTLS("localhost", trustRoot=authority),
        endpoints.HostnameEndpoint(reactor, "localhost", listening.getHost().port),
    )
    talk = await client.connect(protocol.Factory.forProtocol(Talk))
    assert await talk.heard == b"hello"
    talk.transport.loseConnection()
    await listening.stopListening()


def refused(what, *errors):
    """Return whether a call is refused."""
    try:
        what()
    except errors:
        return True
    return False


def sandbox():
    """Check that the sandbox is there at all: without it this whole program shows nothing."""
    assert refused(lambda: Path("/etc/x").touch(), OSError)
    assert refused(lambda: os.nice(-1), PermissionError, OSError)
    assert refused(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW), OSError)
    assert os.getuid() != 0


def main():
    """Do all that the agent and its libraries do that a sandbox could mind."""
    sandbox()
    assert orjson.loads(orjson.dumps({"a": 1.5})) == {"a": 1.5}
    assert ctypes.CDLL(None).getpid() == os.getpid()
    thread = threading.Thread(target=tempfile.mkdtemp)
    thread.start()
    thread.join()
    passed = []
    done = defer.ensureDeferred(tls()).addTimeout(LIMIT_S, reactor)
    done.addCallbacks(passed.append, lambda failure: failure.printTraceback(sys.stderr))
    done.addBoth(lambda _result: reactor.stop())
    reactor.run()
    if not passed:
        sys.exit("probe failed")
    versions = (sys.version.split()[0], ssl.OPENSSL_VERSION, cffi.__version__)
    sys.stdout.write(f"probe passed with {versions}\n")


main()

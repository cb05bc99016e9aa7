"""Run by the box's systemd in the sandbox of metrics-agent.service: does Python run in there?

Not a test module: the unit's ExecStart in a test, with the interpreter of the installed agent. It
ends with a traceback, or prints one line of what it saw.
"""

import ctypes
import datetime as dt
import os
import socket
import ssl
import sys
import tempfile
import threading
from pathlib import Path

import cffi
import orjson
import treq
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import defer, endpoints, protocol, reactor
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS

LIMIT_S = 20


def certificate():
    """Make a certificate for localhost that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.timezone.utc)
    day = dt.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return PrivateCertificate.loadPEM(pem), Certificate.loadPEM(pem)


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
    own, authority = certificate()
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
    """Tell whether a call is refused."""
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
    versions = (sys.version.split()[0], ssl.OPENSSL_VERSION, cffi.__version__, treq.__version__)
    sys.stdout.write(f"probe passed with {versions}\n")


main()

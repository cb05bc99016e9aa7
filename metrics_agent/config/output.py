"""The `output` setting: stdout, a file, a socket, a database or a broker, and how to get at it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal
from urllib.parse import unquote

from attrs import evolve, frozen

from metrics_agent.broker_address import BrokerAddress, parse_address
from metrics_agent.config.endpoint import endpoint_arguments
from metrics_agent.config.faults import Fault
from metrics_agent.config.secret import Secret
from metrics_agent.config.setting import setting
from metrics_agent.config.tls import TlsSettings
from metrics_agent.config.types import Duration
from metrics_agent.errors import OutputError
from metrics_agent.host_port import HOST_PORT, SCHEME, UNPRINTABLE, read_host, read_port, shown
from metrics_agent.topic_filters import text_fault, valid_topic

__all__ = [
    "EXPECTED_OUTPUT",
    "STDOUT",
    "OutputSettings",
    "Target",
    "needs_tls",
    "read_output",
    "without_query",
]

STDOUT: Final = "stdout"

EXPECTED_OUTPUT: Final = (
    "stdout, the absolute path of a file, tcp://host:port, tls://host:port, unix:///path, "
    "http://host:port/write?db=NAME or mqtt://host:port/topic"
)
_DATAGRAMS: Final = frozenset({"udp", "udp4", "udp6", "unixgram", "ip"})
_SCHEMES: Final[dict[str, Literal["tcp", "tls"]]] = {
    "tcp": "tcp",
    "tcp4": "tcp",
    "tcp6": "tcp",
    "tls": "tls",
    "ssl": "tls",
}
_HTTP: Final[Mapping[str, tuple[Literal["http", "https"], int]]] = {
    "http": ("http", 80),
    "https": ("https", 443),
}
_BROKERS: Final = frozenset({"mqtt", "mqtts"})
_WEBSOCKETS: Final = frozenset({"ws", "wss"})
_WRITE_PATHS: Final = "/write?db=NAME or /api/v2/write?org=NAME&bucket=NAME"
_ENDPOINT = re.compile(r"([a-z][a-z0-9]*):(.*)", re.DOTALL)


@frozen
class Target:
    """Where the lines go.

    Attributes:
        kind: what it is; ``endpoint`` is any other client endpoint of Twisted.
        path: of the file or the Unix socket; of a database with its query.
        host: of a TCP socket, with or without TLS, without brackets.
        port: of that.
        description: of the endpoint, as Twisted reads it.
        url: of a database.
        broker: None where it is none.
        topic: at the broker.
    """

    kind: Literal["stdout", "file", "tcp", "tls", "unix", "endpoint", "http", "https", "mqtt"]
    path: str = ""
    host: str = ""
    port: int = 0
    description: str = ""
    url: str = ""
    broker: BrokerAddress | None = None
    topic: str = ""

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken on the way, beside what a Twisted endpoint does."""
        secure_broker = self.broker is not None and self.broker.secure
        return secure_broker or self.kind in {"tls", "https"}

    @property
    def is_database(self) -> bool:
        """Whether lines are sent in requests over HTTP."""
        return bool(self.url)


@frozen
class OutputSettings(TlsSettings):
    """How to get at an output."""

    ca_hint = "see output_settings.tls_ca"

    token: Secret | None = setting(
        default=None,
        doc="API token of the database (InfluxDB 2 and 3; sent as `Authorization: Token ...`).",
        example="",
    )
    username: str = setting(
        default="",
        doc="Login name at the database (InfluxDB 1 and proxies; sent as HTTP Basic) or broker.",
        example="telegraf",
    )
    password: Secret | None = setting(default=None, doc="Password of `username`.", example="")
    timeout: Duration = setting(
        default="30s",
        doc="Time for one request to the database, from the name's look-up to the answer's end; "
        "for one attempt to connect to the broker, and for its answer to a message.",
        minimum=1,
        maximum=600,
    )
    client_id: str = setting(
        default="",
        doc="Client id at the broker of an `output` with mqtt://. Empty: made of host name, "
        "instance, broker and user name.",
    )

    def authorization(self) -> str:
        """Return the value of the header ``Authorization``, empty for none; secret."""
        if self.token is not None and self.token.reveal():
            return f"Token {self.token.reveal()}"
        if not self.username:
            return ""
        password = "" if self.password is None else self.password.reveal()
        return f"Basic {b64encode(f'{self.username}:{password}'.encode()).decode()}"

    def check_for(self, output: str) -> Iterator[Fault]:
        """Yield what is wrong between these settings and the output.

        Args:
            output: the setting, which `read_output` takes.
        """
        target = read_output(output)
        name = without_query(output)
        plain = None if target.secure else name
        for fault in self.check_tls("output", "tls://, https://, mqtts:// or wss://", plain):
            yield _inside(fault)
        login = ("token", "username", "password")
        given = [key for key in login if getattr(self, key) not in (None, "", Secret(""))]
        hint = "remove it or change output"
        if self.client_id and target.broker is None:
            expected = "an output with mqtt:// or mqtts://"
            yield _inside(Fault("client_id", f"a client id for {name}", expected, hint))
        if "token" in given and target.broker is not None:
            yield _inside(Fault("token", "a token for a broker", "username and password", hint))
        elif given and not target.is_database and target.broker is None:
            expected = "an output with http://, https://, mqtt:// or mqtts://"
            yield _inside(Fault(given[0], f"a login for {name}", expected, hint))
        elif "token" in given and len(given) > 1:
            yield _inside(Fault(given[1], "a login beside token", "one or the other", "remove one"))
        elif given == ["password"]:
            yield _inside(Fault("username", "nothing", "a name", "password is set and needs it"))
        if target.broker is not None:
            yield from self._check_texts()
        else:
            yield from self._check_headers(given)

    def _check_headers(self, given: Sequence[str]) -> Iterator[Fault]:
        for key in given:
            value = getattr(self, key)
            text = value.reveal() if isinstance(value, Secret) else value
            if key == "username" and ":" in text:
                yield _inside(Fault(key, "a name with a colon", "a name without one"))
            if UNPRINTABLE.search(text) or (key == "token" and not text.isascii()):
                yield _inside(Fault(key, "a text that HTTP cannot carry", "printable characters"))

    def _check_texts(self) -> Iterator[Fault]:
        for key in ("username", "client_id"):
            reason = text_fault(getattr(self, key) or "-")
            if reason is not None:
                yield _inside(Fault(key, f"a text that MQTT cannot carry: {reason}"))


def _inside(fault: Fault) -> Fault:
    return evolve(fault, path=f"output_settings.{fault.path}")


def without_query(setting: str) -> str:
    """Return an output as a log may show it: the query of an address may hold a password."""
    return setting.partition("?")[0] if SCHEME.match(setting) else setting


def read_output(setting: str) -> Target:
    """Read the setting: ``stdout``, a path, a URL as Telegraf writes it, or a Twisted endpoint.

    Raises:
        OutputError: it is none of them; the text says what was got and what was expected.
    """
    if setting == STDOUT:
        return Target("stdout")
    if setting.startswith("/"):
        return Target("file", path=_absolute(setting, setting))
    scheme = SCHEME.match(setting)
    try:
        if scheme:
            return _from_url(scheme[1].lower(), setting[scheme.end() :], setting)
        where = HOST_PORT.fullmatch(setting)
        if where and where["port"] and where["host"] not in {*_SCHEMES, *_DATAGRAMS, "unix"}:
            raise OutputError(f"got {shown(setting)}, expected tcp://{setting} for a TCP socket")
        endpoint = _ENDPOINT.fullmatch(setting)
        if endpoint:
            return _from_description(endpoint[1], endpoint[2], setting)
    except ValueError as error:
        raise OutputError(str(error)) from None
    if setting == "stderr":
        raise OutputError(f"got 'stderr', which is for the log, expected {EXPECTED_OUTPUT}")
    raise OutputError(f"got {shown(setting)}, expected {EXPECTED_OUTPUT}")


def needs_tls(setting: str) -> bool:
    """Return whether the output speaks TLS, for which OpenSSL is loaded."""
    return setting.lower().startswith(("tls:", "ssl:", "https:", "mqtts:", "wss:"))


def _from_url(scheme: str, rest: str, setting: str) -> Target:
    if scheme in _DATAGRAMS:
        raise _datagrams(setting)
    if scheme == "unix":
        return Target("unix", path=_absolute(rest, setting))
    if scheme in _HTTP:
        return _database(scheme, rest)
    if scheme in _BROKERS | _WEBSOCKETS:
        return _broker(scheme, rest, setting)
    if scheme not in _SCHEMES:
        raise OutputError(f"got the scheme {shown(scheme)}, expected {EXPECTED_OUTPUT}")
    if "@" in rest:  # before anything is shown: it may hold a password
        raise OutputError(f"got a login in the address, expected {scheme}://host:port")
    authority, _slash, path = rest.partition("/")
    where = None if path else HOST_PORT.fullmatch(authority)
    return _socket(_SCHEMES[scheme], where, setting)


def _database(scheme: str, rest: str) -> Target:
    """Read the address of a database; errors show nothing that may be secret."""
    kind, default_port = _HTTP[scheme]
    authority, slash, path = rest.partition("/")
    authority, mark, _query = authority.partition("?")
    if "@" in authority:
        raise OutputError(
            f"got a login in the address, expected {scheme}://host:port/path and the login in "
            "output_settings.username and output_settings.password"
        )
    before = path.partition("?")[0].partition("#")[0]
    name = f"{scheme}://{authority}{slash}{before}"
    if not before or mark:
        raise OutputError(f"got {shown(name)} without a path, expected {_WRITE_PATHS} after it")
    if UNPRINTABLE.search(rest) or not path.isascii() or "#" in rest:
        raise OutputError(f"got {shown(name)}, expected an address that is percent-encoded")
    where = HOST_PORT.fullmatch(authority)
    if where is None:
        raise OutputError(f"got {shown(name)}, expected {scheme}://host:port/{before}")
    host, port = read_host(where, name), read_port(where["port"], default_port)
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    shown_host = f"[{host}]" if ":" in host else host
    url = f"{kind}://{shown_host}:{port}/{path}"
    return Target(kind, path=f"/{path}", host=host, port=port, url=url)


def _broker(scheme: str, rest: str, setting: str) -> Target:
    """Read the address of a broker and a topic there; a WebSocket's path ends with a ``#``."""
    if "@" in rest:  # before anything is shown, and wherever it is: a password may hold a "/"
        raise OutputError(
            f"got a login in the address, expected {scheme}://host:port and the login in "
            "output_settings.username and output_settings.password (a topic has %40 for an @)"
        )
    before_topic = "#" if scheme in _WEBSOCKETS else "/"
    where, mark, written = rest.partition(before_topic)
    address = parse_address(f"{scheme}://{where}")
    got = shown(setting[: -len(rest)] + _hide_query(where) + mark + _hide_query(written))
    expected = f"{scheme}://host:port{'/mqtt#' if scheme in _WEBSOCKETS else '/'}topic"
    if not written:
        raise OutputError(f"got {got} without a topic, expected {expected}")
    if "?" in written or UNPRINTABLE.search(written):
        raise OutputError(f"got {got}, expected {expected}, percent-encoded")
    try:
        topic = unquote(written, errors="strict")
    except UnicodeDecodeError:
        raise OutputError(f"got {got}, whose topic is not UTF-8") from None
    reason = valid_topic(topic)
    if topic.startswith("$"):
        reason = "topics that begin with $ belong to the broker"
    if reason is not None:
        raise OutputError(f"got {got}: {reason}, expected {expected}")
    return Target("mqtt", broker=address, topic=topic)


def _hide_query(text: str) -> str:
    """Return a part of an address without its query, which may hold a password."""
    before, mark, query = text.partition("?")
    return before + mark + ("..." if query else "")


def _socket(kind: Literal["tcp", "tls"], where: re.Match[str] | None, setting: str) -> Target:
    if where is None or where["port"] is None:
        raise OutputError(f"got {shown(setting)}, expected {kind}://host:port")
    host, port = read_host(where, setting), read_port(where["port"], 0)
    return Target(kind, host=host, port=port)


def _from_description(kind: str, rest: str, setting: str) -> Target:
    """Read the description of a Twisted client endpoint, such as ``tcp:host=a:port=1``."""
    if kind in _DATAGRAMS:
        raise _datagrams(setting)
    where = HOST_PORT.fullmatch(rest)
    if kind in _SCHEMES and where and where["port"]:
        return _socket(_SCHEMES[kind], where, setting)
    named, unnamed = endpoint_arguments(rest)
    if kind == "unix":
        path = _absolute(named.pop("path", unnamed[0] if unnamed else ""), setting)
        if not named:
            return Target("unix", path=path)
    elif kind == "ssl":
        raise OutputError(
            f"got {shown(setting)}, which does not check whose certificate it is, "
            "expected tls:host=...:port=..."
        )
    elif kind in {"tcp", "tls"}:
        values = dict(zip(("host", "port"), unnamed, strict=False)) | named
        if not values.get("host") or not values.get("port", "").isdecimal():
            raise OutputError(f"got {shown(setting)}, expected {_SCHEMES[kind]}://host:port")
        read_port(values["port"], 0)
    return Target("endpoint", description=setting)


def _absolute(path: str, setting: str) -> str:
    if path == "/":
        raise OutputError(
            f"got {shown(setting)}, a directory, expected the absolute path of a file"
        )
    if not path.startswith("/") or "\0" in path:
        raise OutputError(f"got {shown(setting)}, expected an absolute path")
    return path


def _datagrams(setting: str) -> OutputError:
    return OutputError(
        f"got {shown(setting)}: datagrams are lost without notice, expected tcp://host:port, "
        "tls://host:port or unix:///path, which Telegraf's socket_listener accepts too"
    )

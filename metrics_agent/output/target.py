"""Makes the output that the setting `output` names: the one place that knows how it is written.

Importing this loads neither Twisted nor a writer: each kind loads its own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metrics_agent.config.output import OutputSettings, Target, read_output, without_query

if TYPE_CHECKING:
    from metrics_agent.output.writer import BatchSource, MakeWriter, Writer
    from metrics_agent.platform import Platform
    from metrics_agent.transports.reconnecting import Dial

__all__ = ["file_trouble", "make_output"]


def file_trouble(path: str) -> str | None:
    """Return why a file cannot be written now, None if it can; opens and creates nothing."""
    place = Path(path)
    try:
        try:
            mode = place.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            if place.is_symlink():
                place = place.resolve()  # the file that would be created
            if not place.parent.is_dir():
                return f"there is no directory {place.parent}"
        else:
            if stat.S_ISDIR(mode):
                return "it is a directory"
            return None if _may(place, os.W_OK) else "this user may not write it"
    except OSError as error:
        return error.strerror or str(error)
    if not _may(place.parent, os.W_OK | os.X_OK):
        return f"this user may not create a file in {place.parent}"
    return None


def make_output(
    platform: Platform,
    reactor: Any,
    setting: str,
    take_stdout: Callable[[], int],
    own: Callable[[int], object] = lambda _descriptor: None,
    settings: OutputSettings | None = None,
    instance: str = "",
) -> MakeWriter:
    """Turn the setting into what the sink calls at start; connects and opens nothing yet.

    Args:
        platform: the machine.
        reactor: the reactor.
        setting: see `read_output`.
        take_stdout: gives the private descriptor of fd 1; called only for ``stdout``.
        own: called with the descriptor of a file that was made, to give it to its owner.
        settings: how to get at it; None for the defaults.
        instance: the agent's name, for a client id; empty for the host's.

    Raises:
        OutputError: the setting cannot be used.
    """
    target = read_output(setting)
    if target.kind == "stdout":
        from metrics_agent.output.descriptor import descriptor_writer

        return lambda source: descriptor_writer(platform.kernel, reactor, take_stdout(), source)
    if target.kind == "file":
        from metrics_agent.output.path import PathWriter

        return lambda source: PathWriter(platform.kernel, reactor, target.path, source, own)

    # Endpoints bring in much that a writer to stdout never needs.
    from metrics_agent.output.dial import make_dial
    from metrics_agent.output.endpoint import EndpointWriter

    settings = settings or OutputSettings()
    dial = make_dial(reactor, target, setting, settings)
    if target.broker is not None:
        return _make_mqtt(platform, reactor, target, setting, settings, dial, instance)
    if target.is_database:
        return _make_http(platform, reactor, target, setting, settings, dial)
    return lambda source: EndpointWriter(platform, reactor, dial, setting, source)


def _make_http(
    platform: Platform,
    reactor: Any,
    target: Target,
    setting: str,
    settings: OutputSettings,
    dial: Callable[[], Dial],
) -> MakeWriter:
    # The client of HTTP is loaded for nothing else.
    from metrics_agent.backoff import Backoff
    from metrics_agent.output.http.writer import ANSWER_BYTES, HttpWriter
    from metrics_agent.output.outgoing import RETRY_MAX_S, RETRY_MIN_S
    from metrics_agent.transports.http_post import Poster

    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if authorization := settings.authorization():
        headers["Authorization"] = authorization

    def make(source: BatchSource) -> Writer:
        client = Poster(
            reactor,
            target.url,
            dial=dial,
            headers=headers,
            timeout_s=settings.timeout,
            body_limit=ANSWER_BYTES,
        )
        backoff = Backoff(RETRY_MIN_S, RETRY_MAX_S, platform.random)
        return HttpWriter(
            reactor,
            client,
            without_query(setting),
            source,
            backoff,
            lambda: platform.wall_ns() / 1e9,
        )

    return make


def _make_mqtt(
    platform: Platform,
    reactor: Any,
    target: Target,
    setting: str,
    settings: OutputSettings,
    dial: Callable[[], Dial],
    instance: str,
) -> MakeWriter:
    # Where no module uses MQTT this loads paho.
    from metrics_agent.backoff import Backoff
    from metrics_agent.output.mqtt.settings import OUTPUT, broker_settings
    from metrics_agent.output.mqtt.writer import MqttWriter
    from metrics_agent.output.outgoing import RETRY_MAX_S, RETRY_MIN_S
    from metrics_agent.transports.mqtt.client_id import client_id
    from metrics_agent.transports.mqtt.publisher import Publisher

    name = without_query(setting)
    broker = broker_settings(target, settings)

    def backoff() -> Backoff:
        return Backoff(RETRY_MIN_S, RETRY_MAX_S, platform.random)

    def connect(writer: MqttWriter) -> Publisher:
        return Publisher(
            reactor,
            broker,
            client_id=client_id(broker, platform.host_name(), instance, OUTPUT),
            name=name,
            dial=dial,
            owner=writer,
            backoff=backoff(),
            log=platform.make_logger(),
        )

    return lambda source: MqttWriter(reactor, connect, target.topic, name, source, backoff())


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)

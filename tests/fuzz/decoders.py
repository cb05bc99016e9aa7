"""Targets: what devices and services send, from the payload to the line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import hypothesis.strategies as st
from attrs import frozen

from metrics_agent.cause import CauseError
from metrics_agent.config.secret import Secret
from metrics_agent.http_interface import HttpReply
from metrics_agent.interfaces import Message
from metrics_agent.modules.hadiscovery.config import HadiscoverySettings
from metrics_agent.modules.hadiscovery.service import HadiscoveryModule
from metrics_agent.modules.netatmo.answers import NextStep, judge
from metrics_agent.modules.netatmo.config import NetatmoSettings
from metrics_agent.modules.netatmo.service import NetatmoModule
from metrics_agent.modules.opendtu.config import OpenDtuSettings
from metrics_agent.modules.opendtu.service import OpenDtuModule
from metrics_agent.modules.tasmota.config import TasmotaSettings
from metrics_agent.modules.tasmota.service import TasmotaModule
from metrics_agent.oauth2.provider import Provider
from metrics_agent.oauth2.replies import read_reply
from metrics_agent.oauth2.tokens import read_stored, write_stored
from metrics_agent.testing import FakeContext, topic_matches
from metrics_agent.topic_filters import valid_topic
from tests.fuzz.corpus import (
    CASES,
    Conversation,
    Line,
    conversations,
    netatmo_answers,
    settings_of,
)
from tests.fuzz.mutations import Draw, Vocabulary, json_bent, text_bent
from tests.fuzz.oracle import Target, check_context

__all__ = ["DECODERS"]

_WAITS: Final = st.sampled_from((0.0, 0.0, 0.0, 1.0, 6.0, 70.0))
_STRAY_TOPICS: Final = (
    *(
        "tele",
        "stat",
        "cmnd",
        "SENSOR",
        "STATE",
        "LWT",
        "RESULT",
        "STATUS8",
        "STATUS10",
        "STATUS11",
    ),
    *("ENERGYTOTAL", "ZbReceived", "plug", "", "+", "#", "$SYS", "x" * 300, "a b", "é", "config"),
)


@frozen
class Said:
    """A message of a case: what comes, and how many seconds pass before it."""

    topic: str
    payload: bytes
    retain: bool
    wait_s: float


@frozen
class Case:
    """Messages to a module.

    Attributes:
        conversation: whose settings it has.
        messages: in order.
    """

    conversation: Conversation
    messages: Sequence[Said]


def cases_of(found: Iterable[Conversation], stray_topics: Sequence[str]) -> st.SearchStrategy[Case]:
    """Return a strategy of conversations in which some messages are bent, lost or repeated."""
    known = tuple(found)
    words = Vocabulary.of(line.payload for each in known for line in each.lines)
    # Of one conversation, so that a device stays the same from message to message.
    tokens_of = iter(words.texts)
    payloads = {
        each: [json_bent(words, texts=[next(tokens_of)]) for _ in each.lines] for each in known
    }
    anything = json_bent(words)

    @st.composite
    def case(draw: Draw) -> Case:
        each = draw(st.sampled_from(known))
        messages = []
        for line, bent in zip(each.lines, payloads[each], strict=True):
            how = draw(st.sampled_from(_HOWS))
            if how == "lost":
                continue
            if how == "as it is":
                said = _said(line, line.payload.encode(), draw(_WAITS))
            else:
                payload = draw(anything if how == "another" else bent)
                said = _said(line, payload, draw(_WAITS))
            if how == "topic":
                topic = draw(text_bent(line.topic, stray_topics, often=1))
                said = Said(topic, said.payload, draw(st.booleans()), said.wait_s)
            messages += [said] * (2 if how == "twice" else 1)
        return Case(each, messages)

    return case()


_HOWS: Final = ("bent",) * 6 + ("as it is",) * 3 + ("another", "topic", "twice", "lost")


def _said(line: Line, payload: bytes, wait_s: float) -> Said:
    return Said(line.topic, payload, line.retain, wait_s)


def deliver(context: FakeContext, said: Said, number: int) -> None:
    """Give a message to whoever subscribed, as a connection does: a topic is always a valid one."""
    if valid_topic(said.topic) is not None:
        return
    message = Message(said.topic, said.payload, 0, said.retain, context.now_ns() + number)
    for subscription in list(context.subscriptions):
        if subscription.active and topic_matches(subscription.topic_filter, said.topic):
            context.emit(subscription.handler(message))


# Tasmota.


def run_tasmota(case: Case) -> None:
    """Give the messages to the module, and stop it."""
    context = FakeContext()
    module = TasmotaModule(case.conversation.settings, context)
    module.startService()
    for number, said in enumerate(case.messages):
        context.advance(said.wait_s)
        deliver(context, said, number)
    context.advance(6)
    module.stopService()
    check_context(context)


# OpenDTU.


def run_opendtu(case: Case) -> None:
    """Give frames or messages to the module; its socket is not opened."""
    context = FakeContext(name="opendtu")
    module = OpenDtuModule(case.conversation.settings, context)
    source: Any = module._source
    is_socket = case.conversation.settings.mqtt is None
    if not is_socket:
        module.startService()
    for number, said in enumerate(case.messages):
        context.advance(said.wait_s)
        if is_socket:
            source._on_frame(said.payload)
        else:
            deliver(context, said, number)
    context.advance(6)
    if not is_socket:
        module.stopService()
    check_context(context)


# Netatmo.

_ERRORS: Final = (
    '{"error":{"code":26,"message":"User usage reached"}}',
    '{"error":{"code":2,"message":"Invalid access token"}}',
    '{"error":{"code":3,"message":"Access token expired"}}',
    '{"error":{"code":13,"message":"Application does not have the good scope rights"}}',
    '{"error":{"code":11,"message":"Device not found"}}',
    '{"error":"invalid_token"}',
    '{"status":"ok","body":{"devices":[],"errors":[{"code":6,"id":"70:ee:50:00:00:01"}]}}',
    "<html><body>Bad gateway</body></html>",
)
_STATUSES: Final = st.sampled_from((200,) * 12 + (301, 400, 401, 403, 404, 429, 500, 503, 0, 99999))
_HEADERS: Final = st.dictionaries(
    st.sampled_from(("retry-after", "content-type", "location", "date")),
    st.sampled_from(("", "5", "-1", "1e9", "x", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 400)),
    max_size=2,
)


def replies_of(payloads: Iterable[str]) -> st.SearchStrategy[HttpReply]:
    """Return a strategy of replies with such bodies, bent."""
    bodies = json_bent(Vocabulary.of(payloads))
    return st.builds(HttpReply, _STATUSES, bodies, _HEADERS)


@frozen
class Answers:
    """A case of netatmo: some answers in a row, and with which settings they are read."""

    settings: NetatmoSettings
    replies: Sequence[HttpReply]


_NETATMO_SETTINGS: Final = tuple(
    settings_of(
        NetatmoSettings,
        {"client_id": "client", "client_secret": "cl13nt-s3cr3t", **more},
        "netatmo",
    )
    for more in (
        {},
        {"field_names": "original", "stale_after": "15m"},
        {"friendly_name_overrides": {"70:ee:50:00:00:01": "Roof"}, "stale_after": "30d"},
    )
)


def run_netatmo(case: Answers) -> None:
    """Judge each answer, and read it if there are devices in it; nothing is asked for."""
    context = FakeContext(name="netatmo")
    module = NetatmoModule(case.settings, context)
    for reply in case.replies:
        verdict = judge(reply, Secret("uid|access"), now_s=1.7e9)
        assert verdict.cause.retry_after_s >= 0, verdict
        assert "uid|access" not in verdict.cause.text, verdict
        if verdict.action is NextStep.USE:
            module._take(verdict)
        context.advance(300)
    check_context(context)


# Logins.

_PROVIDER: Final = Provider(
    name="a service",
    authorise_url="https://auth.example/authorise",
    token_url="https://auth.example/token",
    client_id="client",
    client_secret=Secret("cl13nt-s3cr3t"),
    scopes=("read_station",),
    redirect_uri="http://127.0.0.1:8099/",
)
_REPLIES: Final = (
    '{"access_token":"uid|a","refresh_token":"uid|r","expires_in":10800,"scope":["read_station"]}',
    '{"access_token":"uid|a","expires_in":"10800","expire_in":1,"scope":"a b"}',
    '{"error":"invalid_grant","error_description":"cl13nt-s3cr3t is used"}',
    '{"error":"invalid_client"}',
    '{"error":"uid|refresh-before","error_description":"or was it access-before"}',
    '{"error":{"code":26,"message":"slow down"}}',
)


def run_tokens(case: tuple[HttpReply, bool, bytes]) -> None:
    """Read the reply of a token endpoint, and a token file."""
    reply, has_previous, stored = case
    try:
        tokens = read_reply(
            reply,
            _PROVIDER,
            1.7e9,
            previous=Secret("uid|refresh-before") if has_previous else None,
            others=[Secret("uid|access-before")],
        )
    except CauseError as fault:
        for text in (str(fault), fault.cause.kind):
            for secret in ("cl13nt-s3cr3t", "access-before", *["refresh-before"] * has_previous):
                assert secret not in text, fault
    else:
        assert read_stored(write_stored(tokens)) == tokens
        assert isinstance(tokens.has_run_out(1.7e9), bool)
    try:
        read_stored(stored)
    except ValueError as error:
        assert "uid|" not in str(error), error


def _stored() -> st.SearchStrategy[bytes]:
    reply = HttpReply(200, _REPLIES[0].encode(), {})
    text = write_stored(read_reply(reply, _PROVIDER, 1.7e9)).decode()
    return json_bent(Vocabulary.of([text]), most=2)


# Home Assistant's discovery.


def run_hadiscovery(case: Case) -> None:
    """Give the messages to the module, and remove what was announced: nothing may be left."""
    context = FakeContext()
    module = HadiscoveryModule(case.conversation.settings, context)
    module.startService()
    for number, said in enumerate(case.messages):
        context.advance(said.wait_s)
        deliver(context, said, number)
    for entity in tuple(module.registry.entities.values()):
        deliver(context, Said(entity.topic, b"", retain=False, wait_s=0.0), 0)
    assert len(module.registry) == module.registry.topics == 0, module.registry.entities
    assert len(module.registry.templates) == module.registry.templates.size_bytes == 0
    module.stopService()
    check_context(context)


def _adversarial() -> Iterator[Conversation]:
    """Yield what was made up to find faults, with Home Assistant as the judge."""
    settings = HadiscoverySettings(
        retained="take", texts=True, config_entities=True, disabled_entities=True
    )
    for path in sorted((CASES / "hadiscovery" / "adversarial").glob("*.json")):
        case = json.loads(path.read_text("utf-8"))
        lines = tuple(
            Line(each["topic"], each["payload"], each.get("retain", False))
            for each in (*case.get("before", ()), *case["config"][:20], *case["steps"][:20])
            if each["topic"] is not None and len(each.get("payload", "x" * 5000)) < 5000
        )
        if lines:
            yield Conversation(path.stem, settings, lines)


_TASMOTA: Final = tuple(conversations("tasmota", TasmotaSettings))
_OPENDTU: Final = tuple(conversations("opendtu", OpenDtuSettings, url="http://192.0.2.1"))

DECODERS: Final = (
    Target(
        "tasmota",
        "messages and announcements of devices",
        cases_of(_TASMOTA, _STRAY_TOPICS),
        run_tasmota,
        300,
    ),
    Target(
        "hadiscovery",
        "announcements and states of what announces itself to Home Assistant",
        cases_of(
            (*conversations("hadiscovery", HadiscoverySettings), *_adversarial()),
            (
                *("homeassistant", "sensor", "binary_sensor", "device", "config", "n1", "state"),
                *("a b", "+", "#", "", "x" * 300, "$SYS", "é"),
            ),
        ),
        run_hadiscovery,
        150,
    ),
    Target(
        "opendtu_socket",
        "frames of a DTU's socket",
        cases_of((each for each in _OPENDTU if each.settings.mqtt is None), ("",)),
        run_opendtu,
        150,
    ),
    Target(
        "opendtu_mqtt",
        "what a DTU publishes",
        cases_of(
            (each for each in _OPENDTU if each.settings.mqtt is not None),
            ("solar", "0", "1", "status", "power", "ac", "dtu", "114182ab0001", "", "x" * 300, "é"),
        ),
        run_opendtu,
        100,
    ),
    Target(
        "netatmo",
        "answers of the API",
        st.builds(
            Answers,
            st.sampled_from(_NETATMO_SETTINGS),
            st.lists(replies_of((*netatmo_answers(), *_ERRORS)), min_size=1, max_size=3),
        ),
        run_netatmo,
        150,
    ),
    Target(
        "tokens",
        "replies of a token endpoint, and stored tokens",
        st.tuples(replies_of(_REPLIES), st.booleans(), _stored()),
        run_tokens,
        50,
    ),
)

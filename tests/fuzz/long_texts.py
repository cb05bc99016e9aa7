"""Target: a text of a real message, at any place, made a mebibyte long.

The limits on messages and texts are lifted for it, so that what is behind them shows its own cost:
work that grows with the square of a text's length would only wait for a larger limit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Final
from unittest import mock

import hypothesis.strategies as st
from attrs import frozen

from metrics_agent.interfaces import Message
from metrics_agent.modules.tasmota import decode, discovery, sensors, values
from metrics_agent.modules.tasmota.config import TasmotaSettings
from metrics_agent.modules.tasmota.service import TasmotaModule
from metrics_agent.testing import FakeContext, topic_matches
from tests.fuzz.corpus import Conversation, Line, conversations
from tests.fuzz.mutations import Draw, token_texts
from tests.fuzz.oracle import Target, check_context

__all__ = ["LIMITS", "LONG_TEXTS"]

SMALL: Final = 1 << 16
LARGE: Final = 1 << 20
QUIET_S: Final = 0.15
"""Short enough for a mebibyte, whatever the ratio."""
RATIO: Final = 3 * LARGE // SMALL
ATTEMPTS: Final = 4
LIMITS: Final = (
    (decode, "TASMOTA_MESSAGE_BYTES"),
    (discovery, "TASMOTA_MESSAGE_BYTES"),
    (discovery, "TASMOTA_NAME_CHARS"),
    (discovery, "TASMOTA_TOPIC_CHARS"),
    (sensors, "TASMOTA_NAME_CHARS"),
    (values, "TASMOTA_NAME_CHARS"),
)

_PIECES: Final = ("1", "1_", "A1", "\\", '"dn":"', '","fn":[', "/", "%topic%")
"""What is repeated in every case, with a piece of the case's own."""
_TAILS: Final = st.sampled_from(("x", "", "!", "1"))


@frozen
class LongText:
    """A conversation, which of its messages has the long text, and where.

    Attributes:
        tokens: of that message, as they are written.
        place: the token that is replaced, or extended if it is a text.
        piece: what is repeated, after those of every case.
        tail: what follows, so that a match of all the pieces fails at the end.
        escaped: write the text as JSON does; if not, the message is hardly JSON any more.
    """

    conversation: Conversation
    line: Line
    tokens: tuple[str, ...]
    place: int
    piece: str
    tail: str
    escaped: bool

    def payload(self, piece: str, size: int) -> bytes:
        """Return the message with so many bytes of text."""
        text = piece * (size // len(piece.encode("utf-8", "replace"))) + self.tail
        written = json.dumps(text)[1:-1] if self.escaped else text
        token = self.tokens[self.place]
        head = token[:-1] if token.endswith('"') else '"'
        tokens = [*self.tokens[: self.place], f'{head}{written}"', *self.tokens[self.place + 1 :]]
        return "".join(tokens).encode("utf-8", "replace")


def _cases(found: Iterable[Conversation]) -> st.SearchStrategy[LongText]:
    lines = [(each, line, token_texts(line.payload)) for each in found for line in each.lines]
    known = [(each, line, tokens) for each, line, tokens in lines if len(tokens) > 1]

    @st.composite
    def case(draw: Draw) -> LongText:
        each, line, tokens = draw(st.sampled_from(known))
        texts = [index for index, token in enumerate(tokens) if token.startswith('"')]
        place = draw(st.sampled_from(texts or range(len(tokens))))
        escaped = draw(st.integers(0, 3)) > 0
        return LongText(
            each, line, tokens, place, draw(st.text(min_size=1, max_size=3)), draw(_TAILS), escaped
        )

    return case()


def run_long_text(case: LongText) -> None:
    """Give both sizes to a module; the larger may take three times its share of time."""
    for piece in (*_PIECES, case.piece):
        _compare(case, piece)


def _compare(case: LongText, piece: str) -> None:
    small_s = large_s = 0.0
    for _ in range(ATTEMPTS):
        small_s, large_s = _cpu_s(case, piece, SMALL), _cpu_s(case, piece, LARGE)
        if large_s < max(QUIET_S, RATIO * small_s):
            return
    raise AssertionError(
        f"{large_s:.3f} s for {LARGE} bytes of {piece!r}, {small_s:.3f} s for {SMALL}"
    )


def _cpu_s(case: LongText, piece: str, size: int) -> float:
    context = FakeContext()
    with ExitStack() as lifted:
        for module, name in LIMITS:
            lifted.enter_context(mock.patch.object(module, name, 2 * LARGE))
        service = TasmotaModule(case.conversation.settings, context)
        service.startService()
        for line in case.conversation.lines:
            _deliver(context, line, line.payload.encode())
        context.advance(6)
        payload = case.payload(piece, size)
        started_s = time.process_time()
        _deliver(context, case.line, payload)
        took_s = time.process_time() - started_s
        context.advance(6)
        service.stopService()
    check_context(context)
    return took_s


def _deliver(context: FakeContext, line: Line, payload: bytes) -> None:
    message = Message(line.topic, payload, 0, line.retain, context.now_ns())
    for subscription in list(context.subscriptions):
        if subscription.active and topic_matches(subscription.topic_filter, line.topic):
            context.emit(subscription.handler(message))


LONG_TEXTS: Final = (
    Target(
        "tasmota_long",
        "a text of a message or announcement, a mebibyte long",
        _cases(tuple(conversations("tasmota", TasmotaSettings))),
        run_long_text,
        10,
    ),
)

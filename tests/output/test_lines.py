"""Lines of a request, taken apart."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis.strategies import binary, dictionaries, floats, lists, one_of, text
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import MetricRefused
from metrics_agent.line_protocol import Encoder
from metrics_agent.metric import metric
from metrics_agent.output.lines import split_lines

NAMES = text('ab" \\,=é\n', min_size=1, max_size=4)


class LineTests(SynchronousTestCase):
    """What one line is."""

    def test_newlines_and_quotes(self) -> None:
        """A text may have a newline, a tag a quote; a piece that is not a line is kept."""
        for lines in (
            [b"a b=1 1\n", b"c d=2 2\n"],
            [b'a,t=5" b=1\n', b"c d=2\n"],
            [b'a b="x\ny",c=2 1\n', b"c d=2\n"],
            [b'a b="\\"\n\\\\" 1\n', b"c d=2\n"],
            [b'a\\ b,t=\\,\\= c="d" 1\n', b'x y="z"\n'],
            [b'rubbish"\n', b"c d=2\n"],
            [b'a b="open\n', b"c d=2\n"],
            [b"\n", b'c d="2"\n', b"no newline"],
        ):
            self.assertEqual(split_lines(b"".join(lines)), lines)
        self.assertEqual(split_lines(b""), [])

    @given(
        lists(
            dictionaries(NAMES, one_of(text('a"\\\n ,', max_size=6), floats(0, 1)), min_size=1),
            max_size=5,
        ),
        NAMES,
    )
    def test_what_the_encoder_makes(self, points: list[dict], tag: str) -> None:
        """The lines of the encoder are found again, whatever is in names and texts."""
        encoder = Encoder()
        lines = []
        for fields in points:
            with contextlib.suppress(MetricRefused):
                lines.append(encoder.encode(metric(tag, {"t": tag}, fields, 1)))
        self.assertEqual(split_lines(b"".join(lines)), lines)

    @given(binary(max_size=60))
    def test_nothing_is_lost(self, data: bytes) -> None:
        """Joined, the pieces are what was taken apart."""
        self.assertEqual(b"".join(split_lines(data)), data)

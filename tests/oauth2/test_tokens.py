"""Tokens and the form in which they are stored."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.secret import Secret
from metrics_agent.oauth2.tokens import fingerprint, is_token, read_stored, write_stored
from tests.oauth2.support import START_S, tokens

STORED = json.loads(write_stored(tokens(scopes=("a", "b"), seed="5eed")))


class TokensTests(SynchronousTestCase):
    """Values."""

    def test_there_and_back(self) -> None:
        value = tokens(7, scopes=("read_station",), seed="5eed")
        self.assertEqual(read_stored(write_stored(value)), value)
        self.assertEqual(read_stored(b"  " + write_stored(value) + b" " * 5000), value)

    def test_secrets_do_not_show(self) -> None:
        self.assertNotIn("uid|", repr(tokens()))
        self.assertNotIn("uid", fingerprint(Secret("uid|x")))

    def test_running_out(self) -> None:
        """A token of three hours is renewed five minutes early, a short one a tenth early."""
        self.assertFalse(tokens().has_run_out(START_S + 10800 - 301))
        self.assertTrue(tokens().has_run_out(START_S + 10800 - 300))
        short = tokens(expires_at_s=START_S + 20)
        self.assertFalse(short.has_run_out(START_S + 17.9))
        self.assertTrue(short.has_run_out(START_S + 18))
        self.assertTrue(tokens(expires_at_s=START_S - 1).has_run_out(START_S))

    def test_what_can_be_a_token(self) -> None:
        self.assertTrue(is_token("5f00aa|0123456789abcdef"))
        for value in ("", "a b", "a\nb", "\xe9", 5, None, True, ["a"], "x" * 5000):
            self.assertFalse(is_token(value), repr(value))


class Damage(SynchronousTestCase):
    """Files that do not hold tokens."""

    def reason(self, data: bytes) -> str:
        reason = str(self.assertRaises(ValueError, read_stored, data))
        self.assertNotIn("uid", reason)
        return reason

    def test_each_key(self) -> None:
        """A key that is missing, or of another type, is named."""
        for key in STORED:
            for value in (None, {}, [1], True, *([] if key == "scopes" else [[]])):
                self.assertIn(key, self.reason(json.dumps({**STORED, key: value}).encode()), key)
            left = {name: value for name, value in STORED.items() if name != key}
            self.assertIn(key, self.reason(json.dumps(left).encode()))
        self.assertIn("version 1", self.reason(json.dumps({**STORED, "version": 2}).encode()))

    def test_torn(self) -> None:
        """No part of a file passes for the whole."""
        data = write_stored(tokens()).rstrip()
        for length in range(len(data)):
            self.reason(data[:length])
            self.reason(data[:length] + b"\0" * (len(data) - length))

    @given(st.binary(max_size=200))
    def test_anything(self, data: bytes) -> None:
        """Whatever the bytes are, the fault is a ValueError."""
        self.assertRaises(ValueError, read_stored, data)

    def test_not_an_object(self) -> None:
        for data in (b"[]", b"null", b'"uid|x"', b"1" * 400, b"[" * 100_000):
            self.reason(data)

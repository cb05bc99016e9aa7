"""What a server sends on a socket that may be a WebSocket: answers to the handshake, and frames."""

from __future__ import annotations

from typing import Final

import hypothesis.strategies as st

__all__ = ["FRAMES", "REFUSALS", "SMALL", "SPOILS", "frame", "spoilt"]

SMALL: Final = 2_000
"""Largest payload or message in the cases, so that what is too large comes often."""

# Where an answer to a handshake is spoilt, and by what; half of them are not.
SPOILS: Final = st.one_of(
    st.none(),
    st.none(),
    st.tuples(st.integers(0, 200), st.binary(max_size=3)),
    st.tuples(st.integers(30, 160), st.sampled_from((b"\xff", b"\x80", b"\0", b"\r\n", b""))),
)


REFUSALS: Final = (
    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="a", nonce="b", qop="auth"\r\n\r\n',
    b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n',
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 302 Found\r\nLocation: http://u:p@other.example/\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\n\r\n",
    b"HTTP/1.1 429 Slow\r\nRetry-After: Wed, 21 Oct 2099 07:28:00 GMT\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"\x15\x03\x03\x00\x02\x02\x46",
    b"SSH-2.0-OpenSSH_9.2\r\n",
)


def frame(first: int, payload: bytes, masked: bool) -> bytes:
    """Write a WebSocket frame; a mask of zeros leaves the payload as it is."""
    size = len(payload)
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, mask | size])
    elif size < 1 << 16:
        head = bytes([first, mask | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, mask | 127]) + size.to_bytes(8, "big")
    return head + (b"\0\0\0\0" if masked else b"") + payload


FRAMES: Final = st.one_of(
    st.builds(
        frame,
        st.integers(0, 255) | st.sampled_from((0x81, 0x82, 0x01, 0x80, 0x88, 0x89, 0x8A)),
        st.binary(max_size=130) | st.sampled_from((b'{"inverters":[]}', bytes(SMALL * 2), b"\xff")),
        st.sampled_from((False, False, False, True)),
    ),
    st.sampled_from((b"\x88\x02\x03\xe8", b"\x88\x01\x03", b"\x81\x7f" + b"\xff" * 8, b"\x89\x00")),
)


def spoilt(answer: bytes, spoil: tuple[int, bytes] | None) -> bytes:
    """Return an answer with some bytes in the place of one."""
    if spoil is None:
        return answer
    place, some = spoil
    return answer[:place] + some + answer[place + 1 :]

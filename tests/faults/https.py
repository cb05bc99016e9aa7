"""The rows of faults of a service on the web: its server, its name, its certificate, its answers.

Each is a test ``test_<name>`` in ``test_https``; the module under test is `netatmo`.
"""

from __future__ import annotations

from typing import Final

from tests.faults.row import Row

__all__ = ["HTTPS", "https"]

_SAME: Final = "one line, tried again, no login asked for"
_ASKS: Final = "one line asks for a login"

_ROWS: Final = (
    # name, place, fault, must, who heals it where this process cannot
    ("https_server_gone", "server", "nothing listens, then it is back", _SAME),
    ("https_server_frozen", "server", "hangs (SIGSTOP), then continues", _SAME),
    ("https_html_500", "server", "502 with an HTML body", _SAME),
    ("https_half_answer", "server", "ends in the middle of an answer", _SAME),
    ("https_reset", "server", "ends instead of an answer", _SAME),
    ("https_silent", "server", "takes the request and says nothing", _SAME),
    ("https_slow_body", "server", "slow loris: a byte of the body now and then", _SAME),
    ("https_slow_head", "server", "slow loris: a byte of the headers now and then", _SAME),
    ("https_not_http", "server", "speaks something else", _SAME),
    ("https_hundred_megabytes", "server", "a body of 100 MB, announced", f"{_SAME}, no memory"),
    ("https_endless_chunks", "server", "a body of 100 MB in chunks", f"{_SAME}, no memory"),
    ("https_compressed", "server", "100 MB compressed to 100 kB", f"{_SAME}, no memory"),
    (
        "https_usage_reached",
        "server",
        "too many requests",
        "one line; waits for the next hour, no refresh",
    ),
    ("https_wrong_authority", "TLS", "a certificate of another authority", "one line, not trusted"),
    ("https_wrong_host", "TLS", "a certificate for another host", "one line, not trusted"),
    ("https_expired", "TLS", "a certificate that has expired", "one line, not trusted"),
    ("https_not_tls", "TLS", "a port without TLS", "one line"),
    ("https_dns_dead", "network", "the name does not resolve", _SAME),
    ("https_dns_silent", "network", "no answer to name lookups", _SAME),
    ("https_token_server_down", "tokens", "a refresh fails with 500", _SAME),
    (
        "https_answer_lost",
        "tokens",
        "a refresh rotates, its answer is lost",
        f"a line each: no answer, refused; {_ASKS}",
    ),
    ("https_killed_after_refresh", "tokens", "kill -9 after a refresh", "no login", "Telegraf"),
    (
        "https_state_not_writable",
        "tokens",
        "no place for new tokens",
        "one line; the old are not used up",
    ),
    ("https_file_damaged", "tokens", "the file of tokens is torn", f"one line: set aside; {_ASKS}"),
)

HTTPS: Final = tuple(Row(*row) for row in _ROWS)
_BY_NAME: Final = {row.name: row for row in HTTPS}


def https(name: str) -> Row:
    """Return a row."""
    return _BY_NAME[name]

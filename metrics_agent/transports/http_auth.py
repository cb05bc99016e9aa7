"""HTTP logins: Basic, and Digest by httpx, whose implementation does no I/O of its own.

We say who we are once the server has asked (``401`` with ``WWW-Authenticate``); what it asked for
is remembered, so that later requests answer at once. With ``auto`` Digest wins over Basic where a
server offers both, since Basic shows the password to everybody on the way.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final, Literal

from metrics_agent.cause import Cause, CauseError
from metrics_agent.config.secret import Secret
from metrics_agent.errors import MissingDependency, how_to_install

__all__ = ["SCHEMES", "Login", "Scheme"]

Scheme = Literal["auto", "basic", "digest"]
SCHEMES: Final = ("auto", "basic", "digest")

_METHOD: Final = "GET"
_SHOWN: Final = 60

# One header may carry several challenges, whose own parameters are separated by commas too.
_BETWEEN: Final = re.compile(
    r"(?:^|,)\s*(?=(?:basic|digest|bearer|negotiate|ntlm)(?:[\s,]|$))", re.IGNORECASE
)

_Answer = Callable[[str], str]
"""Takes the target of a request, gives the header ``Authorization`` for it."""


class Login:
    """The login at one server, over any number of requests.

    Args:
        username: the name.
        password: None where there is none: a server that asks for one is then a fault.
        scheme: the only one to use, or ``auto``. ``basic`` does not wait for being asked.
    """

    def __init__(self, username: str, password: Secret | None, scheme: Scheme = "auto") -> None:
        self._username = username
        self._password = password
        self._scheme = scheme
        self._answer: _Answer | None = None
        if scheme == "basic" and password is not None:
            self._answer = self._basic(password)

    def authorization(self, target: str) -> str:
        """Return the value of ``Authorization`` for the next request, empty to say nothing.

        Args:
            target: of the request: path and query as they are sent.
        """
        return "" if self._answer is None else self._answer(target)

    def challenged(self, challenges: Iterable[str], target: str) -> None:
        """Take what the server asks for; the next `authorization` answers it.

        Args:
            challenges: the values of ``WWW-Authenticate``.
            target: of the request that was refused.

        Raises:
            CauseError: it asks for what we do not have.
            MissingDependency: it asks for Digest and httpx is not installed.
        """
        if self._password is None:
            raise _refused("login_wanted", "it wants a login, set the password")
        offered = list(_split(challenges))
        digests = [value for name, value in offered if name == "digest"]
        others = [name for name, _value in offered if name != "digest"]
        if digests and self._scheme != "basic":
            self._answer = self._digest(digests, target, self._password)
        elif self._scheme != "digest" and ("basic" in others or not offered):
            # Without a word about how, Basic is all that can be tried.
            self._answer = self._basic(self._password)
        else:
            named = ", ".join(sorted({name for name, _value in offered})) or "nothing"
            known = "Basic or Digest" if self._scheme == "auto" else f'login = "{self._scheme}"'
            raise _refused("login_scheme", f"it asks for another login ({named}) than {known}")

    def _basic(self, password: Secret) -> _Answer:
        def answer(_target: str) -> str:
            pair = f"{self._username}:{password.reveal()}"
            return f"Basic {b64encode(pair.encode()).decode()}"

        return answer

    def _digest(self, challenges: list[str], target: str, password: Secret) -> _Answer:
        httpx = _library()
        fault: Exception | None = None
        for challenge in challenges:
            auth = httpx.DigestAuth(self._username, password.reveal())
            request = _request(httpx, target)
            flow = auth.auth_flow(request)
            next(flow)
            reply = httpx.Response(401, headers=[("WWW-Authenticate", challenge)], request=request)
            try:
                first = flow.send(reply)
            except Exception as error:
                fault = error
            else:
                return _DigestAnswer(httpx, auth, target, first)
        text = f"{type(fault).__name__}: {fault}"[:_SHOWN] if fault else ""
        raise _refused("login_challenge", f"its Digest challenge cannot be answered ({text})")


def _split(challenges: Iterable[str]) -> Iterable[tuple[str, str]]:
    for value in challenges:
        for part in _BETWEEN.split(value):
            words = part.strip(" \t,").split(None, 1)
            if words:
                yield words[0].lower(), part.strip(" \t,")


class _DigestAnswer:
    """Answers with a nonce that is counted up from 1 without a gap, as some servers demand."""

    def __init__(self, httpx: Any, auth: Any, target: str, first: Any) -> None:
        self._httpx = httpx
        self._auth = auth
        self._target = target
        self._first_answer = first

    def __call__(self, target: str) -> str:
        answered, self._first_answer = self._first_answer, None
        if answered is None or target != self._target:
            answered = next(self._auth.auth_flow(_request(self._httpx, target)))
        return str(answered.headers["Authorization"])


def _request(httpx: Any, target: str) -> Any:
    # The host does not go into the answer.
    return httpx.Request(_METHOD, f"http://host{target}")


def _refused(kind: str, text: str) -> CauseError:
    return CauseError(Cause(kind, text, needs_user_action=True))


def _library() -> Any:
    # httpx2 goes on where httpx stopped; it needs Python 3.11.
    for name in ("httpx2", "httpx"):
        try:
            return import_module(name)
        except ImportError:  # noqa: PERF203 - the next one
            continue
    raise MissingDependency(
        "it asks for a Digest login, which needs a package that is not installed: "
        f"{how_to_install('digest')}"
    )

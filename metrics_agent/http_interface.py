"""What is asked of an HTTP client, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen

__all__ = ["Http", "HttpReply"]


@frozen
class HttpReply:
    """What a server answered, whatever its status.

    Attributes:
        status: 200, 403, 301 ...
        body: all of it; not in the repr, since it may hold a token.
        headers: by lower-case name, the last of each.
    """

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)


class Http(Protocol):
    """Sends requests; one connection for each, and no redirect is followed."""

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Get a resource.

        Args:
            url: ``https://`` or ``http://``, in ASCII; no secret in it.
            params: of the query, added to those in the URL.
            headers: beside Accept and User-Agent.

        Raises:
            CauseError: there is no reply.
        """
        ...

    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None
    ) -> HttpReply:
        """Post a body; give its Content-Type among the headers.

        Raises:
            CauseError: there is no reply.
        """
        ...

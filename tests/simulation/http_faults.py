"""What goes wrong with a database that takes lines over HTTP, and with what is in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tests.simulation.http_joint_faults import HTTP_JOINT_KINDS, wrong_address
from tests.simulation.http_model import Answer, Database
from tests.simulation.http_reader import DatabaseReader, Trouble, retry_after
from tests.simulation.http_requests import Meaning

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["HTTP_KINDS"]

_PAGE: Final = b"<html><body>Welcome</body></html>"
_HTML: Final = {"Content-Type": "text/html"}
_WAITS: Final = (0, 1, 5, 20)
_GARBAGE: Final = (
    b"\x00\xff" * 50,
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"HTTP/1.1 abc\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nno colon\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 204 No Con",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000,
)


def _refuses(world: World, reader: DatabaseReader) -> Trouble:
    """The login, the path or the database is wrong."""
    chance = world.chance
    if chance.random() < (0.7 if reader.database is Database.VICTORIA else 0.3):
        return wrong_address(reader)
    answer = Answer(chance.choice((401, 403, 404)), b'{"error":"no"}\n')
    return Trouble(answer, meaning=Meaning.USER)


def _fails(world: World, _reader: DatabaseReader) -> Trouble:
    """It is busy, or has a fault of its own; some store the lines all the same."""
    chance = world.chance
    status = chance.choice((429, 429, 503, 503, 500, 502, 504))
    headers: dict[str, str] = {}
    wait_s = chance.choice(_WAITS) if status in {429, 503} else 0
    if wait_s:
        as_date, ahead_s = chance.random() < 0.8, chance.choice((0.0, -600.0, 3600.0))
        headers = retry_after(world.clock, wait_s, as_date=as_date, ahead_s=ahead_s)
    return Trouble(
        Answer(status, b"busy\n" * chance.choice((0, 1, 30_000)), headers),
        stores=status >= 500 and status != 503 and chance.random() < 0.5,
        wait_s=wait_s,
        share=chance.choice((0.3, 1.0)),
    )


def _is_another(world: World, _reader: DatabaseReader) -> Trouble:
    """A proxy, a portal or a receiver of another kind answers."""
    chance = world.chance
    way = chance.choice(("page", "without a length", "without a length", "redirect", "empty"))
    if way == "redirect":
        return Trouble(
            Answer(307, b"", {"Location": "http://192.0.2.1/elsewhere"}), meaning=Meaning.USER
        )
    if way == "empty":
        return Trouble(Answer(200), meaning=Meaning.STORED)
    answer = Answer(200, _PAGE, _HTML, measured=way == "page")
    head_bytes = len(answer.encode()) - len(_PAGE)
    return Trouble(
        answer,
        meaning=Meaning.USER,
        answer_bytes=chance.choice((None, head_bytes, head_bytes, chance.randrange(120))),
    )


def _has_limit(world: World, _reader: DatabaseReader) -> Trouble:
    """A proxy takes only short requests."""
    longest = world.chance.choice((50, 9200))
    return Trouble(Answer(413, b"", _HTML), meaning=Meaning.REJECTED, from_bytes=longest)


def _is_late(world: World, _reader: DatabaseReader) -> Trouble:
    """It answers late, or not at all."""
    chance = world.chance
    return Trouble(
        delay_s=chance.choice((0.5, 5.0, 29.99, 30.01, 1000.0)), share=chance.choice((0.3, 1.0))
    )


def _speaks_garbage(world: World, _reader: DatabaseReader) -> Trouble:
    chance = world.chance
    return Trouble(garbage=chance.choice(_GARBAGE), share=chance.choice((0.3, 1.0)))


def _closes(world: World, _reader: DatabaseReader) -> Trouble:
    """The connection ends at some byte of a request or an answer."""
    chance = world.chance
    at = chance.choice((0, chance.randrange(300), chance.randrange(20_000)))
    in_order = chance.random() < 0.5
    if chance.random() < 0.5:
        return Trouble(request_bytes=at, in_order=in_order)
    answer_bytes = chance.randrange(chance.choice((60, 300)))
    return Trouble(answer_bytes=answer_bytes, in_order=in_order, share=0.7)


def _trouble(
    choose: Callable[[World, DatabaseReader], Trouble],
) -> Callable[[World], Callable[[], None] | None]:
    def fault(world: World) -> Callable[[], None] | None:
        reader = world.reader
        if not isinstance(reader, DatabaseReader):
            return None
        trouble = reader.trouble = choose(world, reader)

        def heal() -> None:
            if reader.trouble is trouble:
                reader.end_trouble()

        return heal

    return fault


def _hangs_up(world: World) -> None:
    """Close connections that are kept, now and as the next request begins."""
    reader = world.reader
    if isinstance(reader, DatabaseReader):
        reader.hang_up(in_order=world.chance.random() < 0.7)


def _reload_output(world: World) -> None:
    """Change settings of the output, which the next process has."""
    if isinstance(world.reader, DatabaseReader):
        settings = "", 'timeout = "3s"\n', 'token = "x"\n'
        world.config.output_settings = world.chance.choice(settings)
        world.config.write()
        if world.process is not None:
            world.process.hang_up()


HTTP_KINDS: Final = {
    "database_refuses": _trouble(_refuses),
    "database_fails": _trouble(_fails),
    "database_is_another": _trouble(_is_another),
    "database_has_limit": _trouble(_has_limit),
    "database_is_late": _trouble(_is_late),
    "database_speaks_garbage": _trouble(_speaks_garbage),
    "database_closes": _trouble(_closes),
    **HTTP_JOINT_KINDS,
    "database_hangs_up": _hangs_up,
    "reload_output": _reload_output,
}
"""Faults of a run whose output is a database."""

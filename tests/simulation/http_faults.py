"""What goes wrong with a database that takes lines over HTTP, and with what is in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tests.simulation.configuration import NUMBERED
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


_WRONG_PATH: Final = Trouble(
    Answer(400, b'unsupported path requested: "/writ"\n'), meaning=Meaning.REJECTED
)
_ALONE_S: Final = 11.0
"""A line that is rejected alone waits for others for 10 s."""
_STOP_SHARE: Final = 0.3
_DRAINED_S: Final = 2.0
_RESTARTED_S: Final = 16.0
"""A new agent writes that a device is there: that line is alone too."""


def _refuses(world: World, reader: DatabaseReader) -> Trouble:
    """The login, the path or the database is wrong."""
    chance = world.chance
    if reader.database is Database.VICTORIA and chance.random() < 0.7:
        return _WRONG_PATH
    answer = Answer(chance.choice((401, 403, 404)), b'{"error":"no"}\n')
    return Trouble(answer, meaning=Meaning.USER)


def _fails(world: World, _reader: DatabaseReader) -> Trouble:
    """It is busy, or has a fault of its own; some store the lines all the same."""
    chance = world.chance
    status = chance.choice((429, 503, 500, 502, 504))
    headers, wait_s = {}, 0
    if status in {429, 503} and (wait_s := chance.choice(_WAITS)):
        as_date = chance.random() < 0.3
        headers["Retry-After"] = retry_after(world.clock, wait_s, as_date=as_date)
        wait_s = 0 if as_date else wait_s
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
    return Trouble(answer_bytes=chance.randrange(60), in_order=in_order, share=0.7)


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


class _LoneLines:
    """A few lines come at a wrong path, each alone for so long that it might be a bad one."""

    def __init__(self, world: World, reader: DatabaseReader) -> None:
        self._world = world
        self._reader = reader
        self._module = world.chance.choice(NUMBERED)
        # Nor are there metrics of the agent itself.
        world.devices.quiet = True
        world.config.self_metrics_s = 3600
        world.config.write()
        if world.process is not None:
            world.process.hang_up()
        world.clock.later(_DRAINED_S, self._begin)

    def _begin(self) -> None:
        world = self._world
        if world.heals:
            return
        self._reader.trouble = _WRONG_PATH
        is_new = world.chance.random() < 0.5
        if is_new:
            world.kill_agent()
        world.clock.later(_RESTARTED_S if is_new else 0.0, self._send)

    def _send(self) -> None:
        world = self._world
        if world.devices.quiet and not world.heals:
            self._reader.trouble = _WRONG_PATH
            world.send(self._module, 1)
            if world.process is not None and world.chance.random() < _STOP_SHARE:
                world.clock.later(_ALONE_S * world.chance.random(), world.process.terminate)
            world.clock.later(_ALONE_S, self._send)

    def heal(self) -> None:
        """Have all go on."""
        self._world.devices.quiet = False
        self._world.config.self_metrics_s = 10
        self._world.config.write()
        if self._reader.trouble is _WRONG_PATH:
            self._reader.end_trouble()


def _has_lone_lines(world: World) -> Callable[[], None] | None:
    reader = world.reader
    if not isinstance(reader, DatabaseReader) or reader.database is not Database.VICTORIA:
        return None
    return _LoneLines(world, reader).heal


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
    "database_has_lone_lines": _has_lone_lines,
    "database_hangs_up": _hangs_up,
    "reload_output": _reload_output,
}
"""Faults of a run whose output is a database."""

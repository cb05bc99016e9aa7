"""Which reader a run has."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from tests.simulation.accounting import STALLED_S
from tests.simulation.file_readers import FileReader, PathReader
from tests.simulation.http_faults import HTTP_KINDS
from tests.simulation.http_reader import DATABASE_PORT, DatabaseReader
from tests.simulation.pipe_readers import (
    NamedPipeReader,
    PipeReader,
    SharedPipeReader,
    SocketReader,
    UnixReader,
)
from tests.simulation.tcp_reader import TcpReader

if TYPE_CHECKING:
    from tests.simulation.reader import Reader
    from tests.simulation.world import World

__all__ = ["choose_reader"]

_DATABASES: Final = 0.4
"""The share of the runs whose output is one."""
_READERS: Final = (
    PipeReader,
    SharedPipeReader,
    SocketReader,
    NamedPipeReader,
    FileReader,
    PathReader,
    PathReader,
    TcpReader,
    TcpReader,
    UnixReader,
)
"""Each as often as it is here: a file by its path has the most states, TCP the most sizes."""


def choose_reader(world: World, random: Random) -> Reader:
    """Return the reader of the first process."""
    if Random(f"{world.seed} database").random() < _DATABASES:
        reader = DatabaseReader(world.clock, random, world.take_line, world.violate, world.ledger)
        reader.requests.is_stopping = world.is_stopping
        # Tried again after half a minute at most, or as long as the database wants.
        world.accounting.stalled_s = 3 * STALLED_S
        world.listeners[DATABASE_PORT] = reader.accept
        return reader
    world.without = {*world.without, *HTTP_KINDS}
    return random.choice(_READERS)(world.clock, random, world.take_line, world.violate)

"""The settings of the agent itself: the keys at the top of the file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

from metrics_agent.config.faults import Fault, join, quote
from metrics_agent.config.output import OutputSettings, read_output
from metrics_agent.config.setting import setting
from metrics_agent.config.status import StatusSettings
from metrics_agent.config.types import Duration, Size, format_duration, format_size
from metrics_agent.errors import OutputError
from metrics_agent.limits import SERIES_PER_DEVICE

__all__ = ["LOG_LEVELS", "AgentSettings", "state_directory"]

LOG_LEVELS = ("debug", "info", "warn", "error")
_PATH = re.compile(r"/[^\0]*|~(/[^\0]*)?")
_LOG_FORMATS = ("auto", "telegraf", "text", "journald")


@frozen
class AgentSettings:
    """Global keys."""

    log_level: str = setting(
        default="info",
        choices=LOG_LEVELS,
        doc="The lowest level that is logged; `log_level` of a module wins for that module.",
    )
    log_format: str = setting(
        default="auto",
        choices=_LOG_FORMATS,
        doc="How lines on stderr begin: `telegraf` (`E! `, `W! `, `I! `, `D! `), `text` (time "
        "and level), `journald` (`<3>`), or `auto`: what fits whoever reads.",
    )
    module_restart_limit: int = setting(
        default=3,
        minimum=0,
        zero="no limit",
        doc="Restarts of one module within `module_restart_window`; at the next one it is parked.",
    )
    module_restart_window: Duration = setting(
        default="5m", minimum=1, doc="The time over which restarts of a module are counted."
    )
    restart_backoff_min: Duration = setting(
        default="1s", minimum=0.01, doc="The wait before the first restart of a module."
    )
    restart_backoff_max: Duration = setting(
        default="60s",
        minimum=0.01,
        doc="The longest wait before a restart; the wait doubles from one restart to the next.",
    )
    module_start_timeout: Duration = setting(
        default="30s",
        minimum=0.1,
        doc="A module that has not started by then has failed, and is restarted.",
    )
    module_stop_timeout: Duration = setting(
        default="2s", minimum=0.01, doc="A module that has not stopped by then is abandoned."
    )
    failed_ticks_limit: int = setting(
        default=3,
        minimum=1,
        doc="A module whose timer fails so many times in a row is restarted.",
    )
    tick_timeout: Duration = setting(
        default="60s",
        minimum=0.1,
        doc="A timer's work that has not ended by then is cancelled and has failed.",
    )
    park_interval: Duration = setting(
        default="10m",
        minimum=0.1,
        doc="A module that was restarted too often is tried again each time this has passed.",
    )
    on_give_up: str = setting(
        default="run",
        choices=("run", "exit"),
        doc="When a module is parked: `run` goes on with the others (with none left the agent "
        "exits with 1), `exit` ends the agent with 1 at once.",
    )
    drain_timeout: Duration = setting(
        default="4s",
        doc="At a stop, the longest wait from the request until the reader has taken everything; "
        "Telegraf kills after 5 s.",
    )
    queue_limit: Size = setting(
        fixed=True,
        default="16MiB",
        minimum=1024,
        doc="What may wait for the reader; beyond it the oldest lines are dropped and counted.",
    )
    queue_high_mark: Size = setting(
        fixed=True,
        default="1MiB",
        minimum=1,
        doc="When so much waits, the sources are no longer read.",
    )
    queue_low_mark: Size = setting(
        fixed=True,
        default="256KiB",
        minimum=0,
        doc="When no more than this waits, the sources are read again.",
    )
    series_per_device: int = setting(
        default=SERIES_PER_DEVICE,
        minimum=1,
        maximum=100_000,
        zero="no limit",
        doc="Series (a measurement with its tags) that one device may have; what is new beyond "
        "that is dropped and counted as `too_many_series`.",
    )
    watchdog_dump: Duration = setting(
        fixed=True,
        default="5s",
        minimum=0.1,
        zero="off",
        doc="When the reactor has hung this long, all stacks are written to stderr.",
    )
    watchdog_exit: Duration = setting(
        fixed=True,
        default="60s",
        minimum=0.1,
        zero="off",
        doc="When the reactor has hung this long, the process exits with 70.",
    )
    self_metrics_interval: Duration = setting(
        default="60s",
        minimum=0.1,
        zero="off",
        doc="How often the measurement `metrics_agent` is written.",
    )
    last_seen_interval: Duration = setting(
        default="5m",
        minimum=10,
        zero="off",
        doc="How often `last_seen` of each device is written, in the measurement `device`. `stale` "
        "is written whenever it changes.",
    )
    state_dir: str | None = setting(
        fixed=True,
        default=None,
        doc="Where modules keep what must outlive the process. Not set: `$STATE_DIRECTORY`, else "
        "/var/lib/metrics-agent if that can be written, else ~/.local/state/metrics-agent.",
        example="/var/lib/metrics-agent",
    )
    output: str = setting(
        fixed=True,
        default="stdout",
        doc="Where the lines go: `stdout`, the absolute path of a file, or a socket: "
        "`tcp://host:port`, `tls://host:port` or `unix:///path`. Twisted's descriptions of client "
        "endpoints work too: `tcp:host:port`, `unix:path=/run/telegraf/telegraf.sock`. The address "
        "of a database, with the path that it takes lines on: InfluxDB 1 "
        "`http://host:8086/write?db=telegraf`, InfluxDB 2 and 3 "
        "`https://host:8086/api/v2/write?org=home&bucket=telegraf`, VictoriaMetrics "
        "`http://host:8428/write`. A topic at an MQTT broker, for Telegraf's `mqtt_consumer`: "
        "`mqtt://host/topic`, `mqtts://host/topic`, `ws://host:port/mqtt#topic` or "
        "`wss://host/mqtt#topic`.",
    )
    output_settings: OutputSettings = setting(
        fixed=True,
        default=OutputSettings(),
        doc="The login at the `output` and its certificates.",
    )
    tags: Mapping[str, str] = setting(
        fixed=True,
        default={},
        doc="Tags that every line gets, unless it has one of that name; such as the host, which "
        "Telegraf adds otherwise. Several agents that write to one database without Telegraf need "
        "one to keep their series apart.",
        example={"host": "pi"},
    )
    instance: str = setting(
        fixed=True,
        default="",
        doc="The name of this agent; client ids are made of it, so no two agents at a broker may "
        "share one. Empty: the host's name.",
    )
    status: StatusSettings = setting(
        default=StatusSettings(),
        doc="The status page, for browsers and monitoring; docs/deployment.md shows how to use it.",
    )

    def check(self) -> Iterator[Fault]:
        """Yield what is wrong between the settings."""
        if self.restart_backoff_min > self.restart_backoff_max:
            yield Fault(
                "restart_backoff_min",
                f'"{format_duration(self.restart_backoff_min)}"',
                f'at most restart_backoff_max ("{format_duration(self.restart_backoff_max)}")',
            )
        marks = (
            ("queue_low_mark", self.queue_low_mark, "queue_high_mark", self.queue_high_mark),
            ("queue_high_mark", self.queue_high_mark, "queue_limit", self.queue_limit),
        )
        for lower, low, upper, high in marks:
            if low >= high:
                yield Fault(
                    lower, f'"{format_size(low)}"', f'less than {upper} ("{format_size(high)}")'
                )
        if 0 < self.watchdog_exit <= self.watchdog_dump:
            yield Fault(
                "watchdog_dump",
                f'"{format_duration(self.watchdog_dump)}"',
                f'less than watchdog_exit ("{format_duration(self.watchdog_exit)}")',
            )
        state_dir = self.state_dir
        if state_dir is not None and not _PATH.fullmatch(state_dir):
            yield Fault(
                "state_dir", quote(state_dir), "an absolute path, or one that starts with ~/"
            )
        yield from self._check_tags()
        yield from self._check_output()

    def _check_tags(self) -> Iterator[Fault]:
        for name, value in self.tags.items():
            if not name or name == "time" or name.startswith("_"):
                path = join("tags", name)
                yield Fault(path, "a name that is reserved", "another name for the tag")
            elif not value:
                yield Fault(join("tags", name), "an empty text", "a value", "remove it")

    def _check_output(self) -> Iterator[Fault]:
        try:
            read_output(self.output)
        except OutputError as error:
            yield Fault("output", str(error))
        else:
            yield from self.output_settings.check_for(self.output)


def state_directory(
    settings: AgentSettings,
    environ: Mapping[str, str],
    *,
    system: Path = Path("/var/lib/metrics-agent"),
) -> Path:
    """Return where state is kept; the directory need not exist yet.

    Args:
        settings: whose `state_dir` wins if it is set.
        environ: for systemd's ``STATE_DIRECTORY`` (the first of its paths) and ``HOME``.
        system: the directory that is taken if this process may write there, or make it.
    """
    home = Path(environ.get("HOME") or "/")
    if settings.state_dir is not None:
        start, _, rest = settings.state_dir.partition("/")
        return home / rest if start == "~" else Path(settings.state_dir)
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if os.access(system if system.exists() else system.parent, os.W_OK | os.X_OK):
        return system
    return home / ".local" / "state" / "metrics-agent"

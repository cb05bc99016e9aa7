"""The one place that knows the devices of a module; it outlives the module's instances.

Theory of operation. A device is the tag `device` of a series. What each line does is little: it
writes the time of its message into its `Device`, which the `Series` has at hand. Everything else
is done in a sweep every ten seconds: it sees who was heard since the last one, has `Rhythm` learn
the gaps, and finds who is overdue. The time of a message says when within the ten seconds it came,
so that a wall clock that jumps makes an error of ten seconds at most.

Together. When devices become overdue, those are counted that should have sent something since the
first of them fell silent. If half of them, and five at least, have not, the cause is not a device:
that alone is reported, once. Who fell silent at that time is marked later, and not reported.
"""

from __future__ import annotations

from collections.abc import Generator
from math import inf
from typing import Final

from attrs import Factory, define, frozen

from metrics_agent.catalogue import DEVICE
from metrics_agent.devices.device import LONGEST_NAME, Device, KeptLine
from metrics_agent.devices.listening import ListeningClock
from metrics_agent.limits import DEVICE_BOOK_BYTES, LAST_LINES_BYTES
from metrics_agent.metric import Metric, Series

__all__ = ["SWEEP_S", "DeviceBook", "News", "Together"]

SWEEP_S: Final = 10.0
FORGET_AFTER_S: Final = 30 * 24 * 3600.0
"""A device that was silent for so long is gone, unless it is still announced."""
_DAY_S: Final = 24 * 3600.0
_DEVICES_A_TURN: Final = 500
_ROOM_STEP: Final = 64
_ROOMS: Final = tuple(range(_ROOM_STEP, 4097, _ROOM_STEP))
"""What lines may have as room: objects that thousands share. Most have some bytes to spare, since a
number may have more digits the next time."""
_LINE_BYTES: Final = 200
"""What a last line takes beside its text, with what begins it."""
_SAME_BURST_S: Final = 1.0
"""Messages that come so soon after each other are one."""
_UNHEARD: Final = 0.02
"""The part of a gap in which the agent may have been deaf, see `listening`."""
_SILENT: Final = 1.5
"""Intervals after which a device counts as silent, when others are overdue."""
_FEW: Final = 5
_ONLINE: Final = DEVICE.key("online")


@frozen
class Together:
    """Devices that fell silent at the same time.

    Attributes:
        silent: how many.
        of: how many should have sent something since.
        silent_s: for how long.
    """

    silent: int
    of: int
    silent_s: float


@define
class News:
    """What a sweep has found.

    Attributes:
        stale: devices that are overdue now, and their silence in seconds.
        alone: those of them that are worth a line each.
        back: devices that were overdue and were heard, and how long they were silent.
        together: many fell silent at the same time; None if it was reported before.
    """

    stale: list[tuple[Device, float]] = Factory(list)
    alone: list[tuple[Device, float]] = Factory(list)
    back: list[tuple[Device, float]] = Factory(list)
    together: Together | None = None


class DeviceBook:
    """The devices of one module; nothing in it raises or knows what time it is.

    Args:
        most_bytes: memory for devices; further ones are left out until others are forgotten.
        lines_bytes: memory for last lines, where they are kept.

    Attributes:
        devices: by name.
        keeps_lines: keep each device's last line of each series; may be changed before the
            module is started.
        left_out: a device was left out.
    """

    def __init__(
        self, most_bytes: int = DEVICE_BOOK_BYTES, lines_bytes: int = LAST_LINES_BYTES
    ) -> None:
        self.devices: dict[str, Device] = {}
        self.keeps_lines = False
        self.left_out = False
        self._room = most_bytes
        self._lines_room = lines_bytes
        self._clock = ListeningClock(longest_s=3 * SWEEP_S)
        self._together_since_s = -inf
        # What belongs to no device, or to one too many.
        self._no_device = Device("", self)

    # What each line does.

    def find(self, metric: Metric) -> Device:
        """Return the device of a metric that was encoded; it is marked by the caller.

        Called for series that do not have it at hand, and for each point of the measurement
        `device`, which may say whether it is online.
        """
        series, fields, _time_ns = metric
        device = self._of(series)
        if series.measurement != DEVICE.name:
            object.__setattr__(series, "_device", device)
            object.__setattr__(series, "_kept", None)
            return device
        online = fields.get(_ONLINE)
        if device is self._no_device or not isinstance(online, bool):
            return device
        self._note_online(device, is_online=online)
        # A last will comes from the broker. What the device sends has more in it.
        return device if online and len(fields) > 1 else self._no_device

    def _of(self, series: Series) -> Device:
        name = series.tags.get("device")
        if not name:
            return self._no_device
        device = self.devices.get(name[:LONGEST_NAME]) or self._add(name[:LONGEST_NAME])
        if device is not self._no_device:
            self._room += device.size_bytes
            device.take_names(series.tags)
            self._room -= device.size_bytes
            if self._room < 0:
                self._forget(device)
                self.left_out = True
                return self._no_device
        return device

    def note(self, metric: Metric, line: bytes, heard_ns: int) -> None:
        """Note a line: what the path of messages does in its own way.

        Args:
            metric: it was encoded.
            line: as it was encoded.
            heard_ns: when its message came, on the wall clock; another number for each message.
        """
        device = metric[0]._device  # noqa: SLF001 - our own note on the series
        if device is None or device.book is not self:
            device = self.find(metric)
        device.heard_ns = heard_ns
        if self.keeps_lines:
            kept = metric[0]._kept  # noqa: SLF001 - as above
            if kept is not None and len(line) <= kept.room:
                kept.line = line
            else:
                self.keep(device, metric[0], line)

    def keep(self, device: Device, series: Series, line: bytes) -> None:
        """Keep a line as the last one of its series, and its place in the series.

        Called for the first line, for one that has no room in that place, and for points of the
        measurement `device`.
        """
        if device.book is None or device is self._no_device:
            return
        prefix = series._prefix or b""  # noqa: SLF001 - the encoder's note on the series
        kept = device.line_of(prefix)
        if kept is None or len(line) > kept.room:
            step = len(line) // _ROOM_STEP
            if step >= len(_ROOMS):
                return
            room = _ROOMS[step]
            more_bytes = room - kept.room if kept else room + len(prefix) + _LINE_BYTES
            if more_bytes > self._lines_room:
                return
            self._lines_room -= more_bytes
            if kept is None:
                kept = KeptLine(prefix)
                device.add_line(kept)
            kept.room = room
        kept.line = line
        if series._device is device:  # noqa: SLF001 - as above
            object.__setattr__(series, "_kept", kept)

    def expect(self, name: str, shortest_s: float, longest_s: float) -> None:
        """Note what a device has announced of its silence; see `ModuleContext.expect`."""
        device = self.devices.get(name[:LONGEST_NAME])
        if device is None and longest_s and name:
            device = self._add(name[:LONGEST_NAME])
        announced_s = (shortest_s, longest_s)
        if device is not None and device.announced_s != announced_s:
            device.announced_s = announced_s
            device.schedule()

    def _add(self, name: str) -> Device:
        device = Device(name, self)
        if device.size_bytes > self._room:
            self.left_out = True
            return self._no_device
        self._room -= device.size_bytes
        self.devices[name] = device
        device.listened_s = self._clock.now_s
        return device

    def _note_online(self, device: Device, *, is_online: bool) -> None:
        if device.online is is_online:
            return
        was_offline, device.online = device.online is False, is_online
        if is_online and not was_offline:
            return
        # What it has sent before is older than this.
        device.noted_ns = device.heard_ns
        device.listened_s = self._clock.now_s
        device.schedule()

    def restore(self, name: str, vendor: str, friendly: str) -> Device | None:
        """Make a device of an earlier run known; one that was heard since keeps its names.

        Returns:
            The device; None where there is no room, or where it has already learned something.
        """
        device = self.devices.get(name)
        if device is not None:
            return None if device.rhythm.interval_s else device
        device = self._add(name)
        if device is self._no_device:
            return None
        self._room += device.size_bytes
        device.vendor, device.friendly = vendor, friendly
        self._room -= device.size_bytes
        return device

    # What is done every ten seconds.

    @property
    def listened_s(self) -> float:
        """The clock of the module, see `listening`."""
        return self._clock.now_s

    def sweep(self, now_s: float, now_ns: int, *, hears: bool) -> News:
        """See who was heard since the last sweep, and who is overdue; all in one turn."""
        sweeping = self.sweep_in_turns(now_s, now_ns, hears=hears)
        while True:
            try:
                next(sweeping)
            except StopIteration as end:  # noqa: PERF203 - the only way to its value
                news: News = end.value
                return news

    def sweep_in_turns(
        self, now_s: float, now_ns: int, *, hears: bool
    ) -> Generator[None, None, News]:
        """See who was heard since the last sweep, and who is overdue.

        Yields where other work may be done.

        Args:
            now_s: monotonic.
            now_ns: the wall clock, as messages have it.
            hears: whether messages come in, if devices send any.
        """
        clock = self._clock
        passed_s = clock.tick(now_s, hears=hears)
        listened_s = clock.now_s
        news = News()
        gone_s = now_s - FORGET_AFTER_S
        for number, device in enumerate(list(self.devices.values()), 1):
            if not number % _DEVICES_A_TURN:
                yield
            if device.heard_ns != device.noted_ns:
                ago_s = min(max((now_ns - device.heard_ns) / 1e9, 0.0), passed_s)
                self._heard(device, now_s - ago_s, listened_s - ago_s, news)
            elif device.overdue_at_s <= listened_s:
                device.is_stale = True
                device.overdue_at_s = inf
                news.stale.append((device, now_s - device.heard_s))
            elif device.heard_s < gone_s and self._is_gone(device):
                self._forget(device)
        if news.stale:
            self._compare(news, now_s)
        return news

    def _heard(self, device: Device, heard_s: float, listened_s: float, news: News) -> None:
        gap_s = heard_s - device.heard_s
        rhythm = device.rhythm
        if device.is_stale:
            device.is_stale = False
            rhythm.came_back()
            news.back.append((device, gap_s))
        elif (
            gap_s == inf
            or gap_s - (listened_s - device.listened_s) > _UNHEARD * gap_s + _SAME_BURST_S
        ):
            # It is the first message, or there may have been others in between.
            rhythm.pause()
        elif gap_s >= _SAME_BURST_S:
            rhythm.learn(gap_s)
        device.learned = rhythm.packed()
        if device.online is False:
            # What it sends after its last will says more than that.
            device.online = None
        device.noted_ns = device.heard_ns
        device.heard_s = heard_s
        device.listened_s = listened_s
        device.schedule(rhythm)

    def _is_gone(self, device: Device) -> bool:
        """Say whether a device that was not heard for long is forgotten.

        Not so long as it is announced, nor where the agent itself was away.
        """
        return not device.announced_s[1] and self.listened_s - device.listened_s > _DAY_S

    def _forget(self, device: Device) -> None:
        device.book = None
        del self.devices[device.name]
        self._room += device.size_bytes
        for kept in device.lines:
            self._lines_room += kept.room + len(kept.prefix) + _LINE_BYTES

    def _compare(self, news: News, now_s: float) -> None:
        """Find out whether those that are overdue are alone with it."""
        since_s = self._together_since_s
        alone = [each for each in news.stale if each[0].listened_s > since_s]
        if not alone:
            return  # they fell silent with others, as was reported
        listened_s = self._clock.now_s
        overdue = {device for device, _silent_s in alone}
        longest_s = listened_s - min(device.listened_s for device in overdue)
        due = 0
        silent: list[Device] = []
        for device in self.devices.values():
            wait_s = self._wait_s(device)
            if not 0 < wait_s < longest_s or (device.is_stale and device not in overdue):
                continue
            due += 1
            if device.listened_s > since_s and listened_s - device.listened_s > wait_s:
                silent.append(device)
        if len(silent) < _FEW or len(silent) * 2 < due:
            news.alone = alone
            return
        self._together_since_s = max(device.listened_s for device in silent)
        silent_s = now_s - max(device.heard_s for device in silent)
        news.together = Together(len(silent), due, silent_s)

    def _wait_s(self, device: Device) -> float:
        """Return the silence after which a device that should send counts as silent; 0 for none."""
        rhythm = device.rhythm
        if device.online is False or not device.overdue_s(rhythm):
            return 0.0
        shortest_s, longest_s = device.announced_s
        usual_s = rhythm.interval_s if rhythm.overdue_s else longest_s
        return max(_SILENT * usual_s, shortest_s, SWEEP_S)

r"""Metric -> one line of InfluxDB line protocol.

Theory of operation. The specification leaves corners in which readers disagree. A line of ours
is read back to the same values by Telegraf's parser, by InfluxDB and by independent parsers, so
in these corners the strictest of them decides:

* **Names** (measurement, tag keys and values, field keys). Comma, space and, but for the
  measurement, the equals sign are escaped by a backslash. A backslash is itself never escaped in
  a name, and one before ``,`` ``=`` space ``"`` or at the end would read as an escape: it becomes
  ``/``. Control characters become ``_``, characters that are invisible or reorder text
  are taken away, noncharacters become U+FFFD: see `characters`. A measurement does not begin with
  ``#`` (a comment); measurement, tag keys and field keys do not begin with ``_`` (reserved): these
  characters are taken away. ``time`` as a tag or field key makes InfluxDB discard the point: it
  becomes ``time_``. Two keys of a point that are equal after that are refused.
* **Tag values** often come from devices, so nothing in one refuses the device's points: what is
  longer than ``TAG_VALUE_BYTES`` is cut, and one of which nothing is left becomes ``_``. So two
  values may become equal, and their points are of one series then; of ``device`` that is reported.
* **Text values** are data: quoted, ``"`` and ``\`` escaped, and kept but for controls. A tab and a
  newline (and CR before it) are legal and kept; other controls are not legal for every reader, or
  steer the terminal on which they are shown, and become a space.
* **Floats** are written in the shortest form that reads back exactly. Subnormal numbers (nearer to
  zero than 2.2e-308) are out of range for readers that use C's strtod and become 0.0.
* **Lone surrogates** have no UTF-8 form and become U+FFFD.

Each replaced character, name and subnormal counts in ``Encoder.replaced``, each cut tag value in
``Encoder.cut``; those of a series once, when it is first encoded. A tag whose value is empty or
None is left out, as the specification asks.
A field that is None, NaN or infinite is left out and counted in ``Encoder.left_out``.

Anything else that cannot be written is refused with one of ``REASONS``.

The common point, plain keys and finite floats of a known series, takes a short way: its fields as a
JSON object, which but for quotes, braces and colons is what a line wants. The object without digits
and signs, its shape, proves that nothing else is in it. What the short way does not recognise goes
the general way, which is also its oracle in the tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isfinite
from sys import float_info
from types import MappingProxyType
from typing import Final, NoReturn

from metrics_agent.cardinality import Cardinality
from metrics_agent.characters import clean_name
from metrics_agent.clock import END_NS
from metrics_agent.errors import MetricRefused
from metrics_agent.field_json import ToJson, fastest_json
from metrics_agent.limits import SERIES_PER_DEVICE, TAG_VALUE_BYTES
from metrics_agent.metric import FieldValue, Metric, Series

__all__ = [
    "MAX_KEY_BYTES",
    "MAX_SERIES_BYTES",
    "MAX_TEXT_BYTES",
    "REASONS",
    "UNSET_BEFORE_NS",
    "Encoder",
]

REASONS: Final = frozenset(
    {
        "bad_time",
        "duplicate_name",
        "empty_name",
        "int_out_of_range",
        "name_too_long",
        "no_fields",
        "not_a_metric",
        "text_too_long",
        "too_many_series",
        "unsupported_type",
    }
)
"""Every reason an ``Encoder`` refuses a metric for."""

MAX_TEXT_BYTES: Final = 64 * 1024
"""The longest text value, in UTF-8 before escaping: the specification's limit."""

MAX_SERIES_BYTES: Final = 63 * 1024
"""The longest measurement with its tags; InfluxDB takes 65,535 bytes with a field key added."""

MAX_KEY_BYTES: Final = 1024
"""The longest tag or field key."""

_SHOWN: Final = 5
"""Fields that a text names."""

_MAX_CACHED: Final = 1024
# What is longer takes the general way, so that the caches have a bound in bytes: below 4 MB.
_MAX_CACHED_NAME: Final = 128
_MAX_CACHED_SHAPE: Final = 2048
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
# The two smallest and the largest are taken by InfluxDB for itself.
_TIME_MIN: Final = -(2**63) + 2
_TIME_MAX: Final = END_NS
UNSET_BEFORE_NS: Final = 946_684_800_000_000_000
"""The year 2000: what is before may be from a clock that was not set, see `point_clock`."""
_SEVERAL: Final = 0
"""In place of a device's hash: it was reported that there are several."""
_SMALLEST_NORMAL: Final = float_info.min

_NAME_LOST_BACKSLASH = re.compile(r'\\(?=[,= "]|\Z)')
_TEXT_BAD = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]|\r(?!\n)")

# ASCII that neither JSON nor line protocol escapes, and that stays as it is in the short way.
_PLAIN_KEY = re.compile(r"[A-Za-z][!#-+\--9;<>-\[\]-z|~]*")
_DIGITS: Final = b"0123456789-"
_COLON_TO_EQUALS: Final = bytes.maketrans(b":", b"=")
_JSON_MARKS: Final = b'{}"'


class Encoder:
    """Writes metrics; owned by the agent, used from the reactor's thread only.

    Args:
        to_json: writes the fields of the short way; by default orjson, where installed.
        series_per_device: series that one device may have; 0: any number.
        on_cut: called with series, tag and length for a tag value that was cut, once for each.
        on_clash: called with a series and the tag ``device`` as it is written, when another device
            has the same one because the name of one of them was replaced or cut; once for each.
        unset_stamp: writes a time before `UNSET_BEFORE_NS`, with the blank before it; by default as
            it is.
        tags: added to every line, unless its series has a tag of that name.

    Attributes:
        cardinality: counts the series of each device.
        replaced: characters, names and numbers that were replaced, see the module's text.
        cut: tag values that were cut.
        left_out: fields left out because they were None, NaN or infinite.
    """

    __slots__ = (
        "_altered_devices",
        "_considered",
        "_known_cuts",
        "_names",
        "_on_clash",
        "_on_cut",
        "_shapes",
        "_tags",
        "_to_json",
        "_unset_stamp",
        "cardinality",
        "cut",
        "left_out",
        "replaced",
    )

    def __init__(
        self,
        *,
        to_json: ToJson | None = None,
        series_per_device: int = SERIES_PER_DEVICE,
        on_cut: Callable[[Series, str, int], object] = lambda _series, _tag, _length: None,
        on_clash: Callable[[Series, str], object] = lambda _series, _device: None,
        unset_stamp: Callable[[int], bytes] = b" %d".__mod__,
        tags: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._tags = tags
        self.replaced = 0
        self.cut = 0
        self.left_out = 0
        self._on_cut = on_cut
        self._on_clash = on_clash
        self._altered_devices: dict[int, int] = {}
        self._known_cuts: set[int] = set()
        self.cardinality = Cardinality(series_per_device)
        self._to_json = to_json or fastest_json()
        self._unset_stamp = unset_stamp
        self._shapes: set[bytes] = set()
        self._considered: set[int] = set()
        self._names: dict[str, bytes] = {}

    def encode(self, metric: Metric) -> bytes:
        r"""Write one line.

        Returns:
            The line with its ``\n``. A newline inside a text value is kept, see above.

        Raises:
            MetricRefused: it cannot be written; the reason is one of ``REASONS``.
        """
        try:
            series, fields, time_ns = metric
            prefix = series._prefix  # noqa: SLF001 - the encoder's own note on the series
            if (
                prefix is not None
                and fields.__class__ is dict
                and time_ns.__class__ is int
                and UNSET_BEFORE_NS <= time_ns <= _TIME_MAX
            ):
                data = self._to_json(fields)
                # One dot for each value and nothing else outside of the keys: every one is a
                # finite float without an exponent. An int has no dot; null, true, text, a list, a
                # subnormal leave other characters.
                shape = data.translate(None, _DIGITS)
                if shape in self._shapes and (
                    len(data) <= MAX_KEY_BYTES or max(map(len, fields)) <= MAX_KEY_BYTES
                ):
                    body = data.translate(_COLON_TO_EQUALS, _JSON_MARKS)
                    return b"%b%b %d\n" % (prefix, body, time_ns)
        except (AttributeError, TypeError, ValueError):
            # Not the common point, or not even a metric: the general way finds out.
            pass
        return self._encode_any(metric)

    def _encode_any(self, metric: object) -> bytes:
        """Write any metric: the general way."""
        if not isinstance(metric, tuple) or len(metric) != len(Metric._fields):
            raise MetricRefused("not_a_metric", f"expected a Metric, got {_kind(metric)}")
        series, fields, time_ns = metric
        if not isinstance(series, Series) or not isinstance(fields, Mapping):
            raise MetricRefused(
                "not_a_metric",
                f"expected a Series and a mapping, got {_kind(series)} and {_kind(fields)}",
            )
        stamp = self._encode_time(time_ns)
        prefix = series._prefix  # noqa: SLF001 - as above
        if prefix is None:
            prefix = self._encode_series(series)
            if not self.cardinality.admit(series.tags, prefix):
                self._refuse(series, prefix)
            object.__setattr__(series, "_prefix", prefix)
        written: dict[bytes, bytes] = {}
        empty: list[str] = []
        for name, value in fields.items():
            key = self._encode_key(name)
            data = self._encode_value(name, value)
            if data is None:
                empty.append(name)
            elif key in written:
                raise MetricRefused("duplicate_name", f"two fields become {key!r:.80}")
            else:
                written[key] = data
        self.left_out += len(empty)
        if not written:
            raise MetricRefused("no_fields", f"no field with a value, {_without(empty)}")
        self._learn(fields)
        body = b",".join([b"%b=%b" % (key, written[key]) for key in sorted(written)])
        return b"%b%b%b\n" % (prefix, body, stamp)

    def _refuse(self, series: Series, prefix: bytes) -> NoReturn:
        """Refuse a series that is one too many of its device."""
        raise MetricRefused(
            "too_many_series",
            f"device {series.tags.get('device', '')!r:.80} has more than "
            f"{self.cardinality.limit} series; {prefix!r:.160} and others that are new are left "
            "out, and not logged again. If it really has so many, raise series_per_device",
            known=not self.cardinality.is_first_refusal(series.tags),
        )

    def _learn(self, fields: Mapping[str, FieldValue]) -> None:
        """Keep the shape of these fields if they are floats and all keys of that shape are plain.

        A key that differs from a plain one in digits and signs alone is as plain, if what is left
        of both begins with a letter and is not ``time``.
        """
        keys = tuple(fields)
        # Should two have the same hash, one of them takes the general way.
        considered = hash(keys)
        if considered in self._considered or not all(
            value.__class__ is float for value in fields.values()
        ):
            return
        if len(self._considered) >= _MAX_CACHED:
            self._considered.clear()
            self._shapes.clear()
        self._considered.add(considered)
        items = []
        for name in sorted(keys):
            if not _PLAIN_KEY.fullmatch(name):
                return
            letters = name.encode().translate(None, _DIGITS)
            if letters == b"time":
                return
            items.append(b'"%b":.' % letters)
        shape = b"{%b}" % b",".join(items)
        if len(shape) <= _MAX_CACHED_SHAPE:
            self._shapes.add(shape)

    def _encode_series(self, series: Series) -> bytes:
        """Write measurement and tags, with the space that ends them."""
        tags: dict[bytes, bytes] = {}
        for name, value in {**self._tags, **series.tags}.items():
            if value is None or value == "":
                continue
            key = self._encode_key(name)
            if key in tags:
                raise MetricRefused("duplicate_name", f"two tags become {key!r:.80}")
            tags[key] = self._encode_tag(series, name, value)
        measurement = self._encode_name(
            series.measurement, "a measurement", MAX_SERIES_BYTES, unwanted="#_"
        )
        prefix = b",".join([measurement, *[b"%b=%b" % (key, tags[key]) for key in sorted(tags)]])
        if len(prefix) > MAX_SERIES_BYTES:
            raise MetricRefused(
                "name_too_long",
                f"{measurement!r:.80} has {len(prefix)} bytes with its tags, "
                f"at most {MAX_SERIES_BYTES}",
            )
        return prefix + b" "

    def _encode_key(self, name: str) -> bytes:
        """Write a tag's or field's key."""
        known = self._names.get(name)
        if known is not None:
            return known
        before = self.replaced
        key = self._encode_name(name, "a key", MAX_KEY_BYTES, unwanted="_").replace(b"=", b"\\=")
        if key == b"time":
            self.replaced += 1
            key = b"time_"
        if len(key) > MAX_KEY_BYTES:
            raise MetricRefused(
                "name_too_long", f"key {name!r:.80} has {len(key)} bytes, at most {MAX_KEY_BYTES}"
            )
        if self.replaced == before and len(key) <= _MAX_CACHED_NAME:
            if len(self._names) >= _MAX_CACHED:
                self._names.clear()
            self._names[name] = key
        return key

    def _encode_tag(self, series: Series, name: str, value: object) -> bytes:
        """Write a tag's value, whatever text it is."""
        if not isinstance(value, str):
            raise MetricRefused(
                "unsupported_type", f"expected text as tag {name!r:.80}, got {_kind(value)}"
            )
        text, bad = clean_name(value[:TAG_VALUE_BYTES])
        data = text.encode()
        if len(value) > TAG_VALUE_BYTES or len(data) > TAG_VALUE_BYTES:
            # A character that is cut in two is left out as a whole.
            text = data[:TAG_VALUE_BYTES].decode(errors="ignore")
            self._note_cut(series, name, value)
        self.replaced += bad
        text = text or "_"
        if name == "device" and (text != value or self._altered_devices):
            self._note_device(series, value, text)
        return self._escape(text).replace(b"=", b"\\=")

    def _note_device(self, series: Series, name: str, written: str) -> None:
        """Find two devices that share their series since a name is not written as it is."""
        vendor = series.tags.get("vendor")
        key, this = hash((vendor, written)), hash(name)
        other = self._altered_devices.get(key)
        if other is None:
            if name == written:
                return
            if len(self._altered_devices) >= _MAX_CACHED:
                self._altered_devices.clear()
            known = self.cardinality.knows(vendor, written)
            self._altered_devices[key] = other = hash(written) if known else this
        if other not in {this, _SEVERAL}:
            self._altered_devices[key] = _SEVERAL
            self._on_clash(series, written)

    def _note_cut(self, series: Series, name: str, value: str) -> None:
        self.cut += 1
        known = hash((name, value))
        if known not in self._known_cuts:
            if len(self._known_cuts) >= _MAX_CACHED:
                self._known_cuts.clear()
            self._known_cuts.add(known)
            self._on_cut(series, name, len(value))

    def _encode_name(self, name: object, what: str, longest: int, unwanted: str) -> bytes:
        """Write a measurement or a key, but for the equals sign that a measurement keeps."""
        if not isinstance(name, str):
            raise MetricRefused("unsupported_type", f"expected text as {what}, got {_kind(name)}")
        if len(name) > longest:
            raise MetricRefused(
                "name_too_long",
                f"{name[:60]!r}... as {what} has {len(name)} characters, at most {longest}",
            )
        text, bad = clean_name(name)
        kept = text.lstrip(unwanted)
        self.replaced += bad + len(text) - len(kept)
        if not kept:
            raise MetricRefused("empty_name", f"nothing is left of {name!r:.80} as {what}")
        return self._escape(kept)

    def _escape(self, name: str) -> bytes:
        """Write a name that is clean: a backslash at its end is known as such."""
        text, lost = _NAME_LOST_BACKSLASH.subn("/", name)
        self.replaced += lost
        return text.replace(",", "\\,").replace(" ", "\\ ").encode()

    def _encode_value(self, name: str, value: object) -> bytes | None:
        """Write a field's value; None if it has none and is to be left out."""
        if isinstance(value, float):
            return self._encode_float(value)
        if isinstance(value, bool):
            return b"true" if value else b"false"
        if isinstance(value, int):
            if not _INT64_MIN <= value <= _INT64_MAX:
                raise MetricRefused("int_out_of_range", f"{name!r:.80} needs more than 64 bits")
            return b"%di" % value
        if isinstance(value, str):
            return self._encode_text(name, value)
        if value is None:
            return None
        raise MetricRefused("unsupported_type", f"{name!r:.80} is {_kind(value)}")

    def _encode_float(self, value: float) -> bytes | None:
        if not isfinite(value):
            return None
        if value and abs(value) < _SMALLEST_NORMAL:
            self.replaced += 1
            return b"0.0"
        return float.__repr__(value).encode()

    def _encode_text(self, name: str, value: str) -> bytes:
        text, bad = _TEXT_BAD.subn(_text_substitute, value[: MAX_TEXT_BYTES + 1])
        data = text.encode()
        if len(data) > MAX_TEXT_BYTES:
            raise MetricRefused(
                "text_too_long",
                f"{name!r:.80} has {len(value)} characters, at most {MAX_TEXT_BYTES} bytes",
            )
        self.replaced += bad
        return b'"%b"' % data.replace(b"\\", b"\\\\").replace(b'"', b'\\"')

    def _encode_time(self, time_ns: object) -> bytes:
        """Write the time with the space before it; nothing for None."""
        if time_ns is None:
            return b""
        if not isinstance(time_ns, int) or isinstance(time_ns, bool):
            raise MetricRefused("bad_time", f"expected nanoseconds as an int, got {_kind(time_ns)}")
        if not _TIME_MIN <= time_ns <= _TIME_MAX:
            raise MetricRefused("bad_time", "needs more than 64 bits")
        return b" %d" % time_ns if time_ns >= UNSET_BEFORE_NS else self._unset_stamp(time_ns)


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def _without(names: list[str]) -> str:
    """Say which fields have no value, in some 300 characters at most."""
    if not names:
        return "it has none at all"
    shown = ", ".join([f"{name!r:.40}" for name in names[:_SHOWN]])
    return f"{len(names)} without ({shown}{', ...' if len(names) > _SHOWN else ''})"


def _text_substitute(found: re.Match[str]) -> str:
    return "\ufffd" if "\ud800" <= found[0] <= "\udfff" else " "

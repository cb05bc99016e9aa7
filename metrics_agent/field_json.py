"""The fields of a point as a JSON object: by orjson, where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from metrics_agent.metric import FieldValue

__all__ = ["ToJson", "fastest_json", "json_by_repr"]

ToJson = Callable[[Mapping[str, FieldValue]], bytes]
"""Fields to a JSON object ``{"a":1.5,"b":2.0}`` in UTF-8, in the order of its keys, blanks nowhere.

TypeError or ValueError for what it cannot write.
"""


def json_by_repr(fields: Mapping[str, FieldValue]) -> bytes:
    """Write plain keys and floats as orjson would; for where it is missing."""
    if not all(key.__class__ is str for key in fields):
        raise TypeError("a key that is not a plain str may write itself as another")
    keys = sorted(fields)
    if '"' in "".join(keys):
        raise ValueError("a key with a quote is not a plain key")
    items = [f'"{key}":{float.__repr__(fields[key])}' for key in keys]
    return f"{{{','.join(items)}}}".encode()


def fastest_json() -> ToJson:
    """Return orjson's writer, or ours."""
    try:
        import orjson
    except ImportError:
        return json_by_repr
    dumps, option = orjson.dumps, orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS
    return lambda fields: dumps(fields, None, option)

"""Which topics of publishers are subscribed to. Pure."""

from __future__ import annotations

from metrics_agent.errors import PayloadError

__all__ = ["announcement_filters", "check_topic", "overlaps", "wildcard_group"]


def announcement_filters(prefix: str) -> tuple[str, str]:
    """Return the filters of discovery topics."""
    return (f"{prefix}/+/+/config", f"{prefix}/+/+/+/config")


def check_topic(topic: str, prefix: str) -> None:
    """Check a filter that an entity asks for.

    Raises:
        PayloadError: it has no level of its own, or announcements would come on it.
    """
    if not any(level not in {"", "+", "#"} for level in topic.split("/")):
        raise PayloadError("bad_topic", f"{topic!r:.60} has wildcards only")
    if any(overlaps(topic, each) for each in announcement_filters(prefix)):
        raise PayloadError("bad_topic", f"{topic!r:.60} is for announcements")


def wildcard_group(topic: str) -> tuple[int, str] | None:
    """Return what filters with wildcards share if they may have a topic in common.

    A topic belongs to filters of two groups at most: those that end as it does, with as many
    levels, and those that end in a wildcard.

    Returns:
        None for a topic without a wildcard.
    """
    if "+" not in topic and not topic.endswith("#"):
        return None
    levels = topic.split("/")
    return (0, "") if levels[-1] in {"+", "#"} else (len(levels), levels[-1])


def overlaps(first: str, second: str) -> bool:
    """Say whether there is a topic that both filters have."""
    one, other = first.split("/"), second.split("/")
    for level, against in zip(one, other, strict=False):
        if "#" in {level, against}:
            return True
        if level != against and "+" not in {level, against}:
            return False
    if len(one) == len(other):
        return True
    longer = max(one, other, key=len)
    # "a/#" has "a" too.
    return longer[min(len(one), len(other)) :] == ["#"]

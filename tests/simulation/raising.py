"""How the test module fails where it is to."""

from __future__ import annotations

__all__ = ["raise_if_wrong"]


def raise_if_wrong(step: str, wrong: str) -> None:
    """Raise what a plan wants, if it does.

    Args:
        step: of the module.
        wrong: "raises" or "exits"; anything else raises nothing.
    """
    if wrong == "raises":
        raise RuntimeError(f"{step} raises")
    if wrong == "exits":
        raise SystemExit(f"{step} exits")

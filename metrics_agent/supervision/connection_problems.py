"""What is known of the connections of each module."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ConnectionProblems"]


class ConnectionProblems:
    """Holds for each module what its connections are like.

    For each address: None while the answer is pending, empty when it works, else a clause that
    says what is wrong.
    """

    def __init__(self) -> None:
        self._problems: dict[str, dict[str, str | None]] = {}
        self._worked: set[str] = set()

    def note(self, module: str, address: str, problem: str | None) -> None:
        """Record the latest about one connection."""
        self._problems.setdefault(module, {})[address] = problem
        if problem == "":
            self._worked.add(module)

    def begin(self, module: str) -> None:
        """Forget what was noted of a module: its connections are new ones."""
        self._problems.pop(module, None)

    def only_failed(self, module: str) -> bool:
        """Say whether a module has connections and none of them has worked so far."""
        return module in self._problems and module not in self._worked

    def of(self, module: str) -> Mapping[str, str | None]:
        """Return what is known of the connections of a module, by address."""
        return dict(self._problems.get(module, {}))

"""What a settings class declares, in the words of a file."""

from __future__ import annotations

import sys
from typing import Any, Literal

from attrs import Factory, frozen
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import Duration, Fault, Secret, setting, structure
from metrics_agent.config.declared import Declared, declared, needed
from metrics_agent.config.shapes import toml_string
from tests.config.kinds import Account, Plain, Tls

if sys.version_info >= (3, 11):
    from tomllib import loads as parse_toml
else:
    from tomli import loads as parse_toml


@frozen
class Part:
    """A nested table with defaults."""

    size: int = setting(default=1, doc="d")


@frozen
class Odd:
    """Settings that name no example."""

    wait: Duration = setting(doc="d", minimum=60)
    count: int = setting(doc="d", minimum=3)
    mode: Literal["fast", "slow"] | None = setting(default=None, doc="d")
    ratio: float = setting(doc="d")
    active: bool = setting(doc="d")
    names: tuple[str, ...] = setting(doc="d")
    table: dict[str, int] = setting(doc="d")
    secret: Secret = setting(doc="d")
    part: Part = setting(default=Factory(Part), doc="d")
    parts: dict[str, Part] = setting(default={}, doc="d")
    text: str = setting(default="x" * 200, doc="d")
    address: str = setting(default="http://anna:pw@host/", doc="d")


@frozen
class Device:
    """A setting whose default its own check rejects."""

    url: str = setting(default="", doc="d", example="host")
    note: str = setting(default="", doc="d", example="e")

    def check(self) -> Any:
        if not self.url:
            yield Fault("url", "nothing", "an address")


def of(cls: type[Any]) -> dict[str, Declared]:
    """Return the settings of a class by name."""
    return {each.name: each for each in declared(cls)}


class DeclaredTests(SynchronousTestCase):
    """Each setting."""

    def test_every_sample_is_accepted(self) -> None:
        """Where no example is named, a value of the right type within the limits is found."""
        for cls in (Plain, Account, Odd, Tls):
            raw = {name: each.raw_sample for name, each in of(cls).items() if each.table is None}
            self.assertEqual(structure(cls, raw).faults, (), cls)

    def test_every_sample_as_toml_is_the_same_value(self) -> None:
        for cls in (Plain, Account, Odd, Tls):
            settings = [each for each in declared(cls) if each.table is None]
            text = "\n".join(f"{each.name} = {each.sample}" for each in settings)
            raw = {each.name: each.raw_sample for each in settings}
            found = structure(cls, parse_toml(text))
            self.assertEqual(found, structure(cls, raw), cls)

    def test_every_default_as_toml_is_the_default(self) -> None:
        """Long texts are whole, and addresses keep their logins: these are no faults to show."""
        for cls in (Plain, Odd):
            text = "\n".join(
                f"{each.name} = {each.sample if each.required else each.default}"
                for each in declared(cls)
                if each.required or each.default is not None
            )
            found = structure(cls, parse_toml(text))
            self.assertEqual(found.faults, ())
            given = {each.name: each.raw_sample for each in declared(cls) if each.required}
            self.assertEqual(found.value, structure(cls, given).value)

    def test_tables(self) -> None:
        """A nested table and one of a list's or a table's items are not the same."""
        odd = of(Odd)
        self.assertEqual((odd["part"].table, odd["part"].inside), (Part, (Part,)))
        self.assertEqual((odd["parts"].table, odd["parts"].inside), (None, (Part,)))
        self.assertIs(of(Plain)["tls"].table, Tls)

    def test_default_text(self) -> None:
        """A setting without default is required or not set."""
        plain = of(Plain)
        self.assertEqual(of(Account)["client_id"].default_text, "required")
        self.assertEqual(plain["pause"].default_text, "not set")
        self.assertEqual(plain["interval"].default_text, '"30s"')

    def test_needed(self) -> None:
        """What is required, and what the class's own check asks for."""
        self.assertEqual(needed(Account), {"client_id", "client_secret"})
        self.assertEqual(needed(Device), {"url"})
        self.assertEqual(needed(Plain), set())

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_a_text_is_read_back_by_toml(self, text: str) -> None:
        self.assertEqual(parse_toml(f"key = {toml_string(text)}"), {"key": text})

    def test_only_a_text_is_a_text(self) -> None:
        self.assertRaises(TypeError, toml_string, ("a",))

"""The module's README says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import fields_dict
from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.structure import structure
from metrics_agent.modules import netatmo
from metrics_agent.modules.netatmo.config import NetatmoSettings
from metrics_agent.modules.netatmo.decode import _CLIMATE, _STATE
from tests.modules.tasmota.support import read_toml

README = Path(netatmo.__file__).with_name("README.md").read_text("utf-8")


def block(kind: str) -> str:
    """Return the text of a fenced block."""
    found = re.search(rf"```{kind}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


class ReadmeTests(SynchronousTestCase):
    """Configuration, metrics, example."""

    def table(self) -> dict[str, object]:
        text = re.sub(r"\{ file = [^}]*\}", '"a-secret"', block("toml"))
        return dict(read_toml(text)["modules"]["netatmo"])

    def test_the_configuration_loads(self) -> None:
        table = self.table()
        self.assertIs(table.pop("enabled"), True)
        self.assertEqual(structure(NetatmoSettings, table).faults, ())

    def test_it_shows_the_defaults(self) -> None:
        """What stands there is the default, but for the two that have none and the names."""
        table = self.table()
        shown = structure(NetatmoSettings, {k: v for k, v in table.items() if k != "enabled"}).value
        required = {"client_id": "a", "client_secret": "b"}
        usual = structure(NetatmoSettings, required).value
        assert shown is not None
        assert usual is not None
        for name in table:
            if name not in {"enabled", *required, "friendly_name_overrides", "redirect_uri"}:
                self.assertEqual(getattr(shown, name), getattr(usual, name), name)
        self.assertEqual(shown.redirect_uri, usual.redirect_address)

    def test_every_setting_is_named(self) -> None:
        for name in fields_dict(NetatmoSettings):
            self.assertIn(name, README)

    def test_every_field_is_named(self) -> None:
        for quantity in (*_CLIMATE, *_STATE):
            self.assertRegex(README, rf"\b{quantity.field}\b")

    def test_the_example_is_line_protocol(self) -> None:
        lines = block("text").splitlines()
        self.assertEqual(len(lines), 4)
        for line in lines:
            self.assertEqual(parse_line(line)["tags"]["vendor"], "netatmo")

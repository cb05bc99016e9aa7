"""The README's tables of drivers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.modules import tasmota

_SECTIONS: Final = {
    # xsns: 3 and 49 are free, 119 to 121 are newer than 15.2.
    "The drivers of the firmware": {*range(1, 122), 127} - {3, 49},
    # xdrv: those that append to SENSOR, and the bridges.
    "Other drivers": {
        *(3, 4, 8, 10, 16, 23, 27, 28, 31, 39, 42, 43, 44, 47, 48, 49, 51, 52, 56, 57, 65, 67),
        *(72, 73, 75, 79, 81, 85, 86, 87, 90, 92, 119),
    },
    # xnrg
    "Energy drivers": {*range(1, 31)} - {20, 27},
}


class DriverTests(SynchronousTestCase):
    """The README says of each of the firmware's drivers what becomes of it."""

    def test_every_driver_has_its_row(self) -> None:
        """No driver is without a row, none of the rows without a driver."""
        text = (Path(tasmota.__file__).parent / "README.md").read_text("utf-8")
        section = text.split("## Sensors")[1].split("## Known limits")[0]
        for begin, expected in _SECTIONS.items():
            rows = section.split(begin)[1].split("\n\n")[1].splitlines()[2:]
            names = [row.split("|")[1] for row in rows]
            numbers = {
                int(number)
                for name in names
                for number in re.findall(r"(?<![\w-])([0-9]{2,3})(?!\w)", name)
            }
            self.assertEqual(numbers, expected, begin)
            for row in rows:
                verdicts = re.search(r"taken|left out|see above|nothing|by its keys", row)
                self.assertIsNotNone(verdicts, row)

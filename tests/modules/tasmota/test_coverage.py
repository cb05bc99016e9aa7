"""The report on scripts and recordings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.modules.tasmota import coverage

SCRIPT = """
>M 1
+1,3,s,0,9600,Meter
1,77070100010800ff@1000,Import,kWh,ImportActive,3
1,77070100240700ff@1,Phase,W,P1,0
1,77070100380700ff@1,Phase,kW,P2,0
1,77070100010700ff@1,Power,W,1_7_0,0
1,77070100200700ff@1,Voltage,V,v_of_mine,0
1,77070100010800ff@1000,Week,kWh,E_in_7d,3
1,77070100010800ff@1000,Again,kWh,Total_in,3
1,77070100000200ff@1,Version,v,version,0
1,77070100000009ff@#,Server,,Server_ID,0
#
"""


class CoverageTests(SynchronousTestCase):
    """Each value is judged by the unit that its script gives it."""

    def test_verdicts(self) -> None:
        """Right, wrong (kW taken as W), asked for, left out on purpose, not known."""
        (script,) = coverage.scripts_of(SCRIPT)
        verdicts = {each.key: each.verdict for each in coverage.judge_script(script)}
        self.assertEqual(
            verdicts,
            {
                "ImportActive": "right",
                "P1": "right",
                "P2": "wrong",
                "1_7_0": "asked",
                "v_of_mine": "not known",
                "E_in_7d": "on purpose",
                "Total_in": "on purpose",
            },
        )

    def test_phase_of_the_code_counts(self) -> None:
        """A value that comes out as another phase than that of its code is wrong."""
        (script,) = coverage.scripts_of(SCRIPT.replace(",P1,", ",P3,"))
        verdicts = Counter(each.verdict for each in coverage.judge_script(script))
        self.assertEqual(verdicts["wrong"], 2)

    def test_recordings(self) -> None:
        """Numbers of a payload are taken, left out on purpose or not known."""
        payload = (
            b'{"Time":"2025-02-11T07:30:00","AM2301":{"Temperature":21.5,"Odd":1},'
            b'"SM":{"Total_in":1,"Power_max":2,"Power":3,"1_7_0":4},"Light":5,'
            b'"ADS1115":[{"A0":6}],"XY":{"odd":7},"ZbReceived":{"Door":{"Device":"0x0A11","Contact":1,"Sat":9}}}'
        )
        self.assertEqual(
            [(each.verdict, each.key) for each in coverage.judge_payload(payload)],
            [
                ("taken", "AM2301.Temperature"),
                ("not known", "AM2301.Odd"),
                ("taken", "SM.Total_in"),
                ("on purpose", "SM.Power_max"),
                ("taken", "SM.Power"),
                ("asked", "SM.1_7_0"),
                ("not known", "Light"),
                ("taken", "ADS1115.0.A0"),
                ("not known", "XY.odd"),
                ("taken", "ZbReceived.Door.Contact"),
                ("ignored", "ZbReceived.Door.Sat"),
            ],
        )

    def test_command(self) -> None:
        """The command prints each key and the sums; its exit code says whether one is wrong."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "meter.tas").write_text(SCRIPT)
        (folder / "log.txt").write_text('tele/plug/SENSOR {"AM2301":{"Humidity":41}}\nother {}\n')
        with mock.patch("sys.stdout") as out:
            self.assertEqual(coverage.main([str(folder)]), 1)
        printed = out.write.call_args[0][0]
        sums = "1 asked, 1 not known, 2 on purpose, 2 right, 1 wrong\n"
        self.assertTrue(printed.endswith(sums.replace("right", "right, 1 taken")), printed)
        self.assertIn("log.txt: recordings: 1 taken\n", printed)
        self.assertIn(f"meter.tas: Meter: {sums}", printed)
        self.assertIn("2 scripts, 1 of them without a value that is wrong or not known", printed)
        with mock.patch("sys.stderr"):
            self.assertEqual(coverage.main([]), 2)

"""Keys that do not say by themselves what they measure."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.modules.tasmota.support import make


class DoubtTests(SynchronousTestCase):
    """Such a key counts beside another that agrees; alone it is asked for."""

    def read(self, payload: bytes, **settings: Any) -> tuple[dict[str, Any], dict[str, int], str]:
        """Return all fields, what is dropped, and all questions of the log."""
        _, context = make(**settings)
        metrics = context.deliver("tele/plug/SENSOR", payload)
        fields = {name: value for each in metrics for name, value in each.fields.items()}
        return fields, dict(context.dropped), "".join(context.logged("warn"))

    def test_alone(self) -> None:
        """No value, and a question for each key that names the setting."""
        for name, keys in (
            ("Rain", {"Total": 12.5}),
            ("Rain", {"Total": 12.5, "Today": 2, "Yesterday": 1}),
            ("Regen", {"Counter": 5}),
            ("MyPress", {"P": 1013.2}),
            ("MyPress", {"P1": 1013.2, "P2": 1012.9}),
            ("Boiler", {"Total": 12.5, "Count": 5}),
            ("Pulse", {"Count": 5}),
            ("Valves", {"V1": 1, "V2": 0}),
            ("Oven", {"F": 350}),
            ("Door", {"In": 5}),
            ("Pulse", {"Imp": 5}),
            ("X", {"E": 1}),
            ("X", {"V": 1}),
            ("X", {"U": 1}),
            ("X", {"I": 1}),
            ("X", {"U1": 1}),
            ("X", {"I1": 1}),
            ("X", {"V": 13250, "I": 8900}),
            ("Tank", {"L1": 5, "P": 3}),
            ("Rain", {"M1_Total": 5, "M2_Total": 6}),
            ("Rain", {"A_Total": 1, "B_Total": 2, "C_Total": 3, "D_Total": 4}),
        ):
            content = ",".join(f'"{key}":{value}' for key, value in keys.items())
            fields, dropped, asked = self.read(f'{{"{name}":{{{content}}}}}'.encode())
            self.assertEqual((fields, dropped), ({}, {"unit_not_known": len(keys)}), content)
            self.assertIn(f'[modules.tasmota.meters."{name}"]', asked)
            for key in keys:
                self.assertIn(f'"{key}"', asked)

    def test_beside_another(self) -> None:
        """One that only electricity has, or a second quantity of it, is enough for all."""
        for content, fields in (
            (b'"P":230,"U":231,"Total":5', {"power": 230.0, "voltage": 231.0, "energy_total": 5.0}),
            (b'"P":230,"U":231,"I":1.2', {"power": 230.0, "voltage": 231.0, "current": 1.2}),
            (b'"Power":230,"Total":5', {"power": 230.0, "energy_total": 5.0}),
            (b'"P":230,"U1":231', {"power": 230.0, "voltage": 231.0}),
            (b'"E":5,"P":230', {"energy_total": 5.0, "power": 230.0}),
            (b'"Total":5,"1_8_0":7.5', {"energy_total": 5.0}),
            (b'"kWh":5', {"energy_total": 5.0}),
            (b'"P":230,"Current":1.2', {"power": 230.0, "current": 1.2}),
            (b'"Total_in":5,"Count":3', {"energy_total": 5.0}),
            (b'"Imp":5,"Volt_L1":231', {"energy_total": 5.0, "voltage": 231.0}),
        ):
            self.assertEqual(self.read(b'{"SM":{%b}}' % content)[0], fields, content)

    def test_no_agreement(self) -> None:
        """The voltage of a battery makes no meter, nor does another doubtful key of that kind."""
        for content, fields in (
            (b'"Total":12.5,"Voltage":3.1', {"voltage": 3.1}),
            (b'"P":1013,"Voltage":3.1', {"voltage": 3.1}),
            (b'"Total":12.5,"Counter":3', {}),
        ):
            found, dropped, _ = self.read(b'{"Rain":{%b}}' % content)
            self.assertEqual(found, fields, content)
            self.assertEqual(dropped, {"unit_not_known": 2 - len(fields)})

    def test_setting(self) -> None:
        """The setting that the log names decides, for the other keys too."""
        meters = {"Haus": {"Total": "energy_total kWh"}}
        fields, dropped, asked = self.read(b'{"Haus":{"Total":5,"P":7}}', meters=meters)
        self.assertEqual((fields, dropped), ({"energy_total": 5.0, "power": 7.0}, {}))
        self.assertEqual(asked, "")
        meters = {"Haus": {"Count": "volume m3", "X": "volume l"}}
        fields, dropped, _ = self.read(b'{"Haus":{"Count":5,"P":7}}', meters=meters)
        self.assertEqual((fields, dropped), ({"volume": 5.0}, {"unit_not_known": 1}))
        self.assertEqual(self.read(b'{"Haus":{"X":5}}', meters=meters)[0], {"volume": 0.005})

    def test_unknown_keys_beside_it(self) -> None:
        """The question is asked in an object of which nothing else is known too."""
        fields, dropped, asked = self.read(b'{"Foo":{"Total":5,"Bar":3}}')
        self.assertEqual((fields, dropped), ({}, {"unit_not_known": 1, "unmapped_key": 1}))
        self.assertIn('"Total" = "energy_total kWh"', asked)

    def test_fluids(self) -> None:
        """What a meter of water or gas counts is asked for as a volume."""
        for name, content, key in (
            ("WaterMeter", b'"Volume":12.5,"Flow":0.2', "Volume"),
            ("Wasserzaehler", b'"total":12.3,"Flow":2', "total"),
            ("Gas", b'"Total":12.3,"Impulse":2', "Total"),
        ):
            fields, dropped, asked = self.read(b'{"%b":{%b}}' % (name.encode(), content))
            self.assertEqual((fields, dropped), ({}, {"unit_not_known": 1, "unmapped_key": 1}))
            self.assertIn(f'[modules.tasmota.meters."{name}"]', asked)
            self.assertIn(f'"{key}" = "volume m3"', asked)

    def test_rain_gauge(self) -> None:
        """A driver's own object is not a meter, whatever keys are left of it."""
        self.assertEqual(self.read(b'{"RG-15":{"Total":26.8}}')[0], {"rain_total": 26.8})

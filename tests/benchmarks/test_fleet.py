"""The payloads: of one width, valid, and read by the module as the collector counts them."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import fleet
from metrics_agent.modules.tasmota import MODULE
from metrics_agent.testing import FakeContext


def filled(index: int, *, mixed: bool, sequence: int = 17) -> bytes:
    """Return a payload as it is sent."""
    data = fleet.payload(index, mixed=mixed)
    data = data.replace(fleet.SEQUENCE, b"%07d" % (fleet.FIRST_SEQUENCE + sequence))
    return data.replace(fleet.STAMP, b"%010d" % (fleet.FIRST_STAMP + 5))


class FleetTests(SynchronousTestCase):
    """What the devices send."""

    def test_placeholders_are_as_wide_as_what_replaces_them(self) -> None:
        self.assertEqual(len(fleet.SEQUENCE), len(str(fleet.FIRST_SEQUENCE)))
        self.assertEqual(len(fleet.STAMP), len(str(fleet.FIRST_STAMP)))

    def test_payloads_are_json_of_the_size_of_real_ones(self) -> None:
        for index in (0, 2, 4, 10_233):
            data = filled(index, mixed=True)
            json.loads(data)
            self.assertTrue(250 <= len(data) <= 340, len(data))

    def test_all_plugs_send_payloads_of_one_length(self) -> None:
        self.assertEqual(len({len(fleet.payload(index)) for index in range(2000)}), 1)

    def test_every_message_gives_one_line_with_its_sequence_number(self) -> None:
        context = FakeContext()
        MODULE.make(MODULE.settings(), context).startService()
        self.addCleanup(context.stop)
        for index in range(len(fleet.MIX)):
            context.deliver(*fleet.announcement(index), retain=True)
            before = len(context.metrics)
            context.deliver(fleet.sensor_topic(index), filled(index, mixed=True))
            lines = context.lines()[before:]
            mark = fleet.kind_of(index, mixed=True).mark.decode()
            marked = [line for line in lines if f"{mark}1000017" in line]
            self.assertEqual(len(marked), 1, lines)
            self.assertIn(f"device={fleet.device_name(index)},", marked[0])
            self.assertIn(f"friendly=Plug\\ {index}", marked[0])

    def test_a_plug_gives_the_fields_that_telegraf_is_configured_for(self) -> None:
        context = FakeContext()
        MODULE.make(MODULE.settings(), context).startService()
        self.addCleanup(context.stop)
        context.deliver(*fleet.announcement(0), retain=True)
        (metric,) = context.deliver(fleet.sensor_topic(0), filled(0, mixed=False))
        self.assertEqual(set(metric.fields), set(fleet.FIELDS.values()))

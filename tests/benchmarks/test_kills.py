"""What the soak of kills and the cluster judge by: where each number was last seen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import packets
from benchmarks.cluster import Outcome as ClusterOutcome
from benchmarks.cluster import table as cluster_table
from benchmarks.endurance.accounts import Fate, account, missing, ranges
from benchmarks.endurance.ledger import Series
from benchmarks.endurance.tap import Notes, Pair
from benchmarks.kills import Outcome, table

LIMIT_S = 20


def series(*numbers: int) -> Series:
    """Return what has come, in that order."""
    found = Series()
    for number in numbers:
        found.take(number)
    return found


class AccountTests(SynchronousTestCase):
    """Every number has one place."""

    def test_account(self) -> None:
        """What was acknowledged and not written is the subject's loss, the rest the broker's."""
        notes = Notes(
            acknowledged={"plug00": series(1, 2, 3)}, delivered={"plug00": series(1, 2, 3)}
        )
        fate = account({"plug00": 5, "plug01": 1}, notes, {"plug00": series(1, 3, 3)})
        self.assertEqual(fate, Fate({"plug00": [2]}, {"plug00": [4, 5], "plug01": [1]}, 0, 1))
        self.assertEqual((fate.lost_by_subject, fate.lost_by_broker), (1, 3))

    def test_missing(self) -> None:
        """Numbers beyond the highest are missing as well."""
        self.assertEqual(missing(series(1, 3), 5), {2, 4, 5})
        self.assertEqual(missing(None, 2), {1, 2})

    def test_ranges(self) -> None:
        """Numbers in a row are shown as one."""
        self.assertEqual(ranges({"a": [3, 4, 5, 9], "b": [1]}), "a 3-5 9, b 1")
        self.assertEqual(ranges({}), "none")


class TapTests(SynchronousTestCase):
    """What is noted of a connection."""

    def test_notes(self) -> None:
        """A number is delivered when the broker sends it, acknowledged when its PUBACK comes."""
        notes = Notes()
        near, far = StringTransport(), StringTransport()
        pair = Pair(notes, near)
        pair.far = far
        asked = packets.connect("x") + packets.subscribe(1, "tele/+/SENSOR", 1)
        pair.up(asked)
        payload = b'{"ENERGY":{"Total":7,"Power":1}}'
        stream = b"".join(
            (
                b"\x90\x03\x00\x01\x01",
                packets.publish("tele/plug00/SENSOR", payload, qos=1, packet_id=5),
                packets.publish("tele/plug01/SENSOR", payload),
            )
        )
        for index in range(len(stream)):
            pair.down(stream[index : index + 1])
        self.assertEqual(notes.subscribed, {"tele/+/SENSOR": 1})
        self.assertEqual(set(notes.delivered), {"plug00"})
        self.assertEqual(notes.delivered["plug00"].highest, 7)
        self.assertEqual(notes.acknowledged, {})
        pair.up(packets.puback(6))
        self.assertEqual(notes.acknowledged, {})
        pair.up(packets.puback(5))
        self.assertEqual(notes.acknowledged["plug00"].highest, 7)
        self.assertEqual(near.value(), stream)
        self.assertEqual(far.value(), asked + packets.puback(6) + packets.puback(5))

    def test_filters(self) -> None:
        """The filters of a SUBSCRIBE of MQTT 5 follow its properties."""
        body = packets.subscribe(1, "a/+", 1)[2:]
        self.assertEqual(list(packets.filters(body, v5=False)), ["a/+"])
        body = body[:2] + b"\x02\x0b\x05" + body[2:] + body[2:]
        self.assertEqual(list(packets.filters(body, v5=True)), ["a/+", "a/+"])


class OutcomeTests(SynchronousTestCase):
    """What a run must have been like."""

    def test_kills(self) -> None:
        """One number that was acknowledged and lost is wrong, and so is one that paho got."""
        good = Outcome("aedes", 1, kills={"agent": 2}, sent={"plug": 9}, in_telegraf=3)
        good.agent.by_broker = {"plug00": [4]}
        good.paho.by_broker = {"plug00": [5]}
        self.assertEqual(good.wrong, [])
        self.assertIn("| aedes | 0 | 2 agent | 9 | 0 | 1, 1 | 3 | 0, 0 |", table([good]))
        good.agent.by_broker = {"plug00": [4, 5]}
        self.assertIn("the broker lost plug00 4-5 for the agent", good.wrong[0])
        good.kills["agent and broker"] = 1
        self.assertEqual(good.wrong, [])
        bad = Outcome("mosquitto", 1, agent=Fate({"plug00": [1]}), invalid=1)
        self.assertIn("acknowledged and not handed on: plug00 1", bad.wrong[0])
        self.assertIn("1 lines are not line protocol", bad.wrong[1])

    def test_cluster(self) -> None:
        """The same for the cluster."""
        good = ClusterOutcome(3, sent=9, gaps_s=[1.0, 3.0])
        self.assertEqual(good.wrong, [])
        self.assertIn("| 3 | 2, 0 of paho's node | 9 | 0 | 0, 0 | 0, 0 |", cluster_table([good]))
        good.agent.by_subject = {"plug00": [1]}
        self.assertIn("acknowledged and not written: plug00 1", good.wrong[0])


class RecorderTests(SynchronousTestCase):
    """The reader between the agent and Telegraf."""

    def record(self, script: str) -> tuple[bytes, bytes, int]:
        """Run a script as the agent; return what was taken, what was passed on, and the status."""
        taken, pid = Path(self.mktemp()).absolute(), Path(self.mktemp()).absolute()
        argv = [sys.executable, "-m", "benchmarks.endurance.recorder", str(taken), str(pid)]
        done = subprocess.run(
            [*argv, "sh", "-c", script], capture_output=True, check=False, timeout=LIMIT_S,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        return taken.read_bytes(), done.stdout, done.returncode

    def test_passes_on(self) -> None:
        """What the agent writes is noted and passed on, and its status is the recorder's."""
        taken, passed, status = self.record("echo one; exec >&-; sleep 0.2; exit 7")
        self.assertEqual((taken, passed, status), (b"one\n", b"one\n", 7))

    def test_killed(self) -> None:
        """The end of the agent by a signal is seen."""
        self.assertEqual(self.record("kill -KILL $$")[2], 137)

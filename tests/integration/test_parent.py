"""The harness itself: it has the manners that tests rely on."""

from __future__ import annotations

import signal
import sys

from twisted.trial.unittest import TestCase

from tests.integration.parent import HarnessParent, Pace
from tests.integration.watching import Said, until

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: print("I! got SIGTERM", file=sys.stderr, flush=True))
print("I! ready", file=sys.stderr, flush=True)
while True:
    time.sleep(0.01)
"""
HASTY = """
import sys
sys.stdout.write("m v=1\\n" * 5000 + "m v=")
sys.stdout.flush()
"""
LEVELS = """
import sys
sys.stderr.write("E! error\\nW! warning\\nI! info\\nD! debug\\nTraceback\\n")
sys.exit(7)
"""


class HurriedParent(HarnessParent):
    """Does not wait for seconds."""

    sigterm_after_s = 0.2
    sigkill_after_s = 0.6


class HarnessParentTests(TestCase):
    """With children that are not agents."""

    timeout = 60

    def start(self, program: str, **how: float) -> HurriedParent:
        parent = HurriedParent(self, [sys.executable, "-c", program], **how)
        parent.start()
        return parent

    async def test_stop_becomes_sigterm_and_then_sigkill(self) -> None:
        """For a child that minds neither the end of its stdin nor SIGTERM."""
        parent = self.start(STUBBORN)
        await until(lambda: parent.log, "the child")
        took_s = await parent.stop()
        self.assertEqual([said.text for said in parent.log], ["ready", "got SIGTERM"])
        self.assertEqual((parent.exits, parent.starts), ([-signal.SIGKILL], 1))
        self.assertGreaterEqual(took_s, 0.6)

    async def test_what_is_unread_at_the_exit_is_lost(self) -> None:
        """As with Telegraf, for a child that does not wait for its reader."""
        parent = HurriedParent(self, [sys.executable, "-c", HASTY], restart_delay_s=60)
        parent.read_at(Pace(1300, 0.01))
        parent.start()
        await until(lambda: parent.exits, "the exit")
        self.assertEqual(parent.exits, [0])
        self.assertLess(len(parent.lines()), 5000)
        self.assertTrue(parent.output.endswith(b"\n"), "half a line is kept")

    async def test_levels_exit_status_and_restart(self) -> None:
        """A line without a prefix is an error; any exit is followed by a start."""
        parent = self.start(LEVELS, restart_delay_s=0.1)
        await until(lambda: parent.starts > 2, "two restarts")
        self.assertEqual(parent.exits[:2], [7, 7])
        self.assertEqual(
            parent.log[:5],
            [
                Said("E", "error"),
                Said("W", "warning"),
                Said("I", "info"),
                Said("D", "debug"),
                Said("E", "stderr: 'Traceback'"),
            ],
        )

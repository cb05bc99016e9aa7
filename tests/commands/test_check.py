"""`metrics-agent check`: all that is wrong, and a code."""

from __future__ import annotations

from metrics_agent.commands.check import check
from tests.commands.case import FAULTY, GLOBAL_FAULT, GOOD, NOTHING, CommandCase


class CheckTests(CommandCase):
    """Over files."""

    def test_right(self) -> None:
        """A right file: its modules and 0."""
        path = self.write(GOOD)
        self.assertEqual(check(path), 0)
        self.assertEqual(self.said(), [f"{path} is right; modules that will run: demo"])

    def test_nothing_enabled(self) -> None:
        """Without an enabled module it is right too, and says so."""
        path = self.write(NOTHING)
        self.assertEqual(check(path), 0)
        self.assertEqual(self.said(), [f"{path} is right; modules that will run: none"])

    def test_fault_of_a_module(self) -> None:
        """The fault of an enabled module: one line, a verdict and 78."""
        self.assertEqual(check(self.write(FAULTY)), 78)
        fault, verdict = self.said()
        self.assertTrue(fault.startswith("error: modules.demo.interval: got"), fault)
        self.assertEqual(verdict, f"1 error in {self.directory / 'agent.toml'}")

    def test_every_fault_at_once(self) -> None:
        """Global faults and those of modules come together, each on a line."""
        self.assertEqual(check(self.write(GLOBAL_FAULT + FAULTY)), 78)
        self.assertEqual(len(self.said()), 4)
        self.assertEqual(self.said()[-1], f"3 errors in {self.directory / 'agent.toml'}")

    def test_warnings(self) -> None:
        """What is odd but stops nothing is a warning, and the code 0; faults come beside it."""
        off = FAULTY.replace("true", "false")
        self.assertEqual(check(self.write(off)), 0)
        self.assertTrue(self.said()[0].startswith("warning: modules.demo.interval"))
        self.assertIn("is right", self.said()[1])

    def test_no_file(self) -> None:
        """No file is a fault that names it."""
        self.assertEqual(check(str(self.directory / "none.toml")), 78)
        self.assertIn("none.toml", self.said()[0])
        self.go_there()
        self.stdout.truncate(0)
        self.assertEqual(check(None), 78)
        self.assertEqual(self.said()[-1], "1 error")
        self.assertIn(str(self.directory / "metrics-agent.toml"), self.stdout.getvalue())

    def test_found(self) -> None:
        """Without a path the file is looked for in the current directory."""
        self.go_there()
        self.write(GOOD, "metrics-agent.toml")
        self.assertEqual(check(None), 0)

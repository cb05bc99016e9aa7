"""What `once` and `check --connect` share: a copy of the state, and metrics that go elsewhere."""

from __future__ import annotations

import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.commands import diagnosing
from metrics_agent.commands.diagnosing import copied_state
from metrics_agent.config import load
from metrics_agent.diagnosis import Diagnosis
from metrics_agent.modules import find_kind, known_kinds
from metrics_agent.plan import Plan, build
from metrics_agent.supervision.connection_problems import ConnectionProblems

TEXT = '[modules.demo]\nenabled = true\n[modules."demo:two"]\nenabled = true\n'


class StateTests(SynchronousTestCase):
    """The copy of the state directory."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.state = self.directory / "state"
        self.directory.mkdir()
        self.problems = ConnectionProblems()

    def plan(self, text: str = TEXT) -> Plan:
        path = self.directory / "agent.toml"
        path.write_text(text, "utf-8")
        return build(load(path, find_kind, known_kinds))

    def test_copy(self) -> None:
        """The files of each module are there, private, and gone at the end; what is written too."""
        own = self.state / "demo@two"
        own.mkdir(parents=True)
        (own / "kept.json").write_text("before", "utf-8")
        (own / "kept.json").chmod(0o644)
        with copied_state(self.state, self.plan(), self.problems) as copy:
            path = copy / "demo@two" / "kept.json"
            self.assertEqual(path.read_text("utf-8"), "before")
            modes = [stat.S_IMODE(each.stat().st_mode) for each in (copy, path.parent, path)]
            self.assertEqual(modes, [0o700, 0o700, 0o600])
            path.write_text("after", "utf-8")
        self.assertFalse(copy.exists())
        self.assertEqual((own / "kept.json").read_text("utf-8"), "before")
        self.assertEqual(self.problems.of("demo:two"), {})

    def test_nothing_there(self) -> None:
        """Without a state directory there is an empty copy, and none is made."""
        with copied_state(self.state, self.plan(), self.problems) as copy:
            self.assertEqual(list(copy.iterdir()), [])
        self.assertFalse(self.state.exists())
        self.assertEqual(self.problems.of("demo:two"), {})

    def test_what_cannot_be_read(self) -> None:
        """It costs the one module its state, with a text that says what to do."""
        self.state.mkdir()
        (self.state / "demo").write_text("a file in its place", "utf-8")
        own = self.state / "demo@two"
        own.mkdir()
        (own / "kept.json").write_text("kept", "utf-8")
        with copied_state(self.state, self.plan(), self.problems) as copy:
            self.assertEqual((copy / "demo@two" / "kept.json").read_text("utf-8"), "kept")
        [(path, text)] = self.problems.of("demo").items()
        self.assertEqual(path, str(self.state / "demo"))
        self.assertEqual(text, "cannot be read: Not a directory")
        self.assertEqual(self.problems.of("demo:two"), {})

    def test_what_another_user_may_read(self) -> None:
        """Only then it helps to be that user."""

        def refuse(*_args: object) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(diagnosing, "_copy_files", refuse)
        with copied_state(self.state, self.plan(), self.problems):
            [text] = self.problems.of("demo").values()
        self.assertIn("cannot be read: Permission denied; run this command as", text or "")

    def test_settings(self) -> None:
        """Metrics go where the command wants them, after a reload too."""
        text = f"output = '/metrics.lp'\n{TEXT}"
        plan = self.plan(text)
        rule = Diagnosis(self.state, "stdout")
        self.assertEqual(rule.plan(plan).config.settings.output, "stdout")
        self.assertEqual(rule.loader(lambda: plan.config)().settings.output, "stdout")
        self.assertEqual(rule.plan(plan).modules, plan.modules)

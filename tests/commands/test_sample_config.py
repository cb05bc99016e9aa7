"""`metrics-agent sample-config`: a configuration to begin with."""

from __future__ import annotations

from metrics_agent.commands import check as check_module
from metrics_agent.commands.check import check
from metrics_agent.commands.sample_config import sample_config
from metrics_agent.errors import MissingDependency
from metrics_agent.modules import BUILT_IN
from tests.commands.test_modules import KindsCase
from tests.config.kinds import kinds
from tests.config.sample_text import uncomment


class SampleConfigTests(KindsCase):
    """What it writes; `check` is the judge."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(check_module, "import_module", lambda _name: None)

    def printed(self, *names: str) -> str:
        """Return what the command writes."""
        self.stdout.seek(0)
        self.stdout.truncate()
        self.assertEqual(sample_config(names), 0)
        return self.stdout.getvalue()

    def assert_checked(self, text: str, *names: str) -> None:
        """Have `check` accept a text; it warns of secrets that all may read, and of no module."""
        before = len(self.said())
        self.assertEqual(check(self.write(text)), 0, self.said())
        *warnings, verdict = self.said()[before:]
        self.assertIn(f"enabled modules: {', '.join(names) or 'none'}", verdict)
        expected = "holds secrets" if names else "no module is enabled"
        self.assertTrue(all(expected in line for line in warnings), warnings)

    def test_all(self) -> None:
        """Without a name: accepted as printed, with nothing to run, and uncommented, with all."""
        text = self.printed()
        self.assert_checked(text)
        self.assert_checked(uncomment(text), *BUILT_IN)

    def test_each(self) -> None:
        """Each module alone: accepted as printed and uncommented, and it will run."""
        for name in BUILT_IN:
            text = self.printed(name)
            self.assert_checked(text, name)
            self.assert_checked(uncomment(text), name)

    def test_several(self) -> None:
        """Several, in the order asked for; a name that is given twice is there once."""
        text = self.printed("tasmota", "demo", "tasmota")
        self.assert_checked(text, "tasmota", "demo")

    def test_a_module_of_another_package(self) -> None:
        self.install(kinds("account"))
        self.assertIn("[modules.odd]\nenabled = true\n", self.printed("odd"))
        self.assertIn("#[modules.odd]\n", self.printed())

    def test_unknown(self) -> None:
        """Every unknown name has its error on stderr; nothing is printed; 2."""
        self.assertEqual(sample_config(["tasmotta", "demo", "netatmoo"]), 2)
        self.assertEqual(
            self.stderr.getvalue().splitlines(),
            [
                'error: unknown module "tasmotta"; did you mean tasmota?',
                'error: unknown module "netatmoo"; did you mean netatmo?',
            ],
        )
        self.assertEqual(self.said(), [])

    def test_cannot_be_used(self) -> None:
        """A broken module is an error where it is asked for, and a comment where it is not."""
        self.install(MissingDependency("odd needs an oven"))
        self.assertEqual(sample_config(["odd"]), 1)
        self.assertEqual((self.stderr.getvalue(), self.said()), ("error: odd needs an oven\n", []))
        text = self.printed()
        self.assertIn("## odd: cannot be used: odd needs an oven\n", text)
        self.assert_checked(text)

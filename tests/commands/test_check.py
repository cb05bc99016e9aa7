"""`metrics-agent check`: all that is wrong, and a code."""

from __future__ import annotations

from metrics_agent.commands import check as check_module
from metrics_agent.commands.check import check
from metrics_agent.errors import MissingDependency
from tests.commands.case import FAULTY, GLOBAL_FAULT, GOOD, NOTHING, CommandCase

TLS = "metrics_agent.transports.tls"
NETATMO = '[modules.netatmo]\nenabled = true\nclient_id = "id"\nclient_secret = "secret"\n'


class CheckTests(CommandCase):
    """Over files."""

    def test_right(self) -> None:
        """A right file: its modules and 0."""
        path = self.write(GOOD)
        self.assertEqual(check(path), 0)
        self.assertEqual(self.said(), [f"{path} is valid; enabled modules: demo"])

    def test_nothing_enabled(self) -> None:
        """Without an enabled module it is right too; a warning says what could be enabled."""
        path = self.write(NOTHING)
        self.assertEqual(check(path), 0)
        self.assertEqual(
            self.said(),
            [
                (
                    "warning: no module is enabled; enable one of: "
                    "demo, hadiscovery, netatmo, opendtu, tasmota"
                ),
                f"{path} is valid; enabled modules: none",
            ],
        )

    def test_fault_of_a_module(self) -> None:
        """The fault of an enabled module: one line, a verdict and 78."""
        path = self.write(FAULTY)
        self.assertEqual(check(path), 78)
        fault, verdict = self.said()
        self.assertTrue(fault.startswith(f"error: {path}:3: modules.demo.interval: got"), fault)
        self.assertEqual(verdict, f"1 error in {self.directory / 'agent.toml'}")

    def test_every_fault_at_once(self) -> None:
        """Global faults and those of modules come together, each on a line."""
        self.assertEqual(check(self.write(GLOBAL_FAULT + FAULTY)), 78)
        self.assertEqual(len(self.said()), 4)
        self.assertEqual(self.said()[-1], f"3 errors in {self.directory / 'agent.toml'}")

    def test_warnings(self) -> None:
        """What is odd but stops nothing is a warning, and the code 0; faults come beside it."""
        off = FAULTY.replace("true", "false")
        path = self.write(off)
        self.assertEqual(check(path), 0)
        self.assertTrue(self.said()[0].startswith(f"warning: {path}:3: modules.demo.interval"))
        self.assertIn("is valid", self.said()[-1])

    def test_one_client_id_in_two_modules(self) -> None:
        """The broker would throw one out for the other; both are named, wherever the key is."""
        twice = 'client_id = "house"\n'
        path = self.write(
            f"[modules.tasmota]\nenabled = true\n{twice}"
            f'[modules."tasmota:garage"]\nenabled = true\n{twice}'
            f"[modules.opendtu]\nenabled = true\n[modules.opendtu.mqtt]\n{twice}"
        )
        self.assertEqual(check(path), 78)
        has = "has too, expected a client id of its own for each connection; or remove it"
        self.assertEqual(
            self.said()[:-1],
            [
                (
                    f'error: {path}:6: modules."tasmota:garage".client_id: got "house", '
                    f"which module tasmota {has}"
                ),
                (
                    f'error: {path}:10: modules.opendtu.mqtt.client_id: got "house", which module '
                    f"tasmota {has}"
                ),
            ],
        )

    def test_a_client_id_in_a_module_that_is_not_enabled(self) -> None:
        """It does not count, nor do two modules without one at the same broker."""
        two = '[modules.tasmota]\nenabled = true\n[modules."tasmota:garage"]\nenabled = '
        self.assertEqual(check(self.write(two + "true\n")), 0)
        one = two.replace("true", 'true\nclient_id = "house"', 1)
        self.assertEqual(check(self.write(f'{one}false\nclient_id = "house"\n')), 0)

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

    def without(self, *names: str) -> None:
        """Have our modules of these names fail to import, as without their packages."""

        def import_(name: str) -> object:
            if name in names:
                raise MissingDependency(f"{name} needs: pip install it")
            return None

        self.patch(check_module, "import_module", import_)

    def test_packages_that_are_missing(self) -> None:
        """What a module would ask for at its start is reported, and only by those that need it."""
        self.without(TLS)
        for text in (
            '[modules.tasmota]\nenabled = true\nbroker = "mqtts://127.0.0.1"\n',
            '[modules.opendtu]\nenabled = true\nurl = "https://192.0.2.1"\n',
            NETATMO,
        ):
            before = len(self.said())
            self.assertEqual(check(self.write(text)), 78, text)
            fault, _verdict = self.said()[before:][-2:]
            self.assertRegex(fault, rf"agent.toml:1: modules\.\w+: {TLS} needs: pip install it$")
        for text in (
            '[modules.tasmota]\nenabled = true\nbroker = "ws://127.0.0.1"\n',
            '[modules.opendtu]\nenabled = true\nurl = "http://192.0.2.1"\n',
            GOOD,
        ):
            self.assertEqual(check(self.write(text)), 0, text)

    def test_a_package_for_websockets_that_is_missing(self) -> None:
        self.without("metrics_agent.transports.mqtt.websocket_stream")
        text = '[modules.tasmota]\nenabled = true\nbroker = "ws://127.0.0.1"\n'
        self.assertEqual(check(self.write(text)), 78)

    def test_an_import_that_ends_the_program_is_a_fault_of_its_module(self) -> None:
        def import_(_name: str) -> object:
            raise SystemExit(3)

        self.patch(check_module, "import_module", import_)
        self.assertEqual(check(self.write(NETATMO)), 78)
        self.assertIn("agent.toml:1: modules.netatmo: SystemExit: 3", self.stdout.getvalue())

    def test_what_modules_need_can_be_imported(self) -> None:
        """The names are right."""
        text = '[modules.tasmota]\nenabled = true\nbroker = "wss://127.0.0.1"\n'
        self.assertEqual(check(self.write(f"{text}{NETATMO}")), 0, self.said())

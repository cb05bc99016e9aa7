"""A whole file: the agent's settings, the modules', warnings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import (
    AgentConfig,
    AgentSettings,
    ModuleConfig,
    Secret,
    load,
    state_directory,
)
from metrics_agent.errors import ConfigError
from tests.config.kinds import KNOWN, Netatmo, Plain, Tasmota, kinds

BAD = Path(__file__).parent / "bad"


def bare(fault: object) -> str:
    """Return a fault or a warning without its file and line."""
    return re.sub(r"\A\S+\.(toml|json):\d+: ", "", str(fault))


class LoadCase(SynchronousTestCase):
    """Loads texts."""

    def load(self, text: str, name: str = "c.toml", mode: int = 0o640) -> AgentConfig:
        directory = Path(self.mktemp())
        directory.mkdir()
        path = directory / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return load(path, kinds, lambda: KNOWN, {"KEY": "value"})

    def module(self, text: str) -> ModuleConfig:
        (module,) = self.load(text).modules
        return module

    def faults(self, text: str) -> list[str]:
        return [bare(fault) for fault in self.load(text).faults]


class BadFileTests(SynchronousTestCase):
    """Every file in bad/ has exactly the faults in the .expected file beside it."""

    def test_all_faults_are_reported_at_once(self) -> None:
        names = sorted(BAD.glob("*.expected"))
        self.assertGreater(len(names), 20)
        for expected in names:
            with self.subTest(expected.stem):
                self.assertEqual(self.found(expected), expected.read_text(encoding="utf-8"))

    def test_every_file_has_its_expected_faults(self) -> None:
        files = {path.stem for path in BAD.iterdir() if path.suffix != ".expected"}
        self.assertEqual({path.stem for path in BAD.glob("*.expected")}, files | {"missing_file"})

    def found(self, expected: Path) -> str:
        others = [path for path in BAD.glob(f"{expected.stem}.*") if path != expected]
        path = others[0] if others else expected.with_suffix(".toml")
        try:
            faults = load(path, kinds, lambda: KNOWN, {}).faults
        except ConfigError as error:
            faults = error.faults
        text = "".join(f"{fault}\n" for fault in faults)
        return text.replace(str(path), "{path}").replace(str(BAD), "{directory}")


class GlobalTests(LoadCase):
    """The keys at the top."""

    def test_a_file_without_settings_gives_the_defaults(self) -> None:
        config = self.load("# nothing")
        self.assertEqual(config.settings, AgentSettings())
        self.assertEqual((config.modules, config.warnings, config.faults), ((), (), ()))

    def test_an_empty_file_is_like_one_with_a_comment(self) -> None:
        """Neither enables a module, which the agent warns of when it runs."""
        for text in ("", "\n \n"):
            config = self.load(text)
            self.assertEqual(config.settings, AgentSettings())
            self.assertEqual((config.modules, config.warnings, config.faults), ((), (), ()))

    def test_a_global_fault_brings_those_of_enabled_modules_along(self) -> None:
        text = "log_level = 1\n[modules.plain]\nenabled = true\ncount = 0\n[modules.demo]\nx = 1"
        error = self.assertRaises(ConfigError, self.load, text)
        self.assertEqual([f.path for f in error.faults], ["log_level", "modules.plain.count"])

    def test_levels_and_formats_are_those_of_the_log(self) -> None:
        from metrics_agent.logs.levels import LEVEL_NAMES
        from metrics_agent.logs.rendering import LOG_FORMATS

        for level in LEVEL_NAMES:
            self.assertEqual(self.load(f'log_level = "{level}"').settings.log_level, level)
        for name in LOG_FORMATS:
            self.assertEqual(self.load(f'log_format = "{name}"').settings.log_format, name)
        for key in ("log_level", "log_format"):
            self.assertRaises(ConfigError, self.load, f'{key} = "x"')

    def test_marks_and_backoffs_that_are_in_order_are_taken(self) -> None:
        settings = self.load('restart_backoff_min = "60s"\nwatchdog_exit = 0').settings
        self.assertEqual((settings.restart_backoff_min, settings.watchdog_exit), (60.0, 0.0))

    def test_the_environment_of_the_process_is_the_default(self) -> None:
        self.patch(os, "environ", {"AGENT_KEY": "abc"})
        path = Path(self.mktemp()).with_suffix(".toml")
        path.write_text('[modules.plain]\nenabled = true\npassword = { env = "AGENT_KEY" }')
        (module,) = load(path, kinds, lambda: KNOWN).modules
        assert isinstance(module.settings, Plain)
        self.assertEqual(module.settings.password, Secret("abc"))


class StateDirectoryTests(SynchronousTestCase):
    """Where state is kept."""

    def find(self, state_dir: str | None, system: Path, **environ: str) -> str:
        settings = AgentSettings(state_dir=state_dir)
        return str(state_directory(settings, {"HOME": "/home/me", **environ}, system=system))

    def test_the_first_that_can_be_used_is_taken(self) -> None:
        there = Path(self.mktemp())
        there.mkdir()
        (there / "file").touch(0o600)
        nowhere = there / "file" / "below"
        given = {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}
        self.assertEqual(self.find("/x", there, **given), "/x")
        self.assertEqual(self.find("~/x", there, **given), "/home/me/x")
        self.assertEqual(self.find("~", there), "/home/me")
        self.assertEqual(self.find(None, there, **given), "/var/lib/a")
        self.assertEqual(self.find(None, there), str(there))
        self.assertEqual(self.find(None, there / "new"), str(there / "new"))
        self.assertEqual(self.find(None, nowhere), "/home/me/.local/state/metrics-agent")


class ModuleTests(LoadCase):
    """The tables under [modules]."""

    def test_a_right_table_gives_typed_settings(self) -> None:
        module = self.module(
            '[modules.plain]\nenabled = true\nlog_level = "debug"\ninterval = "2s"\n'
            'password = { env = "KEY" }'
        )
        found = (module.name, module.enabled, module.log_level)
        self.assertEqual(found, ("plain", True, "debug"))
        self.assertEqual(module.kind, kinds("plain"))
        self.assertEqual(module.settings, Plain(interval=2.0, password=Secret("value")))

    def test_nothing_runs_unasked(self) -> None:
        self.assertFalse(self.module("[modules.plain]").enabled)

    def test_a_fault_leaves_the_other_modules_alone(self) -> None:
        config = self.load(
            "[modules.plain]\nenabled = true\ncount = 0\n[modules.demo]\nenabled = true"
        )
        plain, demo = config.modules
        self.assertIsNone(plain.settings)
        self.assertIsNotNone(demo.settings)
        self.assertEqual(config.faults, plain.faults)

    def test_faults_of_a_disabled_module_are_warnings(self) -> None:
        config = self.load("[modules.plain]\nenable = true\n[modules.nothing]\n")
        self.assertEqual(config.faults, ())
        self.assertEqual(
            bare(config.warnings[0]),
            'modules.plain.enable: unknown key, did you mean `enabled`? (module "plain" is not '
            "enabled)",
        )
        self.assertIn("modules.nothing: unknown module", config.warnings[1])

    def test_a_wrong_log_level_does_not_enable_a_module(self) -> None:
        text = '[modules.plain]\nlog_level = "loud"'
        self.assertFalse(self.module(text).enabled)
        self.assertTrue(self.module(f"{text}\nenabled = true").enabled)
        self.assertTrue(self.module('[modules.plain]\nenabled = "no"').enabled)

    def test_instances_share_a_kind(self) -> None:
        config = self.load('[modules.plain]\n[modules."plain:my-garage_2"]\nenabled = true')
        names = [(module.name, module.kind) for module in config.modules]
        kind = kinds("plain")
        self.assertEqual(names, [("plain", kind), ("plain:my-garage_2", kind)])
        self.assertEqual(config.faults, ())

    def test_a_bad_instance_name_is_reported_with_the_rest(self) -> None:
        text = '[modules."plain:a:b"]\nenabled = true\ncount = 0'
        self.assertEqual(len(self.faults(text)), 2)

    def test_an_unknown_module_with_no_near_name_lists_the_known(self) -> None:
        (fault,) = self.faults("[modules.xyz]\nenabled = true")
        self.assertEqual(fault, f"modules.xyz: unknown module, known are {', '.join(KNOWN)}")

    def test_without_any_known_module_none_is_listed(self) -> None:
        path = Path(self.mktemp()).with_suffix(".toml")
        path.write_text("[modules.xyz]\nenabled = true")
        (fault,) = load(path, kinds, tuple, {}).faults
        self.assertEqual(bare(fault), "modules.xyz: unknown module")

    def test_overrides_are_a_fault_where_there_are_no_devices(self) -> None:
        text = "[modules.demo]\nenabled = true\nfriendly_name_overrides = "
        self.assertEqual(self.faults(text + "{}"), [])
        (fault,) = self.faults(text + '{ a = "b" }')
        self.assertIn("modules.demo.friendly_name_overrides: this module has no device", fault)


class CustomTests(LoadCase):
    """The Go agent's files."""

    def custom(self, text: str) -> AgentConfig:
        return self.load(f"[modules.plain]\nenabled = true\n[modules.plain.custom]\n{text}")

    def test_a_file_of_the_go_agent_loads_unchanged(self) -> None:
        raw = {
            "log_level": "info",
            "module_restart_limit": 4,
            "modules": {
                "tasmota": {
                    "enabled": True,
                    "friendly_name_overrides": {"tasmota_0A1B2C": "Dryer"},
                    "custom": {
                        "broker": "tcp://broker.example:1883",
                        "timeout": "1m30s",
                        "keep_alive": "30s",
                        "ping_timeout": "10s",
                    },
                },
                "netatmo": {
                    "enabled": False,
                    "friendly_name_overrides": {},
                    "custom": {
                        "client_id": "id",
                        "client_secret": "secret",
                        "timeout": "30s",
                        "interval": "5m0s",
                        "hostname": "localhost",
                    },
                },
            },
        }
        config = self.load(json.dumps(raw), "config.json")
        self.assertEqual(config.faults, ())
        tasmota, netatmo = config.modules
        self.assertEqual(
            tasmota.settings,
            Tasmota(
                broker="tcp://broker.example:1883",
                timeout=90.0,
                friendly_name_overrides={"tasmota_0A1B2C": "Dryer"},
            ),
        )
        self.assertEqual(
            netatmo.settings,
            Netatmo(client_id="id", client_secret=Secret("secret"), timeout=30.0, interval=300.0),
        )
        self.assertEqual(
            tuple(map(bare, config.warnings)),
            (
                "modules.tasmota.custom.keep_alive: this key has no effect here, use keepalive",
                "modules.tasmota.custom.ping_timeout: this key has no effect here, see keepalive",
                "modules.netatmo.custom.hostname: this key has no effect here, not needed",
            ),
        )

    def test_settings_may_stand_in_either_place(self) -> None:
        text = (
            '[modules.plain]\nenabled = true\nname = "a"\n[modules.plain.custom]\ninterval = "2s"'
        )
        self.assertEqual(self.module(text).settings, Plain(name="a", interval=2.0))

    def test_numbers_and_booleans_may_be_texts_there(self) -> None:
        text = 'count = "4"\nratio = "1.5"\nactive = "true"\nnumbers = ["1"]'
        (module,) = self.custom(text).modules
        expected = Plain(count=4, ratio=1.5, active=True, numbers=[1.0])
        self.assertEqual(module.settings, expected)

    def test_other_texts_are_faults_there_too(self) -> None:
        config = self.custom('count = "x"\nratio = "nan"\nactive = "yes"\ninterval = 5\nname = 5')
        paths = [fault.path.rpartition(".")[2] for fault in config.faults]
        self.assertEqual(paths, ["count", "ratio", "active", "interval", "name"])

    def test_unknown_keys_there_are_warnings_at_any_depth(self) -> None:
        config = self.custom('a = 1\ntls = { ca = "c", b = 1 }')
        self.assertEqual(config.faults, ())
        self.assertEqual(
            tuple(map(bare, config.warnings)),
            (
                "modules.plain.custom.a: this key has no effect here",
                "modules.plain.custom.tls.b: this key has no effect here",
            ),
        )

    def test_numbers_of_json(self) -> None:
        """B25: JSON numbers never reached integers, bad durations were ignored, null panicked."""
        for given, found in (("2", 2), ("2.5", None), ('"soon"', None), ("null", None)):
            custom = f'{{"count": {given}}}'
            text = f'{{"modules": {{"plain": {{"enabled": true, "custom": {custom}}}}}}}'
            config = self.load(text, "config.json")
            if found is None:
                [fault] = config.faults
                self.assertEqual(fault.path, "modules.plain.custom.count")
            else:
                self.assertEqual(config.modules[0].settings, Plain(count=found))
        for given in ('"soon"', '""', "null", "-1"):
            custom = f'{{"interval": {given}}}'
            text = f'{{"modules": {{"plain": {{"enabled": true, "custom": {custom}}}}}}}'
            [fault] = self.load(text, "config.json").faults
            self.assertEqual(fault.path, "modules.plain.custom.interval")

    def test_custom_has_to_be_a_table(self) -> None:
        (fault,) = self.faults("[modules.plain]\nenabled = true\ncustom = 5")
        self.assertEqual(fault, "modules.plain.custom: got an integer, expected a table")


class SecretTests(LoadCase):
    """Secrets in the file itself."""

    LITERAL = '[modules.plain]\nenabled = true\npassword = "hunter2"'

    def test_a_file_that_everybody_may_read_is_warned_about(self) -> None:
        (warning,) = self.load(self.LITERAL, mode=0o644).warnings
        self.assertIn("everybody on this machine may read it (mode 0644)", warning)
        self.assertIn("modules.plain.password", warning)
        self.assertNotIn("hunter2", warning)

    def test_secrets_beside_faults_and_in_disabled_modules_count(self) -> None:
        self.assertEqual(len(self.load(f"{self.LITERAL}\ncount = 0", mode=0o644).warnings), 1)
        disabled = self.LITERAL.replace("true", "false")
        self.assertEqual(len(self.load(disabled, mode=0o644).warnings), 1)

    def test_no_warning_for_the_group_or_without_literal_secrets(self) -> None:
        self.assertEqual(self.load(self.LITERAL, mode=0o640).warnings, ())
        text = '[modules.plain]\nenabled = true\npassword = { env = "KEY" }'
        self.assertEqual(self.load(text, mode=0o644).warnings, ())

    def test_no_secret_is_in_any_repr(self) -> None:
        self.assertNotIn("hunter2", repr(self.load(self.LITERAL)))


class VariableTests(LoadCase):
    """Telegraf's "${NAME}"."""

    def test_a_variable_is_not_replaced_and_the_warning_says_what_to_write(self) -> None:
        (warning,) = self.load(
            '[modules.plain]\nenabled = true\npassword = "${MQTT_PASSWORD}"'
        ).warnings
        self.assertIn("c.toml:3: modules.plain.password: ${MQTT_PASSWORD} is not", warning)
        self.assertIn('{ env = "MQTT_PASSWORD" }', warning)

    def test_a_variable_without_braces_as_the_whole_text(self) -> None:
        """In capitals only: what else begins with a `$` may be a topic or a password."""
        (warning,) = self.load(
            '[modules.plain]\nenabled = true\npassword = "$MQTT_PASSWORD"\n'
            'topics = ["$share", "$SYS/A", "$A-B", "A$B", "$5", "$A\\n"]'
        ).warnings
        self.assertIn("c.toml:3: modules.plain.password: $MQTT_PASSWORD is not", warning)
        self.assertIn('{ env = "MQTT_PASSWORD" }', warning)

    def test_every_text_of_the_file_is_looked_at(self) -> None:
        config = self.load(
            'instance = "a-${HOST}"\n[modules.plain]\ntopics = ["a", "${T:-hunter2}/#"]\n'
            'tls = { ca = "${CA}" }\n[modules.plain.custom]\nname = "${N}"\n'
            '[modules.demo]\ntrigger_file = "$HOME ${} $(x) {a}"'
        )
        found = [re.findall(r"(\d+): (\S+): (\S+) is not", warning) for warning in config.warnings]
        self.assertEqual(
            found,
            [
                [("1", "instance", "${HOST}")],
                [("3", "modules.plain.topics[1]", "${T}")],
                [("4", "modules.plain.tls.ca", "${CA}")],
                [("6", "modules.plain.custom.name", "${N}")],
            ],
        )
        self.assertNotIn("hunter2", str(config.warnings))


class ImportTests(SynchronousTestCase):
    """What the package costs."""

    def test_twisted_is_not_imported(self) -> None:
        code = (
            "import sys, metrics_agent.describe, metrics_agent.config.sample; "
            "sys.exit(any(m.partition('.')[0] in {'twisted', 'cattrs'} for m in sys.modules))"
        )
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, check=False, timeout=30, env=environ, capture_output=True)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

"""`metrics-agent check`: what it opens, and that it refuses whatever a start refuses."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock

from metrics_agent.commands import check as check_module
from metrics_agent.commands import reactor as reactor_module
from metrics_agent.commands.check import check
from metrics_agent.commands.loading import load_from
from metrics_agent.plan import build
from metrics_agent.planned_output import make_planned_output
from tests.commands.case import GOOD, CommandCase
from tests.integration.certificates import Authority

TLS = '[modules.tasmota]\nenabled = true\nbroker = "tls://127.0.0.1"\n'
TLS_OF_A_DTU = '[modules.opendtu.mqtt]\nbroker = "tls://127.0.0.1"\n'
SECRET = '[modules.tasmota]\nenabled = true\nusername = "u"\npassword = { file = "secret" }\n'


class FilesCase(CommandCase):
    """Checks texts."""

    def check(self, text: str, name: str = "agent.toml") -> list[str]:
        """Check a file; return the lines without its path."""
        self.stdout.truncate(0)
        self.stdout.seek(0)
        path = self.write(text, name)
        self.code = check(path)
        return [
            line.replace(path, "FILE").replace(str(self.directory), "DIR") for line in self.said()
        ]

    def faults(self, text: str) -> list[str]:
        """Return the faults, which have to be there or not as the code says."""
        lines = self.check(text)
        found = [line for line in lines if line.startswith("error: ")]
        self.assertEqual(self.code, 78 if found else 0)
        return found

    def warnings(self, text: str) -> list[str]:
        """Return the warnings of a file without faults."""
        *lines, _verdict = self.check(text)
        self.assertEqual(self.code, 0, lines)
        return lines


class OutputTests(FilesCase):
    """The output is made, and nothing comes of it."""

    def test_a_file_that_cannot_be_written(self) -> None:
        """A missing directory and a directory in its place are faults with a line."""
        for output, text in (
            (
                self.directory / "none" / "x.lp",
                "DIR/none/x.lp cannot be written: there is no directory DIR/none",
            ),
            (self.directory, "DIR cannot be written: it is a directory"),
        ):
            self.assertEqual(
                self.faults(f'output = "{output}"\n{GOOD}'), [f"error: FILE:1: output: {text}"]
            )

    def test_a_file_is_not_created(self) -> None:
        """A file that could be written is still not there."""
        path = self.directory / "x.lp"
        self.assertEqual(self.faults(f'output = "{path}"\n{GOOD}'), [])
        self.assertFalse(path.exists())

    def test_an_endpoint_that_twisted_does_not_know(self) -> None:
        """It is made as at a start, and what that says is the fault, with its line."""
        self.patch(reactor_module, "import_reactor", lambda _plan: MemoryReactorClock())
        (fault,) = self.faults(f'\noutput = "carrier:pigeon"\n{GOOD}')
        self.assertIn("error: FILE:2: output: got 'carrier:pigeon' (Unknown endpoint type", fault)


class OutputSettingsTests(FilesCase):
    """What belongs to the output is looked at as what belongs to a module is."""

    def test_files_and_warnings(self) -> None:
        """Authorities that are missing, no verification, a secret that everybody may read."""
        top = 'output = "https://db/write?p=x"\n[output_settings]\n'
        [fault] = self.faults(f'{top}tls_ca = "none.pem"\n')
        self.assertIn("FILE:3: output_settings.tls_ca: ", fault)
        path = self.write(f"{top}tls_insecure = true\ntoken = 's3cret'\n{GOOD}")
        Path(path).chmod(0o644)
        self.assertEqual(check(path), 0)
        said = "\n".join(self.said())
        self.assertIn("output_settings.tls_insecure: the certificate", said)
        self.assertIn("it holds secrets (output_settings.token)", said)
        self.assertNotIn("s3cret", said)
        self.assertEqual(len(self.faults("[output_settings]\ntoken = 'x'\n")), 1)


class PemTests(FilesCase):
    """PEM files of TLS."""

    def test_files_that_are_right(self) -> None:
        """No fault and no warning; a relative path starts beside the configuration file."""
        authority = Authority(self.directory, "ca")
        certificate, key = authority.issue("a")
        key.chmod(0o640)
        text = f'{TLS}tls_ca = "ca.pem"\ntls_certificate = "{certificate}"\ntls_key = "a.key"\n'
        self.assertEqual(self.warnings(text), [])
        self.assertEqual(
            build(load_from(self.directory / "agent.toml")).modules[0].settings.tls_ca,
            str(authority.path),
        )

    def test_every_file_is_opened(self) -> None:
        """Each that cannot be used is a fault of its own."""
        self.assertEqual(
            self.faults(f'{TLS}tls_ca = "none.pem"\ntls_certificate = "no.pem"\ntls_key = "x"\n'),
            [
                (
                    "error: FILE:4: modules.tasmota.tls_ca: 'DIR/none.pem' cannot be read: "
                    "No such file or directory"
                ),
                (
                    "error: FILE:5: modules.tasmota.tls_certificate: 'DIR/no.pem' cannot be read: "
                    "No such file or directory"
                ),
            ],
        )

    def test_another_certificates_key(self) -> None:
        """The key has to be that of the certificate, also where they are in a nested table."""
        authority = Authority(self.directory, "ca")
        authority.issue("a")
        authority.issue("b")[1].chmod(0o640)
        pair = 'tls_certificate = "a.pem"\ntls_key = "b.key"\n'
        text = f"[modules.opendtu]\nenabled = true\n{TLS_OF_A_DTU}{pair}"
        (fault,) = self.faults(text)
        self.assertIn("FILE:6: modules.opendtu.mqtt.tls_key: 'DIR/b.key' is not the key of", fault)

    def test_an_encrypted_key(self) -> None:
        """It is opened with its password, in a nested table too; a wrong one is a fault."""
        authority = Authority(self.directory, "ca")
        _certificate, path = authority.issue("a")
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"hunter2"),
            )
        )
        path.chmod(0o640)
        for table in (TLS, f"[modules.opendtu]\nenabled = true\n{TLS_OF_A_DTU}"):
            text = f'{table}tls_certificate = "a.pem"\ntls_key = "a.key"\n'
            (warning,) = self.warnings(f'{text}tls_key_password = "hunter2"\n')
            self.assertIn("it holds secrets", warning)
            for password, said in (
                ("", "its key is encrypted; set tls_key_password"),
                ('tls_key_password = "wr0ng"\n', "tls_key_password is not the password of its key"),
            ):
                (fault,) = self.faults(text + password)
                self.assertIn(f".tls_key: 'DIR/a.key' cannot be used: {said}", fault)
                self.assertNotIn("wr0ng", fault)

    def test_files_of_https(self) -> None:
        """Those of the other transports are opened too."""
        for text in (
            '[modules.opendtu]\nenabled = true\nurl = "https://127.0.0.1"\ntls_ca = "none"\n',
            (
                '[modules.netatmo]\nenabled = true\nclient_id = "i"\nclient_secret = "s"\n'
                'tls_ca = "no"\n'
            ),
        ):
            (fault,) = self.faults(text)
            self.assertIn(".tls_ca: 'DIR/no", fault)

    def test_modules_that_are_not_enabled(self) -> None:
        """Their files need not be there."""
        self.assertEqual(self.faults(TLS.replace("true", "false") + 'tls_ca = "none"\n'), [])

    def test_a_key_that_everybody_may_read(self) -> None:
        """It is warned of, once."""
        authority = Authority(self.directory, "ca")
        _certificate, key = authority.issue("a")
        key.chmod(0o644)
        (warning,) = self.warnings(f'{TLS}tls_certificate = "a.pem"\ntls_key = "a.key"\n')
        self.assertEqual(
            warning,
            "warning: FILE:5: modules.tasmota.tls_key: everybody on this machine may read "
            "DIR/a.key (mode 0644) and it holds a private key, run chmod o-r DIR/a.key",
        )


class InsecureTests(FilesCase):
    """TLS that verifies nothing."""

    def test_it_is_warned_of(self) -> None:
        """In a nested table too, with the line; not for a module that is not enabled."""
        text = f"{TLS}tls_insecure = true\n"
        (warning,) = self.warnings(text)
        self.assertIn("FILE:4: modules.tasmota.tls_insecure: the certificate of the other", warning)
        self.assertIn("in tls_ca instead", warning)
        nested = f"[modules.opendtu]\nenabled = true\n{TLS_OF_A_DTU}tls_insecure = true\n"
        (warning,) = self.warnings(nested)
        self.assertIn("FILE:5: modules.opendtu.mqtt.tls_insecure: the certificate", warning)
        self.assertEqual(self.warnings(f"{TLS}tls_insecure = false\n"), [])
        lines = self.warnings(text.replace("enabled = true", "enabled = false"))
        self.assertEqual([line for line in lines if "insecure" in line], [])


class PastedTests(FilesCase):
    """The content of a key where its path belongs."""

    def test_it_is_not_shown(self) -> None:
        """Not in check, in no warning, in no repr: PEM, its base64 alone, and a piece of it."""
        authority = Authority(self.directory, "ca")
        _certificate, path = authority.issue("a")
        pem = path.read_text()
        body = "".join(pem.splitlines()[1:-1])
        for pasted in (pem, pem.replace("\n", ""), pem.strip(), body, body[:64], f"{body}\n"):
            escaped = pasted.replace("\n", "\\n")
            for key, hint in (
                ("tls_key", True),
                ("tls_ca", True),
                ("password", False),
                ("tls_key_password", False),
            ):
                value = f'"{escaped}"' if hint else f'{{ file = "{escaped}" }}'
                text = f'{TLS}username = "u"\n{key} = {value}\n'
                found = self.faults(text)
                self.assertIn("got the content of a file, expected the path of a file", found[0])
                self.assertEqual("save it in a file that only its owner" in found[0], hint)
                shown = repr(load_from(self.directory / "agent.toml")) + "".join(found)
                self.assert_no_piece(pem, shown)

    def test_null_character(self) -> None:
        """A path that cannot be one is not taken for what a file holds."""
        (fault,) = self.faults(f'{TLS}tls_ca = "a\\u0000b"\n')
        self.assertIn("tls_ca: got a path with a null character, expected the path", fault)

    def test_anywhere_else(self) -> None:
        """A setting of any other kind does not show a PEM key either."""
        authority = Authority(self.directory, "ca")
        _certificate, path = authority.issue("a")
        pem = path.read_text()
        escaped = pem.replace("\n", "\\n")
        for key in ("keepalive", "broker", "protocol", "qos", "client_id", "shared_group", "what"):
            self.check(f'{TLS.replace("broker", "# broker")}{key} = "{escaped}"\n')
            shown = self.stdout.getvalue() + repr(load_from(self.directory / "agent.toml"))
            self.assert_no_piece(pem, shown)
        # Without the quotes of a text of several lines it is not TOML.
        for text in (f'{TLS}tls_key = "{pem}"\n', f"{TLS}tls_key = {pem}\n"):
            (fault,) = self.faults(text)
            self.assert_no_piece(pem, fault)

    def assert_no_piece(self, pem: str, shown: str) -> None:
        for line in pem.splitlines()[1:-1]:
            for start in range(0, len(line) - 8, 4):
                self.assertNotIn(line[start : start + 8], shown)


class SecretFileTests(FilesCase):
    """Files of secrets."""

    def secret(self, content: bytes, mode: int = 0o600) -> list[str]:
        path = self.directory / "secret"
        path.write_bytes(content)
        path.chmod(mode)
        return self.warnings(SECRET)

    def test_a_secret_that_everybody_may_read(self) -> None:
        """The file is named with its mode, and the secret is not shown."""
        (warning,) = self.secret(b"hunter2\n", 0o604)
        self.assertIn("FILE:4: modules.tasmota.password.file: everybody on this", warning)
        self.assertIn("DIR/secret (mode 0604)", warning)
        self.assertNotIn("hunter2", warning)

    def test_newlines_at_the_end(self) -> None:
        """One is removed and needs no word; more are part of the secret, which is seldom meant."""
        for content in (b"a", b"a\n", b"a\r\n"):
            self.assertEqual(self.secret(content), [], content)
        for content in (b"a\n\n", b"a\r\n\r\n"):
            (warning,) = self.secret(content)
            self.assertIn("DIR/secret ends with 2 newlines", warning, content)


class UserTests(FilesCase):
    """Who runs the check."""

    def test_the_owner_of_the_state_directory(self) -> None:
        """The agent runs as that user: no warning."""
        self.assertEqual(self.warnings(GOOD), [])

    def test_another_user(self) -> None:
        """Root may read what the agent may not, which is said with the command to run instead."""
        owner = self.directory.stat().st_uid
        self.patch(os, "geteuid", lambda: owner + 1)
        (warning,) = self.warnings(GOOD)
        self.assertIn("and the agent as", warning)
        self.assertRegex(warning, r"run sudo -u \S+ metrics-agent check -c FILE\Z")

    def test_the_command_can_be_pasted(self) -> None:
        """A user without a name is a number behind a #, at which a shell's comment begins."""
        owner = self.directory.stat().st_uid
        self.patch(os, "geteuid", lambda: owner + 1)
        self.patch(check_module, "_name", lambda user: f"#{user}")
        warning, _verdict = self.check(GOOD, "my agent.toml")
        self.assertIn(f"run sudo -u '#{owner}' metrics-agent check -c 'FILE'", warning)

    def test_a_state_directory_that_cannot_be_one(self) -> None:
        """The agent runs without state, which is worth a warning, whoever owns what is there."""
        place, loop = self.directory / "place", self.directory / "loop"
        place.touch()
        loop.symlink_to(loop)
        self.patch(os, "geteuid", lambda: place.stat().st_uid + 1)
        for state, reason in (
            (place, "it is not a directory"),
            (place / "state", "Not a directory"),
            (loop, "Too many levels of symbolic links"),
            (self.directory / ("n" * 300), "File name too long"),
        ):
            shown = f"DIR/{state.relative_to(self.directory)}"
            (warning,) = self.warnings(f'state_dir = "{state}"\n{GOOD}')
            self.assertIn(f"the agent cannot keep state in {shown}: {reason};", warning)

    def test_a_configuration_in_etc(self) -> None:
        """Its agent has its state in /var/lib, whoever could write there."""
        owner = self.directory.stat().st_uid
        self.patch(check_module, "_SYSTEM_CONFIG", self.directory)
        self.patch(check_module, "_SYSTEM_STATE", self.directory / "none")
        self.patch(os, "geteuid", lambda: owner + 1)
        self.assertEqual(self.warnings(GOOD), [])
        self.patch(check_module, "_SYSTEM_STATE", self.directory)
        self.assertEqual(len(self.warnings(GOOD)), 1)


OUTPUTS = st.sampled_from(
    [
        "stdout",
        "stderr",
        "/tmp/x.lp",
        "/",
        "x.lp",
        "tcp://h:1",
        "tcp:h:1",
        "tcp:h",
        "h:1",
        "udp:h:1",
    ]
) | st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["tcp", "tls", "ssl", "unix", "udp", "http", "carrier", ""]),
    st.sampled_from(["://", ":", ":/", ":path=", ":host=", ""]),
    st.sampled_from(["localhost", "[::1]", "127.0.0.1", "/run/x", "", "a b", "\\:", "@"]),
    st.sampled_from([":8094", ":0", ":99999", ":port=1", ":timeout=3", ":timeout=x", "", "/"]),
)
MODULES = st.sampled_from(["", GOOD, TLS, GOOD.replace("1s", "soon"), "[demo]\n", "modules = 1\n"])


class StartTests(FilesCase):
    """`check` and a start."""

    @given(OUTPUTS, MODULES)
    def test_what_check_passes_can_be_started(self, output: str, modules: str) -> None:
        """A file without a fault is planned, and its output made."""
        reactor = MemoryReactorClock()
        self.patch(reactor_module, "import_reactor", lambda _plan: reactor)
        escaped = output.replace("\\", "\\\\")
        self.check(f'output = "{escaped}"\n{modules}')
        if self.code == 0:
            plan = build(load_from(Path(self.directory / "agent.toml")))
            self.assertFalse(plan.nothing_can_run)
            make_planned_output(plan, reactor, lambda: -1)

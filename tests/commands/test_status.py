"""`status` and `tap` at sockets that behave well, badly or not at all."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metrics_agent.commands import asking
from metrics_agent.commands import status as status_module
from metrics_agent.commands import tap as tap_module
from metrics_agent.commands.asking import NO_AGENT
from metrics_agent.commands.status import status
from metrics_agent.commands.tap import tap
from metrics_agent.process.boot import Process
from tests.commands.case import GLOBAL_FAULT, CommandCase
from tests.commands.test_status_table import device, module, state

LIMIT_S = 10.0


def lines(*objects: Any) -> bytes:
    """Make lines of JSON."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in objects)


def answer(**parts: Any) -> bytes:
    """Make the answer of an agent."""
    whole = state(**parts)
    devices = whole.pop("devices")
    return lines(whole, *devices, {"end": True})


class AskCase(CommandCase):
    """Has a directory whose path is short enough for a socket."""

    def setUp(self) -> None:
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.state_dir = Path(directory.name)
        self.questions: list[dict[str, Any]] = []
        self.patch(asking, "ANSWER_S", 0.3)
        self.patch(asking, "_SYSTEM_STATE", self.state_dir / "none")
        for command in (status_module, tap_module):
            # Signals are the test's.
            self.patch(command, "end_like_a_tool", lambda: None)
        self.config = self.write(f'state_dir = "{self.state_dir}"\n')

    def serve(self, reply: bytes | Callable[[socket.socket], None]) -> None:
        """Answer one question; never read it if the reply is a function."""
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(str(self.state_dir / "status.sock"))
        server.listen()
        server.settimeout(LIMIT_S)

        def work() -> None:
            connection, _address = server.accept()
            with connection:
                if callable(reply):
                    reply(connection)
                    return
                connection.settimeout(LIMIT_S)
                self.questions.append(json.loads(connection.makefile("rb").readline()))
                connection.sendall(reply)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self.addCleanup(thread.join, LIMIT_S)

    def errors(self) -> str:
        return self.stderr.getvalue()


class StatusTests(AskCase):
    """Exit codes and what is said."""

    def test_all_well(self) -> None:
        """0, and a table."""
        self.serve(answer(modules=[module()]))
        self.assertEqual(status(self.config), 0)
        self.assertIn("All is well.", self.said())
        self.assertEqual(self.questions, [{"ask": "status"}])

    def test_a_problem(self) -> None:
        """1."""
        self.serve(answer(problems=[{"module": "demo", "text": "is parked"}]))
        self.assertEqual(status(self.config), 1)
        self.assertIn("PROBLEM: demo is parked", self.said())

    def test_json(self) -> None:
        """One object with the names of the answer, on one line, in ASCII."""
        self.serve(answer(devices=[device(device="grün")]))
        self.assertEqual(status(self.config, as_json=True), 0)
        [line] = self.said()
        self.assertTrue(line.isascii())
        self.assertEqual(json.loads(line), state(devices=[device(device="grün")]))

    def test_module(self) -> None:
        """Only it is shown, and only its problems count."""
        problems = [{"module": "b", "text": "is parked"}]
        both = [module(module="a"), module(module="b")]
        self.serve(answer(modules=both, problems=problems))
        self.assertEqual(status(self.config, module="a", as_json=True), 0)
        found = json.loads(self.said()[0])
        self.assertEqual([each["module"] for each in found["modules"]], ["a"])
        self.assertEqual(self.questions, [{"ask": "status", "module": "a"}])

    def test_unknown_names(self) -> None:
        """1, and which name it was."""
        for named in ({"module": "x\n"}, {"device": "x\n"}):
            self.serve(answer())
            self.assertEqual(status(self.config, **named), 1)  # type: ignore[arg-type]
            self.assertIn("'x\\n'", self.errors())
            (self.state_dir / "status.sock").unlink()

    def test_device(self) -> None:
        """1 if it is silent or offline, whatever else is."""
        for values, code in (({}, 0), ({"stale": True}, 1), ({"online": False}, 1)):
            problems = [{"module": "demo", "text": "is parked"}]
            self.serve(answer(devices=[device(**values)], problems=problems))
            self.assertEqual(status(self.config, device="plug"), code)
            (self.state_dir / "status.sock").unlink()

    def test_no_agent(self) -> None:
        """3, and where it was looked for."""
        self.assertEqual(status(self.config), NO_AGENT)
        self.assertIn(f"there is no {self.state_dir}/status.sock", self.errors())
        self.assertEqual(self.said(), [])

    def test_killed_agent(self) -> None:
        """A socket that a dead process has left."""
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.state_dir / "status.sock"))
        self.assertEqual(status(self.config), NO_AGENT)
        self.assertIn("has ended without a stop", self.errors())

    def test_no_answer(self) -> None:
        """An agent that hangs is waited for, but not without end."""
        done = threading.Event()
        self.serve(lambda _connection: done.wait(LIMIT_S) and None)
        self.addCleanup(done.set)
        self.assertEqual(status(self.config), NO_AGENT)
        self.assertIn("it hangs, or is stopped", self.errors())

    def test_refused(self) -> None:
        """What the agent says is handed on, as a text."""
        self.serve(lines({"error": "no\x1b[2J"}))
        self.assertEqual(status(self.config), NO_AGENT)
        self.assertIn("does not answer: no\\x1b[2J", self.errors())

    def test_refused_at_once(self) -> None:
        """Also where it closes before the question is read."""
        self.serve(lambda connection: connection.sendall(lines({"error": "full"})))
        self.assertEqual(status(self.config), NO_AGENT)

    def test_cut(self) -> None:
        """An answer without its end is none."""
        for reply in (b"", answer()[:-10], b"nonsense\n", b"[]\n[]\n"):
            self.serve(reply)
            self.assertEqual(status(self.config), NO_AGENT, reply)
            (self.state_dir / "status.sock").unlink()

    def test_configuration(self) -> None:
        """78 where it cannot be used; a fault of a module does not matter."""
        self.assertEqual(status(self.write(GLOBAL_FAULT)), 78)
        text = f'state_dir = "{self.state_dir}"\n[modules.demo]\nenabled = true\ninterval = 1\n'
        self.serve(answer())
        self.assertEqual(status(self.write(text)), 0)

    def test_configuration_that_broke(self) -> None:
        """The agent that read it before is found and asked, with a warning."""
        broken = (
            ("agent.toml", 'state_dir = "{}"\nunheard = 1\n', "unheard"),
            ("agent.toml", "output = \n state_dir = '{}' # there\n", "not valid TOML"),
            ("agent.json", '{{"state_dir": "{}",\n"modules": \n', "not valid JSON"),
        )
        for name, text, reason in broken:
            self.serve(answer())
            config = self.write(text.format(self.state_dir), name)
            self.assertEqual(status(config), 0, self.errors())
            self.assertIn("All is well.", self.said())
            self.assertIn("warning: ", self.errors())
            self.assertIn(reason, self.errors())
            self.assertIn("would not start with this file", self.errors())
            self.stderr.truncate(0)
            (self.state_dir / "status.sock").unlink()

    def test_configuration_that_is_gone(self) -> None:
        """The usual state directory is tried."""
        self.serve(answer())
        self.patch(os, "environ", {"STATE_DIRECTORY": str(self.state_dir)})
        self.assertEqual(status(str(self.directory / "gone.toml")), 0)
        self.assertIn("no such file", self.errors())

    def test_configuration_while_watching(self) -> None:
        """78 ends it."""
        self.assertEqual(status(self.write(GLOBAL_FAULT), watch_s=0), 78)

    def test_permission(self) -> None:
        """What another user's agent needs is said."""

        def refuse(*_args: object) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(socket, "socket", lambda *_args: _Refusing(refuse))
        self.assertEqual(status(self.config), NO_AGENT)
        owner = self.state_dir.owner()
        self.assertIn(f"such as sudo -u {owner} metrics-agent", self.errors())

    def test_the_service_of_this_machine(self) -> None:
        """Without state_dir that of systemd is asked where this user has none."""
        self.serve(answer())
        self.patch(asking, "_SYSTEM_STATE", self.state_dir)
        self.patch(os, "environ", {"STATE_DIRECTORY": str(self.directory / "mine")})
        self.assertEqual(status(self.write("")), 0)


class _Refusing:
    def __init__(self, connect: Any) -> None:
        self.connect = connect

    def settimeout(self, _seconds: float) -> None:
        """Take it."""

    def close(self) -> None:
        """Close."""


class TapTests(AskCase):
    """Lines on stdout, remarks on stderr."""

    def setUp(self) -> None:
        super().setUp()
        self.process = Process()
        self.patch(Process, "stdout_problem", "")

    def test_lines(self) -> None:
        """As they come, until the agent ends."""
        self.serve(b"m f=1 1\n# 3 lines skipped\nm,device=a\x1b f=2 1\n")
        self.assertEqual(tap(self.process, self.config, "a"), 0)
        self.assertEqual(self.said(), ["m f=1 1", "m,device=a\\x1b f=2 1"])
        self.assertIn("# 3 lines skipped", self.errors())
        self.assertIn("# the agent has ended", self.errors())
        self.assertEqual(self.questions, [{"ask": "tap", "name": "a"}])

    def test_no_agent(self) -> None:
        """3."""
        self.assertEqual(tap(self.process, self.config, None), NO_AGENT)

    def test_no_stdout(self) -> None:
        """There is nothing to do: it ends."""
        self.patch(Process, "stdout_problem", "stdout is closed")
        self.assertEqual(tap(self.process, self.config, None), 1)
        self.assertIn("stdout is closed", self.errors())

    def test_configuration(self) -> None:
        """78 where it cannot be used."""
        self.assertEqual(tap(self.process, self.write(GLOBAL_FAULT), None), 78)

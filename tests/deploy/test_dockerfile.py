"""The Dockerfile, read: there is no engine to build it with where the tests run."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.deploy.paths import CHECKOUT, DEPLOY

KNOWN = {"FROM", "RUN", "COPY", "WORKDIR", "USER", "VOLUME", "ENTRYPOINT", "CMD", "HEALTHCHECK"}
NOT_IN_THE_WORK_TREE = {"metrics_agent", "twisted", "setup.py"}
"""./run-tests runs beside the sources, so that the wheel is tested and not they."""


@frozen
class Instruction:
    """One instruction, with the lines of it joined."""

    word: str
    rest: str
    stage: str


def instructions() -> Iterator[Instruction]:
    """Read the file: comments left out, continued lines joined, each with its stage's name."""
    stage = ""
    whole = ""
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        whole += line.removesuffix("\\")
        if line.endswith("\\"):
            continue
        word, _, rest = whole.partition(" ")
        if word == "FROM":
            stage = rest.partition(" AS ")[2]
        yield Instruction(word, rest.strip(), stage)
        whole = ""


class DockerfileTests(SynchronousTestCase):
    """It can be understood."""

    def setUp(self) -> None:
        self.all = list(instructions())

    def words(self, word: str) -> list[Instruction]:
        return [found for found in self.all if found.word == word]

    def test_instructions(self) -> None:
        """Nothing but known instructions; three stages with names."""
        self.assertEqual({found.word for found in self.all} - KNOWN, set())
        self.assertEqual([found.stage for found in self.words("FROM")],
                         ["build", "agent", "telegraf"])  # fmt: skip

    def test_copies(self) -> None:
        """What is copied is there: in the sources, or made by the stage named."""
        for found in self.words("COPY"):
            *sources, target = found.rest.split()
            if sources[0].startswith("--from="):
                self.assertEqual(sources[0], "--from=build")
                self.assertIn(f"venv {sources[1]} ", self.words("RUN")[1].rest)
                self.assertEqual(sources[1:], [target])
                continue
            for source in sources:
                there = (CHECKOUT / source).exists() or source in NOT_IN_THE_WORK_TREE
                self.assertTrue(there, source)

    def test_commands(self) -> None:
        """What a shell runs is right for a shell, and stops at the first failure."""
        for found in self.words("RUN"):
            subprocess.run(["sh", "-n", "-c", found.rest], check=True, timeout=10)
            self.assertNotIn(";", shlex.split(found.rest))
            for line in found.rest.split("&&"):
                self.assertTrue(shlex.split(line), found.rest)
        for found in (*self.words("ENTRYPOINT"), *self.words("CMD")):
            self.assertTrue(all(isinstance(word, str) for word in json.loads(found.rest)))

    def test_users(self) -> None:
        """Neither image runs as root but as a number, and both keep their state."""
        for stage in ("agent", "telegraf"):
            users = [found.rest for found in self.words("USER") if found.stage == stage]
            self.assertEqual(users[-1], "900:900")
            volumes = [found.rest for found in self.words("VOLUME") if found.stage == stage]
            self.assertEqual(volumes, ["/var/lib/metrics-agent"])

    def test_health(self) -> None:
        """Both ask the agent, which a shell turns into 0 or 1, all that Docker knows."""
        checks = {found.stage: found.rest for found in self.words("HEALTHCHECK")}
        self.assertEqual([*checks], ["agent", "telegraf"])
        for rest in checks.values():
            options, _, command = rest.partition(" CMD ")
            for option in options.split():
                self.assertRegex(option, r"\A--(interval|timeout|start-period)=\d+s\Z")
            subprocess.run(["sh", "-n", "-c", command], check=True, timeout=10)
            self.assertEqual(shlex.split(command)[:2], ["metrics-agent", "status"])
            for code, found in ((0, 0), (1, 1), (3, 1), (78, 1)):
                shell = command.replace("metrics-agent status", f"(exit {code})")
                done = subprocess.run(["sh", "-c", shell], check=False, timeout=10)
                self.assertEqual(done.returncode, found)

    def test_owners(self) -> None:
        """The user may write the state and nothing else: not the configuration, not the code."""
        for stage in ("agent", "telegraf"):
            owned, others = [], []
            for found in self.words("RUN"):
                if found.stage == stage:
                    self.assertNotRegex(found.rest, r"\b(chown|chmod)\b")
                    commands = [shlex.split(each) for each in found.rest.split("&&")]
                    made = [each for each in commands if each[:2] == ["install", "--directory"]]
                    for each in made:
                        is_owned = any(word.startswith(("--owner", "--group")) for word in each)
                        (owned if is_owned else others).append(each[-1])
            self.assertEqual((owned, others), (["/var/lib/metrics-agent"], ["/etc/metrics-agent"]))
            for found in self.words("COPY"):
                self.assertNotIn("--chown", found.rest)

    def test_the_documented_line(self) -> None:
        """The guide starts both images read-only, without capabilities and core dumps."""
        guide = (CHECKOUT / "docs" / "deployment.md").read_text()
        lines = [
            line for line in guide.replace("\\\n", " ").splitlines() if "docker run -d" in line
        ]
        self.assertEqual(len(lines), 2)
        for line in lines:
            words = shlex.split(line)
            for option in ("--read-only", "--cap-drop ALL", "--ulimit core=0"):
                self.assertIn(option, " ".join(words))
            self.assertIn("metrics-agent-state:/var/lib/metrics-agent", words)

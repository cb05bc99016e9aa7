"""Files by path, in real processes: full disks, files that others rename, empty or replace."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.integration.test_output_descriptors import LIMIT_S, NOBODY, OutputTestCase, expected

LINES = 6000
"""Some 93 KiB, more than fits on the disk."""
_DISK_BYTES = 64 * 1024


class FileTests(OutputTestCase):
    """The disk is 64 KiB large; a process has written what fits, and tries again every second."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root can mount a small disk and become another user")
        self.disk = Path(tempfile.mkdtemp(prefix="output-"))
        self.addCleanup(shutil.rmtree, self.disk)
        self.path = self.disk / "lines"

    def fill(self) -> subprocess.Popen[bytes]:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(self.disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            self.skipTest("mounting is not allowed on this machine")
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.disk)], check=True)
        child = self.start("burst", LINES, output=str(self.path))
        self.until(lambda: self.path.exists() and self.path.stat().st_size == _DISK_BYTES)
        return child

    def until(self, happened: Callable[[], bool]) -> None:
        end_s = time.monotonic() + LIMIT_S
        while not happened():
            self.assertLess(time.monotonic(), end_s)
            time.sleep(0.01)

    def check(self, child: subprocess.Popen[bytes], first: int) -> None:
        """Hold the file against the lines from one number on."""
        self.written(child, LINES)
        self.assertEqual(self.path.read_bytes(), expected(LINES).split(b"\n", first)[-1])

    def written(self, child: subprocess.Popen[bytes], count: int) -> None:
        report = self.report(child)
        self.assertEqual((report["left"], report["settled"], report["lost"]), (0, count, ""))

    def cut_line(self) -> int:
        """Return the number of the line that the full disk has cut."""
        written = self.path.read_bytes()
        self.assertNotEqual(written[-1:], b"\n")
        self.assertTrue(expected(LINES).startswith(written))
        return written.count(b"\n")

    def test_emptied(self) -> None:
        """A file that is emptied while a line is cut begins with that line, whole."""
        child = self.fill()
        first = self.cut_line()
        os.truncate(self.path, 0)
        self.check(child, first)

    def test_removed(self) -> None:
        """A file that is removed while a line is cut gives its space back; a new one is made."""
        child = self.fill()
        first = self.cut_line()
        self.path.unlink()
        self.check(child, first)

    def test_moved_to_another_disk(self) -> None:
        """``mv`` to another disk, as logrotate's ``olddir`` may have it, loses no line."""
        child = self.fill()
        first = self.cut_line()
        kept = Path(self.mktemp())
        subprocess.run(["mv", str(self.path), str(kept)], check=True)
        self.check(child, first)
        kept_lines = kept.read_bytes()
        self.assertEqual(
            kept_lines[: kept_lines.rindex(b"\n") + 1] + self.path.read_bytes(), expected(LINES)
        )

    def test_file_that_may_only_be_written(self) -> None:
        """Behind a line that was cut, of which the agent cannot know, none is lost."""
        self.disk.chmod(0o755)
        self.path.write_bytes(b"m,a=b n=1i 17")
        self.path.chmod(0o200)
        os.chown(self.path, NOBODY, NOBODY)
        for before in (b"m,a=b n=1i 17", b"m,a=b n=1i 17\n"):
            self.path.write_bytes(before)
            child = self.start("burst", 5, output=str(self.path), become=NOBODY)
            self.written(child, 5)
            self.assertEqual(self.path.read_bytes(), before + b"#\n" + expected(5))

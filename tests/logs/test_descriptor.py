"""Writing to pipes, sockets, terminals and files without blocking and without changing them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import tty
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.logs.descriptor import Descriptor


class DescriptorTest(SynchronousTestCase):
    """Each kind of descriptor."""

    def open(self, fd: int) -> Descriptor:
        descriptor = Descriptor(fd)
        self.addCleanup(descriptor.close)
        return descriptor

    def pipe(self) -> tuple[int, int]:
        read_fd, write_fd = os.pipe()
        self.addCleanup(self.close, read_fd)
        self.addCleanup(self.close, write_fd)
        return read_fd, write_fd

    def close(self, fd: int) -> None:
        with contextlib.suppress(OSError):  # The test may have closed it.
            os.close(fd)

    def fill(self, descriptor: Descriptor) -> int:
        """Write until nothing is taken; return how much was."""
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                taken += descriptor.write(b"x" * 65536)
        return taken

    def flags(self, fd: int) -> int:
        return fcntl.fcntl(fd, fcntl.F_GETFL)

    def test_a_full_pipe_does_not_block_and_its_flags_are_left_alone(self):
        _read_fd, write_fd = self.pipe()
        before = self.flags(write_fd)
        descriptor = self.open(write_fd)
        self.assertTrue(descriptor.never_blocks)
        self.assertGreater(self.fill(descriptor), 0)
        self.assertFalse(descriptor.wait(0))
        self.assertEqual(self.flags(write_fd), before)
        self.assertFalse(self.flags(write_fd) & os.O_NONBLOCK)

    def test_a_pipe_that_was_read_takes_more(self):
        read_fd, write_fd = self.pipe()
        descriptor = self.open(write_fd)
        self.fill(descriptor)
        os.read(read_fd, 65536)
        self.assertTrue(descriptor.wait(0))
        self.assertEqual(descriptor.write(b"x"), 1)

    def test_it_works_on_when_the_original_is_closed(self):
        read_fd, write_fd = self.pipe()
        descriptor = self.open(write_fd)
        os.close(write_fd)
        descriptor.write(b"x")
        self.assertEqual(os.read(read_fd, 10), b"x")

    def test_a_dead_reader_is_an_error(self):
        read_fd, write_fd = self.pipe()
        descriptor = self.open(write_fd)
        os.close(read_fd)
        self.assertTrue(descriptor.wait(0))
        with self.assertRaises(BrokenPipeError):
            descriptor.write(b"x")

    def test_a_pipe_that_cannot_be_opened_again_does_not_block_either(self):
        real_open = os.open

        def refuse(path: str, *args: int) -> int:
            if str(path).startswith("/proc/self/fd"):
                raise PermissionError(13, "Permission denied")
            return real_open(path, *args)

        _read_fd, write_fd = self.pipe()
        self.patch(os, "open", refuse)
        descriptor = self.open(write_fd)
        self.assertFalse(descriptor.never_blocks)
        self.assertGreater(self.fill(descriptor), 4096)
        self.assertFalse(self.flags(write_fd) & os.O_NONBLOCK)

    def test_a_full_socket_does_not_block_and_its_flags_are_left_alone(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        descriptor = self.open(ours.fileno())
        self.assertFalse(descriptor.never_blocks)
        self.assertGreater(self.fill(descriptor), 0)
        self.assertFalse(self.flags(ours.fileno()) & os.O_NONBLOCK)

    def test_a_socket_is_ours_alone_to_close(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.open(ours.fileno()).close()
        ours.send(b"x")
        self.assertEqual(theirs.recv(10), b"x")

    def test_a_terminal_is_written_and_its_flags_are_left_alone(self):
        leader, follower = os.openpty()
        self.addCleanup(os.close, leader)
        self.addCleanup(os.close, follower)
        descriptor = self.open(follower)
        descriptor.write(b"x\n")
        self.assertEqual(os.read(leader, 10), b"x\r\n")
        self.assertFalse(self.flags(follower) & os.O_NONBLOCK)

    def test_the_master_side_of_a_terminal_is_written(self):
        """Opening /dev/ptmx again makes a new terminal, where no one would read the log."""
        leader, follower = os.openpty()
        self.addCleanup(os.close, leader)
        self.addCleanup(os.close, follower)
        tty.setraw(follower)
        descriptor = self.open(leader)
        descriptor.write(b"x\n")
        self.assertEqual(self.read_now(follower), b"x\n")
        self.assertFalse(self.flags(leader) & os.O_NONBLOCK)

    def test_a_full_terminal_does_not_block_from_its_master_side_either(self):
        leader, follower = os.openpty()
        self.addCleanup(os.close, leader)
        self.addCleanup(os.close, follower)
        tty.setraw(follower)
        signal.alarm(20)  # the default action ends the process: a write that blocks holds trial
        self.addCleanup(signal.alarm, 0)
        self.assertGreater(self.fill(self.open(leader)), 4096)

    def read_now(self, fd: int) -> bytes:
        """Read what is there, nothing if that is so."""
        ready, _, _ = select.select([fd], [], [], 0)
        return os.read(fd, 100) if ready else b""

    def test_a_file_is_written_where_the_others_are(self):
        path = Path(self.mktemp())
        with path.open("wb", buffering=0) as file:
            descriptor = self.open(file.fileno())
            file.write(b"1")
            descriptor.write(b"2")
            file.write(b"3")
        self.assertEqual(path.read_bytes(), b"123")

    def test_a_full_disk_is_an_error(self):
        with Path("/dev/full").open("wb", buffering=0) as file:
            descriptor = self.open(file.fileno())
            with self.assertRaisesRegex(OSError, "No space"):
                descriptor.write(b"x")

    def test_a_closed_descriptor_is_an_error_at_each_write(self):
        descriptor = self.open(1_000_000)
        self.assertTrue(descriptor.wait(0))
        with self.assertRaises(OSError):
            descriptor.write(b"x")

    def test_closing_twice_is_harmless(self):
        _read_fd, write_fd = self.pipe()
        descriptor = self.open(write_fd)
        descriptor.close()
        descriptor.close()
        with self.assertRaises(OSError):
            descriptor.write(b"x")

    def test_children_do_not_inherit_it(self):
        _read_fd, write_fd = self.pipe()
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        for fd in (write_fd, ours.fileno()):
            self.assertFalse(os.get_inheritable(self.open(fd).fd))

"""A machine to break: a real systemd in namespaces of its own, on a copy-on-write view of this one.

systemd is process 1 of its own process, mount, host name, IPC and cgroup namespaces. /etc, /opt,
/tmp, /usr/local and /var are overlays whose upper halves are in memory, /run is empty, /proc/sys
and /sys are read-only, and of the cgroups it has a part of the unified hierarchy: whatever a test
installs or breaks in there is gone with it. Only the network is this machine's, since the tests
need its loopback and pip its index.

Nothing of this machine's own services is started: systemd sees the units in /etc/systemd/system,
which is empty at first, and stubs of the targets that every service refers to.

A box that boots again keeps what was written, as a machine does: its upper halves and its units
are in /mnt of a mount namespace around it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.needs import require

__all__ = ["Box"]

_SYSTEMD = "/lib/systemd/systemd"
_BOOT_LIMIT_S = 60
_END_LIMIT_S = 5
_NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--cgroup"]

_BOOT = r"""
set -eu
mount --make-rprivate /
mount -o bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
umount -R /sys/fs/cgroup
mount -o bind /sys /sys
mount -o remount,bind,ro /sys
mount -t tmpfs -o mode=755 tmpfs /run
for place in etc opt tmp usr/local var; do
    own=${BOX_KEPT:-/run/box}/$place
    mkdir -p $own/upper $own/work
    chmod --reference=/$place $own/upper
    mount -t overlay -o lowerdir=/$place,upperdir=$own/upper,workdir=$own/work overlay /$place
done
if [ ! -d "${BOX_KEPT:-}/units" ]; then
    # What this machine has of the project, installed or left by a trial, is not in a new box.
    rm -rf /etc/metrics-agent /opt/metrics-agent /var/lib/metrics-agent /var/log/metrics-agent \
        /usr/local/bin/metrics-agent
fi
if [ -n "${BOX_KEPT:-}" ]; then
    mkdir -p "$BOX_KEPT/units"
    mount -o bind "$BOX_KEPT/units" /etc/systemd/system
else
    mount -t tmpfs -o mode=755 tmpfs /etc/systemd/system
fi
mkdir -p /run/box/units
cd /run/box/units
for target in basic box local-fs multi-user network-online shutdown sysinit time-sync; do
    printf '[Unit]\nDefaultDependencies=no\n' >$target.target
done
cat >systemd-journald.socket <<EOF
[Unit]
DefaultDependencies=no
[Socket]
ListenStream=/run/systemd/journal/stdout
ListenDatagram=/run/systemd/journal/socket
SocketMode=0666
PassCredentials=yes
Service=systemd-journald.service
EOF
cat >systemd-journald.service <<EOF
[Unit]
DefaultDependencies=no
[Service]
Type=notify
Sockets=systemd-journald.socket
ExecStart=/lib/systemd/systemd-journald
EOF
printf '[Unit]\nDefaultDependencies=no\nRequires=systemd-journald.socket\n' >box.target
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\n' \
    >/etc/systemd/journald.conf.d/box.conf
# systemd hands mounts to services by propagation (credentials); it goes no further than the box.
mount --make-rshared /
# The other hierarchies, where there are some, are left alone.
export SYSTEMD_PROC_CMDLINE='systemd.unified_cgroup_hierarchy=1'
export container=box SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/box/units
exec /lib/systemd/systemd --system --unit=box.target --log-target=console --show-status=no
"""

_BOOT_AGAIN = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /mnt
export BOX_KEPT=/mnt
while :; do "$@" || :; done
"""


class Box:
    """A booted systemd; it ends, with all in it, when the test case's clean-up runs.

    Args:
        case: whose clean-up ends it; skipped where a box cannot be had.
        boots_again: whether it boots again when its process 1 is gone, see `cut_power`.
    """

    def __init__(self, case: SynchronousTestCase, *, boots_again: bool = False) -> None:
        boot = [*_NAMESPACES, "--mount-proc", "sh", "-c", _BOOT]
        if boots_again:
            boot = ["unshare", "--mount", "sh", "-c", _BOOT_AGAIN, "box", *boot]
        self._depth = 2 if boots_again else 1
        self._cgroup = _own_cgroup(case)
        self._output = Path(case.mktemp()).absolute()
        with self._output.open("wb") as output:
            self._outer = subprocess.Popen(
                boot,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=self._enter_cgroup,  # noqa: PLW1509 - no threads of ours use locks
                env={key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"},
            )
        case.addCleanup(self.end)
        self._init = self._wait_for_boot()

    def cut_power(self) -> None:
        """Kill process 1, and so all; returns when the box has booted again."""
        before = self._init
        os.kill(before, signal.SIGKILL)
        deadline_s = time.monotonic() + _BOOT_LIMIT_S
        while Path(f"/proc/{before}").exists() and time.monotonic() < deadline_s:
            time.sleep(0.01)
        self._init = self._wait_for_boot()

    def path(self, path: str) -> Path:
        """Return where this machine sees a path of the box; links are this machine's."""
        return Path(f"/proc/{self._init}/root{path}")

    def _enter_cgroup(self) -> None:
        (self._cgroup / "cgroup.procs").write_text("0")

    def _wait_for_boot(self) -> int:
        deadline_s = time.monotonic() + _BOOT_LIMIT_S
        while time.monotonic() < deadline_s and self._outer.poll() is None:
            init = _descendant(self._outer.pid, self._depth)
            if init:
                self._init = init
                state = self.run("systemctl", "is-system-running", check=False)
                if state.stdout.strip() in {"running", "degraded"}:
                    return init
            time.sleep(0.1)
        raise AssertionError(f"systemd did not come up: {self._output.read_text()}")

    def run(
        self, *command: str | Path, check: bool = True, timeout_s: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the box as root, without standard input.

        Raises:
            AssertionError: it failed, and `check` was set; carries all that it said.
        """
        result = subprocess.run(
            ["nsenter", "--target", str(self._init), "--all", "--wd=/", "--", *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and result.returncode != 0:
            raise AssertionError(f"{command} ended with {result.returncode}: {result.stdout}")
        return result

    def write(self, path: str, text: str) -> None:
        """Write a file in the box; its directory is made."""
        self.run("sh", "-c", 'mkdir -p "${1%/*}"; printf %s "$2" >"$1"', "write", path, text)

    def read(self, path: str) -> str:
        """Return a file of the box, empty if it is not there."""
        return self.run("sh", "-c", f"cat {path} 2>/dev/null || :").stdout

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).stdout.strip()

    def journal(self, unit: str) -> str:
        """Return what a unit has logged, with systemd's lines about it."""
        return self.run("journalctl", "--no-pager", "--quiet", "--unit", unit).stdout

    def wait_until(self, unit: str, name: str, *wanted: str, timeout_s: float = 60) -> str:
        """Wait until a property of a unit has one of the values, and return it.

        Raises:
            AssertionError: it did not get one in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while (value := self.show(unit, name)) not in wanted:
            if time.monotonic() > deadline_s:
                journal = self.journal(unit)
                raise AssertionError(f"{unit}: {name} is {value}, not {wanted}: {journal}")
            time.sleep(0.1)
        return value

    def end(self) -> None:
        """Kill process 1 of the box, and with it all others in there."""
        init = getattr(self, "_init", 0)
        if self._depth > 1 or not init:
            self._outer.kill()
        if init:
            with contextlib.suppress(ProcessLookupError):
                os.kill(init, signal.SIGKILL)
        self._outer.wait(30)
        # What is around process 1 ends a moment after it.
        deadline_s = time.monotonic() + _END_LIMIT_S
        while self._cgroup.exists() and time.monotonic() < deadline_s:
            for directory, _, _ in os.walk(self._cgroup, topdown=False):
                with contextlib.suppress(OSError):
                    Path(directory).rmdir()
            time.sleep(0.01)


def _descendant(pid: int, depth: int) -> int:
    """Return the first child, or the first child's first child; 0 if there is none now."""
    for _ in range(depth):
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return 0
        if not children:
            return 0
        pid = int(children[0])
    return pid


def _own_cgroup(case: SynchronousTestCase) -> Path:
    """Make a cgroup for a box.

    Raises:
        SkipTest: a box cannot be had here, and why.
    """
    if os.geteuid() != 0:
        raise SkipTest("only root can start a systemd of its own")
    require("systemd", "procps", "util-linux")
    if subprocess.run([*_NAMESPACES, "true"], check=False, capture_output=True).returncode:
        raise SkipTest("no namespaces can be made here (a container without the right)")
    for hierarchy in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        if Path(hierarchy, "cgroup.controllers").exists():
            cgroup = Path(hierarchy, f"metrics-agent-box-{os.getpid()}-{id(case)}")
            try:
                cgroup.mkdir()
            except OSError as error:
                raise SkipTest(f"no cgroup can be made here: {error}") from error
            return cgroup
    raise SkipTest("no unified hierarchy of cgroups is mounted here")

"""Minimal Debian systems to try the project in as a user would, each thrown away after its test.

A `Tree` is a copy-on-write view of layers: a cached tree of debootstrap at the bottom, then what
was installed into it, then an upper half that is in memory unless it becomes a layer itself. The
tree's processes run in their own mount and process namespaces, which end with it. The network is
this machine's, since pip needs its index.

systemd does not run in a tree: a test starts each service as its parent would.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.bare.index import pip_configuration, system_files
from tests.needs import require

__all__ = ["Tree", "base_layers"]

PACKAGES = ("git", "python3", "python3-venv")
"""What README asks of a user of Debian."""
SERVER_PACKAGES = ("mosquitto", "mosquitto-clients", "sudo")

_DEBOOTSTRAP_LIMIT_S = 600
_START_LIMIT_S = 30
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
_NO_RIGHTS = "no mounts and namespaces can be made here"

_START = r"""
set -eu
room=$1 lower=$2 upper=$3 work=$4
shift 4
mount --make-rprivate /
mount -t tmpfs -o mode=755 tree "$room"
[ -n "$upper" ] || { upper=$room/upper work=$room/work; mkdir "$upper" "$work"; }
mkdir "$room/tree"
mount -t overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work" tree "$room/tree"
cd "$room/tree"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/lock
for path; do
    mkdir -p ".${path%/*}"
    if [ -d "$path" ]; then mkdir -p ".$path"; else [ -e ".$path" ] || : >".$path"; fi
    mount --bind "$path" ".$path"
    mount -o remount,bind,ro ".$path"
done
echo ready
exec chroot . sh -c 'while sleep 1; do :; done'
"""


class Tree:
    """A minimal Debian; it ends, with all in it, when the test case's clean-up runs.

    Args:
        case: whose clean-up ends it; skipped where no tree can be had.
        layers: directories to look into, the lowest first.
        keep: a directory for what changes, to be a layer of other trees after `end`; None: memory.
    """

    def __init__(
        self, case: SynchronousTestCase, layers: Sequence[Path], keep: Path | None = None
    ) -> None:
        self._room = Path(tempfile.mkdtemp(prefix="tree-"))
        self._init = 0
        upper = work = ""
        if keep is not None:
            upper, work = str(keep), str(keep.with_name(keep.name + ".work"))
            for path in (upper, work):
                Path(path).mkdir(parents=True)
        index = pip_configuration()
        self._outer = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", _START, "tree", self._room,
             ":".join(map(str, reversed(layers))), upper, work, *system_files(index)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        case.addCleanup(self.end)
        self._wait_for_start()
        pip_conf = "".join(f"{option} = {value}\n" for option, value in index.items())
        self.write("/etc/pip.conf", f"[global]\n{pip_conf}")

    def _wait_for_start(self) -> None:
        assert self._outer.stdout is not None
        said = self._outer.stdout.readline()
        if said != "ready\n":
            said += self._outer.communicate(timeout=_START_LIMIT_S)[0]
            raise SkipTest(f"{_NO_RIGHTS}: {said.strip()}")
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        self._init = int(children.read_text().split()[0])
        # "ready" is said a moment before the chroot.
        deadline_s = time.monotonic() + _START_LIMIT_S
        while not self.path("/etc/debian_version").exists() or self.path("/").samefile("/"):
            assert time.monotonic() < deadline_s, "the tree did not start"
            time.sleep(0.01)

    def path(self, path: str) -> Path:
        """Return where this machine sees a path of the tree; links are this machine's."""
        return Path(f"/proc/{self._init}/root{path}")

    def write(self, path: str, text: str) -> None:
        """Write a file of root's; its directory is made."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")

    def run(
        self,
        command: str,
        *,
        user: str = "root",
        check: bool = True,
        timeout_s: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command line in a user's login shell, in the user's home directory.

        Args:
            command: for sh.
            user: who runs it.
            check: fail the test if it ends with another code than 0.
            timeout_s: the longest that it may take.

        Returns:
            Exit code, stdout and stderr.

        Raises:
            AssertionError: it failed and `check` was set; carries all that it wrote.
        """
        result = subprocess.run(
            self.command(command, user),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={"PATH": _PATH},
        )
        if check and result.returncode != 0:
            raise AssertionError(
                f"{command!r} of {user} ended with {result.returncode}:\n"
                f"{result.stdout[-8000:]}\n{result.stderr[-8000:]}"
            )
        return result

    def command(self, command: str, user: str = "root") -> list[str]:
        """Return the arguments with which this machine runs a command line in the tree."""
        shell = ["su", "-s", "/bin/sh", "-l", user, "-c", command]
        return [
            "nsenter", "--target", str(self._init), "--mount", "--pid", "--root", "--wd",
            "--", *shell,
        ]  # fmt: skip

    def end(self) -> None:
        """Kill every process of the tree; its mounts go with the last one."""
        if self._init:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._init, signal.SIGKILL)
        self._outer.kill()
        self._outer.wait(30)
        if self._outer.stdout is not None:
            self._outer.stdout.close()
        with contextlib.suppress(OSError):
            self._room.rmdir()


def base_layers(case: SynchronousTestCase, release: str, *, server: bool = False) -> list[Path]:
    """Return the layers of a release with what README asks for, made at the first use.

    Args:
        case: skipped where no tree can be had.
        release: of Debian, by its code name.
        server: with a broker and sudo too.

    Raises:
        SkipTest: why there can be none.
    """
    if os.geteuid() != 0:
        raise SkipTest("only root can make a Debian tree")
    require("debootstrap", "util-linux")
    probe = subprocess.run(
        [*_UNSHARE, "mount", "--make-rprivate", "/"], capture_output=True, text=True, check=False
    )
    if probe.returncode:
        raise SkipTest(f"{_NO_RIGHTS}: {probe.stderr.strip()}")
    print_ = hashlib.sha256(repr((PACKAGES, SERVER_PACKAGES, _SERVER)).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = cache / "metrics-agent-ci" / f"debian-{release}-{print_}"
    with _locked(directory.with_suffix(".lock")):
        user, services = directory / "user", directory / "services"
        if not user.exists():
            shutil.rmtree(directory, ignore_errors=True)
            _debootstrap(release, directory / "half")
            (directory / "half").rename(user)
        if server and not services.exists():
            for left in directory.glob("half*"):
                shutil.rmtree(left)
            tree = Tree(case, [user], keep=directory / "half")
            tree.run(_SERVER, timeout_s=_DEBOOTSTRAP_LIMIT_S)
            tree.end()
            (directory / "half").rename(services)
    return [user, services] if server else [user]


_SERVER = f"""
set -eu
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -qq update
apt-get -qq install --no-install-recommends {" ".join(SERVER_PACKAGES)} >/dev/null
rm -rf /usr/sbin/policy-rc.d /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
"""


def _debootstrap(release: str, target: Path) -> None:
    """Make a minimal tree, with those packages that README asks for."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", release, target],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_DEBOOTSTRAP_LIMIT_S,
        check=False,
        env={**os.environ, "PATH": _PATH},
    )
    if made.returncode:
        last = " ".join(made.stdout.strip().splitlines()[-3:])
        shutil.rmtree(target, ignore_errors=True)
        raise SkipTest(f"debootstrap {release} failed with {made.returncode}: {shlex.quote(last)}")
    for archive in (target / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other runs out while a layer is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

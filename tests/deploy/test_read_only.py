"""The installed agent as a container runs it: a user without a name, read-only, no capabilities.

What `docker run --read-only --cap-drop ALL --security-opt no-new-privileges` sets up is done here
by hand, since there is no engine where the tests run.
"""

from __future__ import annotations

from tests.deploy.test_systemd import CONFIG, DEMO, STATE, BoxTestCase

CONTAINER = f"""
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=750,uid=900,gid=900 tmpfs {STATE}
cut -d ' ' -f 2 /proc/self/mounts | sort -u | while read -r place; do
    case $place in
        {STATE} | /proc* | /sys* | /dev*) ;;
        # One that is hidden below another cannot be changed, nor written.
        *) mount -o remount,bind,ro "$place" 2>/dev/null || true ;;
    esac
done
exec setpriv --reuid=900 --regid=900 --clear-groups --no-new-privs \\
    --bounding-set=-all --inh-caps=-all --ambient-caps=-all env -i HOME=/ PATH="$PATH" "$@"
"""
PROBE = f"""
grep -E 'CapBnd|NoNewPrivs' /proc/self/status
for place in / /etc/metrics-agent {CONFIG} /opt/metrics-agent /run /tmp /usr/local /var /var/tmp; do
    if touch "$place/x" 2>/dev/null || [ -w "$place" ]; then echo "writable: $place"; fi
done
touch {STATE}/x && rm {STATE}/x
"""


class ContainerTests(BoxTestCase):
    """Run by user and group 900, which have no name here."""

    def inside(self, *command: str) -> str:
        """Run a command as in a container; return what it wrote."""
        arguments = ("unshare", "--mount", "sh", "-c", CONTAINER, "sh", *command)
        return self.box.run(*arguments).stdout

    def test_it_runs(self) -> None:
        """Metrics come, only the state can be written, no warning, and it ends in order."""
        self.install()
        tasmota = '[modules.tasmota]\nenabled = true\nbroker = "tcp://127.0.0.1:1"\n'
        self.box.write(CONFIG, f"{DEMO}{tasmota}")
        self.box.run("chgrp", "900", CONFIG)
        self.box.run("chmod", "0640", CONFIG)
        # The directory itself: install.sh leaves it to the group of Telegraf's user.
        self.box.run("chmod", "0755", "/etc/metrics-agent")
        self.assertEqual(
            self.inside("sh", "-c", PROBE), "CapBnd:\t0000000000000000\nNoNewPrivs:\t1\n"
        )
        command = f"timeout 6 /usr/local/bin/metrics-agent run -c {CONFIG} 2>&1; echo $?"
        said = self.inside("sh", "-c", command)
        self.assertGreaterEqual(said.count("\ndemo,"), 3, said)
        self.assertIn("Started", said)
        self.assertIn("none lost", said)
        complaints = [line for line in said.splitlines() if line.startswith(("W!", "E!"))]
        self.assertEqual([line for line in complaints if "tcp://127.0.0.1:1" not in line], [])

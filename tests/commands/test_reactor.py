"""What is loaded with the reactor, seen in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.needs import missing

PROGRAM = """
import json, sys
from pathlib import Path
from metrics_agent.config import load
from metrics_agent.modules import find_kind, known_kinds
from metrics_agent.commands.reactor import import_reactor
from metrics_agent.plan import build
from metrics_agent.process.bounded_thread import BoundedThread

plan = build(load(Path(sys.argv[1]), find_kind, known_kinds))
reactor = import_reactor(plan)
import metrics_agent.assembly, time
from twisted.internet import endpoints
seen = {
    "openssl": sys.modules.get("OpenSSL") is not None,
    "paho": "paho" in sys.modules,
    "monotonic": reactor.seconds is time.monotonic,
    "bounded threads": reactor.getThreadPool().threadFactory is BoundedThread,
}
import metrics_agent.transports.tls
seen["afterwards"] = endpoints.TLSMemoryBIOFactory is not None
print(json.dumps(seen))
"""


class ImportReactorTests(SynchronousTestCase):
    """OpenSSL costs 13 MB, paho some more: loaded where it is used, or asked for."""

    skip = missing("pyOpenSSL")

    def see(self, text: str) -> dict[str, bool]:
        """Return what a process with this configuration has loaded."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = Path(directory.name, "agent.toml")
        path.write_text(text)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return dict(json.loads(done.stdout))

    def test_without_tls_it_is_left_out_and_can_be_had_later(self) -> None:
        """Also the endpoints, which have looked for it in vain, can do TLS then."""
        seen = self.see("[modules.demo]\nenabled = true\n")
        absent = {"openssl": False, "paho": False}
        present = {"monotonic": True, "bounded threads": True, "afterwards": True}
        self.assertEqual(seen, {**absent, **present})

    def test_an_output_over_tls_has_it(self) -> None:
        """Twisted's own endpoints make that connection."""
        seen = self.see('output = "tls:localhost:8094"\n[modules.demo]\nenabled = true\n')
        self.assertTrue(seen["openssl"])

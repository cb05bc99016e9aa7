"""Modules that are loaded late, each test in its own Python: what is loaded stays loaded."""

from __future__ import annotations

import json
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

BEGIN = """
import json, sys
from metrics_agent.process.late import _LATE, import_late
import_late()
"""


class LateTests(SynchronousTestCase):
    """What others import in passing."""

    def run_python(self, code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(done.stderr, "")
        return done.stdout.strip()

    def test_nothing_is_loaded_until_it_is_used(self) -> None:
        code = """
import asyncio, hashlib, http.cookiejar, ssl, stringprep, urllib.request
from asyncio import AbstractEventLoop, Future, iscoroutine
hashlib.blake2b(b"")
heavy = {"_ssl", "_hashlib", "asyncio.base_events", "email", "http.client", "unicodedata"}
print(sorted(heavy & set(sys.modules)))
"""
        self.assertEqual(self.run_python(BEGIN + code), "[]")

    def test_names_are_those_of_the_real_modules(self) -> None:
        """Whether the modules were used in parts before or not."""
        names = """
def names():
    found = {}
    for name in sorted(_LATE):
        module = import_module(name)
        getattr(module, "_", None)  # has it loaded
        found[name] = sorted(dir(import_module(name)))
    print(json.dumps(found))
"""
        real = BEGIN.replace("import_late()", "") + "from importlib import import_module\n" + names
        late = BEGIN + "from importlib import import_module\n" + names
        expected = json.loads(self.run_python(real + "names()"))
        parts = "from asyncio import Future\nimport hashlib\nhashlib.blake2b\n"
        self.assertEqual(set(expected), {name for name in expected if len(expected[name]) > 20})
        self.assertEqual(json.loads(self.run_python(late + "names()")), expected)
        self.assertEqual(json.loads(self.run_python(late + parts + "names()")), expected)

    def test_used_after_all(self) -> None:
        """Those who imported a module before it was loaded, and those who do so later."""
        code = """
import asyncio, hashlib, ssl, urllib.request, http.cookiejar as early_jar
from asyncio import Future, iscoroutine
assert asyncio.run(asyncio.sleep(0, 7)) == 7
assert asyncio.Future is Future and asyncio.futures.Future is Future
assert asyncio.iscoroutine is iscoroutine
assert hashlib.sha256(b"").hexdigest().startswith("e3b0c442")
assert issubclass(ssl.SSLError, OSError) and ssl.create_default_context()
assert urllib.request.Request("http://host/").host == "host"
from http import cookiejar
assert cookiejar.CookieJar is early_jar.CookieJar
try:
    from ssl import nothing_like_this
except ImportError as error:
    print(error.name)
"""
        self.assertEqual(self.run_python(BEGIN + code), "ssl")

    def test_two_threads_at_once(self) -> None:
        code = """
import asyncio, hashlib, ssl, threading, urllib.request
sys.setswitchinterval(1e-6)
start, found = threading.Barrier(8), []
def use():
    start.wait()
    names = asyncio.run, urllib.request.urlopen, ssl.SSLContext, hashlib.sha1
    found.append(tuple(map(id, names)))
threads = [threading.Thread(target=use) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(found), len(set(found)))
"""
        self.assertEqual(self.run_python(BEGIN + code), "8 1")

    def test_what_is_loaded_already_stays(self) -> None:
        code = BEGIN.replace("import_late()", "import ssl\nimport_late()\nimport_late()")
        code += "import ssl\nprint(type(ssl).__name__, len(sys.meta_path))"
        bare = self.run_python("import sys; print(len(sys.meta_path))")
        self.assertEqual(self.run_python(code), f"module {int(bare) + 1}")

    def test_what_is_set_and_listed_is_of_the_real_module(self) -> None:
        """By those who imported it before it was loaded, such as what replaces parts of `ssl`."""
        code = """
import asyncio, hashlib, ssl, stringprep, urllib.request
from unittest import mock
ssl._create_default_https_context = ssl._create_unverified_context
with mock.patch("asyncio.run", 7), mock.patch.object(urllib.request, "urlopen", 8):
    assert sys.modules["asyncio"].run == 7 and sys.modules["urllib.request"].urlopen == 8
assert callable(sys.modules["asyncio"].run) and callable(sys.modules["urllib.request"].urlopen)
names, all_names = {}, {}
exec("from hashlib import *", names)
exec("from stringprep import *", all_names)
assert "sha256" in names and "in_table_a1" in all_names
assert dir(ssl) == dir(sys.modules["ssl"])
print(sys.modules["ssl"]._create_default_https_context.__name__)
"""
        self.assertEqual(self.run_python(BEGIN + code), "_create_unverified_context")

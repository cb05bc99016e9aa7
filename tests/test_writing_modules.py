"""The code of docs/writing-modules.md runs and does what the page says."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.http_interface import HttpReply
from metrics_agent.module_kind import ModuleKind
from metrics_agent.testing import FakeContext

PAGE = Path(__file__).parent.parent / "docs" / "writing-modules.md"
NAME = "writing_modules_page"


class Pool:
    """Answers as the pool controller does."""

    async def get(self, _url: str) -> HttpReply:
        return HttpReply(200, json.dumps({"temperature": 24.5}).encode())


@skipUnless(PAGE.exists(), "the tests run without the documentation")
class PageTests(SynchronousTestCase):
    """All blocks of code, one after the other, as one file."""

    def setUp(self) -> None:
        blocks = re.findall(
            r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
        )
        self.page: Any = ModuleType(NAME)
        # attrs looks the module of a class up.
        sys.modules[NAME] = self.page
        self.addCleanup(sys.modules.pop, NAME)
        exec(compile("\n".join(blocks), str(PAGE), "exec"), self.page.__dict__)

    def test_kinds(self) -> None:
        """Both name a class that can be made."""
        for kind in (self.page.RAIN, self.page.POOL):
            self.assertIsInstance(kind, ModuleKind)
        made = self.page.RAIN.make(self.page.RainSettings(), FakeContext())
        self.assertIsInstance(made, self.page.RainModule)

    def test_poll(self) -> None:
        """The module with a poll writes what the controller answers."""
        http: Any = Pool()
        context = FakeContext(http_client=http)
        module = self.page.PoolModule(self.page.PoolSettings(url="http://pool.example"), context)
        module.startService()
        self.assertEqual(
            context.lines(), ["climate,device=pool temperature=24.5 1700000000000000000"]
        )

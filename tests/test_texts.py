"""What the texts of the project say: names that are not ours, links that lead nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import metrics_agent
from metrics_agent.errors import how_to_install

PACKAGE = Path(metrics_agent.__file__).parent
CHECKOUT = Path(__file__).parent.parent
SUFFIXES = {".conf", ".md", ".py", ".service", ".sh", ".toml", ".txt", ".lock", ""}

_EXTRAS_OF_NAME = re.compile(r"metrics[-_]agent\[[a-z,]+\]")
_INSTALLS_NAME = re.compile(
    r"(?:pip3? install|install\.sh)(?:\s+--?\S+(?:\s+[\w,]+)?)*?"
    r"\s+['\"]?metrics[-_]agent(?![\w./-])"
)


def asks_an_index(text: str) -> bool:
    """Return whether a text has the name of this package installed from an index."""
    return bool(_EXTRAS_OF_NAME.search(text) or _INSTALLS_NAME.search(text))


def texts() -> Iterator[Path]:
    """Yield every file of text, of the package that is tested and of the checkout."""
    roots = [PACKAGE, *(path for path in CHECKOUT.iterdir() if path.name[0] not in "._")]
    for root in roots:
        for path in root.rglob("*") if root.is_dir() else [root]:
            hidden = any(part[0] in "._" for part in path.relative_to(root).parts[:-1])
            if path.is_file() and path.suffix in SUFFIXES and not hidden:
                yield path


class NameTests(SynchronousTestCase):
    """The package is on no index, so anybody could register its name there."""

    def test_no_text_installs_by_name(self) -> None:
        """No guide, message or file of ours has the name installed from an index."""
        seen = 0
        for path in texts():
            if path.name == Path(__file__).name:
                continue
            seen += 1
            self.assertFalse(asks_an_index(path.read_text("utf-8", "replace")), path)
        self.assertGreater(seen, 300)

    def test_pattern(self) -> None:
        """The pattern finds what it should, and no more."""
        for text in (
            "pip install metrics-agent",
            "pip install -q 'metrics-agent[http]'",
            "pip install\n  metrics_agent==1.0",
            "run install.sh metrics-agent",
            "install.sh --extras none metrics-agent",
        ):
            self.assertTrue(asks_an_index(text), text)
        for text in (
            "pip install '.[http]'",
            "install.sh metrics_agent-0.1.0-py3-none-any.whl",
            "install.sh, then metrics-agent check",
            how_to_install(),
            how_to_install("http"),
            how_to_install("demo"),
        ):
            self.assertFalse(asks_an_index(text), text)


class LinkTests(SynchronousTestCase):
    """The guides that are installed with the package."""

    def test_links(self) -> None:
        """Each relative link leads to a file of the package; what is elsewhere is not a link."""
        guides = list(PACKAGE.rglob("*.md"))
        self.assertTrue(guides)
        for guide in guides:
            for link in re.findall(r"\]\(([^)\s]+)\)", guide.read_text("utf-8")):
                if not re.match(r"https?://|#", link):
                    target = (guide.parent / link.partition("#")[0]).resolve()
                    self.assertTrue(
                        target.exists() and target.is_relative_to(PACKAGE.resolve()),
                        f"{guide}: {link}",
                    )

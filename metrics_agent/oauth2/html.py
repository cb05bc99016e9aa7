"""What the user sees in the browser while logging in. Pure: texts in, HTML out.

No script, nothing from elsewhere, one style sheet whose hash the content security policy names. No
page holds a token, a code or a secret.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape as escape_html
from typing import Final

from attrs import frozen

from metrics_agent.characters import visible

__all__ = ["STYLE_SOURCE", "Look", "Page"]

_STYLE: Final = """\
:root {
  color-scheme: light dark;
  --paper: #f3f5f4; --card: #fff; --ink: #1b2420; --soft: #55625c; --line: #d9dfdc;
  --accent: #14694a; --on-accent: #fff; --good: #14694a; --bad: #a3261b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #141816; --card: #1d2320; --ink: #e9eeeb; --soft: #a3b0a9; --line: #35403a;
    --accent: #4cc38f; --on-accent: #07150e; --good: #4cc38f; --bad: #ff8f84;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 1.25rem; min-height: 100vh; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.55 system-ui, sans-serif; display: grid; place-items: start center;
}
main {
  width: 100%; max-width: 34rem; margin-top: 8vh; padding: 2rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 12px;
}
.agent { margin: 0 0 1.25rem; color: var(--soft); font-size: .9375rem; }
h1 { margin: 0 0 .75rem; font-size: 1.625rem; line-height: 1.25; text-wrap: balance; }
h1.good { color: var(--good); } h1.bad { color: var(--bad); }
p, ul { margin: 0 0 1rem; } ul { padding-left: 1.25rem; } li { margin: .25rem 0; }
code { font: .9375em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.button {
  display: block; width: 100%; margin: 1.5rem 0; padding: .875rem 1.25rem; border: 0;
  border-radius: 8px; background: var(--accent); color: var(--on-accent); cursor: pointer;
  font: inherit; font-weight: 600; text-align: center; text-decoration: none;
}
.button:hover { filter: brightness(1.08); }
.button:focus-visible { outline: 3px solid var(--ink); outline-offset: 3px; }
.small { margin: 0; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: .9375rem; }
@media (max-width: 30rem) {
  body { padding: .75rem; } main { margin-top: 0; padding: 1.5rem 1.25rem; }
}
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
STYLE_SOURCE: Final = f"'sha256-{_HASH}'"
"""The style sheet, as a content security policy names it."""


@frozen
class Look:
    """What differs from service to service.

    Attributes:
        provider: the service's name.
        gives: what we ask for, a clause after "Allow metrics-agent to": one for each scope.
        register: the redirect address, for the user to compare with what is registered.
    """

    provider: str
    gives: tuple[str, ...]
    register: str


@frozen
class Page:
    """Makes the pages of one service."""

    look: Look

    def start(self, token: str = "") -> bytes:
        """The first page: what will happen, and the button.

        Args:
            token: lets a browser in that is not known yet.
        """
        hidden = f'<input type="hidden" name="token" value="{escape(token)}">' if token else ""
        name = escape(self.look.provider)
        gives = "".join(f"<li>{escape(each)}</li>" for each in self.look.gives)
        return self._page(
            f"Connect to {self.look.provider}",
            "",
            f"<p>metrics-agent needs your permission to:</p><ul>{gives}</ul>"
            f"<p>You log in at {name} itself; your password is never seen here. Afterwards you "
            "come back to this page.</p>"
            f'<form method="post" action="start">{hidden}'
            f'<button class="button">Log in at {name}</button></form>',
            f"If {name} says that the redirect address is wrong: register "
            f"<code>{escape(self.look.register)}</code> for your app there.",
        )

    def done(self) -> bytes:
        """The last page."""
        name = escape(self.look.provider)
        return self._page(
            f"Connected to {self.look.provider}",
            "good",
            "<p>metrics-agent has its permission and keeps it by itself from now on. "
            "You can close this window.</p>",
            f"To take the permission back, remove the app in the settings of your {name} account.",
        )

    def declined(self) -> bytes:
        """The person said no."""
        return self._page(
            "Permission was not given",
            "bad",
            f"<p>You declined at {escape(self.look.provider)}, or closed its page. Nothing was "
            f"changed.</p>{self._again()}",
            "Without the permission no values can be collected.",
        )

    def failed(self, reason: str, advice: str = "") -> bytes:
        """Something went wrong; a reason without a secret in it."""
        advice = f"<p>{escape(advice)}</p>" if advice else ""
        return self._page(
            "That did not work",
            "bad",
            f"<p>{escape(reason)}</p>{advice}{self._again()}",
            "The log of metrics-agent says more.",
        )

    def unknown(self, reason: str) -> bytes:
        """An answer that belongs to no login of this page."""
        return self._page(
            "This answer cannot be used",
            "bad",
            f"<p>{escape(reason)}</p>{self._again()}",
            "Did you begin with <code>metrics-agent login</code> in a terminal? Then copy the "
            "whole address of this page and paste it there.",
        )

    def locked(self) -> bytes:
        """The browser has not shown that its user can read the log."""
        return self._page(
            "Open the address in the log",
            "bad",
            "<p>The log of metrics-agent holds an address that ends in <code>?token=...</code>. It "
            "works once, in one browser, at the host that it names.</p>"
            "<p>Has it been used? Reload the agent (SIGHUP) for another one, or run "
            "<code>metrics-agent login</code> in a terminal.</p>",
            "This way only who can read the log can log in.",
        )

    def busy(self) -> bytes:
        """Too many requests came from the client's address."""
        return self._page(
            "Too many requests",
            "bad",
            "<p>Wait a minute, then open the address in the log of metrics-agent.</p>",
            "metrics-agent, login page",
        )

    def not_found(self) -> bytes:
        """There is no such page."""
        return self._page(
            "There is nothing here", "", self._again("To the login"), "metrics-agent, login page"
        )

    def _again(self, text: str = "Try again") -> str:
        return f'<a class="button" href="./">{escape(text)}</a>'

    def _page(self, title: str, mood: str, body: str, small: str) -> bytes:
        """Put a page together; body and small are HTML."""
        text = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="robots" content="noindex"><meta name="referrer" content="same-origin">'
            f"<title>{escape(title)} - metrics-agent</title><style>{_STYLE}</style></head>"
            f'<body><main><p class="agent">metrics-agent</p><h1 class="{mood}">{escape(title)}</h1>'
            f'{body}<p class="small">{small}</p></main></body></html>\n'
        )
        return text.encode()


def escape(text: str) -> str:
    """Return a text as HTML that shows it whole and in its order."""
    return escape_html(visible(text))

"""How this machine's pip reaches its index of packages, carried over to another root directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["pip_configuration", "system_files"]

_INDEX_OPTIONS = frozenset(
    {
        "cert",
        "client-cert",
        "default-timeout",
        "extra-index-url",
        "find-links",
        "index-url",
        "no-index",
        "proxy",
        "retries",
        "timeout",
        "trusted-host",
    }
)
_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_LINE = re.compile(r"^[^.]+\.(?:\w+\.)?\.?([\w-]+)='(.*)'$")


def pip_configuration() -> dict[str, str]:
    """Return what pip's files and variables here say about the index, by the names of options.

    A file /etc/pip.conf with these in its section [global] serves every user and survives sudo,
    which drops variables.
    """
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    found = {}
    for variables, option in ((_CERTIFICATES, "cert"), (_PROXIES, "proxy")):
        values = [os.environ[name] for name in variables if os.environ.get(name)]
        if values:
            found[option] = values[0]
    # Variables are listed first and outrank the files.
    for line in reversed(listed.splitlines()):
        match = _LINE.match(line)
        if match and match[1] in _INDEX_OPTIONS:
            found[match[1]] = match[2].replace("\\n", "\n    ")
    return found


def system_files(configuration: dict[str, str]) -> list[Path]:
    """Return the files and directories that name resolution and the configuration need."""
    named = [value for value in configuration.values() if value.startswith("/")]
    paths = [Path(name) for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs", *named)]
    return [path for path in dict.fromkeys(paths) if path.exists()]

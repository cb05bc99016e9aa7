"""Build and packaging of metrics-agent; pyproject.toml holds the settings of the tools."""

from pathlib import Path
from runpy import run_path
from tempfile import TemporaryDirectory

from setuptools import find_packages, setup

HERE = Path(__file__).parent

TLS = ["twisted[tls]>=24.7"]
HTTP = ["oauthlib>=3.2", *TLS]
DIGEST = ["httpx2>=2; python_version >= '3.11'", "httpx>=0.27; python_version < '3.11'"]
SPEED = ["orjson>=3.10"]
TEMPLATES = ["jinja2>=3.1.5"]
DEMO = ["amqtt>=0.11.3", "websockets>=13"]
TEST = [
    "hypothesis>=6.100",
    "line-protocol-parser>=2.0",
    "prometheus-client>=0.20",
    "coverage[toml]>=7.10",
    "selenium>=4.20",
    "pyyaml>=6",
    # Another version builds another dashboard.
    "grafana-foundation-sdk==1759917919!11.6.0; python_version >= '3.11'",
    *HTTP,
    *DIGEST,
    *SPEED,
    *TEMPLATES,
    *DEMO,
]
LINT = ["ruff==0.17.6", "mypy==2.4.1", "mypy-zope==1.0.17", "build>=1.2", *TEST]

# What an earlier build left in build/ would be packed again, removed modules too: build elsewhere.
BUILD = TemporaryDirectory(prefix="metrics-agent-build-")

setup(
    name="metrics-agent",
    version=run_path(str(HERE / "metrics_agent" / "_version.py"))["__version__"],
    description="Collects metrics from devices in supervised modules and hands them to Telegraf.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="metrics-agent developers",
    keywords=[
        "home automation",
        "influxdb",
        "metrics",
        "mqtt",
        "netatmo",
        "opendtu",
        "tasmota",
        "telegraf",
        "twisted",
    ],
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=[
        *find_packages(include=["metrics_agent", "metrics_agent.*"]),
        "twisted.plugins",
    ],
    package_data={"metrics_agent": ["py.typed", "modules/*/README.md", "status/page/*"]},
    install_requires=[
        "twisted>=24.7",
        "paho-mqtt>=2.1,<3",
        "zope.interface>=6",
        "attrs>=24.1",
        "wsproto>=1.2",
        "tomli>=2; python_version < '3.11'",
    ],
    extras_require={
        "tls": TLS,
        "http": HTTP,
        "digest": DIGEST,
        "speed": SPEED,
        "templates": TEMPLATES,
        "all": [*HTTP, *DIGEST, *SPEED, *TEMPLATES],
        "demo": [*DEMO, *SPEED],
        "test": TEST,
        "lint": LINT,
    },
    entry_points={"console_scripts": ["metrics-agent=metrics_agent.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: No Input/Output (Daemon)",
        "Framework :: Twisted",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Home Automation",
        "Topic :: System :: Monitoring",
        "Typing :: Typed",
    ],
    zip_safe=False,
    options={
        "build": {"build_base": BUILD.name},
        # twistd finds plugins in the directories of sys.path only; setuptools' default for
        # `pip install -e` is an import hook.
        "editable_wheel": {"mode": "compat"},
    },
)

"""The command `metrics-agent`: what Telegraf runs, and what users run at a shell.

The signal handlers come first, then everything else: the default action of SIGHUP is death. So
this module imports next to nothing, and each command imports what it needs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metrics_agent.process.boot import boot

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from metrics_agent.process.boot import Process

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: those behind the program's name; of this process if None.

    Returns:
        The exit code, see `process.exit.ExitCode`; 2 where the arguments are wrong.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):  # at once: the parser takes longer than all of it
        return _print_version()
    process = boot()
    options = _parser().parse_args(words)
    if options.version:
        return _print_version()
    if options.command in {None, "run"}:
        from metrics_agent.commands.run import run

        return run(process, options.config)
    if options.command in {"status", "tap"}:
        return _ask(options, process)
    return _other_command(options, process)


def _print_version() -> int:
    from metrics_agent._version import __version__
    from metrics_agent.commands.stdout import say

    say(f"metrics-agent {__version__}")
    return 0


def _other_command(options: Namespace, process: Process) -> int:
    if options.command == "check":
        return _check(options, process)
    if options.command == "modules":
        from metrics_agent.commands.modules import modules

        return modules(options.module)
    if options.command == "sample-config":
        from metrics_agent.commands.sample_config import sample_config

        return sample_config(options.modules)
    if options.command == "once":
        from metrics_agent.commands.once import once

        return once(process, options.config, options.seconds)
    if options.command == "login":
        from metrics_agent.commands.login import login

        return login(process, options.config, options.module)
    from metrics_agent.commands.demo import demo

    return demo(process, options.seconds, lines=options.lines)


def _ask(options: Namespace, process: Process) -> int:
    if options.command == "tap":
        from metrics_agent.commands.tap import tap

        return tap(process, options.config, options.name)
    from metrics_agent.commands.status import status

    return status(
        options.config,
        module=options.module,
        device=options.device,
        as_json=options.json,
        watch_s=options.watch,
    )


def _check(options: Namespace, process: Process) -> int:
    if options.connect:
        from metrics_agent.commands.connect import connect

        return connect(process, options.config)
    from metrics_agent.commands.check import check

    return check(options.config)


def _parser() -> ArgumentParser:
    from argparse import SUPPRESS, ArgumentParser

    parser = ArgumentParser(
        prog="metrics-agent",
        description="Collects metrics from devices in supervised modules and writes InfluxDB line "
        "protocol to stdout, for Telegraf's inputs.execd.",
        epilog="Signals: SIGHUP reloads the configuration and restarts all modules, SIGTERM and "
        "SIGINT stop in order, the second one at once. Exit codes: 0 stopped as asked, 1 no module "
        "can run any more, 70 the process hung, 78 the configuration cannot be used.",
    )
    parser.add_argument("-V", "--version", action="store_true", help="print the version")
    _add_config(parser, None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    run = commands.add_parser("run", help="run the agent; this is what happens without a command")
    check = commands.add_parser(
        "check",
        help="report all faults of a configuration",
        epilog="Exit codes: 0 valid, 1 something cannot be reached (--connect), 78 the "
        "configuration has a fault.",
    )
    check.add_argument(
        "--connect",
        action="store_true",
        help="then try each broker, server, login and the output, for 10 s at most",
    )
    once = commands.add_parser(
        "once",
        help="run for some seconds beside a running agent, and show the metrics",
        description="Runs the enabled modules for some seconds and writes their metrics to stdout, "
        "whatever `output` says; log and summary go to stderr. A running agent does not notice: "
        "messages are not taken from it, nothing is published, no login is renewed, the state "
        "directory is not written.",
        epilog="Exit codes: 0 a module has collected at least one metric, 1 none has, 78 the "
        "configuration cannot be used.",
    )
    once.add_argument(
        "--seconds", type=_seconds, default=10.0, metavar="N", help="how long (default: 10)"
    )
    status = commands.add_parser(
        "status",
        help="ask the running agent how it is: modules, brokers, output, devices, last values",
        epilog="Exit codes: 0 all is well; 1 a module has failed or is parked, a broker or the "
        "output is away, or the status page cannot listen; with --device, the device is silent or "
        "offline; 3 no agent answers; 78 no agent answers and the configuration cannot be used.",
    )
    status.add_argument("--module", metavar="NAME", help="show only this module")
    status.add_argument(
        "--device", metavar="NAME", help="show only this device, with all its values"
    )
    status.add_argument("--json", action="store_true", help="write one JSON object")
    status.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=2.0,
        metavar="N",
        help="ask again every N seconds (default: 2), until Ctrl-C",
    )
    tap = commands.add_parser(
        "tap",
        help="show the lines of the running agent as they go to its output",
        epilog="Ends at Ctrl-C, or with the agent. What is not read fast enough is skipped and "
        "counted, on stderr; the agent never waits. Exit codes: 0 the agent has ended, 3 no agent "
        "answers, 78 no agent answers and the configuration cannot be used.",
    )
    tap.add_argument("name", nargs="?", metavar="MODULE|DEVICE", help="only those of one of them")
    login = commands.add_parser(
        "login", help="log in to the service of a module, on a terminal: netatmo"
    )
    login.add_argument("module", metavar="MODULE", help="its name, such as netatmo")
    for command in (run, check, once, status, tap, login):
        _add_config(command, SUPPRESS)
    modules = commands.add_parser(
        "modules", help="list the modules that can be enabled, or the settings of one"
    )
    modules.add_argument("module", nargs="?", metavar="NAME", help="show its settings")
    sample = commands.add_parser(
        "sample-config",
        help="print a commented configuration, to begin with",
        description="Prints a whole configuration, every setting explained and commented out; or, "
        "for a file of your own, the tables of some modules.",
        epilog="Example: metrics-agent sample-config tasmota > metrics-agent.toml",
    )
    sample.add_argument(
        "modules",
        nargs="*",
        metavar="MODULE",
        help="print only the tables of these modules, enabled, with examples for what they require",
    )
    show = commands.add_parser(
        "demo", help="show the agent at work: a broker, some simulated devices and their metrics"
    )
    show.add_argument(
        "--seconds", type=_seconds, default=None, metavar="N", help="end after N seconds"
    )
    show.add_argument(
        "--lines",
        action="store_true",
        help="write the metrics to a terminal too, instead of a summary every 5 s",
    )
    return parser


def _add_config(parser: ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        default=default,
        help="the configuration; without it metrics-agent.toml or metrics-agent.json is looked for "
        "in ./ and ./config/ (only a file that you own, and never as root or when stdin is a pipe) "
        "and in /etc/metrics-agent/",
    )


def _seconds(text: str) -> float:
    from argparse import ArgumentTypeError

    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"got {text!r}, expected a number of seconds above 0")
    return seconds

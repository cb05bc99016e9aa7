"""`metrics-agent sample-config`: a configuration to begin with."""

from __future__ import annotations

from collections.abc import Sequence

from metrics_agent.commands.kinds import all_subjects, subject_or_complain
from metrics_agent.commands.stdout import say_lines
from metrics_agent.config.sample import Subject, sample_file, sample_modules
from metrics_agent.process.exit import ExitCode

__all__ = ["sample_config"]


def sample_config(names: Sequence[str]) -> int:
    """Write a commented configuration to stdout.

    Args:
        names: the modules to enable; none for a file with everything in it, all of it commented.

    Returns:
        0; 2 for an unknown name; 1 for a module that cannot be used.
    """
    if not names:
        say_lines(sample_file(all_subjects()).rstrip("\n"))
        return ExitCode.STOPPED
    found = [subject_or_complain(name) for name in dict.fromkeys(names)]
    subjects = [each for each in found if isinstance(each, Subject)]
    if len(subjects) < len(found):
        return max(each for each in found if isinstance(each, int))
    say_lines(sample_modules(subjects).rstrip("\n"))
    return ExitCode.STOPPED

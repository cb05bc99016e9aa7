"""Tests, laid out like the package they test."""

from contextlib import suppress

# `python -m tests.needs` runs before anything is installed.
with suppress(ImportError):
    from hypothesis import HealthCheck, settings

    # A machine that is busy with other tests must not fail one: time limits are trial's.
    settings.register_profile(
        "project", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("project")

"""Seeds that find faults which the simulation once found; the suite runs them again."""

from __future__ import annotations

from typing import Final

__all__ = ["SEEDS"]

SEEDS: Final[dict[int, str]] = {
    841488224: "an_overtaken_reload_starts_its_modules",
    215352652: "a_stop_right_after_a_reload_drops_what_was_set_aside",
    72663018: "a_writer_writes_to_a_number_that_it_has_closed",
    892888340: "a_page_that_was_cut_counts_as_success",
    560923474: "filters_are_given_up_while_announcements_may_be_missing",
    744558109: "a_silent_broker_costs_what_was_set_aside",
    663407524: "a_wait_until_a_date_counts_from_our_own_clock",
    305647505: "bad_lines_that_came_together_wait_long_for_the_next",
}
"""Seed, and the mutant that it finds: the fix of that fault reverted.

A change of the simulation changes what a seed does: look for another seed with the mutant then.
"""

"""Seeds that find faults which the simulation once found; the suite runs them again."""

from __future__ import annotations

from typing import Final

__all__ = ["SEEDS"]

SEEDS: Final[dict[int, str]] = {
    202702299: "a_stop_right_after_a_reload_drops_what_was_set_aside",
    207961452: "a_writer_writes_to_a_number_that_it_has_closed",
    208354294: "a_page_that_was_cut_counts_as_success",
    77759482: "filters_are_given_up_while_announcements_may_be_missing",
    608229808: "bad_lines_that_came_together_wait_long_for_the_next",
    756323754: "a_wait_until_a_date_counts_from_our_own_clock",
    192671175: "a_long_bad_line_waits_behind_a_413",
}
"""Seed, and the mutant that it finds: the fix of that fault reverted.

A change of the simulation changes what a seed does: look for another seed with the mutant then.
"""

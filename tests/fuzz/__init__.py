"""Fuzzing: mutated real payloads, streams, answers and files, with one oracle for all of them.

Whatever comes in, there is no exception but the documented ones, every line that comes out is line
protocol to an independent parser, nothing takes longer than a few seconds of CPU, and nothing ends
the process. `targets.TARGETS` names what is fuzzed. ``test_fuzz`` runs each of them for a moment,
the same cases every time; the long run is ``python -m tests.fuzz``.
"""

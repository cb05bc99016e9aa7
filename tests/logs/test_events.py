"""What an event says: level, module, text, kind."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.logs.events import LogEntry, read_event
from metrics_agent.logs.levels import Level, Levels


class Rude:
    """An object that raises when it is shown."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error

    __str__ = __repr__


class RudeError(Exception):
    """An exception that raises when it is shown."""

    def __repr__(self) -> str:
        raise SystemExit(3)

    __str__ = __repr__


def raised(error: BaseException, filename: str = "<test>") -> Failure:
    """Return a failure with a traceback through a file of that name."""
    code = compile("raise error", filename, "exec")
    try:
        exec(code, {"error": error})
    except BaseException:
        return Failure()
    raise AssertionError


class EventCase(SynchronousTestCase):
    """Reads events at debug level by default."""

    def read(self, levels: Levels | None = None, **event: Any) -> LogEntry | None:
        event = {"log_level": LogLevel.info, "log_namespace": "metrics_agent.x", **event}
        return read_event(event, levels or Levels("debug"))

    def entry(self, levels: Levels | None = None, **event: Any) -> LogEntry:
        entry = self.read(levels, **event)
        assert entry is not None
        return entry


class ModuleTest(EventCase):
    """Whose line an event is."""

    def test_every_line_names_a_module(self):
        for namespace, module in [
            ("metrics_agent.agent", "agent"),
            ("metrics_agent", "agent"),
            ("metrics_agent.modules.tasmota.service.Service", "tasmota"),
            ("metrics_agent.modules", "agent"),
            ("twisted.internet.tcp", "twisted"),
            ("log_legacy", "twisted"),
            ("oauthlib.common", "oauthlib"),
            ("__main__", "agent"),
            ("stdout", "agent"),
            ("stderr", "agent"),
            ("", "agent"),
            (None, "agent"),
        ]:
            self.assertEqual(self.entry(log_format="x", log_namespace=namespace).module, module)

    def test_the_key_of_the_event_wins(self):
        self.assertEqual(self.entry(log_format="x", module="demo:a").module, "demo:a")

    def test_an_error_of_twisted_is_the_module_s_whose_code_it_passed(self):
        failure = raised(ValueError("x"), "/a/metrics_agent/modules/tasmota/decode.py")
        entry = self.entry(
            log_namespace="twisted.internet.base",
            log_format="while handling timed call",
            log_failure=failure,
            log_level=LogLevel.critical,
        )
        self.assertEqual(entry.module, "tasmota")


class LevelTest(EventCase):
    """How much an event matters."""

    def test_critical_is_an_error(self):
        entry = self.entry(log_format="x", log_level=LogLevel.critical)
        self.assertIs(entry.level, Level.ERROR)

    def test_information_of_twisted_counts_as_debug_and_its_warnings_stay(self):
        for level, expected in [
            (LogLevel.info, Level.DEBUG),
            (LogLevel.warn, Level.WARN),
            (LogLevel.error, Level.ERROR),
        ]:
            for namespace in ("twisted.internet.protocol.Factory", "log_legacy"):
                entry = self.entry(log_format="x", log_namespace=namespace, log_level=level)
                self.assertIs(entry.level, expected)

    def test_what_is_below_the_module_s_level_is_nothing(self):
        levels = Levels("warn", {"demo": "debug"})
        self.assertIsNone(self.read(levels, log_format="x"))
        self.assertIsNotNone(self.read(levels, log_format="x", module="demo"))

    def test_an_event_without_level_is_information(self):
        self.assertIs(self.entry(log_format="x", log_level=None).level, Level.INFO)

    def test_a_stray_print_is_a_warning_that_says_so(self):
        entry = self.entry(log_namespace="stdout", log_format="{log_io}", log_io="hello")
        self.assertIs(entry.level, Level.WARN)
        self.assertEqual(entry.text, "Printed to stdout, which is for metrics: 'hello'")

    def test_an_empty_print_is_nothing(self):
        self.assertIsNone(self.read(log_namespace="stdout", log_format="{log_io}", log_io=""))

    def test_python_s_warnings_for_developers_are_debug_and_others_are_warnings(self):
        for category, expected in [
            ("exceptions.DeprecationWarning", Level.DEBUG),
            ("exceptions.UserWarning", Level.WARN),
        ]:
            entry = self.entry(
                log_namespace="twisted.logger._global",
                log_level=LogLevel.warn,
                log_format="{filename}:{lineno}: {category}: {warning}",
                warning="w",
                category=category,
                filename="f",
                lineno=1,
            )
            self.assertEqual((entry.level, entry.module), (expected, "python"))


class TextTest(EventCase):
    """The sentence of an event."""

    def test_fields_are_put_in(self):
        text = self.entry(log_format="Got {x!r} of {y[0]}.", x="a", y=[1]).text
        self.assertEqual(text, "Got 'a' of 1.")

    def test_fields_that_are_called_work_as_in_twisted_logger(self):
        self.assertEqual(self.entry(log_format="{x()}", x=lambda: "called").text, "called")

    def test_bytes_are_read_as_text(self):
        self.assertEqual(self.entry(log_format=b"caf\xc3\xa9 \xff").text, "caf\xe9 \\xff")

    def test_a_format_that_does_not_fit_says_so(self):
        for log_format in ("{missing}", "{", "{x:%d}", "{x.y}"):
            text = self.entry(log_format=log_format, x="a").text
            self.assertRegex(text, r"^A log line could not be formatted \(\w+\): ")
            self.assertTrue(text.endswith(log_format))

    def test_an_object_that_raises_when_shown_costs_the_text_only(self):
        for error in (ValueError("x"), SystemExit(1), RecursionError(), KeyboardInterrupt()):
            text = self.entry(log_format="{x!r}", x=Rude(error)).text
            self.assertIn(f"could not be formatted ({type(error).__name__})", text)

    def test_a_format_that_is_no_text_is_shown_somehow(self):
        self.assertIn("could not be formatted", self.entry(log_format=Rude(ValueError())).text)

    def test_nothing_to_tell_is_nothing(self):
        self.assertIsNone(self.read(log_format=None))
        self.assertIsNone(self.read(log_format=""))

    def test_a_text_without_end_is_cut(self):
        self.assertEqual(len(self.entry(log_format="{x}", x="a" * 1_000_000).text), 64 * 1024)

    def test_the_time_is_that_of_the_event(self):
        self.assertEqual(self.entry(log_format="x", log_time=12.5).time_s, 12.5)
        self.assertGreater(self.entry(log_format="x").time_s, 1e9)


class FailureTest(EventCase):
    """Events that carry an exception."""

    def failed(self, log_format: str, error: BaseException, **event: Any) -> LogEntry:
        event = {"log_level": LogLevel.critical, "log_failure": raised(error), **event}
        return self.entry(log_format=log_format, **event)

    def test_type_and_text_stand_at_the_end_of_the_line(self):
        for log_format in ("While decoding", "While decoding:", "While decoding."):
            text = self.failed(log_format, ValueError("x")).text
            self.assertEqual(text, "While decoding: ValueError('x')")

    def test_what_the_sentence_says_already_is_not_repeated(self):
        text = self.failed("Broken: {e!r}, skipped", ValueError("x"), e=ValueError("x")).text
        self.assertEqual(text, "Broken: ValueError('x'), skipped")

    def test_an_exception_that_cannot_be_shown_is_named(self):
        text = self.failed("Broken", RudeError()).text
        self.assertEqual(text, "Broken: RudeError (its text cannot be shown)")

    def test_an_exception_is_told_on_one_line(self):
        class LongError(Exception):
            def __repr__(self) -> str:
                return "a\nb"

        self.assertEqual(self.failed("Broken", LongError()).text, "Broken: a\\nb")

    def test_the_traceback_follows_where_the_module_s_level_is_debug(self):
        entry = self.failed("Broken", ValueError("x"), module="demo")
        self.assertIn("Traceback", entry.details)
        self.assertIn("ValueError: x", entry.details)

    def test_a_traceback_is_twisted_s_but_for_newlines_in_the_exception(self):
        error = ValueError("x\nE! [agent] FAKE\u202e")
        entry = self.failed("Broken", error, module="demo")
        expected = raised(ValueError("FAKE")).getTraceback().splitlines()
        self.assertEqual(entry.details.splitlines()[:-1], expected[:-1])
        last = entry.details.splitlines()[-1]
        self.assertEqual(last, r"builtins.ValueError: x\nE! [agent] FAKE\u202e")

    def test_what_twisted_s_old_log_says_of_an_exception_is_one_sentence(self):
        for why, text in (
            (None, "Unhandled error: ValueError('x')"),
            ("While decoding", "While decoding: ValueError('x')"),
        ):
            # As log.err makes it.
            entry = self.entry(
                log_namespace="log_legacy",
                log_level=LogLevel.critical,
                log_format="{log_text}",
                log_text=f"{why or 'Unhandled Error'}\nTraceback (most recent call last):\n...",
                failure=raised(ValueError("x")),
                isError=1,
                why=why,
            )
            self.assertEqual(entry.text, text)
            self.assertIn("Traceback", entry.details)

    def test_there_is_no_traceback_otherwise(self):
        levels = Levels("debug", {"demo": "info"})
        entry = self.failed("Broken", ValueError("x"), module="demo", levels=levels)
        self.assertEqual(entry.details, "")

    def test_a_failure_without_traceback_is_told(self):
        entry = self.failed("", ValueError("x"), log_failure=Failure(ValueError("x")))
        self.assertEqual(entry.text, "Unhandled error: ValueError('x')")

    def test_a_traceback_that_cannot_be_made_is_said(self):
        class Odd(Failure):
            @property
            def frames(self) -> Any:
                raise SystemExit

            @frames.setter
            def frames(self, _frames: Any) -> None:
                pass

        entry = self.failed("Broken", ValueError("x"), log_failure=Odd(ValueError("x")))
        self.assertEqual(entry.details, "The traceback cannot be shown (SystemExit).")

    def test_a_deferred_that_nobody_handled_makes_one_line(self):
        events: list[dict[str, Any]] = []
        defer_log = Logger("twisted.internet.defer", observer=events.append)
        deferred: Deferred[None] = fail(ValueError("x"))
        self.patch(__import__("twisted.internet.defer").internet.defer, "log", defer_log)
        del deferred
        self.assertEqual(len(events), 2)
        entries = [entry for event in events if (entry := read_event(event, Levels()))]
        self.assertEqual(
            [(entry.level, entry.module, entry.text) for entry in entries],
            [(Level.ERROR, "twisted", "Unhandled error in Deferred: ValueError('x')")],
        )

    def test_where_a_deferred_was_made_is_told_with_the_traceback(self):
        entry = self.failed(
            "(debug: {debugInfo})",
            ValueError("x"),
            log_namespace="twisted.internet.defer",
            debugInfo=" C: made here",
        )
        self.assertEqual(entry.text, "Unhandled error in Deferred: ValueError('x')")
        self.assertTrue(entry.details.startswith(" C: made here\n"))


class KindTest(EventCase):
    """What equal faults have in common."""

    def kind(self, **event: Any) -> Any:
        return self.entry(**event).kind

    def test_values_do_not_tell_kinds_apart(self):
        self.assertEqual(self.kind(log_format="{x}!", x=1), self.kind(log_format="{x}!", x=2))
        self.assertNotEqual(self.kind(log_format="{x}!", x=1), self.kind(log_format="{x}?", x=1))

    def test_fields_named_by_the_event_do(self):
        for fold in (("x",), ["x"]):
            kinds = {self.kind(log_format="{x}!", x=x, fold=fold) for x in (1, 2)}
            self.assertEqual(len(kinds), 2)

    def test_types_of_exceptions_do(self):
        kinds = {
            self.kind(log_format="x", log_failure=raised(error))
            for error in (ValueError(), TypeError(), ValueError())
        }
        self.assertEqual(len(kinds), 2)

    def test_a_line_that_must_be_seen_has_no_kind(self):
        self.assertIsNone(self.kind(log_format="x", fold=False))

    def test_lines_that_share_an_empty_format_are_told_apart_by_their_text(self):
        for namespace in ("log_legacy", "stderr"):
            kinds = {self.kind(log_format="{t}", t=t, log_namespace=namespace) for t in ("a", "b")}
            self.assertEqual(len(kinds), 2)

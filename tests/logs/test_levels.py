"""Which levels are written."""

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.logs.levels import Level, Levels


class LevelsTest(SynchronousTestCase):
    """The level of each module."""

    def test_the_default_holds_for_a_module_that_is_not_named(self):
        self.assertIs(Levels().of("tasmota"), Level.INFO)
        self.assertIs(Levels("warn", {"demo": "debug"}).of("tasmota"), Level.WARN)

    def test_a_module_has_its_own_level(self):
        self.assertIs(Levels("warn", {"demo": "debug"}).of("demo"), Level.DEBUG)

    def test_an_instance_follows_its_module_unless_it_is_named_itself(self):
        levels = Levels("warn", {"demo": "debug", "demo:b": "error"})
        self.assertIs(levels.of("demo:a"), Level.DEBUG)
        self.assertIs(levels.of("demo:b"), Level.ERROR)

    def test_the_lowest_level_is_that_of_any_module(self):
        self.assertIs(Levels("warn").lowest, Level.WARN)
        self.assertIs(Levels("warn", {"demo": "debug", "x": "error"}).lowest, Level.DEBUG)

    def test_another_name_is_refused_and_the_right_ones_are_named(self):
        with self.assertRaises(ValueError) as caught:
            Levels("info", {"demo": "loud"})
        self.assertEqual(
            str(caught.exception),
            "got log level 'loud', expected one of debug, info, warn, error",
        )

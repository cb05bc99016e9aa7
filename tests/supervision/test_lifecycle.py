"""The table of states against the words of the design."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.supervision.lifecycle import TRANSITIONS, Action, Event, State

WITH_INSTANCE = {State.STARTING, State.RUNNING, State.CLEARING, State.STOPPING}
WAITING = {State.BACKING_OFF, State.PARKED}


class TableTests(SynchronousTestCase):
    """What follows from what."""

    def after(self, *events: Event) -> State:
        state = State.NEW
        for event in events:
            state = TRANSITIONS.get((state, event), (state, Action.NOTHING))[0]
        return state

    def test_one_life(self) -> None:
        """Start, run, fail, wait, start again; too often: wait long, and start again."""
        life = (Event.START, Event.STARTED, Event.FAILED)
        self.assertIs(self.after(*life), State.CLEARING)
        self.assertIs(self.after(*life, Event.RETRY), State.BACKING_OFF)
        self.assertIs(self.after(*life, Event.PARK), State.PARKED)
        for wait in (Event.RETRY, Event.PARK):
            self.assertIs(self.after(*life, wait, Event.DUE), State.STARTING)
            self.assertIs(self.after(*life, wait, Event.DUE, Event.STARTED), State.RUNNING)

    def test_stop_ends_everything(self) -> None:
        """From every state a stop leads to STOPPED, by way of STOPPING where there is something."""
        for state in State:
            after = TRANSITIONS.get((state, Event.STOP), (state, Action.NOTHING))[0]
            if state in WITH_INSTANCE:
                self.assertIs(after, State.STOPPING, state)
                self.assertIs(TRANSITIONS[after, Event.CLEARED][0], State.STOPPED)
            else:
                self.assertIs(after, State.STOPPED, state)

    def test_nothing_leads_out_of_stopped(self) -> None:
        """A module that shall run again gets a new supervisor."""
        self.assertEqual([pair for pair in TRANSITIONS if pair[0] is State.STOPPED], [])

    def test_a_stop_is_final(self) -> None:
        """Nothing that comes while it stops leads anywhere but to STOPPED."""
        leading_on = {
            step[0] for (state, _), step in TRANSITIONS.items() if state is State.STOPPING
        }
        self.assertEqual(leading_on, {State.STOPPED})

    def test_a_failure_counts_once(self) -> None:
        """Only what starts or runs can fail: a second failure of the same instance is late."""
        can_fail = {state for state, event in TRANSITIONS if event is Event.FAILED}
        self.assertEqual(can_fail, {State.STARTING, State.RUNNING})

    def test_actions_fit_their_states(self) -> None:
        """An instance is made when there is none, and cleared when there is one."""
        for (before, event), (after, action) in TRANSITIONS.items():
            pair = (before, event)
            self.assertEqual(action is Action.LAUNCH, after is State.STARTING, pair)
            self.assertEqual(action is Action.WAIT, after in WAITING, pair)
            self.assertEqual(action is Action.LOG_STARTED, after is State.RUNNING, pair)
            if action is Action.CLEAR:
                self.assertIn(before, {State.STARTING, State.RUNNING}, pair)
            if before in WAITING and event is Event.STOP:
                self.assertIs(action, Action.CANCEL_WAIT)

    def test_every_state_is_reached(self) -> None:
        """No state is there for nothing."""
        reached, previous = {State.NEW}, set[State]()
        while reached != previous:
            previous = set(reached)
            reached |= {
                after for (before, _), (after, _) in TRANSITIONS.items() if before in reached
            }
        self.assertEqual(reached, set(State))

    def test_read_only(self) -> None:
        """No one changes the table by accident."""
        with self.assertRaises(TypeError):
            TRANSITIONS[State.STOPPED, Event.START] = (State.STARTING, Action.LAUNCH)  # type: ignore[index]


class NumberTests(SynchronousTestCase):
    """What dashboards rest on."""

    def test_codes_and_words(self) -> None:
        """The numbers and words of the self-metrics stay what they are."""
        self.assertEqual(
            {state.word: state.code for state in State},
            {
                "new": 0,
                "starting": 1,
                "running": 2,
                "clearing": 3,
                "backing_off": 3,
                "parked": 4,
                "stopping": 0,
                "stopped": 0,
            },
        )

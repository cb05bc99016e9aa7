"""Restart intensity: the words of the design, by example and against an oracle."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.supervision.policy import RestartDecision, RestartPolicy

WINDOW_S = 300.0
PARK_S = 600.0


def make(limit: int = 3, *, window_s: float = WINDOW_S, park_s: float = PARK_S) -> RestartPolicy:
    """Make a policy whose delays are 1, 2, 4 ... 60 seconds, without chance."""
    return RestartPolicy(
        limit=limit,
        window_s=window_s,
        backoff_min_s=1.0,
        backoff_max_s=60.0,
        park_s=park_s,
        random=lambda: 1.0,
    )


PARKED = RestartDecision(PARK_S, parked=True, restart=0)


class PolicyTests(SynchronousTestCase):
    """By example."""

    def test_limit_within_the_window(self) -> None:
        """As many restarts as the limit says, each after a longer wait; then it is parked."""
        policy = make(limit=3)
        self.assertEqual(
            [policy.failed(now_s) for now_s in (0.0, 10.0, 20.0, 30.0)],
            [
                RestartDecision(1.0, parked=False, restart=1),
                RestartDecision(2.0, parked=False, restart=2),
                RestartDecision(4.0, parked=False, restart=3),
                PARKED,
            ],
        )

    def test_old_restarts_are_forgotten(self) -> None:
        """What is longer ago than the window does not count any more."""
        policy = make(limit=3)
        for now_s in (0.0, 10.0, 20.0):
            policy.failed(now_s)
        self.assertFalse(policy.failed(WINDOW_S).parked)
        self.assertTrue(policy.failed(WINDOW_S + 5).parked)

    def test_recent(self) -> None:
        """Restarts within the window are counted also where there was no failure since."""
        policy = make(limit=3)
        policy.failed(0.0)
        policy.failed(10.0)
        self.assertEqual(
            [policy.recent(now_s) for now_s in (10.0, WINDOW_S, WINDOW_S + 10.0)], [2, 1, 0]
        )

    def test_edge_of_the_window(self) -> None:
        """A restart is forgotten when it is exactly as old as the window."""
        self.assertFalse(self.second_after(WINDOW_S).parked)
        self.assertTrue(self.second_after(WINDOW_S - 0.001).parked)

    def second_after(self, gap_s: float) -> RestartDecision:
        policy = make(limit=1)
        policy.failed(0.0)
        return policy.failed(gap_s)

    def test_healthy_time_resets_the_wait(self) -> None:
        """After a window without a failure the first wait is the short one again."""
        policy = make(limit=5)
        for now_s in (0.0, 1.0, 2.0):
            policy.failed(now_s)
        self.assertEqual(policy.failed(1000.0), RestartDecision(1.0, parked=False, restart=1))

    def test_fails_again_after_parking(self) -> None:
        """A parked module has one try; when that fails within a window it is parked at once."""
        policy = make(limit=1)
        policy.failed(0.0)
        self.assertEqual(policy.failed(1.0), PARKED)
        tried_s = 1.0 + PARK_S
        self.assertEqual(policy.failed(tried_s), PARKED)
        tried_s += PARK_S
        self.assertEqual(policy.failed(tried_s + WINDOW_S - 1), PARKED)

    def test_proves_itself_after_parking(self) -> None:
        """When it runs for a window after parking all is forgotten."""
        policy = make(limit=3)
        for now_s in (0.0, 1.0, 2.0, 3.0):
            verdict = policy.failed(now_s)
        self.assertEqual(verdict, PARKED)
        later_s = 3.0 + PARK_S + WINDOW_S
        self.assertEqual(
            [policy.failed(later_s + after_s) for after_s in (0.0, 1.0, 2.0, 3.0)],
            [
                RestartDecision(1.0, parked=False, restart=1),
                RestartDecision(2.0, parked=False, restart=2),
                RestartDecision(4.0, parked=False, restart=3),
                PARKED,
            ],
        )

    def test_no_limit(self) -> None:
        """With 0 it is restarted without end, with the longest wait in the end."""
        policy = make(limit=0)
        verdicts = [policy.failed(float(second)) for second in range(200)]
        self.assertFalse(any(verdict.parked for verdict in verdicts))
        self.assertEqual(verdicts[-1].delay_s, 60.0)


class Oracle:
    """The same as a list of all failures, judged by the words alone."""

    def __init__(self, limit: int, window_s: float, park_s: float) -> None:
        self.limit = limit
        self.window_s = window_s
        self.park_s = park_s
        self.restarts_s: list[float] = []
        self.retried_s: float | None = None

    def parks(self, now_s: float) -> bool:
        recent = [at_s for at_s in self.restarts_s if at_s > now_s - self.window_s]
        on_probation = self.retried_s is not None and now_s < self.retried_s + self.window_s
        if on_probation or (self.limit > 0 and len(recent) >= self.limit):
            self.restarts_s = []
            self.retried_s = now_s + self.park_s
            return True
        self.retried_s = None
        self.restarts_s.append(now_s)
        return False


lives = st.lists(
    # How long an instance lives: often not at all, sometimes around a window.
    st.one_of(st.just(0.0), st.floats(0, 5), st.floats(250, 350), st.floats(0, 2000)),
    max_size=40,
)


class AnyHistoryTests(SynchronousTestCase):
    """Over whatever a module may live through."""

    @given(limit=st.integers(0, 6), park_s=st.floats(0.1, 1000), lives=lives)
    def test_as_the_words_say(self, limit: int, park_s: float, lives: list[float]) -> None:
        """The verdicts are those of the oracle, the delays within their bounds."""
        policy = make(limit, park_s=park_s)
        oracle = Oracle(limit, WINDOW_S, park_s)
        now_s = 1000.0
        for lived_s in lives:
            now_s += lived_s
            verdict = policy.failed(now_s)
            self.assertEqual(verdict.parked, oracle.parks(now_s))
            if verdict.parked:
                self.assertEqual((verdict.delay_s, verdict.restart), (park_s, 0))
            else:
                self.assertTrue(0.5 <= verdict.delay_s <= 60.0, verdict)
            now_s += verdict.delay_s

    @given(limit=st.integers(1, 6), lives=lives)
    def test_never_more_than_the_limit(self, limit: int, lives: list[float]) -> None:
        """In no window are there more restarts than the limit allows."""
        policy = make(limit)
        now_s = 0.0
        restarts_s: list[float] = []
        for lived_s in lives:
            now_s += lived_s
            verdict = policy.failed(now_s)
            if not verdict.parked:
                restarts_s.append(now_s)
                within = [at_s for at_s in restarts_s if at_s > now_s - WINDOW_S]
                self.assertLessEqual(len(within), limit)
                self.assertEqual(verdict.restart, len(within))
            now_s += verdict.delay_s

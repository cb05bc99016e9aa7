"""The queue of batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.batch import Batch
from metrics_agent.output.queue import BatchQueue


def lines(*texts: str) -> list[Batch]:
    """One batch a text."""
    return [Batch(text.encode() + b"\n", 1) for text in texts]


def filled(limit: int, *texts: str) -> BatchQueue:
    """A queue that holds the texts as lines."""
    queue = BatchQueue(limit)
    for batch in lines(*texts):
        assert not queue.push(batch)
    return queue


class WritingTests(SynchronousTestCase):
    """What a writer gets, and how far it got."""

    def test_burst_is_one_chunk(self) -> None:
        """Small batches are joined in order."""
        self.assertEqual(filled(100, "a", "b", "c").peek(), b"a\nb\nc\n")

    def test_empty(self) -> None:
        """An empty queue has nothing to write."""
        self.assertEqual(BatchQueue(10).peek(), b"")

    def test_lone_batch_is_not_copied(self) -> None:
        """A single batch is handed over as it is."""
        queue, batch = BatchQueue(10), Batch(b"abc\n", 1)
        queue.push(batch)
        self.assertIs(queue.peek(), batch.data)

    def test_chunk_ends_with_a_whole_batch(self) -> None:
        """A chunk does not cut a batch that is not first."""
        self.assertEqual(filled(100, "aaa", "bbb", "ccc").peek(10), b"aaa\nbbb\n")

    def test_long_batch_is_cut_at_a_line(self) -> None:
        """A batch longer than a chunk is written in pieces of whole lines."""
        queue = BatchQueue(100)
        queue.push(Batch(b"aaa\nbbb\nccc\n", 3))
        self.assertEqual(queue.peek(9), b"aaa\nbbb\n")
        queue.advance(8)
        self.assertEqual((queue.peek(9), queue.queued_metrics, queue.in_line), (b"ccc\n", 3, False))
        queue.advance(4)
        self.assertEqual((queue.peek(), queue.queued_metrics, queue.in_flight_metrics), (b"", 0, 3))

    def test_a_long_line_is_not_cut(self) -> None:
        """A line longer than a chunk is handed over whole, alone; so is the rest of one."""
        queue = filled(100, "aaaaaaaa", "bbb")
        self.assertEqual(queue.peek(3), b"aaaaaaaa\n")
        queue.advance(1)
        self.assertEqual((queue.peek(3), queue.in_line), (b"aaaaaaa\n", True))
        queue.advance(8)
        self.assertEqual((queue.peek(3), queue.in_line), (b"bbb\n", False))

    def test_short_write(self) -> None:
        """After a short write the rest of the batch comes first."""
        queue = filled(100, "aaa", "bbb")
        queue.advance(2)
        self.assertEqual(
            (queue.peek(), queue.queued_bytes, queue.queued_metrics), (b"a\nbbb\n", 6, 2)
        )
        queue.advance(3)
        self.assertEqual((queue.peek(), queue.queued_bytes, queue.queued_metrics), (b"bb\n", 3, 1))

    def test_advance_too_far(self) -> None:
        """More than is queued cannot have been written."""
        queue = filled(100, "a")
        self.assertRaises(ValueError, queue.advance, 3)
        self.assertRaises(ValueError, queue.advance, -1)
        self.assertEqual(queue.queued_bytes, 2)


class BoundTests(SynchronousTestCase):
    """What happens when more comes than may wait."""

    def test_oldest_is_dropped(self) -> None:
        """Over the limit the oldest go, and only as many as needed."""
        queue = filled(8, "aaa", "bbb")
        dropped = queue.push(Batch(b"c\n", 1))
        self.assertEqual([batch.data for batch in dropped], [b"aaa\n"])
        self.assertEqual(
            (queue.peek(), queue.queued_bytes, queue.queued_metrics), (b"bbb\nc\n", 6, 2)
        )

    def test_exactly_full(self) -> None:
        """The limit itself is allowed."""
        self.assertEqual(filled(8, "aaa", "bbb").queued_bytes, 8)

    def test_partly_written_is_kept(self) -> None:
        """A batch of which the reader has the beginning is never dropped."""
        queue = filled(12, "aaa", "bbb", "ccc")
        queue.advance(1)
        dropped = queue.push(Batch(b"ddd\n", 1))
        self.assertEqual([batch.data for batch in dropped], [b"bbb\n"])
        self.assertEqual(queue.peek(), b"aa\nccc\nddd\n")

    def test_too_long_for_any_queue(self) -> None:
        """A batch over the limit is dropped itself and costs no other batch."""
        queue, long = filled(8, "aaa"), Batch(b"x" * 9, 3)
        self.assertEqual(list(queue.push(long)), [long])
        self.assertEqual((queue.peek(), queue.queued_metrics), (b"aaa\n", 1))


class TakingTests(SynchronousTestCase):
    """What the reader has taken."""

    def test_taken_by_position(self) -> None:
        """A batch is taken once its last byte is."""
        queue = filled(100, "aaa", "bbb")
        queue.advance(8)
        self.assertEqual(queue.take(5), [])
        self.assertEqual([batch.data for batch in queue.take(4)], [b"aaa\n"])
        self.assertEqual([batch.data for batch in queue.take(0)], [b"bbb\n"])
        self.assertEqual((queue.taken_metrics, queue.in_flight_metrics), (2, 0))

    def test_kept_metrics(self) -> None:
        """What senders keep counts until it is taken, in the queue and in flight."""
        queue = BatchQueue(100)
        for kept in (2, 0, 1):
            queue.push(Batch(b"a\nb\n", 2, kept=kept))
        self.assertEqual(queue.kept_metrics(), 3)
        queue.advance(8)
        self.assertEqual(queue.kept_metrics(), 3)
        queue.take(4)
        self.assertEqual(queue.kept_metrics(), 1)

    def test_partly_written_batch_is_not_taken(self) -> None:
        """Of a batch half written nothing is taken, even if the reader has that half."""
        queue = filled(100, "aaa", "bbb")
        queue.advance(6)
        self.assertEqual(len(queue.take(0)), 1)
        queue.advance(2)
        self.assertEqual(len(queue.take(0)), 1)

    def test_more_untaken_than_written(self) -> None:
        """A kernel that counts its overhead, or another writer's bytes, only delays."""
        queue = filled(100, "aaa")
        queue.advance(4)
        self.assertEqual(queue.take(768), [])

    def test_awaited(self) -> None:
        """Only batches in flight with a settle are awaited."""
        queue = BatchQueue(100)
        queue.push(Batch(b"a\n", 1, lambda _delivered: None))
        queue.push(Batch(b"b\n", 1))
        self.assertEqual(queue.awaited, 0)
        queue.advance(4)
        self.assertEqual(queue.awaited, 1)
        queue.take(0)
        self.assertEqual(queue.awaited, 0)

    def test_rewind(self) -> None:
        """After a lost connection everything not taken comes again, whole and in order."""
        queue = filled(100, "aaa", "bbb", "ccc", "ddd")
        queue.advance(10)
        queue.take(6)
        queue.rewind()
        self.assertEqual(queue.peek(), b"bbb\nccc\nddd\n")
        self.assertEqual(
            (queue.queued_bytes, queue.queued_metrics, queue.in_flight_metrics), (12, 3, 0)
        )
        queue.advance(12)
        self.assertEqual(len(queue.take(0)), 3)
        self.assertEqual(queue.taken_metrics, 4)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(1, 30)),
        st.tuples(st.just("write"), st.integers(1, 60)),
        st.tuples(st.just("take"), st.integers(0, 60)),
    ),
    max_size=60,
)


class PropertyTests(SynchronousTestCase):
    """What holds whatever the order of things."""

    @given(STEPS, st.integers(20, 80))
    def test_every_line_whole_once_in_order_or_dropped(self, steps, limit) -> None:
        """Whatever happens, each batch is either dropped or written whole, once and in order."""
        queue, stream, dropped, taken, pushed = BatchQueue(limit), b"", [], [], []
        for number, (step, size) in enumerate(steps):
            if step == "push":
                data = b"%03d" % number + b"." * (size // 2) + b"\n"
                pushed.append(Batch(data * (1 + size % 2), 1))
                dropped += queue.push(pushed[-1])
            elif step == "write":
                chunk = queue.peek(40)
                self.assertTrue(chunk.endswith(b"\n") or not queue.queued_bytes)
                queue.advance(len(chunk[:size]))
                stream += chunk[:size]
                self.assertEqual(queue.in_line, stream[-1:] not in {b"", b"\n"})
            else:
                taken += queue.take(size)
            self.assertLessEqual(queue.queued_bytes, limit)
            self.assertEqual(
                len(pushed),
                queue.queued_metrics + queue.in_flight_metrics + queue.taken_metrics + len(dropped),
            )
        while chunk := queue.peek():
            queue.advance(len(chunk))
            stream += chunk
        taken += queue.take(0)
        self.assertEqual(stream, b"".join(batch.data for batch in taken))
        self.assertEqual([b for b in pushed if b not in dropped], taken)
        self.assertEqual((queue.queued_bytes, queue.queued_metrics, queue.awaited), (0, 0, 0))

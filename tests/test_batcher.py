"""The micro-batcher's rules."""

import asyncio
import gc
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.errors import ModelStopped, Overloaded
from app.model.batcher import Batcher

pytestmark = pytest.mark.anyio


class Doubler:
    """Doubles numbers; can be held, and refuses negative ones."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.free = threading.Event()
        self.free.set()
        self.busy = threading.Event()

    def __call__(self, numbers: list[int]) -> list[int]:
        self.busy.set()
        self.batches.append(numbers)
        self.threads.add(threading.get_ident())
        assert self.free.wait(10)
        if any(number < 0 for number in numbers):
            raise ValueError("negative")
        return [2 * number for number in numbers if number != 13]


@contextmanager
def running(
    run: Doubler, max_batch: int = 4, max_queued: int = 8, max_seconds: float = math.inf
) -> Iterator[Batcher[int, int]]:
    batcher: Batcher[int, int] = Batcher(run, max_batch=max_batch, max_queued=max_queued, max_seconds=max_seconds)
    batcher.start()
    try:
        yield batcher
    finally:
        run.free.set()
        batcher.stop()


async def hold(run: Doubler, batcher: Batcher[int, int]) -> "asyncio.Task[list[int]]":
    """Occupy the batcher with one item until `run.free` is set."""
    run.free.clear()
    run.busy.clear()
    task = asyncio.create_task(batcher.submit([0]))
    assert await asyncio.to_thread(run.busy.wait, 10)
    return task


async def test_results_come_back_in_order_and_waiting_items_share_a_batch() -> None:
    run = Doubler()
    with running(run) as batcher:
        held = await hold(run, batcher)
        rest = [asyncio.create_task(batcher.submit([number, number + 1])) for number in (1, 3, 5)]
        await asyncio.sleep(0.05)
        run.free.set()
        assert await held == [0]
        assert await asyncio.gather(*rest) == [[2, 4], [6, 8], [10, 12]]
        assert run.batches == [[0], [1, 2, 3, 4], [5, 6]]
        assert len(run.threads) == 1
        assert threading.get_ident() not in run.threads


async def test_an_exception_fails_its_batch_only() -> None:
    run = Doubler()
    with running(run) as batcher:
        with pytest.raises(ValueError, match="negative"):
            await batcher.submit([1, -1])
        assert await batcher.submit([4]) == [8]


async def test_a_wrong_number_of_results_is_an_error() -> None:
    run = Doubler()
    with running(run) as batcher:
        with pytest.raises(RuntimeError, match="2 items gave 1 results"):
            await batcher.submit([1, 13])
        assert await batcher.submit([4]) == [8]


async def test_a_full_queue_refuses_at_once_and_queues_nothing() -> None:
    run = Doubler()
    with running(run, max_queued=2) as batcher:
        held = await hold(run, batcher)
        waiting = asyncio.create_task(batcher.submit([1]))
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded):
            await batcher.submit([2, 3])
        run.free.set()
        assert (await held, await waiting) == ([0], [2])
        assert run.batches == [[0], [1]]


async def test_callers_that_have_gone_are_skipped() -> None:
    run = Doubler()
    with running(run) as batcher:
        held = await hold(run, batcher)
        gone, stays = (asyncio.create_task(batcher.submit([number])) for number in (1, 2))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.sleep(0.05)
        run.free.set()
        assert (await held, await stays) == ([0], [4])
        assert run.batches == [[0], [2]]


async def test_a_caller_that_goes_while_its_items_are_worked_on_leaves_nothing_behind() -> None:
    complaints: list[dict[str, object]] = []

    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    run = Doubler()
    with running(run) as batcher:
        held = await hold(run, batcher)
        waiting = asyncio.create_task(batcher.submit([1, -1, -2]))
        await asyncio.sleep(0.05)
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held
        run.free.set()
        with pytest.raises(ValueError, match="negative"):
            await waiting
    gc.collect()
    assert complaints == []


def test_stopping_returns_when_the_last_work_is_done() -> None:
    run = Doubler()
    with running(run) as batcher:
        run.free.clear()
        answers: list[list[int]] = []
        caller = threading.Thread(target=lambda: answers.append(asyncio.run(batcher.submit([1]))))
        caller.start()
        assert run.busy.wait(10)
        stopping = threading.Thread(target=batcher.stop)
        stopping.start()
        stopping.join(0.3)
        assert stopping.is_alive()
        run.free.set()
        stopping.join(10)
        caller.join(10)
        assert not stopping.is_alive()
        assert answers == [[2]]
        assert "batcher" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.slow
def test_stopping_leaves_a_thread_behind_that_hangs() -> None:
    run = Doubler()
    with running(run, max_seconds=0.2) as batcher:
        run.free.clear()
        answers: list[BaseException | None] = []

        async def ask() -> None:
            try:
                await batcher.submit([1])
            except ModelStopped as error:
                answers.append(error)

        caller = threading.Thread(target=lambda: asyncio.run(ask()))
        caller.start()
        assert run.busy.wait(10)
        stopping = threading.Thread(target=batcher.stop)
        stopping.start()
        stopping.join(5)
        assert not stopping.is_alive()
        caller.join(10)
        assert len(answers) == 1


def test_it_can_be_started_once_more() -> None:
    run = Doubler()
    batcher: Batcher[int, int] = Batcher(run, max_batch=4, max_queued=8)
    assert not batcher.alive
    for _ in range(2):
        batcher.start()
        assert batcher.alive
        assert asyncio.run(batcher.submit([4])) == [8]
        batcher.stop()
        assert not batcher.alive


def test_the_size_of_each_batch_is_told() -> None:
    sizes: list[int] = []
    batcher: Batcher[int, int] = Batcher(Doubler(), max_batch=4, max_queued=8)
    batcher.start(sizes.append)
    assert asyncio.run(batcher.submit([1, 2, 3, 4, 5])) == [2, 4, 6, 8, 10]
    batcher.stop()
    assert sizes == [4, 1]


async def test_who_is_told_of_batches_and_fails_fails_that_batch_only() -> None:
    told: list[int] = []

    def tell(size: int) -> None:
        told.append(size)
        if len(told) == 1:
            raise ValueError("no room for figures")

    batcher: Batcher[int, int] = Batcher(Doubler(), max_batch=4, max_queued=8)
    batcher.start(tell)
    try:
        with pytest.raises(ValueError, match="no room for figures"):
            await asyncio.wait_for(batcher.submit([1]), 10)
        assert batcher.alive
        assert await asyncio.wait_for(batcher.submit([4]), 10) == [8]
    finally:
        batcher.stop()


async def test_results_that_cannot_be_read_fail_their_batch_only() -> None:
    def lazy(numbers: list[int]) -> Iterator[int]:
        return (10 // number for number in numbers)

    batcher: Batcher[int, int] = Batcher(lazy, max_batch=4, max_queued=8)
    batcher.start()
    try:
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(batcher.submit([1, 0]), 10)
        assert await asyncio.wait_for(batcher.submit([5]), 10) == [2]
    finally:
        batcher.stop()


async def test_stopping_finishes_what_was_admitted_and_refuses_the_rest() -> None:
    run = Doubler()
    with running(run) as batcher:
        held = await hold(run, batcher)
        waiting = asyncio.create_task(batcher.submit([1]))
        await asyncio.sleep(0.05)
        stopping = asyncio.create_task(asyncio.to_thread(batcher.stop))
        await asyncio.sleep(0.05)
        assert not batcher.alive
        with pytest.raises(ModelStopped):
            await batcher.submit([2])
        run.free.set()
        await stopping
        assert (await held, await waiting) == ([0], [2])


class Fatal(BaseException):
    """Ends the thread that it is raised in."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_dead_thread_fails_its_callers_and_those_in_the_queue_and_shows() -> None:
    busy, go = threading.Event(), threading.Event()

    def die(numbers: list[int]) -> list[int]:
        busy.set()
        assert go.wait(10)
        raise Fatal

    batcher: Batcher[int, int] = Batcher(die, max_batch=1, max_queued=8)
    batcher.start()
    callers = [asyncio.create_task(batcher.submit([number])) for number in range(3)]
    assert await asyncio.to_thread(busy.wait, 10)
    assert batcher.queued == 2
    go.set()
    answers = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 10)
    await asyncio.to_thread(batcher.stop)
    assert [type(answer) for answer in answers] == [ModelStopped] * 3
    assert batcher.queued == 0
    assert not batcher.alive

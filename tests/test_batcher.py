"""The micro-batcher's rules."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.batcher import Batcher
from app.errors import ModelStopped, Overloaded


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
def running(run: Doubler, max_batch: int = 4, max_queued: int = 8) -> Iterator[Batcher[int, int]]:
    batcher: Batcher[int, int] = Batcher(run, max_batch=max_batch, max_queued=max_queued)
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


def test_results_come_back_in_order_and_waiting_items_share_a_batch() -> None:
    async def scenario() -> None:
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

    asyncio.run(scenario())


def test_an_exception_fails_its_batch_only() -> None:
    async def scenario() -> None:
        run = Doubler()
        with running(run) as batcher:
            with pytest.raises(ValueError, match="negative"):
                await batcher.submit([1, -1])
            assert await batcher.submit([4]) == [8]

    asyncio.run(scenario())


def test_a_wrong_number_of_results_is_an_error() -> None:
    async def scenario() -> None:
        run = Doubler()
        with running(run) as batcher:
            with pytest.raises(RuntimeError, match="2 items gave 1 results"):
                await batcher.submit([1, 13])
            assert await batcher.submit([4]) == [8]

    asyncio.run(scenario())


def test_a_full_queue_refuses_at_once_and_queues_nothing() -> None:
    async def scenario() -> None:
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

    asyncio.run(scenario())


def test_callers_that_have_gone_are_skipped() -> None:
    async def scenario() -> None:
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

    asyncio.run(scenario())


def test_a_caller_that_goes_while_its_items_are_worked_on_leaves_nothing_behind() -> None:
    complaints: list[dict[str, object]] = []

    async def scenario() -> None:
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

    asyncio.run(scenario())
    gc.collect()
    assert complaints == []


def test_stopping_finishes_what_was_admitted_and_refuses_the_rest() -> None:
    async def scenario() -> None:
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

    asyncio.run(scenario())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_fails_its_callers_and_shows() -> None:
    class Fatal(BaseException):
        pass

    def die(numbers: list[int]) -> list[int]:
        raise Fatal

    async def scenario() -> None:
        batcher: Batcher[int, int] = Batcher(die, max_batch=4, max_queued=8)
        batcher.start()
        with pytest.raises(ModelStopped):
            await asyncio.wait_for(batcher.submit([1]), 10)
        await asyncio.to_thread(batcher.stop)
        assert not batcher.alive

    asyncio.run(scenario())


def test_a_call_runs_in_the_same_thread_between_batches() -> None:
    async def scenario() -> None:
        run = Doubler()
        with running(run, max_batch=1) as batcher:
            held = await hold(run, batcher)
            items = asyncio.create_task(batcher.submit([1, 2]))
            await asyncio.sleep(0)
            calls = [asyncio.create_task(batcher.call(lambda: (threading.get_ident(), len(run.batches)))) for _ in "ab"]
            await asyncio.sleep(0)
            run.free.set()
            (thread, first), (_, second) = [await call for call in calls]
            assert thread in run.threads
            assert (first, second) == (1, 2)  # Neither batches nor calls wait for all of the others.
            assert (await held, await items) == ([0], [2, 4])

    asyncio.run(scenario())


def test_calls_fail_alone_and_count_as_waiting() -> None:
    async def scenario() -> None:
        run = Doubler()
        with running(run, max_queued=2) as batcher:
            with pytest.raises(ZeroDivisionError):
                await batcher.call(lambda: 1 / 0)
            held = await hold(run, batcher)
            gone, waiting = (asyncio.create_task(batcher.call(lambda: run.batches.append([99]))) for _ in "ab")
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await batcher.call(dict)
            with pytest.raises(Overloaded):
                await batcher.submit([1])
            gone.cancel()
            await asyncio.wait([gone])
            run.free.set()
            await waiting
            assert await held == [0]
            assert run.batches.count([99]) == 1
        with pytest.raises(ModelStopped):
            await batcher.call(dict)

    asyncio.run(scenario())

"""Who works at the same time as whom, and how much is held meanwhile."""

import asyncio

import pytest

from app.concurrency import ByteBudget, FairShare
from app.errors import Overloaded

pytestmark = pytest.mark.anyio


class Crowd:
    """Tasks that take a slot each and keep it until they are let go."""

    def __init__(self, share: FairShare, size: int) -> None:
        self.at_work: list[int] = []
        self.free = [asyncio.Event() for _ in range(size)]
        self.tasks = [asyncio.create_task(self._work(share, number)) for number in range(size)]

    async def _work(self, share: FairShare, number: int) -> None:
        async with share.slot():
            self.at_work.append(number)
            await self.free[number].wait()
            self.at_work.remove(number)

    async def let_go(self, number: int) -> None:
        self.free[number].set()
        await settled()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_as_many_as_allowed_work_at_once_in_the_order_of_asking() -> None:
    crowd = Crowd(FairShare(lambda: 2), 4)
    await settled()
    assert crowd.at_work == [0, 1]
    await crowd.let_go(1)
    assert crowd.at_work == [0, 2]
    await crowd.let_go(0)
    await crowd.let_go(2)
    assert crowd.at_work == [3]
    await crowd.let_go(3)
    await asyncio.gather(*crowd.tasks)


async def test_the_number_may_change_meanwhile() -> None:
    most = 1
    crowd = Crowd(FairShare(lambda: most), 6)
    await settled()
    assert crowd.at_work == [0]
    most = 3
    await crowd.let_go(0)
    assert crowd.at_work == [1, 2, 3]
    most = 1
    await crowd.let_go(1)
    await crowd.let_go(2)
    assert crowd.at_work == [3]
    await crowd.let_go(3)
    assert crowd.at_work == [4]
    for task in crowd.tasks:
        task.cancel()


async def test_who_leaves_while_waiting_takes_no_slot_and_who_fails_gives_it_back() -> None:
    share = FairShare(lambda: 1)
    crowd = Crowd(share, 3)
    await settled()
    crowd.tasks[1].cancel()
    crowd.tasks[0].cancel()
    await settled()
    assert crowd.at_work[-1] == 2
    await crowd.let_go(2)
    with pytest.raises(ValueError, match="mine"):
        async with share.slot():
            raise ValueError("mine")
    async with asyncio.timeout(10), share.slot():
        pass


async def test_bytes_of_a_body_are_given_back_however_its_request_ends() -> None:
    budget = ByteBudget(100)
    with budget.hold() as take:
        take(60)
        with budget.hold() as another, pytest.raises(Overloaded):
            another(41)
        with budget.hold() as another:
            another(40)
    with pytest.raises(Overloaded), budget.hold() as take:  # noqa: PT012 - the last of three takes fails.
        take(30)
        take(70)
        take(1)
    with budget.hold() as take:
        take(100)

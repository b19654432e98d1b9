import asyncio

from whet.idle import idle, moved, outside


def test_idle_waits_for_what_is_outside() -> None:
    events: list[str] = []

    async def verifier() -> None:
        with outside():
            await asyncio.sleep(0.02)
            events.append("verified")

    async def main() -> None:
        task = asyncio.create_task(verifier())
        await idle()
        events.append("idle")
        await task

    asyncio.run(main())
    assert events == ["verified", "idle"]


def test_idle_waits_for_coroutines_that_still_move() -> None:
    waiting: list[int] = []

    async def nested(depth: int) -> None:
        if depth:
            await asyncio.gather(nested(depth - 1), nested(depth - 1))
        waiting.append(depth)
        moved()

    async def main() -> int:
        task = asyncio.gather(*(nested(4) for _ in range(8)))
        await idle()
        seen = len(waiting)
        await task
        return seen

    assert asyncio.run(main()) == 8 * 31


def test_every_event_loop_counts_for_itself() -> None:
    async def main() -> None:
        with outside():
            pass
        await idle()

    asyncio.run(main())
    asyncio.run(main())

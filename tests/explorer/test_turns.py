"""The order in which the explorer works."""

import asyncio
import threading

import pytest

from segnb.errors import SegnbError
from segnb.explorer import board
from segnb.explorer.board import Turns
from segnb.labels import STREET


def test_handlers_run_one_after_the_other_in_the_thread_of_the_cells():
    ran = []

    async def cell():
        turns = Turns()
        act = turns(lambda name: ran.append((name, threading.get_ident())))
        other = threading.Thread(target=act, args=("from another thread",))
        other.start()
        other.join()
        assert not ran
        act("from this one")
        await asyncio.sleep(0)

    asyncio.run(cell())
    assert ran == [(name, threading.get_ident()) for name in ("from this one", "from another thread")]


def test_without_a_loop_an_answer_is_there_at_once():
    turns, done = Turns(), []

    async def answer():
        done.append(await turns.compute(lambda: threading.get_ident()))

    turns.ask("a", answer())
    assert done == [threading.get_ident()] and turns.wait(threading.get_ident) != done[0]


def test_an_answer_is_cancelled_by_the_next_of_the_same_part_only():
    done = []

    async def answer(turns, name):
        await turns.compute(lambda: None)
        done.append(name)

    async def cell():
        turns = Turns()
        for asker, name in (("a", 1), ("b", 2), ("a", 3)):
            turns.ask(asker, answer(turns, name))
            await asyncio.sleep(0)
        await asyncio.wait(turns._asked.values())

    asyncio.run(cell())
    assert sorted(done) == [2, 3]


def test_a_bug_in_an_answer_reaches_the_log_of_the_kernel():
    logged = []

    async def answer():
        raise ValueError("a bug")

    async def cell():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: logged.append(context))
        Turns().ask("a", answer())
        await asyncio.sleep(0.01)

    asyncio.run(cell())
    assert "a bug" in str(logged[0]["exception"])
    with pytest.raises(ValueError, match="a bug"):
        Turns().ask("a", answer())


def test_work_that_fails_is_an_error_that_the_board_can_say():
    def full():
        raise MemoryError("no room")

    async def cell() -> str:
        with pytest.raises(SegnbError) as told:
            await Turns().compute(full)
        return str(told.value)

    text = "MemoryError: no room. Choose fewer networks, or restart the kernel."
    assert asyncio.run(cell()) == text


def test_the_browser_hears_from_the_kernel_when_it_is_its_turn():
    shown, sent = board.Board(STREET), []
    shown.send = sent.append
    shown.listen(Turns())
    for kind in ("there?", "other"):
        data = {"method": "custom", "content": {"kind": kind}}
        shown._handle_msg({"content": {"data": data}, "buffers": []})
    assert sent == [{"kind": "here"}]

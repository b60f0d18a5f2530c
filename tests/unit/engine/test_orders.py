"""Orders through a named pipe: written by other commands, read by the keeper."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from llmserve.engine import orders
from llmserve.engine.orders import Order


@pytest.mark.parametrize(
    "order", [Order(verb="stop", grace=2.5), Order(verb="restart", grace=0), Order(verb="stop", forget=True)]
)
def test_an_order_is_read_back(order: Order) -> None:
    assert orders.parse(str(order)) == order


@pytest.mark.parametrize("line", ["", "  ", "format /", "stopp 3"])
def test_other_lines_are_no_orders(line: str) -> None:
    assert orders.parse(line) is None


def test_a_grace_that_is_no_number_is_the_usual_one() -> None:
    assert orders.parse("stop soon") == Order(verb="stop", grace=orders.GRACE)
    assert orders.parse("stop -5") == Order(verb="stop", grace=0)


def test_orders_arrive_in_the_order_of_their_sending(tmp_path: Path) -> None:
    source, heard, first = orders.listen(tmp_path), [], threading.Event()

    def listen() -> None:
        for order in source:
            heard.append(order)
            first.set()
            if order.verb == "kill":
                return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    while not orders.send(tmp_path, Order(verb="stop", grace=1)):
        pass
    assert orders.send(tmp_path, Order(verb="detach"))
    assert orders.send(tmp_path, Order(verb="kill"))
    listener.join(60)
    assert [order.verb for order in heard] == ["stop", "kill"]
    assert (tmp_path / orders.PIPE).stat().st_mode & 0o777 == 0o600


def test_without_a_keeper_nobody_is_told(tmp_path: Path) -> None:
    assert not orders.send(tmp_path, Order(verb="stop"))
    (tmp_path / orders.PIPE).write_text("a file")
    assert not orders.send(tmp_path / "nowhere", Order(verb="stop"))


def test_a_plain_file_in_the_place_of_the_pipe_is_no_keeper(tmp_path: Path) -> None:
    (tmp_path / orders.PIPE).write_text("")
    assert not orders.send(tmp_path, Order(verb="stop"))

"""Messages that the sending thread writes by itself: what each is told, on a channel that is told what to answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from pika.exceptions import ChannelWrongStateError

from gomachinery_py.amqp_commands import NO_ROUTE, AMQPCommand, AMQPRefused, declare_queue, ensure, publish
from gomachinery_py.errors import ServiceUnavailable
from gomachinery_py.ports import amqp_publisher
from gomachinery_py.ports.amqp_publisher import Publisher

SECONDS = 20.0


class _Lane:
    """Does with each message what the test says, before its number is known."""

    def __init__(self) -> None:
        self.published = 0
        self.then: Callable[[int, dict[str, Any]], None] = lambda _tag, _fields: None
        self.is_closed = False

    def publish(self, fields: dict[str, Any]) -> int:
        if self.is_closed:
            raise ChannelWrongStateError("Channel is closed.")
        self.published += 1
        self.then(self.published, fields)
        return self.published

    def close(self) -> None:
        self.is_closed = True


class _Link:
    """Calls at once what is to be called on its thread, and opens a lane at once."""

    def __init__(self) -> None:
        self.is_open = True
        self.ensured = {"topology"}
        self.lanes: list[_Lane] = []

    def call(self, what: Callable[[], None]) -> None:
        what()

    def open_lane(self, owner: Any) -> None:
        self.lanes.append(_Lane())
        owner.opened(self.lanes[-1])

    def silent(self) -> ServiceUnavailable:
        return ServiceUnavailable("RabbitMQ is silent")


def task(body: bytes = b"task", key: str = "topology") -> list[AMQPCommand]:
    return [ensure(key, declare_queue("q")), publish("exchange", "q", body)]


@pytest.fixture
def link() -> _Link:
    return _Link()


@pytest.fixture
def publisher(link: _Link) -> Publisher:
    """One whose channel is open."""
    made = Publisher(link)  # type: ignore[arg-type]
    assert made.publish(task()) is None
    return made


def answered(publisher: Publisher, link: _Link, commands: list[AMQPCommand], *answers: Callable[[], None]) -> Any:
    """What the sender is told when these things happen once its message is written."""
    with ThreadPoolExecutor(1) as other:
        # On another thread, since the sender holds on to its number while it writes.
        link.lanes[-1].then = lambda _tag, _fields: other.submit(lambda: [answer() for answer in answers])  # type: ignore[assignment]
        return publisher.publish(commands)


@pytest.mark.parametrize(
    "commands",
    [
        task(key="unknown"),
        task()[1:],
        [*task(), *task()],
        [task()[0], declare_queue("q")],
    ],
)
def test_what_goes_the_whole_way(publisher: Publisher, link: _Link, commands: list[AMQPCommand]) -> None:
    """Anything but one message whose declarations are in place."""
    assert publisher.publish(commands) is None
    assert link.lanes[-1].published == 0


def test_the_first_message_goes_the_whole_way(link: _Link) -> None:
    """It asks for the channel; without a connection the next one asks again."""
    publisher = Publisher(link)  # type: ignore[arg-type]
    link.is_open = False
    assert publisher.publish(task()) is None
    link.is_open = True
    assert publisher.publish(task()) is None
    assert len(link.lanes) == 1
    assert answered(publisher, link, task(), lambda: publisher.confirmed(1, False, True)) == [None, None]


def test_a_confirm_of_several(publisher: Publisher, link: _Link) -> None:
    """One ack tells all that were sent before it."""
    with ThreadPoolExecutor(5) as others:
        sent = [others.submit(publisher.publish, task(b"%d" % at)) for at in range(4)]
        while link.lanes[-1].published < 4:
            pass
        others.submit(publisher.confirmed, 4, True, True)
        assert [each.result(SECONDS) for each in sent] == [[None, None]] * 4


def test_a_message_that_is_not_taken(publisher: Publisher, link: _Link) -> None:
    """A nack is an error of this message only."""
    told = answered(publisher, link, task(), lambda: publisher.confirmed(1, False, False))
    assert [type(each) for each in told] == [type(None), AMQPRefused]
    assert "is its queue full?" in str(told[1])
    assert link.lanes[-1].is_closed is False


def test_a_message_that_comes_back(publisher: Publisher, link: _Link) -> None:
    """It goes the whole way then, which declares again what was thought to be in place."""
    returned = SimpleNamespace(routing_key="q", reply_code=NO_ROUTE)
    told = answered(
        publisher,
        link,
        task(),
        lambda: publisher.returned(returned, b"task"),
        lambda: publisher.confirmed(1, False, True),
    )
    assert told is None
    assert link.ensured == set()


def test_another_message_that_comes_back(publisher: Publisher, link: _Link) -> None:
    """It is told by its body."""
    returned = SimpleNamespace(routing_key="q", reply_code=NO_ROUTE)
    told = answered(
        publisher,
        link,
        task(),
        lambda: publisher.returned(returned, b"other"),
        lambda: publisher.confirmed(1, False, True),
    )
    assert told == [None, None]


def test_a_lost_connection(publisher: Publisher, link: _Link) -> None:
    """Nobody knows whether the message was taken; the next one asks for a channel again."""
    lost = ServiceUnavailable("gone")
    assert answered(publisher, link, task(), lambda: publisher.lost(lost)) is lost
    assert publisher.publish(task()) is None
    assert len(link.lanes) == 2


def test_a_channel_that_is_closed(publisher: Publisher, link: _Link) -> None:
    """Nothing was written, so the message goes the whole way."""
    link.lanes[-1].is_closed = True
    assert publisher.publish(task()) is None


def test_silence(publisher: Publisher, link: _Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """The send fails, and the channel is given up with all that was sent on it."""
    monkeypatch.setattr(amqp_publisher, "ANSWER_SECONDS", 0.01)
    assert isinstance(publisher.publish(task()), ServiceUnavailable)
    assert link.lanes[-1].is_closed is True
    publisher.confirmed(1, False, True)
    assert publisher.publish(task()) is None
    assert len(link.lanes) == 2

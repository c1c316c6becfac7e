"""The replies of one pipeline, read from a connection of redis-py.

redis-py looks at each reply from many sides, which is most of what a large pipeline costs. Here they are taken from its
own parser as they are; where it has another parser than the one that we know, it reads them itself.
"""

from __future__ import annotations

from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

try:
    # How redis-py's parser says that a reply has not arrived yet.
    from redis._parsers.hiredis import NOT_ENOUGH_DATA
except ImportError:
    NOT_ENOUGH_DATA = None

__all__ = ["read_replies", "read_reply"]


def read_reply(connection: Any) -> Any:
    """The next reply; an error that the server answers is returned, one of the connection is raised."""
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def read_replies(connection: Any, replies: list[Any]) -> None:
    """As many replies as the list is long, put into it one by one; an error of the connection is raised."""
    at, count = 0, len(replies)
    parser = getattr(connection, "_parser", None)
    reader = getattr(parser, "_reader", None)
    if parser is None or reader is None or NOT_ENOUGH_DATA is None:
        while at < count:
            replies[at] = read_reply(connection)
            at += 1
        return
    take = reader.gets
    while at < count:
        reply = take()
        while reply is NOT_ENOUGH_DATA:
            parser.read_from_socket()
            reply = take()
        if isinstance(reply, RedisConnectionError):
            raise reply
        replies[at] = reply
        at += 1

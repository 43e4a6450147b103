"""What Redis replies, read strictly: whoever answers there may mean no good, and no reply ends a server.

For `redis_client.answer`, to which a `TypeError`, `ValueError`, `AttributeError` or `LookupError` of these
says that it is no reply of Redis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from almond_server.adapters.redis.change_parts import EntryId
    from almond_server.adapters.redis.codec import Fields


def place(entry_id: bytes | str) -> EntryId:
    """Read the id of an entry, `REVISION-PART`."""
    number, _, index = (entry_id if isinstance(entry_id, str) else entry_id.decode()).partition("-")
    return int(number), int(index)


def entries(reply: Any) -> list[tuple[str, Fields]]:
    """Read entries of one stream, each with its id."""
    return [_entry(entry_id, content) for entry_id, content in reply or ()]


def streams(reply: Any) -> list[tuple[str, str, Fields]]:
    """Read entries of several streams, each with the stream's name and its id."""
    return [(stream.decode(), *_entry(*entry)) for stream, several in reply or () for entry in several]


def fields(reply: Any) -> Fields:
    """Read the fields of an entry or a hash."""
    if not isinstance(reply, dict) or not all(type(each) is bytes for pair in reply.items() for each in pair):
        raise TypeError
    return reply


def strings(reply: Any) -> list[bytes]:
    """Read a list of strings, perhaps none."""
    found = list(reply or ())
    if not all(type(each) is bytes for each in found):
        raise TypeError
    return found


def page(reply: Any) -> tuple[int, list[bytes]]:
    """Read a page of keys, and where the next one begins."""
    cursor, keys = reply
    if type(cursor) is not int:
        raise TypeError
    return cursor, strings(keys)


def _entry(entry_id: bytes, content: Any) -> tuple[str, Fields]:
    place(entry_id)
    return entry_id.decode(), fields(content)

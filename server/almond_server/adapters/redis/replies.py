"""Reads the replies of Redis strictly: the server there may be hostile, and no reply may end this server.

These functions are for `client.answer`. They raise `TypeError`, `ValueError`, `AttributeError` or
`LookupError` for what no Redis replies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from almond_server.adapters.redis.change_parts import EntryId
    from almond_server.adapters.redis.codec import Fields


def entry_id(reply: bytes | str) -> EntryId:
    """Return the id of an entry, `REVISION-PART`, as numbers."""
    number, _, index = (reply if isinstance(reply, str) else reply.decode()).partition("-")
    return int(number), int(index)


def entries(reply: Any) -> list[tuple[str, Fields]]:
    """Return the entries of one stream, each with its id."""
    return [_entry(name, content) for name, content in reply or ()]


def streams(reply: Any) -> list[tuple[str, str, Fields]]:
    """Return the entries of several streams, each with the stream's name and its id."""
    return [(stream.decode(), *_entry(*entry)) for stream, several in reply or () for entry in several]


def fields(reply: Any) -> Fields:
    """Return the fields of an entry or a hash."""
    if not isinstance(reply, dict) or not all(type(each) is bytes for pair in reply.items() for each in pair):
        raise TypeError
    return reply


def strings(reply: Any) -> list[bytes]:
    """Return a list of strings, which may be empty."""
    found = list(reply or ())
    if not all(type(each) is bytes for each in found):
        raise TypeError
    return found


def page(reply: Any) -> tuple[int, list[bytes]]:
    """Return the cursor of the next page of keys, and the keys of this page."""
    cursor, keys = reply
    if type(cursor) is not int:
        raise TypeError
    return cursor, strings(keys)


def _entry(name: bytes, content: Any) -> tuple[str, Fields]:
    # Raises for a name that is no entry id.
    entry_id(name)
    return name.decode(), fields(content)

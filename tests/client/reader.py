"""Reads the lines on what a token may do as a person reads them, knowing nothing of how they were made."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from almond_core.masks import LETTERS, Mask, covers, parse_actions
from almond_core.model import Access

_ACTIONS: Final = dict(zip(("read", "write", "create", "delete", "control"), LETTERS, strict=True))
_QUOTED: Final = r"(\$'(?:\\.|[^\\'])*'|'[^']*'(?:\"'\"'[^']*')*|[^\s']+)"
_NOUN: Final = r"(app feature|machine feature|app|machine|volume|feature|cluster|mutation)"


@dataclass(frozen=True)
class Thing:
    """What a line is about. `value` is None for any; `of` is what contains it."""

    noun: str
    value: str | tuple[str, ...] | None
    of: Thing | None = None
    is_longer: bool = False

    @property
    def rank(self) -> tuple[int, int]:
        """How specific it is: of two things that contain an access, the one of higher rank is meant."""
        depth = 1 if self.of is None else self.of.rank[0] + 1
        return depth, 0 if self.value is None else 1 + 2 * len(self.value) + (not self.is_longer)


@dataclass(frozen=True)
class Line:
    """One line: a request for one of these sets of actions on the thing is permitted."""

    thing: Thing
    masks: tuple[Mask, ...]


def read(line: str) -> Line:
    """Read a line, such as `app web: read, write`."""
    thing, _, said = line.rpartition(": ")
    return Line(
        read_thing(thing), tuple(map(_mask, said.removesuffix("; not mixed in one request").split("; or ")))
    )


def _mask(words: str) -> Mask:
    if words == "no actions":
        return Mask(0)
    return parse_actions(
        "*" if words == "all actions" else "".join(_ACTIONS[each] for each in words.split(", "))
    )


def read_thing(text: str) -> Thing:
    """Read what a line is about."""
    if text == "the org itself":
        return Thing("org", None)
    if re.fullmatch("any( other)? storage object", text):
        return Thing("storage object", None)
    found = re.fullmatch(f"storage object {_QUOTED} and all below", text)
    if found is not None:
        return Thing("storage object", _unquote(found[1]))
    found = re.fullmatch(f"running any(?: other)? command on (machine {_QUOTED}.*|any .*)", text)
    if found is not None:
        return Thing("command", None, read_thing(found[1]))
    if text.startswith("running `"):
        return _command(text)
    found = re.fullmatch(f"(?:any(?: other)? {_NOUN}|{_NOUN} {_QUOTED})(?: (?:of|on) (.*))?", text)
    assert found is not None, text
    value = None if found[3] is None else _unquote(found[3])
    return Thing(found[1] or found[2], value, None if found[4] is None else read_thing(found[4]))


def _command(text: str) -> Thing:
    found = re.fullmatch(f"running `({_QUOTED}(?: {_QUOTED})*)`( with more words)? on (.*)", text)
    assert found is not None, text
    words = tuple(_unquote(each[0]) for each in re.finditer(_QUOTED, found[1]))
    return Thing("command", words, read_thing(found[5]), is_longer=bool(found[4]))


def _unquote(text: str) -> str:
    if text.startswith("$"):
        return str(ast.literal_eval(text[1:]))
    (word,) = shlex.split(text)
    return word


def permits(lines: Sequence[Line], access: Access) -> bool:
    """Return what the lines of one org say about an access: nothing but what they name is permitted."""
    about = [line for line in lines if _contains(line.thing, access, lines)]
    best = max(about, key=lambda line: line.thing.rank, default=None)
    return best is not None and any(covers(mask, access.actions) for mask in best.masks)


def _contains(thing: Thing, access: Access, lines: Sequence[Line]) -> bool:
    if thing.of is not None and not _contains(thing.of, access, lines):
        return False
    if thing.noun == "org":
        names = ("app", "feature", "storage_object")
        return all(getattr(access, name) is None for name in names)
    named = getattr(access, thing.noun.replace(" ", "_"))
    if named is None:
        return False
    if thing.value is None:
        siblings = [
            line.thing for line in lines if line.thing.noun == thing.noun and line.thing.of == thing.of
        ]
        return not any(_is_in(named, each) for each in siblings if each.value is not None)
    return _is_in(named, thing)


def _is_in(named: str | tuple[str, ...], thing: Thing) -> bool:
    if thing.is_longer:
        assert thing.value is not None
        return len(named) > len(thing.value) and named[: len(thing.value)] == thing.value
    if thing.noun == "storage object":
        return named == thing.value or str(named).startswith(f"{thing.value}/")
    return named == thing.value

"""Reads ids of records: TOKEN_ID, or TOKEN_ID/BRANCH_ID of a derived token."""

from __future__ import annotations

from almond_client.cli.arguments import token_text
from almond_client.cli.output.failures import Failure
from almond_core.errors import FieldError
from almond_core.model import token_id_bytes


def check_token_id(text: str) -> None:
    """Raise `Failure` (usage) unless `text` is a token id."""
    try:
        token_id_bytes(text)
    except FieldError as error:
        raise Failure.usage(f"{text[:64]!a} is {error.sentence}") from None


def split(flag: str, text: str) -> tuple[str, str]:
    """Return the token id and the branch id (may be empty); raises `Failure` (usage) that names the flag."""
    token_id, slash, branch_id = text.partition("/")
    if token_text.looks_secret(text) or (slash and len(branch_id) != len(token_id)):
        raise Failure.usage(f"{flag}: write it as ID/BRANCH, both of 22 characters")
    check_token_id(token_id)
    return token_id, branch_id

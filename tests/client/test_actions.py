"""Actions on the command line: letters and words become a mask, and anything else is an error."""

import pytest

from almond_client.cli.arguments.actions import mask_of
from almond_client.cli.exit_codes import USAGE
from almond_client.cli.output.failures import Failure
from almond_core.masks import spell


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("r", "r"),
        ("rw", "rw"),
        ("wr", "rw"),
        ("C", "C"),
        ("c", "c"),
        ("*", "*"),
        ("all", "*"),
        ("read", "r"),
        ("read,write", "rw"),
        ("control, create", "cC"),
        ("read,wd", "rwd"),
        ("rwcdC", "*"),
        ("read,read", "r"),
    ],
)
def test_letters_and_words_name_actions(text: str, mask: str) -> None:
    assert spell(mask_of(text)) == mask


@pytest.mark.parametrize(
    "text", ["", "x", "R", "rx", "rr", "Read", "read write", "read,", ",r", "**", "reed"]
)
def test_an_unknown_action_is_an_error_and_never_dropped(text: str) -> None:
    with pytest.raises(Failure, match="is not an action") as refused:
        mask_of(text)
    assert refused.value.exit_code == USAGE

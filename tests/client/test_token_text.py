"""The reader of token texts: what may surround a token, and what is refused in a sentence."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almond_client import token_text
from almond_client.token_text import MAX_BYTES, TokenTextError
from almond_core import header, wire
from almond_core.errors import TokenError
from client.samples import mint

TOKEN = mint()

SURROUNDED = {
    "alone": TOKEN,
    "white space": f"\n\t {TOKEN} \r\n",
    "byte order mark": f"\ufeff{TOKEN}",
    "Bearer": f"Bearer {TOKEN}",
    "BEARER and a tab": f"BEARER\t{TOKEN}\n",
    "macaroon": f"macaroon   {TOKEN}",
    "header": f"Authorization: Bearer {TOKEN}\r\n",
    "header in small letters, without a space": f"authorization:bearer {TOKEN}",
    "header without a scheme": f"Authorization: {TOKEN}",
    "double quotes": f'"{TOKEN}"\n',
    "single quotes": f"'{TOKEN}'",
    "quoted header": f"'Authorization: Bearer {TOKEN}'",
    "quotes after the scheme": f'Bearer "{TOKEN}"',
    "white space in quotes": f'" {TOKEN}\n"',
    "everything": f"\ufeff  'authorization: BEARER {TOKEN} '\r\n",
}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]


@pytest.mark.parametrize("text", SURROUNDED.values(), ids=SURROUNDED.keys())
def test_what_surrounds_a_token_is_left_out(text: str) -> None:
    assert token_text.read(text, "it") == TOKEN
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert token_text.read(text.encode(encoding), "it") == TOKEN


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_file_in_any_encoding_that_programs_write_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "web.token"
    path.write_bytes(f"{TOKEN}\r\n".encode(encoding))
    assert token_text.read_file(path) == TOKEN


def test_the_other_byte_order_is_read_too() -> None:
    assert token_text.read(b"\xfe\xff" + TOKEN.encode("utf-16-be"), "it") == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        f"Bearer Bearer {TOKEN}",
        f"Basic {TOKEN}",
        f"\"'{TOKEN}'\"",
        f'"{TOKEN}',
        f"{TOKEN}'",
        f"'{TOKEN}\"",
        f"X-Authorization: {TOKEN}",
        f"{TOKEN}\n{TOKEN}",
        f"{TOKEN[:10]} {TOKEN[10:]}",
        f"{TOKEN[:10]}\ufeff{TOKEN[10:]}",
        TOKEN.upper(),
        f"\u200b{TOKEN}",
        "alm1_",
        "hello",
    ],
    ids=lambda text: ascii(text.replace(TOKEN, "TOKEN"))[:24],
)
def test_any_other_text_is_left_to_the_strict_decoder(text: str) -> None:
    with pytest.raises(TokenError):
        wire.decode(token_text.read(text, "it"))


@pytest.mark.parametrize("text", [f"Bearer {TOKEN},{TOKEN}", f"'{TOKEN}, {TOKEN}'"], ids=["header", "quoted"])
def test_several_tokens_stay_alternatives(text: str) -> None:
    assert header.present(token_text.read(text, "it")).texts == (TOKEN, TOKEN)


def test_a_text_with_two_schemes_is_refused_by_the_header_too() -> None:
    texts = header.present(token_text.read(f"Bearer Bearer {TOKEN}", "it")).texts
    assert texts == (f"Bearer {TOKEN}",)


REFUSED = [
    (b"", "is empty"),
    (b" \r\n", "is empty"),
    (b"\xef\xbb\xbf", "is empty"),
    (b"\xff\xfe", "is empty"),
    (b"''", "is empty"),
    (b"Bearer", "is empty"),
    (b"Authorization: Bearer \n", "is empty"),
    (b'{"token": "alm1_cret"}', "is JSON"),
    (b"\xff\xfea", "is binary"),
    (b"\x1f\x8b\x08\x00alm1_cret", "is binary"),
    (b"alm1_cret\xff", "is binary"),
    (b"alm1_cret\0", "is binary"),
    (b"\xff\xfe\x00\xd8", "is binary"),
    (b"\0" * 10, "is binary"),
    (b"alm1_cret" + b" " * MAX_BYTES, "more than 65,536 bytes"),
    (b"\xff" * (MAX_BYTES + 1), "more than 65,536 bytes"),
]


@pytest.mark.parametrize(("content", "sentence"), REFUSED, ids=[f"{each[:12]!a}" for each, _ in REFUSED])
def test_what_is_no_token_is_refused_in_a_sentence_without_its_content(content: bytes, sentence: str) -> None:
    for given_ in (content, content.decode("utf-8", "surrogateescape")):
        with pytest.raises(TokenTextError) as refused:
            token_text.read(given_, "the thing")
        assert str(refused.value).startswith("the thing ")
        assert sentence in refused.value.sentence or content.startswith(b"\xff\xfe")
        assert "cret" not in repr(refused.value)
    with pytest.raises(TokenTextError, match=sentence):
        token_text.read(content, "the thing")


def test_the_largest_text_is_read() -> None:
    text = b"alm1_" + b"x" * (MAX_BYTES - 5)
    assert token_text.read(text, "it") == text.decode()


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, why in (
        (tmp_path, "Is a directory"),
        (tmp_path / "none", "No such file or directory"),
        (tmp_path / "loop", "Too many levels of symbolic links"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        with pytest.raises(TokenTextError) as refused:
            token_text.read_file(path)
        assert refused.value.sentence == f"{path}: {why}"


def test_an_endless_file_is_refused_after_its_first_bytes() -> None:
    with pytest.raises(TokenTextError, match="/dev/zero has more than 65,536 bytes"):
        token_text.read_file(Path("/dev/zero"))


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_input_is_a_text_that_utf_8_can_carry_or_a_refusal(content: bytes | str) -> None:
    try:
        text = token_text.read(content, "it")
    except TokenTextError:
        return
    assert text == text.strip() != ""
    assert "\0" not in text
    text.encode()


@given(st.text(max_size=50))
def test_the_reader_adds_nothing_to_a_text(content: str) -> None:
    try:
        text = token_text.read(content, "it")
    except TokenTextError:
        return
    assert text in content


@given(st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=40))
def test_utf_16_reads_as_utf_8_does(content: str) -> None:
    def outcome(raw: bytes) -> str:
        try:
            return token_text.read(raw, "it")
        except TokenTextError as error:
            return error.sentence

    assert outcome(content.encode("utf-16")) == outcome(content.encode())
    assert outcome(content.encode("utf-16-le")) == outcome(content.encode())

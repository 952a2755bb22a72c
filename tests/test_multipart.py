"""Multipart bodies as clients write them, and broken ones."""

import pytest

from app.errors import MalformedBody
from app.http.multipart import MAX_HEAD_BYTES, MAX_PARTS, Part, boundary, parts

HEAD = b'Content-Disposition: form-data; name="file"; filename="a.jpg"'
PART = b"--b\r\n" + HEAD + b"\r\n\r\npicture\r\n"
WHOLE = PART + b"--b--\r\n"
EXPECTED = [Part("file", "a.jpg", b"picture")]


def read(body: bytes, named: bytes = b"b") -> list[Part]:
    return parts(bytearray(body), named)


@pytest.mark.parametrize(
    "body",
    [
        WHOLE,
        WHOLE[:-2],
        WHOLE + b"text after it\r\n--b\r\n",
        b"\r\n" + WHOLE,
        b"This is a multi-part message in MIME format.\r\n" + WHOLE,
        b"One line.\r\n--bc\r\nAnother.\r\n" + WHOLE,
        WHOLE.replace(b"--b\r\n", b"--b \t\r\n"),
        WHOLE.replace(b"; filename", b";\r\n\tfilename"),
        WHOLE.replace(
            b"Content-Disposition: form-data", b"Content-Type: image/jpeg\r\ncontent-disposition : form-data"
        ),
        WHOLE.replace(b"Disposition: ", b"Disposition:"),
    ],
)
def test_the_part_of_a_body_is_read(body: bytes) -> None:
    assert read(body) == EXPECTED


@pytest.mark.parametrize(
    "content", [b"", b"\r\n", b"\r", b"a\r\n\r\nb", b"\r\n--", b"x--b--", b"\r\n--bb\r\n", b"\0\xff"]
)
def test_every_byte_of_a_part_is_kept(content: bytes) -> None:
    body = WHOLE.replace(b"picture", content)
    assert read(body + PART) == [Part("file", "a.jpg", content)]
    assert [part.content for part in read(PART + body)] == [b"picture", content]


def test_a_part_may_have_no_line_of_its_own() -> None:
    assert read(b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n--b--') == [Part("a", None, b"")]


def test_names_are_utf_8_and_what_is_not_is_replaced() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="\xc3\xa4"; filename="\xff \\"x\\".jpg"\r\n\r\n\r\n--b--'
    assert read(body) == [Part("\u00e4", '\ufffd "x".jpg', b"")]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (PART, "ends before its last boundary"),
        (WHOLE[:-3], "ends before its last boundary"),
        (PART[:40], "ends before its last boundary"),
        (b"", 'No line of the body is its boundary, "--b"'),
        (WHOLE.replace(b"--b", b"--c"), 'No line of the body is its boundary, "--b"'),
        (WHOLE.replace(b"\r\n", b"\n"), "must end with CR LF"),
        (b"--b\r\nno head\r\n--b--\r\n", "no blank line after its head"),
        (b"--b\r\n" + b"a: b\r\n" * MAX_HEAD_BYTES + b"\r\n\r\n--b--", "no blank line after its head"),
        (b"--b\r\n\r\nx\r\n--b--\r\n", "A part has no name"),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "A part has no name"),
        (PART * (MAX_PARTS + 1) + b"--b--", f"more than {MAX_PARTS} parts"),
        (b"\r\n--bb" * (MAX_PARTS + 1) + WHOLE, f"more than {MAX_PARTS} parts"),
    ],
)
def test_a_broken_body_is_refused_in_words(body: bytes, words: str) -> None:
    with pytest.raises(MalformedBody, match=words):
        read(body)


def test_as_many_parts_are_read_as_are_allowed() -> None:
    assert read(PART * MAX_PARTS + b"--b--") == EXPECTED * MAX_PARTS


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("b", b"b"),
        ('"a b;c"', b"a b;c"),
        ("*****", b"*****"),
        ("----------ThIs_Is_tHe_bouNdaRY_$", b"----------ThIs_Is_tHe_bouNdaRY_$"),
        ("a@b", b"a@b"),
        ("{c0ffee}", b"{c0ffee}"),
        ('b"', b'b"'),
        ("\u00e9", b"\xe9"),
    ],
)
def test_a_boundary_may_have_any_characters(written: str, named: bytes) -> None:
    assert boundary(f"multipart/form-data; boundary={written}") == named
    assert read(WHOLE.replace(b"--b", b"--" + named), named) == EXPECTED


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data;charset=utf-8"]
)
def test_a_content_type_without_a_boundary_is_refused_with_a_hint(kind: str) -> None:
    with pytest.raises(MalformedBody, match="names its boundary"):
        boundary(kind)

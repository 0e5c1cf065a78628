"""Bytes from outside are data: JSON, files and text that others wrote, right or wrong."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.foreign import files, jsontext
from dataplane.foreign.errors import ForeignError

WRONG = [
    ("not JSON", "{'a': 1}", "it is not JSON: .*, at line 1, column 2"),
    ("cut off", '{"a": [1,\n2', "it is not JSON: .*, at line 2, column 2"),
    ("no number", '{"a": NaN}', "NaN is no JSON number"),
    ("an infinity", '{"a": -Infinity}', "-Infinity is no JSON number"),
    ("beyond a float", '{"a": 1e400}', "1e400 is larger than a number can be"),
    ("a lone surrogate", r'{"Pool": [{"name": "\ud800"}]}', r"no Unicode: a lone surrogate, at Pool\[0\].name"),
    ("a surrogate as a name", r'{"Pool": [{"\udfff": 1}]}', r"lone surrogate, at Pool\[0\]"),
    ("a surrogate alone", r'"\ud800"', "lone surrogate"),
    ("deep", '{"Pool": ' + "[" * 70 + "]" * 70 + "}", r"nested deeper than 64 levels, at Pool\[0\]\[0\]"),
    ("very deep", "[" * 100_000, "nested deeper than 64 levels|it is not JSON"),
    ("no UTF-8", b'{"a": "\xff"}', "it is not UTF-8, at byte 7"),
]


@pytest.mark.parametrize(("text", "said"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_json_is_refused_with_its_place(text: str | bytes, said: str) -> None:
    with pytest.raises(ForeignError, match=said):
        jsontext.loads(text)


@pytest.mark.parametrize("text", ["\ufeff[1]", b"\xef\xbb\xbf[1]", "[1]", b"[1]"])
def test_a_byte_order_mark_is_no_part_of_it(text: str | bytes) -> None:
    assert jsontext.loads(text) == [1]


SCALARS = st.none() | st.booleans() | st.integers() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_right_json_is_what_it_was(value: Any) -> None:
    assert jsontext.loads(json.dumps(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_this_error(data: bytes) -> None:
    try:
        jsontext.loads(data)
    except ForeignError:
        pass


def test_only_regular_files_of_a_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(bytes(2 << 20))
    for name, said in (("pipe", "no regular file"), (".", "is a directory"), ("large", "larger than 1 MiB")):
        with pytest.raises(ForeignError, match=said):
            files.read(tmp_path / name, largest=1 << 20)
    with pytest.raises(ForeignError, match="no regular file"):
        files.read(Path("/dev/zero"))


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "export").write_text("old")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            files.write(tmp_path / "export", bytes(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert (tmp_path / "export").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("old")
    (tmp_path / "kept").chmod(0o640)
    (tmp_path / "link").symlink_to("kept")
    files.write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "kept").read_bytes() == b"new"
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o640
    files.write(tmp_path / "kept", b"secret", mode=0o600)
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o600


def test_a_device_is_written_to(tmp_path: Path) -> None:
    files.write(Path("/dev/null"), b"x")
    assert not Path("/dev/null").is_file()

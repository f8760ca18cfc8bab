"""Shard files: torn ones, foreign ones, shared ones."""

import random
import warnings
import zlib

import pytest

from steinflow.executors import store
from steinflow.executors.locks import locked
from steinflow.executors.store import HEADER, MAGIC, PREFIX, Writer, read
from steinflow.io.files import DamageWarning, StudyError


def filled(folder, count=5):
    writer = Writer(folder)
    for k in range(count):
        writer.append(f"cell-{k}", b"content %d\nsecond line" % k)
    writer.close()
    return writer.path


def expected(count=5):
    return {f"cell-{k}": b"content %d\nsecond line" % k for k in range(count)}


def test_what_is_appended_is_read(tmp_path):
    filled(tmp_path)
    assert read(tmp_path) == expected() and read(tmp_path / "not there") == {}


def test_a_torn_file_gives_its_whole_records_and_is_gone_on_with(tmp_path):
    path = filled(tmp_path)
    whole = path.read_bytes()
    size = (len(whole) - len(HEADER)) // 5
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert read(tmp_path) == expected(max(0, cut - len(HEADER)) // size)
    for cut in random.Random(0).sample(range(len(whole)), 20):
        path.write_bytes(whole[:cut])
        before = read(tmp_path)
        writer = Writer(tmp_path)
        assert writer.path == path
        writer.append("new", b"")
        writer.close()
        assert read(tmp_path) == before | {"new": b""}


def test_a_changed_byte_is_never_read_as_good(tmp_path):
    """And costs the record that it is in, no other."""
    path = filled(tmp_path)
    whole = path.read_bytes()
    size = (len(whole) - len(HEADER)) // 5
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        hit = (at - len(HEADER)) // size if at >= len(HEADER) else None
        wanted = {k: v for k, v in expected().items() if k != f"cell-{hit}"}
        if len(MAGIC) <= at < len(HEADER):  # as if of another version
            with pytest.raises(StudyError, match="later"):
                read(tmp_path)
            continue
        cut = hit == 4 and at < len(HEADER) + 4 * size + 8  # seems longer than the file
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert read(tmp_path) == wanted, at
        assert cut or [w.category for w in caught] == [DamageWarning]
        writer = Writer(tmp_path)
        writer.append("new", b"")
        writer.close()
        with warnings.catch_warnings(action="ignore"):
            assert read(tmp_path) == wanted | {"new": b""}


def test_files_are_shared_by_nobody_and_duplicates_kept_once(tmp_path):
    first, second = Writer(tmp_path), Writer(tmp_path)
    assert first.path != second.path and locked(first.path) is None
    for writer in (first, second):
        writer.append("same", b"1")
    second.append("other", b"2")
    assert read(tmp_path) == {"same": b"1", "other": b"2"}
    first.close()
    second.close()
    third = Writer(tmp_path)
    assert third.path in (first.path, second.path)
    third.close()


def test_a_full_disk_leaves_the_file_whole(tmp_path, monkeypatch):
    writer = Writer(tmp_path)
    writer.append("one", b"1")

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            writer.append("two", b"2")
    assert read(tmp_path) == {"one": b"1"}
    writer.append("three", b"3")
    assert set(read(tmp_path)) == {"one", "three"}
    writer.close()


def test_a_later_format_is_refused_with_a_sentence(tmp_path):
    body = b"cell\n1"
    record = PREFIX.pack(len(body), zlib.crc32(body)) + body
    (tmp_path / "a.shard").write_bytes(HEADER.replace(b"1", b"2") + record)
    with pytest.raises(StudyError, match="later steinflow"):
        read(tmp_path)

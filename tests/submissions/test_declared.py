"""What was signed for, against what comes: whichever order, whatever is missing."""

import hashlib
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import (
    FileDigestMismatchError,
    FileDigestRequiredError,
    FileNotDeclaredError,
    ServiceError,
)
from app.submissions.file_intake import DeclaredFiles
from app.submissions.message import DeclaredFile

File = tuple[str, bytes]  # its name and its bytes


def listed(files: Sequence[File]) -> list[DeclaredFile]:
    return [
        DeclaredFile(name=name, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
        for name, content in files
    ]


def come(declared: DeclaredFiles, files: Sequence[File]) -> list[type[ServiceError]]:
    """What is wrong with the files that come, one after the other."""
    faults: list[type[ServiceError]] = []
    for name, content in files:
        try:
            declared.expect(name)
            declared.check(name, hashlib.sha256(content).digest(), len(content))
        except ServiceError as fault:
            faults.append(type(fault))
    return faults


def test_without_a_list_any_file_may_come() -> None:
    declared = DeclaredFiles(None, required=False)
    assert come(declared, [("a", b"1"), ("a", b"2")]) == []
    assert declared.missing() == []


def test_where_a_list_is_required_no_file_may_come_without_one() -> None:
    assert come(DeclaredFiles(None, required=True), [("a", b"1")]) == [FileDigestRequiredError]


def test_an_empty_list_is_a_list() -> None:
    assert come(DeclaredFiles([], required=True), [("a", b"1")]) == [FileNotDeclaredError]


def test_a_file_that_was_refused_for_its_type_did_come() -> None:
    declared = DeclaredFiles(listed([("a", b"1"), ("b", b"2")]), required=False)
    declared.expect("a")  # and its bytes were refused
    assert declared.missing() == ["b"]


def test_the_digest_of_another_size_does_not_fit() -> None:
    [file] = listed([("a", b"1")])
    declared = DeclaredFiles([file.model_copy(update={"size": 2})], required=False)
    assert come(declared, [("a", b"1")]) == [FileDigestMismatchError]


FILES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([b"1", b"2", b"3"])), max_size=5)


@given(FILES, st.randoms(use_true_random=False))
def test_files_may_come_in_any_order(files: list[File], random: Random) -> None:
    declared = DeclaredFiles(listed(files), required=True)
    random.shuffle(files)
    assert come(declared, files) == []
    assert declared.missing() == []


@given(FILES, FILES)
def test_only_what_was_listed_passes(files: list[File], sent: list[File]) -> None:
    declared = DeclaredFiles(listed(files), required=True)
    faults = come(declared, sent)
    contents_are_those = sorted(content for _, content in files) == sorted(c for _, c in sent)
    names = {name for name, _ in files}
    names_fit = all(file in files or file[0] not in names for file in sent)
    assert (not faults and not declared.missing()) == (contents_are_those and names_fit)


def test_r33_another_spelling_of_a_name_is_found_by_its_content() -> None:
    declared = DeclaredFiles(listed([("r\xe9sum\xe9.txt", b"1"), ("b", b"2")]), required=True)
    assert come(declared, [("re\u0301sume\u0301.txt", b"1"), ("b", b"2")]) == []
    assert declared.missing() == []


@pytest.mark.parametrize("sent", [[("a", b"1")], [("a", b"2")]])
def test_of_two_files_of_one_name_one_is_missing(sent: list[File]) -> None:
    declared = DeclaredFiles(listed([("a", b"1"), ("a", b"2")]), required=False)
    assert come(declared, sent) == []
    assert declared.missing() == ["a"]

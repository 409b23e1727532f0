"""Keys that are there twice, and keys that are not among others, over many runs and parts."""

from __future__ import annotations

import errno
import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async.bulk import key_hashes as module
from amili_arm_async.bulk.key_hashes import KeyHashes, absent, repeats

small = st.lists(
    st.none() | st.sampled_from(["1", "2", "Å", "å", "ß", "SS", "a\0b", "\0", "3 "]) | st.text(max_size=2).map(lambda text: text or None)
)


def hashes(keys, *, lot=7, keep=True, names=None):
    made = KeyHashes(keep_keys=keep)
    for start in range(0, len(keys), lot):
        part = keys[start : start + lot]
        made.add(part, names[start : start + lot] if names else None)
    return made


def found(iterator):
    return [one for one in iterator if one is not None]


def by_hand(keys):
    """What is there twice: place, key, and place of the first one."""
    first, told = {}, []
    for place, key in enumerate(keys):
        if key is not None and first.setdefault(key.casefold(), place) != place:
            told.append(((place, key), first[key.casefold()]))
    return told


@pytest.fixture
def tiny(monkeypatch):
    """Runs of a few hashes, and a few candidates at a time."""
    monkeypatch.setattr(module, "RUN", 16)
    monkeypatch.setattr(module, "AT_ONCE", 3)


@given(keys=small)
def test_what_is_there_twice(keys):
    assert sorted(found(repeats(hashes(keys)))) == sorted(by_hand(keys))


@given(keys=small, known=small)
def test_what_is_not_among_others(keys, known):
    there = {key.casefold() for key in known if key is not None}
    names = [f"n{place}" for place in range(len(keys))]
    told = found(absent(hashes(keys, names=names), hashes(known, keep=False)))
    assert sorted(told) == [(place, f"n{place}", key) for place, key in enumerate(keys) if key is not None and key.casefold() not in there]


@pytest.mark.usefixtures("tiny")
def test_over_many_runs():
    keys = [str(number * 7919 % 1000) for number in range(3000)]
    assert sorted(found(repeats(hashes(keys)))) == sorted(by_hand(keys))
    known = [str(number) for number in range(0, 1000, 3)]
    lost = Counter(key for _, _, key in found(absent(hashes(keys), hashes(known, keep=False))))
    assert lost == {str(number): 3 for number in range(1000) if number % 3}


@pytest.mark.usefixtures("tiny")
def test_two_keys_with_one_hash_are_two_keys(monkeypatch):
    monkeypatch.setattr(module, "hash", len, raising=False)
    keys = [f"{number * 7 % 1000:03}" for number in range(1000)]
    assert found(repeats(hashes(keys))) == []
    assert found(repeats(hashes([*keys, "007"]))) == [((1000, "007"), 1)]


def test_keys_in_their_order_need_no_comparison(monkeypatch):
    made = hashes([str(number) for number in range(1000, 9000)])
    monkeypatch.setattr(KeyHashes, "parts", lambda _: pytest.fail("they were compared"))
    assert found(repeats(made)) == []


@pytest.mark.usefixtures("tiny")
def test_a_full_disk_costs_memory_and_no_duplicate(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    keys = [str(number % 100) for number in range(300)]
    assert sorted(found(repeats(hashes(keys)))) == sorted(by_hand(keys))


@pytest.mark.usefixtures("tiny")
def test_the_files_are_given_back():
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    made = hashes([str(number) for number in range(100)])
    made.close()
    assert not before or set(os.listdir("/proc/self/fd")) == before

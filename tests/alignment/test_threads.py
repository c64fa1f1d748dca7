"""The threads that the kernels run in."""

import os
import sys
import threading

import numpy as np
import pytest

import lacbook
from lacbook.alignment import threads

MANY = np.zeros((4, 200, 200))
linux_only = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="binds no threads")


@pytest.fixture(autouse=True)
def _afterwards():
    yield
    threads._pool.pinned = False
    threads._pool.begin()


def shares(size, similarity=MANY, look=threading.get_ident):
    """Which pairs went to which thread, and what `look` saw there."""
    met, barrier = {}, threading.Barrier(min(size, len(similarity)), timeout=20)

    def kernel(pairs, similarity):
        barrier.wait()  # all at once, so that no thread takes the share of another
        met[tuple(pairs.tolist())] = look()

    threads.over_pairs(kernel, np.arange(len(similarity)), size, similarity)
    return met


def test_pairs_are_dealt_out():
    met = shares(3)
    assert set(met) == {(0, 3), (1,), (2,)}
    assert len(set(met.values())) == 3
    assert met[0, 3] == threading.get_ident()


def test_threads_are_kept():
    workers = set(shares(3).values())
    assert workers >= set(shares(2).values())


def test_little_work_stays_in_the_calling_thread():
    met = []
    threads.over_pairs(
        lambda pairs, s: met.append((pairs.tolist(), threading.get_ident())), np.arange(4), 4, MANY[:, :9]
    )
    assert met == [([0, 1, 2, 3], threading.get_ident())]


def test_no_pairs_no_call():
    threads.over_pairs(lambda *_: pytest.fail("called"), np.arange(0), 2, MANY)


def test_the_others_have_finished_when_an_error_is_raised():
    """They write into arrays of the caller."""
    finished, begun = [], threading.Event()

    def kernel(pairs, similarity):
        if 0 in pairs:
            begun.wait(20)
            raise KeyboardInterrupt
        begun.set()
        finished.append(pairs.tolist())

    with pytest.raises(KeyboardInterrupt):
        threads.over_pairs(kernel, np.arange(4), 2, MANY)
    assert finished == [[1, 3]]


@linux_only
def test_pinned_threads_have_a_processor_each():
    lacbook.pin_threads()
    met = shares(2, look=lambda: os.sched_getaffinity(0))
    processors = sorted(os.sched_getaffinity(0))
    assert met[0, 2] == set(processors)  # the calling thread stays free
    assert met[1, 3] == {processors[1 % len(processors)]}


def test_where_threads_cannot_be_bound(monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with pytest.raises(RuntimeError, match="pin_threads: this operating system cannot"):
        lacbook.pin_threads()


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_starts_threads_of_its_own():
    shares(2)
    child = os.fork()
    if child == 0:
        os._exit(0 if len(set(shares(2).values())) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0

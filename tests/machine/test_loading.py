"""Loading: images stay in memory where they fit; loader processes and cores are shared among ranks."""

from __future__ import annotations

from fewer.machine.loading import Loading, choose_loading


def test_images_stay_in_memory_where_they_fit_for_all_ranks() -> None:
    assert choose_loading("auto", "auto", 100, 300, "cpu", 8, 1) == Loading(True, 0, 0, 8)
    assert choose_loading("auto", "auto", 100, 299, "cpu", 8, 1) == Loading(False, 4, 8, 8)
    assert not choose_loading("auto", "auto", 100, 599, "cpu", 8, 2).in_memory
    assert choose_loading("auto", "auto", 100, None, "cpu", 8, 1).in_memory
    assert choose_loading("yes", "auto", 100, 1, "cpu", 8, 1).in_memory
    assert choose_loading("no", 0, 100, None, "cpu", 2, 1) == Loading(False, 0, 0, 2)


def test_processes_are_shared_among_ranks() -> None:
    assert choose_loading("no", 6, 0, None, "cpu", 8, 4).processes == 2
    assert choose_loading("no", "auto", 0, None, "cuda", 8, 2).processes == 4
    assert choose_loading("no", "auto", 0, None, "cpu", 2, 2).processes == 1

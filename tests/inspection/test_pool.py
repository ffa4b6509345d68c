"""Pool of probing processes: no image is lost to another's crash."""

from __future__ import annotations

from functools import partial

from fewer.inspection.check import check
from fewer.inspection.inventory import Inventory, Part
from fewer.inspection.pool import probed
from fewer.inspection.scan import scan
from zoo import dies


def test_files_that_vanish_or_may_not_be_read() -> None:
    def refuse(at: int) -> bytes:
        raise PermissionError(13, "Permission denied") if at else FileNotFoundError(2, "No such file or directory")

    inventory = Inventory([Part("all", "s", ["a/0.png", "b/1.png"], ["a", "b"], [1, 1], refuse)])
    found = [f for f in check(inventory, scan(inventory, processes=1)) if f.code == "unreadable"]
    assert [f.reason for f in found] == ["No such file or directory", "Permission denied"]


def test_a_file_that_kills_the_decoder_is_a_finding_and_no_other_is_lost() -> None:
    raws = [b"die" if i in (70, 131) else str(i).encode() for i in range(200)]
    facts = list(probed([partial(bytes, raw) for raw in raws], 2, dies))
    assert [i for i, each in enumerate(facts) if each.code == "crash"] == [70, 131]
    assert all(each.code or each.reason == str(i) for i, each in enumerate(facts))

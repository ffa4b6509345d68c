"""Checks that anyone's method can run: conformance of a part, and the laws of a whole run.

`check_selector` takes a function that builds a selector, `check_task` one that builds a task and a model for it,
`check_sync` one that builds a sync method, `check_optimizer` one that builds an optimizer.
`laws` draws random valid recipes and checks that off is plain, looking changes nothing, a resumed run equals an
unstopped one, ranks agree, two equal stages equal one, and the ledger says what happened.
"""

from fewer.testing.optimizers import check_optimizer
from fewer.testing.selectors import check_selector
from fewer.testing.syncs import check_sync
from fewer.testing.tasks import check_task
from fewer.testing.violation import Violation

__all__ = ["Violation", "check_optimizer", "check_selector", "check_sync", "check_task"]

"""Checks that anyone's method can run: conformance of a selector or a task, and the laws of a whole run.

`check_selector` takes a function that builds a selector, `check_task` one that builds a task and a model for it.
`laws` draws random valid recipes and checks that off is plain, looking changes nothing, a resumed run equals an
unstopped one, ranks agree, two equal stages equal one, and the ledger says what happened.
"""

from fewer.testing.selectors import check_selector
from fewer.testing.tasks import check_task
from fewer.testing.violation import Violation

__all__ = ["Violation", "check_selector", "check_task"]

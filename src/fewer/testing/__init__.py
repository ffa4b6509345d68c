"""Checks that anyone's method can run: conformance of a selector, and the laws of a whole run.

`check_selector` takes a function that builds a selector. `laws` draws random valid recipes and checks that off is
plain, looking changes nothing, a resumed run equals an unstopped one, ranks agree, two equal stages equal one, and
the ledger says what happened.
"""

from fewer.testing.selectors import Violation, check_selector

__all__ = ["Violation", "check_selector"]

"""The same number of local steps in every round."""

from __future__ import annotations

from fewer.core.config import Section
from fewer.sync.round import Round, StatelessSchedule


class Params(Section):
    pass


class Fixed(StatelessSchedule):
    """Always as many steps as in the first round."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def next(self, ended: Round) -> int:
        return self.steps


def build(params: Params, first: int) -> Fixed:
    return Fixed(first)

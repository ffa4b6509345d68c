"""Schedules of local steps, one file each: `sync.schedule` of a local method names one.

A file has `Params` and `build(params, first)`, which returns a `fewer.sync.round.Schedule`; `first` is the number of
local steps of the first round.
"""

from fewer.core.registry import Registry

STEP_SCHEDULES = Registry("fewer.sync.schedules", "schedule of local steps", "fewer.sync_schedules", "schedule")

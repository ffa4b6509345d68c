"""Tasks, a package each, found by its name: `task.name` names one. There is nothing else in this folder.

A task's package has `Params`, its keys of `[task]`.
"""

from fewer.core.registry import Registry

TASKS = Registry("fewer.tasks", "task", "fewer.tasks", "name")

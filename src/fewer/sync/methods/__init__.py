"""Sync methods, by which workers agree, one file each: `sync.method` names one.

A file has `Params` and `build(params, comm, workers)`, which returns a `fewer.core.protocols.Sync`. `EVERY_STEP = True`
says that workers agree at every step, so that they may share batch statistics too. `step_traffic(params, shapes,
weight_bytes)`, where there is one, says what a worker sums with the others in a step, and in how many exchanges.
`TAKES_FP16 = False` says that it keeps gradients for later steps, which float16 would scale otherwise.
`REHEARSED`, likewise, are settings with which it does from the first step what it does later on, for `fewer advise`.
`first_steps(params, steps, epochs)` goes with it: how many steps come before that in a run of so many steps and epochs,
in which gradients are exchanged as they are; None where only the run shows it.
"""

from fewer.core.registry import Registry

SYNC_METHODS = Registry("fewer.sync.methods", "sync method", "fewer.sync", "method")

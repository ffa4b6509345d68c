"""Payloads of syncs, one file each: in which form workers send their weights. `sync.payload` names one.

A file has `Params`, `build(params, comm, workers)`, which returns a `fewer.sync.exchange.Payload`, and
`sent_bytes(params, parameters, workers, number_bytes)`: what a worker sends in one sync of so many parameters, each a
number of so many bytes.
"""

from fewer.core.registry import Registry

PAYLOADS = Registry("fewer.sync.payloads", "payload of a sync", "fewer.sync_payloads", "payload")

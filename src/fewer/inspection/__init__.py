"""Inspection of a source before training: `check` lists faults, `stats` gives figures. Free of torch.

parts (inventory) ──► facts of every image (scan: probe, in a pool of processes) ──► findings (check) or figures (stats)
"""

"""What is in a source before anything trains on it: `check` lists what is wrong, `stats` what is there. Free of torch.

parts (listing) ──► facts of every image (examine, in worker processes) ──► findings (check) or figures (stats)
"""

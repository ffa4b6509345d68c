"""The plan: stages, facts, FLOPs, cost model, checks, digest."""

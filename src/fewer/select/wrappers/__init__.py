"""Wrappers around any selection method: guards, refresh, revision epochs."""

"""Copies of run folders in object storage: immutable parts, then a manifest, a commit marker and `latest.json`.

Nothing here imports the storage library before a bucket is opened, and nothing knows of training.
"""

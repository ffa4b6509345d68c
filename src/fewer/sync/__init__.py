"""The agreement of workers: sync methods, one file each, and `comm`, the exchange of tensors between processes."""

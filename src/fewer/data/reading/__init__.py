"""Common ground of all sources: the class of a source, CIFAR's files, downloads, and a reader of untrusted pickles."""

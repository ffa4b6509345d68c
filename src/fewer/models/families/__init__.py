"""One file a family of models; `fewer.models` says what such a file has."""

"""The sync shell, generated from `_async` by `make gen`; only io.py is written by hand."""

"""The async shell: it does the I/O that `protocol` describes. The sync shell is generated from it (`make gen`)."""

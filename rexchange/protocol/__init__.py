"""Sans-IO: what to send for each operation and how to read the answer. No sockets, clocks or random numbers here."""

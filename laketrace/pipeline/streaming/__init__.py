"""Guarded streams: checked settings, dead letters, and batches that count once.

Floor 7. Stands on: nothing.

Nothing is imported from pyspark before a stream is there. Threads: settings are read-only; what is
live is kept under a lock. A `foreachBatch` function pickles, because on Spark Connect it runs in a
process of the server.
"""

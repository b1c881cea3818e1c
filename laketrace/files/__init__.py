"""The life of a log file: open, append, rotate, compress, retain, recover, read back.

Floor 2. Stands on: nothing.
"""

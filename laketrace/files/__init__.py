"""The life of a log file

Floor  open, append, rotate, compress, retain, recover, read back.:2. Stands on: nothing.
"""

"""The recorder's figures, measured beside its peers; no number in the README comes from elsewhere.

    pip install -e '.[bench]'
    python -m tests.benchmarks --prepare        # laketrace 1.0.2, into a folder of its own
    python -m tests.benchmarks                  # every scenario, some 40 minutes when quiet
    python -m tests.benchmarks --quick --only sync --only below
    python -m tests.benchmarks --readme         # the whole run, then the README's table
    python -m tests.benchmarks --profile        # where the time of a record goes
    pytest tests/benchmarks -m bench            # does every contender write every line?

A scenario is a file: `sync_json`, `below_level`, `queued`, `threads`, `import_cost`,
`many_loggers`, `rotation`. `contenders` has everyone who writes the line, `worker` gives each a
process of its own, `quiet` leaves out the blocks in which other programs used the CPU, `figures`
makes medians and ratios, `table` prints them, `profiling` looks inside.

What is compared. All write the same call to a file on disk, one `write` a record (checked with
the kernel's counter), and every line is counted back. The floor is `orjson.dumps` of a ready
dict with a fresh timestamp and `os.write`; a logger cannot be faster, so ratios to it say more
than microseconds. The bound fields and the standard fields are bound where a contender takes
them; picologging writes text, without fields or UTC, and stands there as the fastest text.

How noise is kept out. The figure of a process is its best of 48 blocks, that of a contender the
median of 9 processes, that of the run the median of two such repeats with their distance beside
it. On a machine that others use, blocks wait for quiet and disturbed ones do not count; where
too few were quiet, there is no figure. Threads above all need this: where another program holds
one of two cores, eight threads no longer compete for the interpreter lock and look faster than
they are. No test asserts a time.
"""

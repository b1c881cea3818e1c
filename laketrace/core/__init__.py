"""The engine: levels, records, encoding, context, accounts, queue, handlers, logger.

Floor 1. Stands on: nothing.

It knows no files, no Spark and no lakehouse; a name that you look for is a module.
"""

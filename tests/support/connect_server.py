"""A Spark Connect server in a process of its own: prints its port, ends when its input does."""

from __future__ import annotations

import sys


def main() -> None:
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.plugins", "org.apache.spark.sql.connect.SparkConnectPlugin")
        .config("spark.connect.grpc.binding.port", sys.argv[1])
        .getOrCreate()
    )
    print("listening", flush=True)
    sys.stdin.read()  # the pipe closes with the test run, however that ends
    spark.stop()


if __name__ == "__main__":
    main()

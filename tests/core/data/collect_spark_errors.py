"""Make the golden texts of `tests/core/test_sparkerrors.py` from real failing queries.

    python tests/core/data/collect_spark_errors.py            classic Spark, needs Java
    python tests/core/data/collect_spark_errors.py connect    Spark Connect in one process

Writes `spark_errors_<version>[_connect].json` beside itself: for each case the class of the
error, its text as Spark gives it, what its own methods answer, and its Python traceback.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyspark
from pyspark.sql import SparkSession, functions

HERE = str(Path(__file__).resolve().parent)


def divide(number: int) -> int:
    """Fail for the last row, two calls deep."""
    return share(number)


def share(number: int) -> int:
    return 100 // (number - 3)


def udf_column() -> Any:
    return functions.udf(divide, "int")("id").alias("part")


def broken_batch(batch: Any, batch_id: int) -> None:
    raise ValueError(f"batch {batch_id} has no orders")


def explode(frames: Any) -> Any:
    for frame in frames:
        yield frame.assign(id=frame["no_such_column"])


def corrupt_parquet(spark: SparkSession, folder: str) -> None:
    path = os.path.join(folder, "part-0.parquet")
    with open(path, "wb") as file:
        file.write(b"PAR1 this is not parquet at all PAR1")
    spark.read.schema("id int").parquet(path).collect()


def failing_stream(spark: SparkSession, folder: str) -> None:
    rate = spark.readStream.format("rate").load()
    query = rate.writeStream.foreachBatch(broken_batch).option("checkpointLocation", folder)
    query.start().awaitTermination(60)


SHARED: dict[str, Callable[[SparkSession, str], Any]] = {
    "missing table": lambda spark, folder: spark.sql("SELECT * FROM no_such_table").collect(),
    "missing column": lambda spark, folder: spark.range(3).select("ident").collect(),
    "parse": lambda spark, folder: spark.sql("SELEC 1 FROM x WHERE"),
    "divide by zero": lambda spark, folder: spark.sql(
        "SELECT 1 / (id - 1) FROM range(3)"
    ).collect(),
    "bad cast": lambda spark, folder: spark.sql("SELECT CAST('abc' AS INT)").collect(),
    "udf": lambda spark, folder: spark.range(4).select(udf_column()).collect(),
    "map in pandas": lambda spark, folder: spark.range(3).mapInPandas(explode, "id long").collect(),
    "corrupt parquet": corrupt_parquet,
    "wrong type": lambda spark, folder: spark.createDataFrame([1, 2], 7),
}

CLASSIC: dict[str, Callable[[SparkSession, str], Any]] = {
    "udf write": lambda spark, folder: (
        spark.range(4).select(udf_column()).write.parquet(folder + "/out")
    ),
    "rdd": lambda spark, folder: spark.sparkContext.parallelize([1, 2, 3]).map(share).collect(),
    "java list": lambda spark, folder: spark._jvm.java.util.ArrayList().get(5),
    "java number": lambda spark, folder: spark._jvm.java.lang.Integer.parseInt("seven"),
    "no such method": lambda spark, folder: spark._jvm.java.util.ArrayList().fly(),
    "stream": failing_stream,
}


def answer(error: BaseException, method: str) -> Any:
    try:
        found = getattr(error, method)()
        return dict(found) if hasattr(found, "keys") else found
    except Exception:
        return None


def facts(error: BaseException) -> dict[str, Any]:
    kept = vars(error)
    named = {name: kept[name] for name in kept if isinstance(kept[name], str)}
    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "str": str(error),
        "attributes": named,
        "error_class": answer(error, "getCondition") or answer(error, "getErrorClass"),
        "sqlstate": answer(error, "getSqlState"),
        "message_parameters": answer(error, "getMessageParameters"),
        "python": "".join(traceback.format_tb(error.__traceback__)),
    }


def main(connect: bool) -> None:
    builder = SparkSession.builder.config("spark.ui.enabled", "false")
    builder = builder.remote("local[1]") if connect else builder.master("local[1]")
    spark = builder.config("spark.sql.ansi.enabled", "true").getOrCreate()
    cases = SHARED if connect else {**SHARED, **CLASSIC}
    found = {}
    for name, run in cases.items():
        with tempfile.TemporaryDirectory(prefix="job") as folder:
            try:
                run(spark, folder)
            except Exception as error:
                found[name] = facts(error)
            else:
                raise SystemExit(f"{name}: did not fail")
    spark.stop()
    text = json.dumps(found, indent=1, ensure_ascii=False)
    for folder, shown in ((HERE, "/jobs"), (sys.prefix, "/opt/python")):
        text = text.replace(folder, shown)
    name = f"spark_errors_{pyspark.__version__}{'_connect' if connect else ''}.json"
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as file:
        file.write(text + "\n")


if __name__ == "__main__":
    main("connect" in sys.argv[1:])

# %% [markdown]
# # LakeTrace in a Microsoft Fabric notebook
# Each `# %%` is a cell. Outside Fabric it runs as a script: `python example_fabric_notebook.py`.

# %%
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from laketrace import get_logger
from laketrace.spark import stage

spark = SparkSession.builder.getOrCreate()  # in the notebook: the session that is there

# Run this cell again and again: the logger is the same one, and no line is doubled.
# In Fabric, log_dir="/lakehouse/default/Files/logs" lets the files be written on the driver's own
# disk and go to the lakehouse as whole segments: that mount cannot append.
log = get_logger("sales_notebook", rotation="50 MB", compression="gz")

# %%
orders = spark.createDataFrame(
    [(1, "DE", 12.5), (2, "FR", 7.0), (3, None, 3.2)],
    "order_id long, country string, amount double",
)
log.info("orders read", table="orders", rows=orders.count())

# %%
with stage(log, "clean"):
    clean = orders.where(F.col("country").isNotNull())
    rejected = orders.count() - clean.count()
    if rejected:
        log.warning("rows without country", rows=rejected)

# %%
with stage(log, "report"):
    report = clean.groupBy("country").agg(F.sum("amount").alias("amount")).orderBy("country")
    log.info("report made", countries=[row.country for row in report.collect()])

# %%
# What a failing cell would show goes to the log as well, with the error class of Spark.
with log.catch("the table is not there"):
    spark.table("no_such_table")

# %%
stats = log.stats()
print(f"{stats.written} of {stats.emitted} deliveries written, {stats.failed} failed")
print(f"log file: {log.log_file_path}")

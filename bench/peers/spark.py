"""Spark's side of a workload: spark.py WORKLOAD INPUT OUTPUT CORES. Prints one JSON line.

Structured Streaming, local[CORES], one file a micro-batch, availableNow, parquet sink with a checkpoint. Memory is the JVM's
own VmHWM, CPU time the JVM's own.
"""
import json
import os
import sys

from pyspark.sql import SparkSession, functions as F

CLICKS = "user_id bigint, page string, session bigint, amount double, ts timestamp"
FORMATS = {"project": "parquet", "tiny": "json"}


def quantile(values, q):
    values = sorted(values)
    return values[round((len(values) - 1) * q)]


def main():
    workload, data, out, cores = sys.argv[1:5]
    spark = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.driver.memory", "6g")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", cores)
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.streaming.numRecentProgressUpdates", "100000")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    rows = spark.readStream.schema(CLICKS).option("maxFilesPerTrigger", 1).format(FORMATS[workload]).load(data)
    result = rows.where("amount > 250").select(
        "user_id", F.upper("page").alias("page"), (F.col("amount") * 2).alias("a2"), "ts"
    )
    query = (
        result.writeStream.format("parquet")
        .option("path", f"{out}/table")
        .option("checkpointLocation", f"{out}/checkpoint")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    events = [json.loads(p.json) for p in query.recentProgress]
    warm = [e for e in events if e["numInputRows"] > 0][1:]
    times = [e["durationMs"]["triggerExecution"] for e in warm]
    jvm = int(spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid())
    status = dict(line.split(":", 1) for line in open(f"/proc/{jvm}/status") if ":" in line)
    ticks = open(f"/proc/{jvm}/stat").read().rsplit(")", 1)[1].split()
    print(
        json.dumps(
            {
                # Spark counts rows after the filter it pushes into a JSON scan; the files tell how many were read.
                "rows_per_s": rows_in(data, FORMATS[workload], len(warm) + 1) * len(warm) / (sum(times) / 1000),
                "median_batch_ms": quantile(times, 0.5),
                "p99_batch_ms": quantile(times, 0.99),
                "peak_bytes": int(status["VmHWM"].split()[0]) * 1024,
                "cpu_s": (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"),
                "note": "Spark " + spark.version,
            }
        )
    )


def rows_in(folder, fmt, files):
    """Rows in one of the files, which all have as many."""
    name = sorted(f for f in os.listdir(folder) if f.endswith(fmt))[0]
    if fmt == "json":
        return sum(1 for _ in open(os.path.join(folder, name)))
    import pyarrow.parquet

    return pyarrow.parquet.read_metadata(os.path.join(folder, name)).num_rows


main()

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
EVENTS = "user_id STRING, session_id STRING, event_type STRING, page_url STRING, ts TIMESTAMP, amount DOUBLE"
DECODED = f"(SELECT from_json(CAST(value AS STRING), '{EVENTS}') AS e FROM ev)"
KAFKA = {
    "kafka-raw": "SELECT count(*) AS n, sum(length(value)) AS bytes FROM ev",
    "kafka-json": f"SELECT e.event_type, count(*) AS n, sum(e.amount) AS total FROM {DECODED} GROUP BY e.event_type",
    "kafka-lengths": "SELECT length(value) AS bytes FROM ev",
    "kafka-decoded": f"SELECT e.event_type, e.amount FROM {DECODED}",
}


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
        .config("spark.jars", os.environ.get("SPARK_JARS", ""))
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    query = (kafka if workload in KAFKA else files)(spark, workload, data, out)
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
                "rows_per_s": rows_of(workload, data, warm) / (sum(times) / 1000),
                "median_batch_ms": quantile(times, 0.5),
                "p99_batch_ms": quantile(times, 0.99),
                "peak_bytes": int(status["VmHWM"].split()[0]) * 1024,
                "cpu_s": (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"),
                "note": "Spark " + spark.version,
            }
        )
    )


def files(spark, workload, data, out):
    rows = spark.readStream.schema(CLICKS).option("maxFilesPerTrigger", 1).format(FORMATS[workload]).load(data)
    result = rows.where("amount > 250").select(
        "user_id", F.upper("page").alias("page"), (F.col("amount") * 2).alias("a2"), "ts"
    )
    return (
        result.writeStream.format("parquet")
        .option("path", f"{out}/table")
        .option("checkpointLocation", f"{out}/checkpoint")
        .trigger(availableNow=True)
        .start()
    )


def kafka(spark, workload, data, out):
    topic = json.load(open(f"{data}/kafka.json"))
    (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", topic["servers"])
        .option("subscribe", topic["topic"])
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", -(-topic["messages"] // 10))
        .load()
        .createOrReplaceTempView("ev")
    )
    mode = "update" if workload in ("kafka-raw", "kafka-json") else "append"
    return (
        spark.sql(KAFKA[workload])
        .writeStream.format("noop")
        .outputMode(mode)
        .option("checkpointLocation", f"{out}/checkpoint")
        .trigger(availableNow=True)
        .start()
    )


def rows_of(workload, data, warm):
    """Rows in all batches but the first."""
    if workload in KAFKA:
        return sum(e["numInputRows"] for e in warm)
    # Spark counts rows after the filter it pushes into a JSON scan; the files tell how many were read.
    return rows_in(data, FORMATS[workload], len(warm) + 1) * len(warm)


def rows_in(folder, fmt, files):
    """Rows in one of the files, which all have as many."""
    name = sorted(f for f in os.listdir(folder) if f.endswith(fmt))[0]
    if fmt == "json":
        return sum(1 for _ in open(os.path.join(folder, name)))
    import pyarrow.parquet

    return pyarrow.parquet.read_metadata(os.path.join(folder, name)).num_rows


main()

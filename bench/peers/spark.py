"""Spark's side of a workload: spark.py WORKLOAD INPUT OUTPUT CORES. Prints one JSON line.

Structured Streaming, local[CORES], one file a micro-batch, availableNow, with a checkpoint; to parquet in append mode, to
nowhere in update mode; kafka-latency with the default trigger from a topic to another, until OUTPUT/stop is there. Memory is the JVM's own VmHWM, CPU time the JVM's own.
"""
import json
import os
import sys
import time

from pyspark.sql import SparkSession

CLICKS = "user_id bigint, page string, session bigint, amount double, ts timestamp"
IMPRESSIONS = "imp_id bigint, campaign bigint, imp_ts timestamp"
AD_CLICKS = "clk_id bigint, cost double, clk_ts timestamp"
CAMPAIGN_EVENTS = (
    "user_id string, page_id string, ad_id string, ad_type string, event_type string, event_time timestamp, ip_address string"
)
EVENTS = "user_id STRING, session_id STRING, event_type STRING, page_url STRING, ts TIMESTAMP, amount DOUBLE, sent DOUBLE"
DECODED = f"(SELECT from_json(CAST(value AS STRING), '{EVENTS}') AS e FROM ev)"
PROJECT = "SELECT user_id, upper(page) AS page, amount * 2 AS a2, ts FROM ev WHERE amount > 250"
THREE = "count(*) AS n, sum(amount) AS total, approx_count_distinct(user_id) AS users"

# What each workload reads: view -> (folder, format, columns, time column, delay of the watermark).
CLICK_FILES = {"ev": ("", "parquet", CLICKS, "ts", "10 minutes")}
CLICK_LINES = {"ev": ("", "json", CLICKS, "ts", "10 minutes")}
SOURCES = {
    "tiny": CLICK_LINES,
    "tiny-stateful": CLICK_LINES,
    "join": {
        "impressions": ("impressions", "parquet", IMPRESSIONS, "imp_ts", "1 minute"),
        "clicks": ("clicks", "parquet", AD_CLICKS, "clk_ts", "1 minute"),
    },
    "ysb": {"ev": ("events", "json", CAMPAIGN_EVENTS, "event_time", "10 seconds")},
}
# Output mode and query of each.
QUERIES = {
    "project": ("append", PROJECT),
    "tiny": ("append", PROJECT),
    "keyed": (
        "update",
        "SELECT user_id, count(*) AS n, sum(amount) AS total, max(ts) AS latest FROM ev GROUP BY user_id",
    ),
    "tumbling": ("append", f"SELECT window, page, {THREE} FROM ev GROUP BY window(ts, '5 minutes'), page"),
    "sliding": ("append", f"SELECT window, page, {THREE} FROM ev GROUP BY window(ts, '5 minutes', '1 minute'), page"),
    "session": (
        "append",
        "SELECT session_window, user_id, count(*) AS n, sum(amount) AS total FROM ev "
        "GROUP BY session_window(ts, '30 seconds'), user_id",
    ),
    "dedup": ("append", "SELECT * FROM ev"),
    "join": (
        "append",
        "SELECT * FROM impressions LEFT JOIN clicks "
        "ON imp_id = clk_id AND clk_ts BETWEEN imp_ts AND imp_ts + INTERVAL 2 MINUTES",
    ),
    "ysb": (
        "update",
        "SELECT window, campaign_id, count(*) AS n FROM ev JOIN campaigns USING (ad_id) WHERE event_type = 'view' "
        "GROUP BY window(event_time, '10 seconds'), campaign_id",
    ),
    "tiny-stateful": (
        "update",
        "SELECT window, page, count(*) AS n, sum(amount) AS total FROM ev GROUP BY window(ts, '1 minute'), page",
    ),
}
KAFKA = {
    "kafka-raw": ("update", "SELECT count(*) AS n, sum(length(value)) AS bytes FROM ev"),
    "kafka-json": (
        "update",
        f"SELECT e.event_type, count(*) AS n, sum(e.amount) AS total FROM {DECODED} GROUP BY e.event_type",
    ),
    "kafka-lengths": ("append", "SELECT length(value) AS bytes FROM ev"),
    "kafka-decoded": ("append", f"SELECT e.event_type, e.amount FROM {DECODED}"),
    "kafka-latency": (
        "update",
        "SELECT to_json(struct(window.start AS w, event_type, n, last)) AS value FROM (SELECT window(e.ts, '1 second') AS window, "
        f"e.event_type AS event_type, count(*) AS n, max(e.sent) AS last FROM {DECODED} GROUP BY window(e.ts, '1 second'), e.event_type)",
    ),
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
    if workload == "kafka-latency":
        run_until_told(query, f"{out}/stop")
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
    mode, text = QUERIES[workload]
    # Without state a watermark would only cost; grouping by key alone has no use for one either.
    untimed = workload in ("project", "tiny", "keyed")
    for view, (folder, fmt, columns, time, delay) in SOURCES.get(workload, CLICK_FILES).items():
        rows = spark.readStream.schema(columns).option("maxFilesPerTrigger", 1).format(fmt).load(f"{data}/{folder}")
        (rows if untimed else rows.withWatermark(time, delay)).createOrReplaceTempView(view)
    if workload == "ysb":
        spark.read.parquet(f"{data}/campaigns.parquet").createOrReplaceTempView("campaigns")
    result = spark.sql(text)
    if workload == "dedup":
        result = result.dropDuplicatesWithinWatermark(["user_id", "page"])
    return start(result, mode, out, "parquet" if mode == "append" else "noop")


def run_until_told(query, path):
    """Lets the query run until the file is there."""
    while query.isActive and not os.path.exists(path):
        time.sleep(0.1)
    query.stop()


def kafka(spark, workload, data, out):
    topic = json.load(open(f"{data}/kafka.json"))
    source = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", topic["servers"])
        .option("subscribe", topic["topic"])
        .option("startingOffsets", "earliest")
    )
    if topic["messages"]:
        source = source.option("maxOffsetsPerTrigger", -(-topic["messages"] // 10))
    source.load().createOrReplaceTempView("ev")
    mode, text = KAFKA[workload]
    if workload == "kafka-latency":
        writer = spark.sql(text).writeStream.format("kafka").outputMode(mode).option("checkpointLocation", f"{out}/checkpoint")
        return writer.option("kafka.bootstrap.servers", topic["servers"]).option("topic", topic["output"]).start()
    return start(spark.sql(text), mode, out, "noop")


def start(result, mode, out, sink):
    writer = result.writeStream.format(sink).outputMode(mode).trigger(availableNow=True)
    if sink == "parquet":
        writer = writer.option("path", f"{out}/table")
    return writer.option("checkpointLocation", f"{out}/checkpoint").start()


def rows_of(workload, data, warm):
    """Rows in all batches but the first."""
    sources = SOURCES.get(workload, CLICK_FILES).values()
    if workload in KAFKA or any(fmt == "parquet" for _, fmt, *_ in sources):
        return sum(e["numInputRows"] for e in warm)
    # Spark counts rows after the filter it pushes into a JSON scan; the files tell how many were read.
    (folder, *_), = sources
    return lines_in(f"{data}/{folder}") * len(warm)


def lines_in(folder):
    """Rows in one of the files, which all have as many."""
    name = sorted(f for f in os.listdir(folder) if f.endswith("json"))[0]
    return sum(1 for _ in open(os.path.join(folder, name)))


main()

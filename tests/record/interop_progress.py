"""Records progress and listener events, and the rows of the rate sources: interop_progress.py OUTPUT_DIR

Writes OUTPUT_DIR/progress.jsonl (every event of queries over each source and sink, as Spark's JSON), rate.json and
rate_micro_batch.json (what the rate sources give in each batch).
"""

import json
import os
import sys
import tempfile
import time

from spark_oracle import ROOT_PLACEHOLDER, canon, error, session


def listener(events):
    """A listener that keeps all that it hears."""
    from pyspark.sql.streaming import StreamingQueryListener

    class Keep(StreamingQueryListener):
        def onQueryStarted(self, event):
            events.append(
                {
                    "event": "started",
                    "id": str(event.id),
                    "runId": str(event.runId),
                    "name": event.name,
                    "timestamp": event.timestamp,
                    "jobTags": sorted(getattr(event, "jobTags", [])),
                }
            )

        def onQueryProgress(self, event):
            events.append(
                {"event": "progress", "id": str(event.progress.id), "progress": json.loads(event.progress.json)}
            )

        def onQueryIdle(self, event):
            events.append(
                {"event": "idle", "id": str(event.id), "runId": str(event.runId), "timestamp": event.timestamp}
            )

        def onQueryTerminated(self, event):
            events.append(
                {
                    "event": "terminated",
                    "id": str(event.id),
                    "runId": str(event.runId),
                    "exception": (event.exception or "")[:600] or None,
                    "errorClassOnException": event.errorClassOnException,
                }
            )

    return Keep()


def input_files(root):
    """Three files of one, two and three rows."""
    os.makedirs(f"{root}/in")
    for n in range(3):
        path = f"{root}/in/{n}.json"
        with open(path, "w") as out:
            out.writelines(
                json.dumps({"id": i, "k": "ab"[i % 2], "ts": f"2024-01-01T00:{10 * n:02d}:0{i}Z"}) + "\n"
                for i in range(n + 1)
            )
        os.utime(path, (1e9 + n, 1e9 + n))


def file(spark, root):
    """The stream of the input files, one a batch."""
    return (
        spark.readStream.schema("id BIGINT, k STRING, ts TIMESTAMP").option("maxFilesPerTrigger", 1).json(f"{root}/in")
    )


def rate_stream(spark, kind="rate", option="rowsPerSecond"):
    """Five rows a second, or a batch."""
    return spark.readStream.format(kind).option(option, 5).load()


# name → (the query's writer, seconds to let it run; None: AvailableNow, to its end)
QUERIES = {
    "file to parquet": (
        lambda s, r: file(s, r).where("id > 0").writeStream.format("parquet").option("path", f"{r}/out"),
        None,
    ),
    "file to console": (lambda s, r: file(s, r).writeStream.format("console"), None),
    "file to memory": (lambda s, r: file(s, r).writeStream.format("memory").queryName("kept"), None),
    "file to noop": (lambda s, r: file(s, r).writeStream.format("noop").queryName("named"), None),
    "file to foreachBatch": (lambda s, r: file(s, r).writeStream.foreachBatch(lambda b, n: b.count()), None),
    "file to noop, no row passes": (lambda s, r: file(s, r).where("id > 99").writeStream.format("noop"), None),
    "file with watermark to noop": (
        lambda s, r: file(s, r).withWatermark("ts", "1 minute").writeStream.format("noop"),
        None,
    ),
    "file with watermark, counted, to noop": (
        lambda s, r: file(s, r).withWatermark("ts", "1 minute").groupBy("ts").count().writeStream.format("noop"),
        None,
    ),
    "file, counted, to noop": (
        lambda s, r: file(s, r).groupBy("k").count().writeStream.format("noop").outputMode("update"),
        None,
    ),
    "two files to noop": (lambda s, r: file(s, r).union(file(s, r).where("id < 9")).writeStream.format("noop"), None),
    "failing file to noop": (
        lambda s, r: file(s, r).selectExpr("CAST(k AS INT) AS x").writeStream.format("noop"),
        None,
    ),
    "rate to noop": (lambda s, r: rate_stream(s).writeStream.format("noop"), 4),
    "rate to console": (lambda s, r: rate_stream(s).writeStream.format("console"), 3),
    "rate-micro-batch to noop": (
        lambda s, r: rate_stream(s, "rate-micro-batch", "rowsPerBatch").writeStream.format("noop"),
        None,
    ),
    "rate-micro-batch to memory": (
        lambda s, r: rate_stream(s, "rate-micro-batch", "rowsPerBatch").writeStream.format("memory").queryName("micro"),
        3,
    ),
    "idle file to noop": (lambda s, r: file(s, r).writeStream.format("noop"), 14),
}


def progress(spark, folder):
    """Every event of every query."""
    with open(f"{folder}/progress.jsonl", "w") as out:
        for name, (writer, seconds) in QUERIES.items():
            root, events = tempfile.mkdtemp(), []
            input_files(root)
            heard = listener(events)
            spark.streams.addListener(heard)
            record = run(writer(spark, root), root, seconds, explicit_checkpoint="console" not in name)
            deadline = time.time() + 10
            while not any(e["event"] == "terminated" for e in events) and time.time() < deadline:
                time.sleep(0.1)
            spark.streams.removeListener(heard)
            record = {"name": name, **record, "events": events}
            out.write(json.dumps(record, ensure_ascii=False).replace(root, ROOT_PLACEHOLDER) + "\n")
            print(name, len(events), "events", flush=True)


def run(writer, root, seconds, explicit_checkpoint):
    """Runs one query; its last status, or its error."""
    if explicit_checkpoint:
        writer = writer.option("checkpointLocation", f"{root}/checkpoint")
    try:
        query = (
            writer.trigger(availableNow=True) if seconds is None else writer.trigger(processingTime="1 second")
        ).start()
        query.awaitTermination(seconds)
        status = query.status
        query.stop()
        return {"status": status}
    except Exception as failed:
        return {"error": error(failed), "exception_lines": str(failed).split("\n")[:12]}


def rate(spark, folder):
    """Values of the rate source by second, with and without a ramp, and of rate-micro-batch by batch."""
    cases = []
    for options in [
        {"rowsPerSecond": 10},
        {"rowsPerSecond": 10, "rampUpTime": "5s"},
        {"rowsPerSecond": 7, "rampUpTime": "3s", "numPartitions": 3},
        {"rowsPerSecond": 1000, "rampUpTime": "1s"},
        {"rowsPerSecond": 3, "rampUpTime": "10s", "numPartitions": 1},
        {"rowsPerSecond": 2, "rampUpTime": "4s"},
    ]:
        root, batches = tempfile.mkdtemp(), []

        def keep(frame, number):
            found = frame.selectExpr(
                "count(*) n",
                "min(value) lo",
                "max(value) hi",
                "unix_micros(min(timestamp)) t0",
                "unix_micros(max(timestamp)) t1",
            ).collect()[0]
            few = [
                [r.value, r.us]
                for r in frame.selectExpr("value", "unix_micros(timestamp) us").orderBy("value").limit(20).collect()
            ]
            batches.append(
                {
                    "batch": number,
                    "count": found.n,
                    "first_value": found.lo,
                    "last_value": found.hi,
                    "first_us": found.t0,
                    "last_us": found.t1,
                    "first_rows": few,
                    "partitions": frame.rdd.getNumPartitions(),
                }
            )

        query = (
            spark.readStream.format("rate")
            .options(**options)
            .load()
            .writeStream.foreachBatch(keep)
            .option("checkpointLocation", root)
            .trigger(processingTime="1 second")
            .start()
        )
        query.awaitTermination(9)
        query.stop()
        start = int(open(f"{root}/sources/0/0").read().split("\n")[1])
        seconds = {
            p["batchId"]: [p["sources"][0]["startOffset"], p["sources"][0]["endOffset"]]
            for p in map(lambda p: json.loads(p.json), query.recentProgress)
        }
        for batch in batches:
            batch["seconds"] = seconds.get(batch["batch"])
            for key in ("first_us", "last_us"):
                batch[key] = None if batch[key] is None else batch[key] - start * 1000
            batch["first_rows"] = [[v, us - start * 1000] for v, us in batch["first_rows"]]
        cases.append({"options": options, "batches": batches})
    for options in [
        {"rowsPerSecond": 0},
        {"rowsPerSecond": -1},
        {"rampUpTime": "-1s"},
        {"numPartitions": 0},
        {"rowsPerSecond": "x"},
        {"rampUpTime": "x"},
        {"rowsPerSecond": 9223372036854775807, "rampUpTime": "5s"},
    ]:
        try:
            query = (
                spark.readStream.format("rate")
                .options(**options)
                .load()
                .writeStream.format("noop")
                .trigger(processingTime="1 second")
                .start()
            )
            query.awaitTermination(2.5)
            query.stop()
            cases.append({"options": options, "batches": "starts"})
        except Exception as failed:
            cases.append({"options": options, "error": error(failed)})
    write(f"{folder}/rate.json", cases)

    cases = []
    for options in [
        {"rowsPerBatch": 5},
        {"rowsPerBatch": 10, "numPartitions": 3, "startTimestamp": 1000, "advanceMillisPerBatch": 250},
        {"rowsPerBatch": 2, "numPartitions": 4},
        {"rowsPerBatch": 7, "numPartitions": 1, "advanceMillisPerBatch": 0},
        {},
        {"rowsPerBatch": 0},
        {"rowsPerBatch": 1, "numPartitions": 0},
        {"rowsPerBatch": 1, "advanceMillisPerBatch": -1},
        {"rowsPerBatch": 1, "startTimestamp": -1},
    ]:
        root, batches = tempfile.mkdtemp(), []
        keep = lambda frame, number: batches.append(
            {
                "batch": number,
                "partitions": [[[r.value, canon(r.timestamp)] for r in part] for part in frame.rdd.glom().collect()],
            }
        )
        try:
            for _ in range(3):
                query = (
                    spark.readStream.format("rate-micro-batch")
                    .options(**options)
                    .load()
                    .writeStream.foreachBatch(keep)
                    .option("checkpointLocation", root)
                    .trigger(availableNow=True)
                    .start()
                )
                query.awaitTermination()
            logs = {
                f"{d}/{n}": open(f"{root}/{d}/{n}").read().split("\n")[-1]
                for d in ("offsets", "sources/0")
                if os.path.exists(f"{root}/{d}")
                for n in sorted(os.listdir(f"{root}/{d}"))
                if not n.startswith(".")
            }
            cases.append({"options": options, "batches": batches, "logs_last_line": logs})
        except Exception as failed:
            cases.append({"options": options, "error": error(failed)})
    write(f"{folder}/rate_micro_batch.json", cases)


def write(path, cases):
    """One case a line."""
    with open(path, "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    spark = session(**{"spark.sql.streaming.noDataProgressEventInterval": "3000"})
    parts = sys.argv[2:] or ["progress", "rate"]
    for part in parts:
        {"progress": progress, "rate": rate}[part](spark, sys.argv[1])

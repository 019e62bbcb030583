"""Records directories that Spark wrote: interop_logs.py OUTPUT_DIR [PART ...]   with PART of sinks, checkpoints, rates

sinks: output folders of the file sink with their `_spark_metadata`; checkpoints: stateless queries stopped by Spark, and
how Spark itself went on from there; rates: checkpoints of the rate sources. Paths inside Spark's logs are absolute: they
are stored with @ROOT@ in place of the folder that the test substitutes. Checksum files (.crc) are left out.
"""

import json
import os
import shutil
import sys
import tempfile

from spark_oracle import ROOT_PLACEHOLDER, canon, session

EVENTS = "id BIGINT, k STRING, v INT"
TEXT_LOGS = ("_spark_metadata", "offsets", "commits", "sources", "metadata")


def rows_of(n):
    """The rows of input file n: a null key now and then, and a letter to partition by."""
    return [{"id": 10 * n + i, "k": None if (n + i) % 7 == 0 else "abc"[(n + i) % 3], "v": n * i} for i in range(3)]


def put_file(folder, n):
    """Input file n, with a modification time that says its place in the order."""
    os.makedirs(folder, exist_ok=True)
    path = f"{folder}/{n:04d}.json"
    with open(path, "w") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows_of(n))
    os.utime(path, (1e9 + n, 1e9 + n))


def run(spark, root, sink="parquet", options=(), partition_by=None, source="json", sql_filter="v >= 0"):
    """One AvailableNow run of the query that all fixtures share, to its end."""
    reader = spark.readStream.schema(EVENTS).option("maxFilesPerTrigger", 1)
    frame = reader.format(source).load(f"{root}/input").where(sql_filter).selectExpr("id", "k", "v + 1 AS w")
    writer = frame.writeStream.format(sink).option("checkpointLocation", f"{root}/checkpoint").options(**dict(options))
    if partition_by:
        writer = writer.partitionBy(partition_by)
    query = writer.trigger(availableNow=True).start(f"{root}/out")
    query.awaitTermination()
    return query


def read_back(spark, root, sink="parquet"):
    """What Spark reads from the output folder."""
    frame = (
        spark.read.format(sink).load(f"{root}/out")
        if sink == "parquet"
        else spark.read.schema("id BIGINT, w INT, k STRING").format(sink).load(f"{root}/out")
    )
    rows = [canon(row) for row in frame.orderBy("id").collect()]
    return {"schema": frame.schema.simpleString(), "count": len(rows), "rows": rows}


def store(root, target):
    """Copies a folder into the fixtures: without checksums, with the placeholder in Spark's logs."""
    shutil.rmtree(target, ignore_errors=True)
    for folder, _, files in os.walk(root):
        for name in files:
            if name.endswith(".crc"):
                continue
            source, place = f"{folder}/{name}", f"{target}/{os.path.relpath(folder, root)}/{name}"
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if any(part in TEXT_LOGS for part in source[len(root) :].split("/")):
                with open(source) as text, open(place, "w") as out:
                    out.write(text.read().replace(root, ROOT_PLACEHOLDER))
            else:
                shutil.copy(source, place)


def listing(folder):
    """The names below a folder that are not checksums, sorted."""
    found = [
        os.path.relpath(f"{d}/{f}", folder) for d, _, files in os.walk(folder) for f in files if not f.endswith(".crc")
    ]
    return sorted(found)


def logs(root):
    """The text of every log file of a checkpoint and of the sink's log, with the placeholder."""
    texts = {}
    for place in ("checkpoint", "out/_spark_metadata"):
        for name in listing(f"{root}/{place}") if os.path.exists(f"{root}/{place}") else []:
            texts[f"{place}/{name}"] = open(f"{root}/{place}/{name}").read().replace(root, ROOT_PLACEHOLDER)
    return texts


def save(path, value):
    """Writes a JSON document, one key a line at the top."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as out:
        out.write(
            "{\n"
            + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items())
            + "\n}\n"
        )


def sinks(spark, folder):
    """Output folders of twelve batches, each with a file that no log names."""
    cases = {"parquet": ("parquet", None), "json": ("json", None), "parquet-partitioned": ("parquet", "k")}
    for name, (sink, partition_by) in cases.items():
        root = f"{tempfile.mkdtemp()}/case"
        for n in range(12):
            put_file(f"{root}/input", n)
        run(spark, root, sink, partition_by=partition_by)
        expected = read_back(spark, root, sink)
        part = next(p for p in listing(f"{root}/out") if "part-" in p)
        orphan = part.replace("part-00000", "part-00007")
        shutil.copy(f"{root}/out/{part}", f"{root}/out/{orphan}")
        assert read_back(spark, root, sink) == expected, "Spark reads through its log, and so not the orphan"
        shutil.rmtree(f"{root}/input")
        shutil.rmtree(f"{root}/checkpoint")
        store(root, f"{folder}/sinks/{name}")
        save(
            f"{folder}/sinks/{name}/expected.json",
            {
                "format": sink,
                "partition_by": partition_by,
                "orphan": orphan,
                "log_entries": logs_entries(root),
                **expected,
            },
        )


def logs_entries(root):
    """The files that each log file of the sink names."""
    entries = {}
    for name in listing(f"{root}/out/_spark_metadata"):
        lines = open(f"{root}/out/_spark_metadata/{name}").read().split("\n")[1:]
        entries[name] = [json.loads(line)["path"].split("/out/")[1] for line in lines if line]
    return entries


def checkpoints(spark, folder):
    """Queries over 12 files, stopped; then what Spark does with 3 more."""
    cases = {
        "clean": [],
        "commit-missing": ["checkpoint/commits/11"],
        "commit-and-sink-log-missing": ["checkpoint/commits/11", "out/_spark_metadata/11"],
        "offset-missing": ["checkpoint/commits/11", "checkpoint/offsets/11", "out/_spark_metadata/11"],
    }
    for name, deleted in cases.items():
        root = f"{tempfile.mkdtemp()}/case"
        for n in range(12):
            put_file(f"{root}/input", n)
        run(spark, root)
        for path in deleted:
            os.remove(f"{root}/{path}")
            crc = f"{root}/{os.path.dirname(path)}/.{os.path.basename(path)}.crc"
            if os.path.exists(crc):
                os.remove(crc)
        for n in range(12, 15):
            put_file(f"{root}/input", n)
        store(root, f"{folder}/checkpoints/{name}")
        before = read_back(spark, root)
        run(spark, root)
        save(
            f"{folder}/checkpoints/{name}/expected.json",
            {
                "query": "SELECT id, k, v + 1 AS w FROM input WHERE v >= 0",
                "schema": EVENTS,
                "source": "json, maxFilesPerTrigger 1",
                "sink": "parquet",
                "modified_ms": {f"{n:04d}.json": int((1e9 + n) * 1000) for n in range(15)},
                "processed_files": 12,
                "deleted": deleted,
                "rows_before": before["rows"],
                "rows_after": read_back(spark, root)["rows"],
                "logs_after": logs(root),
            },
        )


def rates(spark, folder):
    """Checkpoints of the rate sources with a parquet sink, and Spark's next batch."""
    root = f"{tempfile.mkdtemp()}/case"
    options = {"rowsPerBatch": 5, "numPartitions": 2, "startTimestamp": 1000, "advanceMillisPerBatch": 250}
    step = (
        lambda: spark.readStream.format("rate-micro-batch")
        .options(**options)
        .load()
        .writeStream.format("parquet")
        .option("checkpointLocation", f"{root}/checkpoint")
        .trigger(availableNow=True)
        .start(f"{root}/out")
        .awaitTermination()
    )
    read = lambda: [canon(row) for row in spark.read.parquet(f"{root}/out").orderBy("value").collect()]
    for _ in range(3):
        step()
    store(root, f"{folder}/checkpoints/rate-micro-batch")
    before = read()
    step()
    save(
        f"{folder}/checkpoints/rate-micro-batch/expected.json",
        {"options": options, "rows_before": before, "rows_after": read(), "logs_after": logs(root)},
    )

    root = f"{tempfile.mkdtemp()}/case"
    source = spark.readStream.format("rate").option("rowsPerSecond", 4).option("numPartitions", 2).load()
    start = (
        lambda: source.writeStream.format("parquet")
        .option("checkpointLocation", f"{root}/checkpoint")
        .trigger(processingTime="1 second")
        .start(f"{root}/out")
    )

    def batches(count):
        query = start()
        while len([p for p in query.recentProgress if p["numInputRows"]]) < count:
            query.awaitTermination(0.2)
        query.stop()

    batches(2)
    store(root, f"{folder}/checkpoints/rate")
    before = read()
    batches(1)
    save(
        f"{folder}/checkpoints/rate/expected.json",
        {
            "options": {"rowsPerSecond": 4, "numPartitions": 2},
            "rows_before": before,
            "rows_after": read(),
            "logs_after": logs(root),
        },
    )


PARTS = {"sinks": sinks, "checkpoints": checkpoints, "rates": rates}

if __name__ == "__main__":
    spark = session()
    for part in sys.argv[2:] or PARTS:
        PARTS[part](spark, sys.argv[1])
        print(part, "recorded", flush=True)

"""Records whole streaming queries as Spark answers them: scenarios.py OUTPUT_DIR [NAME ...]

Writes OUTPUT_DIR/stateless.jsonl (answered), OUTPUT_DIR/refused.jsonl (Spark's words for what it refuses) and
OUTPUT_DIR/joins.jsonl (joins of two streams, from join_tables.py). A scenario
is one SQL text over streams whose micro-batches are given, one JSON-lines file a batch; the queries are in
scenario_tables.py and the format is described in the fixtures' README.
"""

import json
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import scenario_tables
from spark_oracle import canon, refusal, session

THREADS = 4  # queries at a time, each in a session of its own


def answer(spark, scenario):
    """The scenario with Spark's answer in it."""
    work, spark = tempfile.mkdtemp(), spark.newSession()
    record, batches = dict(scenario), []
    for key, value in scenario["conf"].items():
        spark.conf.set(key, value)
    try:
        for name, stream in scenario["streams"].items():
            folder = write_files(f"{work}/{name}", stream["files"])
            reader = spark.readStream.schema(stream["schema"]).option("maxFilesPerTrigger", 1)
            reader.json(folder).createOrReplaceTempView(name)
        for name, table in scenario["static"].items():
            folder = write_files(f"{work}/static_{name}", [table["rows"]])
            spark.read.schema(table["schema"]).json(folder).createOrReplaceTempView(name)
        for name, sql in scenario.get("views", {}).items():
            spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW {name} AS {sql}")
        frame = spark.sql(scenario["sql"])
        record["schema"] = frame.schema.simpleString()
        query = (
            frame.writeStream.outputMode(scenario["mode"])
            .option("checkpointLocation", f"{work}/checkpoint")
            .trigger(availableNow=True)
            .foreachBatch(
                lambda rows, batch: batches.append({"batch": batch, "rows": [canon(r) for r in rows.collect()]})
            )
            .start()
        )
        query.awaitTermination()
        record["expect"] = batches
        record["final_watermark"] = (query.lastProgress or {"eventTime": {}})["eventTime"].get("watermark")
    except Exception as refused:
        record.pop("schema", None)
        record.update(refusal(refused))
        if batches:
            record["before"] = batches
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return record


def write_files(folder, files):
    """One JSON-lines file a batch, with modification times one second apart so that their order is certain."""
    os.makedirs(folder)
    for n, rows in enumerate(files):
        path = f"{folder}/{n:04d}.json"
        with open(path, "w") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows)
        os.utime(path, (1e9 + n, 1e9 + n))
    return folder


def main():
    folder, names = sys.argv[1], set(sys.argv[2:])
    os.makedirs(folder, exist_ok=True)
    spark = session()
    for file, scenarios in scenario_tables.FILES.items():
        path = f"{folder}/{file}.jsonl"
        old = {r["name"]: r for r in map(json.loads, open(path))} if names and os.path.exists(path) else {}
        asked = [s for s in scenarios() if not names or s["name"] in names]
        fresh = {}
        with ThreadPoolExecutor(THREADS) as pool:
            for record in pool.map(lambda s: answer(spark, s), asked):
                fresh[record["name"]] = record
                print(
                    file,
                    record["name"],
                    record.get("error") or f"{sum(len(b['rows']) for b in record['expect'])} rows",
                    flush=True,
                )
        with open(path, "w") as out:
            for record in (fresh.get(s["name"]) or old[s["name"]] for s in scenarios()):
                out.write(json.dumps(record, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

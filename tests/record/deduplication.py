"""Records deduplication as Spark does it: deduplication.py OUTPUT_FILE [NAME ...]

Spark has no SQL for it: `spark` holds the calls on the frame of its first SQL text, `sql` the text that stands for them here.
The format is otherwise that of scenarios.py.
"""

import json
import shutil
import sys
import tempfile

from scenarios import write_files
from spark_oracle import canon, refusal, session

EV = "k STRING, ts TIMESTAMP, v BIGINT"
WATERMARK = ["withWatermark", "ts", "10 seconds"]
CLAUSE = "WATERMARK ts DELAY OF INTERVAL 10 SECONDS"


def at(second):
    if second is None:
        return None
    if second < 0:
        return f"1969-12-31T23:59:{60 + second:02d}Z"
    return f"2024-01-01T00:{second // 60:02d}:{second % 60:02d}Z"


def files(text):
    """`a1 b2 | a- -3`: a batch for each bar; a row is a key and a second, `-` stands for null; v counts the rows."""
    v, batches = 0, []
    for batch in text.split("|"):
        rows = []
        for word in batch.split():
            v += 1
            key, second = word[0], word[1:]
            rows.append({"k": None if key == "-" else key, "ts": at(None if second == "-" else int(second)), "v": v})
        batches.append(rows)
    return batches


def case(name, text, sql, steps, mode="append", schema=EV):
    return {
        "name": f"dedup_{name}", "sql": sql, "mode": mode, "streams": {"ev": {"schema": schema, "files": files(text)}},
        "static": {}, "conf": {}, "dedup": None, "spark": [["sql", "SELECT * FROM STREAM ev"], *steps],
    }


LONG = "a1 a1 b1 -1 -1 | a5 c12 a- a- -- -- | a1 a2 a3 a- | c30 b19 | a31 a21 c12 a- -- | z60 | a31 a21 z60 a- | b90 a91 |"


def cases():
    yield case("all_columns", "a1 a1 | a1 b2", "SELECT DISTINCT ON (k, ts) k, ts FROM STREAM ev", [["select", "k", "ts"], ["dropDuplicates"]])
    yield case("all_columns_with_values", LONG, "SELECT DISTINCT ON (k, ts, v) * FROM STREAM ev", [["dropDuplicates"]])
    yield case("some_columns", LONG, "SELECT DISTINCT ON (k) * FROM STREAM ev", [["dropDuplicates", ["k"]]])
    yield case("update_mode", LONG, "SELECT DISTINCT ON (k) * FROM STREAM ev", [["dropDuplicates", ["k"]]], mode="update")
    yield case("complete_mode", LONG, "SELECT DISTINCT ON (k) * FROM STREAM ev", [["dropDuplicates", ["k"]]], mode="complete")
    yield case("watermark_not_a_key", LONG, f"SELECT DISTINCT ON (k) * FROM STREAM ev {CLAUSE}", [WATERMARK, ["dropDuplicates", ["k"]]])
    yield case("watermark_a_key", LONG, f"SELECT DISTINCT ON (k, ts) * FROM STREAM ev {CLAUSE}", [WATERMARK, ["dropDuplicates", ["k", "ts"]]])
    yield case("only_the_time", LONG, f"SELECT DISTINCT ON (ts) * FROM STREAM ev {CLAUSE}", [WATERMARK, ["dropDuplicates", ["ts"]]])
    yield case("before_1970", "a-5 | a-5 a3 | a3 b50 | a-5 a3 |", f"SELECT DISTINCT ON (k, ts) * FROM STREAM ev {CLAUSE}",
               [WATERMARK, ["dropDuplicates", ["k", "ts"]]])
    yield case("filter_above", LONG, f"SELECT * FROM (SELECT DISTINCT ON (k) * FROM STREAM ev {CLAUSE}) WHERE v > 2 AND k <> 'c'",
               [WATERMARK, ["dropDuplicates", ["k"]], ["where", "v > 2 AND k <> 'c'"]])
    yield case("columns_left_out_above", LONG, f"SELECT v FROM (SELECT DISTINCT ON (k, ts) * FROM STREAM ev {CLAUSE})",
               [WATERMARK, ["dropDuplicates", ["k", "ts"]], ["select", "v"]])
    yield case("twice", LONG, f"SELECT DISTINCT ON (k) * FROM (SELECT DISTINCT ON (k, ts) * FROM STREAM ev {CLAUSE})",
               [WATERMARK, ["dropDuplicates", ["k", "ts"]], ["dropDuplicates", ["k"]]])
    yield case("twice_within", LONG, f"SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM (SELECT DISTINCT ON (k, ts) * FROM STREAM ev {CLAUSE})",
               [WATERMARK, ["dropDuplicates", ["k", "ts"]], ["dropDuplicatesWithinWatermark", ["k"]]])
    for name, delay in [("", "10 seconds"), ("_no_delay", "0 seconds"), ("_long", "1 hour")]:
        clause = f"WATERMARK ts DELAY OF INTERVAL {delay.upper()}"
        yield case(f"within{name}", LONG, f"SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM STREAM ev {clause}",
                   [["withWatermark", "ts", delay], ["dropDuplicatesWithinWatermark", ["k"]]])
    yield case("within_trace", "a10 | a19 | a20 z30 | a21 | z45 | a46 | a36", f"SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM STREAM ev {CLAUSE}",
               [WATERMARK, ["dropDuplicatesWithinWatermark", ["k"]]])
    yield case("within_time_is_key", LONG, f"SELECT DISTINCT ON (ts, k) WITHIN WATERMARK * FROM STREAM ev {CLAUSE}",
               [WATERMARK, ["dropDuplicatesWithinWatermark", ["ts", "k"]]])
    yield case("within_all_columns", LONG, f"SELECT DISTINCT ON (k, ts, v) WITHIN WATERMARK * FROM STREAM ev {CLAUSE}",
               [WATERMARK, ["dropDuplicatesWithinWatermark"]])
    yield case("within_time_left_out_above", LONG, f"SELECT k, v FROM (SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM STREAM ev {CLAUSE})",
               [WATERMARK, ["dropDuplicatesWithinWatermark", ["k"]], ["select", "k", "v"]])
    yield case("within_update", LONG, f"SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM STREAM ev {CLAUSE}",
               [WATERMARK, ["dropDuplicatesWithinWatermark", ["k"]]], mode="update")
    yield case("within_no_watermark", LONG, "SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM STREAM ev", [["dropDuplicatesWithinWatermark", ["k"]]])
    for mode in ["append", "update", "complete"]:
        yield case(f"then_window_{mode}", LONG,
                   f"SELECT window.start AS ws, count(*) AS n, sum(v) AS s FROM (SELECT DISTINCT ON (k, ts) * FROM STREAM ev {CLAUSE}) GROUP BY window(ts, '5 seconds')",
                   [WATERMARK, ["dropDuplicates", ["k", "ts"]], ["then", "SELECT window.start AS ws, count(*) AS n, sum(v) AS s FROM input GROUP BY window(ts, '5 seconds')"]],
                   mode=mode)
    yield case("within_then_window", LONG,
               f"SELECT window.start AS ws, count(*) AS n FROM (SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM STREAM ev {CLAUSE}) GROUP BY window(ts, '5 seconds')",
               [WATERMARK, ["dropDuplicatesWithinWatermark", ["k"]], ["then", "SELECT window.start AS ws, count(*) AS n FROM input GROUP BY window(ts, '5 seconds')"]])
    counted = "SELECT window AS w, k, count(*) AS n FROM {} GROUP BY window(ts, '5 seconds'), k"
    yield case("of_windows", LONG, f"SELECT DISTINCT ON (w, n) * FROM ({counted.format('STREAM ev ' + CLAUSE)})",
               [WATERMARK, ["then", counted.format("input")], ["dropDuplicates", ["w", "n"]]])
    yield case("of_counts", LONG, f"SELECT n FROM (SELECT DISTINCT ON (n) * FROM ({counted.format('STREAM ev ' + CLAUSE)}))",
               [WATERMARK, ["then", counted.format("input")], ["dropDuplicates", ["n"]], ["select", "n"]])
    yield case("of_counts_update", LONG, f"SELECT n FROM (SELECT DISTINCT ON (n) * FROM ({counted.format('STREAM ev ' + CLAUSE)}))",
               [WATERMARK, ["then", counted.format("input")], ["dropDuplicates", ["n"]], ["select", "n"]], mode="update")
    yield case("of_counts_complete", LONG, f"SELECT n FROM (SELECT DISTINCT ON (n) * FROM ({counted.format('STREAM ev ' + CLAUSE)}))",
               [WATERMARK, ["then", counted.format("input")], ["dropDuplicates", ["n"]], ["select", "n"]], mode="complete")
    for mode in ["update", "complete"]:
        yield case(f"counts_of_counts_{mode}", LONG, f"SELECT n, count(*) AS c FROM ({counted.format('STREAM ev ' + CLAUSE)}) GROUP BY n",
                   [WATERMARK, ["then", counted.format("input")], ["then", "SELECT n, count(*) AS c FROM input GROUP BY n"]], mode=mode)
    yield case("of_a_union", LONG, f"SELECT DISTINCT ON (k) WITHIN WATERMARK * FROM (SELECT * FROM STREAM ev UNION ALL SELECT * FROM STREAM ev) {CLAUSE}",
               [["then", "SELECT * FROM input UNION ALL SELECT * FROM input"], WATERMARK, ["dropDuplicatesWithinWatermark", ["k"]]])
    yield case("limited", LONG, "SELECT * FROM (SELECT DISTINCT ON (k) * FROM STREAM ev) LIMIT 2", [["dropDuplicates", ["k"]], ["limit", 2]])
    yield case("second_watermark", LONG, f"SELECT * FROM (SELECT DISTINCT ON (k, ts) * FROM STREAM ev {CLAUSE}) WATERMARK ts DELAY OF INTERVAL 1 SECOND",
               [WATERMARK, ["dropDuplicates", ["k", "ts"]], ["withWatermark", "ts", "1 second"]])
    yield from chains()


OTHER = "SELECT k AS j, ts AS us, v AS w FROM STREAM ot WATERMARK ts DELAY OF INTERVAL 5 SECONDS"
NEAR = "us BETWEEN ts - INTERVAL 5 SECONDS AND ts + INTERVAL 10 SECONDS"


def chains():
    """Deduplicated rows that go on into joins and unions, beside a second stream `ot`."""
    def chain(name, sql):
        made = case(name, LONG, sql.replace("{}", f"(SELECT DISTINCT ON (k, ts) * FROM STREAM ev {CLAUSE})"),
                    [WATERMARK, ["dropDuplicates", ["k", "ts"]], ["then", sql.replace("{}", "input")]])
        made["streams"]["ot"] = {"schema": EV, "files": files("a3 a3 b2 | c13 a9 -5 | a4 c14 | b20 | a33 a22 c31 | z61 | z66 a32 | a95 b91 | a200")}
        return made

    joined = "SELECT k, ts, v, w FROM {} x {} JOIN (" + OTHER + ") y ON k = j AND " + NEAR
    yield chain("then_join", joined.format("{}", "INNER"))
    yield chain("then_left_join", joined.format("{}", "LEFT OUTER"))
    yield chain("then_semi_join", joined.format("{}", "LEFT SEMI").replace(", w FROM", " FROM"))
    yield chain("joins_united", f"{joined.format('{}', 'INNER')} UNION ALL {joined.format('{}', 'LEFT OUTER')} AND v > w")
    yield chain("united_with_windows", "SELECT k, v FROM {} UNION ALL "
                "SELECT j, count(*) FROM (" + OTHER + ") GROUP BY window(us, '10 seconds'), j")
    yield chain("then_join_then_window", "SELECT window.start AS ws, count(*) AS n, sum(w) AS s FROM ("
                + joined.format("{}", "INNER") + ") GROUP BY window(ts, '10 seconds')")


def answer(spark, scenario):
    """The scenario with Spark's answer in it."""
    work, spark = tempfile.mkdtemp(), spark.newSession()
    record, batches, states = dict(scenario), [], []
    try:
        for name, stream in scenario["streams"].items():
            folder = write_files(f"{work}/{name}", stream["files"])
            reader = spark.readStream.schema(stream["schema"]).option("maxFilesPerTrigger", 1)
            reader.json(folder).createOrReplaceTempView(name)
        frame = None
        for step, *arguments in scenario["spark"]:
            if step == "sql":
                frame = spark.sql(arguments[0])
            elif step == "then":
                frame.createOrReplaceTempView("input")
                frame = spark.sql(arguments[0])
            else:
                frame = getattr(frame, step)(*arguments)
        record["schema"] = frame.schema.simpleString()
        query = (
            frame.writeStream.outputMode(scenario["mode"])
            .option("checkpointLocation", f"{work}/checkpoint")
            .trigger(availableNow=True)
            .foreachBatch(lambda rows, batch: batches.append({"batch": batch, "rows": [canon(r) for r in rows.collect()]}))
            .start()
        )
        query.awaitTermination()
        record["expect"] = batches
        fields = ["numRowsTotal", "numRowsUpdated", "numRowsRemoved", "numRowsDroppedByWatermark"]
        for progress in map(lambda p: json.loads(p.json), query.recentProgress):
            states.append([
                {"operator": s["operatorName"], **{f: s[f] for f in fields}, **{k: n for k, n in s["customMetrics"].items() if k == "numDroppedDuplicateRows"}}
                for s in progress["stateOperators"]
            ])
        record["state"] = states
        record["final_watermark"] = (query.lastProgress or {"eventTime": {}})["eventTime"].get("watermark")
    except Exception as refused:
        record.pop("schema", None)
        record.update(refusal(refused))
        if batches:
            record["before"] = batches
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return record


def main():
    path, names = sys.argv[1], set(sys.argv[2:])
    spark = session()
    with open(path, "w") as out:
        for scenario in cases():
            if not names or scenario["name"] in names:
                record = answer(spark, scenario)
                print(record["name"], record.get("error") or sum(len(b["rows"]) for b in record["expect"]), flush=True)
                out.write(json.dumps(record) + "\n")


main()

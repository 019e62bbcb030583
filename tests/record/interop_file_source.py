"""Records which files the file source reads in which batch: interop_file_source.py OUTPUT_DIR [CASE ...]

Writes OUTPUT_DIR/file_source.jsonl: one case a line. A case adds files (with modification times) in steps and runs the same
query, on the same checkpoint, to its end after each step; Spark's answer is the batches of each step, taken from the source's own log.
"""

import json
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from spark_oracle import ROOT_PLACEHOLDER, canon, refusal, session

DAY_MS = 86_400_000
T0 = 1_700_000_000_000


def files(*specs):
    """(path, modification time in ms after T0[, rows or bytes]) as the files of a step."""
    result = []
    for n, (path, offset, *content) in enumerate(specs):
        result.append(
            {"path": path, "modified_ms": T0 + offset, "text": content[0] if content else json.dumps({"v": n}) + "\n"}
        )
    return result


def case(name, *steps, options=None, path="in", schema="v INT", format="json", trigger="availableNow", **more):
    """A case; a step is a list of files."""
    return {
        "name": name,
        "format": format,
        "schema": schema,
        "path": path,
        "options": options or {},
        "trigger": trigger,
        "steps": [{"add": s} for s in steps],
        **more,
    }


FIVE = files(("in/e.json", 5000), ("in/d.json", 4000), ("in/c.json", 3000), ("in/b.json", 2000), ("in/a.json", 1000))
SAME = files(("in/c.json", 1000), ("in/a.json", 1000), ("in/b.json", 1000), ("in/d.json", 500), ("in/B.json", 1000))
SIZES = files(
    ("in/a.json", 1000, '{"v":1}\n'),
    ("in/b.json", 2000, '{"v":2}\n' * 10),
    ("in/c.json", 3000, '{"v":3}\n'),
    ("in/d.json", 4000, '{"v":4}\n'),
    ("in/e.json", 5000, '{"v":5}\n' * 3),
)
NESTED = files(
    ("in/a.json", 1000),
    ("in/x/b.json", 2000),
    ("in/x/y/c.json", 3000),
    ("in/_hidden.json", 4000),
    ("in/.dot.json", 5000),
    ("in/_dir/d.json", 6000),
    ("in/e.txt", 7000),
)
AGED = (
    files(("in/a.json", 0), ("in/b.json", -8 * DAY_MS)),
    files(("in/c.json", -6 * DAY_MS), ("in/d.json", -8 * DAY_MS), ("in/e.json", 1000)),
    files(("in/f.json", -7 * DAY_MS), ("in/g.json", 9 * DAY_MS)),
    files(("in/h.json", DAY_MS), ("in/i.json", 3 * DAY_MS)),
)
PARTITIONED = files(
    ("in/p=1/q=a/x.json", 1000),
    ("in/p=2/q=b%20c/x.json", 2000),
    ("in/p=__HIVE_DEFAULT_PARTITION__/q=__HIVE_DEFAULT_PARTITION__/x.json", 3000),
    ("in/p=-3/q=%2F/x.json", 4000),
)
KINDS = files(
    ("in/i=1/d=1.5/t=2024-01-01/s=2024-01-01 10%3A00%3A00/l=3000000000/x.json", 1000),
    ("in/i=02/d=2/t=2024-01-02/s=2024-01-02 10%3A00%3A00.5/l=1/x.json", 2000),
)

CASES = [
    case("no_limit", FIVE),
    case("max_files", FIVE, options={"maxFilesPerTrigger": "2"}),
    case("max_files_one", FIVE, options={"maxFilesPerTrigger": "1"}),
    case("max_files_two_steps", FIVE[:3], FIVE[3:], options={"maxFilesPerTrigger": "2"}),
    case(
        "max_files_cached_rest",
        FIVE + files(("in/f.json", 6000), ("in/g.json", 7000)),
        options={"maxFilesPerTrigger": "3"},
    ),
    case("max_files_zero", FIVE, options={"maxFilesPerTrigger": "0"}),
    case("max_files_junk", FIVE, options={"maxFilesPerTrigger": "x"}),
    case("max_bytes", SIZES, options={"maxBytesPerTrigger": "16"}),
    case("max_bytes_exact", SIZES, options={"maxBytesPerTrigger": "24"}),
    case("max_bytes_first_too_big", SIZES[1:], options={"maxBytesPerTrigger": "10"}),
    case("max_bytes_huge", SIZES, options={"maxBytesPerTrigger": "1000000"}),
    case("max_bytes_latest_first", SIZES, options={"maxBytesPerTrigger": "30", "latestFirst": "true"}),
    case("max_files_and_bytes", SIZES, options={"maxBytesPerTrigger": "16", "maxFilesPerTrigger": "1"}),
    case("latest_first", FIVE, options={"latestFirst": "true", "maxFilesPerTrigger": "2"}),
    case("latest_first_no_limit", FIVE, options={"latestFirst": "true"}),
    case("latest_first_two_steps", FIVE[2:], FIVE[:2], options={"latestFirst": "true", "maxFilesPerTrigger": "2"}),
    case("equal_times", SAME, options={"maxFilesPerTrigger": "2"}),
    case("equal_times_latest_first", SAME, options={"maxFilesPerTrigger": "2", "latestFirst": "true"}),
    case(
        "equal_times_folders",
        files(("in/z/a.json", 1000), ("in/a/z.json", 1000), ("in/m.json", 1000)),
        options={"maxFilesPerTrigger": "1", "recursiveFileLookup": "true"},
    ),
    case(
        "millisecond_order",
        files(("in/a.json", 1), ("in/b.json", 0), ("in/c.json", 2)),
        options={"maxFilesPerTrigger": "1"},
    ),
    case("once", FIVE, options={"maxFilesPerTrigger": "2"}, trigger="once"),
    case("once_two_steps", FIVE[:3], FIVE[3:], options={"maxFilesPerTrigger": "2"}, trigger="once"),
    case("nothing_new", FIVE[:1], [], FIVE[1:2]),
    case("empty_folder", [], FIVE[:1]),
    case("empty_file", files(("in/a.json", 1000, ""), ("in/b.json", 2000)), options={"maxFilesPerTrigger": "1"}),
    case("seen_file_changed", FIVE[:2], files(("in/e.json", 9000, '{"v":99}\n'), ("in/z.json", 9500))),
    case("default_max_age", *AGED),
    case("max_age_one_day", *AGED, options={"maxFileAge": "1 day"}),
    case("max_age_1d", *AGED, options={"maxFileAge": "1d"}),
    case("max_age_one_hour", *AGED, options={"maxFileAge": "1h", "maxFilesPerTrigger": "1"}),
    case("max_age_plain_number", *AGED, options={"maxFileAge": "3600000"}),
    case("max_age_ms", *AGED, options={"maxFileAge": "86400000ms"}),
    case(
        "max_age_latest_first_limit",
        *AGED,
        options={"maxFileAge": "1d", "latestFirst": "true", "maxFilesPerTrigger": "1"},
    ),
    case("max_age_junk", FIVE, options={"maxFileAge": "soon"}),
    case(
        "file_name_only",
        files(("in/x/a.json", 1000), ("in/y/b.json", 2000)),
        files(("in/y/a.json", 3000), ("in/x/c.json", 4000)),
        path="in/*",
        options={"fileNameOnly": "true"},
    ),
    case("file_name_full", files(("in/x/a.json", 1000)), files(("in/y/a.json", 3000)), path="in/*"),
    case(
        "file_name_only_same_step",
        files(("in/x/a.json", 1000), ("in/y/a.json", 2000)),
        path="in/*",
        options={"fileNameOnly": "true"},
    ),
    case("nested_plain", NESTED),
    case("nested_recursive", NESTED, options={"recursiveFileLookup": "true"}),
    case("glob_filter", NESTED, options={"pathGlobFilter": "*.json"}),
    case("glob_filter_recursive", NESTED, options={"pathGlobFilter": "[a-c].json", "recursiveFileLookup": "true"}),
    case("glob_filter_braces", FIVE, options={"pathGlobFilter": "{a,c}.json"}),
    case("glob_path", FIVE, path="in/[b-d].json"),
    case(
        "glob_path_folders",
        files(("in/x1/a.json", 1000), ("in/x2/b.json", 2000), ("in/y/c.json", 3000)),
        files(("in/x3/d.json", 4000)),
        path="in/x*",
    ),
    case("glob_path_braces", FIVE, path="in/{a,e}.json"),
    case("glob_path_question", files(("in/a1.json", 1000), ("in/a22.json", 2000)), path="in/a?.json"),
    case("glob_path_star_json", NESTED, path="in/*.json"),
    case("glob_path_nested", NESTED, path="in/*/*.json"),
    case("single_file_path", FIVE, path="in/c.json"),
    case("missing_folder", [], path="nowhere"),
    case("missing_glob", FIVE, path="in/zz*"),
    case("modified_after", FIVE, options={"modifiedAfter": "2023-01-01T00:00:00"}),
    case("partition_in_schema", PARTITIONED, schema="v INT, p INT, q STRING"),
    case("partition_not_in_schema", PARTITIONED, schema="v INT"),
    case("partition_one_in_schema", PARTITIONED, schema="v INT, q STRING"),
    case("partition_first_in_schema", PARTITIONED, schema="p INT, v INT"),
    case("partition_string_type", PARTITIONED, schema="v INT, p STRING, q STRING"),
    case("partition_other_case", PARTITIONED, schema="v INT, P BIGINT, Q STRING"),
    case("partition_empty_value", files(("in/p=/x.json", 1000)), schema="v INT, p STRING"),
    case("partition_bad_type", files(("in/p=1/x.json", 1000), ("in/p=abc/x.json", 2000)), schema="v INT, p INT"),
    case("partition_kinds", KINDS, schema="v INT, i INT, d DOUBLE, t DATE, s TIMESTAMP, l BIGINT"),
    case("partition_kinds_inferred", KINDS, schema="v INT"),
    case("partition_decimal", files(("in/p=1.50/x.json", 1000)), schema="v INT, p DECIMAL(5,2)"),
    case("partition_boolean", files(("in/p=true/x.json", 1000)), schema="v INT, p BOOLEAN"),
    case("partition_in_data_too", files(("in/p=1/x.json", 1000, '{"v":1,"p":9}\n')), schema="v INT, p INT"),
    case("partition_glob_base", PARTITIONED, path="in/p=*", schema="v INT, p INT, q STRING"),
    case(
        "partition_glob_base_path",
        PARTITIONED,
        path="in/p=*",
        schema="v INT, p INT, q STRING",
        options={"basePath": "@ROOT@/in"},
    ),
    case("partition_single_folder", PARTITIONED, path="in/p=1", schema="v INT, p INT, q STRING"),
    case("partition_recursive", PARTITIONED, schema="v INT, p INT", options={"recursiveFileLookup": "true"}),
    case(
        "partition_new_value_later",
        files(("in/p=1/x.json", 1000)),
        files(("in/p=2/x.json", 2000)),
        schema="v INT, p INT",
    ),
    case("clean_delete", FIVE[2:], FIVE[1:2], FIVE[:1], options={"cleanSource": "delete", "maxFilesPerTrigger": "1"}),
    case(
        "clean_archive",
        FIVE[2:],
        FIVE[1:2],
        FIVE[:1],
        options={"cleanSource": "archive", "sourceArchiveDir": "@ROOT@/archive", "maxFilesPerTrigger": "1"},
    ),
    case("clean_archive_inside", FIVE, options={"cleanSource": "archive", "sourceArchiveDir": "@ROOT@/in/archive"}),
    case("clean_archive_missing", FIVE, options={"cleanSource": "archive"}),
    case("clean_junk", FIVE, options={"cleanSource": "maybe"}),
    case(
        "text_source",
        files(("in/a.txt", 1000, "one\ntwo\n\nlast"), ("in/b.txt", 2000, "é\r\nx\r")),
        format="text",
        schema=None,
    ),
    case(
        "text_whole",
        files(("in/a.txt", 1000, "one\ntwo\n"), ("in/b.txt", 2000, "")),
        format="text",
        schema=None,
        options={"wholetext": "true"},
    ),
    case(
        "text_line_separator", files(("in/a.txt", 1000, "a|b||c")), format="text", schema=None, options={"lineSep": "|"}
    ),
    case("text_partition", files(("in/p=1/a.txt", 1000, "x\n")), format="text", schema=None),
    case(
        "csv_source",
        files(("in/a.csv", 1000, "v,w\n1,a\n2,\n"), ("in/b.csv", 2000, 'v,w\n3,"x,y"\n')),
        format="csv",
        schema="v INT, w STRING",
        options={"header": "true"},
    ),
    case("csv_no_header", files(("in/a.csv", 1000, "1,a\nbad,b\n3\n")), format="csv", schema="v INT, w STRING"),
    case(
        "json_malformed",
        files(("in/a.json", 1000, '{"v":1}\n{"v":\nnot json\n\n{"v":"x"}\n{"V":2}\n[{"v":3},{"v":4}]\n{"v":5} \n')),
        schema="v INT, _corrupt_record STRING",
    ),
    case(
        "json_drop_malformed",
        files(("in/a.json", 1000, '{"v":1}\n{"v":\n{"v":"x"}\n')),
        options={"mode": "DROPMALFORMED"},
    ),
    case("json_fail_fast", files(("in/a.json", 1000, '{"v":1}\n{"v":\n')), options={"mode": "FAILFAST"}),
    case(
        "json_multi_line",
        files(("in/a.json", 1000, '[{"v":1},\n{"v":2}]'), ("in/b.json", 2000, '{\n"v":3\n}')),
        options={"multiLine": "true"},
    ),
    case("json_no_schema", FIVE, schema=None),
    case(
        "metadata_column",
        FIVE[:2],
        select="v, _metadata.file_name AS n, _metadata.file_size AS size, _metadata.file_modification_time AS t",
    ),
    case("unknown_option", FIVE[:1], options={"nosuchoption": "1"}),
    case("option_case", FIVE, options={"MAXFILESPERTRIGGER": "2"}),
    case("sink_folder", FIVE[:2], FIVE[2:], sink_source=True, schema="v INT"),
    case("sink_folder_max_files", FIVE, sink_source=True, schema="v INT", options={"maxFilesPerTrigger": "1"}),
    case("sink_folder_clean", FIVE[:2], sink_source=True, options={"cleanSource": "delete"}),
]


def answer(spark, question):
    """The case with Spark's answer in it."""
    spark, root = spark.newSession(), f"{tempfile.mkdtemp()}/case"
    record = json.loads(json.dumps(question))
    os.makedirs(f"{root}/in")
    try:
        for step in record["steps"]:
            for file in step["add"]:
                put(root, file)
            if question.get("sink_source"):
                through_sink(spark, root, question)
            known = set(batches(root))
            rows = []
            try:
                step_run(spark, root, question, rows)
            except Exception as failed:
                step.update(json.loads(json.dumps(refusal(failed)).replace(root, ROOT_PLACEHOLDER)))
            step["batches"] = [{"batch": n, "files": f} for n, f in sorted(batches(root).items()) if n not in known]
            step["rows"] = rows
            step["files_left"] = sorted(
                os.path.relpath(f"{d}/{f}", root)
                for top in ("in", "archive")
                for d, _, names in os.walk(f"{root}/{top}")
                for f in names
            )
            if question.get("sink_source"):
                step["batches"] = [{"batch": b["batch"], "files": len(b["files"])} for b in step["batches"]]
                del step["files_left"]
            for key in ("batches", "files_left"):
                if key in step:
                    step[key] = json.loads(json.dumps(step[key]).replace(root, ROOT_PLACEHOLDER))
    finally:
        shutil.rmtree(os.path.dirname(root), ignore_errors=True)
    return record


def put(root, file):
    """Writes one file with its modification time."""
    path = f"{root}/{file['path']}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", newline="") as out:
        out.write(file["text"])
    os.utime(path, ns=(file["modified_ms"] * 10**6,) * 2)


def through_sink(spark, root, question):
    """Moves the rows of `in` on into `sunk` by a file sink, a file a batch: `sunk` is what the case reads. A stray file lies beside its log."""
    frame = spark.readStream.schema(question["schema"]).option("maxFilesPerTrigger", 1).json(f"{root}/in")
    frame.writeStream.format("json").option("checkpointLocation", f"{root}/sink_checkpoint").trigger(
        availableNow=True
    ).start(f"{root}/sunk").awaitTermination()
    with open(f"{root}/sunk/stray.json", "w") as out:
        out.write('{"v":-1}\n')


def step_run(spark, root, question, rows):
    """One run of the query to its end; `rows` receives what it saw, per batch."""
    reader = spark.readStream.format(question["format"]).options(
        **{k: v.replace(ROOT_PLACEHOLDER, root) for k, v in question["options"].items()}
    )
    if question["schema"]:
        reader = reader.schema(question["schema"])
    frame = reader.load(f"{root}/{'sunk' if question.get('sink_source') else question['path']}")
    if "select" in question:
        frame = frame.selectExpr(*question["select"].split(", "))
    keep = lambda batch, number: rows.append({"batch": number, "rows": [canon(r) for r in batch.collect()]})
    writer = frame.writeStream.foreachBatch(keep).option("checkpointLocation", f"{root}/checkpoint")
    writer.trigger(**{question["trigger"]: True}).start().awaitTermination()


def batches(root):
    """Batch → files, from the log of the source, in its order."""
    found, folder = {}, f"{root}/checkpoint/sources/0"
    for name in os.listdir(folder) if os.path.exists(folder) else []:
        if not name.startswith("."):
            for line in open(f"{folder}/{name}").read().split("\n")[1:]:
                entry = json.loads(line) if line else None
                if entry:
                    path = entry["path"].replace("file://", "")
                    listed = found.setdefault(entry["batchId"], [])
                    path = path.removeprefix(root + "/")
                    if path not in listed:
                        listed.append(path)
    return found


def main():
    folder, names = sys.argv[1], set(sys.argv[2:])
    os.makedirs(folder, exist_ok=True)
    path, spark = f"{folder}/file_source.jsonl", session()
    old = {r["name"]: r for r in map(json.loads, open(path))} if names and os.path.exists(path) else {}
    with ThreadPoolExecutor(3) as pool:
        fresh = {
            r["name"]: r
            for r in pool.map(lambda c: answer(spark, c), [c for c in CASES if not names or c["name"] in names])
        }
    with open(path, "w") as out:
        for question in CASES:
            record = fresh.get(question["name"]) or old[question["name"]]
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
    print(len(fresh), "cases recorded")


if __name__ == "__main__":
    main()

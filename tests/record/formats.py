"""Records how Spark reads and writes JSON, CSV and text files: formats.py OUTPUT_DIR

Writes OUTPUT_DIR/formats_read.jsonl (a file's text under a schema and options → rows) and formats_write.jsonl (a SELECT over
`t` → the file's text). The cases are in format_tables.py.
"""

import base64
import gzip
import json
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import expression_tables
import expressions
import format_tables
from spark_oracle import ROOT_PLACEHOLDER, refusal, session


def read_answer(spark, case):
    """The case with the rows that Spark reads."""
    root = tempfile.mkdtemp()
    data = base64.b64decode(case["base64"]) if "base64" in case else case["text"].encode()
    with open(f"{root}/{case.get('file', 'a')}", "wb") as out:
        out.write(gzip.compress(data) if case.get("gzip") else data)
    record = dict(case)
    try:
        frame = spark.read.format(case["format"]).schema(case["schema"]).options(**case["options"]).load(f"{root}")
        record["type"] = frame.schema.simpleString()
        names = frame.columns
        rows = expressions.collect(frame, [f.dataType.simpleString() for f in frame.schema.fields])
        record["rows"] = [dict(zip(names, row)) for row in rows]
    except Exception as failed:
        record.update(json.loads(json.dumps(refusal(failed)).replace(root, ROOT_PLACEHOLDER)))
    return record


def write_answer(spark, case):
    """The case with the text that Spark writes."""
    root, record = tempfile.mkdtemp(), dict(case)
    try:
        frame = spark.sql(f"SELECT {case['select']} FROM t").coalesce(1)
        frame.write.format(case["format"]).options(**case["options"]).save(f"{root}/out")
        parts = [name for name in sorted(os.listdir(f"{root}/out")) if name.startswith("part-")]
        record["suffix"] = parts[0].split("-c000", 1)[1] if parts else None
        data = b"".join(open(f"{root}/out/{name}", "rb").read() for name in parts)
        data = gzip.decompress(data) if record["suffix"] and record["suffix"].endswith(".gz") else data
        try:
            record["text"] = data.decode()
        except UnicodeDecodeError:
            record["base64"] = base64.b64encode(data).decode()
    except Exception as failed:
        record.update(json.loads(json.dumps(refusal(failed)).replace(root, ROOT_PLACEHOLDER)))
    return record


def main():
    folder, spark = sys.argv[1], session()
    spark.sql(expression_tables.TABLE).createOrReplaceTempView("t")
    for name, cases, answer in [
        ("read", format_tables.reads(), read_answer),
        ("write", format_tables.writes(), write_answer),
    ]:
        with open(f"{folder}/formats_{name}.jsonl", "w") as out, ThreadPoolExecutor(3) as pool:
            records = list(pool.map(lambda case: answer(spark, case), cases))
            out.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
        print(name, len(records), "cases,", sum("error" in r for r in records), "with an error")


if __name__ == "__main__":
    main()

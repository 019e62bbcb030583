"""Asks expressions.jsonl's questions again in another way: expressions_recheck.py FIXTURES_DIR

The answers were recorded over a local relation, which Spark interprets. Here many expressions at a time go over t.parquet, as
compiled code. Prints what differs; the fixtures' README names the differences that are known.
"""

import json
import sys

import expressions
from spark_oracle import session

AT_A_TIME = 25
SEVERAL_ROWS = ("explode", "inline", "stack", "OVER")


def differences(spark, records):
    """Yields a line for each of the records whose compiled answer is another."""
    columns = ", ".join(f"{r['sql']} AS q{n}" for n, r in enumerate(records))
    try:
        rows = expressions.collect(spark.sql(f"SELECT {columns} FROM t ORDER BY id"), [r["type"] for r in records])
    except Exception as failed:
        if len(records) == 1:
            yield f"{records[0]['sql']}: {str(failed)[:150]}"
            return
        half = len(records) // 2
        yield from differences(spark, records[:half])
        yield from differences(spark, records[half:])
        return
    for n, record in enumerate(records):
        for compiled, recorded in zip((row[n] for row in rows), record["rows"]):
            texts = json.dumps(compiled), json.dumps(recorded)
            if texts[0] != texts[1] and "$string" not in "".join(texts):
                yield f"{record['sql']}: {texts[0]} compiled, {texts[1]} recorded"


def main():
    spark = session()
    spark.read.parquet(f"{sys.argv[1]}/t.parquet").createOrReplaceTempView("t")
    records = [
        r
        for r in map(json.loads, open(f"{sys.argv[1]}/expressions.jsonl"))
        if r["from"] == "t" and "rows" in r and "name" in r
    ]
    records = [
        r
        for r in records
        if len(r["rows"]) == 9 and r["group"] != "name" and not any(word in r["sql"] for word in SEVERAL_ROWS)
    ]
    found = [line for n in range(0, len(records), AT_A_TIME) for line in differences(spark, records[n : n + AT_A_TIME])]
    print("\n".join(found))
    print(f"{len(records)} asked again, {len(found)} values differ")


if __name__ == "__main__":
    main()

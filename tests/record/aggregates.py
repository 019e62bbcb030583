"""Records what Spark answers to aggregate queries: aggregates.py OUTPUT_FILE [GROUP ...]

Writes JSON lines: first the tables, then a query a line. With GROUPs, records only these and keeps the other lines of the
existing file. The questions are in aggregate_tables.py; the format is in the fixtures' README.
"""

import datetime
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import aggregate_tables
from expressions import at_scale
from spark_oracle import canon, error, session

THREADS = 3
TABLES = {"a": aggregate_tables.TABLE, "e": aggregate_tables.EXTREMES}


def value(field_value, field_type):
    """A value in canonical JSON, the decimals inside of arrays and structs at their scale too."""
    from pyspark.sql import types

    if field_value is None:
        return None
    if isinstance(field_type, types.ArrayType):
        return [value(item, field_type.elementType) for item in field_value]
    if isinstance(field_type, types.StructType):
        return {f.name: value(field_value[f.name], f.dataType) for f in field_type.fields}
    if isinstance(field_value, datetime.timedelta):
        return field_value // datetime.timedelta(microseconds=1)
    return canon(at_scale(field_value, field_type.simpleString()))


def collect(frame):
    """The rows; intervals of months as Spark prints them, those of days as microseconds."""
    kinds = [f.dataType for f in frame.schema.fields]
    printed = [k.simpleString().startswith(("interval year", "interval month")) for k in kinds]
    if any(printed):
        aliases = [f"c{n}" for n in range(len(kinds))]
        frame = frame.toDF(*aliases).selectExpr(*(f"CAST({a} AS STRING)" if p else a for a, p in zip(aliases, printed)))
        kinds = [f.dataType for f in frame.schema.fields]
    return [[value(v, k) for v, k in zip(row, kinds)] for row in frame.collect()]


def answer(spark, question):
    """One line of the file: the question with Spark's answer in it."""
    group, sql = question
    record = {"group": group, "sql": sql}
    try:
        frame = spark.sql(sql)
    except Exception as refused:
        return {**record, "error": error(refused), "when": "analysis"}
    record.update(names=frame.columns, types=[f.dataType.simpleString() for f in frame.schema.fields])
    try:
        return {**record, "rows": collect(frame)}
    except Exception as failed:
        return {**record, "error": error(failed), "when": "execution"}


def main():
    path, groups = sys.argv[1], sys.argv[2:]
    spark = session()
    for name, sql in TABLES.items():
        # In one partition: the rows' order is what first, last and collect_list answer.
        spark.sql(sql).coalesce(1).createOrReplaceTempView(name)
    kept = [line for line in open(path)][1:] if groups and os.path.exists(path) else []
    kept = [line for line in kept if json.loads(line)["group"] not in groups]
    asked = [q for q in dict.fromkeys(aggregate_tables.questions()) if not groups or q[0] in groups]
    count, failed = 0, 0
    with open(path + ".new", "w") as out, ThreadPoolExecutor(THREADS) as pool:
        out.write(json.dumps({"tables": TABLES}, ensure_ascii=False) + "\n")
        out.writelines(kept)
        for record in pool.map(lambda question: answer(spark, question), asked):
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
            count, failed = count + 1, failed + ("error" in record)
    os.replace(path + ".new", path)
    print(f"{count} queries, {failed} of them with an error")


if __name__ == "__main__":
    main()

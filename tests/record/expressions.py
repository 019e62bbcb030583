"""Records what Spark answers to single SQL expressions: expressions.py OUTPUT_DIR [GROUP ...]

Writes OUTPUT_DIR/expressions.jsonl, t.json and t.parquet (the input table). With GROUPs, records only these and keeps
the other lines of the existing file. The questions are in expression_tables.py; the format is in the fixtures' README.
"""

import decimal
import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import expression_tables
from spark_oracle import canon, error, session

# Python cannot hold these; Spark prints them instead.
PRINTED_TYPES = ("interval", "variant")
TIMESTAMPS = ("timestamp", "timestamp_ntz")
THREADS = 3  # Spark's driver answers them; a question costs about 0.1 s


def write_table(spark, folder):
    """Registers `t` as a local relation and stores it as JSON and as Parquet."""
    table = spark.sql(expression_tables.TABLE)
    table.createOrReplaceTempView("t")
    printed = spark.sql("SELECT id, CAST(ts AS STRING) ts, CAST(ntz AS STRING) ntz FROM t").collect()
    rows, plain = [], table.drop("ts", "ntz")
    for row, text in zip(plain.collect(), printed):
        values = {f.name: canon(at_scale(row[f.name], f.dataType.simpleString())) for f in plain.schema}
        values["ts"], values["ntz"] = iso(text.ts), iso(text.ntz)
        rows.append({name: values[name] for name in table.columns})
    schema = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in table.schema)
    with open(f"{folder}/t.json", "w") as out:
        out.write(json.dumps({"schema": schema, "sql": expression_tables.TABLE.strip()}, ensure_ascii=False)[:-1])
        out.write(',\n"rows": [\n' + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]}\n")
    scratch = f"{folder}/.t.parquet"
    table.coalesce(1).write.mode("overwrite").option("compression", "none").parquet(scratch)
    part = next(name for name in os.listdir(scratch) if name.startswith("part-"))
    shutil.move(f"{scratch}/{part}", f"{folder}/t.parquet")
    shutil.rmtree(scratch)
    return [row["id"] for row in rows]


def iso(text):
    """Spark's text of a timestamp in the form that `canon` gives: Python's own clock stops short of the years 1 and 9999."""
    if text is None:
        return None
    day, _, time = text.partition(" ")
    seconds, _, fraction = time.partition(".")
    return f"{day}T{seconds}.{fraction:0<6}Z"


def collect(frame, types):
    """The rows of a query. What Python cannot hold (intervals, the year 10000) is taken from Spark's text of it; where
    that text cannot be told from the value's usual form, it is given as {"$string": text}."""
    foreign = [any(word in t for word in PRINTED_TYPES) for t in types]
    if not any(foreign):
        try:
            return [[canon(at_scale(v, t)) for v, t in zip(row, types)] for row in frame.collect()]
        except (OverflowError, ValueError, TypeError):  # the years 0 and 10000; a map with arrays as keys
            foreign = ["date" in t or "timestamp" in t or "map<" in t for t in types]
    aliases = [f"c{n}" for n in range(len(types))]
    rows = (
        frame.toDF(*aliases)
        .selectExpr(*(f"CAST({a} AS STRING)" if f else a for a, f in zip(aliases, foreign)))
        .collect()
    )
    return [[from_text(v, t) if f else canon(at_scale(v, t)) for v, t, f in zip(row, types, foreign)] for row in rows]


def from_text(text, type_name):
    """The canonical form of a value that Spark printed."""
    if text is None or type_name == "date" or type_name.startswith("interval"):
        return text
    return iso(text) if type_name in TIMESTAMPS else {"$string": text}


def at_scale(value, type_name):
    """A decimal at its type's scale: on the way to Python 0.0000000001 gains two zeros."""
    if not isinstance(value, decimal.Decimal):
        return value
    scale = int(type_name.rstrip(")").split(",")[1])
    return value.quantize(decimal.Decimal(1).scaleb(-scale), context=decimal.Context(prec=60))


def answer(spark, question, row_ids):
    """One line of the file: the question with Spark's answer in it."""
    group, sql, source = question
    record = {"group": group, "sql": sql, "from": source}
    tail = f" FROM {source}" if source else ""
    try:
        frame = spark.sql(f"SELECT {sql}{tail}")
    except Exception as refused:
        record.update(error=error(refused), when="analysis")
        return record
    names, types = frame.columns, [f.dataType.simpleString() for f in frame.schema.fields]
    one = len(names) == 1
    record.update({"name": names[0], "type": types[0]} if one else {"names": names, "types": types})
    if group.startswith("unstable/"):
        return record
    pick = (lambda rows: [row[0] for row in rows]) if one else (lambda rows: rows)
    try:
        record.update(rows=pick(collect(frame, types)))
    except Exception as failed:
        record.update(error=error(failed), when="execution")
        if source == "t":
            record["rows_each"] = [each(spark, sql, types, n, pick) for n in row_ids]
    return record


def each(spark, sql, types, row_id, pick):
    """The answer over one row alone, so that a failing row does not hide the others."""
    try:
        rows = collect(spark.sql(f"SELECT {sql} FROM t WHERE id = {row_id}"), types)
        return {"v": pick(rows)[0]} if len(rows) == 1 else {"rows": pick(rows)}
    except Exception as failed:
        cause = error(failed)
        return {"error": cause["condition"] or cause["message"]}


def main():
    folder, groups = sys.argv[1], sys.argv[2:]
    os.makedirs(folder, exist_ok=True)
    path = f"{folder}/expressions.jsonl"
    spark = session()
    row_ids = write_table(spark, folder)
    kept = [line for line in open(path)] if groups and os.path.exists(path) else []
    kept = [line for line in kept if json.loads(line)["group"] not in groups]
    first = {question[1:]: question for question in reversed(list(expression_tables.questions()))}
    asked = [q for q in reversed(first.values()) if not groups or q[0] in groups]
    count, failed = 0, 0
    with open(path + ".new", "w") as out, ThreadPoolExecutor(THREADS) as pool:
        out.writelines(kept)
        for record in pool.map(lambda question: answer(spark, question, row_ids), asked):
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
            count, failed = count + 1, failed + ("error" in record)
            if count % 250 == 0:
                print(f"{count} of {len(asked)} recorded", flush=True)
    os.replace(path + ".new", path)
    print(f"{count} expressions, {failed} of them with an error")


if __name__ == "__main__":
    main()

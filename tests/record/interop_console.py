"""Records what the console sink prints: interop_console.py OUTPUT_DIR

Writes OUTPUT_DIR/console.json: the tables (as SQL) and, for every set of options, the very text of the sink. The sink prints
from Java, so the recorder runs itself again with its standard output in a file.
"""

import json
import os
import subprocess
import sys
import tempfile

MARK = "@@@@ "

TABLES = {
    "plain": [
        "SELECT 1 AS id, 'a' AS name UNION ALL SELECT 22, 'bb' UNION ALL SELECT NULL, NULL",
        "SELECT 333 AS id, '' AS name",
    ],
    "types": [
        "SELECT true AS b, 1Y AS ti, 2S AS si, 3 AS i, 4L AS l, 1.5F AS f, 2.5D AS d, CAST(12.30 AS DECIMAL(10,2)) AS dec, 'text' AS s, X'00FF41' AS bin, DATE'2024-01-15' AS dt, TIMESTAMP'2024-01-15 10:20:30.5' AS ts, TIMESTAMP_NTZ'2024-01-15 10:20:30' AS ntz, INTERVAL '1 02:03:04' DAY TO SECOND AS iv",
        "SELECT CAST(NULL AS BOOLEAN) b, CAST(NULL AS TINYINT) ti, CAST(NULL AS SMALLINT) si, CAST(NULL AS INT) i, CAST(NULL AS BIGINT) l, CAST('NaN' AS FLOAT) f, CAST('-Infinity' AS DOUBLE) d, CAST(NULL AS DECIMAL(10,2)) dec, CAST(NULL AS STRING) s, CAST(NULL AS BINARY) bin, CAST(NULL AS DATE) dt, CAST(NULL AS TIMESTAMP) ts, CAST(NULL AS TIMESTAMP_NTZ) ntz, CAST(NULL AS INTERVAL DAY TO SECOND) iv",
    ],
    "nested": [
        "SELECT array(1, NULL, 3) AS a, array('x', NULL, '') AS sa, map('k', 1, 'n', NULL) AS m, named_struct('p', 1, 'q', 'two', 'r', NULL) AS st, array(named_struct('x', 1.50, 'y', DATE'2024-01-15')) AS na, map('t', TIMESTAMP'2024-01-15 10:20:30.5') AS mt"
    ],
    "nested_null": [
        "SELECT CAST(NULL AS ARRAY<INT>) AS a, CAST(array() AS ARRAY<INT>) AS e, CAST(map() AS MAP<STRING,INT>) AS m, CAST(NULL AS STRUCT<x:INT>) AS s"
    ],
    "long": [
        "SELECT 'exactly twenty chars' AS s20, 'exactly twentyone chr' AS s21, repeat('abcdefghij', 5) AS s50, array(repeat('x', 15), repeat('y', 15)) AS arr, repeat('é', 25) AS u"
    ],
    "unicode": ["SELECT 'é' AS c1, '日本語' AS c2, '😀' AS c3, 'Ａ' AS c4, 'e\\u0301' AS c5, '한국' AS `ключ`"],
    "control": [
        "SELECT 'a\\nb' AS nl, 'a\\tb' AS tab, 'a\\rb' AS cr, 'a\\\\b' AS bs, 'a\\u0001b' AS ctl, 'a\\u0000b' AS nul, '\\u000B\\f\\b\\u001B' AS others"
    ],
    "many": ["SELECT CAST(id AS INT) AS id, CAST(id * 1000 AS BIGINT) AS big FROM range(25)"],
    "wide": ["SELECT " + ", ".join(f"{n} AS column_{n}" for n in range(12))],
    "empty": ["SELECT 1 AS id, 'a' AS name WHERE false"],
    "no_columns_names": ["SELECT 1 + 1, upper('a'), CAST(NULL AS INT)"],
    "doubles": [
        "SELECT 1e10D AS a, 1e-5D AS b, 0.1D AS c, -0D AS d, 100D AS e, 1.0E7D AS f, 123456789.123D AS g, 3.4028234E38F AS h, 0.1F AS i, CAST(1 AS DECIMAL(38,10)) AS j, 1e-7BD AS k"
    ],
    "times": [
        "SELECT TIMESTAMP'2024-01-15 10:20:30' AS a, TIMESTAMP'2024-01-15 10:20:30.123456' AS b, TIMESTAMP'2024-01-15 10:20:30.100' AS c, TIMESTAMP'0001-01-01 00:00:00' AS d, TIMESTAMP'1969-12-31 23:59:59.999999' AS e, DATE'0001-01-01' AS f, TIMESTAMP'9999-12-31 23:59:59' + INTERVAL 1 DAY AS g"
    ],
    "intervals": [
        "SELECT INTERVAL '1-2' YEAR TO MONTH AS a, INTERVAL 1 DAY AS b, INTERVAL -90 MINUTES AS c, INTERVAL 1 MONTH AS e, array(INTERVAL 1 HOUR) AS f, INTERVAL '3 01:02:03.5' DAY TO SECOND AS g"
    ],
}
VARIANTS = [
    {},
    {"truncate": "false"},
    {"truncate": "true", "numRows": "2"},
    {"numRows": "0"},
    {"numRows": "1", "truncate": "false"},
    {"truncate": "5"},
    {"truncate": "3"},
    {"truncate": "2"},
    {"truncate": "0"},
    {"numRows": "100"},
    {"numRows": "-1"},
    {"numRows": "x"},
    {"truncate": "maybe"},
]


def variants(name):
    """Every option over three tables, the two usual ones over the rest."""
    return VARIANTS if name in ("plain", "long", "many") else VARIANTS[:2]


def child():
    """Runs every case; what the sink prints goes to standard output, after a line that names the case."""
    from spark_oracle import refusal, session

    spark = session()
    out = spark._jvm.java.lang.System.out
    for name, batches in TABLES.items():
        root = tempfile.mkdtemp()
        schema = spark.sql(batches[0]).schema
        for n, sql in enumerate(batches):
            spark.sql(sql).coalesce(1).write.parquet(f"{root}/write/{n}")
            part = next(p for p in os.listdir(f"{root}/write/{n}") if p.startswith("part-") and p.endswith(".parquet"))
            os.makedirs(f"{root}/in", exist_ok=True)
            os.rename(f"{root}/write/{n}/{part}", f"{root}/in/{n}.parquet")
            os.utime(f"{root}/in/{n}.parquet", (1e9 + n, 1e9 + n))
        for options in variants(name):
            out.println(MARK + json.dumps([name, options]))
            try:
                frame = spark.readStream.schema(schema).option("maxFilesPerTrigger", 1).parquet(f"{root}/in")
                frame.writeStream.format("console").options(**options).trigger(
                    availableNow=True
                ).start().awaitTermination()
            except Exception as failed:
                out.println(MARK + json.dumps(refusal(failed)))
    out.println(MARK + "null")


def main():
    with tempfile.NamedTemporaryFile("w+") as captured:
        subprocess.run([sys.executable, __file__, "--child"], stdout=captured, check=True)
        text = open(captured.name, newline="", encoding="utf-8").read()
    cases, current = [], None
    for block in text.split(MARK)[1:]:
        head, _, printed = block.partition("\n")
        head = json.loads(head)
        if isinstance(head, list):
            cases.append({"table": head[0], "options": head[1], "text": printed})
        elif head:
            cases[-1].update(head)
    with open(f"{sys.argv[1]}/console.json", "w") as out:
        out.write('{"tables": ' + json.dumps(TABLES, ensure_ascii=False, indent=1) + ',\n"cases": [\n')
        out.write(",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]}\n")
    print(len(cases), "cases recorded")


if __name__ == "__main__":
    child() if sys.argv[1] == "--child" else main()

"""Records how Spark reads what Millstream wrote, and goes on from its checkpoint: spark_reads_ours.py COMMAND OUTPUT_DIR

COMMAND is the built `millstream`. It runs the query of the other fixtures over twelve files; Spark reads the table (and
must count each row once, beside a file that no log names), goes on from the checkpoint over three more files, and reads
again; then Millstream goes on from what Spark left over two more. Every step is recorded, with the files as Millstream
left them after the first.
"""

import os
import shutil
import subprocess
import sys
import tempfile

from interop_logs import listing, logs, put_file, read_back, rows_of, run, save, store
from spark_oracle import session

CASES = {"parquet": ("parquet", None), "parquet-partitioned": ("parquet", "k"), "json": ("json", None)}


def millstream(command, root, sink, partition_by):
    """One run of the query to its end."""
    partitioned = f"PARTITIONED BY ({partition_by})" if partition_by else ""
    sql = f"""
        CREATE TABLE input (id BIGINT, k STRING, v INT) USING json OPTIONS (path '{root}/input', maxFilesPerTrigger '1');
        CREATE STREAMING TABLE q USING {sink} {partitioned}
        OPTIONS (path '{root}/out', checkpointLocation '{root}/checkpoint', trigger 'availableNow')
        AS SELECT id, k, v + 1 AS w FROM STREAM input WHERE v >= 0;"""
    subprocess.run([command, "run", "-"], input=sql, text=True, check=True)


def expected(files):
    """The rows of the first files, as both engines must read them."""
    rows = [{"id": r["id"], "k": r["k"], "w": r["v"] + 1} for n in range(files) for r in rows_of(n)]
    return sorted(rows, key=lambda row: row["id"])


def check(read, files):
    """Each row once, and none else."""
    rows = [{name: row.get(name) for name in ("id", "k", "w")} for row in read["rows"]]
    assert rows == expected(files), f"Spark reads {rows}"


def record(spark, command, folder, name):
    """One case, start to end."""
    sink, partition_by = CASES[name]
    root = f"{tempfile.mkdtemp()}/case"
    for n in range(12):
        put_file(f"{root}/input", n)
    millstream(command, root, sink, partition_by)
    part = next(p for p in listing(f"{root}/out") if "part-" in p)
    shutil.copy(f"{root}/out/{part}", f"{root}/out/{part.replace('part-00000', 'part-00777')}")
    store(root, f"{folder}/{name}")
    first = read_back(spark, root, sink)
    check(first, 12)
    for n in range(12, 15):
        put_file(f"{root}/input", n)
    run(spark, root, sink, partition_by=partition_by)
    second = read_back(spark, root, sink)
    check(second, 15)
    logs_after = logs(root)
    for n in range(15, 17):
        put_file(f"{root}/input", n)
    millstream(command, root, sink, partition_by)
    third = read_back(spark, root, sink)
    check(third, 17)
    return {
        "format": sink,
        "partition_by": partition_by,
        "spark_reads": first,
        "spark_after_going_on": {"count": second["count"], "logs": sorted(logs_after)},
        "spark_after_millstream_went_on": {"count": third["count"]},
    }


def main():
    """Every case."""
    command, folder = os.path.abspath(sys.argv[1]), sys.argv[2]
    spark = session()
    for name in CASES:
        case = record(spark, command, folder, name)
        shutil.rmtree(f"{folder}/{name}/input", ignore_errors=True)
        save(f"{folder}/{name}/expected.json", case)
        print(name, case["spark_reads"]["count"], "rows", flush=True)


if __name__ == "__main__":
    main()

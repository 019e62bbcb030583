"""Runs the Python of a page of the book with Spark: run_python.py PAGE VIEW ..., in an empty folder.

Prints the rows of the views, which are the results of queries, as JSON. Queries run over what is available now; a block that needs a Kafka broker is only compiled.
"""

import os
import re
import sys

from pyspark.sql import SparkSession

with open(sys.argv[1], encoding="utf-8") as page:
    text = page.read()

for name, content in re.findall(r"<!-- file (\S+)\n(.*?)\n-->", text, re.S):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "w", encoding="utf-8") as file:
        file.write(content + "\n")

spark = (SparkSession.builder.master("local[2]")
    .config("spark.ui.enabled", False)
    .config("spark.sql.shuffle.partitions", 2)
    .config("spark.sql.session.timeZone", "UTC")
    .getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
names = {"spark": spark}
blocks = re.findall(r"^```python\n(.*?)^```$", text, re.S | re.M)
if not blocks:
    sys.exit(f"{sys.argv[1]} has no Python")
for block in blocks:
    block = re.sub(r"\.trigger\(processingTime=[^)]*\)", "", block)
    block = block.replace(".start()", ".trigger(availableNow=True).start()")
    code = compile(block, "a block of the page", "exec")
    if "kafka" in block:
        continue
    try:
        exec(code, names)
        for query in spark.streams.active:
            query.awaitTermination()
    except Exception:
        print("The block that failed:\n" + block, file=sys.stderr)
        raise
for view in sys.argv[2:]:
    for (row,) in spark.table(view).selectExpr("to_json(struct(*))").collect():
        print(view, row)
spark.stop()

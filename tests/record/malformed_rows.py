"""Records what a file stream of a running Spark makes of malformed rows: malformed_rows.py OUTPUT_FILE

Each line of the output: the format, the mode, the declared columns (the one called `bad` is
`columnNameOfCorruptRecord`), and the rows, or the conditions of the error.
"""

import json
import os
import re
import sys
import tempfile

from spark_oracle import session

FILES = {
    "json": '{"id":1,"k":"a"}\nnot json\n{"id":"x","k":"b"}\n{"id":2,"k":"c","more":1}\n\n{"id":3\n',
    "csv": '1,a\nx,b\n2\n3,c,d\n"4",e\n',
}
COLUMNS = ["id BIGINT, k STRING", "id BIGINT, k STRING, _corrupt_record STRING", "id BIGINT, bad STRING, k STRING"]


def answer(spark, kind, mode, columns, folder):
    """The rows of the stream, or the conditions of its error."""
    reader = spark.readStream.schema(columns).option("mode", mode)
    if "bad" in columns:
        reader = reader.option("columnNameOfCorruptRecord", "bad")
    rows = []
    writer = reader.format(kind).load(folder).writeStream.trigger(availableNow=True)
    try:
        query = writer.foreachBatch(lambda frame, _: rows.extend(row.asDict() for row in frame.collect())).start()
        query.awaitTermination()
    except Exception as error:  # whatever it is, it is the answer
        return {"error": re.findall(r"\[([A-Z_.]+)\]", str(error))}
    return {"rows": rows}


def main():
    """Every case."""
    spark = session()
    with open(sys.argv[1], "w") as out:
        for kind, text in FILES.items():
            folder = tempfile.mkdtemp()
            with open(os.path.join(folder, f"1.{kind}"), "w") as file:
                file.write(text)
            for mode in ["PERMISSIVE", "DROPMALFORMED", "FAILFAST"]:
                for columns in COLUMNS:
                    case = {"format": kind, "mode": mode, "columns": columns}
                    out.write(json.dumps({**case, **answer(spark, kind, mode, columns, folder)}) + "\n")


if __name__ == "__main__":
    main()

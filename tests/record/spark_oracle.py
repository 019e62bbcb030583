"""What every recorder shares: one small Spark session, canonical JSON for its values, and its errors as data."""

import datetime
import decimal
import logging
import math
import os
import re
import sys

ROOT_PLACEHOLDER = "@ROOT@"
WRAPPERS = ("STREAM_FAILED", "FOREACH_BATCH_USER_FUNCTION_ERROR")


def session(**conf):
    """A Spark session whose answers depend on nothing but the query: UTC, two cores, one shuffle partition."""
    os.environ["TZ"] = "UTC"
    logging.disable(logging.CRITICAL)  # PySpark logs every refused query with its Java stack
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    builder = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "2g")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.driver.extraJavaOptions", "-Duser.timezone=UTC")
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .config("spark.sql.warehouse.dir", "/tmp/oracle-warehouse")
    )
    for key, value in conf.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    return spark


def canon(value):
    """A collected value as JSON: dates and timestamps ISO-8601 (always microseconds and Z), decimals as text with their
    scale, binary as lower-case hex, structs and maps as objects, and the doubles that JSON lacks by name."""
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return value
    if isinstance(value, datetime.datetime):
        return (
            f"{value.year:04d}-{value.month:02d}-{value.day:02d}T"
            f"{value.hour:02d}:{value.minute:02d}:{value.second:02d}.{value.microsecond:06d}Z"
        )
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(canon(key)): canon(v) for key, v in value.items()}
    if hasattr(value, "asDict"):
        return canon(value.asDict())
    if isinstance(value, (list, tuple)):
        return [canon(v) for v in value]
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    return value


def error(exception):
    """Spark's error as {"condition", "message"}: the condition's name, and the first line that it prints."""
    condition = getattr(exception, "getCondition", lambda: None)()
    java = getattr(exception, "java_exception", None)
    if java is None:
        return {"condition": condition, "message": first_line(str(exception))}
    # PySpark does not know this Java exception: the innermost cause that names a condition speaks.
    while java is not None:
        if hasattr(java, "getCondition") or "Spark" in java.getClass().getName():
            try:
                condition = java.getCondition()
            except Exception:  # not every exception of Spark has one
                condition = None
        message = java.getMessage() or java.toString()
        if condition:
            break
        java = java.getCause()
    return {"condition": condition, "message": first_line(message)}


def first_line(text):
    """The first line of an error's text, shortened."""
    return text.strip().split("\n")[0][:300]


def refusal(exception):
    """Spark's error; where a batch failed, also the `cause` that the query's error wraps."""
    text = re.sub(r"\[id = \S+ runId = \S+\]", "[id = …, runId = …]", str(exception))
    cause = error(exception)
    if hasattr(exception, "java_exception"):
        text = cause["message"]
    found = {"error": first_line(text), "condition": cause["condition"]}
    if found["condition"] == "STREAM_FAILED":
        inner = [m for m in re.findall(r"\[([A-Z][A-Z0-9_.]+)\] ([^\n]*)", text) if m[0] not in WRAPPERS]
        if inner:
            found["cause"] = {"condition": inner[0][0], "message": first_line(inner[0][1])}
    return found

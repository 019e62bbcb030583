"""Spark beside Millstream on one Kafka broker. Needs PySpark 4.3, and in SPARK_JARS its connector (`tests/kafka/broker fetch-spark`).

Reads requests from standard input, one JSON array a line, and answers each with a line of JSON, since a session takes long to start:
["read", SERVERS, TOPIC]                    the values that were committed
["copy", SERVERS, FROM, TO, CHECKPOINT]     copies what is there of one topic to another: null
"""

import json
import os
import sys

from pyspark.sql import SparkSession

spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.jars", os.environ["SPARK_JARS"])
    .config("spark.ui.enabled", "false")
    .config("spark.driver.memory", "1g")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")


def options(servers, topic):
    return {"kafka.bootstrap.servers": servers, "subscribe": topic, "startingOffsets": "earliest"}


def read(servers, topic):
    rows = spark.read.format("kafka").options(**options(servers, topic)).option("kafka.isolation.level", "read_committed").load()
    return [row.value for row in rows.selectExpr("CAST(value AS STRING) AS value").collect()]


def copy(servers, source, target, checkpoint):
    rows = spark.readStream.format("kafka").options(**options(servers, source)).option("maxOffsetsPerTrigger", "7").load()
    (
        rows.select("key", "value")
        .writeStream.format("kafka")
        .option("kafka.bootstrap.servers", servers)
        .option("topic", target)
        .option("checkpointLocation", checkpoint)
        .trigger(availableNow=True)
        .start()
        .awaitTermination()
    )


for line in sys.stdin:
    verb, *arguments = json.loads(line)
    print(json.dumps({"read": read, "copy": copy}[verb](*arguments)), flush=True)

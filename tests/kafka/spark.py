"""Spark beside Millstream on one Kafka broker. Needs PySpark 4.3, and in SPARK_JARS its connector (`tests/kafka/broker fetch-spark`).

spark.py read SERVERS TOPIC                       prints the values that were committed
spark.py copy SERVERS FROM TO CHECKPOINT          copies what is there of one topic to another, and ends
"""

import os
import sys

from pyspark.sql import SparkSession

verb, servers, topic, *rest = sys.argv[1:]
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.jars", os.environ["SPARK_JARS"])
    .config("spark.ui.enabled", "false")
    .config("spark.driver.memory", "1g")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
options = {"kafka.bootstrap.servers": servers, "subscribe": topic, "startingOffsets": "earliest"}
if verb == "read":
    rows = spark.read.format("kafka").options(**options).option("kafka.isolation.level", "read_committed").load()
    for row in rows.selectExpr("CAST(value AS STRING) AS value").collect():
        print(row.value)
else:
    to, checkpoint = rest
    rows = spark.readStream.format("kafka").options(**options).option("maxOffsetsPerTrigger", "7").load()
    (
        rows.select("key", "value")
        .writeStream.format("kafka")
        .option("kafka.bootstrap.servers", servers)
        .option("topic", to)
        .option("checkpointLocation", checkpoint)
        .trigger(availableNow=True)
        .start()
        .awaitTermination()
    )

"""Flink's side of a workload: flink.py WORKLOAD INPUT OUTPUT CORES. Prints one JSON line.

Flink SQL in streaming mode, a mini cluster of parallelism CORES in the JVM under this process, heap state, a checkpoint every
second. FLINK_JARS names a folder with flink-sql-parquet, hadoop-client-api, hadoop-client-runtime and flink-sql-connector-kafka.

Three jobs in one JVM: the first file alone, twice (the first time is warm-up), then all files. The rate is the rows the
last has more, over the time it takes longer, so that start-up cancels out.

Of a topic, the first twentieth of each partition stands for the first file. kafka-latency runs from a topic to another until
OUTPUT/stop is there; what it takes is measured by who reads that.

Flink reads files in any order, and event time needs one: the rows are dealt, in order and untimed, to one file a subtask.
"""
import glob
import json
import os
import subprocess
import sys
import threading
import time

CLICKS = "user_id BIGINT, page STRING, `session` BIGINT, amount DOUBLE, ts TIMESTAMP_LTZ(6)"
IMPRESSIONS = "imp_id BIGINT, campaign BIGINT, imp_ts TIMESTAMP_LTZ(6)"
AD_CLICKS = "clk_id BIGINT, cost DOUBLE, clk_ts TIMESTAMP_LTZ(6)"
CAMPAIGN_EVENTS = (
    "user_id STRING, page_id STRING, ad_id STRING, ad_type STRING, event_type STRING, event_time TIMESTAMP_LTZ(3), "
    "ip_address STRING, WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND"
)
JSON = "'format'='json', 'json.timestamp-format.standard'='ISO-8601'"
BUNDLES = {
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "1 s",
    "table.exec.mini-batch.size": "100000",
}
# Flink SQL joins a table to a stream through state only; a map in a function is what a static side costs in the best case.
CAMPAIGN_OF = """
public class CampaignOf extends org.apache.flink.table.functions.ScalarFunction {
    private transient java.util.Map<String, String> campaigns;

    @Override
    public void open(org.apache.flink.table.functions.FunctionContext context) throws Exception {
        campaigns = new java.util.HashMap<>();
        var file = java.nio.file.Path.of(context.getJobParameter("campaigns", ""));
        for (var line : java.nio.file.Files.readAllLines(file)) {
            var at = line.indexOf(' ');
            campaigns.put(line.substring(0, at), line.substring(at + 1));
        }
    }

    public String eval(String ad) {
        return campaigns.get(ad);
    }
}
"""


def timed(columns, column, delay):
    """The columns with an event time of milliseconds, which is what Flink's windows and joins take."""
    return f"{columns}, moment AS CAST({column} AS TIMESTAMP_LTZ(3)), WATERMARK FOR moment AS moment - INTERVAL {delay}"


def windows(function):
    return (
        "SELECT window_start, window_end, page, COUNT(*) AS n, SUM(amount) AS total, COUNT(DISTINCT user_id) AS users "
        f"FROM TABLE({function}) GROUP BY window_start, window_end, page"
    )


EVENTS = {"ev": ("", "parquet", timed(CLICKS, "ts", "'10' MINUTE"))}
UNTIMED = {"ev": ("", "parquet", CLICKS)}
# Tables, columns of the sink (None: to nowhere), query.
WORKLOADS = {
    "project": (
        UNTIMED,
        "user_id BIGINT, page STRING, a2 DOUBLE, ts TIMESTAMP_LTZ(6)",
        "SELECT user_id, UPPER(page) AS page, amount * 2 AS a2, ts FROM ev WHERE amount > 250",
    ),
    "keyed": (
        UNTIMED,
        None,
        "SELECT user_id, COUNT(*) AS n, SUM(amount) AS total, MAX(ts) AS latest FROM ev GROUP BY user_id",
    ),
    "tumbling": (EVENTS, "", windows("TUMBLE(TABLE ev, DESCRIPTOR(moment), INTERVAL '5' MINUTES)")),
    "sliding": (EVENTS, "", windows("HOP(TABLE ev, DESCRIPTOR(moment), INTERVAL '1' MINUTE, INTERVAL '5' MINUTES)")),
    "session": (
        EVENTS,
        "s TIMESTAMP(3), e TIMESTAMP(3), user_id BIGINT, n BIGINT, total DOUBLE",
        "SELECT window_start, window_end, user_id, COUNT(*) AS n, SUM(amount) AS total FROM TABLE("
        "SESSION(TABLE ev PARTITION BY user_id, DESCRIPTOR(moment), INTERVAL '30' SECOND)) "
        "GROUP BY window_start, window_end, user_id",
    ),
    # The first to come is kept: order by the time of processing gives rows once and for all.
    "dedup": (
        {"ev": ("", "parquet", CLICKS + ", seen AS PROCTIME()")},
        CLICKS,
        "SELECT user_id, page, `session`, amount, ts FROM (SELECT *, ROW_NUMBER() OVER "
        "(PARTITION BY user_id, page ORDER BY seen) AS place FROM ev) WHERE place = 1",
    ),
    "join": (
        {
            "impressions": ("impressions", "parquet", timed(IMPRESSIONS, "imp_ts", "'1' MINUTE")),
            "clicks": ("clicks", "parquet", timed(AD_CLICKS, "clk_ts", "'1' MINUTE")),
        },
        f"{IMPRESSIONS}, {AD_CLICKS}",
        "SELECT imp_id, campaign, imp_ts, clk_id, cost, clk_ts FROM impressions i LEFT JOIN clicks c "
        "ON imp_id = clk_id AND c.moment BETWEEN i.moment AND i.moment + INTERVAL '2' MINUTE",
    ),
    "ysb": (
        {"ev": ("events", "json", CAMPAIGN_EVENTS)},
        None,
        "SELECT window_start, window_end, campaign_id, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE viewed, DESCRIPTOR(event_time), "
        "INTERVAL '10' SECOND)) WHERE campaign_id IS NOT NULL GROUP BY window_start, window_end, campaign_id",
    ),
}
WINDOW_COLUMNS = "s TIMESTAMP(3), e TIMESTAMP(3), page STRING, n BIGINT, total DOUBLE, users BIGINT"

EVENT = (
    "user_id STRING, session_id STRING, event_type STRING, page_url STRING, ts TIMESTAMP_LTZ(3), amount DOUBLE, sent DOUBLE"
)
# Columns and format of the topic, columns of the sink, query.
TOPICS = {
    "kafka-raw": (
        "message STRING",
        "'format'='raw'",
        "n BIGINT, characters BIGINT",
        "SELECT COUNT(*) AS n, SUM(CAST(CHAR_LENGTH(message) AS BIGINT)) AS characters FROM ev",
    ),
    "kafka-json": (
        EVENT,
        JSON,
        "event_type STRING, n BIGINT, total DOUBLE",
        "SELECT event_type, COUNT(*) AS n, SUM(amount) AS total FROM ev GROUP BY event_type",
    ),
    "kafka-latency": (
        EVENT,
        JSON,
        "w TIMESTAMP_LTZ(3), event_type STRING, n BIGINT, `last` DOUBLE, PRIMARY KEY (w, event_type) NOT ENFORCED",
        "SELECT FLOOR(ts TO SECOND) AS w, event_type, COUNT(*) AS n, MAX(sent) AS `last` FROM ev "
        "GROUP BY FLOOR(ts TO SECOND), event_type",
    ),
}
# Rows go on at once; counts of seconds that are over are forgotten.
AT_ONCE = {"execution.buffer-timeout.interval": "5 ms", "table.exec.state.ttl": "1 min"}


def deal(source, target, fmt, hands):
    """Deals the rows of all files, and of the first alone, to `hands` files each; how many rows there are of each."""
    files = sorted(glob.glob(f"{source}/*.{fmt}"))
    counts = []
    for name, some in (("all", files), ("first", files[:1])):
        os.makedirs(f"{target}/{name}")
        paths = [f"{target}/{name}/hand-{hand}.{fmt}" for hand in range(hands)]
        counts.append((deal_lines if fmt == "json" else deal_parquet)(some, paths))
    return counts


def deal_lines(files, paths):
    count, outputs = 0, [open(path, "w") for path in paths]
    for path in files:
        with open(path) as lines:
            for line in lines:
                outputs[count % len(outputs)].write(line)
                count += 1
    for output in outputs:
        output.close()
    return count


def deal_parquet(files, paths):
    import numpy
    import pyarrow.parquet

    count, schema = 0, pyarrow.parquet.read_schema(files[0])
    outputs = [pyarrow.parquet.ParquetWriter(path, schema) for path in paths]
    for path in files:
        rows = pyarrow.parquet.read_table(path)
        for hand, output in enumerate(outputs):
            output.write_table(rows.take(numpy.arange(hand, rows.num_rows, len(outputs))))
        count += rows.num_rows
    for output in outputs:
        output.close()
    return count


def environment(out, cores, more):
    os.environ.setdefault("JVM_ARGS", "-Xmx6g")
    os.environ.setdefault("FLINK_LOG_DIR", out)
    from pyflink.common import Configuration
    from pyflink.table import EnvironmentSettings, TableEnvironment

    settings = Configuration()
    for key, value in {
        "parallelism.default": cores,
        "taskmanager.numberOfTaskSlots": cores,
        "pipeline.object-reuse": "true",
        "state.backend.type": "hashmap",
        "execution.checkpointing.interval": "1 s",
        "execution.checkpointing.storage": "filesystem",
        "execution.checkpointing.dir": f"file://{out}/checkpoint",
        "taskmanager.memory.managed.size": "512m",
        "taskmanager.memory.network.min": "256m",
        "taskmanager.memory.network.max": "256m",
        "table.local-time-zone": "UTC",
        "rest.port": "0",
        **more,
    }.items():
        settings.set_string(key, value)
    return TableEnvironment.create(
        EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(settings).build()
    )


def campaign_function(data, out):
    """Compiles the function and writes its map; the class path to add."""
    import pyarrow.parquet
    import pyflink

    with open(f"{out}/campaigns.txt", "w") as file:
        for row in pyarrow.parquet.read_table(f"{data}/campaigns.parquet").to_pylist():
            file.write(f"{row['ad_id']} {row['campaign_id']}\n")
    os.makedirs(f"{out}/classes")
    with open(f"{out}/classes/CampaignOf.java", "w") as file:
        file.write(CAMPAIGN_OF)
    library = os.path.join(os.path.dirname(pyflink.__file__), "lib", "*")
    subprocess.run(["javac", "-cp", library, f"{out}/classes/CampaignOf.java"], check=True)
    return f"{out}/classes/"


def main():
    workload, data, out, cores = sys.argv[1:5]
    if workload in TOPICS:
        return from_topic(workload, data, out, cores)
    if workload not in WORKLOADS:
        raise SystemExit(f"no workload {workload} for Flink")
    tables, columns, query = WORKLOADS[workload]
    dealt = [deal(f"{data}/{folder}", f"{out}/in/{table}", fmt, int(cores)) for table, (folder, fmt, _) in tables.items()]
    classes, more = [os.environ.get("FLINK_JARS", ".") + "/*"], {}
    if workload == "keyed":
        more = BUNDLES
    if workload == "ysb":
        classes.append(campaign_function(data, out))
        more = {"pipeline.global-job-parameters": f"campaigns:{out}/campaigns.txt"}
    os.environ["HADOOP_CLASSPATH"] = ":".join(classes)
    table_env = environment(out, cores, more)
    if workload == "ysb":
        table_env.execute_sql("CREATE TEMPORARY FUNCTION campaign_of AS 'CampaignOf'")

    def run(part, number):
        table_env.execute_sql("DROP TEMPORARY VIEW IF EXISTS viewed")
        for table, (_, fmt, table_columns) in tables.items():
            options = JSON if fmt == "json" else "'format'='parquet'"
            table_env.execute_sql(f"DROP TABLE IF EXISTS {table}")
            table_env.execute_sql(
                f"CREATE TABLE {table} ({table_columns}) WITH ('connector'='filesystem', "
                f"'path'='file://{out}/in/{table}/{part}', {options})"
            )
        if workload == "ysb":
            table_env.execute_sql(
                "CREATE TEMPORARY VIEW viewed AS SELECT campaign_of(ad_id) AS campaign_id, event_time FROM ev "
                "WHERE event_type = 'view'"
            )
        table_env.execute_sql("DROP TABLE IF EXISTS sink")
        table_env.execute_sql(sink(workload, columns, f"{out}/table-{number}"))
        job = table_env.execute_sql(f"INSERT INTO sink {query}")
        job.wait()
        return job.get_job_client().get_job_execution_result().result().get_net_runtime() / 1000

    run("first", 0)
    first, full = run("first", 1), run("all", 2)
    report(sum(every - few for every, few in dealt), first, full)


def from_topic(workload, data, out, cores):
    """The workloads that read Kafka."""
    with open(f"{data}/kafka.json") as file:
        topic = json.load(file)
    live = workload == "kafka-latency"
    os.environ["HADOOP_CLASSPATH"] = os.environ.get("FLINK_JARS", ".") + "/*"
    table_env = environment(out, cores, AT_ONCE if live else BUNDLES)
    columns, fmt, sink_columns, query = TOPICS[workload]
    servers = f"'properties.bootstrap.servers'='{topic['servers']}'"
    source = (
        f"CREATE TABLE ev ({columns}) WITH ('connector'='kafka', 'topic'='{topic['topic']}', {servers}, "
        f"'scan.startup.mode'='earliest-offset', {fmt}%s)"
    )
    if live:
        table_env.execute_sql(source % "")
        table_env.execute_sql(
            f"CREATE TABLE sink ({sink_columns}) WITH ('connector'='upsert-kafka', 'topic'='{topic['output']}', {servers}, "
            "'properties.linger.ms'='0', 'key.format'='json', 'value.format'='json')"
        )
        job = table_env.execute_sql(f"INSERT INTO sink {query}").get_job_client()
        while not os.path.exists(f"{out}/stop"):
            if job.get_job_status().result().name in ("FAILED", "CANCELED", "FINISHED"):
                raise SystemExit("the job has ended")
            time.sleep(0.5)
        job.cancel().result()
        return report(None, None, None)
    # Messages are dealt to the partitions in turn.
    partitions = topic["partitions"]
    ends = [(topic["messages"] + partitions - 1 - partition) // partitions for partition in range(partitions)]
    firsts = [end // 20 for end in ends]
    table_env.execute_sql(f"CREATE TABLE sink ({sink_columns}) WITH ('connector'='blackhole')")

    def run(until):
        offsets = ";".join(f"partition:{partition},offset:{offset}" for partition, offset in enumerate(until))
        table_env.execute_sql("DROP TABLE IF EXISTS ev")
        table_env.execute_sql(
            source % f", 'scan.bounded.mode'='specific-offsets', 'scan.bounded.specific-offsets'='{offsets}'"
        )
        job = table_env.execute_sql(f"INSERT INTO sink {query}")
        job.wait()
        return job.get_job_client().get_job_execution_result().result().get_net_runtime() / 1000

    run(firsts)
    first, full = run(firsts), run(ends)
    report(sum(ends) - sum(firsts), first, full)


def sink(workload, columns, path):
    to_nowhere = {
        "keyed": "user_id BIGINT, n BIGINT, total DOUBLE, latest TIMESTAMP_LTZ(6)",
        "ysb": "s TIMESTAMP(3), e TIMESTAMP(3), campaign_id STRING, n BIGINT",
    }
    if columns is None:
        return f"CREATE TABLE sink ({to_nowhere[workload]}) WITH ('connector'='blackhole')"
    return (
        f"CREATE TABLE sink ({columns or WINDOW_COLUMNS}) WITH ('connector'='filesystem', 'path'='file://{path}', "
        "'format'='parquet', 'parquet.compression'='SNAPPY', 'parquet.write.int64.timestamp'='true')"
    )


def report(rows, first, full):
    from pyflink.java_gateway import get_gateway
    from pyflink.version import __version__

    jvm = int(get_gateway().jvm.java.lang.ProcessHandle.current().pid())
    status = dict(line.split(":", 1) for line in open(f"/proc/{jvm}/status") if ":" in line)
    ticks = open(f"/proc/{jvm}/stat").read().rsplit(")", 1)[1].split()
    print(
        json.dumps(
            {
                "rows_per_s": rows / (full - first) if rows else None,
                "peak_bytes": int(status["VmHWM"].split()[0]) * 1024,
                "cpu_s": (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"),
                "note": f"Flink {__version__}" + (f"; {full:.1f} s in all" if full else ""),
            }
        ),
        flush=True,
    )
    # The gateway's threads would keep the process alive.
    threading.Timer(5, os._exit, (0,)).start()


main()

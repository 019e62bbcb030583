"""Flink's side of a workload: flink.py WORKLOAD INPUT OUTPUT CORES. Prints one JSON line.

Flink SQL in streaming mode, a mini cluster of parallelism CORES in the JVM under this process, heap state, a checkpoint every
second. FLINK_JARS names a folder with flink-sql-parquet, hadoop-client-api and hadoop-client-runtime.

Two jobs in one JVM: the first file alone (warm-up, run twice), then all files. The rate is the rows the second has more,
over the time it takes longer, so that start-up cancels out.
"""
import glob
import json
import os
import shutil
import sys
import threading
import time

CLICKS = "user_id BIGINT, page STRING, `session` BIGINT, amount DOUBLE, ts TIMESTAMP_LTZ(6)"


def main():
    workload, data, out, cores = sys.argv[1:5]
    if workload != "project":
        raise SystemExit(f"no workload {workload} for Flink")
    files = sorted(glob.glob(f"{data}/*.parquet"))
    for name, some in (("first", files[:1]), ("all", files)):
        os.makedirs(f"{out}/in/{name}")
        for path in some:
            shutil.copy2(path, f"{out}/in/{name}/")
    os.environ["HADOOP_CLASSPATH"] = os.environ.get("FLINK_JARS", ".") + "/*"
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
        "taskmanager.memory.network.min": "256m",
        "taskmanager.memory.network.max": "256m",
        "table.local-time-zone": "UTC",
        "rest.port": "0",
    }.items():
        settings.set_string(key, value)
    table_env = TableEnvironment.create(
        EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(settings).build()
    )

    def run(part, number):
        for table in ("ev", "sink"):
            table_env.execute_sql(f"DROP TABLE IF EXISTS {table}")
        table_env.execute_sql(
            f"CREATE TABLE ev ({CLICKS}) WITH ('connector'='filesystem', 'path'='file://{out}/in/{part}', 'format'='parquet')"
        )
        table_env.execute_sql(
            "CREATE TABLE sink (user_id BIGINT, page STRING, a2 DOUBLE, ts TIMESTAMP_LTZ(6)) WITH ('connector'='filesystem', "
            f"'path'='file://{out}/table-{number}', 'format'='parquet', 'parquet.compression'='SNAPPY', "
            "'parquet.write.int64.timestamp'='true')"
        )
        job = table_env.execute_sql(
            "INSERT INTO sink SELECT user_id, UPPER(page) AS page, amount * 2 AS a2, ts FROM ev WHERE amount > 250"
        )
        job.wait()
        return job.get_job_client().get_job_execution_result().result().get_net_runtime() / 1000

    run("first", 0)
    first, full = run("first", 1), run("all", 2)
    import pyarrow.parquet
    from pyflink.java_gateway import get_gateway
    from pyflink.version import __version__

    rows = [pyarrow.parquet.read_metadata(path).num_rows for path in files]
    jvm = int(get_gateway().jvm.java.lang.ProcessHandle.current().pid())
    status = dict(line.split(":", 1) for line in open(f"/proc/{jvm}/status") if ":" in line)
    ticks = open(f"/proc/{jvm}/stat").read().rsplit(")", 1)[1].split()
    print(
        json.dumps(
            {
                "rows_per_s": sum(rows[1:]) / (full - first),
                "peak_bytes": int(status["VmHWM"].split()[0]) * 1024,
                "cpu_s": (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"),
                "note": f"Flink {__version__}; {full:.1f} s in all",
            }
        ),
        flush=True,
    )
    # The gateway's threads would keep the process alive.
    threading.Timer(5, os._exit, (0,)).start()


main()

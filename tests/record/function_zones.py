"""Records what Spark answers to functions of time in other time zones: function_zones.py FILE

One JSON line a question and zone: the expression over the table below, its type and its rows.
"""
import json
import sys

from spark_oracle import canon, session

ZONES = ["America/New_York", "Asia/Kolkata", "+05:00"]

# Instants around both changes of New York's clocks, before standard time, at the end of a year.
TABLE = """
SELECT id, timestamp_seconds(at) ts, CAST(dt AS DATE) dt, CAST(n AS TIMESTAMP_NTZ) ntz, s, txt FROM VALUES
 (1, 1710054000L, '2024-03-10', '2024-03-10 02:30:00', 1710054000L, '2024-03-10 02:30:00'),
 (2, 1730611800L, '2024-11-03', '2024-11-03 01:30:00', 1730611800L, '2024-11-03 01:30:00'),
 (3, 1730615400L, '2024-12-31', '2024-11-03 01:30:00.25', 1730615400L, '1883-11-18 12:00:00'),
 (4, -3000000000L, '1970-01-01', '1969-12-31 23:59:59.999999', -1L, '1970-01-01 00:00:00'),
 (5, 1704085199L, '2023-12-31', '2024-01-01 00:00:00', 1704085199L, '2024-07-01 23:59:59')
 AS t(id, at, dt, n, s, txt)
"""

QUESTIONS = r"""
hour(ts)
minute(ts)
second(ts)
day(ts)
dayofweek(ts)
to_date(ts)
date(ts)
last_day(ts)
date_trunc('DAY', ts)
date_trunc('HOUR', ts)
date_trunc('MONTH', ts)
date_trunc('WEEK', ts)
date_trunc('MINUTE', ts)
date_trunc('YEAR', dt)
trunc(ts, 'MM')
date_format(ts, 'yyyy-MM-dd HH:mm:ss.SSS XXX VV')
date_format(dt, 'yyyy-MM-dd HH:mm')
from_unixtime(s)
from_unixtime(s, 'HH:mm Z')
unix_timestamp(txt)
to_unix_timestamp(txt, 'yyyy-MM-dd HH:mm:ss')
to_timestamp(txt)
to_timestamp(txt, 'yyyy-MM-dd HH:mm:ss')
to_timestamp(concat(txt, '+02:00'))
to_timestamp_ntz(txt)
to_timestamp(ntz)
to_timestamp_ntz(ts)
hour(ntz)
hour(dt)
hour(txt)
unix_timestamp(dt)
unix_timestamp(ntz)
concat(ts, '')
concat_ws('|', ts, dt, ntz)
length(ts)
make_timestamp(2024, 3, 10, 2, 30, 0)
make_timestamp(2024, 3, 10, 2, 30, 0, 'Europe/Berlin')
make_timestamp_ntz(2024, 3, 10, 2, 30, 0)
months_between(ts, TIMESTAMP'2024-01-31 00:00:00')
add_months(ts, 1)
date_add(ts, 1)
datediff(ts, dt)
from_utc_timestamp(ts, 'Asia/Tokyo')
to_utc_timestamp(ts, 'Asia/Tokyo')
to_json(named_struct('a', ts, 'b', ntz, 'c', dt))
from_json(concat('{"a":"', txt, '"}'), 'a TIMESTAMP')
from_json(concat('{"a":"', txt, 'Z"}'), 'a TIMESTAMP')
coalesce(dt, ts)
greatest(dt, ts)
nullif(dt, ts)
array(dt, ts)
unix_date(dt)
unix_seconds(ts)
timestamp_seconds(s)
extract(HOUR FROM ts)
extract(SECOND FROM ts)
weekofyear(ts)
current_timezone()
hash(ts)
sequence(dt, dt + 2)
"""


def main():
    spark = session()
    with open(sys.argv[1], "w") as out:
        for zone in ZONES:
            spark.conf.set("spark.sql.session.timeZone", zone)
            spark.sql(TABLE).createOrReplaceTempView("z")
            for question in QUESTIONS.strip().split("\n"):
                frame = spark.sql(f"SELECT {question} AS v FROM z ORDER BY id")
                record = {"zone": zone, "sql": question, "type": frame.schema.fields[0].dataType.simpleString()}
                record["rows"] = [canon(row[0]) for row in frame.collect()]
                out.write(json.dumps(record, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

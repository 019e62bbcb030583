"""The sessions over streams that scenarios.py records: gaps of every kind, null times, touching, bridging, before 1970, chains."""

# Key, second, value, gap: rows out of order within a batch, sessions that touch, grow at both ends, and are bridged later.
EVENTS = [
    [("a", 1, 1, "5 seconds"), ("a", 4, 2, "5 seconds"), ("b", 3, 3, "20 seconds"), (None, 2, 4, "5 seconds"), ("a", None, 5, "5 seconds")],
    [("a", 9, 6, "5 seconds"), ("b", 40, 7, "1 second"), ("c", 12, 8, None), ("c", 13, 9, "0 seconds"), ("a", 20, 10, "5 seconds")],
    [("a", 15, 11, "5 seconds"), ("c", 30, 12, "-3 seconds"), ("c", 31, 13, "5 seconds"), (None, 6, 14, "5 seconds"), ("b", 23, 15, "17 seconds")],
    [("a", 0, 16, "5 seconds"), ("d", 50, 17, "5 seconds"), ("d", 55, 18, "5 seconds"), ("d", 66, 19, "5 seconds"), ("a", 33, 20, "5 seconds")],
    [("d", 61, 21, "5 seconds"), ("a", 18, 22, "5 seconds"), ("b", 62, 23, "1 second"), ("d", 44, 24, "6 seconds")],
    [],
    [("a", 120, 25, "5 seconds"), ("c", 100, 26, "30 seconds"), ("c", 95, 27, "4 seconds")],
    [("c", 99, 28, "1 second"), ("c", 129, 29, "5 seconds"), ("a", 110, 30, "5 seconds"), ("d", 72, 31, "5 seconds")],
    [("z", 400, 32, "5 seconds")],
]
STREAM = "STREAM ev WATERMARK ts DELAY OF INTERVAL 30 SECONDS"
BOUNDS = "session_window.start AS ss, session_window.end AS se"
FIVE = "session_window(ts, '5 seconds')"
DYNAMIC = "session_window(ts, CASE WHEN k = 'a' THEN '5 seconds' WHEN v > 20 THEN '12 seconds' ELSE '2 seconds' END)"

QUERIES = {
    "constant": f"SELECT {BOUNDS}, k, count(*) AS n, sum(v) AS s FROM {STREAM} GROUP BY {FIVE}, k",
    "case_gap": f"SELECT {BOUNDS}, k, count(*) AS n, sum(v) AS s FROM {STREAM} GROUP BY {DYNAMIC}, k",
    "text_gap": f"SELECT {BOUNDS}, k, count(*) AS n FROM {STREAM} GROUP BY session_window(ts, g), k",
    "zero_gap": f"SELECT {BOUNDS}, k, count(*) AS n FROM {STREAM} GROUP BY session_window(ts, '0 seconds'), k",
    "order": f"SELECT {BOUNDS}, k, min(v) AS lo, max_by(v, ts) AS mb, count(v) FILTER (WHERE v > 6) AS f, avg(v) AS a FROM {STREAM} GROUP BY k, {FIVE}",
    "lists": f"SELECT {BOUNDS}, k, sort_array(collect_list(v)) AS l, approx_count_distinct(v) AS u FROM {STREAM} GROUP BY k, {FIVE}",
    "having": f"SELECT {BOUNDS}, k, count(*) AS n FROM {STREAM} WHERE v <> 11 GROUP BY {FIVE}, k HAVING count(*) > 1",
    "two_keys": f"SELECT {BOUNDS}, k, v % 2 AS odd, count(*) AS n FROM {STREAM} GROUP BY v % 2, {FIVE}, k",
    "struct": f"SELECT session_window, k, count(*) AS n FROM {STREAM} GROUP BY {FIVE}, k",
    "subquery": f"SELECT w.start AS ss, w.end AS se, k, count(*) AS n FROM (SELECT {FIVE} AS w, k FROM {STREAM}) GROUP BY w, k",
    "distinct": f"SELECT DISTINCT w.start AS ss FROM (SELECT {FIVE} AS w, k, count(*) AS n FROM {STREAM} GROUP BY {FIVE}, k)",
}
APPEND = {
    "session_of_windows": f"SELECT {BOUNDS}, k, sum(n) AS n FROM (SELECT window, k, count(*) AS n FROM {STREAM} GROUP BY window(ts, '10 seconds'), k) GROUP BY session_window(window, '15 seconds'), k",
    "window_of_sessions": f"SELECT window.start AS ws, k, count(*) AS c, max(n) AS m FROM (SELECT session_window, k, count(*) AS n FROM {STREAM} GROUP BY {FIVE}, k) GROUP BY window(session_window, '30 seconds'), k",
}


def at(second):
    if second is None:
        return None
    sign = second + 86400
    day = "2024-01-01" if second >= 0 else "2023-12-31"
    second = second if second >= 0 else sign
    return f"{day}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def events(shift=0, year="2024-01-01"):
    def row(key, second, value, gap):
        return {"k": key, "ts": at(second + shift if second is not None else None), "v": value, "g": gap}

    files = [[row(*event) for event in file] for file in EVENTS]
    if year != "2024-01-01":
        for file in files:
            for event in file:
                event["ts"] = event["ts"] and event["ts"].replace("2024-01-01", year)
    return {"schema": "k string, ts timestamp, v bigint, g string", "files": files}


def scenario(name, mode, sql, stream):
    return {"name": f"session_{name}_{mode}", "sql": sql, "mode": mode, "streams": {"ev": stream}, "static": {}, "conf": {}, "dedup": None}


def sessions():
    for name, sql in QUERIES.items():
        modes = ["append"] if name == "distinct" else ["append", "complete"]
        for mode in modes:
            yield scenario(name, mode, sql, events())
    for name, sql in APPEND.items():
        yield scenario(name, "append", sql, events())
    # No watermark passes a time before 1970: in append mode every row is late, in complete mode none is.
    yield scenario("before_1970", "append", QUERIES["constant"], events(year="1969-12-31"))
    yield scenario("before_1970", "complete", QUERIES["constant"], events(year="1969-12-31"))
    yield scenario("no_watermark", "complete", QUERIES["constant"].replace(STREAM, "STREAM ev"), events())

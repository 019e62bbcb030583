"""The aggregations over streams that scenarios.py records: without keys, over batches of which nothing is left, and by expressions."""

# Key, minute, value. Batches without a row, and batches of which a condition leaves none.
EVENTS = [[("a", 1, 1)], [], [("b", 2, 20)], [("a", 3, 2)], [], [("c", 4, 30), (None, 5, None), ("b", 11, 12)], [("a", 30, 15)]]

QUERIES = {
    "filtered": "SELECT count(*) AS n, sum(v) AS s FROM STREAM ev WHERE v > 10",
    "never": "SELECT count(*) AS n, sum(v) AS s FROM STREAM ev WHERE v > 100",
    "all": "SELECT count(*) AS n, max(v) AS s FROM STREAM ev",
    "watermarked": "SELECT count(*) AS n, max(v) AS s FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 30 SECONDS WHERE v > 10",
    "having": "SELECT count(*) AS n FROM STREAM ev WHERE v > 10 HAVING count(*) < 2",
    "lists": "SELECT count(*) AS n, collect_list(v) AS l, percentile(v, 0.5) AS p FROM STREAM ev WHERE v > 10",
    "no_list": "SELECT sum(v) AS s, collect_set(k) AS l, median(v) AS p FROM STREAM ev WHERE v > 100",
    "by_condition": "SELECT CASE WHEN v > 10 THEN 'x' END AS g, sort_array(collect_list(k)) AS l, sum(v) AS s FROM STREAM ev GROUP BY CASE WHEN v > 10 THEN 'x' END",
    "by_hour": "SELECT date_trunc('HOUR', ts) AS h, k, count(*) AS n, avg(v) AS a FROM STREAM ev GROUP BY date_trunc('HOUR', ts), k",
    "of_structs": "SELECT k, max(struct(v, ts)) AS m, min(struct(ts, v)).v AS f FROM STREAM ev GROUP BY k",
    "of_expressions": "SELECT upper(k) AS u, sum(v) / count(*) AS q, max(v) - min(v) AS r, concat_ws(',', collect_list(v)) AS t FROM STREAM ev GROUP BY upper(k)",
    "window_and_expression": "SELECT window.end AS e, v % 3 AS g, count(*) AS n, max(ts) AS t FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 2 MINUTES GROUP BY window(ts, '7 minutes', '3 minutes', '-1 minutes'), v % 3",
}


def scenario(name, mode, sql):
    def row(key, minute, value):
        return {"k": key, "ts": f"2024-01-01T00:{minute:02d}:00Z", "v": value}

    stream = {"schema": "k string, ts timestamp, v bigint", "files": [[row(*event) for event in file] for file in EVENTS]}
    return {"name": f"aggregate_{name}_{mode}", "sql": sql, "mode": mode, "streams": {"ev": stream}, "static": {}, "conf": {}, "dedup": None}


def aggregations():
    for name, sql in QUERIES.items():
        for mode in ["update", "complete"]:
            yield scenario(name, mode, sql)

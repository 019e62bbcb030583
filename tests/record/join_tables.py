"""The joins of two streams that scenarios.py records: every type, by condition, by which side has a watermark."""

A = {
    "schema": "k string, ts timestamp, v int",
    "files": [
        [(1, "a", 0), (2, "b", 3), (3, None, 4), (4, "c", None), (5, "a", 5), (6, "d", 1)],
        [(7, "a", 12), (8, "b", 20), (9, "c", 21), (10, "e", 2)],
        [(11, "a", 40), (12, "b", 9), (13, "c", 11), (14, "d", 30)],
        [(15, "a", 90), (16, "d", 41), (17, "c", 88), (18, "b", 86)],
        [(19, "z", 300)],
    ],
}
B = {
    "schema": "j string, us timestamp, w int",
    "files": [
        [(1, "a", 1), (2, "a", 6), (3, None, 5), (4, "b", 14)],
        [(5, "c", 19), (6, "c", 26), (7, "a", 8), (8, "d", None), (9, "b", 3)],
        [(10, "b", 24), (11, "a", 13), (12, "a", 44), (13, "e", 7), (14, "d", 39)],
        [(15, "c", 91), (16, "a", 89), (17, "d", 43), (18, "q", 95), (19, "c", 88)],
        [(20, "z", 299)],
    ],
}
TYPES = {"inner": "INNER", "left": "LEFT OUTER", "right": "RIGHT OUTER", "full": "FULL OUTER", "semi": "LEFT SEMI"}
CONDITIONS = {
    "between": "us BETWEEN ts - INTERVAL 5 SECONDS AND ts + INTERVAL 10 SECONDS",
    "strict": "us > ts AND us < ts + INTERVAL 8 SECONDS",
    "after": "us >= ts",
    "before": "us <= ts + INTERVAL 5 SECONDS",
    "residual": "us BETWEEN ts AND ts + INTERVAL 10 SECONDS AND v <> w AND k <> 'b' AND j <> 'd'",
    "doubles": "CAST(us AS DOUBLE) >= CAST(ts AS DOUBLE) - 2 AND CAST(us AS DOUBLE) <= CAST(ts AS DOUBLE) + 8",
    "same_time": "us = ts",
    "none": None,
}
WATERMARKS = {"both": (True, True), "left": (True, False), "right": (False, True), "neither": (False, False)}


def rows(stream, names, with_nulls=True):
    def at(second):
        return None if second is None else f"2024-01-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"

    n, k, t = names
    kept = [[row for row in file if with_nulls or row[1] is not None] for file in stream["files"]]
    files = [[{n: number, k: key, t: at(second)} for number, key, second in file] for file in kept]
    return {"schema": stream["schema"], "files": files}


def side(stream, column, delay, has_watermark):
    watermark = f" WATERMARK {column} DELAY OF INTERVAL {delay} SECONDS" if has_watermark else ""
    return f"(SELECT * FROM STREAM {stream}{watermark})"


def joins():
    for condition_name, condition in CONDITIONS.items():
        for watermark_name, (left, right) in WATERMARKS.items():
            for type_name, join_type in TYPES.items():
                # Spark's full outer join takes a null key for equal to another.
                with_nulls = type_name != "full"
                streams = {"a": rows(A, ("v", "k", "ts"), with_nulls), "b": rows(B, ("w", "j", "us"), with_nulls)}
                columns = "k, ts, v" if type_name == "semi" else "k, ts, v, j, us, w"
                on = "k = j" + (f" AND {condition}" if condition else "")
                sql = (
                    f"SELECT {columns} FROM {side('a', 'ts', 10, left)} x {join_type} JOIN "
                    f"{side('b', 'us', 5, right)} y ON {on}"
                )
                yield {
                    "name": f"join_{condition_name}_{watermark_name}_{type_name}",
                    "sql": sql,
                    "mode": "append",
                    "streams": streams,
                    "static": {},
                    "conf": {},
                    "dedup": None,
                }

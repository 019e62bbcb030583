"""The streaming queries that scenarios.py records: what stateless queries answer, and what Spark refuses."""

import aggregation_tables
import join_tables
import session_tables

EVENTS = {
    "schema": "id bigint, k string, ts timestamp, v bigint, d double, amt decimal(10,2), tags array<string>, props map<string,string>, loc struct<city:string,zip:int>, raw string, dt date, ok boolean",
    "files": [
        [
            {"id": 1, "k": "a", "ts": "2024-01-01T00:00:00Z", "v": 1, "d": 0.5, "amt": 12.30, "tags": ["x", "y"], "props": {"os": "linux", "v": "1"}, "loc": {"city": "Berlin", "zip": 10115}, "raw": "{\"u\":1,\"p\":\"home\",\"n\":[1,2,3]}", "dt": "2024-01-31", "ok": True},
            {"id": 2, "k": "b", "ts": "2024-02-29T23:59:59.999999Z", "v": -7, "d": -2.5, "amt": 0.05, "tags": [], "props": {}, "loc": {"city": None, "zip": 1}, "raw": "{\"u\":\"two\",\"p\":null}", "dt": "2024-02-29", "ok": False},
            {"id": 3, "k": None, "ts": None, "v": None, "d": None, "amt": None, "tags": None, "props": None, "loc": None, "raw": None, "dt": None, "ok": None},
        ],
        [
            {"id": 4, "k": "ä b", "ts": "1969-12-31T23:59:59.5Z", "v": 100, "d": 1e10, "amt": -99999999.99, "tags": ["x", None, ""], "props": {"os": None, "z": "26"}, "loc": {"city": "São Paulo", "zip": None}, "raw": "not json", "dt": "1969-12-31", "ok": True},
            {"id": 5, "v": 3, "d": "NaN", "extra": "ignored", "raw": "{\"u\":2,\"p\":\"cart\",\"ts\":\"2024-05-05 05:05:05\"} ", "tags": ["one two", "x"], "props": {"os": "mac"}, "ok": False},
        ],
        [],
        [
            {"id": 6, "k": "A", "ts": "2024-12-31T12:34:56.789Z", "v": 8, "d": 3.75, "amt": "7.5", "tags": ["z"], "props": {"os": "linux", "v": "2"}, "loc": {"city": "", "zip": 0}, "raw": "[{\"u\":3}]", "dt": "2024-12-31", "ok": True},
            {"id": 7, "k": "wrong", "ts": "no time", "v": "x", "d": 1, "amt": 1, "tags": "no list", "props": 3, "loc": [], "raw": "{\"u\":4}", "dt": "garbage", "ok": "maybe"},
            {"id": 8, "k": "a", "ts": "2024-03-31T02:30:00Z", "v": 9007199254740993, "d": 0.1, "amt": 1.005, "tags": ["b", "a", "b"], "props": {"k": "v"}, "loc": {"city": "Rome", "zip": 100}, "raw": "{\"u\":5,\"p\":\"x\",\"n\":[]}", "dt": "2024-03-31", "ok": True},
        ],
    ],
}
MORE = {
    "schema": "id bigint, k string, v int",
    "files": [[{"id": 101, "k": "a", "v": 1}], [{"id": 102, "k": None, "v": 2}, {"id": 103, "k": "zz", "v": None}]],
}
NAMES = {"schema": "k string, name string, rate double", "rows": [{"k": "a", "name": "Ann", "rate": 1.5}, {"k": "b", "name": "Bob", "rate": None}, {"k": None, "name": "nobody", "rate": 0.0}, {"k": "a", "name": "Abe", "rate": 2.0}]}

ANSWERED = r"""
star | SELECT * FROM STREAM ev
star_alias | SELECT e.* FROM STREAM ev e
project | SELECT id, v * 2 AS dbl, v + d AS s FROM STREAM ev WHERE id <> 8
unnamed_columns | SELECT id + 1, upper(k), v IS NULL, loc.city FROM STREAM ev
mixed_case | SELECT ID, K AS Key, Upper(k) U FROM STREAM EV WHERE Id > 1
filter_null_logic | SELECT id FROM STREAM ev WHERE NOT (v > 2)
filter_or_null | SELECT id FROM STREAM ev WHERE v > 2 OR k = 'b'
filter_in | SELECT id FROM STREAM ev WHERE k IN ('a', 'A', NULL)
filter_not_in_null | SELECT id FROM STREAM ev WHERE k NOT IN ('a', NULL)
filter_between | SELECT id FROM STREAM ev WHERE v BETWEEN 1 AND 10
filter_like | SELECT id, k FROM STREAM ev WHERE k LIKE '% %' OR k ILIKE 'a'
filter_rlike | SELECT id FROM STREAM ev WHERE raw RLIKE '"u":[0-9]'
filter_boolean | SELECT id FROM STREAM ev WHERE ok
filter_is_not_true | SELECT id FROM STREAM ev WHERE ok IS NOT TRUE
filter_null_safe | SELECT id FROM STREAM ev WHERE k <=> NULL
filter_timestamp | SELECT id, ts FROM STREAM ev WHERE ts >= '2024-02-01' AND ts < TIMESTAMP'2024-12-31 12:34:56.789001'
filter_date | SELECT id, dt FROM STREAM ev WHERE dt > DATE'2024-01-01' AND dt <= '2024-03-31'
filter_nan | SELECT id, d FROM STREAM ev WHERE d > 1
filter_array | SELECT id FROM STREAM ev WHERE array_contains(tags, 'x')
filter_map | SELECT id, props['os'] AS os FROM STREAM ev WHERE props['os'] = 'linux'
filter_nothing | SELECT id FROM STREAM ev WHERE false
filter_constant | SELECT id FROM STREAM ev WHERE 1 = 1
constant_only | SELECT 1 AS one, 'x' AS x FROM STREAM ev
case_searched | SELECT id, CASE WHEN v > 5 THEN 'big' WHEN v IS NULL THEN 'none' ELSE 'small' END AS size FROM STREAM ev
case_simple | SELECT id, CASE k WHEN 'a' THEN 1 WHEN 'b' THEN 2 END AS n FROM STREAM ev
case_mixed_types | SELECT id, CASE WHEN ok THEN v ELSE d END AS x FROM STREAM ev WHERE id < 8
if_nullif | SELECT id, if(v > 2, 'y', 'n') AS a, nullif(k, 'a') AS b, nvl(k, '?') AS c, nvl2(v, 1, 0) AS e FROM STREAM ev
coalesce_types | SELECT id, coalesce(v, d, 0) AS c, coalesce(k, loc.city, 'none') AS s FROM STREAM ev
arithmetic | SELECT id, v + 1 AS a, v / 2 AS b, v % 3 AS c, v DIV 2 AS e, -v AS f FROM STREAM ev
decimal_arithmetic | SELECT id, amt + 1 AS a, amt * 2 AS b, amt / 3 AS c, amt % 2 AS e, CAST(amt AS DECIMAL(12,1)) AS f, round(amt, 1) AS g FROM STREAM ev
double_text | SELECT id, CAST(d AS STRING) AS s, d = d AS same, isnan(d) AS nan FROM STREAM ev
try_arithmetic | SELECT id, try_add(v, 9223372036854775807) AS a, try_divide(d, v - 3) AS b, try_cast(raw AS INT) AS c FROM STREAM ev
casts | SELECT id, CAST(v AS STRING) AS a, CAST(ts AS STRING) AS b, CAST(dt AS STRING) AS c, CAST(ts AS DATE) AS e, CAST(ok AS INT) AS f, v::DOUBLE AS g FROM STREAM ev
cast_nested_text | SELECT id, CAST(tags AS STRING) AS a, CAST(props AS STRING) AS b, CAST(loc AS STRING) AS c FROM STREAM ev
strings | SELECT id, upper(k) AS u, length(raw) AS n, substring(raw, 2, 4) AS s, concat(k, '-', id) AS c, k || '!' AS x, lpad(k, 4, '*') AS l, trim(raw) AS t FROM STREAM ev
concat_ws_tags | SELECT id, concat_ws(',', tags, k) AS c, array_join(tags, '|') AS j, array_join(tags, '|', '?') AS q FROM STREAM ev
split_index | SELECT id, split(raw, ':')[0] AS first, size(split(raw, ',')) AS parts FROM STREAM ev
regexp | SELECT id, regexp_extract(raw, '"p":"(\\w+)"', 1) AS p, regexp_replace(k, '[aä]', '*') AS r FROM STREAM ev
dates | SELECT id, year(dt) AS y, month(dt) AS m, day(dt) AS d, dayofweek(dt) AS w, last_day(dt) AS l, date_add(dt, 1) AS n, add_months(dt, 1) AS am, datediff(dt, DATE'2024-01-01') AS df FROM STREAM ev
timestamps | SELECT id, hour(ts) AS h, minute(ts) AS m, second(ts) AS s, date_trunc('hour', ts) AS t, unix_timestamp(ts) AS u, date_format(ts, 'yyyy/MM/dd HH:mm:ss.SSS') AS f FROM STREAM ev
timestamp_arithmetic | SELECT id, ts + INTERVAL 1 DAY AS a, ts - INTERVAL 90 MINUTES AS b, ts + INTERVAL 1 MONTH AS c, dt + INTERVAL 1 MONTH AS e, dt + 1 AS f, ts > dt AS g FROM STREAM ev
to_date_pattern | SELECT id, to_date('31/01/2024', 'dd/MM/yyyy') AS a, try_to_timestamp(raw) AS b, to_timestamp('2024-01-01 10:00', 'yyyy-MM-dd HH:mm') AS c FROM STREAM ev
epoch | SELECT id, timestamp_seconds(id) AS s, timestamp_millis(id * 1000) AS m, from_unixtime(id) AS f, unix_date(dt) AS u FROM STREAM ev
interval_difference | SELECT id, CAST(ts - TIMESTAMP'2024-01-01 00:00:00' AS STRING) AS i FROM STREAM ev
date_trunc_group | SELECT id, date_trunc('MONTH', ts) AS m, trunc(dt, 'YEAR') AS y, quarter(dt) AS q, weekofyear(dt) AS w FROM STREAM ev
struct_access | SELECT id, loc.city AS c, loc.zip + 1 AS z, loc.* FROM STREAM ev
struct_build | SELECT id, struct(k, v) AS s, named_struct('x', v, 'y', tags) AS n, struct(*) AS whole FROM STREAM ev WHERE id <= 2
struct_star_json | SELECT to_json(struct(*)) AS j FROM STREAM ev
struct_equal | SELECT id, loc = named_struct('city', 'Berlin', 'zip', 10115) AS same FROM STREAM ev
array_functions | SELECT id, size(tags) AS n, array_contains(tags, 'x') AS x, sort_array(tags) AS s, array_distinct(tags) AS u, slice(tags, 1, 1) AS h, reverse(tags) AS r FROM STREAM ev
array_access | SELECT id, get(tags, 0) AS a, try_element_at(tags, -1) AS z FROM STREAM ev
array_build | SELECT id, array(v, id) AS a, array(k, 'z')[1] AS z FROM STREAM ev
array_lambda | SELECT id, transform(tags, t -> upper(t)) AS u, filter(tags, t -> t > 'a') AS f, exists(tags, t -> t = 'x') AS e FROM STREAM ev
map_functions | SELECT id, props['os'] AS os, map_keys(props) AS k, map_values(props) AS v, size(props) AS n, map('a', v) AS m FROM STREAM ev
map_case | SELECT id, props.os AS os, props['OS'] AS upper_os, element_at(props, 'v') AS v FROM STREAM ev
map_from | SELECT id, map_from_arrays(array('k', 'v'), array(k, raw)) AS m FROM STREAM ev WHERE id < 3
from_json_struct | SELECT id, from_json(raw, 'u INT, p STRING, n ARRAY<INT>') AS j FROM STREAM ev
from_json_field | SELECT id, j.u, j.p FROM (SELECT id, from_json(raw, 'u STRING, p STRING') AS j FROM STREAM ev) WHERE j.u IS NOT NULL
from_json_star | SELECT id, j.* FROM (SELECT id, from_json(raw, 'u INT, ts TIMESTAMP') AS j FROM STREAM ev)
from_json_map | SELECT id, from_json(raw, 'MAP<STRING,STRING>') AS m FROM STREAM ev
from_json_corrupt | SELECT id, from_json(raw, 'u INT, _corrupt_record STRING') AS j FROM STREAM ev
get_json | SELECT id, get_json_object(raw, '$.u') AS u, get_json_object(raw, '$.n[1]') AS n, get_json_object(raw, '$[0].u') AS a FROM STREAM ev
json_tuple_lateral | SELECT id, u, p FROM STREAM ev LATERAL VIEW json_tuple(raw, 'u', 'p') jt AS u, p
json_tuple_select | SELECT id, json_tuple(raw, 'u', 'p') AS (u, p) FROM STREAM ev
to_json_values | SELECT id, to_json(struct(k, v, d, amt)) AS j, to_json(props) AS p, to_json(tags) AS t FROM STREAM ev
to_json_nulls | SELECT to_json(struct(k, v), map('ignoreNullFields', 'false')) AS j FROM STREAM ev
explode_array | SELECT id, explode(tags) AS tag FROM STREAM ev
explode_outer_array | SELECT id, explode_outer(tags) AS tag FROM STREAM ev
explode_map | SELECT id, explode(props) AS (key, value) FROM STREAM ev
explode_map_default | SELECT id, explode(props) FROM STREAM ev
posexplode_array | SELECT id, posexplode(tags) AS (p, tag) FROM STREAM ev
posexplode_outer_default | SELECT id, posexplode_outer(tags) FROM STREAM ev
explode_split | SELECT id, explode(split(k, ' ')) AS word FROM STREAM ev
explode_then_filter | SELECT id, tag FROM (SELECT id, explode(tags) AS tag FROM STREAM ev) WHERE tag <> 'x'
explode_json_array | SELECT id, explode(from_json(raw, 'n ARRAY<INT>').n) AS n FROM STREAM ev
explode_expression_beside | SELECT upper(k) AS u, explode(tags) AS t, v + 1 AS w FROM STREAM ev
lateral_view | SELECT id, tag FROM STREAM ev LATERAL VIEW explode(tags) x AS tag
lateral_view_outer | SELECT id, tag FROM STREAM ev LATERAL VIEW OUTER explode(tags) x AS tag
lateral_view_twice | SELECT id, tag, key, value FROM STREAM ev LATERAL VIEW explode(tags) x AS tag LATERAL VIEW explode(props) y AS key, value
lateral_view_pos | SELECT id, p, tag FROM STREAM ev LATERAL VIEW posexplode(tags) x AS p, tag WHERE p > 0
inline_structs | SELECT id, inline(array(struct(id AS a, k AS b), struct(v AS a, 'z' AS b))) FROM STREAM ev
stack_rows | SELECT id, stack(2, 'v', CAST(v AS STRING), 'k', k) AS (name, value) FROM STREAM ev
cte | WITH big AS (SELECT id, v FROM STREAM ev WHERE v > 2) SELECT id, v + 1 AS w FROM big
cte_twice | WITH a AS (SELECT id, k FROM STREAM ev), b AS (SELECT id, upper(k) AS u FROM a WHERE k IS NOT NULL) SELECT * FROM b WHERE u <> 'B'
cte_union_itself | WITH a AS (SELECT id, v FROM STREAM ev) SELECT id, 'x' AS side FROM a WHERE v > 2 UNION ALL SELECT id, 'y' FROM a WHERE v <= 2
subquery | SELECT w FROM (SELECT v * 10 AS w FROM STREAM ev) q WHERE w > 0
subquery_nested | SELECT z + 1 AS y FROM (SELECT w + 1 AS z FROM (SELECT v AS w FROM STREAM ev WHERE v < 100) WHERE w > 0)
alias_reuse | SELECT id, v + 1 AS w, w * 2 AS x FROM STREAM ev WHERE id < 8
union_all | SELECT id, k, v FROM STREAM ev UNION ALL SELECT id, k, v FROM STREAM more
union_all_types | SELECT id, v FROM STREAM ev WHERE id < 5 UNION ALL SELECT id, CAST(v AS DECIMAL(5,1)) FROM STREAM more
union_all_three | SELECT id FROM STREAM ev WHERE id = 1 UNION ALL SELECT id FROM STREAM more UNION ALL SELECT v FROM STREAM ev WHERE v = 3
union_all_names | SELECT id AS a, k AS b FROM STREAM more UNION ALL SELECT v, upper(k) FROM STREAM ev
union_then_filter | SELECT * FROM (SELECT id, k FROM STREAM ev UNION ALL SELECT id, k FROM STREAM more) WHERE k IS NOT NULL
join_static | SELECT e.id, n.name FROM STREAM ev e JOIN names n ON e.k = n.k
join_static_using | SELECT id, k, name FROM STREAM ev JOIN names USING (k)
join_static_left | SELECT e.id, n.name, n.rate FROM STREAM ev e LEFT JOIN names n ON e.k = n.k AND n.rate > 1
join_static_null_safe | SELECT e.id, n.name FROM STREAM ev e JOIN names n ON e.k <=> n.k
join_static_condition | SELECT e.id, n.name FROM STREAM ev e JOIN names n ON e.v > n.rate
join_static_cross | SELECT e.id, n.name FROM STREAM ev e CROSS JOIN names n WHERE e.id < 3
join_static_semi | SELECT id, k FROM STREAM ev LEFT SEMI JOIN names USING (k)
join_static_anti | SELECT e.id, e.k FROM STREAM ev e LEFT ANTI JOIN names n ON e.k = n.k
join_static_right_stream | SELECT n.name, e.id FROM names n RIGHT JOIN STREAM ev e ON e.k = n.k
in_static_subquery | SELECT id FROM STREAM ev WHERE k IN (SELECT k FROM names)
not_in_static_subquery | SELECT id FROM STREAM ev WHERE k NOT IN (SELECT k FROM names WHERE k IS NOT NULL)
exists_static_subquery | SELECT id FROM STREAM ev e WHERE EXISTS (SELECT 1 FROM names n WHERE n.k = e.k AND n.rate > 1)
not_exists_static_subquery | SELECT id FROM STREAM ev e WHERE NOT EXISTS (SELECT 1 FROM names n WHERE n.k = e.k)
scalar_static_subquery | SELECT id, v + (SELECT max(rate) FROM names) AS x FROM STREAM ev WHERE id < 8
hashes | SELECT id, hash(id, k, v) AS h, xxhash64(k) AS x, md5(k) AS m, sha2(k, 256) AS s, crc32(k) AS c FROM STREAM ev
bits | SELECT id, v & 7 AS a, v | 8 AS b, v ^ 1 AS c, ~v AS e, v << 1 AS f FROM STREAM ev
rounding | SELECT id, round(d) AS r, round(d, 1) AS r1, bround(d) AS b, ceil(d) AS c, floor(d) AS f, abs(v) AS a FROM STREAM ev
greatest_least | SELECT id, greatest(v, d, 0) AS g, least(v, id) AS l FROM STREAM ev WHERE id < 8
binary_columns | SELECT id, CAST(k AS BINARY) AS b, hex(k) AS h, base64(CAST(k AS BINARY)) AS b64, unhex('414243') AS u FROM STREAM ev
typeof_columns | SELECT id, typeof(amt + v) AS a, typeof(v / 2) AS b, typeof(ts - ts) AS c, typeof(tags) AS e FROM STREAM ev WHERE id = 1
quoted_identifiers | SELECT `id` AS `my id`, `loc`.`city` AS `a.b` FROM STREAM ev
null_literal_column | SELECT id, NULL AS n, CAST(NULL AS INT) AS i FROM STREAM ev
watermark_only | SELECT id, ts FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 10 MINUTES
watermark_filter | SELECT id, v FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 1 HOUR WHERE v > 2
window_stateless | SELECT id, window(ts, '1 hour').start AS s, window(ts, '1 hour').end AS e FROM STREAM ev
window_sliding_stateless | SELECT id, window.start AS s FROM (SELECT id, window(ts, '2 hours', '1 hour') AS window FROM STREAM ev WHERE id < 5)
hint | SELECT /*+ REPARTITION(2) */ id FROM STREAM ev WHERE id < 4
comments | SELECT id -- the key
/* and */ FROM STREAM ev WHERE id < 3
"""

VIEWS = {
    "view": ({"big": "SELECT id, k, v FROM STREAM ev WHERE v > 2"}, "SELECT id, upper(k) AS u FROM big"),
    "view_on_view": ({"a": "SELECT id, v FROM STREAM ev", "b": "SELECT id, v + 1 AS w FROM a WHERE v IS NOT NULL"}, "SELECT * FROM b WHERE id < 8"),
    "view_union": ({"x": "SELECT id FROM STREAM ev WHERE id < 3", "y": "SELECT id FROM STREAM more"}, "SELECT * FROM x UNION ALL SELECT * FROM y"),
    "view_with_columns": ({"c": "SELECT id AS ID2, k AS `the key` FROM STREAM ev"}, "SELECT id2, `The Key` FROM c"),
    "view_static": ({"n": "SELECT k, max(name) AS name FROM names GROUP BY k"}, "SELECT e.id, n.name FROM STREAM ev e JOIN n ON e.k = n.k"),
}

UPDATE_MODE = ["project", "filter_null_logic", "case_searched", "explode_array", "union_all", "cte", "join_static", "from_json_field", "struct_access", "watermark_only"]

REFUSED = r"""
complete | complete | SELECT id FROM STREAM ev
complete_filter | complete | SELECT id, upper(k) AS u FROM STREAM ev WHERE v > 1
order_by_append | append | SELECT id FROM STREAM ev ORDER BY id
order_by_update | update | SELECT id FROM STREAM ev ORDER BY v DESC
sort_by | append | SELECT id FROM STREAM ev SORT BY id
limit_update | update | SELECT id FROM STREAM ev LIMIT 2
limit_offset | append | SELECT id FROM STREAM ev LIMIT 2 OFFSET 1
offset | append | SELECT id FROM STREAM ev OFFSET 1
row_number | append | SELECT id, row_number() OVER (PARTITION BY k ORDER BY id) AS n FROM STREAM ev
row_number_time | append | SELECT id, row_number() OVER (PARTITION BY k ORDER BY ts) AS n FROM STREAM ev
window_sum | update | SELECT id, sum(v) OVER (PARTITION BY k) AS s FROM STREAM ev
lag | append | SELECT id, lag(v) OVER (ORDER BY id) AS p FROM STREAM ev
distinct_append | append | SELECT DISTINCT k FROM STREAM ev
group_by_append | append | SELECT k, count(*) AS n FROM STREAM ev GROUP BY k
global_count_append | append | SELECT count(*) AS n FROM STREAM ev
count_distinct | update | SELECT count(DISTINCT k) AS n FROM STREAM ev
sample | append | SELECT id FROM STREAM ev TABLESAMPLE (50 PERCENT)
sample_rows | append | SELECT id FROM STREAM ev TABLESAMPLE (2 ROWS)
sample_subquery | append | SELECT id FROM (SELECT * FROM STREAM ev) TABLESAMPLE (50 PERCENT)
sample_subquery_rows | append | SELECT id FROM (SELECT * FROM STREAM ev) TABLESAMPLE (2 ROWS)
union_batch | append | SELECT id, k FROM STREAM ev UNION ALL SELECT 1L, k FROM names
union_distinct | append | SELECT id FROM STREAM ev UNION SELECT id FROM STREAM more
union_columns | append | SELECT id, k FROM STREAM ev UNION ALL SELECT id FROM STREAM more
union_types | append | SELECT id, tags FROM STREAM ev UNION ALL SELECT id, k FROM STREAM more
intersect | append | SELECT id FROM STREAM ev INTERSECT SELECT id FROM STREAM more
intersect_batch | append | SELECT k FROM STREAM ev INTERSECT SELECT k FROM names
except | append | SELECT id FROM STREAM ev EXCEPT SELECT id FROM STREAM more
except_batch | append | SELECT k FROM STREAM ev EXCEPT SELECT k FROM names
unknown_column | append | SELECT nope FROM STREAM ev
unknown_column_near | append | SELECT idd FROM STREAM ev
unknown_qualified | append | SELECT ev.nope FROM STREAM ev
unknown_qualifier | append | SELECT x.id FROM STREAM ev
unknown_field | append | SELECT loc.nope FROM STREAM ev
unknown_table | append | SELECT * FROM STREAM nowhere
unknown_function | append | SELECT nosuch(id) FROM STREAM ev
ambiguous | append | SELECT k FROM STREAM ev e JOIN names n ON e.k = n.k
in_stream_subquery | append | SELECT k FROM names WHERE k IN (SELECT k FROM STREAM ev)
stream_in_stream_subquery | append | SELECT id FROM STREAM ev WHERE id IN (SELECT id FROM STREAM more)
exists_stream_subquery | append | SELECT name FROM names n WHERE EXISTS (SELECT 1 FROM STREAM ev e WHERE e.k = n.k)
scalar_stream_subquery | append | SELECT id, (SELECT max(v) FROM STREAM more) AS m FROM STREAM ev
not_in_stream_subquery | append | SELECT id FROM STREAM ev WHERE id NOT IN (SELECT id FROM STREAM more)
static_left_stream | append | SELECT n.name, e.id FROM names n LEFT JOIN STREAM ev e ON e.k = n.k
static_full_stream | append | SELECT n.name, e.id FROM names n FULL JOIN STREAM ev e ON e.k = n.k
stream_right_static | append | SELECT n.name, e.id FROM STREAM ev e RIGHT JOIN names n ON e.k = n.k
static_semi_stream | append | SELECT name FROM names n LEFT SEMI JOIN STREAM ev e ON e.k = n.k
static_anti_stream | append | SELECT name FROM names n LEFT ANTI JOIN STREAM ev e ON e.k = n.k
stream_left_stream | append | SELECT e.id FROM STREAM ev e LEFT JOIN STREAM more m ON e.id = m.id
stream_anti_stream | append | SELECT e.id FROM STREAM ev e LEFT ANTI JOIN STREAM more m ON e.id = m.id
without_stream | append | SELECT id FROM ev
batch_only | append | SELECT k FROM names
stream_of_batch | append | SELECT k FROM STREAM names
constant_query | append | SELECT 1 AS x
watermark_on_string | append | SELECT id FROM STREAM ev WATERMARK k DELAY OF INTERVAL 1 HOUR
watermark_unknown | append | SELECT id FROM STREAM ev WATERMARK nope DELAY OF INTERVAL 1 HOUR
watermark_month | append | SELECT id FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 1 MONTH
watermark_negative | append | SELECT id FROM STREAM ev WATERMARK ts DELAY OF INTERVAL -1 HOUR
type_mismatch | append | SELECT id + tags FROM STREAM ev
filter_not_boolean | append | SELECT id FROM STREAM ev WHERE v
aggregate_in_where | append | SELECT id FROM STREAM ev WHERE sum(v) > 1
two_generators | append | SELECT explode(tags), explode(props) FROM STREAM ev
generator_in_where | append | SELECT id FROM STREAM ev WHERE explode(tags) = 'x'
generator_nested | append | SELECT upper(explode(tags)) FROM STREAM ev
syntax | append | SELECT id FROM STREAM ev WHERE
syntax_from | append | SELEC id FROM STREAM ev
duplicate_table | append | SELECT * FROM STREAM ev JOIN STREAM ev
overflow | append | SELECT id, v + 9223372036854775807 AS x FROM STREAM ev
division_by_zero | append | SELECT id, 10 / (v - 3) AS x FROM STREAM ev
bad_cast | append | SELECT id, CAST(k AS INT) AS x FROM STREAM ev
bad_index | append | SELECT id, tags[1] AS x FROM STREAM ev
bad_date | append | SELECT id, to_date(k, 'yyyy-MM-dd') AS x FROM STREAM ev
raise | append | SELECT id, raise_error('stop here') AS x FROM STREAM ev
assert | append | SELECT id, assert_true(id < 3) AS x FROM STREAM ev
failfast_json | append | SELECT from_json(raw, 'u INT', map('mode', 'FAILFAST')) AS j FROM STREAM ev
cluster_by | append | SELECT id FROM STREAM ev CLUSTER BY id
distribute_by | append | SELECT id FROM STREAM ev DISTRIBUTE BY id
having_without_group | update | SELECT id FROM STREAM ev HAVING id > 1
pivot | update | SELECT * FROM (SELECT k, v FROM STREAM ev) PIVOT (sum(v) FOR k IN ('a', 'b'))
group_by_window_no_watermark | append | SELECT window.start, count(*) FROM STREAM ev GROUP BY window(ts, '1 hour')
monotonic_id | append | SELECT monotonically_increasing_id() AS i, id FROM STREAM ev
limit_append | append | SELECT id FROM STREAM ev LIMIT 4
limit_zero | append | SELECT id FROM STREAM ev LIMIT 0
distinct_update | update | SELECT DISTINCT k FROM STREAM ev
rand_filter | append | SELECT id FROM STREAM ev WHERE rand() >= 0
file_metadata | append | SELECT id, _metadata.file_name AS f FROM STREAM ev
input_file | append | SELECT id, input_file_name() <> '' AS f FROM STREAM ev
"""


def scenario(name, mode, sql, **more):
    """A scenario over those streams and tables that its text names."""
    text = (sql + " " + " ".join(more.get("views", {}).values())).lower()
    streams = {n: s for n, s in {"ev": EVENTS, "more": MORE}.items() if f"stream {n}" in text or f"from {n}" in text}
    static = {"names": NAMES} if " names" in text else {}
    return {"name": name, "sql": sql, "mode": mode, "streams": streams, "static": static, "conf": {}, "dedup": None, **more}


def entries(text, fields):
    """The `a | b | SQL` entries of a block; a line that holds no bar continues the one before."""
    found = []
    for line in text.strip("\n").split("\n"):
        parts = [part.strip() for part in line.split(" | ", fields - 1)]
        if len(parts) == fields:
            found.append(parts)
        elif line.strip():
            found[-1][-1] += "\n" + line
    return found


def stateless():
    """Queries that start, in append mode and some again in update mode."""
    queries = dict(entries(ANSWERED, 2))
    for name, sql in queries.items():
        yield scenario(name, "append", sql)
    for name in UPDATE_MODE:
        yield scenario(f"{name}_update", "update", queries[name])
    for name, (views, sql) in VIEWS.items():
        yield scenario(name, "append", sql, views=views)


def refused():
    """Queries that Spark may refuse; those that it answers after all are recorded with their answer."""
    for name, mode, sql in entries(REFUSED, 3):
        yield scenario(name, mode, sql)


FILES = {"stateless": stateless, "refused": refused, "joins": join_tables.joins, "sessions": session_tables.sessions, "aggregation": aggregation_tables.aggregations}

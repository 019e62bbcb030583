"""The questions that aggregates.py asks: the input table, and (group, query) pairs."""

import itertools

# Groups of k: 'a' ordinary, 'b' with nulls, ties, NaN and zeros of both signs, 'c' all null, 'd' one row, NULL two rows.
COLUMNS = (
    "id, k, j, b, ti, si, i, l, f, d, dec, dec38, s, bin, dt, ts, ntz, arr, st, x, y, n, dts"
)
ROWS = r"""
 (1, 'a', 1, true, 1Y, 10S, 100, 1000L, 1.5F, 2.25D, CAST(12.34 AS DECIMAL(10,2)), CAST(1234567890.0123456789 AS DECIMAL(38,10)), 'pear', X'0102', DATE'2024-02-29', TIMESTAMP'2024-02-29 12:34:56.789', TIMESTAMP_NTZ'2024-02-29 12:34:56.789', array(1,2), named_struct('p',1,'q','x'), 1.0D, 2.0D, 1, INTERVAL '1 02:03:04.5' DAY TO SECOND)
 (2, 'b', 1, false, 5Y, 50S, 500, 5000L, 0.0F, CAST('-0.0' AS DOUBLE), CAST(0.00 AS DECIMAL(10,2)), CAST(0 AS DECIMAL(38,10)), 'fig', X'', DATE'1969-12-31', TIMESTAMP'1969-12-31 23:59:59.999999', TIMESTAMP_NTZ'1969-12-31 23:59:59.999999', array(3), named_struct('p',5,'q','b'), 4.0D, 1.0D, 2, INTERVAL '-1' DAY)
 (3, 'a', 2, true, 3Y, 30S, 300, 3000L, 2.5F, 4.5D, CAST(-0.05 AS DECIMAL(10,2)), CAST(-1.0000000005 AS DECIMAL(38,10)), 'apple', X'01', DATE'2023-12-31', TIMESTAMP'2023-12-31 23:00:00.1', TIMESTAMP_NTZ'2023-12-31 23:00:00.1', array(1), named_struct('p',1,'q','a'), 2.0D, 3.5D, 3, INTERVAL '2' DAY)
 (4, 'b', 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 7.0D, 1, NULL)
 (5, 'c', 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL)
 (6, 'a', 1, false, -4Y, -40S, -400, -4000L, -1.25F, -7.75D, CAST(99.99 AS DECIMAL(10,2)), CAST(42.5 AS DECIMAL(38,10)), 'Ünï', X'FF', DATE'2024-03-01', TIMESTAMP'2024-03-01 00:00:00', TIMESTAMP_NTZ'2024-03-01 00:00:00', array(), named_struct('p',CAST(NULL AS INT),'q','z'), 3.5D, 5.0D, 1, INTERVAL '0' DAY)
 (7, NULL, 1, true, 7Y, 70S, 700, 7000L, 7.5F, 7.5D, CAST(7.77 AS DECIMAL(10,2)), CAST(7.7 AS DECIMAL(38,10)), 'seven', X'37', DATE'2007-07-07', TIMESTAMP'2007-07-07 07:07:07.07', TIMESTAMP_NTZ'2007-07-07 07:07:07.07', array(7,7), named_struct('p',7,'q','seven'), 7.0D, 7.0D, 7, INTERVAL '7' HOUR)
 (8, 'd', 1, true, 8Y, 80S, 800, 8000L, 8.5F, 8.25D, CAST(8.88 AS DECIMAL(10,2)), CAST(8.8 AS DECIMAL(38,10)), 'eight', X'38', DATE'2008-08-08', TIMESTAMP'2008-08-08 08:08:08.08', TIMESTAMP_NTZ'2008-08-08 08:08:08.08', array(8,NULL), named_struct('p',8,'q','eight'), 8.0D, 8.5D, 8, INTERVAL '8' MINUTE)
 (9, 'b', 1, true, 5Y, 50S, 500, 5000L, CAST('NaN' AS FLOAT), CAST('NaN' AS DOUBLE), CAST(1.10 AS DECIMAL(10,2)), CAST(0.0000000001 AS DECIMAL(38,10)), 'fig', X'00', DATE'1970-01-01', TIMESTAMP'1970-01-01 00:00:00', TIMESTAMP_NTZ'1970-01-01 00:00:00', array(3,1), named_struct('p',5,'q',CAST(NULL AS STRING)), 4.0D, 2.5D, 2, INTERVAL '1' SECOND)
 (10, 'a', 2, true, 3Y, 30S, 300, 3000L, 2.5F, 4.5D, CAST(12.34 AS DECIMAL(10,2)), CAST(42.5 AS DECIMAL(38,10)), 'apple', X'01', DATE'2024-02-29', TIMESTAMP'2023-12-31 23:00:00.1', TIMESTAMP_NTZ'2023-12-31 23:00:00.1', array(1), named_struct('p',1,'q','a'), 2.5D, 3.0D, 2, INTERVAL '2' DAY)
 (11, 'b', 2, false, -9Y, 90S, 900, -9000L, 0.0F, 0.0D, CAST(-3.30 AS DECIMAL(10,2)), CAST(-9.9 AS DECIMAL(38,10)), 'date', X'09', DATE'1999-09-09', TIMESTAMP'1999-09-09 09:09:09', TIMESTAMP_NTZ'1999-09-09 09:09:09', array(9,9,9), named_struct('p',9,'q','n'), 9.0D, -1.5D, 4, INTERVAL '9' DAY)
 (12, 'c', 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 3.0D, NULL, 2, NULL)
 (13, NULL, 2, false, 6Y, 60S, 600, 6000L, 6.5F, 6.5D, CAST(6.66 AS DECIMAL(10,2)), CAST(6.6 AS DECIMAL(38,10)), 'six', X'36', DATE'2006-06-06', TIMESTAMP'2006-06-06 06:06:06.06', TIMESTAMP_NTZ'2006-06-06 06:06:06.06', array(6), named_struct('p',6,'q','six'), 6.0D, 6.25D, 6, INTERVAL '6' HOUR)
 (14, 'a', 3, NULL, 3Y, 10S, NULL, 77L, 9.0F, 1e10D, CAST(0.01 AS DECIMAL(10,2)), CAST(0.01 AS DECIMAL(38,10)), '', X'01', DATE'2023-12-31', TIMESTAMP'2030-01-01 00:00:00', TIMESTAMP_NTZ'2030-01-01 00:00:00', array(1,2), named_struct('p',1,'q','x'), -1.5D, 0.25D, 1, INTERVAL '3' DAY)
"""
TABLE = f"SELECT * FROM VALUES\n{', '.join(ROWS.strip().splitlines(keepends=True)).strip()}\n AS a({COLUMNS})"

EXTREMES = """SELECT * FROM VALUES
 (9223372036854775807L, CAST(99999999999999999999999999999999999999 AS DECIMAL(38,0)), CAST(9999999999.99 AS DECIMAL(12,2)), 1.7976931348623157E308D, INTERVAL '100000000' DAY, INTERVAL '100000000' YEAR, 2147483647, '1.5'),
 (1L, CAST(1 AS DECIMAL(38,0)), CAST(0.01 AS DECIMAL(12,2)), 1.7976931348623157E308D, INTERVAL '100000000' DAY, INTERVAL '100000000' YEAR, 2147483647, 'zwei')
 AS e(l, dec38, dec, d, day, year, i, s)"""

NUMERIC = ["ti", "si", "i", "l", "f", "d", "dec", "dec38"]
ALL = NUMERIC + ["b", "s", "bin", "dt", "ts", "ntz", "arr", "st", "dts"]
FEW = ["i", "d", "dec", "s", "ts", "b"]

MOMENTS = ["avg", "mean", "stddev", "stddev_samp", "stddev_pop", "std", "variance", "var_samp", "var_pop", "skewness", "kurtosis"]
ANY_TYPE = ["count", "min", "max", "first", "last", "first_value", "last_value", "any_value", "collect_list", "array_agg",
            "approx_count_distinct"]
PAIRS = ["corr", "covar_samp", "covar_pop", "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2", "regr_slope",
         "regr_sxx", "regr_sxy", "regr_syy"]
BOOLEAN = ["bool_and", "bool_or", "every", "some", "any", "count_if"]
BITS = ["bit_and", "bit_or", "bit_xor"]


def questions():
    """Every question, in the order of the file."""
    yield from by_type()
    yield from forms()
    yield from pairs()
    yield from (("special", text) for text in lines(SPECIAL))
    yield from (("grouping", text) for text in lines(GROUPING))
    yield from (("extremes", text) for text in lines(EXTREME_QUESTIONS))
    yield from (("many", text) for text in lines(MANY))
    yield from (("refused", text) for text in lines(REFUSED))


def lines(text):
    """The questions of a text, one a line."""
    return [line.strip() for line in text.strip().split("\n") if line.strip()]


def calls():
    """One call of every function of one argument, with a column that it takes."""
    for function in ANY_TYPE + ["mode"]:
        yield f"{function}(s)"
    for function in MOMENTS + ["sum", "try_sum", "try_avg", "median"]:
        yield f"{function}(i)"
        yield f"{function}(dec)"
    for function in BOOLEAN:
        yield f"{function}(b)"
    for function in BITS:
        yield f"{function}(i)"
    yield from ("percentile(d, 0.5)", "percentile_approx(i, 0.5)", "approx_percentile(dec, array(0.25, 0.75))",
                "percentile_cont(0.5) WITHIN GROUP (ORDER BY i)", "percentile_disc(0.5) WITHIN GROUP (ORDER BY i)",
                "max_by(s, i)", "min_by(s, i)", "corr(x, y)", "regr_count(y, x)", "regr_slope(y, x)",
                "sort_array(collect_set(s))", "count(*)", "count(i, s)", "mode() WITHIN GROUP (ORDER BY s)")


def by_type():
    """Functions of one argument over every type."""
    for function, column in itertools.product(ANY_TYPE, ALL):
        yield "type", f"SELECT k, {function}({column}) FROM a GROUP BY k ORDER BY k"
    for function, column in itertools.product(["sum", "avg", "try_sum", "try_avg", "median"], NUMERIC + ["s", "dts", "b", "ts"]):
        yield "type", f"SELECT k, {function}({column}) FROM a GROUP BY k ORDER BY k"
    for function, column in itertools.product(MOMENTS[1:], ["i", "l", "f", "x", "dec", "dts"]):
        yield "type", f"SELECT k, {function}({column}) FROM a GROUP BY k ORDER BY k"
    for function, column in itertools.product(BITS, ["ti", "si", "i", "l", "d", "s"]):
        yield "type", f"SELECT k, {function}({column}) FROM a GROUP BY k ORDER BY k"
    for function, column in itertools.product(BOOLEAN, ["b", "i > 100", "s", "i"]):
        yield "type", f"SELECT k, {function}({column}) FROM a GROUP BY k ORDER BY k"
    for column in ALL:
        yield "type", f"SELECT k, sort_array(collect_set({column})) FROM a GROUP BY k ORDER BY k"
        yield "type", f"SELECT k, count(DISTINCT {column}) FROM a GROUP BY k ORDER BY k"
        yield "type", f"SELECT k, mode({column}, true) FROM a GROUP BY k ORDER BY k"
        yield "type", f"SELECT k, mode({column}) FROM a GROUP BY k ORDER BY k"
        yield "type", f"SELECT mode({column}) FROM a"
        yield "type", f"SELECT k, max_by(id, {column}), min_by(id, {column}) FROM a GROUP BY k ORDER BY k"
        yield "type", f"SELECT k, max_by({column}, l), min_by({column}, l) FROM a GROUP BY k ORDER BY k"
        yield "type", f"SELECT k, percentile_approx({column}, 0.4) FROM a GROUP BY k ORDER BY k"
        yield "type", f"SELECT k, percentile_approx({column}, array(0.1, 0.5, 1.0), 100) FROM a GROUP BY k ORDER BY k"
        yield "type", f"SELECT k, percentile({column}, 0.3) FROM a GROUP BY k ORDER BY k"
        yield "type", f"SELECT k, percentile_cont(0.3) WITHIN GROUP (ORDER BY {column} DESC) FROM a GROUP BY k ORDER BY k"
        yield "type", f"SELECT k, percentile_disc(0.3) WITHIN GROUP (ORDER BY {column}) FROM a GROUP BY k ORDER BY k"


def forms():
    """Every function globally, over nothing, filtered and of distinct values."""
    for call in calls():
        yield "global", f"SELECT {call} FROM a"
        yield "empty", f"SELECT {call} FROM a WHERE false"
        yield "empty", f"SELECT k, {call} FROM a WHERE false GROUP BY k"
        filtered = f"{call} FILTER (WHERE j = 1 AND s <> 'pear')"
        if "collect_set" in call:
            filtered = "size(collect_set(s) FILTER (WHERE j = 1))"
        yield "filter", f"SELECT k, {filtered} FROM a GROUP BY k ORDER BY k"
        if "(*)" not in call and "WITHIN" not in call and "collect_set" not in call:
            yield "distinct", f"SELECT k, {call.replace('(', '(DISTINCT ', 1)} FROM a GROUP BY k ORDER BY k"
            yield "distinct", f"SELECT {call.replace('(', '(DISTINCT ', 1)}, {call} FROM a"
        yield "rollup", f"SELECT k, j, {call} FROM a GROUP BY ROLLUP (k, j) ORDER BY grouping_id(), k, j"


def pairs():
    """Functions of two numbers."""
    for function in PAIRS:
        for arguments in ("y, x", "x, y", "i, d", "dec, l", "y, y"):
            yield "pairs", f"SELECT k, {function}({arguments}) FROM a GROUP BY k ORDER BY k"


SPECIAL = r"""
SELECT count(1), count(NULL), count(*) FROM a
SELECT count(a.*) FROM a
SELECT count(DISTINCT i, s), count(DISTINCT j), count(DISTINCT k, j) FROM a
SELECT k, count(DISTINCT i, s), sum(DISTINCT i), avg(DISTINCT dec), count(DISTINCT s), count(*) FROM a GROUP BY k ORDER BY k
SELECT j, count(DISTINCT k) FILTER (WHERE i > 0), sum(DISTINCT i) FILTER (WHERE b) FROM a GROUP BY j ORDER BY j
SELECT k, first(i, true), last(i, true), first(s, false), any_value(s, true) FROM a GROUP BY k ORDER BY k
SELECT k, first(i) IGNORE NULLS, last(i) IGNORE NULLS, first_value(i) IGNORE NULLS, last_value(i) IGNORE NULLS, any_value(i) IGNORE NULLS FROM a GROUP BY k ORDER BY k
SELECT k, first(i) RESPECT NULLS, last_value(i) RESPECT NULLS FROM a GROUP BY k ORDER BY k
SELECT k, first(i, true) FILTER (WHERE j = 2) FROM a GROUP BY k ORDER BY k
SELECT k, collect_list(s) IGNORE NULLS, collect_list(s) RESPECT NULLS, array_agg(i) FILTER (WHERE j = 1) FROM a GROUP BY k ORDER BY k
SELECT k, collect_list(DISTINCT s) FROM a GROUP BY k ORDER BY k
SELECT k, array_agg(DISTINCT i) FROM a GROUP BY k ORDER BY k
SELECT collect_list(struct(id, s)) FROM a WHERE k = 'a'
SELECT k, max_by(s, i, 2), min_by(s, i, 2) FROM a GROUP BY k ORDER BY k
SELECT k, max_by(s, b), min_by(s, b), max_by(id, arr), min_by(id, st) FROM a GROUP BY k ORDER BY k
SELECT max_by(id, i), min_by(id, i), max_by(id, d), min_by(id, d), max_by(id, f), min_by(id, f) FROM a
SELECT max_by(struct(id, s), i), min_by(arr, i) FROM a
SELECT k, percentile(i, array(0.0, 0.25, 1.0)), percentile(i, 0.5, n), percentile(d, array(0.5), n) FROM a GROUP BY k ORDER BY k
SELECT percentile(i, 0), percentile(i, 1), percentile(i, 1.0D), percentile(i, '0.5') FROM a
SELECT percentile(i, 0.5, 0) FROM a
SELECT percentile(i, NULL) FROM a
SELECT percentile(DISTINCT i, 0.5) FROM a
SELECT percentile_cont(array(0.25, 0.5)) WITHIN GROUP (ORDER BY i), percentile_cont(0.9) WITHIN GROUP (ORDER BY i DESC) FROM a
SELECT percentile_disc(array(0.25, 0.5)) WITHIN GROUP (ORDER BY i), percentile_disc(0.9) WITHIN GROUP (ORDER BY i DESC) FROM a
SELECT approx_percentile(i, 0.5, 1), approx_percentile(i, array(0.0, 1.0), 2), percentile_approx(l, 0.9, 10000) FROM a
SELECT approx_percentile(dt, 0.5), approx_percentile(ts, array(0.2, 0.8)) FROM a
SELECT median(i), median(d), median(dec), median(dts) FROM a
SELECT mode() WITHIN GROUP (ORDER BY i), mode() WITHIN GROUP (ORDER BY i DESC) FROM a
SELECT mode(i, true), mode(i, false), mode(s, true) FROM a
SELECT approx_count_distinct(s, 0.01), approx_count_distinct(s, 0.2), approx_count_distinct(NULL), approx_count_distinct(d) FROM a
SELECT sum(DISTINCT i), sum(i), avg(DISTINCT i), avg(i), count(DISTINCT i), min(DISTINCT i), max(DISTINCT i) FROM a
SELECT sum(1), avg(1), min(1), max('x'), first(1), count(1), stddev(1), collect_list(1) FROM a
SELECT sum(NULL), avg(NULL), min(NULL), max(NULL), first(NULL), count(NULL) FROM a
SELECT sum(i) + count(*) AS total, sum(i) / count(i), avg(i) * 2 FROM a
SELECT sum(i + j), sum(i) + sum(j), max(abs(i)) FROM a
SELECT k, sum(i) FROM a GROUP BY k HAVING sum(i) > 100 ORDER BY k
SELECT k, count(*) FROM a GROUP BY k HAVING count(DISTINCT j) > 1 AND max(i) IS NOT NULL ORDER BY k
SELECT k FROM a GROUP BY k HAVING every(b IS NOT NULL) ORDER BY k
SELECT count(*) FROM a HAVING count(*) > 100
SELECT k, sum(i) AS total FROM a GROUP BY k HAVING total > 100 ORDER BY total DESC
SELECT k, count(*) FROM a GROUP BY k ORDER BY count(*) DESC, k LIMIT 2
SELECT upper(k), count(*) FROM a GROUP BY upper(k) ORDER BY 1
SELECT j % 2, sum(i) FROM a GROUP BY j % 2 ORDER BY 1
SELECT j AS g, count(*) FROM a GROUP BY g ORDER BY g
SELECT k, j, count(*) FROM a GROUP BY ALL ORDER BY k, j
SELECT 1, count(*) FROM a GROUP BY 1
SELECT DISTINCT k FROM a ORDER BY k
SELECT d, count(*) FROM a GROUP BY d ORDER BY d
SELECT f, count(*) FROM a GROUP BY f ORDER BY f
SELECT id, sum(i) OVER (PARTITION BY k ORDER BY id) FROM a ORDER BY id
SELECT id, sum(i) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM a ORDER BY id
SELECT id, avg(dec) OVER (PARTITION BY k), count(s) OVER (PARTITION BY k ORDER BY id), max_by(s, i) OVER (PARTITION BY k ORDER BY id) FROM a ORDER BY id
SELECT id, collect_list(i) OVER (PARTITION BY k ORDER BY id), first(s) OVER (PARTITION BY k ORDER BY id), last(s) OVER (PARTITION BY k ORDER BY id) FROM a ORDER BY id
SELECT id, first(i) IGNORE NULLS OVER (PARTITION BY k ORDER BY id), min(s) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM a ORDER BY id
SELECT listagg(s) FROM a
SELECT k, listagg(s, ', ') FROM a GROUP BY k ORDER BY k
SELECT k, string_agg(s, '|') FROM a GROUP BY k ORDER BY k
SELECT (SELECT count(*) FROM a x WHERE x.k = a.k) FROM a ORDER BY id
SELECT (SELECT max(i) FROM a) AS m, count(*) FROM a
SELECT skewness(DISTINCT i), kurtosis(DISTINCT i), stddev(DISTINCT i) FROM a
SELECT regr_count(y, x) FILTER (WHERE j = 1), corr(DISTINCT x, y) FROM a
SELECT count(DISTINCT d), count(DISTINCT f), sum(DISTINCT d) FROM a WHERE id < 14
SELECT count_if(DISTINCT b), bool_and(DISTINCT b), bit_xor(DISTINCT ti), max(DISTINCT s), first(DISTINCT s) FROM a
SELECT sum(ti), sum(si), avg(ti), avg(l), sum(f), sum(dec), avg(dec), sum(dec38) FROM a
SELECT typeof(sum(dec)), typeof(avg(dec)), typeof(avg(dec38)), typeof(sum(CAST(1 AS DECIMAL(38,30)))), typeof(avg(CAST(0.5 AS DECIMAL(36,36)))) FROM a
"""

GROUPING = r"""
SELECT k, j, count(*), sum(i), grouping(k), grouping(j), grouping_id(), grouping_id(k, j) FROM a GROUP BY ROLLUP (k, j) ORDER BY grouping_id(), k, j
SELECT k, j, count(*), grouping(k), grouping(j), grouping_id() FROM a GROUP BY CUBE (k, j) ORDER BY grouping_id(), k, j
SELECT k, j, count(*), grouping_id(k, j) FROM a GROUP BY GROUPING SETS ((k), (j), ()) ORDER BY grouping_id(), k, j
SELECT k, j, count(*), grouping_id(j, k) FROM a GROUP BY GROUPING SETS ((k), (j), ()) ORDER BY grouping_id(k, j), k, j
SELECT k, sum(i) FROM a GROUP BY k WITH ROLLUP ORDER BY grouping_id(), k
SELECT k, j, sum(i) FROM a GROUP BY k, j WITH CUBE ORDER BY grouping_id(), k, j
SELECT k, j, sum(i) FROM a GROUP BY k, ROLLUP (j) ORDER BY grouping_id(), k, j
SELECT k, j, b, count(*) FROM a GROUP BY ROLLUP (k, (j, b)) ORDER BY grouping_id(), k, j, b
SELECT k, j, count(*) FROM a GROUP BY k, j GROUPING SETS ((k), (k, j)) ORDER BY grouping_id(), k, j
SELECT k, j, count(*) FROM a GROUP BY GROUPING SETS ((k, j), (k), ()) HAVING grouping(j) = 1 ORDER BY k
SELECT k, count(DISTINCT s), collect_list(i), first(s), max_by(s, i) FROM a GROUP BY ROLLUP (k) ORDER BY grouping(k), k
SELECT CASE WHEN grouping(k) = 1 THEN 'all' ELSE k END AS kk, sum(i) FROM a GROUP BY ROLLUP (k) ORDER BY grouping(k), k
SELECT k, count(*) FROM a WHERE false GROUP BY ROLLUP (k)
SELECT count(*) FROM a WHERE false GROUP BY GROUPING SETS (())
SELECT count(*) FROM a WHERE false GROUP BY GROUPING SETS ((), ())
SELECT j + 1, count(*) FROM a GROUP BY ROLLUP (j + 1) ORDER BY grouping(j + 1), 1
SELECT j AS g, count(*), grouping(j) FROM a GROUP BY CUBE (g) ORDER BY 3, 1
SELECT k, j, grouping(k) + grouping(j) AS level, sum(l) FROM a GROUP BY CUBE (k, j) ORDER BY level, k, j
"""

EXTREME_QUESTIONS = r"""
SELECT sum(l) FROM e
SELECT try_sum(l) FROM e
SELECT avg(l) FROM e
SELECT try_avg(l) FROM e
SELECT sum(i) FROM e
SELECT sum(dec38) FROM e
SELECT try_sum(dec38) FROM e
SELECT avg(dec38) FROM e
SELECT try_avg(dec38) FROM e
SELECT sum(dec), avg(dec) FROM e
SELECT sum(d), avg(d), try_sum(d) FROM e
SELECT sum(day) FROM e
SELECT try_sum(day) FROM e
SELECT avg(day) FROM e
SELECT try_avg(day) FROM e
SELECT sum(year) FROM e
SELECT try_sum(year) FROM e
SELECT avg(year) FROM e
SELECT try_avg(year) FROM e
SELECT sum(s) FROM e
SELECT avg(s) FROM e
SELECT try_sum(s) FROM e
SELECT sum(s), avg(s) FROM e WHERE l > 1
SELECT stddev(d), variance(l), skewness(d) FROM e
SELECT stddev(l), skewness(l), kurtosis(l) FROM e
SELECT sum(DISTINCT l) FROM e
SELECT max(l), min(l), max(dec38), bit_xor(l) FROM e
SELECT sum(l) OVER (ORDER BY l) FROM e WHERE l = 1
"""

NUMBERS = "(SELECT explode(sequence(1, {n})) AS id)"
MANY = "\n".join(
    text.replace("{numbers}", NUMBERS.replace("{n}", str(n)))
    for n in (300, 1200, 5000, 60000)
    for text in r"""
SELECT approx_count_distinct(id), approx_count_distinct(CAST(id AS STRING)), approx_count_distinct(CAST(id AS BIGINT)), approx_count_distinct(id % 500) FROM {numbers}
SELECT approx_count_distinct(id, 0.02), approx_count_distinct(id, 0.1), approx_count_distinct(id, 0.39), approx_count_distinct(id, 0.005) FROM {numbers}
SELECT approx_count_distinct(id / 7), approx_count_distinct(CAST(id AS DECIMAL(10,2))), approx_count_distinct(date_add(DATE'2000-01-01', id)) FROM {numbers}
SELECT percentile(id, array(0.01, 0.333, 0.99)), median(id * 7 % 1000), percentile_approx(id, array(0.1, 0.5, 0.9)) FROM {numbers}
SELECT percentile_approx(id * 7919 % 10007, array(0.01, 0.25, 0.5, 0.75, 0.99), 100), percentile_approx(id * 7919 % 10007, 0.5, 20) FROM {numbers}
SELECT mode(id % 17), mode(id % 1000), mode(CAST(id % 100 AS STRING)), mode(CAST(id % 100 AS BIGINT)), mode(CAST(id % 100 AS DOUBLE)) FROM {numbers}
SELECT sum(id), avg(id), stddev(id), skewness(id * id), kurtosis(id * id), corr(id, id * id), regr_slope(id, id * 3) FROM {numbers}
SELECT sum(CAST(id AS DOUBLE) / 7), avg(CAST(id AS DECIMAL(12,4)) / 7), sum(CAST(id AS FLOAT) / 3) FROM {numbers}
SELECT id % 10 AS g, count(*), sum(id), max_by(id, id % 77), min_by(id, id % 77), first(id), last(id), size(collect_set(id % 13)) FROM {numbers} GROUP BY g ORDER BY g
SELECT id % 3 AS g, count(DISTINCT id % 11), sum(DISTINCT id % 11), avg(DISTINCT id % 7), approx_count_distinct(id % 100) FROM {numbers} GROUP BY g ORDER BY g
""".strip().split("\n")
)

REFUSED = r"""
SELECT count() FROM a
SELECT sum(i, j) FROM a
SELECT sum(b) FROM a
SELECT sum(ts) FROM a
SELECT sum(arr) FROM a
SELECT avg(b) FROM a
SELECT max(map(1, 2)) FROM a
SELECT bit_and(d) FROM a
SELECT bool_and(i) FROM a
SELECT count_if(i) FROM a
SELECT percentile(s, 0.5) FROM a
SELECT percentile(i, 1.5) FROM a
SELECT percentile(i, id) FROM a
SELECT percentile(i, 0.5, -1) FROM a
SELECT approx_percentile(i, 2.0) FROM a
SELECT approx_percentile(i, 0.5, 0) FROM a
SELECT approx_percentile(i, 0.5, j) FROM a
SELECT approx_percentile(s, 0.5) FROM a
SELECT approx_count_distinct(s, 0.5) FROM a
SELECT approx_count_distinct(map(1, s)) FROM a
SELECT first(i, 1) FROM a
SELECT first(i, b) FROM a
SELECT max_by(i) FROM a
SELECT max_by(i, map(1, 2)) FROM a
SELECT corr(s, x) FROM a
SELECT corr(x) FROM a
SELECT grouping(k) FROM a GROUP BY k
SELECT grouping_id() FROM a GROUP BY k
SELECT grouping(j) FROM a GROUP BY ROLLUP (k)
SELECT grouping_id(k) FROM a GROUP BY ROLLUP (k, j)
SELECT sum(max(i)) FROM a
SELECT k, sum(i) FROM a
SELECT k FROM a WHERE sum(i) > 1
SELECT k FROM a GROUP BY k HAVING i > 1
SELECT count(*) FROM a GROUP BY sum(i)
SELECT product(i) FROM a
SELECT approx_distinct(i) FROM a
SELECT var(i) FROM a
SELECT collect_set(map(1, i)) FROM a
SELECT count(DISTINCT map(1, i)) FROM a
SELECT mode(i, b) FROM a
SELECT median(s) FROM a
SELECT percentile_cont(0.5) FROM a
SELECT percentile_cont(i) WITHIN GROUP (ORDER BY j) FROM a
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY i, j) FROM a
SELECT sum(i) WITHIN GROUP (ORDER BY j) FROM a
SELECT sum(i) IGNORE NULLS FROM a
SELECT upper(s) IGNORE NULLS FROM a
SELECT regr_count(y) FROM a
SELECT stddev(b) FROM a
SELECT stddev(ts) FROM a
SELECT skewness(s) FROM a
SELECT min(DISTINCT *) FROM a
SELECT count(DISTINCT *) FROM a
"""

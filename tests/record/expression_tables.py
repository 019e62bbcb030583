"""The questions that expressions.py asks: the input table, and (group, SQL text, "t" or None) triples.

Here: operators, literals, casts, access to nested values, names. Functions are in function_tables.py.
"""
import itertools

import function_tables

# Rows: 1 ordinary, 2 all null, 3 greatest, 4 least, 5 zero and empty, 6 NaN and the moment before 1970, 7 and 8 the
# infinities, 9 ordinary and negative.
TABLE = r"""
SELECT * FROM VALUES
 (1, true, 1Y, 2S, 3, 4L, 1.5F, 2.5D, CAST(12.34 AS DECIMAL(10,2)), CAST(1234567890.0123456789 AS DECIMAL(38,10)),
  'hello', '{"a":1,"b":"x","c":[1,2],"d":{"e":1.5}}', X'68656C6C6F', DATE'2024-02-29', TIMESTAMP'2024-02-29 12:34:56.789', TIMESTAMP_NTZ'2024-02-29 12:34:56.789',
  array(1,2,3), array('a','b'), map('k',1), named_struct('a',1,'b','x'), array(named_struct('p',1,'q',named_struct('r','deep')))),
 (2, CAST(NULL AS BOOLEAN), CAST(NULL AS TINYINT), CAST(NULL AS SMALLINT), CAST(NULL AS INT), CAST(NULL AS BIGINT), CAST(NULL AS FLOAT), CAST(NULL AS DOUBLE), CAST(NULL AS DECIMAL(10,2)), CAST(NULL AS DECIMAL(38,10)),
  CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS BINARY), CAST(NULL AS DATE), CAST(NULL AS TIMESTAMP), CAST(NULL AS TIMESTAMP_NTZ),
  CAST(NULL AS ARRAY<INT>), CAST(NULL AS ARRAY<STRING>), CAST(NULL AS MAP<STRING,INT>), CAST(NULL AS STRUCT<a:INT,b:STRING>), CAST(NULL AS ARRAY<STRUCT<p:INT,q:STRUCT<r:STRING>>>)),
 (3, false, 127Y, 32767S, 2147483647, 9223372036854775807L, CAST('3.4028235E38' AS FLOAT), 1.7976931348623157E308D, CAST(99999999.99 AS DECIMAL(10,2)), CAST(9999999999999999999999999999.9999999999 AS DECIMAL(38,10)),
  ' 42 ', '{"a":1', X'', DATE'9999-12-31', TIMESTAMP'9999-12-31 23:59:59.999999', TIMESTAMP_NTZ'9999-12-31 23:59:59.999999',
  array(1,null,3), array(null,''), map('k',null,'z',2), named_struct('a',CAST(NULL AS INT),'b','y'), array()),
 (4, true, CAST(-128 AS TINYINT), CAST(-32768 AS SMALLINT), CAST(-2147483648 AS INT), CAST('-9223372036854775808' AS BIGINT), CAST('-3.4028235E38' AS FLOAT), -1.7976931348623157E308D, CAST(-99999999.99 AS DECIMAL(10,2)), CAST(-9999999999999999999999999999.9999999999 AS DECIMAL(38,10)),
  '', '', X'00FF80', DATE'0001-01-01', TIMESTAMP'0001-01-01 00:00:00', TIMESTAMP_NTZ'0001-01-01 00:00:00',
  array(-2147483648,2147483647), array('z','a','z'), map('',-1), named_struct('a',-1,'b',''), array(named_struct('p',CAST(NULL AS INT),'q',named_struct('r',CAST(NULL AS STRING))), CAST(NULL AS STRUCT<p:INT,q:STRUCT<r:STRING>>))),
 (5, false, 0Y, 0S, 0, 0L, 0.0F, CAST('-0.0' AS DOUBLE), CAST(0 AS DECIMAL(10,2)), CAST(0 AS DECIMAL(38,10)),
  '0', '[1,2,3]', X'30', DATE'1970-01-01', TIMESTAMP'1970-01-01 00:00:00', TIMESTAMP_NTZ'1970-01-01 00:00:00',
  array(), array(), map(), named_struct('a',0,'b',CAST(NULL AS STRING)), array()),
 (6, true, 10Y, 100S, 1000, 100000L, CAST('NaN' AS FLOAT), CAST('NaN' AS DOUBLE), CAST(0.05 AS DECIMAL(10,2)), CAST(0.0000000001 AS DECIMAL(38,10)),
  'Ünïcödé 😀 ñ', '{"a":"text","b":null,"c":"no list"}', X'E282AC', DATE'1969-12-31', TIMESTAMP'1969-12-31 23:59:59.999999', TIMESTAMP_NTZ'1969-12-31 23:59:59.999999',
  array(5,3,3,null,1), array('é','z','Z'), map('k',7,'K',8), named_struct('a',5,'b','ünï'), array(named_struct('p',2,'q',CAST(NULL AS STRUCT<r:STRING>)))),
 (7, true, 5Y, 5S, 5, 5L, CAST('Infinity' AS FLOAT), CAST('Infinity' AS DOUBLE), CAST(2.50 AS DECIMAL(10,2)), CAST(2.5 AS DECIMAL(38,10)),
  'abc,def,,ghi', 'null', X'FFFFFFFF', DATE'1582-10-04', TIMESTAMP'1582-10-15 00:00:00.000001', TIMESTAMP_NTZ'1900-01-01 00:00:00.5',
  array(7), array('abc'), map('a',1,'b',2,'c',3), named_struct('a',7,'b','seven'), array(named_struct('p',3,'q',named_struct('r','')))),
 (8, false, -5Y, -5S, -5, -5L, CAST('-Infinity' AS FLOAT), CAST('-Infinity' AS DOUBLE), CAST(-2.50 AS DECIMAL(10,2)), CAST(-2.5 AS DECIMAL(38,10)),
  '2024-01-15', '{"a":9999999999,"B":"case","t":"2024-01-01T00:00:00Z"}', X'0A0D09', DATE'2023-12-31', TIMESTAMP'2023-12-31 23:00:00.1', TIMESTAMP_NTZ'2023-12-31 23:00:00.1',
  array(3,2,1), array('x','x'), map('k',5), named_struct('a',8,'b','k'), array(named_struct('p',4,'q',named_struct('r','r4')),named_struct('p',5,'q',named_struct('r','r5')))),
 (9, true, -7Y, -8S, -9, -10L, -1.25F, -2.75D, CAST(-12.75 AS DECIMAL(10,2)), CAST(-1.0000000005 AS DECIMAL(38,10)),
  '-12.75', ' {"a": 1.0, "b": [1]} trailing', X'616263', DATE'1955-07-04', TIMESTAMP'1955-07-04 06:07:08.123456', TIMESTAMP_NTZ'2024-03-31 02:30:00',
  array(0,-1), array('A b','C'), map('neg',-9), named_struct('a',-9,'b','Neg'), array(named_struct('p',6,'q',named_struct('r',null))))
 AS t(id, b, ti, si, i, l, f, d, dec, dec38, s, js, bin, dt, ts, ntz, arr, sarr, m, st, nest)
"""

COLUMNS = {
    "b": "BOOLEAN", "ti": "TINYINT", "si": "SMALLINT", "i": "INT", "l": "BIGINT", "f": "FLOAT", "d": "DOUBLE",
    "dec": "DECIMAL(10,2)", "dec38": "DECIMAL(38,10)", "s": "STRING", "bin": "BINARY", "dt": "DATE", "ts": "TIMESTAMP",
    "ntz": "TIMESTAMP_NTZ", "arr": "ARRAY<INT>", "sarr": "ARRAY<STRING>", "m": "MAP<STRING,INT>",
    "st": "STRUCT<a:INT,b:STRING>",
}
NUMERIC = ["ti", "si", "i", "l", "f", "d", "dec", "dec38"]
SIMPLE = NUMERIC + ["b", "s", "bin", "dt", "ts", "ntz"]


def lines(group, text, source=None):
    """One question a line; blank lines are skipped."""
    return [(group, line.strip(), source) for line in text.strip("\n").split("\n") if line.strip()]


# Texts whose value depends on the day: these answers are not recorded.
TODAY = ("CAST('now' ", "CAST('today' ", "CAST('10:20:30' ", "CAST('T10:20' ")


def questions():
    """Every question, in the order of the file."""
    for group, sql, source in stable_questions():
        yield "unstable/now" if sql.startswith(TODAY) or sql.startswith(tuple(f"TRY_{t}" for t in TODAY)) else group, sql, source


def stable_questions():
    """The questions of every part."""
    yield from operators()
    yield from literals()
    yield from casts()
    yield from nested()
    yield from names()
    yield from function_tables.questions()


def operators():
    """Arithmetic, comparison, logic, predicates and CASE."""
    for a, op, b in itertools.product(NUMERIC, ["+", "-", "*", "/", "%", "DIV"], NUMERIC):
        yield "op/arithmetic", f"{a} {op} {b}", "t"
    for a, op in itertools.product(NUMERIC, ["+ 1", "- 1", "* 2", "/ 2", "% 3", "DIV 2", "+ 0.5", "* 1.5", "/ 0.3", "+ 1.5D", "+ '1'", "/ '2'", "% 2.5"]):
        yield "op/arithmetic", f"{a} {op}", "t"
    for a in NUMERIC:
        yield from lines("op/arithmetic", f"-{a}\n+{a}\n- (- {a})\n1 / {a}\n1 % {a}\n1 DIV {a}\n{a} / 0\n{a} % 0\nabs({a})\n2 * {a} - 1", "t")
    for a, b in itertools.product(SIMPLE, SIMPLE):
        yield "op/compare", f"{a} = {b}", "t"
    for a, op, b in itertools.product(["i", "d", "dec", "s", "dt", "ts", "ntz", "b", "bin"], ["<", ">=", "<=>", "!="], ["l", "d", "dec38", "s", "dt", "ts", "ntz"]):
        yield "op/compare", f"{a} {op} {b}", "t"
    yield from lines("op/compare", OPERATORS_T, "t")
    yield from lines("op/constant", OPERATORS)
    types = ["DECIMAL(5,2)", "DECIMAL(10,0)", "DECIMAL(20,10)", "DECIMAL(38,0)", "DECIMAL(38,18)", "DECIMAL(38,38)"]
    for a, op, b in itertools.product(types, ["+", "-", "*", "/", "%", "DIV"], types):
        x, y = ("0.5" if t.endswith("38,38)") else "7.5" for t in (a, b))
        yield "op/decimal", f"CAST({x} AS {a}) {op} CAST({y} AS {b})", None
    for op, literal in itertools.product("+-*/%", ["1Y", "1S", "1", "10L", "1.50", "100"]):
        yield "op/decimal", f"CAST(7.5 AS DECIMAL(10,2)) {op} {literal}", None


OPERATORS_T = r"""
b AND true
b AND false
b OR true
b OR false
NOT b
! b
b AND NULL
b OR NULL
NULL AND b
i > 0 AND d > 0
i > 0 OR l IS NULL
i IS NULL
i IS NOT NULL
b IS TRUE
b IS NOT TRUE
b IS FALSE
b IS NOT FALSE
b IS UNKNOWN
b IS NOT UNKNOWN
i IN (1, 3, 5)
i IN (1, NULL, 3)
i NOT IN (1, 3)
i NOT IN (1, NULL)
i IN ('3', '5')
s IN ('hello', '0')
s IN (0, 42)
dt IN ('2024-02-29', '1970-01-01')
d IN (2.5, 'NaN')
dec IN (12.34, 2.5)
ts IN (DATE'1970-01-01')
l IN (i, si)
i BETWEEN 0 AND 10
i NOT BETWEEN 0 AND 10
i BETWEEN NULL AND 10
i BETWEEN 10 AND 0
s BETWEEN 'a' AND 'i'
dt BETWEEN '1970-01-01' AND '2024-12-31'
ts BETWEEN DATE'1970-01-01' AND DATE'2024-12-31'
d BETWEEN -1 AND 1
s = 0
s > 1
s < 'b'
s <=> NULL
i <=> NULL
d = d
d = CAST('NaN' AS DOUBLE)
d > 1e300
d < CAST('NaN' AS DOUBLE)
d = 0
f = d
dt = '2024-02-29'
dt > '2000'
dt > '2000-01'
dt = 'garbage'
ts > '1970-01-01'
ts > '1970-01-01 00:00:00.5'
ts = '1970-01-01T00:00:00Z'
ntz > '1970-01-01'
ts > dt
dt = ts
ts = ntz
arr = array(1,2,3)
arr < array(2)
st = named_struct('a', 1, 'b', 'x')
st < named_struct('a', 5, 'b', 'x')
st.a = 1
m = m
arr = sarr
bin = 'hello'
bin > X'40'
s LIKE 'h%'
s LIKE '%l_o'
s LIKE '%'
s LIKE ''
s NOT LIKE 'h%'
s LIKE NULL
s LIKE '%\\%%'
s LIKE '%,%' ESCAPE '!'
s LIKE 'abc!,%' ESCAPE '!'
s ILIKE 'HE%'
s NOT ILIKE 'HE%'
s ILIKE 'ünï%'
s RLIKE '^h.*o$'
s RLIKE '[0-9]+'
s NOT RLIKE '[0-9]+'
s REGEXP 'l+'
regexp_like(s, '\\d')
rlike(s, 'a|b')
s RLIKE '('
s LIKE ANY ('h%', '0')
s LIKE ALL ('h%', '%o')
s LIKE SOME ('x%', '%0%')
s NOT LIKE ANY ('h%', '0')
i LIKE '3%'
s LIKE s
CASE WHEN i > 0 THEN 'pos' WHEN i < 0 THEN 'neg' ELSE 'zero' END
CASE WHEN i > 0 THEN 'pos' END
CASE i WHEN 3 THEN 'three' WHEN 5 THEN 'five' END
CASE i WHEN 3 THEN 'three' ELSE NULL END
CASE s WHEN 'hello' THEN 1 WHEN '' THEN 2L ELSE 3.5 END
CASE WHEN b THEN 1 ELSE 'x' END
CASE WHEN b THEN dt ELSE ts END
CASE WHEN i = 0 THEN NULL ELSE 1 / i END
CASE WHEN i = 0 THEN 0 ELSE 10 DIV i END
CASE WHEN b THEN i WHEN NOT b THEN dec ELSE d END
CASE NULL WHEN NULL THEN 1 ELSE 2 END
CASE WHEN i > 0 THEN arr ELSE array(9) END
if(b, 1, 0)
if(i > 0, 'p', NULL)
if(b, 1, 'x')
if(i = 0, 0, 100 / i)
i & 6
i | 8
i ^ 5
~i
~ti
l & 255
ti & si
i << 2
i >> 1
i >>> 1
l << 3
shiftleft(i, 3)
shiftright(i, 1)
shiftrightunsigned(i, 1)
shiftrightunsigned(l, 4)
shiftleft(1, i)
bit_count(i)
bit_count(l)
bit_count(b)
bit_get(i, 0)
getbit(l, 3)
bitwise_not(i)
s || '!'
s || i
s || NULL
arr || array(9)
bin || X'00'
s || bin
i || l
'1' + i
s + 1
s * 2
dt + 1
dt - 1
dt + ti
dt - dt
dt - DATE'2024-01-01'
ts - ts
ts - TIMESTAMP'1970-01-01 00:00:00'
ts - dt
ntz - TIMESTAMP_NTZ'1970-01-01 00:00:00'
dt + INTERVAL 1 DAY
dt - INTERVAL 1 DAY
dt + INTERVAL 1 MONTH
dt + INTERVAL '1' YEAR
dt + INTERVAL 1 HOUR
ts + INTERVAL 1 DAY
ts - INTERVAL 1 HOUR
ts + INTERVAL 1 MONTH
ts + INTERVAL '1-2' YEAR TO MONTH
ts + INTERVAL '1 02:03:04.5' DAY TO SECOND
ts - INTERVAL 1 MONTH 2 DAYS
ts + INTERVAL 1 YEAR
ts + 1
ntz + INTERVAL 90 MINUTES
ntz - INTERVAL 1 MONTH
INTERVAL 1 DAY + dt
INTERVAL 1 DAY * i
INTERVAL 1 MONTH * si
INTERVAL 10 DAYS / 4
INTERVAL 1 DAY / i
- INTERVAL 1 DAY
s + INTERVAL 1 DAY
dt + '1'
dt + s
i = b
b > false
b = 1
b = 'true'
b < 2
"""

OPERATORS = r"""
1 + 1
1 + 1L
1Y + 1Y
1Y + 1S
1S * 1
1 + 1.5
1 + 1.5D
1.5 + 1.5D
'1' + 1
'1' + '2'
'1.5' + 1
'1' + 1.5
'a' + 1
'' + 1
' 1 ' + 1
'1' * '2'
'10' / '4'
'10' DIV 3
'10' % 3
1 / 2
3 DIV 2
-7 DIV 2
-7 % 3
7 % -3
-7.5 % 2
7.5 DIV 2
1 / 0
1 DIV 0
1 % 0
1.0 / 0
1D / 0
0D / 0D
1.0 DIV 0
1D % 0
2147483647 + 1
-2147483648 - 1
2147483648 + 1
9223372036854775807 + 1
127Y + 1Y
100Y * 2Y
32767S + 1S
-(-2147483648)
-(-128Y)
- CAST(-128 AS TINYINT)
- CAST(-2147483648 AS INT)
abs(CAST(-2147483648 AS INT))
CAST(-2147483648 AS INT) DIV -1
-9223372036854775808 DIV -1
CAST('-9223372036854775808' AS BIGINT) DIV -1L
1e308D * 10
1.0 / 3
1.00 / 3.000
2 / 3.0
10.0 * 10.00
99999999999999999999999999999999999999 + 1
99999999999999999999999999999999999999 * 10
0.1 + 0.2
0.1D + 0.2D
0.1F + 0.2F
1.1 = 1.10
1 = 1.0
1 = '1'
1 = '1.0'
1 = 'a'
'1' = '1.0'
1L = '1'
1.5 = '1.5'
true = 1
true = 'true'
true = 't'
true = 'yes'
true AND NULL
false AND NULL
true OR NULL
false OR NULL
NOT NULL
NULL AND NULL
NULL OR NULL
NULL = NULL
NULL <=> NULL
NULL <> 1
1 <=> NULL
1 == 1
1 <> 2
1 != 2
1 !< 2
NULL IN (1, 2)
1 IN (1, NULL)
2 IN (1, NULL)
2 NOT IN (1, NULL)
1 IN ('1')
1 IN ('a')
1 IN (1.0, 2D)
'a' IN ('a', 1)
1 BETWEEN '0' AND '2'
'b' BETWEEN 'a' AND 'c'
'abc' LIKE 'a%'
'a%c' LIKE 'a\%c'
'a\\c' LIKE 'a\\\\c'
'a_c' LIKE 'a\_c'
'abc' LIKE 'a\bc'
'abc' LIKE 'abc\\'
'abc' LIKE 'a/_c' ESCAPE '/'
'a_c' LIKE 'a/_c' ESCAPE '/'
'abc' LIKE 'abc' ESCAPE 'xx'
'abc' RLIKE 'B'
'abc' RLIKE '(?i)B'
'a\nb' LIKE 'a%b'
'a\nb' RLIKE 'a.b'
'é' LIKE '_'
'😀' LIKE '_'
true > false
'a' < 'B'
'a' < 'b'
'' < 'a'
X'01' < X'0100'
1 + NULL
NULL || 'a'
'a' || 'b' || 'c'
'a' || 1
1 || 2
DATE'2024-01-31' + INTERVAL 1 MONTH
DATE'2024-03-31' - INTERVAL 1 MONTH
DATE'2024-02-29' + INTERVAL 1 YEAR
DATE'2024-01-31' + 1
1 + DATE'2024-01-31'
DATE'2024-01-31' + 1L
DATE'2024-01-31' + 1.5
DATE'2024-01-31' - DATE'2023-12-31'
DATE'2024-01-31' - TIMESTAMP'2024-01-30 12:00:00'
TIMESTAMP'2024-01-31 12:00:00' - DATE'2024-01-30'
TIMESTAMP'2024-01-31 12:00:00' - TIMESTAMP'2024-01-30 11:59:59.5'
DATE'2024-01-31' + INTERVAL 12 HOURS
DATE'2024-01-31' + INTERVAL '1 12' DAY TO HOUR
DATE'9999-12-31' + 1
TIMESTAMP'2024-01-31 00:00:00' + INTERVAL 1 MONTH
TIMESTAMP'2024-01-31 00:00:00' + INTERVAL 1 MONTH 1 DAY
TIMESTAMP'2024-01-31 00:00:00' + INTERVAL 1 DAY * 2
TIMESTAMP'2024-01-31 00:00:00' + INTERVAL '1.5' SECOND
INTERVAL 1 DAY + INTERVAL 2 HOURS
INTERVAL 1 DAY - INTERVAL 36 HOURS
INTERVAL 1 YEAR + INTERVAL 1 MONTH
INTERVAL 1 YEAR + INTERVAL 1 DAY
INTERVAL 1 DAY = INTERVAL 24 HOURS
INTERVAL 1 DAY > INTERVAL 23 HOURS
INTERVAL 2 DAYS * 1.5
INTERVAL 1 MONTH * 1.5
INTERVAL 1 MONTH / 2
INTERVAL 3 HOURS / 2
2 * INTERVAL 1 DAY
DATE'2024-01-01' < '2024-01-02'
DATE'2024-01-01' < TIMESTAMP'2024-01-01 00:00:01'
DATE'2024-01-01' = '2024-1-1'
TIMESTAMP'2024-01-01 00:00:00' = '2024-01-01'
DATE'2024-01-01' = 20240101
TIMESTAMP'2024-01-01 00:00:00' > 0
1 + true
true + true
- true
- 'a'
- '1'
-DATE'2024-01-01'
array(1) + 1
1 & 3
1Y & 3L
1.0 & 1
true & false
'1' & 1
~'1'
1 << 33
1 >> -1
-1 >>> 28
1 + 2 * 3
(1 + 2) * 3
1 - 2 - 3
2 * 3 % 4
1 + 1 = 2 AND NOT 1 > 2
NOT true AND false
NOT (true AND false)
1 | 2 & 3 ^ 1
5 & 3 = 1
-2 * -2
- - 1
1 - -1
CASE WHEN NULL THEN 1 ELSE 2 END
CASE WHEN true THEN 1 ELSE 1/0 END
CASE 1 WHEN 1.0 THEN 'same' END
CASE WHEN 1 THEN 2 END
CASE WHEN true THEN 1 WHEN true THEN 'a' END
CASE WHEN true THEN DATE'2024-01-01' ELSE '2024' END
CASE WHEN true THEN array(1) ELSE array(1L) END
CASE WHEN true THEN 1 ELSE array(1) END
CASE 'a' WHEN 'a' THEN 1 ELSE 2 END
"""


def literals():
    """Every literal form, intervals and strings with their escapes."""
    yield from lines("literal", LITERALS)


LITERALS = r'''
1
2147483647
2147483648
9223372036854775808
99999999999999999999999999999999999999
999999999999999999999999999999999999999
-1
-2147483648
-9223372036854775808
1L
9223372036854775808L
1l
1S
32768S
1Y
128Y
-128Y
1F
1.5F
1e40F
1D
1.5D
1.5d
1.
.5
1.5
0.10
00.1
-0.0
1.5BD
1BD
12345678901234567890.123456789012345678
0.00000000000000000000000000000000000001
1e3
1E-3
1.5e3
1e3BD
1.5e3D
1e400
1e400D
true
TRUE
false
NULL
null
'a'
'it''s'
'it\'s'
"double"
"it's"
'say "hi"'
"say ""hi"""
'a' 'b'
'a' "b" 'c'
'tab\tnl\ncr\r'
'back\\slash'
'\%\_'
'\u0041\u00e9'
'\U0001F600'
'\x41'
'\101'
'\0'
'\z'
'\b'
r'raw\n\t'
R'raw\\'
r"raw\d"
''
' '
X'1F'
x'1f'
X''
X'1'
X'GG'
DATE'2024-01-15'
DATE '2024-01-15'
date'2024-1-5'
DATE'2024-01'
DATE'2024'
DATE'2024-13-01'
DATE'2024-02-30'
DATE'2024-01-15T10:00:00'
DATE'0001-01-01'
DATE'-0001-01-01'
DATE'+10000-01-01'
DATE'epoch'
DATE''
TIMESTAMP'2024-01-15 10:20:30'
TIMESTAMP'2024-01-15 10:20:30.123456'
TIMESTAMP'2024-01-15 10:20:30.123456789'
TIMESTAMP'2024-01-15T10:20:30Z'
TIMESTAMP'2024-01-15 10:20:30+02:00'
TIMESTAMP'2024-01-15 10:20:30 Europe/Berlin'
TIMESTAMP'2024-01-15 10:20:30 UTC+1'
TIMESTAMP'2024-01-15'
TIMESTAMP'2024-01'
TIMESTAMP'2024-01-15 10:20'
TIMESTAMP'2024-01-15 10'
TIMESTAMP'2024-01-15 25:00:00'
TIMESTAMP'garbage'
TIMESTAMP_LTZ'2024-01-15 10:20:30'
TIMESTAMP_NTZ'2024-01-15 10:20:30'
TIMESTAMP_NTZ'2024-01-15'
TIMESTAMP_NTZ'2024-01-15 10:20:30Z'
TIME'10:20:30'
TIME'10:20:30.123456'
INTERVAL 1 DAY
INTERVAL '1' DAY
INTERVAL 1 DAYS
INTERVAL '1 day'
INTERVAL '1 day 2 hours'
INTERVAL '10 minutes'
INTERVAL 10 MINUTES
INTERVAL 10 MINUTE
INTERVAL 1 HOUR 30 MINUTES
INTERVAL 90 SECONDS
INTERVAL 1.5 SECONDS
INTERVAL '1.5' SECONDS
INTERVAL 100 MILLISECONDS
INTERVAL 7 MICROSECONDS
INTERVAL 1 WEEK
INTERVAL 2 WEEKS 3 DAYS
INTERVAL 1 MONTH
INTERVAL 1 YEAR
INTERVAL 1 YEAR 2 MONTHS
INTERVAL 1 QUARTER
INTERVAL 1 MONTH 1 DAY
INTERVAL '1-2' YEAR TO MONTH
INTERVAL -'1-2' YEAR TO MONTH
INTERVAL '-1-2' YEAR TO MONTH
INTERVAL '1 02:03:04.000005' DAY TO SECOND
INTERVAL '1 02' DAY TO HOUR
INTERVAL '1 02:03' DAY TO MINUTE
INTERVAL '02:03' HOUR TO MINUTE
INTERVAL '02:03:04' HOUR TO SECOND
INTERVAL '03:04.5' MINUTE TO SECOND
INTERVAL '25:00' HOUR TO MINUTE
INTERVAL -1 DAY
- INTERVAL 1 DAY
INTERVAL '1' FORTNIGHT
INTERVAL 'x' DAY
INTERVAL
INTERVAL ''
INTERVAL '0' SECOND
INTERVAL '1 year 2 months 3 days 4 hours 5 minutes 6 seconds 7 milliseconds 8 microseconds'
INTERVAL '2' year '3' day
array(1, 2)
map('a', 1)
struct(1, 'a')
named_struct('x', 1, 'y', 'a')
array()
map()
current_date() IS NOT NULL
'''


STRING_CASTS = {
    "NUMBER": ["'1'", "' 1 '", "'+1'", "'-1'", "'1.5'", "'-1.9'", "'.5'", "'1.'", "'1e3'", "'1E-2'", "''", "' '", "'abc'", "'1a'", "'0x10'", "'1,000'", "'128'", "'-129'",
               "'32768'", "'2147483648'", "'9223372036854775808'", "'NaN'", "'nan'", "'Infinity'", "'-Infinity'", "'inf'", "'+inf'", "'1D'", "'1f'", "'1L'", "'1e400'", "'\\t1\\n'", "'1 2'", "'٣'",
               "'99999999999999999999999999999999999999'", "'0.00000000000000000001'", "'true'", "'--1'", "'1e'", "'-'"],
    "DATE": ["'2024-01-15'", "'2024-1-5'", "'2024-01'", "'2024'", "' 2024-01-15 '", "'2024-01-15 10:00:00'", "'2024-01-15T10:00:00Z'", "'2024-01-15x'", "'2024-01-15 x'", "'2024-02-30'", "'2023-02-29'", "'2024/01/15'", "'20240115'",
             "'0001-01-01'", "'0000-01-01'", "'-0001-01-01'", "'+12024-01-15'", "'10000-01-01'", "'9999999-01-01'", "'epoch'", "'today'", "''", "'garbage'", "'24-01-15'", "'1582-10-10'"],
    "TIMESTAMP": ["'2024-01-15 10:20:30'", "'2024-01-15T10:20:30'", "'2024-01-15 10:20:30.1'", "'2024-01-15 10:20:30.123456'", "'2024-01-15 10:20:30.1234567'", "'2024-01-15 10:20:30Z'", "'2024-01-15 10:20:30 Z'",
                  "'2024-01-15T10:20:30+02:00'", "'2024-01-15T10:20:30+0200'", "'2024-01-15T10:20:30+02'", "'2024-01-15T10:20:30-1:0'", "'2024-01-15 10:20:30 UTC'", "'2024-01-15 10:20:30 GMT+3'", "'2024-01-15 10:20:30 America/New_York'",
                  "'2024-01-15 10:20:30 PST'", "'2024-01-15 10:20:30 Nowhere/City'", "'2024-01-15 10:20'", "'2024-01-15 10:2:3'", "'2024-01-15 10'", "'2024-01-15 '", "'2024-01-15T'", "'2024-01-15'", "'2024-01'", "'2024'", "' 2024-01-15 10:20:30 '",
                  "'2024-01-15 24:00:00'", "'2024-01-15 23:59:60'", "'2024-01-15 10:60:00'", "'2024-13-15 10:20:30'", "'10:20:30'", "'T10:20'", "'1705314030'", "'0001-01-01 00:00:00'", "'1900-01-01 00:00:00'", "'+10000-01-01 00:00:00'", "'epoch'", "'now'", "'today'", "''", "'garbage'", "'2024-01-15 10:20:30.'",
                  "'2024-03-31 02:30:00 Europe/Berlin'"],
    "BOOLEAN": ["'true'", "'TRUE'", "' true '", "'t'", "'y'", "'yes'", "'1'", "'false'", "'f'", "'n'", "'no'", "'0'", "'on'", "'off'", "''", "'2'", "'maybe'"],
}


def casts():
    """Between every pair of types, in every spelling, and strings with difficult text."""
    for (column, _), target in itertools.product(COLUMNS.items(), COLUMNS.values()):
        yield "cast/pairs", f"CAST({column} AS {target})", "t"
        yield "cast/pairs", f"TRY_CAST({column} AS {target})", "t"
    for kind, targets in {"NUMBER": ["TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL(10,2)", "DECIMAL(38,18)"], "DATE": ["DATE"], "TIMESTAMP": ["TIMESTAMP", "TIMESTAMP_NTZ", "DATE"], "BOOLEAN": ["BOOLEAN"]}.items():
        for target, text in itertools.product(targets, STRING_CASTS[kind]):
            yield "cast/string", f"CAST({text} AS {target})", None
            yield "cast/string", f"TRY_CAST({text} AS {target})", None
    for value, target in itertools.product(DOUBLES, ["STRING", "INT", "BIGINT", "TINYINT", "DECIMAL(10,2)", "DECIMAL(5,1)", "DECIMAL(38,20)", "FLOAT", "BOOLEAN", "TIMESTAMP"]):
        yield "cast/double", f"CAST({value} AS {target})", None
    for value, target in itertools.product(["1.5F", "0.1F", "1e10F", "3.4028235E38F", "1.0E-10F", "16777216F", "1e7F", "123456.7F", "0.001F", "1e-4F"], ["STRING", "DOUBLE", "INT", "DECIMAL(20,10)"]):
        yield "cast/double", f"CAST({value} AS {target})", None
    for value, target in itertools.product(["1.25", "1.35", "-1.25", "0.00", "12345.678", "0.0000001", "1e3BD", "CAST(1 AS DECIMAL(38,10))", "100000000000000000000.5"], ["STRING", "INT", "DECIMAL(3,1)", "DECIMAL(10,0)", "DECIMAL(38,6)", "DOUBLE", "FLOAT", "BOOLEAN", "TIMESTAMP"]):
        yield "cast/decimal", f"CAST({value} AS {target})", None
    yield from lines("cast/other", CASTS)
    yield from lines("cast/other", CASTS_T, "t")


DOUBLES = ["1D", "1.5D", "-1.5D", "0D", "-0D", "0.1D", "100D", "1e7D", "1.234e7D", "9999999D", "12345678.9D", "1e-3D", "1.5e-4D", "0.001D", "1e21D", "1.7976931348623157e308D", "4.9e-324D", "123456789012345680D", "2147483648D", "127.9D", "-128.9D", "999999999.995D",
           "0.05D", "2.675D", "CAST('NaN' AS DOUBLE)", "CAST('Infinity' AS DOUBLE)", "1.0E10D", "3.3333333333333335D"]

CASTS = r"""
1::STRING
'1'::INT
'1' :: BIGINT
'1'::int + 1
-1::STRING
'2024-01-15'::DATE
'a'::INT
1.5::INT
(1 + 1)::STRING
array('1','2')::ARRAY<INT>
NULL::INT
string(1)
int('1')
bigint('1')
smallint('1')
tinyint('1')
float('1.5')
double('1.5')
decimal('1.5')
boolean('true')
date('2024-01-15')
timestamp('2024-01-15 10:00:00')
binary('a')
int(1.9)
int('x')
string(NULL)
CAST(1 AS LONG)
CAST(1 AS INTEGER)
CAST(1 AS BYTE)
CAST(1 AS SHORT)
CAST(1 AS REAL)
CAST(1 AS DEC)
CAST(1 AS DECIMAL)
CAST(1.5 AS DECIMAL(3))
CAST(1 AS NUMERIC(5,2))
CAST('abc' AS CHAR(5))
CAST('abc' AS VARCHAR(2))
CAST('abc' AS VARCHAR(5))
CAST(1 AS TEXT)
CAST(1 AS DATETIME)
CAST(1 AS VOID)
CAST(NULL AS VOID)
CAST('2024-01-15' AS TIMESTAMP_LTZ)
CAST(1 AS DECIMAL(39,0))
CAST(1 AS DECIMAL(5,6))
CAST(300 AS TINYINT)
CAST(-129 AS TINYINT)
CAST(40000 AS SMALLINT)
CAST(3000000000L AS INT)
TRY_CAST(300 AS TINYINT)
TRY_CAST('x' AS INT)
TRY_CAST(array('1','x') AS ARRAY<INT>)
CAST(array('1','x') AS ARRAY<INT>)
CAST(map('a','1') AS MAP<STRING,INT>)
CAST(named_struct('a','1','b',2) AS STRUCT<a:INT,b:STRING>)
CAST(named_struct('a','1','b',2) AS STRUCT<x:INT,y:STRING>)
CAST(array(1,null,2) AS STRING)
CAST(map('a',1,'b',null) AS STRING)
CAST(named_struct('a',1,'b',null,'c','x') AS STRING)
CAST(array('a','b c',null) AS STRING)
CAST(array(array(1),array()) AS STRING)
CAST(array(1.5D, 1e10D) AS STRING)
CAST(true AS INT)
CAST(true AS DECIMAL(10,2))
CAST(true AS DOUBLE)
CAST(true AS TIMESTAMP)
CAST(2 AS BOOLEAN)
CAST(0 AS BOOLEAN)
CAST(0.0 AS BOOLEAN)
CAST(1 AS TIMESTAMP)
CAST(1.5 AS TIMESTAMP)
CAST(1.5D AS TIMESTAMP)
CAST(-1 AS TIMESTAMP)
CAST(9223372036854775807L AS TIMESTAMP)
CAST(1 AS DATE)
CAST(DATE'2024-01-15' AS INT)
CAST(DATE'2024-01-15' AS TIMESTAMP)
CAST(DATE'2024-01-15' AS TIMESTAMP_NTZ)
CAST(TIMESTAMP'2024-01-15 10:20:30.5' AS BIGINT)
CAST(TIMESTAMP'2024-01-15 10:20:30.5' AS INT)
CAST(TIMESTAMP'2024-01-15 10:20:30.5' AS DOUBLE)
CAST(TIMESTAMP'2024-01-15 10:20:30.5' AS DECIMAL(20,6))
CAST(TIMESTAMP'1969-12-31 23:59:59.5' AS BIGINT)
CAST(TIMESTAMP'2024-01-15 10:20:30.5' AS DATE)
CAST(TIMESTAMP'2024-01-15 10:20:30.5' AS STRING)
CAST(TIMESTAMP'2024-01-15 10:20:30' AS STRING)
CAST(TIMESTAMP'2024-01-15 10:20:30.120' AS STRING)
CAST(TIMESTAMP_NTZ'2024-01-15 10:20:30.5' AS STRING)
CAST(TIMESTAMP_NTZ'2024-01-15 10:20:30.5' AS TIMESTAMP)
CAST(TIMESTAMP_NTZ'2024-01-15 10:20:30.5' AS BIGINT)
CAST(X'41' AS STRING)
CAST('A' AS BINARY)
CAST(1 AS BINARY)
CAST(258S AS BINARY)
CAST(X'FF' AS STRING)
CAST(X'01' AS INT)
CAST(INTERVAL 1 DAY AS STRING)
CAST(INTERVAL '1-2' YEAR TO MONTH AS STRING)
CAST(INTERVAL '1 02:03:04.5' DAY TO SECOND AS STRING)
CAST('1 day' AS INTERVAL)
CAST('1' AS INTERVAL DAY)
CAST('1-2' AS INTERVAL YEAR TO MONTH)
CAST(INTERVAL 1 DAY AS INTERVAL HOUR)
CAST(INTERVAL 36 HOURS AS INTERVAL DAY)
CAST(INTERVAL 1 DAY AS INT)
CAST(INTERVAL 90 MINUTES AS DECIMAL(10,2))
CAST(5 AS INTERVAL DAY)
CAST(1 AS ARRAY<INT>)
CAST('[1]' AS ARRAY<INT>)
CAST(1 AS NOSUCHTYPE)
CAST('1' AS INT) + CAST('2' AS INT)
"""

CASTS_T = r"""
s::INT
i::STRING
d::STRING
dec::STRING
CAST(nest AS STRING)
CAST(st AS STRING)
CAST(m AS STRING)
CAST(arr AS ARRAY<STRING>)
CAST(arr AS ARRAY<TINYINT>)
TRY_CAST(arr AS ARRAY<TINYINT>)
CAST(sarr AS ARRAY<INT>)
TRY_CAST(sarr AS ARRAY<INT>)
CAST(m AS MAP<STRING,STRING>)
CAST(m AS MAP<STRING,TINYINT>)
CAST(st AS STRUCT<a:BIGINT,b:STRING>)
CAST(st AS STRUCT<x:STRING,y:STRING>)
CAST(st AS STRUCT<a:INT>)
CAST(dec AS DECIMAL(9,1))
CAST(dec AS DECIMAL(12,4))
CAST(dec AS DECIMAL(4,2))
TRY_CAST(dec AS DECIMAL(4,2))
CAST(dec38 AS DECIMAL(38,5))
CAST(dec38 AS BIGINT)
CAST(ts AS DECIMAL(30,6))
CAST(ts AS FLOAT)
CAST(l AS TIMESTAMP)
TRY_CAST(l AS TIMESTAMP)
CAST(d AS INT)
CAST(f AS BIGINT)
TRY_CAST(d AS INT)
CAST(CAST(l AS STRING) AS BIGINT)
CAST(CAST(d AS STRING) AS DOUBLE)
CAST(CAST(f AS STRING) AS FLOAT)
CAST(CAST(ts AS STRING) AS TIMESTAMP)
CAST(CAST(dt AS STRING) AS DATE)
CAST(dt AS STRING)
CAST(ts AS STRING)
CAST(ntz AS STRING)
CAST(bin AS STRING)
int(d)
string(d)
double(s)
"""


def nested():
    """Reaching into arrays, maps and structs."""
    yield from lines("access", ACCESS_T, "t")
    yield from lines("access", ACCESS)


ACCESS_T = r"""
arr[0]
arr[1]
arr[-1]
arr[10]
arr[i]
arr[l]
arr['0']
arr[NULL]
sarr[0]
m['k']
m['nope']
m[NULL]
m[s]
m.k
m[1]
st.a
st.b
st.A
st['a']
st.nope
st[0]
st.*
nest.p
nest[0].p
nest[0]
nest[0].q.r
nest.q.r
nest[0].q.nope
nest[1].p
try_element_at(nest, 1).p
try_element_at(nest, 1).q.r
get(arr, 0)
get(arr, -1)
get(arr, 10)
element_at(arr, 1)
element_at(arr, -1)
element_at(arr, 0)
element_at(arr, 10)
try_element_at(arr, 1)
try_element_at(arr, -1)
try_element_at(arr, 0)
try_element_at(arr, 10)
element_at(m, 'k')
element_at(m, 'nope')
try_element_at(m, 'k')
element_at(m, NULL)
map_keys(m)[0]
split(s, ',')[0]
split(s, ',')[1]
s[0]
i[0]
t.i
T.I
I
`i`
t.st.a
t.`st`.`a`
nope
t.nope
x.i
st.a.b
(st).a
(arr)[0]
struct(i, s).i
struct(i, s).col1
struct(i AS x, s AS y).x
named_struct('x', i).x
from_json(js, 'a INT, b STRING').a
from_json(js, 'a INT, b STRING').b
"""

ACCESS = r"""
array(1,2)[0]
array(1,2)[2]
array(1,2)[-1]
map('a',1)['a']
map('a',1)['b']
map(1,'x')[1]
map(1,'x')['1']
named_struct('a',1).a
named_struct('a',1)['a']
named_struct('a',1).b
named_struct('a',named_struct('b',2)).a.b
struct(1,2).col1
struct(1,2).col3
array(named_struct('a',1),named_struct('a',2)).a
array(array(1,2),array(3))[0][1]
array(1,'a')
array(1,1.5D)
array(1,NULL)
array(NULL)
array(1,array(2))
map('a',1,'a',2)
map('a',1,'b')
map(NULL,1)
map('a',1,2,3)
map('a',1,'b',2.5)
map(array(1),2)
map(map('a',1),2)
named_struct('a',1,'a',2)
named_struct('a')
named_struct(1,2)
named_struct(NULL,2)
struct()
struct(NULL)
struct(1 AS a, 2 AS a).a
"""


def names():
    """The names that Spark gives to unnamed columns, and stars."""
    yield from lines("name", NAMES_T, "t")
    yield from lines("name", NAMES)


NAMES_T = r"""
*
t.*
i, l AS L2, s
i AS x
i x
i AS `a b`
i AS (x, y)
i, i
*, i + 1 AS j
st.*, i
struct(*)
struct(t.*)
struct(i, s)
struct(i, s AS z)
struct(i + 1)
struct(i, i + 1)
struct(st.a)
named_struct('q', i)
struct(st.*)
array(i, l)
count
i AS I, I + 1
I + L
T.i + t.I
`t`.`i`
upper(S)
UPPER(s)
Upper(s) || Lower(s)
CAST(i AS string)
cast(i as BIGINT)
i::string
try_cast(s AS int)
int(s)
-i
+i
NOT b
i IS NULL
i IS NOT NULL
i BETWEEN 1 AND 2
i NOT BETWEEN 1 AND 2
i IN (1,2)
i NOT IN (1, 2)
s LIKE 'a%'
s NOT LIKE 'a%'
s ILIKE 'a%'
s RLIKE 'a'
s LIKE 'a' ESCAPE '/'
CASE WHEN i > 1 THEN 'a' ELSE 'b' END
CASE i WHEN 1 THEN 'a' END
if(i > 1, i, 0)
coalesce(i, l, 0)
nvl(i, 0)
nvl2(i, 1, 2)
ifnull(i, 0)
nullif(i, 0)
nullif(i, 3) AS n
arr[0]
m['k']
st.a
nest.p
date_add(dt, 1)
dt + INTERVAL 1 DAY
ts - INTERVAL 2 HOURS
extract(YEAR FROM dt)
date_part('year', dt)
year(dt)
substring(s FROM 2 FOR 3)
substring(s, 2, 3)
substr(s, 2)
trim(s)
trim(BOTH 'h' FROM s)
trim(LEADING FROM s)
position('l' IN s)
locate('l', s)
concat(s, '-', i)
s || '-' || i
to_json(st)
from_json(js, 'a INT')
get_json_object(js, '$.a')
to_date(s, 'yyyy')
try_to_timestamp(s)
date_trunc('hour', ts)
unix_timestamp(ts)
i = l
i == l
i <> l
i != l
i <=> l
i AND b
b AND b OR b
i % 2
i DIV 2
mod(i, 2)
i & 1
i | 1
~i
i << 1
shiftleft(i, 1)
round(d)
round(d, 2)
ceil(d)
ceil(d, 1)
ceiling(d)
power(d, 2)
pow(d, 2)
abs(i)
sha(s)
char_length(s)
length(s)
len(s)
cardinality(arr)
size(arr)
element_at(arr, 1)
explode(arr)
explode(arr) AS e
explode(m)
explode(m) AS (k, v)
explode(m) AS k
posexplode(arr)
posexplode(arr) AS (p, e)
posexplode(m)
explode_outer(arr)
posexplode_outer(arr)
explode_outer(m)
inline(nest)
inline_outer(nest)
stack(2, i, l)
stack(2, 'a', i, 'b', si) AS (n, v)
i, explode(arr)
i, explode(arr) AS e
explode(arr), explode(sarr)
explode(arr) + 1
upper(explode(sarr))
explode(split(s, ','))
explode(sarr) AS word, s
json_tuple(js, 'a', 'b')
json_tuple(js, 'a', 'b') AS (x, y)
explode(nest)
explode(nest).p
explode(i)
explode(NULL)
flatten(array(arr, arr))
transform(arr, x -> x + 1)
filter(arr, x -> x > 1)
exists(arr, x -> x > 1)
forall(arr, x -> x > 0)
aggregate(arr, 0, (a, x) -> a + x)
transform(arr, (x, n) -> x + n)
map_filter(m, (k, v) -> v > 1)
transform_values(m, (k, v) -> v + 1)
transform_keys(m, (k, v) -> upper(k))
zip_with(arr, arr, (x, y) -> x + y)
array_sort(arr)
array_sort(sarr, (a, b) -> length(a) - length(b))
* EXCEPT (nest, st)
t.* EXCEPT (i)
nosuchfunction(i)
substring()
upper()
upper(s, s)
abs(s)
abs(b)
sum(i)
row_number() OVER (ORDER BY i)
"""

NAMES = r"""
1
1L
1S
1Y
1.5
1.5D
1.5F
1BD
1e3
-1
'a'
"a"
'it''s'
'a\nb'
NULL
true
X'1F'
DATE'2024-01-15'
TIMESTAMP'2024-01-15 10:20:30.5'
TIMESTAMP_NTZ'2024-01-15 10:20:30'
INTERVAL 1 DAY
INTERVAL '10' MINUTE
INTERVAL '1-2' YEAR TO MONTH
INTERVAL 1 MONTH 1 DAY
1 + 2 * 3
(1 + 2) * 3
1 AS `select`
1 AS x, 2 AS x
'a' || 'b'
array(1, 2)
map('a', 1)
struct(1, 2)
named_struct('a', 1)
pi()
e()
now() IS NOT NULL
typeof(1)
concat('a', 1)
format_string('%d', 1)
"""

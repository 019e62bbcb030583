"""The files that formats.py lets Spark read, and the queries that it lets it write."""
import itertools

TYPES = ["BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL(10,2)", "DECIMAL(38,10)", "STRING", "BINARY", "DATE", "TIMESTAMP", "TIMESTAMP_NTZ"]
CELLS = ["1", "-1", "+1", " 1 ", "1.5", "1.005", "1e3", "1E-2", "128", "3000000000", "9223372036854775808", "99999999999", "NaN", "Infinity", "Inf", "-Inf", "inf", "-Infinity", "nan", "true", "TRUE", "yes", "t", "", "null", "NULL", "abc", "1,5", "0x1F", "1L", "1.0f", "1_000",
         "2024-01-15", "2024-1-5", "2024-01", "2024-01-15 10:20:30", "2024-01-15T10:20:30.123Z", "2024-01-15T10:20:30+02:00", "2024-01-15 10:20:30.123456789", "2024-01-15T10:20", "15/01/2024", "2024-02-30", "0001-01-01", "10000-01-01", "1705314030", "1969-12-31 23:59:59.5", "2024-01-15 10:20:30 Europe/Berlin", "é", "aGk="]
NESTED = ["ARRAY<INT>", "ARRAY<STRING>", "MAP<STRING,INT>", "MAP<STRING,STRING>", "STRUCT<x:INT,y:STRING>", "ARRAY<STRUCT<x:INT>>", "STRING"]
NESTED_TEXTS = ["[1,2]", "[1,null]", '["a",1]', "[]", "{}", '{"x":1}', '{"x":"s","y":2}', '{"x":1,"x":2}', '{"X":1}', '{"x":null}', '{"x":{"y":1}}', "null", "1", '"s"', "[[1]]", '[{"x":1},{"x":"bad"},null]', '{"y":[1, {"b" : 2.50}]}', "1.50", "true", '"\\u00e9\\n\\/"', "1e5", "-0", "12345678901234567890", "0.1000"]


def case(format, schema, text, options=None, **more):
    """A file to read."""
    return {"format": format, "schema": schema, "options": options or {}, "text": text, **more}


def reads():
    """Files to read: every type with every text, then whole files with options."""
    for type_name in TYPES:
        # One cell a line, and the record kept where it does not fit.
        yield case("csv", f"n INT, a {type_name}, bad STRING", "".join(f"{n}|{cell}\n" for n, cell in enumerate(CELLS)), {"sep": "|", "columnNameOfCorruptRecord": "bad"})
        yield case("json", f"n INT, a {type_name}, bad STRING", "".join(f'{{"n":{n},"a":"{cell}"}}\n' for n, cell in enumerate(CELLS)), {"columnNameOfCorruptRecord": "bad"})
        bare = ["1", "-1", "1.5", "1e3", "1E400", "128", "3000000000", "9223372036854775808", "1705314030123456", "true", "false", "null", "[1]", '{"b":1}', "NaN", "-Infinity", "Infinity", "INF", "01", "1.", ".5", "+1", "-0", "-0.0", "0.1", "123456789.125", "100000000", "0.005", "1.50"]
        yield case("json", f"n INT, a {type_name}, bad STRING", "".join(f'{{"n":{n},"a":{value}}}\n' for n, value in enumerate(bare)), {"columnNameOfCorruptRecord": "bad"})
    for type_name in NESTED:
        yield case("json", f"n INT, a {type_name}, bad STRING", "".join(f'{{"n":{n},"a":{value}}}\n' for n, value in enumerate(NESTED_TEXTS)), {"columnNameOfCorruptRecord": "bad"})
    yield from json_files()
    yield from csv_files()
    yield from text_files()


LINES = '{"v":1}\n\n  \n{"v":2} \r\n\t{"v":3}\n{"v":4}'


def json_files():
    """Whole JSON files."""
    yield case("json", "v INT", LINES)
    yield case("json", "v INT, _corrupt_record STRING", '{"v":1}\n{"v":\nx\n[]\n[{"v":2}]\n"s"\n5\nnull\ntrue\n{"v":3}{"v":4}\n{"v":5},\n[{"v":6},{"v":"x"}]\n{}\n')
    for mode in ["PERMISSIVE", "DROPMALFORMED", "FAILFAST", "permissive"]:
        yield case("json", "v INT, w STRING", '{"v":1,"w":"a"}\n{"v":"x","w":"b"}\n{"v":\n[1]\n{"w":"c"}\n', {"mode": mode})
    yield case("json", "v INT", '\ufeff{"v":1}\n{"v":2}\n')
    yield case("json", "v INT", '{"v":1}|{"v":2}|', {"lineSep": "|"})
    yield case("json", "v INT", '{"v":1}\r{"v":2}\r\n{"v":3}')
    yield case("json", "v INT", '{"v":1}\n', file="a.json.gz", gzip=True)
    yield case("json", "v INT", '[\n{"v":1},\n{"v":2}\n]', {"multiLine": "true"})
    yield case("json", "v INT", '{"v":1}\n{"v":2}', {"multiLine": "true"})
    yield case("json", "v INT, _corrupt_record STRING", '{"v":1}\nx', {"multiLine": "true"})
    yield case("json", "v INT", "", {})
    yield case("json", "v INT, v2 INT", '{"v":1,"v":2,"V":3,"v2":4}\n')
    yield case("json", "a STRUCT<b: STRUCT<c: INT>>, d ARRAY<STRUCT<e: INT>>", '{"a":{"b":{"c":1}},"d":[{"e":1},{}]}\n{"a":{"b":null},"d":null}\n{"a":{"b":5},"d":[1]}\n{"a":null}\n')
    yield case("json", "s STRING", '{"s":"q\\"uo\\\\te \\u00e9 \\ud83d\\ude00 \\n"}\n{"s":{"a": 1, "b" : [1.50, null]}}\n{"s":[1, "x"]}\n{"s":1.50}\n{"s":true}\n{"s":null}\n{"s":1e3}\n{"s":""}\n')
    yield case("json", "s STRING", '{"s":"a\tb"}\n{"s":"\\q"}\n{"s":"\\u12"}\n{"s":"unterminated\n{\'s\':\'single\'}\n{s:"bare"}\n{"s":"ok"} // c\n')
    yield case("json", "s STRING, v INT", '{"s":"deep","v":{"x":[[[[1]]]]}}\n{"extra":{"a":[1,2,{"b":"}"}]},"s":"kept","v":3}\n')
    yield {"format": "json", "schema": "s STRING", "options": {}, "base64": "eyJzIjoi/yJ9CnsicyI6IsOpIn0K"}
    yield {"format": "json", "schema": "s STRING", "options": {"encoding": "UTF-16LE", "lineSep": "\n"}, "base64": "ewAiAHMAIgA6ACIA6QAiAH0ACgA="}
    for key, value, text in [("allowComments", "true", '{"v":1} // c\n/* c */{"v":2}\n'), ("allowUnquotedFieldNames", "true", "{v:1}\n"), ("allowSingleQuotes", "false", "{'v':1}\n"), ("allowNumericLeadingZeros", "true", '{"v":007}\n'), ("primitivesAsString", "true", '{"v":1}\n'), ("dateFormat", "dd/MM/yyyy", '{"v":1,"d":"15/01/2024"}\n{"d":"2024-01-15"}\n'),
                             ("timestampFormat", "dd/MM/yyyy HH:mm", '{"t":"15/01/2024 10:20"}\n{"t":"2024-01-15T10:20:30Z"}\n'), ("timeZone", "Europe/Berlin", '{"t":"2024-01-15 10:20:30"}\n{"t":"2024-07-15T10:20:30"}\n'), ("dropFieldIfAllNull", "true", '{"v":null}\n'), ("ignoreNullFields", "true", '{"v":null}\n'), ("pathGlobFilter", "*.txt", '{"v":1}\n')]:
        yield case("json", "v INT, d DATE, t TIMESTAMP", text, {key: value})


def csv_files():
    """Whole CSV files."""
    two = "a STRING, b STRING"
    for text, options in [
        ("1,x\n2,y\n", {}), ("a,b\n1,x\n", {"header": "true"}), ("b,a\n1,x\n", {"header": "true"}), ("b,a\n1,x\n", {"header": "true", "enforceSchema": "false"}), ("A,B\n1,x\n", {"header": "true", "enforceSchema": "false"}), ("a\n1\n", {"header": "true"}), ("a,b\n", {"header": "true"}), ("", {"header": "true"}), ("1;x\n", {"sep": ";"}), ("1||x\n", {"sep": "||"}), ("1\tx\n", {"sep": "\t"}), ("1\tx\n", {"delimiter": "\\t"}),
        ('"a,b",c\n', {}), ('"a""b",c\n', {}), ('"a\\"b",c\n', {}), ('"a\nb",c\n', {}), ('"a\nb",c\n', {"multiLine": "true"}), ("'a,b',c\n", {"quote": "'"}), ('"a,b",c\n', {"quote": ""}), ('"a""b",c\n', {"escape": '"'}), ('a"b,c\n', {}), ('"a"b,c\n', {}), ('"a,c\n', {}), ('"a,b\nc,d\n', {}), ('a,"b\n', {}), ('"a" ,b\n', {}), (' "a",b\n', {}), ("\\\\,x\n", {}), ('"\\\\",x\n', {}),
        ("1\n1,2\n1,2,3\n,\n\n  \n,,\n", {}), ("1\n1,2\n1,2,3\n", {"mode": "DROPMALFORMED"}), ("1,2\n1\n", {"mode": "FAILFAST"}), (" a , b \n", {}), (" a , b \n", {"ignoreLeadingWhiteSpace": "true", "ignoreTrailingWhiteSpace": "true"}), ('" a "," b "\n', {"ignoreLeadingWhiteSpace": "true", "ignoreTrailingWhiteSpace": "true"}), ("#c\n1,x\n", {"comment": "#"}), ("#c\n1,x\n", {}),
        ("NA,x\n,\n", {"nullValue": "NA"}), ('"",x\n,y\n', {}), ('"",x\n,y\n', {"emptyValue": "E"}), ('"",x\n,y\n', {"nullValue": "N"}), ("null,x\n", {"nullValue": "null"}), ("1,x\r\n2,y\r\n", {}), ("1,x\r2,y\r", {}), ("1,x|2,y|", {"lineSep": "|"}), ("\ufeff1,x\n", {}), ("\ufeffa,b\n1,x\n", {"header": "true"}), ("é,日本\n", {}), ("1,x", {}), ("1,2\n", {"maxColumns": "1"}), ("abcdef,x\n", {"maxCharsPerColumn": "3"}), ('"a"",b\n', {"unescapedQuoteHandling": "BACK_TO_DELIMITER"}),
        ("a,b\n1,x\na,b\n", {"header": "true"}), ("1,x\n", {"sep": ""}), ("1,x\n", {"quote": "ab"}), ("1,x\n", {"mode": "BOGUS"}), ("1,x\n", {"nosuchoption": "1"}),
    ]:
        yield case("csv", two, text, options)
    yield case("csv", "a INT, b STRING, _corrupt_record STRING", "1,x\nbad,y\n2\n3,z,w\n\n", {})
    yield case("csv", "a INT, _corrupt_record STRING, b STRING", "1,x\nbad,y\n", {})
    yield case("csv", "a INT, b STRING", "1,x\nbad,y\n2\n3,z,w\n", {"mode": "DROPMALFORMED"})
    yield case("csv", "a INT, b STRING", "1,x\nbad,y\n", {"mode": "FAILFAST"})
    yield case("csv", "a DATE, b TIMESTAMP", "15/01/2024,15/01/2024 10:20\n2024-01-15,2024-01-15 10:20:30\n", {"dateFormat": "dd/MM/yyyy", "timestampFormat": "dd/MM/yyyy HH:mm"})
    yield case("csv", "a DOUBLE, b FLOAT", "nope,oo\n-oo,1\nNaN,Inf\n", {"nanValue": "nope", "positiveInf": "oo", "negativeInf": "-oo"})
    yield case("csv", "a DECIMAL(10,2)", '"1.234,5"\n', {"locale": "de"})
    yield case("csv", "a TIMESTAMP", "2024-01-15 10:20:30\n", {"timeZone": "Asia/Tokyo"})
    yield case("csv", "a ARRAY<INT>", "1\n", {})
    yield case("csv", "a INT NOT NULL", "1\n\nx\n", {})
    yield case("csv", "a STRING", "1,x\n", file="a.csv.gz", gzip=True)


def text_files():
    """Whole text files."""
    for text, options in [("a\nb", {}), ("a\n\nb\n", {}), ("", {}), ("\n", {}), ("a\r\nb\rc\n", {}), ("a|b|", {"lineSep": "|"}), ("a\nb\n", {"wholetext": "true"}), ("", {"wholetext": "true"}), ("\ufeffa\n", {}), (" a \t\n", {})]:
        yield case("text", "value STRING", text, options)
    yield case("text", "other STRING", "a\n")
    yield case("text", "value INT", "1\n")
    yield case("text", "a STRING, b STRING", "1\n")
    yield {"format": "text", "schema": "value STRING", "options": {}, "base64": "/2EKw6kK"}


def writes():
    """Queries over t to write; every column, then every option."""
    columns = ["b", "ti", "si", "i", "l", "f", "d", "dec", "dec38", "s", "js", "bin", "dt", "ts", "ntz", "arr", "sarr", "m", "st", "nest", "i AS `a b`", "i AS I, l AS `x.y`", "ts - ts AS iv", "NULL AS n", "struct(ts, dt, bin) AS z", "map(coalesce(ts, TIMESTAMP'2000-01-01 00:00:00'), dt) AS k", "map(id, s) AS k", "array(dec, dec38) AS ds", "array(f, d) AS fs"]
    for column, format in itertools.product(columns, ["json", "csv"]):
        yield {"format": format, "select": f"id, {column}", "options": {}}
    texts = "'tab\\tnl\\ncr\\r quo\"te back\\\\slash \\u0001 /slash' AS x, ' lead' AS y, '' AS z, CAST(NULL AS STRING) AS w, 'a,b' AS v, '#c' AS u"
    some = "i, d, s, dt, ts, ntz, " + texts
    for key, value in [("ignoreNullFields", "false"), ("ignoreNullFields", "true"), ("timestampFormat", "yyyy-MM-dd HH:mm:ss.SSSSSS"), ("timestampNTZFormat", "dd/MM/yyyy HH:mm"), ("dateFormat", "dd.MM.yyyy"), ("timeZone", "America/New_York"), ("lineSep", "|"), ("encoding", "UTF-16LE"), ("compression", "gzip"), ("compression", "bogus"), ("writeNonAsciiCharacterAsCodePoint", "true"), ("pretty", "true"), ("locale", "de")]:
        yield {"format": "json", "select": some, "options": {key: value}}
    for options in [{}, {"header": "true"}, {"sep": ";"}, {"sep": "\t"}, {"quote": "'"}, {"quote": ""}, {"quoteAll": "true"}, {"escapeQuotes": "false"}, {"escape": '"'}, {"nullValue": "NULL"}, {"emptyValue": ""}, {"emptyValue": "E"}, {"timestampFormat": "yyyy-MM-dd HH:mm:ss.SSSSSS"}, {"dateFormat": "dd.MM.yyyy"}, {"timestampNTZFormat": "yyyy"}, {"timeZone": "America/New_York"}, {"ignoreLeadingWhiteSpace": "false", "ignoreTrailingWhiteSpace": "false"}, {"lineSep": "|"}, {"compression": "gzip"}, {"encoding": "ISO-8859-1"}, {"charToEscapeQuoteEscaping": "\\"}, {"header": "true", "quoteAll": "true"}, {"comment": "#"}]:
        yield {"format": "csv", "select": some, "options": options}
    yield {"format": "csv", "select": "i AS `q\"c`, s AS `a,b`", "options": {"header": "true"}}
    for select in ["s", "i", "s, i", "CAST(i AS STRING) AS v", "bin", "concat(s, '\\n') AS v"]:
        yield {"format": "text", "select": select, "options": {}}
    yield {"format": "text", "select": "s", "options": {"lineSep": "|"}}
    yield {"format": "text", "select": "s", "options": {"compression": "gzip"}}

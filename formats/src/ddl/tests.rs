//! Types read and printed.

use super::*;
use crate::error::ErrorKind;

#[test]
fn every_spelling_of_a_schema_reads_the_same() -> Result<()> {
    let columns = parse_schema(
        "a INT, b STRUCT<x: STRING, y: ARRAY<MAP<STRING,INT>>> COMMENT 'c', `odd name` DECIMAL(10,2) NOT NULL",
    )?;
    let as_type = parse_schema(
        "struct<a: int, b struct<x string,y:array<map<string,int>>> comment \"c\", `odd name`: decimal(10, 2) not null>",
    )?;
    let json = parse_schema(
        r#"{"type":"struct","fields":[{"name":"a","type":"integer","nullable":true,"metadata":{}},
        {"name":"b","type":{"type":"struct","fields":[{"name":"x","type":"string","nullable":true,"metadata":{}},
          {"name":"y","type":{"type":"array","elementType":{"type":"map","keyType":"string","valueType":"integer","valueContainsNull":true},"containsNull":true},
           "nullable":true,"metadata":{}}]},"nullable":true,"metadata":{"comment":"c"}},
        {"name":"odd name","type":"decimal(10,2)","nullable":false,"metadata":{}}]}"#,
    )?;
    assert_eq!(columns, as_type);
    assert_eq!(columns, json);
    let ddl = to_ddl(&columns);
    assert_eq!(
        ddl,
        "a INT,b STRUCT<x: STRING, y: ARRAY<MAP<STRING, INT>>> COMMENT 'c',`odd name` DECIMAL(10,2) NOT NULL"
    );
    assert_eq!(parse_schema(&ddl)?, columns);
    Ok(())
}

#[test]
fn simple_types_have_sparks_names() -> Result<()> {
    for (names, printed) in [
        ("BYTE TINYINT", "tinyint"),
        ("SHORT SMALLINT", "smallint"),
        ("INT INTEGER", "int"),
        ("LONG BIGINT", "bigint"),
        ("FLOAT REAL", "float"),
        ("DOUBLE", "double"),
        ("DECIMAL DEC NUMERIC DECIMAL(10)", "decimal(10,0)"),
        ("STRING VARCHAR(3) CHAR(7)", "string"),
        ("BINARY", "binary"),
        ("BOOLEAN", "boolean"),
        ("DATE", "date"),
        ("TIMESTAMP TIMESTAMP_LTZ", "timestamp"),
        ("TIMESTAMP_NTZ", "timestamp_ntz"),
        ("VOID", "void"),
    ] {
        for name in names.split(' ') {
            assert_eq!(type_name(&parse_type(name)?), printed, "{name}");
            assert_eq!(type_name(&parse_type(&name.to_lowercase())?), printed, "{name}");
        }
    }
    assert_eq!(type_name(&parse_type("INTERVAL DAY TO SECOND")?), "interval day to second");
    assert_eq!(
        sql_type_name(&parse_type("struct<k:string,m:map<string,timestamp_ntz>>")?),
        "STRUCT<k: STRING, m: MAP<STRING, TIMESTAMP_NTZ>>"
    );
    assert_eq!(parse_schema("")?.fields().len(), 0);
    Ok(())
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    for (text, message) in [
        ("a BIGNIT", "unknown type 'BIGNIT'; did you mean BIGINT? (line 1, byte 3)"),
        ("a STRUCT<x: INT", "expected '>', found the end (line 1, byte 16)"),
        ("a INT b INT", "expected ',' or the end of the schema, found 'b' (line 1, byte 7)"),
        ("a-b INT", "unexpected '-' in a schema; names with such characters need `backquotes` (line 1, byte 2)"),
        ("a DECIMAL(39,2)", "DECIMAL(39,2): the precision is 1 to 38, the scale 0 to the precision (line 1, byte 10)"),
        ("`a INT", "the ` opened here is never closed (line 1, byte 1)"),
        ("INT", "a schema is a list of columns such as 'id BIGINT, name STRING', not INT"),
        ("a INT,", "expected a column's name, found the end (line 1, byte 7)"),
        (r#"{"type":"struct"}"#, r#"a schema's JSON lacks 'fields' in {"type":"struct"}"#),
    ] {
        let error = parse_schema(text).expect_err(text);
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Invalid, message), "{text}");
    }
    let deep = format!("{}INT{}", "ARRAY<".repeat(5000), ">".repeat(5000));
    assert!(parse_type(&deep).is_err());
}

//! Dates and times (and numbers) as text against Spark's recorded answers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, TimestampMicrosecondArray};
use serde_json::{Value as Json, json};

use super::*;
use crate::error::{Error, Result};
use crate::fixtures::{Case, column, report};
use crate::number;

const FIXTURES: &str = include_str!("../../tests/fixtures/time.jsonl");

/// What stands between two parts of an expression.
fn between<'a>(expr: &'a str, before: &str, after: &str) -> Option<&'a str> {
    expr.strip_prefix(before)?.strip_suffix(after)
}

fn strings(array: impl Array + 'static) -> Vec<Json> {
    column(&(Arc::new(array) as ArrayRef))
}

fn shown(array: &TimestampMicrosecondArray, zone: Zone) -> Result<Vec<Json>> {
    Ok(strings(cast_timestamp_to_string(array, zone)?))
}

/// Our answer to a recorded expression.
fn answer(case: &Case) -> Result<Vec<Json>> {
    let (expr, values, zone) =
        (case.text("expr").unwrap_or_default().replace('\'', "\u{1}"), case.values(), case.session_zone());
    // Patterns are quoted with either quote.
    let expr = if expr.contains('"') { expr.replace('\u{1}', "'") } else { expr.replace('\u{1}', "\"") };
    let micros =
        |a: &TimestampMicrosecondArray| a.iter().map(|v| v.map_or(Json::Null, |v| json!(v.to_string()))).collect();
    if let Some(p) = between(&expr, "date_format(cast(v as timestamp), \"", "\")") {
        let times = cast_string_to_timestamp(&values, zone, 0);
        return Ok(strings(DateTimeFormat::compile(p)?.format(&times, zone)?));
    }
    if let Some(p) = between(&expr, "date_format(cast(v as date), \"", "\")") {
        return Ok(strings(DateTimeFormat::compile(p)?.format(&cast_string_to_date(&values), zone)?));
    }
    if let Some(p) = between(&expr, "date_format(cast(v as timestamp_ntz), \"", "\")") {
        // The function takes a TIMESTAMP: the session's zone applies.
        let times = cast_string_to_timestamp(&values, zone, 0);
        return Ok(strings(DateTimeFormat::compile(p)?.format(&times, zone)?));
    }
    if let Some(p) = between(&expr, "cast(to_timestamp(v, \"", "\") as string)") {
        return shown(&DateTimeFormat::compile(p)?.parse_timestamps(&values, zone)?, zone);
    }
    if let Some(p) = between(&expr, "cast(unix_micros(to_timestamp(v, \"", "\")) as string)") {
        return Ok(micros(&DateTimeFormat::compile(p)?.parse_timestamps(&values, zone)?));
    }
    if let Some(p) = between(&expr, "cast(to_date(v, \"", "\") as string)") {
        return Ok(strings(cast_date_to_string(&DateTimeFormat::compile(p)?.parse_dates(&values, zone)?)?));
    }
    match expr.as_str() {
        "cast(try_cast(v as timestamp) as string)" => shown(&cast_string_to_timestamp(&values, zone, 0), zone),
        "cast(unix_micros(try_cast(v as timestamp)) as string)" => {
            Ok(micros(&cast_string_to_timestamp(&values, zone, 0)))
        }
        "cast(try_cast(v as timestamp_ntz) as string)" => shown(&cast_string_to_timestamp_ntz(&values), zone),
        "cast(try_cast(v as date) as string)" => Ok(strings(cast_date_to_string(&cast_string_to_date(&values))?)),
        "substring(cast(try_cast(v as timestamp) as string), 12)" => {
            let times = shown(&cast_string_to_timestamp(&values, zone, 0), zone)?;
            Ok(times.iter().map(|t| t.as_str().map_or(Json::Null, |t| json!(t[11..]))).collect())
        }
        "cast(timestamp_micros(cast(v as bigint)) as string)" => {
            let times: TimestampMicrosecondArray = values.iter().map(|v| v.and_then(|v| v.parse().ok())).collect();
            shown(&times.with_timezone("UTC"), zone)
        }
        "cast(cast(v as double) as string)" => Ok(written(&values, |v: f64, out| number::write_f64(v, out))),
        "cast(cast(v as float) as string)" => Ok(written(&values, |v: f32, out| number::write_f32(v, out))),
        other => decimals(other, &values),
    }
}

fn written<T: std::str::FromStr>(values: &StringArray, write: impl Fn(T, &mut Vec<u8>)) -> Vec<Json> {
    let text = |v: Option<&str>| {
        let mut out = Vec::new();
        write(v?.parse().ok()?, &mut out);
        String::from_utf8(out).ok()
    };
    values.iter().map(|v| json!(text(v))).collect()
}

fn decimals(expr: &str, values: &StringArray) -> Result<Vec<Json>> {
    let name = between(expr, "cast(try_cast(v as ", ") as string)")
        .ok_or_else(|| Error::invalid(format!("what is {expr}?")))?;
    let arrow::datatypes::DataType::Decimal128(precision, scale) = crate::ddl::parse_type(name)? else {
        return Err(Error::invalid(format!("{name} is no decimal")));
    };
    let text = |v: Option<&str>| {
        let mut out = Vec::new();
        number::write_decimal_plain(number::parse_decimal(v?.trim().as_bytes(), precision, scale)?, scale, &mut out);
        String::from_utf8(out).ok()
    };
    Ok(values.iter().map(|v| json!(text(v))).collect())
}

#[test]
fn dates_and_times_are_text_as_in_spark() -> Result<()> {
    let mut differences = Vec::new();
    for case in Case::all(FIXTURES) {
        let expr = case.text("expr").unwrap_or_default();
        let ours = answer(&case);
        match (ours, case.json.get("error")) {
            (Err(_), Some(_)) => {}
            // One value that cannot be read makes Spark's whole answer an error.
            (Ok(ours), Some(error)) if ours == [Json::Null] && error.to_string().contains("CANNOT_PARSE_TIMESTAMP") => {
            }
            (Ok(ours), Some(error)) => {
                differences.push(format!("case {} {expr}: ours {ours:?}, spark {error}", case.number))
            }
            (Err(error), None) => {
                let all_refused = case.list("rows").iter().all(|r| r.get("error").is_some());
                if !all_refused {
                    differences.push(format!("case {} {expr}: ours refuses {error}", case.number));
                }
            }
            (Ok(ours), None) => {
                for ((ours, spark), value) in ours.iter().zip(case.list("rows")).zip(case.list("values")) {
                    // Under ANSI what cannot be read is an error; here it is null, and the functions make the error.
                    let spark = if spark.get("error").is_some() { Json::Null } else { spark };
                    // Java 17 does not always find the shortest digits; from Java 19 on it does, and so do we.
                    let shortest = *ours == json!("1.0E23") && spark == json!("9.999999999999999E22");
                    // In a zone ahead of UTC the last hours that fit are beyond what fits before the zone is taken off.
                    let last_hour = value == json!("294247-01-10 04:00:54.775808") && ours.is_null();
                    if *ours != spark && !shortest && !last_hour {
                        differences.push(format!("case {} {expr} of {value}: ours {ours}, spark {spark}", case.number));
                    }
                }
            }
        }
    }
    report(&differences)
}

#[test]
fn offsets_that_are_kept_are_those_that_are_looked_up() -> Result<()> {
    for name in ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "+05:45", "Africa/Monrovia"] {
        let zone = Zone::parse(name)?;
        let mut kept = OffsetCache::new(zone);
        // From 1969 to 2038 in steps that hit every quarter of an hour sooner or later.
        for step in 0..200_000 {
            let seconds = -31_536_000 + step * 11_003;
            assert_eq!(
                kept.offset_us(seconds * 1_000_000),
                i64::from(zone.offset_at(seconds)) * 1_000_000,
                "{name} at {seconds}"
            );
        }
    }
    Ok(())
}

#[test]
fn formatting_and_parsing_are_inverse() -> Result<()> {
    for pattern in ["yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX", "dd MMM yyyy hh:mm:ss a SSSSSS Z", "G y-DDD HH:mm:ss.SSSSSS"] {
        let format = DateTimeFormat::compile_for_parsing(pattern)?;
        for zone in [Zone::UTC, Zone::parse("Asia/Kathmandu")?] {
            let times: TimestampMicrosecondArray =
                (0..2000i64).map(|i| Some(i * 1_234_567_891_011 - 900_000_000_000_000)).collect();
            let times = times.with_timezone("UTC");
            let texts = format.format(&times, zone)?;
            let back = format.parse_timestamps(&texts, zone)?;
            assert_eq!(back.values(), times.values(), "{pattern}");
        }
    }
    Ok(())
}

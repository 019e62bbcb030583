//! How many records a second one core decodes: lines of an ad campaign's events, all fields and two of them; and CSV.
//!
//! `cargo bench -p millstream-formats`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream_formats::csv::{CsvDecoder, CsvOptions};
use millstream_formats::ddl::parse_schema;
use millstream_formats::java_time::{DateTimeFormat, Zone, cast_string_to_timestamp};
use millstream_formats::json::{JsonDecoder, JsonEncoder, JsonOptions};

const RECORDS: usize = 100_000;

/// About 180 bytes a line, seven fields, always in the same order.
fn events() -> Vec<u8> {
    let mut text = String::new();
    for i in 0..RECORDS as u64 {
        // A fixed multiplicative sequence: spread out, and the same in every run.
        let n = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let kind = ["view", "click", "purchase"][(n % 3) as usize];
        let (user, page, ad, second) = (n % 1_000_000, n % 10_000, n % 100_000, i / 1000 % 60);
        text.push_str(&format!(
            "{{\"user_id\":\"user-{user:012}\",\"page_id\":\"page-{page:08}\",\"ad_id\":\"ad-{ad:010}\",\"ad_type\":\"banner78\",\
             \"event_type\":\"{kind}\",\"event_time\":\"2024-01-01T00:{:02}:{second:02}.{:03}Z\",\"ip_address\":\"10.1.{}.{}\"}}\n",
            second,
            i % 1000,
            n % 250,
            n % 199
        ));
    }
    text.into_bytes()
}

fn json(c: &mut Criterion) {
    let text = events();
    let all = "user_id STRING, page_id STRING, ad_id STRING, ad_type STRING, event_type STRING, event_time TIMESTAMP, ip_address STRING";
    let mut group = c.benchmark_group("json");
    group.throughput(Throughput::Elements(RECORDS as u64)).sample_size(20);
    for (name, schema) in [
        ("all_fields", all),
        ("two_fields", "ad_id STRING, event_type STRING"),
        ("two_with_time", "ad_id STRING, event_time TIMESTAMP"),
    ] {
        let schema = parse_schema(schema).expect("a schema");
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut decoder = JsonDecoder::new(&schema, JsonOptions::default()).expect("a decoder");
                black_box(decoder.decode_lines(&text).expect("no errors"))
            });
        });
    }
    let schema = parse_schema(all).expect("a schema");
    let batches =
        JsonDecoder::new(&schema, JsonOptions::default()).and_then(|mut d| d.decode_lines(&text)).expect("no errors");
    let encoder = JsonEncoder::new(&schema, &JsonOptions::default()).expect("an encoder");
    group.bench_function("encode", |b| {
        b.iter(|| {
            let mut out = Vec::with_capacity(text.len());
            for batch in &batches {
                encoder.encode_batch(batch, &mut out).expect("no errors");
            }
            black_box(out)
        });
    });
    group.finish();
}

fn csv(c: &mut Criterion) {
    let text: String =
        (0..RECORDS).map(|i| format!("{i},user-{i:08},2024-01-01T00:00:{:02}.000Z,{}.5\n", i % 60, i % 997)).collect();
    let schema = parse_schema("id BIGINT, user STRING, at TIMESTAMP, amount DOUBLE").expect("a schema");
    let mut group = c.benchmark_group("csv");
    group.throughput(Throughput::Elements(RECORDS as u64)).sample_size(20);
    group.bench_function("four_fields", |b| {
        b.iter(|| {
            let mut decoder = CsvDecoder::new(&schema, CsvOptions::default()).expect("a decoder");
            black_box(decoder.decode_all(text.as_bytes()).expect("no errors"))
        });
    });
    group.finish();
}

fn time(c: &mut Criterion) {
    let texts: arrow::array::StringArray = (0..RECORDS)
        .map(|i| Some(format!("2024-01-01 {:02}:{:02}:{:02}.{:03}", i % 24, i % 60, i % 59, i % 1000)))
        .collect();
    let zone = Zone::parse("Europe/Berlin").expect("a zone");
    let format = DateTimeFormat::compile_for_parsing("yyyy-MM-dd HH:mm:ss.SSS").expect("a pattern");
    let times = cast_string_to_timestamp(&texts, zone, 0);
    let mut group = c.benchmark_group("time");
    group.throughput(Throughput::Elements(RECORDS as u64)).sample_size(20);
    group.bench_function("cast_in_zone", |b| b.iter(|| black_box(cast_string_to_timestamp(&texts, zone, 0))));
    group.bench_function("parse_pattern", |b| {
        b.iter(|| black_box(format.parse_timestamps(&texts, zone).expect("parses")))
    });
    group.bench_function("format_pattern", |b| b.iter(|| black_box(format.format(&times, zone).expect("formats"))));
    group.finish();
}

criterion_group!(benches, json, csv, time);
criterion_main!(benches);

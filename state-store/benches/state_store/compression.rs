//! What LZ4 and Zstd make of the blocks that a streaming query writes.

use std::hint::black_box;
use std::time::Instant;

use crate::report::Report;
use crate::rows::scramble;

/// A block's body, column by column: window starts, names, counts, sums and a maximum, as an aggregation keeps them.
fn body(rows: usize) -> Vec<u8> {
    let mut body = Vec::new();
    let each = |body: &mut Vec<u8>, bytes: &dyn Fn(u64) -> Vec<u8>| {
        (0..rows as u64).for_each(|row| body.extend(bytes(row)));
    };
    each(&mut body, &|row| [&[1][..], &(1_700_000_000_000_000 + row / 50 * 60_000_000).to_be_bytes()].concat());
    each(&mut body, &|row| format!("campaign-{:06}", scramble(row) % 100_000).into_bytes());
    each(&mut body, &|_| vec![7]);
    each(&mut body, &|row| (scramble(row) % 1000).to_le_bytes().to_vec());
    each(&mut body, &|row| (scramble(row ^ 7) % 10_000_000).to_le_bytes().to_vec());
    each(&mut body, &|row| (scramble(row ^ 9) % 100_000).to_le_bytes().to_vec());
    body
}

/// MB a second of `work` on `bytes` bytes.
fn rate(bytes: usize, mut work: impl FnMut()) -> f64 {
    const ROUNDS: usize = 2000;
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| work());
    (bytes * ROUNDS) as f64 / 1e6 / start.elapsed().as_secs_f64()
}

pub(crate) fn run(report: &mut Report) {
    report.line("");
    report.line("| block | | size | compression, MB/s | decompression, MB/s |");
    report.line("|---|---|---|---|---|");
    for rows in [85, 340, 1360] {
        let body = body(rows);
        let mut line = |name: &str, compressed: usize, write: f64, read: f64| {
            let (bytes, percent) = (body.len(), 100 * compressed / body.len());
            report.line(format!("| {bytes} bytes | {name} | {percent} % | {write:.0} | {read:.0} |"));
        };
        let small = lz4_flex::block::compress(&body);
        let write = rate(body.len(), || drop(black_box(lz4_flex::block::compress(&body))));
        let read = rate(body.len(), || drop(black_box(lz4_flex::block::decompress(&small, body.len()))));
        line("LZ4", small.len(), write, read);
        for level in [1, 3] {
            let small = zstd::bulk::compress(&body, level).expect("compression");
            let write = rate(body.len(), || drop(black_box(zstd::bulk::compress(&body, level))));
            let read = rate(body.len(), || drop(black_box(zstd::bulk::decompress(&small, body.len()))));
            line(&format!("Zstd {level}"), small.len(), write, read);
        }
    }
}

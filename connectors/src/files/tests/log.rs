//! The log of the file source and sink, whichever way a compaction is written.

use millstream_engine::checkpoint::{CompactLog, CompactLogOptions};
use millstream_engine::state::Place;

#[tokio::test]
async fn appending_writes_what_adding_writes() {
    let options = CompactLogOptions { compact_interval: 3, ..Default::default() };
    let mut texts = Vec::new();
    for appends in [false, true] {
        let place = Place::open(&format!("memory://compact-log/append-{appends}"), &[]).expect("a place in memory");
        let log = CompactLog::<serde_json::Value>::open(place.clone(), options).await.expect("an empty log");
        for batch_id in 0..8 {
            let entries = vec![serde_json::json!({ "batch": batch_id }); usize::try_from(batch_id % 3).expect("small")];
            match appends {
                true => log.append(batch_id, &entries).await.expect("a new batch"),
                false => log.add(batch_id, &entries, |_| true).await.expect("a new batch"),
            }
        }
        let mut text = Vec::new();
        for entry in place.list().await.expect("a listing") {
            text.push((entry.name.clone(), place.read(&entry.name).await.expect("a file")));
        }
        texts.push(text);
    }
    assert_eq!(texts[0], texts[1]);
    // Damage is not folded in silently.
    let place = Place::open("memory://compact-log/damaged", &[]).expect("a place in memory");
    let log = CompactLog::<serde_json::Value>::open(place.clone(), options).await.expect("an empty log");
    place.create("0", bytes::Bytes::from_static(b"v1\n{\"cut\":")).await.expect("a damaged file");
    log.append(1, &[]).await.expect("a new batch");
    let error = log.append(2, &[]).await.expect_err("damage was folded in");
    assert_eq!(error.kind(), millstream_engine::ErrorKind::Corrupt);
}

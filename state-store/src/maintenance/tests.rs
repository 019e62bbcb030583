//! The decisions of maintenance, without files.

use super::*;

#[test]
fn small_stores_wait_for_enough_deltas() {
    assert_eq!(layers_to_merge(&[], 10), None);
    assert_eq!(layers_to_merge(&[5], 10), None);
    assert_eq!(layers_to_merge(&[5; 9], 10), None);
    assert_eq!(layers_to_merge(&[5; 10], 10), Some(10));
}

#[test]
fn a_large_snapshot_is_left_alone_until_deltas_match_it() {
    let mut layers = vec![1 << 10; 10];
    layers.push(1 << 30);
    assert_eq!(layers_to_merge(&layers, 10), Some(10), "the snapshot stays");
    assert_eq!(layers_to_merge(&[7 << 20, 2 << 20], 10), Some(2), "deltas outweigh it");
    assert_eq!(layers_to_merge(&[6 << 20, 2 << 20], 10), None);
}

/// Ten thousand batches of one size: few layers at any time, and each byte is written a few times only.
#[test]
fn layers_and_rewriting_stay_bounded() {
    for delta_bytes in [100, 100_000, 10_000_000] {
        let (mut layers, mut written, mut most) = (Vec::new(), 0_u64, 0);
        let batches = 10_000;
        for _ in 0..batches {
            layers.insert(0, delta_bytes);
            if let Some(count) = layers_to_merge(&layers, 10) {
                let merged: u64 = layers.drain(..count).sum();
                written += merged;
                layers.insert(0, merged);
            }
            most = most.max(layers.len());
        }
        let amplification = written as f64 / (delta_bytes * batches) as f64;
        assert!(most <= 24, "{most} layers of deltas of {delta_bytes} bytes");
        assert!(amplification < 12.0, "every byte of deltas of {delta_bytes} bytes is written {amplification} times");
    }
}

#[test]
fn only_old_unneeded_state_files_are_removed() -> Result<()> {
    let store = StoreId::new(0, "s", 0, 1)?;
    let names = [
        crate::id::delta_name(3, "a"),
        crate::id::delta_name(4, "lost"),
        crate::id::delta_name(4, "won"),
        crate::id::delta_name(5, "being-written"),
        merged_name(3, 0, &store, 1),
        merged_name(2, 0, &store, 1),
        "notes.txt".to_owned(),
    ];
    let needed = HashSet::from([names[2].clone(), names[4].clone()]);
    let removed = files_to_remove(&names, &needed, 4);
    assert_eq!(removed, [names[5].clone(), names[0].clone(), names[1].clone()]);
    Ok(())
}

//! Where a query starts, and where a batch starts and ends: what the user says, as offsets.

use std::collections::BTreeSet;

use millstream_engine::{Error, Result};

use super::limits::Range;
use super::lookup::Lookup;
use super::loss::{Lost, There, data_loss};
use super::offsets::{EARLIEST, LATEST, Positions, TopicPartition, names};
use super::options::{KafkaSourceOptions, Place};

/// The offsets of `partitions` that the starting options stand for.
///
/// # Errors
/// `Invalid` where offsets or times are not given for exactly these partitions, or where no message is as late as asked
/// for; `Corrupt` where an offset is not there and that counts.
pub(super) async fn starting(
    options: &KafkaSourceOptions,
    lookup: &Lookup,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<Positions> {
    match &options.starting {
        Place::Earliest => lookup.beginnings(partitions).await,
        Place::Latest => lookup.ends(partitions).await,
        Place::Offsets(offsets) => {
            check_all_named("startingOffsets", offsets, partitions)?;
            there(options, lookup, resolved(lookup, offsets).await?).await
        }
        Place::Timestamp(at) => {
            let times = partitions.iter().map(|partition| (partition.clone(), *at)).collect();
            at_times(options, lookup, times).await
        }
        Place::Timestamps(times) => {
            check_all_named("startingOffsetsByTimestamp", times, partitions)?;
            at_times(options, lookup, times.clone()).await
        }
    }
}

/// The offsets of `partitions` that the ending options stand for. A time that no message has reached is the end.
pub(super) async fn ending(
    options: &KafkaSourceOptions,
    lookup: &Lookup,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<Positions> {
    let times = match &options.ending {
        Place::Earliest | Place::Latest => return lookup.ends(partitions).await,
        Place::Offsets(offsets) => {
            check_all_named("endingOffsets", offsets, partitions)?;
            return resolved(lookup, offsets).await;
        }
        Place::Timestamp(at) => partitions.iter().map(|partition| (partition.clone(), *at)).collect(),
        Place::Timestamps(times) => {
            check_all_named("endingOffsetsByTimestamp", times, partitions)?;
            times.clone()
        }
    };
    let mut found = lookup.at_times(times).await?;
    let late = found.iter().filter(|(_, offset)| **offset < 0).map(|(at, _)| at);
    found.extend(lookup.ends(late.cloned().collect::<Vec<_>>().iter()).await?);
    Ok(found)
}

async fn at_times(options: &KafkaSourceOptions, lookup: &Lookup, times: Positions) -> Result<Positions> {
    let mut found = lookup.at_times(times.clone()).await?;
    let late: Vec<TopicPartition> = found.iter().filter(|(_, offset)| **offset < 0).map(|(at, _)| at.clone()).collect();
    if let Some(at) = late.first().filter(|_| !options.latest_where_none) {
        return Err(Error::invalid(format!(
            "kafka source: no message of {at} is as late as timestamp {}: start earlier, or set option 'startingOffsetsByTimestampStrategy' to 'latest' to start at the end there",
            times.get(at).copied().unwrap_or_default()
        )));
    }
    found.extend(lookup.ends(&late).await?);
    Ok(found)
}

/// `offsets` with −1 and −2 replaced.
async fn resolved(lookup: &Lookup, offsets: &Positions) -> Result<Positions> {
    let of = |what| offsets.iter().filter(move |(_, offset)| **offset == what).map(|(at, _)| at);
    let mut resolved = offsets.clone();
    resolved.extend(lookup.beginnings(of(EARLIEST)).await?);
    resolved.extend(lookup.ends(of(LATEST)).await?);
    Ok(resolved)
}

/// Checks that `offsets` are there. What is not counts as lost, where that counts; otherwise a start beyond the end is the
/// end.
async fn there(options: &KafkaSourceOptions, lookup: &Lookup, offsets: Positions) -> Result<Positions> {
    let beginnings = lookup.beginnings(offsets.keys()).await?;
    let ends = lookup.ends(offsets.keys()).await?;
    let mut there = Positions::new();
    for (at, offset) in offsets {
        let (Some(beginning), Some(end)) = (beginnings.get(&at), ends.get(&at)) else {
            return Err(data_loss(&format!("{at} is not there")));
        };
        if (*beginning..=*end).contains(&offset) {
            there.insert(at, offset);
            continue;
        }
        let range = Range { at: at.clone(), from: offset, until: offset.saturating_add(1) };
        let lost = Lost::of(&range, Some(There { beginning: *beginning, end: *end }));
        if options.fail_on_data_loss {
            return Err(lost.error());
        }
        tracing::warn!("{}", lost.warning());
        // What is missing at the beginning is passed over when it is read.
        there.insert(at, offset.min(*end));
    }
    Ok(there)
}

fn check_all_named(option: &str, given: &Positions, partitions: &BTreeSet<TopicPartition>) -> Result<()> {
    if given.keys().eq(partitions.iter()) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "kafka source: option '{option}' names {}, and the partitions to read are {}: it must name each of them, and no other (-1 is latest, -2 earliest)",
        names(given.keys()),
        names(partitions)
    )))
}

//! One conformance suite for every kind of place, and the faults a disk has.

use std::sync::Arc;

use bytes::Bytes;
use millstream_state::{ErrorKind, LocalStorage, NumberedLog, ObjectStorage, Place, Result};

use crate::faulty::{After, Countdown, FAULTS, FaultyDisk};

/// What every place promises. Calls no test framework, so that any place can be handed in.
async fn check_place(place: Place) -> Result<()> {
    let folder = place.child("a/b");
    assert_eq!(folder.list().await?, [], "a missing folder is empty");
    assert_eq!(folder.read("x").await?, None);
    assert!(!folder.exists("x").await?);
    folder.delete("x").await?;

    let bytes = Bytes::from_static(b"0123456789");
    folder.create("x", bytes.clone()).await?;
    assert_eq!(folder.read("x").await?, Some(bytes.clone()));
    assert!(folder.exists("x").await?);
    for (range, expected) in [(0..4, "0123"), (8..20, "89"), (3..3, ""), (20..30, "")] {
        assert_eq!(folder.read_range("x", range.clone()).await?, Some(Bytes::from(expected)), "{range:?}");
    }
    assert_eq!(folder.read_range("y", 0..4).await?, None);

    folder.create("x", bytes.clone()).await?;
    let lost = folder.create("x", Bytes::from_static(b"other")).await.expect_err("the name is taken");
    assert_eq!(lost.kind(), ErrorKind::Fenced);
    assert_eq!(lost.path(), Some(folder.url_of("x").as_str()));
    assert_eq!(folder.read("x").await?, Some(bytes), "a file never changes");

    folder.create("empty", Bytes::new()).await?;
    let mut writer = folder.begin("pieces").await?;
    for piece in ["one ", "two ", "three"] {
        writer.append(piece.into()).await?;
    }
    assert!(!folder.exists("pieces").await?, "visible before it was finished");
    writer.finish().await?;
    assert_eq!(folder.read("pieces").await?, Some("one two three".into()));
    let mut writer = folder.begin("dropped").await?;
    writer.append("gone".into()).await?;
    drop(writer);
    let mut writer = folder.begin("pieces").await?;
    writer.append("loser".into()).await?;
    assert_eq!(writer.finish().await.expect_err("the name is taken").kind(), ErrorKind::Fenced);

    folder.child("deeper").create("file", "elsewhere".into()).await?;
    let entries = folder.list().await?;
    let names: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.size_bytes)).collect();
    assert_eq!(names, [("empty", 0), ("pieces", 13), ("x", 10)]);
    assert!(entries.iter().all(|entry| entry.modified_ms > 1_600_000_000_000));
    folder.delete("x").await?;
    assert_eq!(folder.read("x").await?, None);

    for bad in ["", ".hidden", "a/b"] {
        assert_eq!(folder.create(bad, Bytes::new()).await.expect_err(bad).kind(), ErrorKind::Invalid, "{bad}");
    }
    let stats = place.io_stats();
    assert_eq!((stats.files_created, stats.bytes_written), (4, 10 + 13 + 9), "shared with children");
    Ok(())
}

/// Ten writers race for each name; one wins, all others are fenced.
async fn check_race(place: Place) -> Result<()> {
    for name in ["0", "1", "2"] {
        let writers = (0..10).map(|writer| {
            let (place, bytes) = (place.clone(), Bytes::from(format!("writer {writer}")));
            tokio::spawn(async move { place.create(name, bytes).await })
        });
        let mut wins = 0;
        for result in futures::future::join_all(writers).await {
            match result.expect("no panic") {
                Ok(()) => wins += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Fenced),
            }
        }
        assert_eq!(wins, 1);
    }
    Ok(())
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_folder_is_a_place() -> Result<()> {
    let (one, two, race) = (folder(), folder(), folder());
    check_place(Place::open(&one.path().join("new/folder").display().to_string(), &[])?).await?;
    check_place(Place::open(&format!("file://{}", two.path().display()), &[])?).await?;
    check_race(Place::open(&race.path().display().to_string(), &[])?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_a_place() -> Result<()> {
    check_place(Place::open("memory://conformance/here", &[])?).await?;
    check_race(Place::open("memory://race", &[])?).await?;
    let again = Place::open("memory://conformance/here/a", &[])?.child("b");
    assert_eq!(again.read("pieces").await?, Some("one two three".into()), "shared inside the process");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_store_is_a_place() -> Result<()> {
    let store = Arc::new(object_store::memory::InMemory::new());
    let storage = ObjectStorage::new(store, "some/prefix".into(), "s3://bucket/some/prefix");
    let place = Place::from_storage(Arc::new(storage));
    assert_eq!(place.child("x").url(), "s3://bucket/some/prefix/x");
    check_place(place.clone()).await?;
    check_race(place.child("race")).await
}

#[test]
fn locations_are_paths_or_urls() -> Result<()> {
    let place = Place::open("relative/folder", &[])?;
    let here = std::env::current_dir().expect("a current folder");
    assert_eq!(place.local_path(), Some(here.join("relative/folder")));
    assert_eq!(place.url(), format!("file://{}/relative/folder", here.display()));
    assert_eq!(Place::open("/a b/ä", &[])?.url(), "file:///a%20b/%C3%A4");
    assert_eq!(Place::open("file:///a%20b", &[])?.local_path(), Some("/a b".into()));
    let options = [("region".to_owned(), "eu-central-1".to_owned())];
    let bucket = Place::open("s3://bucket/x", &options)?;
    assert_eq!((bucket.child("y").url(), bucket.local_path()), ("s3://bucket/x/y".to_owned(), None));
    for bad in ["ftp://host/x", "nonsense://x", "file://host/x"] {
        assert_eq!(Place::open(bad, &[]).expect_err(bad).kind(), ErrorKind::Invalid, "{bad}");
    }
    Ok(())
}

#[tokio::test]
async fn temporary_and_hidden_files_are_not_listed() -> Result<()> {
    let folder = folder();
    for name in [".0.crc", ".0.x.tmp", "0"] {
        std::fs::write(folder.path().join(name), "x").expect("a file");
    }
    let place = Place::open(&folder.path().display().to_string(), &[])?;
    assert_eq!(NumberedLog::new(place.clone()).numbers().await?, [0]);
    assert_eq!(place.list().await?.len(), 1);
    Ok(())
}

/// Whatever step of a create fails, a reader sees the whole file or none, and trying again succeeds.
#[tokio::test]
async fn every_step_of_a_create_may_fail() -> Result<()> {
    let mut steps_seen = 0;
    for fault in FAULTS {
        for nth in 0.. {
            let folder = folder();
            let countdown = Countdown::new(nth, fault, After::Recovery);
            let disk = Arc::new(FaultyDisk(Arc::clone(&countdown)));
            let storage = LocalStorage::with_disk(folder.path().join("new"), disk)?;
            let place = Place::from_storage(Arc::new(storage));
            let Err(error) = place.create("x", "whole".into()).await else {
                assert!(!countdown.has_struck(), "step {nth}: {fault:?} was swallowed");
                break;
            };
            steps_seen += 1;
            assert_eq!(error.kind(), ErrorKind::Unavailable, "step {nth}, {fault:?}: {error}");
            let seen = place.read("x").await?;
            assert!(seen.is_none() || seen == Some("whole".into()), "step {nth}, {fault:?}: {seen:?}");
            place.create("x", "whole".into()).await?;
            assert_eq!(place.read("x").await?, Some("whole".into()), "step {nth}, {fault:?}");
            assert_eq!(place.list().await?.len(), 1);
        }
    }
    assert!(steps_seen >= 3 * 6, "a folder, a file, a write, a sync, a rename and two folder syncs: {steps_seen}");
    Ok(())
}

#[tokio::test]
async fn permission_denied_is_for_the_user_to_repair() -> Result<()> {
    let folder = folder();
    std::fs::write(folder.path().join("file"), "x").expect("a file");
    let place = Place::open(&folder.path().join("file/below").display().to_string(), &[])?;
    let error = place.create("x", "x".into()).await.expect_err("a file is no folder");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("file/below"), "{error}");
    Ok(())
}

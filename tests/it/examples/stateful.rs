//! Examples that remember: counts, balances, sessions, joins of two streams.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use millstream_tests::TestResult;
use millstream_tests::markdown::repository;

use super::model::{clock, counted, number, seconds, text};
use super::{all_input, cells, input, run, tables};

#[test]
fn word_count_counts_the_words_of_the_poem() -> TestResult {
    let work = tempfile::tempdir()?;
    let shown = tables(&run("word_count", work.path())?.stdout);
    let poem = fs::read_to_string(repository().join("examples/data/poem.txt"))?;
    let expected = counted(poem.split_whitespace());
    let (windowed, running) = shown.split_last().ok_or("nothing was printed")?;
    let last = running.last().ok_or("no running counts were printed")?;
    let found: BTreeMap<&str, i64> =
        last.iter().map(|row| Ok((row["word"].as_str(), row["count"].parse()?))).collect::<TestResult<_>>()?;
    assert_eq!(found, expected);
    // Every line is in two windows. The busiest word leads in each of them, unless lines came seconds apart.
    let busiest = expected.iter().max_by_key(|(_, count)| **count).ok_or("the poem is empty")?;
    let in_windows = windowed.iter().filter(|row| row["word"] == **busiest.0).map(|row| row["count"].parse::<i64>());
    assert_eq!(in_windows.sum::<Result<i64, _>>()?, 2 * busiest.1, "{windowed:?}");
    Ok(())
}

#[test]
fn running_state_goes_on_with_the_balances_it_had() -> TestResult {
    let work = tempfile::tempdir()?;
    let shown = tables(&run("running_state", work.path())?.stdout);
    let files = input(&work.path().join("movements"))?;
    assert_eq!(shown.len(), files.len(), "one batch for each file");
    let mut known = Vec::new();
    for (batch, rows) in shown.iter().zip(&files) {
        known.extend(rows.iter().cloned());
        let changed: BTreeSet<String> = rows.iter().map(|row| text(row, "account")).collect();
        let expected = changed.iter().map(|account| {
            let own: Vec<_> = known.iter().filter(|row| text(row, "account") == *account).collect();
            let amounts = || own.iter().map(|row| number(row, "amount"));
            let latest = own.iter().max_by_key(|row| text(row, "at")).map(|row| number(row, "amount"));
            let figures = [amounts().sum::<i64>(), own.len() as i64, amounts().min().unwrap_or(0), latest.unwrap_or(0)];
            [vec![account.clone()], figures.map(|figure| figure.to_string()).to_vec()].concat()
        });
        let columns = ["account", "balance", "movements", "smallest", "latest"];
        let found: BTreeSet<Vec<String>> = cells(batch, columns).into_iter().map(Vec::from).collect();
        assert_eq!(found, expected.collect());
    }
    Ok(())
}

#[test]
fn sessions_end_where_a_user_pauses() -> TestResult {
    const GAP: i64 = 5 * 60;
    let work = tempfile::tempdir()?;
    let shown = tables(&run("sessions", work.path())?.stdout);
    let clicks = all_input(&work.path().join("clicks"))?;
    let watermark = clicks.iter().map(|click| seconds(&click["at"])).max().ok_or("no clicks")? - 5 * 60;
    let mut by_user: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for click in &clicks {
        by_user.entry(text(click, "user")).or_default().push(seconds(&click["at"]));
    }
    let mut expected = Vec::new();
    for (user, mut times) in by_user {
        times.sort_unstable();
        for session in times.chunk_by(|earlier, later| later - earlier < GAP) {
            let (from, to) = (session[0], session[session.len() - 1]);
            if to + GAP <= watermark {
                expected.push([user.clone(), session.len().to_string(), clock(from), clock(to)]);
            }
        }
    }
    assert_eq!(cells(&shown[0], ["user", "clicks", "from", "to"]), expected);
    Ok(())
}

#[test]
fn impressions_meet_the_clicks_in_time_and_the_others_are_told() -> TestResult {
    let work = tempfile::tempdir()?;
    let shown = tables(&run("impressions_clicks", work.path())?.stdout);
    let impressions = all_input(&work.path().join("impressions"))?;
    let clicks = all_input(&work.path().join("clicks"))?;
    let newest =
        |rows: &[serde_json::Value], field: &str| rows.iter().map(|row| seconds(&row[field])).max().unwrap_or(0);
    let watermark = (newest(&impressions, "shown_at") - 120).min(newest(&clicks, "clicked_at") - 60);
    let mut expected = BTreeSet::new();
    for impression in &impressions {
        let (ad, shown_at) = (number(impression, "ad"), seconds(&impression["shown_at"]));
        let row = |clicked: String| [ad.to_string(), text(impression, "campaign"), clock(shown_at), clicked];
        let own = clicks.iter().filter(|click| number(click, "clicked_ad") == ad).map(|c| seconds(&c["clicked_at"]));
        let in_time: Vec<i64> = own.filter(|at| (shown_at..=shown_at + 60).contains(at)).collect();
        if in_time.is_empty() && shown_at + 60 < watermark {
            expected.insert(row("NULL".to_string()));
        }
        expected.extend(in_time.into_iter().map(|at| row(clock(at))));
    }
    assert!(expected.len() > impressions.len() - 1, "no impression has two clicks");
    let found = cells(&shown[0], ["ad", "campaign", "shown", "clicked"]);
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    Ok(())
}

#[test]
fn windowed_counts_are_those_of_a_loop_over_clicks_and_windows() -> TestResult {
    let work = tempfile::tempdir()?;
    let output = run("windowed_counts", work.path())?.stdout;
    let clicks = all_input(&repository().join("examples/data/clicks"))?;
    let distinct: BTreeSet<(i64, String, String)> =
        clicks.iter().map(|c| (seconds(&c["at"]), text(c, "user_id"), text(c, "page"))).collect();
    let watermark = distinct.iter().map(|(at, ..)| *at).max().ok_or("no clicks")? - 60;
    let mut expected: BTreeMap<(String, String), (i64, BTreeSet<String>)> = BTreeMap::new();
    for (at, user, page) in distinct {
        for start in (at / 60 - 4..=at / 60).map(|minute| minute * 60).filter(|start| start + 300 <= watermark) {
            let window = format!("{{2026-03-02 {}, 2026-03-02 {}}}", clock(start), clock(start + 300));
            let (views, visitors) = expected.entry((window, page.clone())).or_default();
            *views += 1;
            visitors.insert(user.clone());
        }
    }
    let expected: BTreeSet<[String; 4]> = expected
        .into_iter()
        .map(|((window, page), (views, visitors))| [window, page, views.to_string(), visitors.len().to_string()])
        .collect();
    let shown = tables(&output).concat();
    let found: BTreeSet<[String; 4]> = cells(&shown, ["window", "page", "views", "visitors"]).into_iter().collect();
    assert_eq!(found.len(), shown.len(), "a window was given out twice");
    assert!(found.len() > 10, "{output}");
    assert_eq!(found, expected);
    Ok(())
}

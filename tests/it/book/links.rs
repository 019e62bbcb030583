//! Chapters, links and pictures.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use millstream_tests::TestResult;
use millstream_tests::markdown::{Page, pages, repository};

/// Where the repository is, so that pages of the book can name its files.
const FILES: &str = "https://github.com/millstream/millstream/blob/main/";

#[test]
fn the_summary_names_every_chapter_once() -> TestResult {
    let pages = pages()?;
    let summary = pages.iter().find(|page| page.path == "docs/SUMMARY.md").ok_or("there is no summary")?;
    let named: Vec<String> = summary.links().into_iter().map(|(_, target)| format!("docs/{target}")).collect();
    let unique: BTreeSet<&String> = named.iter().collect();
    assert_eq!(named.len(), unique.len(), "a chapter is named twice");
    let there: BTreeSet<&String> = pages
        .iter()
        .map(|page| &page.path)
        .filter(|path| path.starts_with("docs/") && *path != &summary.path)
        .collect();
    assert_eq!(unique, there);
    Ok(())
}

#[test]
fn every_link_leads_somewhere() -> TestResult {
    let pages = pages()?;
    let mut broken = Vec::new();
    for page in &pages {
        for (line, target) in page.links() {
            if let Err(why) = check(&pages, page, &target) {
                broken.push(format!("{}:{line}: {target}: {why}", page.path));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
    Ok(())
}

fn check(pages: &[Page], page: &Page, target: &str) -> Result<(), String> {
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = match file.strip_prefix(FILES) {
        Some(path) => path.to_string(),
        None if file.contains("://") => return Ok(()),
        None if file.is_empty() => page.path.clone(),
        None => beside(&page.path, file),
    };
    if !repository().join(&path).exists() {
        return Err(format!("there is no {path}"));
    }
    // mdBook knows nothing outside its folder.
    if page.path.starts_with("docs/") && !path.starts_with("docs/") && !file.contains("://") {
        return Err(format!("lies outside the book: write {FILES}{path}"));
    }
    let Some(anchor) = anchor else { return Ok(()) };
    let other = pages.iter().find(|other| other.path == path).ok_or("an anchor of what is no page")?;
    match other.anchors().iter().any(|known| known == anchor) {
        true => Ok(()),
        false => Err(format!("{path} has the anchors {:?}", other.anchors())),
    }
}

/// `file` as seen from the folder of `page`.
fn beside(page: &str, file: &str) -> String {
    let mut path = PathBuf::from(page);
    path.pop();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path.to_string_lossy().into_owned()
}

#[test]
fn figures_of_the_readme_are_those_of_the_benchmarks() -> TestResult {
    let root = repository();
    let measured = std::fs::read_to_string(root.join("docs/benchmarks.md"))?;
    let readme = std::fs::read_to_string(root.join("README.md"))?;
    let speed = readme.split("\n## Speed\n").nth(1).ok_or("no section on speed")?;
    let rows =
        speed.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    let mut figures = 0;
    for row in rows {
        for figure in row.split('|').skip(2).flat_map(|cell| cell.split([' ', ':'])) {
            if figure.starts_with(|c: char| c.is_ascii_digit()) {
                assert!(measured.contains(figure), "{figure} of '{row}' is not in docs/benchmarks.md");
                figures += 1;
            }
        }
    }
    assert!(figures > 20, "the table was not found");
    Ok(())
}

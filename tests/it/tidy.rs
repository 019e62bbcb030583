//! What keeps the repository in shape.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use millstream_tests::TestResult;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Each crate, its folder, and the crates of ours that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("state-store", &[]),
    ("formats", &[]),
    ("engine", &["millstream-state"]),
    ("connectors", &["millstream-engine", "millstream-formats", "millstream-state"]),
    ("sql", &["millstream-engine", "millstream-formats"]),
    (".", &["millstream-connectors", "millstream-engine", "millstream-formats", "millstream-sql"]),
];

#[test]
fn crates_depend_one_way() -> TestResult {
    for (folder, allowed) in MAY_USE {
        let manifest = fs::read_to_string(repository().join(folder).join("Cargo.toml"))?;
        let start = manifest.find("\n[dependencies]").ok_or("no dependencies")?;
        let section = manifest[start + 1..].split_once("\n[").map_or(&manifest[start..], |(section, _)| section);
        let used = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
        let used: BTreeSet<&str> = used.filter(|name| name.starts_with("millstream")).collect();
        assert!(used.iter().all(|name| allowed.contains(name)), "{folder} uses {used:?}, and may use {allowed:?}");
    }
    Ok(())
}

#[test]
fn there_is_one_copy_of_what_must_be_shared() -> TestResult {
    let lock = fs::read_to_string(repository().join("Cargo.lock"))?;
    for package in ["arrow", "arrow-array", "arrow-schema", "datafusion", "object_store", "parquet", "sqlparser"] {
        let copies = lock.lines().filter(|line| *line == format!("name = \"{package}\"")).count();
        assert_eq!(copies, 1, "{package}: its types are in our interfaces, and two copies of them do not fit together");
    }
    Ok(())
}

#[test]
fn versions_are_in_the_workspace_alone() -> TestResult {
    for folder in ["state-store", "formats", "engine", "connectors", "sql", "examples", "tests", "bench"] {
        let manifest = fs::read_to_string(repository().join(folder).join("Cargo.toml"))?;
        let line = manifest.lines().find(|line| line.contains("version ="));
        assert_eq!(line, None, "{folder}/Cargo.toml: versions are in [workspace.dependencies]");
    }
    Ok(())
}

/// A member that is not named would be optimised, as what it depends on is: slow to build, and without lines in backtraces.
#[test]
fn every_member_is_in_the_profile_for_development() -> TestResult {
    let manifest = fs::read_to_string(repository().join("Cargo.toml"))?;
    let (_, profile) = manifest.split_once("\n[profile.dev.package]\n").ok_or("there is no such section")?;
    for folder in [".", "state-store", "formats", "engine", "connectors", "sql", "examples", "tests", "bench"] {
        let member = fs::read_to_string(repository().join(folder).join("Cargo.toml"))?;
        let (_, package) = member.split_once("[package]\n").ok_or("no package")?;
        let name = package.lines().find_map(|line| line.strip_prefix("name = ")).ok_or("no name")?.trim_matches('"');
        let line = format!("\n{name} = {{ opt-level = 0, debug = \"line-tables-only\" }}\n");
        assert!(profile.contains(&line), "[profile.dev.package] lacks a line for {name}");
    }
    Ok(())
}

/// With other features in a dependency, DataFusion would be built a second time for the examples.
#[test]
fn examples_share_the_build_of_the_workspace() -> TestResult {
    let packages = |of: &[&str]| -> TestResult<BTreeSet<String>> {
        let args = ["tree", "--offline", "--locked", "--prefix", "none", "--format", "{p} [{f}]"];
        let mut command = Command::new(env!("CARGO"));
        command.args(args).args(of).current_dir(repository());
        // The settings of whoever runs this test are not asked.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME") {
            command.env_remove(name);
        }
        let output = command.output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().map(|line| line.trim_end_matches(" (*)").to_string()).collect())
    };
    let examples = packages(&["-p", "examples", "--edges", "normal,build"])?;
    let all = packages(&["--workspace", "--edges", "normal,build,dev"])?;
    assert!(examples.len() > 100, "cargo tree has changed its output: {examples:?}");
    let different: Vec<&String> = examples.difference(&all).collect();
    assert!(
        different.is_empty(),
        "examples/Cargo.toml must ask for the features that the workspace has: {different:?}"
    );
    Ok(())
}

#[test]
fn every_test_file_is_run() -> TestResult {
    let folder = repository().join("tests/it");
    let main = fs::read_to_string(folder.join("main.rs"))?;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let module = name.strip_suffix(".rs").unwrap_or(&name);
        assert!(module == "main" || main.contains(&format!("mod {module};")), "it/main.rs does not name {module}");
    }
    Ok(())
}

#[test]
fn the_connectors_page_names_every_source_and_sink() -> TestResult {
    let mut registry = millstream::registry::Registry::new();
    millstream::connectors::register_all(&mut registry);
    let page = repository().join("docs/connectors.md");
    let page = fs::read_to_string(if page.exists() { page } else { repository().join("connectors/src/lib.rs") })?;
    // Known by name only to be refused with a better message.
    let refused = ["avro", "orc", "xml"];
    for name in registry.source_names().chain(registry.sink_names()).filter(|name| !refused.contains(name)) {
        assert!(page.contains(&format!("`{name}`")), "the connectors page does not name {name}");
    }
    Ok(())
}

//! The tables of options and of configuration keys, against what the code accepts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::Schema;
use millstream::conf;
use millstream::options::Options;
use millstream::registry::Registry;
use millstream::sink::{OutputMode, SinkSpec};
use millstream_tests::TestResult;
use millstream_tests::markdown::{Page, pages, repository};

/// A connector, the page with its options, the sections of it that hold, and options it cannot do without.
struct Documented {
    connector: &'static str,
    page: &'static str,
    sections: &'static [&'static str],
    required: &'static [(&'static str, &'static str)],
}

const KAFKA: &[(&str, &str)] = &[("kafka.bootstrap.servers", "127.0.0.1:1"), ("subscribe", "t")];

const CONNECTORS: &[Documented] = &[
    Documented {
        connector: "parquet",
        page: "docs/connectors/files.md",
        sections: &["Files as a source", "Files as a sink", "Parquet"],
        required: &[("path", "in")],
    },
    Documented {
        connector: "json",
        page: "docs/connectors/files.md",
        sections: &["Files as a source", "Files as a sink", "JSON and CSV", "JSON"],
        required: &[("path", "in")],
    },
    Documented {
        connector: "csv",
        page: "docs/connectors/files.md",
        sections: &["Files as a source", "Files as a sink", "JSON and CSV", "CSV"],
        required: &[("path", "in")],
    },
    Documented {
        connector: "text",
        page: "docs/connectors/files.md",
        sections: &["Files as a source", "Files as a sink", "Text"],
        required: &[("path", "in")],
    },
    Documented {
        connector: "kafka",
        page: "docs/connectors/kafka.md",
        sections: &["Kafka as a source", "Kafka as a sink"],
        required: KAFKA,
    },
    Documented { connector: "rate", page: "docs/connectors/rate.md", sections: &["rate"], required: &[] },
    Documented {
        connector: "rate-micro-batch",
        page: "docs/connectors/rate.md",
        sections: &["rate-micro-batch"],
        required: &[("rowsPerBatch", "1")],
    },
    Documented {
        connector: "socket",
        page: "docs/connectors/socket.md",
        sections: &["socket"],
        required: &[("host", "127.0.0.1"), ("port", "1")],
    },
    Documented { connector: "console", page: "docs/connectors/console.md", sections: &["console"], required: &[] },
    Documented {
        connector: "memory",
        page: "docs/connectors/memory.md",
        sections: &["memory as a sink"],
        required: &[],
    },
    Documented { connector: "noop", page: "docs/connectors/memory.md", sections: &["noop"], required: &[] },
];

/// Accepted, and of no use to anyone but the engine itself or tests.
const INTERNAL: &[&str] = &["millstream.kafka.run", "id"];

#[tokio::test]
async fn the_tables_have_the_options_that_connectors_accept() -> TestResult {
    let mut registry = Registry::new();
    millstream::connectors::register_all(&mut registry);
    let candidates = candidates()?;
    let pages = pages()?;
    for documented in CONNECTORS {
        let page = page(&pages, documented.page)?;
        let in_book: BTreeSet<String> =
            documented.sections.iter().flat_map(|section| page.table_names(section, "option")).collect();
        let mut accepted = BTreeSet::new();
        for name in candidates.iter().chain(&in_book) {
            if is_known(&registry, documented, name).await? {
                accepted.insert(name.clone());
            }
        }
        let in_book: BTreeSet<String> = in_book.into_iter().filter(|name| !name.ends_with('*')).collect();
        let known = |name: &&String| !in_book.iter().any(|known| known.eq_ignore_ascii_case(name));
        let missing: Vec<_> = accepted
            .iter()
            .filter(known)
            .filter(|name| !INTERNAL.contains(&name.as_str()) && !is_client(name))
            .collect();
        assert_eq!(
            missing,
            Vec::<&String>::new(),
            "{} accepts them, {} does not name them",
            documented.connector,
            page.path
        );
        let invented: Vec<_> = in_book.difference(&accepted).collect();
        assert_eq!(invented, Vec::<&String>::new(), "{} names them, {} refuses them", page.path, documented.connector);
    }
    Ok(())
}

#[test]
fn every_connector_has_its_options_in_the_book() {
    let mut registry = Registry::new();
    millstream::connectors::register_all(&mut registry);
    let names: BTreeSet<&str> = registry.source_names().chain(registry.sink_names()).collect();
    let documented: BTreeSet<&str> = CONNECTORS.iter().map(|documented| documented.connector).collect();
    // Known by name only to be refused with a better message.
    let refused = BTreeSet::from(["avro", "orc", "xml"]);
    assert_eq!(names.difference(&refused).copied().collect::<BTreeSet<_>>(), documented);
}

#[test]
fn the_configuration_keys_are_those_that_have_an_effect() -> TestResult {
    let pages = pages()?;
    let in_book = page(&pages, "docs/operations.md")?.table_names("Configuration", "key");
    let in_book: BTreeSet<&str> = in_book.iter().map(String::as_str).collect();
    let there: BTreeSet<&str> = conf::KEYS.iter().map(|key| key.name).collect();
    assert_eq!(in_book, there);
    Ok(())
}

fn page<'a>(pages: &'a [Page], path: &str) -> TestResult<&'a Page> {
    Ok(pages.iter().find(|page| page.path == path).ok_or_else(|| format!("there is no {path}"))?)
}

/// Options of Kafka's client, of which there are hundreds.
fn is_client(name: &str) -> bool {
    name.to_lowercase().starts_with("kafka.")
}

/// Whether source and sink of a connector, as far as it has them, both take an option for one: a table has one list.
async fn is_known(registry: &Registry, documented: &Documented, name: &str) -> TestResult<bool> {
    let is_given = documented.required.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    let mut options: Options = documented.required.iter().copied().collect();
    if !is_given {
        options.set(name, "?");
    }
    let is_unknown = |error: &millstream::Error| {
        error.message().contains(&format!("unknown option '{name}'")) || error.message().contains("is not allowed in")
    };
    let mut known = true;
    if registry.has_source(documented.connector) && documented.connector != "memory" {
        let provider = registry.source(documented.connector)?;
        let schema = match documented.connector {
            "json" | "csv" | "parquet" => Some(Arc::new(Schema::empty())),
            _ => None,
        };
        let answer = provider.schema(schema, &options, true, &Options::new()).await;
        known &= !answer.is_err_and(|error| is_unknown(&error));
    }
    if registry.has_sink(documented.connector) {
        let spec = SinkSpec {
            connector: documented.connector.to_string(),
            options,
            schema: Arc::new(Schema::empty()),
            partition_by: Vec::new(),
            output_mode: OutputMode::Append,
            query_name: Some("q".to_string()),
        };
        known &= !registry.sink(documented.connector)?.check(&spec).is_err_and(|error| is_unknown(&error));
    }
    Ok(known)
}

/// Everything in our source that could be the name of an option: a string of letters and dots.
fn candidates() -> TestResult<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in ["connectors/src", "engine/src", "formats/src", "sql/src"] {
        literals(&repository().join(folder), &mut names)?;
    }
    Ok(names)
}

fn literals(folder: &Path, names: &mut BTreeSet<String>) -> TestResult {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            literals(&path, names)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            let is_name = |text: &&str| {
                (2..48).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
            };
            names.extend(text.split('"').filter(is_name).map(str::to_string));
        }
    }
    Ok(())
}

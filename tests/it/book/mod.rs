//! The book and the README: nothing in them that is not so. Their Rust code is compiled and run as doc tests of the
//! package `millstream` (`src/book.rs`).

mod joins;
mod links;
mod options;
mod python;
mod restarts;
mod shell;
mod sql;

use std::fs;

use millstream_tests::TestResult;
use millstream_tests::markdown::{pages, repository};

#[test]
fn every_block_of_code_is_of_a_kind_that_is_tested() -> TestResult {
    let doc_tests = fs::read_to_string(repository().join("src/book.rs"))?;
    for page in pages()? {
        for code in page.code() {
            let words: Vec<&str> = code.info.iter().map(String::as_str).collect();
            let is_tested = match words.as_slice() {
                ["rust"] | ["rust", "no_run"] => doc_tests.contains(&format!("\"../{}\"", page.path)),
                ["sql"] | ["sql", "update" | "complete" | "as_is"] | ["sh"] | ["python"] | ["json"] => true,
                // Output is compared with that of the block before it; other text is no code.
                ["text"] | ["text", "output"] | ["text", "error"] => true,
                _ => false,
            };
            assert!(is_tested, "{}: nothing tests a block of {words:?}", code.place);
            if words == ["json"] {
                serde_json::from_str::<serde_json::Value>(&code.text).map_err(|e| format!("{}: {e}", code.place))?;
            }
        }
    }
    Ok(())
}

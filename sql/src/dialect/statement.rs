//! What a person can write: the statements, with their places.

use sqlparser::ast;
use sqlparser::tokenizer::Location;

/// A statement of a script and where it begins.
#[derive(Clone, Debug)]
pub struct ParsedStatement {
    /// What it says.
    pub statement: Statement,
    /// Its first token.
    pub location: Location,
    /// Its text, without the semicolon.
    pub text: String,
}

/// Every statement there is.
#[derive(Clone, Debug)]
pub enum Statement {
    /// `CREATE TABLE`: a connector's table, to read from or write to.
    CreateTable(CreateTable),
    /// `CREATE VIEW`: a name for a query.
    CreateView(CreateView),
    /// `CREATE STREAMING TABLE … AS`: a table, and the streaming query that fills it.
    CreateStreamingTable {
        /// The table and the options of connector and writer.
        table: CreateTable,
        /// What fills it.
        query: SqlQuery,
    },
    /// `INSERT INTO`: rows, or a stream of them, into a declared table.
    Insert {
        /// The table written to.
        table: Name,
        /// The columns named, empty for all in order.
        columns: Vec<String>,
        /// Where the rows come from; `VALUES` is a query too.
        query: SqlQuery,
    },
    /// `SHOW STREAMS`.
    ShowStreams,
    /// `SHOW TABLES`.
    ShowTables,
    /// `DESCRIBE STREAM q`.
    DescribeStream(Name),
    /// `DESCRIBE [TABLE] [EXTENDED] t`.
    DescribeTable(Name),
    /// `STOP STREAM q`.
    StopStream(Name),
    /// `AWAIT STREAM q ['timeout']`.
    AwaitStream {
        /// The query waited for.
        name: Name,
        /// How long at most, as an interval such as `10 seconds`.
        timeout: Option<String>,
    },
    /// `EXPLAIN [EXTENDED | STREAM] query`.
    Explain {
        /// All the plans instead of the physical one.
        extended: bool,
        /// The plan that a streaming query would run.
        stream: bool,
        /// What is explained.
        query: SqlQuery,
    },
    /// `SET key = value`, `SET key` and `SET`.
    Set {
        /// The key; none to list all.
        key: Option<String>,
        /// The value; none to show the key's.
        value: Option<String>,
    },
    /// `RESET key` and `RESET`.
    Reset {
        /// The key; none for all.
        key: Option<String>,
    },
    /// `DROP TABLE | VIEW | STREAM`.
    Drop {
        /// What kind of thing.
        kind: DropKind,
        /// Whether a missing one is no error.
        if_exists: bool,
        /// Which.
        name: Name,
    },
    /// A query.
    Query(SqlQuery),
}

/// What `DROP` drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropKind {
    /// A table.
    Table,
    /// A view.
    View,
    /// A streaming query and its table.
    Stream,
}

/// A table's declaration.
#[derive(Clone, Debug)]
pub struct CreateTable {
    /// Its name.
    pub name: Name,
    /// Whether an existing one is no error.
    pub if_not_exists: bool,
    /// The columns as a DDL string (`k STRING, v BIGINT`), if they are given.
    pub columns: Option<String>,
    /// `USING`: the connector.
    pub connector: Option<String>,
    /// `PARTITIONED BY`.
    pub partitioned_by: Vec<String>,
    /// `OPTIONS`, in the order and case written.
    pub options: Vec<(String, String)>,
    /// `COMMENT`.
    pub comment: Option<String>,
}

/// A view's declaration.
#[derive(Clone, Debug)]
pub struct CreateView {
    /// Its name.
    pub name: Name,
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// `TEMPORARY`.
    pub temporary: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Names for the query's columns, empty for its own.
    pub columns: Vec<String>,
    /// What it stands for.
    pub query: SqlQuery,
}

/// The name of a table, view or stream, with its qualifiers.
#[derive(Clone, Debug)]
pub struct Name {
    /// `catalog`, `schema`, `table`, as far as written.
    pub parts: Vec<String>,
    /// Where it stands.
    pub location: Location,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.parts.join("."))
    }
}

/// A query, parsed.
#[derive(Clone, Debug)]
pub struct SqlQuery {
    /// The tree, with our clauses in the places that `relations.rs` describes.
    pub(crate) ast: Box<ast::Query>,
    /// Its text.
    pub text: String,
    /// Its first token.
    pub location: Location,
}

//! The options of the file source, which are Spark's, checked.

use globset::GlobMatcher;
use millstream_engine::options::{OptionReader, Options};
use millstream_engine::source::{ReadLimit, StaticRefresh};
use millstream_engine::{Error, Result};

use super::format::{Format, FormatOptions, session_zone};
use super::glob::{self, Glob};
use super::location::Location;

/// Options that only a sink looks at: a table may be read and written, so the source knows them too.
pub(super) const SINK_OPTIONS: &[&str] = &["compression", "retention", "maxRecordsPerFile"];

/// Options that only a source looks at: a table may be read and written, so the sink knows them too.
pub(super) const SOURCE_OPTIONS: &[&str] = &[
    "maxFilesPerTrigger",
    "maxBytesPerTrigger",
    "latestFirst",
    "fileNameOnly",
    "maxFileAge",
    "cleanSource",
    "sourceArchiveDir",
    "maxCachedFiles",
    "discardCachedInputRatio",
    "recursiveFileLookup",
    "pathGlobFilter",
    "basePath",
    "ignoreMissingFiles",
    "mergeSchema",
    StaticRefresh::OPTION,
];

/// What a file source was told.
#[derive(Clone, Debug)]
pub(super) struct FileSourceOptions {
    /// The folder, file or pattern.
    pub(super) location: Location,
    /// Which files of it, and what their folders mean.
    pub(super) lookup: Lookup,
    /// How much a batch takes.
    pub(super) limit: ReadLimit,
    /// Newest files first.
    pub(super) latest_first: bool,
    /// Files of one name are one file, whatever their folder.
    pub(super) file_name_only: bool,
    /// How much older than the newest a file may be to be noticed; `None` is any age.
    pub(super) max_age_ms: Option<i64>,
    /// What becomes of files that have been read.
    pub(super) clean: Clean,
    /// The most files of a listing that are kept for later batches.
    pub(super) max_cached_files: usize,
    /// A remainder smaller than this share of a batch is not kept.
    pub(super) discard_ratio: f64,
    /// Files that are gone when they are read are passed over.
    pub(super) ignore_missing: bool,
    /// Inference looks at every file, not only the first.
    pub(super) merge_schema: bool,
    /// How many tasks read a batch.
    pub(super) tasks: usize,
    /// How rows are written in the files.
    pub(super) format: FormatOptions,
}

/// Which files count.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    /// Folders below are looked through too, and their names mean nothing.
    pub(super) recursive: bool,
    /// The names that count.
    pub(super) filter: Option<GlobMatcher>,
    /// Where partition folders start.
    pub(super) base_path: Option<String>,
    /// Files count whether or not `_spark_metadata` lists them.
    pub(super) ignore_manifest: bool,
}

/// What becomes of a file when the batch that read it is done.
#[derive(Clone, Debug)]
pub(super) enum Clean {
    /// It stays.
    Off,
    /// It is removed.
    Delete,
    /// It is moved below this folder.
    Archive(Location),
}

impl FileSourceOptions {
    /// Takes them from `options`; `conf` has the session's configuration.
    pub(super) fn parse(format: Format, options: &Options, conf: &Options) -> Result<Self> {
        let mut reader = options.reader(format!("{} source", format.name()));
        let path = reader.required("path", "the folder of the files, or a pattern")?;
        let location = Location::parse(&path)?;
        refuse_modified_filters(options)?;
        let latest_first = reader.flag("latestFirst", false)?;
        let limit = limit(&mut reader, options)?;
        let max_age_ms = max_age_ms(&mut reader, latest_first && limit != ReadLimit::AllAvailable)?;
        let parsed = Self {
            lookup: Lookup::parse(&mut reader, conf)?,
            limit,
            latest_first,
            file_name_only: reader.flag("fileNameOnly", false)?,
            max_age_ms,
            clean: clean(&mut reader, &location)?,
            max_cached_files: reader.parsed("maxCachedFiles", 10_000, "a whole number of files, 0 or more")?,
            discard_ratio: discard_ratio(&mut reader)?,
            ignore_missing: ignore_missing(&mut reader, conf)?,
            merge_schema: merge_schema(format, &mut reader)?,
            tasks: tasks(conf)?,
            format: FormatOptions::parse(format, &mut reader, options, session_zone(conf)?)?,
            location,
        };
        reader.also_known(SINK_OPTIONS);
        reader.also_known(&[StaticRefresh::OPTION]);
        StaticRefresh::of_options(options)?;
        reader.finish()?;
        Ok(parsed)
    }
}

impl Lookup {
    fn parse(reader: &mut OptionReader<'_>, conf: &Options) -> Result<Self> {
        let filter = reader.text("pathGlobFilter").map(|text| glob::pattern(&text)).transpose()?;
        let base_path = reader.text("basePath").map(|text| Location::parse(&text)).transpose()?;
        let mut conf = conf.reader("configuration");
        Ok(Self {
            recursive: reader.flag("recursiveFileLookup", false)?,
            filter,
            base_path: base_path.map(|location| location.path),
            ignore_manifest: conf.flag("spark.sql.streaming.fileStreamSink.ignoreMetadata", false)?,
        })
    }
}

/// Milliseconds of a time such as `7d`, `12h`, `30 minutes`, `500ms`; a bare number is milliseconds, as in Spark.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit_ms = match text[digits..].trim() {
        "" | "ms" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "second" | "seconds" => 1000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "w" | "week" | "weeks" => 604_800_000,
        _ => return None,
    };
    number.checked_mul(unit_ms)
}

fn refuse_modified_filters(options: &Options) -> Result<()> {
    for name in ["modifiedBefore", "modifiedAfter"] {
        if options.get(name).is_some() {
            return Err(Error::invalid(format!(
                "option '{}' is not allowed in file stream sources: a stream takes every file once; use pathGlobFilter or maxFileAge",
                name.to_lowercase()
            )));
        }
    }
    Ok(())
}

fn limit(reader: &mut OptionReader<'_>, options: &Options) -> Result<ReadLimit> {
    let max_files = reader.positive("maxFilesPerTrigger")?;
    let max_bytes = reader.positive("maxBytesPerTrigger")?;
    match (max_files, max_bytes) {
        (Some(_), Some(_)) => Err(Error::invalid(format!(
            "options 'maxFilesPerTrigger' ({}) and 'maxBytesPerTrigger' ({}) can't be both set at the same time: leave one out",
            options.get("maxFilesPerTrigger").unwrap_or_default(),
            options.get("maxBytesPerTrigger").unwrap_or_default()
        ))),
        (Some(files), None) => Ok(ReadLimit::MaxFiles(files)),
        (None, Some(bytes)) => Ok(ReadLimit::MaxBytes(bytes)),
        (None, None) => Ok(ReadLimit::AllAvailable),
    }
}

/// `maxFileAge`. Whoever reads the newest files first, some a batch, gets to the old ones last: then no age is too old.
fn max_age_ms(reader: &mut OptionReader<'_>, any_age: bool) -> Result<Option<i64>> {
    let age_ms = match reader.text("maxFileAge") {
        None => 7 * 86_400_000,
        Some(text) => {
            milliseconds(&text).ok_or_else(|| reader.bad_value("maxFileAge", &text, "a time such as '7d' or '12h'"))?
        }
    };
    Ok(if any_age { None } else { i64::try_from(age_ms).ok() })
}

fn discard_ratio(reader: &mut OptionReader<'_>) -> Result<f64> {
    let expected = "a number from 0 to 1";
    let ratio = reader.parsed("discardCachedInputRatio", 0.2, expected)?;
    match (0.0..=1.0).contains(&ratio) {
        true => Ok(ratio),
        false => Err(reader.bad_value("discardCachedInputRatio", &ratio.to_string(), expected)),
    }
}

fn ignore_missing(reader: &mut OptionReader<'_>, conf: &Options) -> Result<bool> {
    let default = conf.reader("configuration").flag("spark.sql.files.ignoreMissingFiles", false)?;
    reader.flag("ignoreMissingFiles", default)
}

/// `mergeSchema`, which only parquet files have: what is inferred from text is of all files that are looked at.
fn merge_schema(format: Format, reader: &mut OptionReader<'_>) -> Result<bool> {
    match format {
        Format::Parquet => reader.flag("mergeSchema", false),
        Format::Csv | Format::Json | Format::Text => Ok(false),
    }
}

/// As many as the plan has partitions for the rows of a stream.
fn tasks(conf: &Options) -> Result<usize> {
    let configured = conf.reader("configuration").positive("millstream.source.partitions")?;
    Ok(configured.and_then(|tasks| usize::try_from(tasks).ok()).unwrap_or_else(crate::rows::default_parallelism))
}

fn clean(reader: &mut OptionReader<'_>, source: &Location) -> Result<Clean> {
    let archive = reader.text("sourceArchiveDir");
    let mode = reader.text("cleanSource").unwrap_or_else(|| "off".to_string());
    match mode.trim().to_ascii_lowercase().as_str() {
        "off" => Ok(Clean::Off),
        "delete" => Ok(Clean::Delete),
        "archive" => archive_folder(archive, source).map(Clean::Archive),
        _ => Err(reader.bad_value("cleanSource", &mode, "archive, delete or off")),
    }
}

fn archive_folder(archive: Option<String>, source: &Location) -> Result<Location> {
    let archive = archive.ok_or_else(|| {
        Error::invalid(
            "option 'sourceArchiveDir' is missing: with cleanSource 'archive', set it to the folder files move to",
        )
    })?;
    let archive = Location::parse(&archive)?;
    if !archive.store.is_same(&source.store) {
        return Err(Error::invalid(format!(
            "option 'sourceArchiveDir' is {}: it must be on the same file system as the source, {}",
            archive.display(),
            source.display()
        )));
    }
    let pattern = source.glob()?.unwrap_or_else(|| Glob::plain(&source.path));
    if pattern.overlaps(&archive.path) {
        return Err(Error::invalid(format!(
            "option 'sourceArchiveDir' is {}: archived files would match the source {} and be read again; choose a folder outside",
            archive.display(),
            source.display()
        )));
    }
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<FileSourceOptions> {
        let options: Options = [("path", "/data/in")].iter().chain(pairs).copied().collect();
        FileSourceOptions::parse(Format::Json, &options, &Options::new())
    }

    #[test]
    fn each_bad_value_is_refused_with_what_would_do() {
        for (pairs, expected) in [
            (vec![("maxFilesPerTrigger", "0")], "'maxFilesPerTrigger' is '0', expected a positive whole number"),
            (vec![("maxBytesPerTrigger", "x")], "'maxBytesPerTrigger' is 'x', expected a positive whole number"),
            (vec![("maxFilesPerTrigger", "1"), ("maxBytesPerTrigger", "1")], "can't be both set"),
            (vec![("latestFirst", "maybe")], "'latestFirst' is 'maybe', expected true or false"),
            (vec![("maxFileAge", "old")], "'maxFileAge' is 'old'"),
            (
                vec![("discardCachedInputRatio", "1.5")],
                "'discardCachedInputRatio' is '1.5', expected a number from 0 to 1",
            ),
            (vec![("cleanSource", "burn")], "'cleanSource' is 'burn', expected archive, delete or off"),
            (vec![("cleanSource", "archive")], "'sourceArchiveDir' is missing"),
            (vec![("cleanSource", "archive"), ("sourceArchiveDir", "/data/in/old")], "would match the source"),
            (vec![("cleanSource", "archive"), ("sourceArchiveDir", "memory://x/old")], "same file system"),
            (
                vec![("modifiedAfter", "2024-01-01T00:00:00")],
                "option 'modifiedafter' is not allowed in file stream sources",
            ),
            (
                vec![("maxFilePerTrigger", "1")],
                "unknown option 'maxFilePerTrigger'; did you mean 'maxFilesPerTrigger'?",
            ),
        ] {
            let error = parse(&pairs).expect_err("a bad value was accepted");
            assert!(error.message().contains(expected), "{pairs:?}: {error}");
        }
    }

    #[test]
    fn good_values_are_taken_in_any_case_of_their_name() -> Result<()> {
        let options = parse(&[("MAXFILESPERTRIGGER", "3"), ("latestFirst", "TRUE"), ("maxFileAge", "1h")])?;
        assert_eq!((options.limit, options.latest_first, options.max_age_ms), (ReadLimit::MaxFiles(3), true, None));
        let options = parse(&[("maxFileAge", "1h"), ("cleanSource", "archive"), ("sourceArchiveDir", "/old")])?;
        assert_eq!(options.max_age_ms, Some(3_600_000));
        assert!(matches!(options.clean, Clean::Archive(folder) if folder.path == "/old"));
        Ok(())
    }
}

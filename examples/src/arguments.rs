//! What an example is told: `--folder DIR`, `--duration 20s`, and words without a name.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::Result;

/// The value of `--name VALUE`.
pub(crate) fn value(name: &str) -> Result<Option<String>> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    let is_given = std::env::args().any(|argument| argument == name);
    match arguments.next().filter(|value| !value.starts_with("--")) {
        None if is_given => Err(format!("{name} needs a value after it").into()),
        value => Ok(value),
    }
}

/// The first argument after the example's name, where it is no option.
pub(crate) fn first() -> Option<String> {
    std::env::args().nth(2).filter(|argument| !argument.starts_with("--"))
}

/// `--duration`: `20s`, `5m`, `1h`; for ever without it.
pub(crate) fn duration() -> Result<Duration> {
    let Some(text) = value("--duration")? else { return Ok(Duration::MAX) };
    let bad = || format!("--duration is '{text}', expected a time such as 20s, 5m or 1h");
    let number = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let unit_seconds = match &text[number.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(bad().into()),
    };
    Ok(Duration::from_secs(number.parse::<u32>().map_err(|_| bad())?.into()) * unit_seconds)
}

/// Where an example has its input, output and checkpoint: the folder of `--folder`, which stays, or one that is removed in
/// the end.
pub(crate) struct Folder {
    path: PathBuf,
    _temporary: Option<TempDir>,
}

impl Folder {
    /// The folder of `--folder`, or a new one.
    pub(crate) fn of_arguments() -> Result<Self> {
        if let Some(path) = value("--folder")? {
            fs::create_dir_all(&path)?;
            return Ok(Self { path: fs::canonicalize(path)?, _temporary: None });
        }
        let temporary = tempfile::Builder::new().prefix("millstream-").tempdir()?;
        Ok(Self { path: temporary.path().to_path_buf(), _temporary: Some(temporary) })
    }

    /// The path of a file or folder in it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    /// Writes the files `name/1.json`, `name/2.json` …, one for each text. What is there from an earlier run stays.
    pub(crate) fn write_files<T: AsRef<str>>(&self, name: &str, texts: impl IntoIterator<Item = T>) -> Result<()> {
        self.write_files_from(name, 1, texts)
    }

    /// As [`write_files`](Self::write_files), the first file with the number `first`.
    pub(crate) fn write_files_from<T: AsRef<str>>(
        &self,
        name: &str,
        first: usize,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        let folder = self.path.join(name);
        fs::create_dir_all(&folder)?;
        for (number, text) in (first..).zip(texts) {
            write_whole(&folder, &format!("{number:04}.json"), text.as_ref())?;
        }
        Ok(())
    }
}

/// Writes a file that nobody sees before it is whole, as a source of files asks for.
fn write_whole(folder: &Path, name: &str, text: &str) -> Result<()> {
    let (path, making) = (folder.join(name), folder.join(format!(".{name}.making")));
    if !path.exists() {
        fs::write(&making, text)?;
        fs::rename(&making, &path)?;
    }
    Ok(())
}

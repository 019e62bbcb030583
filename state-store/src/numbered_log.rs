//! Files named 0, 1, 2 …, each created once: what the engine's logs of offsets and commits stand on.

use bytes::Bytes;

use crate::error::Result;
use crate::place::Place;

/// Files named by plain decimal numbers in one [`Place`], each created once.
///
/// Other names in the folder (hidden files, `7.compact`, `007`) belong to others and are ignored.
#[derive(Clone, Debug)]
pub struct NumberedLog {
    place: Place,
}

impl NumberedLog {
    /// The log in `place`, which is created with the first file.
    pub fn new(place: Place) -> Self {
        Self { place }
    }

    /// The folder of the log.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Creates file `number`, durably. As [`Place::create`], it is fine when the same bytes are there already, and
    /// [`ErrorKind::Fenced`](crate::ErrorKind::Fenced) when others are.
    pub async fn create(&self, number: u64, bytes: impl Into<Bytes>) -> Result<()> {
        self.place.create(&number.to_string(), bytes.into()).await
    }

    /// The bytes of file `number`; `None` when there is none.
    pub async fn read(&self, number: u64) -> Result<Option<Bytes>> {
        self.place.read(&number.to_string()).await
    }

    /// The numbers that have a file, ascending.
    pub async fn numbers(&self) -> Result<Vec<u64>> {
        let entries = self.place.list().await?;
        let mut numbers: Vec<u64> = entries.iter().filter_map(|entry| parse_number(&entry.name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The highest number that has a file.
    pub async fn latest(&self) -> Result<Option<u64>> {
        Ok(self.numbers().await?.last().copied())
    }

    /// Removes the files with numbers below `number`, oldest first, so that a crash in the middle leaves no gap.
    pub async fn remove_below(&self, number: u64) -> Result<()> {
        for old in self.numbers().await?.into_iter().take_while(|old| *old < number) {
            self.place.delete(&old.to_string()).await?;
        }
        Ok(())
    }
}

/// The number that `name` is the plain decimal form of.
fn parse_number(name: &str) -> Option<u64> {
    let number: u64 = name.parse().ok()?;
    (number.to_string() == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_plain_numbers_belong_to_the_log() -> Result<()> {
        let place = Place::open("memory://numbered-log/only-plain-numbers", &[])?;
        let log = NumberedLog::new(place.clone());
        assert_eq!(log.latest().await?, None, "a missing folder is an empty log");
        for number in [9, 10, 0, 100] {
            log.create(number, number.to_string()).await?;
        }
        for other in ["7.compact", "007", "+5", "x", "99999999999999999999999"] {
            place.create(other, Bytes::from_static(b"other")).await?;
        }
        assert_eq!(log.numbers().await?, [0, 9, 10, 100]);
        assert_eq!(log.read(10).await?, Some(Bytes::from_static(b"10")));
        assert_eq!(log.read(11).await?, None);
        log.remove_below(10).await?;
        assert_eq!(log.numbers().await?, [10, 100]);
        assert_eq!(log.latest().await?, Some(100));
        Ok(())
    }
}

//! Which rows and which stored sessions are one session.
//!
//! A row is the interval from its time to its time and gap; intervals of one key that overlap or touch are one session, from
//! the earliest start to the latest end. Nothing here depends on how rows were cut into batches: merging what was merged
//! before with new rows gives the same sessions as merging everything at once.

/// No session.
const NONE: usize = usize::MAX;

/// A session that is in the store, or has become of rows and stored ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// The number of its key.
    pub(super) key: u32,
    pub(super) start: i64,
    pub(super) end: i64,
}

/// The rows of a batch, in the order of arrival.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowTimes<'a> {
    /// The number of each row's key.
    pub(super) keys: &'a [usize],
    pub(super) starts: &'a [i64],
    pub(super) ends: &'a [i64],
}

/// The sessions that rows of the batch belong to.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// In the order of their keys' numbers, then of their starts.
    pub(super) sessions: Vec<Session>,
    /// For each row the number of its session.
    pub(super) of_rows: Vec<usize>,
    of_stored: Vec<usize>,
}

impl Merged {
    /// The session that a stored one has become part of; `None` where the batch does not touch it.
    pub(super) fn of_stored(&self, stored: usize) -> Option<usize> {
        Some(self.of_stored[stored]).filter(|session| *session != NONE)
    }
}

/// The sessions of `rows` and of `stored` ones that they touch. Keys are numbered below `keys`; stored sessions are in the
/// order of their keys' numbers, then of their starts, and do not touch each other.
pub(super) fn merge(keys: usize, rows: RowTimes<'_>, stored: &[Session]) -> Merged {
    debug_assert!(stored.is_sorted_by_key(|session| (session.key, session.start)));
    let (order, offsets) = in_order(keys, rows);
    let mut merging = Merging {
        rows,
        stored,
        open: None,
        waiting: Vec::new(),
        merged: Merged {
            sessions: Vec::new(),
            of_rows: vec![NONE; rows.keys.len()],
            of_stored: vec![NONE; stored.len()],
        },
    };
    let mut next = 0;
    for key in 0..keys {
        let from = next;
        while stored.get(next).is_some_and(|session| session.key as usize == key) {
            next += 1;
        }
        merging.key(key as u32, &order[offsets[key]..offsets[key + 1]], from..next);
    }
    merging.merged
}

/// The rows in the order of their keys, then of their starts, then of arrival; and where each key's rows begin.
fn in_order(keys: usize, rows: RowTimes<'_>) -> (Vec<u32>, Vec<usize>) {
    let mut offsets = vec![0; keys + 1];
    for key in rows.keys {
        offsets[key + 1] += 1;
    }
    for key in 0..keys {
        offsets[key + 1] += offsets[key];
    }
    let mut next = offsets.clone();
    let mut order = vec![0u32; rows.keys.len()];
    for (row, key) in (0u32..).zip(rows.keys) {
        order[next[*key]] = row;
        next[*key] += 1;
    }
    for key in 0..keys {
        let of_key = &mut order[offsets[key]..offsets[key + 1]];
        let start = |row: &u32| rows.starts[*row as usize];
        if !of_key.is_sorted_by_key(start) {
            of_key.sort_unstable_by_key(|row| (start(row), *row));
        }
    }
    (order, offsets)
}

/// A session that may still grow.
struct Open {
    start: i64,
    end: i64,
    has_rows: bool,
}

struct Merging<'a> {
    rows: RowTimes<'a>,
    stored: &'a [Session],
    open: Option<Open>,
    /// The stored sessions in the open one.
    waiting: Vec<usize>,
    merged: Merged,
}

impl Merging<'_> {
    fn key(&mut self, key: u32, rows: &[u32], stored: std::ops::Range<usize>) {
        let (mut rows, mut stored) = (rows.iter().map(|row| *row as usize).peekable(), stored.peekable());
        loop {
            let row_start = rows.peek().map(|row| self.rows.starts[*row]);
            let stored_start = stored.peek().map(|at| self.stored[*at].start);
            let take_stored = match (row_start, stored_start) {
                (None, None) => break,
                (Some(row), Some(stored)) => stored <= row,
                (None, Some(_)) => true,
                (Some(_), None) => false,
            };
            if take_stored {
                let Some(at) = stored.next() else { break };
                let Session { start, end, .. } = self.stored[at];
                self.join(key, start, end);
                self.waiting.push(at);
            } else {
                let Some(row) = rows.next() else { break };
                self.join(key, self.rows.starts[row], self.rows.ends[row]);
                if let Some(open) = &mut self.open {
                    open.has_rows = true;
                }
                self.merged.of_rows[row] = self.merged.sessions.len();
            }
        }
        self.close(key);
    }

    fn join(&mut self, key: u32, start: i64, end: i64) {
        match &mut self.open {
            Some(open) if start <= open.end => open.end = open.end.max(end),
            _ => {
                self.close(key);
                self.open = Some(Open { start, end, has_rows: false });
            }
        }
    }

    fn close(&mut self, key: u32) {
        let Some(Open { start, end, has_rows }) = self.open.take() else { return };
        if has_rows {
            for stored in self.waiting.drain(..) {
                self.merged.of_stored[stored] = self.merged.sessions.len();
            }
            self.merged.sessions.push(Session { key, start, end });
        }
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored sessions, rows, then the sessions with rows and each row's and each stored session's number.
    type Case<'a> = (&'a [(i64, i64)], &'a [(i64, i64)], &'a [(i64, i64)], &'a [usize], &'a [Option<usize>]);

    #[test]
    fn rows_and_stored_sessions_that_touch_are_one() {
        let cases: &[Case<'_>] = &[
            (&[], &[(5, 10), (0, 5), (11, 12)], &[(0, 10), (11, 12)], &[0, 0, 1], &[]),
            (&[(0, 5), (9, 12)], &[(5, 9)], &[(0, 12)], &[0], &[Some(0), Some(0)]),
            (&[(0, 5), (9, 12)], &[(6, 8)], &[(6, 8)], &[0], &[None, None]),
            (&[(0, 5), (9, 12)], &[(12, 13), (20, 30)], &[(9, 13), (20, 30)], &[0, 1], &[None, Some(0)]),
            (&[(0, 100)], &[(3, 4), (90, 120)], &[(0, 120)], &[0, 0], &[Some(0)]),
            (&[(-9, -5)], &[(-20, -9)], &[(-20, -5)], &[0], &[Some(0)]),
            (&[(i64::MAX - 5, i64::MAX)], &[(i64::MAX, i64::MAX)], &[(i64::MAX - 5, i64::MAX)], &[0], &[Some(0)]),
        ];
        for (stored, rows, sessions, of_rows, of_stored) in cases {
            let of_key = |times: &[(i64, i64)], key: u32| -> Vec<Session> {
                times.iter().map(|(start, end)| Session { key, start: *start, end: *end }).collect()
            };
            // The same for two keys, whose sessions are apart.
            let all_stored = [of_key(stored, 0), of_key(stored, 1)].concat();
            let (starts, ends): (Vec<i64>, Vec<i64>) = [*rows, *rows].concat().into_iter().unzip();
            let keys = [vec![0; rows.len()], vec![1; rows.len()]].concat();
            let merged = merge(2, RowTimes { keys: &keys, starts: &starts, ends: &ends }, &all_stored);
            assert_eq!(merged.sessions, [of_key(sessions, 0), of_key(sessions, 1)].concat(), "{stored:?} and {rows:?}");
            let second = |number: &usize| number + sessions.len();
            assert_eq!(merged.of_rows[..rows.len()], **of_rows);
            assert_eq!(merged.of_rows[rows.len()..], of_rows.iter().map(second).collect::<Vec<_>>());
            let found: Vec<_> = (0..stored.len()).map(|at| merged.of_stored(at)).collect();
            assert_eq!(found, **of_stored, "{stored:?} and {rows:?}");
        }
    }
}

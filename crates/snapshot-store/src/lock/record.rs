//! What stands in a lock file: two records, one a sector, written by turns.
//!
//! A record is a line of text, filled up with blanks to 512 bytes. The one with the higher number
//! counts. A loss of power spoils at most the sector that was being written, and what was being
//! written had not been acted on; so the other record, or none, is the truth.

use weir_model::Attempt;

use super::Holder;

/// The size of a record: what a disk writes as a whole or not at all.
const RECORD_BYTES: usize = 512;

/// The size of a file with both.
pub(super) const FILE_BYTES: usize = 2 * RECORD_BYTES;

/// The most bytes of a machine's name that are kept; POSIX allows 255.
const HOST_BYTES: usize = 255;

/// What each record begins with: whose it is, and the version of its format.
const MAGIC: &str = "weir-lock 1";

const CHECKSUM: &str = " crc32c ";

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Counts the records of the file; 0 = none yet.
    pub(super) number: u64,
    /// The last attempt that was begun; 0 = none yet.
    pub(super) attempt: Attempt,
    /// Who has written it.
    pub(super) holder: Holder,
}

/// What is in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// No record was ever finished.
    Empty,
    /// The record that counts.
    Latest(Record),
    /// Something that no crash leaves.
    Damaged(&'static str),
}

impl Record {
    /// What an empty file stands for.
    pub(super) fn none() -> Self {
        Self {
            number: 0,
            attempt: Attempt(0),
            holder: Holder {
                pid: 0,
                host: "-".into(),
            },
        }
    }

    /// The record after this one.
    pub(super) fn next(&self, attempt: Attempt, holder: Holder) -> Self {
        Self {
            number: self.number.wrapping_add(1),
            attempt,
            holder,
        }
    }

    /// Where it goes, and its bytes.
    pub(super) fn encode(&self) -> (u64, Vec<u8>) {
        let Self {
            number,
            attempt,
            holder: Holder { pid, host },
        } = self;
        let fields = format!("{MAGIC} record {number} attempt {attempt} pid {pid} host {host}");
        let mut line = format!(
            "{fields}{CHECKSUM}{:08x}",
            crc32c::crc32c(fields.as_bytes())
        );
        let blanks = (RECORD_BYTES - 1).saturating_sub(line.len());
        line.extend(std::iter::repeat_n(' ', blanks));
        line.push('\n');
        // Records 1, 3, 5 … come first, so that a file grows from its beginning.
        let offset = if number % 2 == 1 {
            0
        } else {
            RECORD_BYTES as u64
        };
        (offset, line.into_bytes())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let (fields, checksum) = line.trim_end_matches(' ').rsplit_once(CHECKSUM)?;
        if u32::from_str_radix(checksum, 16).ok()? != crc32c::crc32c(fields.as_bytes()) {
            return None;
        }
        let rest = fields.strip_prefix(MAGIC)?.strip_prefix(" record ")?;
        let (number, rest) = rest.split_once(" attempt ")?;
        let (attempt, rest) = rest.split_once(" pid ")?;
        let (pid, host) = rest.split_once(" host ")?;
        Some(Self {
            number: number.parse().ok()?,
            attempt: Attempt(attempt.parse().ok()?),
            holder: Holder {
                pid: pid.parse().ok()?,
                host: host.to_owned(),
            },
        })
    }
}

/// What the bytes of a file say.
pub(super) fn read(bytes: &[u8]) -> Read {
    if bytes.len() > FILE_BYTES {
        return Read::Damaged("it is longer than any lock file");
    }
    let (mut latest, mut unreadable): (Option<Record>, u32) = (None, 0);
    for slot in bytes.chunks(RECORD_BYTES) {
        match Record::decode(slot) {
            Some(record) if latest.as_ref().is_none_or(|l| l.number < record.number) => {
                latest = Some(record);
            }
            Some(_) => {}
            // A file may have grown without what it should hold having come to disk.
            None if slot.iter().all(|&byte| byte == 0) => {}
            None => unreadable += 1,
        }
    }
    match latest {
        Some(record) => Read::Latest(record),
        // The first record of all was being written.
        None if unreadable == 0 || bytes.len() <= RECORD_BYTES && torn_first(bytes) => Read::Empty,
        None => Read::Damaged("no record in it can be read"),
    }
}

/// Whether this is what is left of a first record: it is ours, and nobody wrote anything else.
fn torn_first(bytes: &[u8]) -> bool {
    let written = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    let (written, rest) = bytes.split_at(written);
    let magic = MAGIC.as_bytes();
    let begins = written.starts_with(magic) || magic.starts_with(written);
    begins && (written.len() < RECORD_BYTES) && rest.iter().all(|&byte| byte == 0)
}

/// The name of a machine as one word of a record.
pub(super) fn word(name: &str) -> String {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    let mut word = String::new();
    for c in name.chars().map(|c| if odd(c) { '_' } else { c }) {
        if word.len() + c.len_utf8() > HOST_BYTES {
            break;
        }
        word.push(c);
    }
    if word.is_empty() { "-".into() } else { word }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(number: u64, attempt: u32) -> Record {
        let holder = Holder {
            pid: u32::MAX,
            host: "a.b".into(),
        };
        Record {
            number,
            attempt: Attempt(attempt),
            holder,
        }
    }

    /// A file in which records `1..=last` were written in turn, each of its own number of attempts.
    fn file(last: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 1..=last {
            write(&mut bytes, &record(number, number as u32));
        }
        bytes
    }

    fn write(bytes: &mut Vec<u8>, record: &Record) {
        let (offset, line) = record.encode();
        let offset = offset as usize;
        bytes.resize(bytes.len().max(offset + line.len()), 0);
        bytes[offset..offset + line.len()].copy_from_slice(&line);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in 1_u64.., attempt: u32, pid: u32, host: String) {
            let record = Record {
                number, attempt: Attempt(attempt), holder: Holder { pid, host: word(&host) },
            };
            let (offset, line) = record.encode();
            prop_assert_eq!(line.len(), RECORD_BYTES);
            prop_assert_eq!(offset as usize % RECORD_BYTES, 0);
            prop_assert_eq!(read(&line), Read::Latest(record));
        }

        #[test]
        fn a_write_cut_off_never_loses_the_number_before(last in 0_u64..6, cut in 0..RECORD_BYTES) {
            let before = file(last);
            let (offset, line) = record(last + 1, last as u32 + 1).encode();
            let mut torn = before.clone();
            let offset = offset as usize;
            torn.resize(torn.len().max(offset + cut), 0);
            torn[offset..offset + cut].copy_from_slice(&line[..cut]);
            match read(&torn) {
                Read::Empty => prop_assert_eq!(last, 0),
                // All but blanks may have been written, over blanks: then it is the new one.
                Read::Latest(record) => prop_assert!([last, last + 1].contains(&record.number)),
                Read::Damaged(why) => prop_assert!(false, "{}", why),
            }
        }

        #[test]
        fn no_bytes_are_taken_for_a_record(bytes in prop::collection::vec(any::<u8>(), 1..2000)) {
            prop_assume!(bytes.iter().any(|&b| b != 0));
            prop_assert!(!matches!(read(&bytes), Read::Latest(_)));
        }
    }

    #[test]
    fn one_spoilt_record_leaves_the_other_and_two_leave_none() {
        let mut bytes = file(5);
        bytes[40] ^= 1;
        assert_eq!(read(&bytes), Read::Latest(record(4, 4)));
        bytes[RECORD_BYTES + 40] ^= 1;
        assert!(matches!(read(&bytes), Read::Damaged(_)));
        let mut longer = file(5);
        longer.push(b'\n');
        assert!(matches!(read(&longer), Read::Damaged(_)));
        assert!(matches!(read(b"my notes"), Read::Damaged(_)));
    }
}

//! The file source as the engine drives it: discover, read, snapshot, restore.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use weir_formats::{TimeUnit, TimestampSelector};
use weir_model::{Attempt, MaxParallelism, Name, Parallelism, SubtaskIndex};
use weir_operator::{
    Failure, ReadStatus, SourceFactory, SourceReader, SourceRows, Split, TaskInfo,
};

use super::*;

mod sharing;

const CSV: FileFormat = FileFormat::Csv {
    header: true,
    delimiter: b',',
};

/// Rows with what makes csv hard: quotes, line breaks in quotes, CRLF, no line end at the end.
const HARD: &str = "id,text\r\n1,plain\r\n2,\"two\nlines, and a comma\"\r\n\r\n3,\"say \"\"hi\"\"\"\n4,\"a\r\nb\"\n5,last";
const HARD_ROWS: [&str; 5] = [
    "1,plain",
    "2,\"two\nlines, and a comma\"",
    "3,\"say \"\"hi\"\"\"",
    "4,\"a\r\nb\"",
    "5,last",
];

fn options(base: &Path, pattern: &str, format: FileFormat) -> FileSourceOptions {
    FileSourceOptions {
        source: Name::new("in").unwrap(),
        pattern: pattern.into(),
        base: base.into(),
        format,
        follow: false,
        on_error: OnBadRow::Fail,
        timestamp: None,
    }
}

fn task() -> TaskInfo {
    TaskInfo {
        job: Name::new("job").unwrap(),
        operator: Name::new("in").unwrap(),
        subtask: SubtaskIndex(0),
        parallelism: Parallelism::ONE,
        max_parallelism: MaxParallelism::new(128).unwrap(),
        attempt: Attempt(1),
    }
}

fn write(dir: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    let content = content.as_ref();
    let content = match path.extension().and_then(|e| e.to_str()) {
        Some("zst") => zstd::encode_all(content, 3).unwrap(),
        Some("gz") => gzip(content),
        _ => content.to_vec(),
    };
    fs::write(&path, content).unwrap();
    path
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn reader(options: &FileSourceOptions, split: Split) -> Result<Box<dyn SourceReader>, Failure> {
    let mut reader = FileSource::new(options.clone()).reader(&task())?;
    reader.add_split(split)?;
    Ok(reader)
}

fn only_split(options: &FileSourceOptions) -> Split {
    let mut found = FileSource::new(options.clone()).discover().unwrap().splits;
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Reads to the end (or until there is nothing more for now), `max_rows` at a time.
fn read_on(reader: &mut dyn SourceReader, max_rows: usize) -> Result<Vec<String>, Failure> {
    let mut rows = SourceRows::default();
    while reader.read(&mut rows, max_rows)? == ReadStatus::More {}
    Ok(texts(&rows))
}

fn texts(rows: &SourceRows) -> Vec<String> {
    rows.values
        .iter()
        .map(|row| String::from_utf8(row.to_vec()).unwrap())
        .collect()
}

/// All rows of the only file.
fn read_all(options: &FileSourceOptions) -> Result<Vec<String>, Failure> {
    read_on(&mut *reader(options, only_split(options))?, 4096)
}

#[test]
fn rows_are_raw_records_and_the_header_is_dropped() {
    let dir = TempDir::new().unwrap();
    for name in ["a.csv", "a.csv.zst", "a.csv.gz"] {
        let path = write(&dir, name, HARD);
        assert_eq!(
            read_all(&options(dir.path(), name, CSV)).unwrap(),
            HARD_ROWS,
            "{name}"
        );
        assert_eq!(header_of(&path, b',').unwrap(), ["id", "text"]);
    }
}

#[test]
fn a_restart_at_every_row_reads_every_row_once() {
    let dir = TempDir::new().unwrap();
    for name in ["a.csv", "a.csv.zst", "a.csv.gz"] {
        write(&dir, name, HARD);
        let options = options(dir.path(), name, CSV);
        for stop in 0..=HARD_ROWS.len() {
            let mut first = reader(&options, only_split(&options)).unwrap();
            let mut rows = SourceRows::default();
            if stop > 0 {
                assert_eq!(first.read(&mut rows, stop).unwrap(), ReadStatus::More);
            }
            let saved = first.snapshot().unwrap().remove(0);
            let saved = Split {
                position: serde_json::from_str(&saved.position.to_string()).unwrap(),
                ..saved
            };
            assert_eq!(saved.position["record"], stop);
            let mut second = reader(&options, saved).unwrap();
            let mut all = texts(&rows);
            all.extend(read_on(&mut *second, 1).unwrap());
            assert_eq!(all, HARD_ROWS, "{name} after {stop}");
        }
    }
}

proptest! {
    #[test]
    fn where_a_reader_stops_never_changes_what_is_read(
        fields in prop::collection::vec(("[a-c\" ,\n]{0,6}", "[a-c]{0,3}"), 1..30),
        stops in prop::collection::vec(1usize..4, 1..30),
        crlf: bool,
        encoding in 0..3usize,
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let records: Vec<_> = fields
            .iter()
            .map(|(a, b)| format!("\"{}\",{b}", a.replace('"', "\"\"")))
            .collect();
        let dir = TempDir::new().unwrap();
        let name = ["a", "a.zst", "a.gz"][encoding];
        write(&dir, name, records.join(end));
        let format = FileFormat::Csv { header: false, delimiter: b',' };
        let options = options(dir.path(), name, format);
        let mut split = only_split(&options);
        let (mut all, mut stops) = (Vec::new(), stops.iter().cycle());
        loop {
            let mut reader = reader(&options, split).unwrap();
            let mut rows = SourceRows::default();
            let status = reader.read(&mut rows, *stops.next().unwrap()).unwrap();
            all.extend(texts(&rows));
            if status != ReadStatus::More {
                break;
            }
            split = reader.snapshot().unwrap().remove(0);
        }
        prop_assert_eq!(all, records);
    }
}

#[test]
fn frames_and_members_are_read_one_after_the_other() {
    let dir = TempDir::new().unwrap();
    let parts: [&[u8]; 3] = [b"a\nb", b"c\n", b"d\n"];
    let zstd: Vec<u8> = parts
        .iter()
        .flat_map(|p| zstd::encode_all(*p, 1).unwrap())
        .collect();
    fs::write(dir.path().join("x.zst"), zstd).unwrap();
    fs::write(
        dir.path().join("x.gz"),
        parts.iter().flat_map(|p| gzip(p)).collect::<Vec<_>>(),
    )
    .unwrap();
    for name in ["x.zst", "x.gz"] {
        let rows = read_all(&options(dir.path(), name, FileFormat::Lines)).unwrap();
        assert_eq!(rows, ["a", "bc", "d"], "{name}");
    }
}

#[test]
fn a_cut_off_compressed_file_is_named_with_the_offset() {
    let dir = TempDir::new().unwrap();
    let lines: String = (0..20_000)
        .map(|i| format!("line {}\n", i * 7919 % 20_000))
        .collect();
    for name in ["x.zst", "x.gz"] {
        let path = write(&dir, name, &lines);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = read_all(&options(dir.path(), name, FileFormat::Lines)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(name) && text.contains("at byte "), "{text}");
    }
}

#[test]
fn a_file_that_is_not_the_same_is_refused_on_restore() {
    let dir = TempDir::new().unwrap();
    let long: String = (0..2000).map(|i| format!("{i}\n")).collect();
    let path = write(&dir, "x", &long);
    let options = options(dir.path(), "x", FileFormat::Lines);
    let mut first = reader(&options, only_split(&options)).unwrap();
    first.read(&mut SourceRows::default(), 1900).unwrap();
    let saved = first.snapshot().unwrap().remove(0);
    let restore = || reader(&options, saved.clone()).err().unwrap();

    fs::write(&path, long.replacen('0', "9", 1)).unwrap();
    assert!(matches!(restore(), Failure::Restore { message } if message.contains("x has changed")));
    fs::write(&path, &long[..5000]).unwrap();
    assert!(matches!(restore(), Failure::Restore { message } if message.contains("shorter: 5000")));
    fs::write(&path, &long[..100]).unwrap();
    assert!(matches!(restore(), Failure::Restore { message } if message.contains("shorter: 100")));
    fs::write(&path, format!("{long}more\n")).unwrap();
    let rows = read_on(&mut *reader(&options, saved.clone()).unwrap(), 4096).unwrap();
    assert_eq!(rows.first().unwrap(), "1900");
    assert_eq!(rows.last().unwrap(), "more");
}

#[test]
fn a_compressed_file_that_ends_before_the_position_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "x.gz", "a\nb\nc\n");
    let options = options(dir.path(), "x.gz", FileFormat::Lines);
    let mut first = reader(&options, only_split(&options)).unwrap();
    first.read(&mut SourceRows::default(), 2).unwrap();
    let mut saved = first.snapshot().unwrap().remove(0);
    saved.position["offset"] = json!(1000);
    let error = read_on(&mut *reader(&options, saved).unwrap(), 10).unwrap_err();
    assert!(matches!(&error, Failure::Restore { message } if message.contains("shorter: 6 bytes")));
    assert!(path.exists());
}

#[test]
fn positions_of_another_kind_are_refused() {
    let dir = TempDir::new().unwrap();
    write(&dir, "x", "a\n");
    let options = options(dir.path(), "x", FileFormat::Lines);
    let mut first = reader(&options, only_split(&options)).unwrap();
    let good = first.snapshot().unwrap().remove(0);
    let with = |key: &str, value: Value| {
        let mut split = good.clone();
        split.position[key] = value;
        split
    };
    for split in [
        with("v", json!(2)),
        with("path", json!("y")),
        with("offset", json!(-1)),
        Split {
            id: "x".into(),
            position: json!("text"),
        },
    ] {
        assert!(matches!(
            reader(&options, split).err().unwrap(),
            Failure::Restore { .. }
        ));
    }
}

#[test]
fn bad_rows_are_named_by_their_real_line_or_skipped_and_counted() {
    let dir = TempDir::new().unwrap();
    write(&dir, "x.csv", "a,b\n1,\"x\ny\"\n2\n3,\"open\n4,z\n");
    write(&dir, "x.jsonl", "{\"a\":1}\n\nnope\n[2]\n");
    let cases = [
        ("x.csv", CSV, "x.csv:4", vec!["1,\"x\ny\"", "4,z"], 2),
        (
            "x.jsonl",
            FileFormat::JsonLines,
            "x.jsonl:3",
            vec!["{\"a\":1}", "[2]"],
            1,
        ),
    ];
    for (name, format, place, good, bad) in cases {
        let mut options = options(dir.path(), name, format);
        let error = read_all(&options).unwrap_err();
        assert!(
            matches!(&error, Failure::BadRow { at, .. } if at == place),
            "{error}"
        );
        options.on_error = OnBadRow::Skip;
        let mut reader = reader(&options, only_split(&options)).unwrap();
        assert_eq!(read_on(&mut *reader, 1).unwrap(), good);
        assert_eq!(reader.skipped(), bad);
    }
}

#[test]
fn the_number_of_fields_and_the_line_survive_a_restart() {
    let dir = TempDir::new().unwrap();
    write(&dir, "x.csv", "a,b\n1,\"x\ny\"\n2\n");
    let options = options(dir.path(), "x.csv", CSV);
    let mut first = reader(&options, only_split(&options)).unwrap();
    first.read(&mut SourceRows::default(), 1).unwrap();
    let saved = first.snapshot().unwrap().remove(0);
    let error = read_on(&mut *reader(&options, saved).unwrap(), 10).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("malformed row at x.csv:4: 1 fields"),
        "{error}"
    );
}

#[test]
fn a_row_longer_than_the_window_is_read_and_one_beyond_the_limit_is_not() {
    let dir = TempDir::new().unwrap();
    let (long, longest) = (
        "x".repeat(1 << 20),
        "y".repeat(FileSource::MAX_ROW_BYTES + 1),
    );
    write(&dir, "x", format!("a\n{long}\nb\n{longest}\nc\n"));
    let mut options = options(dir.path(), "x", FileFormat::Lines);
    let error = read_all(&options).unwrap_err();
    assert!(
        matches!(&error, Failure::BadRow { at, .. } if at == "x:4"),
        "{error}"
    );
    options.on_error = OnBadRow::Skip;
    let rows = read_all(&options).unwrap();
    assert!(rows == ["a", &long, "b", "c"]);
}

#[test]
fn times_come_with_the_rows_and_a_bad_one_is_a_bad_row() {
    let dir = TempDir::new().unwrap();
    write(&dir, "x.csv", "t,v\n1,a\n2,b\nsoon,c\n4,d\n");
    let mut options = options(dir.path(), "x.csv", CSV);
    options.timestamp = Some(TimestampSelector::column(b',', 0, TimeUnit::Seconds));
    let error = read_all(&options).unwrap_err();
    assert!(
        matches!(&error, Failure::BadRow { at, .. } if at == "x.csv:4"),
        "{error}"
    );
    options.on_error = OnBadRow::Skip;
    let mut reader = reader(&options, only_split(&options)).unwrap();
    let mut rows = SourceRows::default();
    while reader.read(&mut rows, 3).unwrap() == ReadStatus::More {}
    assert_eq!(texts(&rows), ["1,a", "2,b", "4,d"]);
    assert_eq!(rows.timestamps, [1000, 2000, 4000]);
    assert_eq!(reader.skipped(), 1);
}

#[test]
fn a_followed_file_is_read_as_it_grows() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "log", "");
    let mut options = options(dir.path(), "log", FileFormat::Lines);
    options.follow = true;
    assert!(FileSource::new(options.clone()).discover().unwrap().spread);
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let mut first = reader(&options, only_split(&options)).unwrap();
    let read = |reader: &mut dyn SourceReader| {
        let mut rows = SourceRows::default();
        let status = reader.read(&mut rows, 100).unwrap();
        assert!(matches!(status, ReadStatus::Dry { .. }), "{status:?}");
        texts(&rows)
    };
    assert!(read(&mut *first).is_empty());
    file.write_all(b"one\ntw").unwrap();
    assert_eq!(read(&mut *first), ["one"]);
    assert!(read(&mut *first).is_empty());
    let saved = first.snapshot().unwrap().remove(0);
    file.write_all(b"o\nthree\n").unwrap();
    assert_eq!(read(&mut *first), ["two", "three"]);
    let mut second = reader(&options, saved.clone()).unwrap();
    assert_eq!(read(&mut *second), ["two", "three"]);

    fs::write(&path, "new\n").unwrap();
    let error = first.read(&mut SourceRows::default(), 100).unwrap_err();
    assert!(
        error.to_string().contains("shorter: 4 bytes, 14 were read"),
        "{error}"
    );
    // The head was taken anew at the snapshot, though the file was empty when it was opened.
    fs::write(&path, "eno\ntwo\nthree\n").unwrap();
    let error = reader(&options, saved).err().unwrap();
    assert!(error.to_string().contains("log has changed"), "{error}");
    // Nor is such a file taken for the one that was read.
    let error = first.snapshot().err().unwrap();
    assert!(
        error.to_string().contains("the file has changed"),
        "{error}"
    );
}

#[test]
fn a_followed_file_that_is_renamed_is_read_to_its_end_and_told() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "log", "one\n");
    let mut options = options(dir.path(), "log", FileFormat::Lines);
    options.follow = true;
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let mut reader = reader(&options, only_split(&options)).unwrap();
    let mut rows = SourceRows::default();
    let status = reader.read(&mut rows, 100).unwrap();
    assert!(matches!(status, ReadStatus::Dry { .. }), "{status:?}");
    file.write_all(b"two\n").unwrap();
    fs::rename(&path, dir.path().join("log.1")).unwrap();
    file.write_all(b"three\n").unwrap();
    write(&dir, "log", "the first of another\n");
    // The head is that of the file which is read, and so is the offset.
    let saved = reader.snapshot().unwrap().remove(0);
    assert_eq!(saved.position["head-len"], json!(14));
    assert_eq!(saved.position["offset"], json!(4));
    let mut rows = SourceRows::default();
    let status = reader.read(&mut rows, 100).unwrap();
    assert_eq!(status, ReadStatus::More);
    assert_eq!(texts(&rows), ["two", "three"]);
    let error = reader.read(&mut rows, 100).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("follow log") && text.contains("not at its path any more"),
        "{text}"
    );
}

#[test]
fn several_followed_files_have_their_turn() {
    let dir = TempDir::new().unwrap();
    write(&dir, "a", "1\n2\n3\n");
    write(&dir, "b", "4\n5\n6\n");
    let mut options = options(dir.path(), "*", FileFormat::Lines);
    options.follow = true;
    let source = FileSource::new(options);
    let mut reader = source.reader(&task()).unwrap();
    assert_eq!(
        reader.read(&mut SourceRows::default(), 1).unwrap(),
        ReadStatus::NoSplit
    );
    for split in source.discover().unwrap().splits {
        reader.add_split(split).unwrap();
    }
    assert_eq!(
        read_on(&mut *reader, 2).unwrap(),
        ["1", "2", "4", "5", "3", "6"]
    );
    let saved = reader.snapshot().unwrap();
    let ids: Vec<_> = saved
        .iter()
        .map(|s| (s.id.as_str(), &s.position["offset"]))
        .collect();
    assert_eq!(ids, [("a", &json!(6)), ("b", &json!(6))]);
}

#[test]
fn a_followed_file_that_is_dry_is_told_while_another_has_more() {
    let dir = TempDir::new().unwrap();
    write(&dir, "a", "1\n2\n3\n4\n");
    write(&dir, "b", "5\n");
    let mut options = options(dir.path(), "*", FileFormat::Lines);
    options.follow = true;
    let source = FileSource::new(options);
    let mut reader = source.reader(&task()).unwrap();
    for split in source.discover().unwrap().splits {
        reader.add_split(split).unwrap();
    }
    let mut read = || {
        let mut rows = SourceRows::default();
        let status = reader.read(&mut rows, 2).unwrap();
        let dry: Vec<String> = rows.dry.iter().map(|split| split.to_string()).collect();
        (rows.values.len(), dry, status == ReadStatus::More)
    };
    assert_eq!(read(), (2, vec![], true));
    // Its one row, and that it has no more, with the next row of the other.
    assert_eq!(read(), (2, vec!["b".into()], true));
}

#[test]
fn a_pattern_names_files_in_a_stable_order() {
    let dir = TempDir::new().unwrap();
    let base = dir.path().join("odd [name]");
    fs::create_dir_all(base.join("in/deep")).unwrap();
    for name in [
        "in/b.csv",
        "in/a.csv",
        "in/.hidden.csv",
        "in/c.txt",
        "in/deep/d.csv",
    ] {
        fs::write(base.join(name), "x\n").unwrap();
    }
    let ids = |pattern: &str| {
        let found = FileSource::new(options(&base, pattern, FileFormat::Lines)).discover();
        found.map(|d| d.splits.into_iter().map(|s| s.id).collect::<Vec<_>>())
    };
    assert_eq!(ids("./in//*.csv").unwrap(), ["in/a.csv", "in/b.csv"]);
    assert_eq!(
        ids("in/**/*.csv").unwrap(),
        ["in/a.csv", "in/b.csv", "in/deep/d.csv"]
    );
    assert_eq!(ids("in/*").unwrap(), ["in/a.csv", "in/b.csv", "in/c.txt"]);
    let absolute = base.join("in/c.txt").display().to_string();
    assert_eq!(ids(&absolute).unwrap(), ["in/c.txt"]);
    let message = |pattern: &str| ids(pattern).unwrap_err().to_string();
    assert!(
        message("in/*.json").contains("no file matches"),
        "{}",
        message("in/*.json")
    );
    assert!(
        message("in").contains("is a folder, say which files"),
        "{}",
        message("in")
    );
    assert!(
        message("in/[a").contains("is not a pattern"),
        "{}",
        message("in/[a")
    );
}

#[test]
fn what_cannot_be_read_is_refused_before_the_start() {
    let dir = TempDir::new().unwrap();
    write(&dir, "a.csv", "x,y\n1,2\n");
    write(&dir, "b.csv", "y,x\n1,2\n");
    write(&dir, "c.zst", "1\n");
    let discover = |options| FileSource::new(options).discover().unwrap_err().to_string();
    let message = discover(options(dir.path(), "*.csv", CSV));
    assert_eq!(
        message,
        "malformed row at b.csv:1: its header is `y,x`, that of a.csv is `x,y`"
    );
    let mut follow = options(dir.path(), "c.zst", FileFormat::Lines);
    follow.follow = true;
    assert!(discover(follow).contains("a compressed file cannot be followed"));
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_row() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "x.csv", "\u{feff}\"id\",b\n1,2\n3,4\n");
    assert_eq!(header_of(&path, b',').unwrap(), ["id", "b"]);
    let options = options(dir.path(), "x.csv", CSV);
    let mut first = reader(&options, only_split(&options)).unwrap();
    first.read(&mut SourceRows::default(), 1).unwrap();
    let saved = first.snapshot().unwrap().remove(0);
    assert_eq!(saved.position["offset"], 3 + 7 + 4);
    assert_eq!(
        read_on(&mut *reader(&options, saved).unwrap(), 10).unwrap(),
        ["3,4"]
    );
}

#[test]
fn an_empty_file_has_no_rows_and_a_malformed_header_is_never_skipped() {
    let dir = TempDir::new().unwrap();
    write(&dir, "empty.csv", "");
    write(&dir, "bad.csv", "\"a\"b,c\n1,2\n");
    assert!(
        read_all(&options(dir.path(), "empty.csv", CSV))
            .unwrap()
            .is_empty()
    );
    let mut options = options(dir.path(), "bad.csv", CSV);
    options.on_error = OnBadRow::Skip;
    assert!(matches!(read_all(&options), Err(Failure::BadRow { at, .. }) if at == "bad.csv:1"));
}

#[test]
fn an_empty_file_hides_no_header_wherever_it_stands() {
    let dir = TempDir::new().unwrap();
    write(&dir, "a.csv", "");
    write(&dir, "b.csv", "x,y\n1,2\n");
    write(&dir, "c.csv", "");
    let source = FileSource::new(options(dir.path(), "*.csv", CSV));
    assert_eq!(source.discover().unwrap().splits.len(), 3);
    assert_eq!(source.header().unwrap().unwrap(), ["x", "y"]);
}

//! Files of a pattern, dealt out to readers as the coordinator does it, over stops and rescales.

use weir_operator::{Enumerator, SavedSource};

use super::*;

/// Rows read before a stop, and what a checkpoint then holds; `None` where all has been read.
type Stopped = (Vec<String>, Option<SavedSource>);

/// Runs a source with so many readers, taken in turn, for so many reads.
fn run(source: &FileSource, saved: Option<SavedSource>, readers: u32, reads: usize) -> Stopped {
    let mut enumerator = Enumerator::new(source.discover().unwrap(), saved).unwrap();
    let enumerated = enumerator.snapshot();
    let mut all: Vec<_> = (0..readers)
        .map(|_| source.reader(&task()).unwrap())
        .collect();
    for (at, split) in enumerator.deal(readers) {
        all[at.0 as usize].add_split(split).unwrap();
    }
    let (mut rows, mut ended) = (SourceRows::default(), Vec::new());
    for turn in 0..reads {
        let at = SubtaskIndex(turn as u32 % readers);
        let reader = &mut all[at.0 as usize];
        if let ReadStatus::SplitEnded(id) = reader.read(&mut rows, 2).unwrap() {
            enumerator.split_ended(&id);
            ended.push(id);
            if let Some(split) = enumerator.next_for(at) {
                reader.add_split(split).unwrap();
            }
        }
    }
    let open: Vec<_> = all
        .iter_mut()
        .flat_map(|reader| reader.snapshot().unwrap())
        .collect();
    let saved = SavedSource {
        enumerator: enumerated,
        open,
        ended,
    };
    (texts(&rows), (enumerator.open() > 0).then_some(saved))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_row_of_every_file_is_read_once_however_it_is_shared(
        lengths in prop::collection::vec(0_usize..9, 1..7),
        runs in prop::collection::vec((1_u32..5, 0_usize..9), 0..5),
    ) {
        let dir = TempDir::new().unwrap();
        let mut expected = Vec::new();
        for (file, length) in lengths.iter().enumerate() {
            let rows: Vec<_> = (0..*length).map(|row| format!("{file},{row}")).collect();
            let ending = ["csv", "csv.gz", "csv.zst"][file % 3];
            let content = format!("file,row\n{}", rows.join("\n"));
            write(&dir, &format!("f{file}.{ending}"), content);
            expected.extend(rows);
        }
        // An uncommitted file of a sink in the same folder is none of the source's.
        write(&dir, ".job-out-1-0-0.open", "file,row\nnot,yet\n");
        let source = FileSource::new(options(dir.path(), "*", CSV));
        let (mut rows, mut saved) = (Vec::new(), None);
        let mut is_done = false;
        for (readers, reads) in runs.into_iter().chain([(3, 200)]) {
            if !is_done {
                let (more, after) = run(&source, saved.take(), readers, reads);
                rows.extend(more);
                is_done = after.is_none();
                saved = after;
            }
        }
        prop_assert!(is_done);
        rows.sort();
        prop_assert_eq!(rows, expected);
    }
}

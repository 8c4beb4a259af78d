//! What is written is read back, and nothing that is damaged is.

use proptest::prelude::*;
use weir_model::{Batch, Column, EventTime, Keyed, Lineage, hash64};

use super::{
    footer::{BlockEntry, ChannelEntry, Footer, InputEntry},
    *,
};

fn input(from: &str) -> ChannelInput {
    ChannelInput {
        from: from.into(),
        partitioning: "hash".into(),
        key: Some("csv columns 0".into()),
    }
}

type Written = Vec<(u32, u32, Vec<InFlight>)>;

fn write(channels: &Written) -> Vec<u8> {
    let inputs = vec![input("a"), input("b.late")];
    let mut writer = ChannelFileWriter::to(Vec::new(), inputs).unwrap();
    for (input, producer, elements) in channels {
        writer.channel(*input, *producer).unwrap();
        for element in elements {
            match element {
                InFlight::Rows(batch) => writer.rows(batch.rows(), &batch.lineage).unwrap(),
                InFlight::Watermark(time) => writer.watermark(*time).unwrap(),
                InFlight::Idle(idle) => writer.idle(*idle).unwrap(),
            }
        }
    }
    let file = writer.finish().unwrap();
    let bytes = file.out;
    assert_eq!(file.length, bytes.len() as u64);
    assert_eq!(file.crc32c, crc32c::crc32c(&bytes));
    bytes
}

fn read(bytes: Vec<u8>) -> Result<Written, Error> {
    let file = ChannelFile::open(bytes)?;
    let channels: Vec<_> = file.channels().collect();
    let all = channels.into_iter().map(|channel| {
        let elements = file.elements(channel.index)?;
        Ok((channel.input, channel.producer, elements))
    });
    all.collect()
}

fn batch() -> impl Strategy<Value = Batch> {
    let row = (
        prop::collection::vec(any::<u8>(), 0..5),
        any::<i64>(),
        0..3u8,
        any::<u64>(),
    );
    let rows = prop::collection::vec(row, 1..20);
    (rows, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(rows, timed, keys, lines)| {
        let mut batch = Batch::default();
        let mut keyed = Keyed::default();
        for (value, time, key, hash) in rows {
            batch.values.push(&value);
            batch.timestamps.extend(timed.then_some(time));
            let known = keyed.keys.iter().position(|known| known == [key]);
            let at = known.unwrap_or_else(|| {
                keyed.keys.push(&[key]);
                keyed.hashes.push(hash64(&[key]));
                keyed.hashes.len() - 1
            });
            keyed.key_of_row.push(at as u32);
            batch.lineage.extend(lines.then_some(match key {
                0 => Lineage::None,
                1 => Lineage::Key(hash),
                _ => Lineage::Split(hash),
            }));
        }
        batch.keyed = keys.then_some(keyed);
        batch
    })
}

fn element() -> impl Strategy<Value = InFlight> {
    prop_oneof![
        4 => batch().prop_map(InFlight::Rows),
        1 => any::<i64>().prop_map(|time| InFlight::Watermark(EventTime(time))),
        1 => any::<bool>().prop_map(InFlight::Idle),
    ]
}

fn written() -> impl Strategy<Value = Written> {
    let channel = (
        0..2u32,
        any::<u32>(),
        prop::collection::vec(element(), 0..6),
    );
    prop::collection::vec(channel, 0..4)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(channels in written()) {
        let bytes = write(&channels);
        prop_assert_eq!(ChannelFile::open(bytes.clone()).unwrap().inputs().len(), 2);
        prop_assert_eq!(read(bytes).unwrap(), channels);
    }

    #[test]
    fn a_flipped_bit_is_found(channels in written(), at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = write(&channels);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(read(bytes).is_err());
    }

    #[test]
    fn a_missing_end_is_found(channels in written(), at: prop::sample::Index) {
        let mut bytes = write(&channels);
        bytes.truncate(at.index(bytes.len()));
        prop_assert!(read(bytes).is_err());
    }

    /// Bytes that nobody wrote under checksums that are right: whatever is read does not panic, and
    /// is written as it was read.
    #[test]
    fn liars_are_not_believed(
        data in prop::collection::vec(prop_oneof![0..5u8, any::<u8>()], 0..80),
        rows in 0..4u64,
        unpacked in prop_oneof![Just(None), (0..1000u32).prop_map(Some)],
    ) {
        let block = block(&data, unpacked.unwrap_or(data.len() as u32));
        if let Ok(channels) = read(sealed(&data, vec![entry(rows, vec![block])])) {
            prop_assert_eq!(read(write(&channels)).unwrap(), channels);
        }
    }
}

fn entry(rows: u64, blocks: Vec<BlockEntry>) -> ChannelEntry {
    ChannelEntry {
        input: 0,
        producer: 0,
        rows,
        blocks,
    }
}

fn block(data: &[u8], unpacked: u32) -> BlockEntry {
    BlockEntry {
        offset: MAGIC.len() as u64,
        stored: data.len() as u32,
        unpacked,
        crc: crc32c::crc32c(data),
    }
}

fn sealed(data: &[u8], channels: Vec<ChannelEntry>) -> Vec<u8> {
    let inputs = vec![InputEntry::from(input("a"))];
    let footer = postcard::to_stdvec(&Footer { inputs, channels }).unwrap();
    let mut file = [MAGIC, data, &footer].concat();
    file.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    file.extend_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(MAGIC);
    file
}

#[track_caller]
fn refused(data: &[u8], channels: Vec<ChannelEntry>, why: &str) {
    match read(sealed(data, channels)) {
        Err(Error::Damaged(what)) => assert!(what.contains(why), "{what}"),
        other => panic!("{other:?}"),
    }
}

/// The block of a batch, as it lies in a file that is not packed.
fn plain(batch: &Batch) -> Vec<u8> {
    let mut writer = ChannelFileWriter::to(Vec::new(), vec![]).unwrap();
    writer.channel(0, 0).unwrap();
    writer.rows(batch.rows(), &batch.lineage).unwrap();
    writer.take_block()
}

#[test]
fn claims_of_the_footer_are_checked() {
    let data = [WATERMARK, 1, 2, 3, 4, 5, 6, 7, 8];
    let whole = block(&data, 9);
    assert!(read(sealed(&data, vec![entry(0, vec![whole])])).is_ok());
    refused(&data, vec![entry(1, vec![whole])], "0 rows, 1 were written");
    refused(&data, vec![entry(0, vec![whole, whole])], "begins at byte");
    refused(&data, vec![entry(0, vec![])], "between the blocks");
    let other = ChannelEntry {
        input: 1,
        ..entry(0, vec![whole])
    };
    refused(&data, vec![other], "a channel of input 1");
    let far = BlockEntry {
        stored: 10,
        unpacked: 10,
        ..whole
    };
    refused(&data, vec![entry(0, vec![far])], "outside");
    let bomb = BlockEntry {
        unpacked: u32::MAX,
        ..whole
    };
    refused(&data, vec![entry(0, vec![bomb])], "unpack to");
    let smaller = BlockEntry {
        unpacked: 8,
        ..whole
    };
    refused(&data, vec![entry(0, vec![smaller])], "unpack to");
}

#[test]
fn claims_of_a_batch_are_checked() {
    let mut keyed = Keyed::default();
    keyed.keys.push(b"k");
    keyed.hashes.push(hash64(b"k"));
    keyed.key_of_row.push(0);
    let batch = Batch {
        values: [&b"v"[..]].into_iter().collect::<Column>(),
        keyed: Some(keyed),
        ..Batch::default()
    };
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut data = plain(&batch);
        change(&mut data);
        data
    };
    let lie = |change: &dyn Fn(&mut Vec<u8>), why: &str| {
        let data = with(change);
        refused(
            &data,
            vec![entry(1, vec![block(&data, data.len() as u32)])],
            why,
        );
    };
    let end = plain(&batch).len();
    lie(&|d| d[end - 4] = 1, "a key that is not there");
    lie(&|d| d[end - 12] ^= 1, "not its own");
    lie(
        &|d| d[1..5].copy_from_slice(&u32::MAX.to_le_bytes()),
        "in the middle",
    );
    lie(&|d| d[1] = 0, "0 rows");
    lie(&|d| d[5] |= 8, "flags");
    lie(
        &|d| d[6..10].copy_from_slice(&u32::MAX.to_le_bytes()),
        "in the middle",
    );
    lie(&|d| d[0] = 9, "no element 9");
    lie(&|d| d.truncate(end - 1), "in the middle");
    let mut twice = batch.clone();
    if let Some(keyed) = &mut twice.keyed {
        keyed.keys.push(b"k");
        keyed.hashes.push(hash64(b"k"));
    }
    let data = plain(&twice);
    let whole = block(&data, data.len() as u32);
    refused(&data, vec![entry(1, vec![whole])], "there twice");
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let mut bytes = write(&vec![]);
    let at = bytes.len() - MAGIC.len() - 4;
    bytes[at] = 2;
    let found = ChannelFile::open(bytes).unwrap_err();
    assert!(
        matches!(found, Error::NewerFormat { found: 2, known: 1 }),
        "{found}"
    );
}

/// The format of version 1, for ever.
#[test]
fn the_bytes_of_version_1() {
    let batch = Batch {
        values: [&b"ab"[..], b""].into_iter().collect::<Column>(),
        timestamps: vec![1, -1],
        lineage: vec![Lineage::Key(7), Lineage::None],
        ..Batch::default()
    };
    let data = plain(&batch);
    let expected = [
        &[0, 2, 0, 0, 0, 5][..],
        &[2, 0, 0, 0, 2, 0, 0, 0],
        b"ab",
        &1i64.to_le_bytes(),
        &(-1i64).to_le_bytes(),
        &[1, 7, 0, 0, 0, 0, 0, 0, 0],
        &[0; 9],
    ];
    assert_eq!(data, expected.concat());
}

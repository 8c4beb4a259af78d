//! The order in which records are written, whatever their keys are like.

use std::collections::BTreeSet;

use weir_model::hash64;

use super::super::{
    segment::Segment,
    snapshot::{Sorted, sort},
};

/// Keys in no order: numbers in their two orders of bytes, behind a byte and alone, texts that
/// begin alike, few and far between, one far from the others, empty and short ones.
fn keys() -> Vec<Vec<Vec<u8>>> {
    let numbers = |count: u64| (0..count).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20);
    let of = |key: &dyn Fn(u64) -> Vec<u8>, count| numbers(count).map(key).collect::<Vec<_>>();
    let mut one_far = of(&|n| (n % 1_000_003).to_be_bytes().to_vec(), 700);
    one_far.push(vec![0xff; 12]);
    vec![
        of(&|n| n.to_le_bytes().to_vec(), 1_000),
        of(&|n| n.to_be_bytes().to_vec(), 1_000),
        of(&|n| [&[1][..], &n.to_le_bytes()].concat(), 5_000),
        of(&|n| format!("customer-{n}").into_bytes(), 900),
        of(&|n| format!("{n}").into_bytes(), 900),
        of(&|n| n.to_le_bytes().to_vec(), 63),
        of(&|n| n.to_le_bytes().to_vec(), 64),
        (0..=255).map(|n| vec![n; usize::from(n % 4)]).collect(),
        (0..200).map(|n: u8| vec![n]).collect(),
        one_far,
        // Dense ones, of which there are no more prefixes than places.
        (0..700_u64).map(|n| n.to_be_bytes().to_vec()).collect(),
        (0..128_u64).map(|n| n.to_be_bytes().to_vec()).collect(),
        // Some that differ only in how long they are, of which the rest is taken for zeros.
        (0..=255_u8)
            .flat_map(|n| (0..4).map(move |zeros| [vec![n; 3], vec![0; zeros]].concat()))
            .collect(),
        vec![Vec::new()],
        Vec::new(),
    ]
}

#[test]
fn records_are_in_order_of_groups_and_keys_whatever_keys_are_like() {
    for (keys, groups) in keys()
        .into_iter()
        .flat_map(|keys| [(keys.clone(), 1), (keys, 5)])
    {
        let keys: BTreeSet<Vec<u8>> = keys.into_iter().collect();
        // So many segments as records of a page are in.
        let mut segments = vec![Segment::new(false); 7];
        let count = segments.len() as u64;
        let mut expected = Vec::new();
        for key in &keys {
            let hash = hash64(key);
            let group = (hash >> 8) as u16 % groups;
            assert!(segments[(hash % count) as usize].put(hash, group, key, b"value"));
            expected.push((group, key.clone()));
        }
        expected.sort();
        let records = segments.iter().flat_map(|segment| {
            let records = segment.records();
            records.map(move |at| Sorted::of(segment, at))
        });
        let mut records: Vec<_> = records.collect();
        sort(&mut records);
        let found: Vec<_> = records
            .iter()
            .map(|record| (record.group, record.key().to_vec()))
            .collect();
        assert_eq!(found, expected);
    }
}

//! Golden vectors of keys and key groups: cases C01, C02 and C03, and our own for the byte hash.

use super::*;

fn max(n: u32) -> MaxParallelism {
    MaxParallelism::new(n).unwrap()
}

fn p(n: u32) -> Parallelism {
    Parallelism::new(n).unwrap()
}

/// Java's hash of a string, which the cases were taken with (D1: test-only).
fn java_string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |h, unit| {
        h.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

/// Java's hash of a long.
fn java_long_hash(v: i64) -> i32 {
    (v ^ (v.cast_unsigned() >> 32).cast_signed()) as i32
}

#[test]
fn c01_key_to_key_group() {
    let table: &[(i32, [u16; 4], u32, u32)] = &[
        (0, [4, 94, 2526, 31198], 2, 2),
        (1, [8, 86, 4054, 16342], 2, 2),
        (2, [3, 127, 2943, 15231], 3, 2),
        (3, [5, 113, 2417, 2417], 3, 2),
        (4, [5, 7, 263, 16647], 0, 0),
        (5, [4, 126, 2942, 15230], 3, 2),
        (7, [1, 113, 241, 4337], 3, 2),
        (10, [9, 67, 579, 12867], 2, 1),
        (42, [5, 29, 3613, 28189], 0, 0),
        (100, [8, 64, 576, 21056], 2, 1),
        (1000, [1, 7, 135, 135], 0, 0),
        (-1, [8, 80, 2896, 15184], 2, 1),
        (-2, [0, 66, 3650, 24130], 2, 1),
        (-42, [4, 96, 352, 352], 3, 2),
        (65535, [2, 18, 658, 25234], 0, 0),
        (1_000_000, [9, 17, 785, 29457], 0, 0),
        (i32::MAX, [4, 62, 3262, 19646], 1, 1),
        (i32::MIN, [2, 108, 2156, 10348], 3, 2),
    ];
    for &(key, groups, of_four, of_three) in table {
        for (n, group) in [10, 128, 4096, 32768].into_iter().zip(groups) {
            assert_eq!(
                max(n).key_group_of_code(key),
                KeyGroup(group),
                "{key} of {n}"
            );
        }
        let group = max(128).key_group_of_code(key);
        assert_eq!(max(128).subtask_of(group, p(4)).0, of_four, "{key}");
        assert_eq!(max(128).subtask_of(group, p(3)).0, of_three, "{key}");
    }
}

#[test]
fn c01_raw_murmur() {
    for (key, hash) in [
        (0, 593_689_054),
        (1, 68_075_478),
        (42, 1_134_849_565),
        (-1, 1_982_413_648),
        (i32::MIN, 1_718_298_732),
    ] {
        assert_eq!(murmur(key), hash, "{key}");
    }
}

#[test]
fn c01_longs_and_strings() {
    for (key, hash) in [
        (-1, 0),
        (4_294_967_296, 1),
        (i64::MAX, i32::MIN),
        (1_700_000_000_000, -807_048_821),
    ] {
        assert_eq!(java_long_hash(key), hash, "{key}");
    }
    assert_eq!(max(128).key_group_of_code(-807_048_821), KeyGroup(64));
    for (key, hash, of_10, of_128) in [
        ("", 0, 4, 94),
        ("a", 97, 1, 81),
        ("b", 98, 8, 22),
        ("c", 99, 6, 62),
        ("hello", 99_162_322, 9, 35),
        ("world", 113_318_802, 4, 66),
        ("flink", 97_520_992, 4, 98),
        ("key", 106_079, 2, 72),
        ("user-1", -836_031_825, 3, 121),
        ("user-2", -836_031_824, 4, 22),
        ("用户", 954_895, 7, 109),
        ("😀", 1_772_899, 4, 54),
    ] {
        assert_eq!(java_string_hash(key), hash, "{key}");
        assert_eq!(max(10).key_group_of_code(hash), KeyGroup(of_10), "{key}");
        assert_eq!(max(128).key_group_of_code(hash), KeyGroup(of_128), "{key}");
    }
}

#[test]
fn c01_checksums_and_spread() {
    let checksum = |codes: &mut dyn Iterator<Item = i32>| {
        codes.fold(0i64, |c, code| {
            c.wrapping_mul(31)
                .wrapping_add(i64::from(max(128).key_group_of_code(code).0))
        })
    };
    assert_eq!(checksum(&mut (0..10_000)), 7_450_929_121_171_350_569);
    let users = &mut (0..10_000).map(|i| java_string_hash(&format!("user-{i}")));
    assert_eq!(checksum(users), 946_211_432_734_952_738);
    let mut counts = [0; 128];
    for key in 0..10_000 {
        counts[usize::from(max(128).key_group_of_code(key).0)] += 1;
    }
    assert_eq!(
        (counts.iter().min(), counts.iter().max()),
        (Some(&54), Some(&100))
    );
}

#[test]
fn c02_ranges() {
    type Case<'a> = (u32, u32, &'a [(u16, u16)]);
    let cases: &[Case<'_>] = &[
        (10, 3, &[(0, 3), (4, 6), (7, 9)]),
        (10, 4, &[(0, 2), (3, 4), (5, 7), (8, 9)]),
        (128, 3, &[(0, 42), (43, 85), (86, 127)]),
        (
            128,
            5,
            &[(0, 25), (26, 51), (52, 76), (77, 102), (103, 127)],
        ),
        (
            128,
            7,
            &[
                (0, 18),
                (19, 36),
                (37, 54),
                (55, 73),
                (74, 91),
                (92, 109),
                (110, 127),
            ],
        ),
        (5, 2, &[(0, 2), (3, 4)]),
        (4, 4, &[(0, 0), (1, 1), (2, 2), (3, 3)]),
    ];
    for &(n, parallelism, ranges) in cases {
        let found: Vec<_> = p(parallelism)
            .subtasks()
            .map(|i| max(n).range_of(i, p(parallelism)).unwrap())
            .map(|r| (r.start.0, r.end.0))
            .collect();
        assert_eq!(found, ranges, "{n}/{parallelism}");
    }
}

#[test]
fn c02_ranges_are_disjoint_cover_all_and_agree_with_the_formula() {
    for n in 1..=300 {
        for parallelism in 1..=n {
            let mut next = 0;
            for i in p(parallelism).subtasks() {
                let range = max(n).range_of(i, p(parallelism)).unwrap();
                assert_eq!(u32::from(range.start.0), next);
                next += range.count() as u32;
                for group in range.iter() {
                    assert!(range.contains(group));
                    assert_eq!(max(n).subtask_of(group, p(parallelism)), i);
                }
            }
            assert_eq!(next, n);
        }
    }
}

#[test]
fn key_groups_and_subtasks_of_many_keys_are_those_of_each() {
    let keys = (0..5_000u32).map(|key| hash64(&key.to_le_bytes()));
    // The code that is mixed to the smallest number, which has no absolute value.
    let smallest = 0x836f_0755_u32;
    assert_eq!(murmur(smallest.cast_signed()), 0);
    let others = [0, u64::MAX, 1 << 31, 1 << 63, u64::from(smallest)];
    let hashes: Vec<u64> = others.into_iter().chain(keys).collect();
    for n in [1, 2, 3, 100, 128, 300, 4096, MaxParallelism::LIMIT] {
        let mut groups = vec![KeyGroup(7)];
        max(n).key_groups_of(&hashes, &mut groups);
        let expected = hashes.iter().map(|&hash| max(n).key_group_of(hash));
        assert!(
            groups
                .into_iter()
                .eq([KeyGroup(7)].into_iter().chain(expected)),
            "{n}"
        );
        for parallelism in [1, 2, 3, 5, 64, n].into_iter().filter(|&p| p <= n) {
            let mut subtasks = vec![SubtaskIndex(7)];
            max(n).subtasks_of(&hashes, p(parallelism), &mut subtasks);
            let one = |&hash: &u64| max(n).subtask_of(max(n).key_group_of(hash), p(parallelism));
            let expected: Vec<_> = [SubtaskIndex(7)]
                .into_iter()
                .chain(hashes.iter().map(one))
                .collect();
            assert_eq!(subtasks, expected, "{n}/{parallelism}");
        }
    }
}

#[test]
fn c03_default_maximum_and_bounds() {
    for (parallelisms, default) in [
        (&[1, 2, 64, 85][..], 128),
        (&[86, 87, 100, 128, 171], 256),
        (&[200], 512),
        (&[1000], 2048),
        (&[21845, 30000, 32768], 32768),
    ] {
        for &n in parallelisms {
            assert_eq!(MaxParallelism::default_for(p(n)).get(), default, "{n}");
        }
    }
    assert!(Parallelism::new(0).is_err());
    assert!(MaxParallelism::new(40_000).is_err());
    assert_eq!(
        max(10).range_of(SubtaskIndex(0), p(11)),
        Err(ParallelismError::AboveMax {
            parallelism: 11,
            max: 10
        })
    );
}

/// Our own vectors (D1): they pin the byte hash, which is part of the savepoint format.
#[test]
fn byte_keys_have_these_hashes_for_ever() {
    for (key, hash) in [
        (&b""[..], 0x2d06_8005_38d3_94c2),
        (b"a", 0xe6c6_32b6_1e96_4e1f),
        (b"abc", 0x78af_5f94_892f_3950),
    ] {
        assert_eq!(hash64(key), hash, "{key:?}");
    }
    assert_eq!(hash32_of(0x0000_0001_0000_0003), 2);
}

#[test]
fn keys_are_the_same_where_all_their_bytes_are() {
    for length in 0..40 {
        let key: Vec<u8> = (0..length).collect();
        assert!(same_key(&key, &key.clone()));
        assert!(!same_key(&key, &[&key[..], b"x"].concat()));
        for at in 0..key.len() {
            let mut other = key.clone();
            other[at] ^= 0x80;
            assert!(!same_key(&key, &other), "{length} {at}");
        }
    }
}

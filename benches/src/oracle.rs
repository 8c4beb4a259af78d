//! What a run must have come to, computed in the plainest way from what its source handed out.

use std::io::Write;

use crate::{
    case::Work,
    material::{Material, check, key_name},
};

/// How many rows the sinks must have seen, and the sum of their checks. `given` is for each split
/// its first row and how many rows it handed out.
pub(crate) fn expected(work: Work, material: &Material, given: &[(usize, u64)]) -> (u64, u64) {
    let rows = given.iter().map(|(_, rows)| rows).sum();
    let sum = match work {
        Work::Nothing | Work::Passthrough => as_they_came(material, given),
        Work::Count { .. } => counted(material, given),
    };
    (rows, sum)
}

fn as_they_came(material: &Material, given: &[(usize, u64)]) -> u64 {
    let len = material.len();
    let of_all = material.sum_to(len);
    // The sum over rows `0..to` of the material laid end to end.
    let to = |to: u64| {
        let rounds = to / len as u64;
        let rest = material.sum_to((to % len as u64) as usize);
        of_all.wrapping_mul(rounds).wrapping_add(rest)
    };
    given.iter().fold(0, |sum: u64, &(first, rows)| {
        let split = to(first as u64 + rows).wrapping_sub(to(first as u64));
        sum.wrapping_add(split)
    })
}

fn counted(material: &Material, given: &[(usize, u64)]) -> u64 {
    let len = material.len();
    let mut counts = vec![0_u64; material.keys as usize];
    let mut add = |row: usize, times: u64| {
        let key = material.key_of_row[row % len];
        counts[key as usize] += times;
    };
    for &(first, rows) in given {
        let rest = (rows % len as u64) as usize;
        (0..rest).for_each(|row| add(first + row, 1));
        (0..len).for_each(|row| add(row, rows / len as u64));
    }
    let mut sum = 0_u64;
    let mut row = Vec::new();
    for (key, &count) in (0..).zip(&counts) {
        for number in 1..=count {
            row.clear();
            row.extend_from_slice(&key_name(key));
            // Writing to memory does not fail.
            let _ = write!(row, "={number}");
            sum = sum.wrapping_add(check(&row));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// One row after the other.
    fn plainly(work: Work, material: &Material, given: &[(usize, u64)]) -> (u64, u64) {
        let mut counts: HashMap<&[u8], u64> = HashMap::new();
        let (mut rows, mut sum) = (0, 0_u64);
        for &(first, many) in given {
            for at in 0..many as usize {
                let row = material.rows.get((first + at) % material.len());
                rows += 1;
                let out = match work {
                    Work::Nothing | Work::Passthrough => row.to_vec(),
                    Work::Count { .. } => {
                        let key = &row[..16];
                        let count = counts.entry(key).or_default();
                        *count += 1;
                        format!("{}={count}", String::from_utf8_lossy(key)).into_bytes()
                    }
                };
                sum = sum.wrapping_add(check(&out));
            }
        }
        (rows, sum)
    }

    #[test]
    fn the_sums_are_those_of_going_through_the_rows() {
        for work in [Work::Passthrough, Work::Count { keys: 1_000 }] {
            let material = Material::new(work);
            let len = material.len() as u64;
            for given in [
                vec![(0, 0)],
                vec![(0, 17)],
                vec![(0, len + 5), (material.len() / 2, len * 2 - 1)],
            ] {
                let expected = expected(work, &material, &given);
                assert_eq!(expected, plainly(work, &material, &given), "{given:?}");
            }
        }
    }
}

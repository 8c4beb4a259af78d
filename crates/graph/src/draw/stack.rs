//! Things one below the other: each as near as can be to where it wants to be, none over another.

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// Where its top wants to be.
    pub(super) wanted: i64,
    /// From its top to where the next may begin.
    pub(super) height: i64,
}

/// The tops, in the order given, with the least sum of squares of the distances from where they
/// want to be (pool adjacent violators).
pub(super) fn stack(items: &[Item]) -> Vec<i64> {
    // With the heights before it taken off, a top may be anywhere from that of the one before on.
    struct Pool {
        sum: f64,
        count: usize,
    }
    let mean = |pool: &Pool| pool.sum / pool.count as f64;
    let mut before = 0;
    let mut pools: Vec<Pool> = Vec::new();
    for item in items {
        pools.push(Pool {
            sum: (item.wanted - before) as f64,
            count: 1,
        });
        before += item.height;
        while let [.., above, below] = &pools[..] {
            if mean(above) <= mean(below) {
                break;
            }
            let joined = Pool {
                sum: above.sum + below.sum,
                count: above.count + below.count,
            };
            pools.truncate(pools.len() - 2);
            pools.push(joined);
        }
    }
    let mut tops = Vec::with_capacity(items.len());
    let mut before = 0;
    let each = pools
        .iter()
        .flat_map(|pool| std::iter::repeat_n(mean(pool), pool.count));
    for (top, item) in each.zip(items) {
        tops.push(top.round() as i64 + before);
        before += item.height;
    }
    tops
}

//! The operators of jobs as code of this process: the very source of their components, compiled
//! natively and put in their place, so that the rest of the job is the same. What a component
//! takes more is what the sandbox costs.

#[path = "../../../guest-examples/nexmark/auction-highest/src/lib.rs"]
mod auction_highest;
#[path = "../../../guest-examples/nexmark/bid-counts/src/lib.rs"]
mod bid_counts;
#[path = "../../../guest-examples/nexmark/bidders/src/lib.rs"]
mod bidders;
#[path = "../../../guest-examples/nexmark/category-averages/src/lib.rs"]
mod category_averages;
#[path = "../../../guest-examples/nexmark/category-bids/src/lib.rs"]
mod category_bids;
#[path = "../../../guest-examples/bench/count/src/lib.rs"]
mod count;
#[path = "../../../guest-examples/bench/dedupe/src/lib.rs"]
mod dedupe;
#[path = "../../../guest-examples/nexmark/euros/src/lib.rs"]
mod euros;
#[path = "../../../guest-examples/nexmark/events/src/lib.rs"]
mod events;
#[path = "../../../guest-examples/nexmark/hottest/src/lib.rs"]
mod hottest;
#[path = "../../../guest-examples/nexmark/last-bids/src/lib.rs"]
mod last_bids;
#[path = "../../../guest-examples/bench/lookup/src/lib.rs"]
mod lookup;
#[path = "../../../guest-examples/nexmark/new-sellers/src/lib.rs"]
mod new_sellers;
#[path = "../../../guest-examples/passthrough/src/lib.rs"]
mod passthrough;
#[path = "../../../guest-examples/nexmark/sample/src/lib.rs"]
mod sample;
#[path = "../../../guest-examples/nexmark/sellers/src/lib.rs"]
mod sellers;
#[path = "../../../guest-examples/nexmark/sessions/src/lib.rs"]
mod sessions;
#[path = "../../../guest-examples/nexmark/side-table/src/lib.rs"]
mod side_table;
#[path = "../../../guest-examples/bench/sum/src/lib.rs"]
mod sum;
#[path = "../../../guest-examples/bench/threes/src/lib.rs"]
mod threes;
#[path = "../../../guest-examples/nexmark/top-bids/src/lib.rs"]
mod top_bids;
#[path = "../../../guest-examples/nexmark/window-highest/src/lib.rs"]
mod window_highest;
#[path = "../../../guest-examples/nexmark/winning-bids/src/lib.rs"]
mod winning_bids;

use std::{fs, path::Path, sync::Arc};

use weir_job_file::{JobFile, JoinRules, Operator};
use weir_native::{Make, NativeJoins, NativeOperator, NativeWindows};
use weir_operator::{Failure, OperatorFactory, WindowFunctionFactory};
use weir_operators::{JoinFactory, JoinRules as Rules, WindowFactory};
use weir_runtime::Deployment;

use crate::error::{Context, Error, Result};

/// How many bytes of pairs a join may give in one call.
const MOST_PAIRS: usize = 512 << 20;

/// The operators, by the file of their component.
const GUESTS: [(&str, Make); 23] = [
    ("bench-count", count::native_operator),
    ("bench-dedupe", dedupe::native_operator),
    ("bench-lookup", lookup::native_operator),
    ("bench-sum", sum::native_operator),
    ("bench-threes", threes::native_operator),
    ("nexmark-auction-highest", auction_highest::native_operator),
    ("nexmark-bid-counts", bid_counts::native_operator),
    ("nexmark-bidders", bidders::native_operator),
    (
        "nexmark-category-averages",
        category_averages::native_operator,
    ),
    ("nexmark-category-bids", category_bids::native_operator),
    ("nexmark-euros", euros::native_operator),
    ("nexmark-events", events::native_operator),
    ("nexmark-hottest", hottest::native_operator),
    ("nexmark-last-bids", last_bids::native_operator),
    ("nexmark-new-sellers", new_sellers::native_operator),
    ("nexmark-sample", sample::native_operator),
    ("nexmark-sellers", sellers::native_operator),
    ("nexmark-sessions", sessions::native_operator),
    ("nexmark-side-table", side_table::native_operator),
    ("nexmark-top-bids", top_bids::native_operator),
    ("nexmark-window-highest", window_highest::native_operator),
    ("nexmark-winning-bids", winning_bids::native_operator),
    ("passthrough", passthrough::native_operator),
];

/// Puts native operators in the place of all components of a job.
///
/// # Errors
/// Where a component has none, or declares something else than its source here.
pub(super) fn replace(file: &Path, sets: &[String], deployment: &mut Deployment) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let job = JobFile::load(&text, file, sets)?;
    for (name, operator) in &job.operators {
        let deployed = deployment.operators.get_mut(name);
        let deployed = deployed.with_context(|| format!("operator `{name}` was not deployed"))?;
        let Some(component) = &operator.component else {
            continue;
        };
        let declared = deployed.factory.descriptor();
        let native = native(component, operator, declared.keyed_broadcast)
            .with_context(|| format!("operator `{name}` natively"))?;
        if native.descriptor() != declared {
            return Err(Error::new(format_args!(
                "operator `{name}`: its source declares something else than {}: build the \
                 components anew (cargo xtask guests)",
                component.display()
            )));
        }
        deployed.factory = native;
    }
    Ok(())
}

/// The operator of a component, as the host makes it of the component.
fn native(
    component: &Path,
    operator: &Operator,
    is_keyed_broadcast: bool,
) -> Result<Arc<dyn OperatorFactory>> {
    let file = component.file_stem().and_then(|stem| stem.to_str());
    let make = GUESTS.iter().find(|(name, _)| Some(*name) == file);
    let (_, make) = make.with_context(|| format!("no source of {}", component.display()))?;
    Ok(factory(*make, operator, is_keyed_broadcast)?)
}

fn factory(
    make: Make,
    operator: &Operator,
    is_keyed_broadcast: bool,
) -> Result<Arc<dyn OperatorFactory>, Failure> {
    if let Some(join) = &operator.join {
        let rules = match &join.rules {
            JoinRules::Interval(interval) => Rules::Interval(*interval),
            JoinRules::Temporal(temporal) => Rules::Temporal(*temporal),
            JoinRules::Window(rules) => Rules::Window(rules.clone(), join.kind),
        };
        let function = Box::new(NativeJoins::new(make)?);
        let late = join.late.clone();
        return Ok(Arc::new(JoinFactory::new(
            rules, late, MOST_PAIRS, function,
        )));
    }
    if let Some(windows) = &operator.windows {
        let function = NativeWindows::new(make)?;
        if function.aggregates() && windows.rules.evictor.is_some() {
            let message = "windows that leave rows out are not folded natively".to_owned();
            return Err(Failure::Internal { message });
        }
        let (rules, late) = (windows.rules.clone(), windows.late.clone());
        return Ok(Arc::new(WindowFactory::new(
            rules,
            late,
            Box::new(function),
        )));
    }
    Ok(match is_keyed_broadcast {
        true => Arc::new(NativeOperator::keyed_broadcast(make)?),
        false => Arc::new(NativeOperator::new(make)?),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{machine, peer::cell::workloads};

    #[test]
    fn each_component_of_a_workload_has_its_source_here() {
        let jobs = machine::root().join("benches/jobs");
        let mut used = HashSet::new();
        for workload in workloads() {
            let file = jobs.join(workload.job_file());
            let job = JobFile::load(&fs::read_to_string(&file).unwrap(), &file, &[]).unwrap();
            for operator in job.operators.values() {
                let Some(component) = &operator.component else {
                    continue;
                };
                let stem = component.file_stem().unwrap().to_str().unwrap().to_owned();
                assert!(native(component, operator, false).is_ok(), "{stem}");
                used.insert(stem);
            }
        }
        assert_eq!(used.len(), GUESTS.len(), "all are used");
        let operator = JobFile::load(
            &fs::read_to_string(jobs.join("count.yaml")).unwrap(),
            &jobs.join("count.yaml"),
            &[],
        );
        let operator = operator.unwrap().operators.into_values().next().unwrap();
        let none = native(Path::new("x/none.wasm"), &operator, false)
            .err()
            .unwrap();
        assert_eq!(none.to_string(), "no source of x/none.wasm");
    }
}

//! Calls into a component: a batch in, rows out, on one thread and without the engine.

use weir_component::{Engine, EngineOptions, Limits};
use weir_operator::OperatorFactory as _;

use weir_guard::rig::{ROWS, operator::context, rows::batches};

use super::Setting;
use crate::Failure;

const KEYS: u32 = 1_000;

/// So many batches of rows go through a component, with their keys or without.
pub(super) fn run(
    setting: &Setting,
    file: &str,
    is_keyed: bool,
    count: u32,
) -> Result<(), Failure> {
    let engine = Engine::new(&EngineOptions {
        cache: Some(setting.cache.clone()),
        ..EngineOptions::default()
    })?;
    let limits = Limits {
        // Under valgrind all is some fifty times slower.
        time_per_call: std::time::Duration::from_secs(60),
        ..Limits::default()
    };
    let component = engine.load(&setting.components.join(file), &limits)?;
    let factory = component.factory(limits);
    let mut cx = context(factory.descriptor().states.clone(), "null")?;
    let mut operator = factory.create(&cx.task)?;
    operator.open(&mut cx)?;
    let batches = batches(KEYS, ROWS);
    for batch in batches.iter().cycle().take(count as usize) {
        let mut rows = batch.rows();
        rows.keyed = rows.keyed.filter(|_| is_keyed);
        cx.state.begin(rows.keyed);
        let outcome = operator.process(&mut cx, 0, rows)?;
        let emitted: usize = outcome.emitted.iter().map(|one| one.values.len()).sum();
        if emitted != rows.len() {
            return Err(format!("{emitted} rows out of {}", rows.len()).into());
        }
        cx.state.commit()?;
    }
    Ok(())
}

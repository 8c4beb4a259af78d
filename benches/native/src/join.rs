//! An operator as the function of a join.

use weir_guest::native::AllPairs;
use weir_model::ColumnView;
use weir_operator::{
    Context, Emitted, Failure, JoinFunction, JoinFunctionFactory, Pairs, TaskInfo,
};

use crate::{
    alone::{Alone, Make},
    columns::{copied, emitted, lent},
    window::refused,
};

/// Makes the parallel instances of an operator as functions of joins.
#[derive(Clone)]
pub struct NativeJoins {
    make: Make,
    side_outputs: Vec<String>,
}

impl NativeJoins {
    /// A [`JoinFunction`](weir_guest::JoinFunction) by the `native_operator` of its crate.
    ///
    /// # Errors
    /// What is wrong with its declarations.
    pub fn new(make: Make) -> Result<Self, Failure> {
        let declared = Alone::new(make).logic().describe();
        let declared = declared.map_err(|message| Failure::Guest { message, row: None })?;
        Ok(Self {
            make,
            side_outputs: declared.side_outputs,
        })
    }
}

impl JoinFunctionFactory for NativeJoins {
    fn side_outputs(&self) -> &[String] {
        &self.side_outputs
    }

    fn create(&self, _: &TaskInfo) -> Result<Box<dyn JoinFunction>, Failure> {
        Ok(Box::new(Instance {
            alone: Alone::new(self.make),
            make: self.make,
            ends: Vec::new(),
        }))
    }
}

struct Instance {
    alone: Alone,
    make: Make,
    /// A buffer that is used again from call to call.
    ends: Vec<u32>,
}

impl JoinFunction for Instance {
    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        self.alone.call(cx, |logic| logic.open())
    }

    fn reset(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        self.alone = Alone::new(self.make);
        self.open(cx)
    }

    fn looks_at_rows(&self) -> bool {
        true
    }

    fn accept(
        &mut self,
        cx: &mut Box<Context>,
        input: u32,
        rows: ColumnView<'_>,
    ) -> Result<(), Failure> {
        let rows = lent(rows, &mut self.ends);
        refused(self.alone.call(cx, |logic| logic.accept(input, rows))?)
    }

    fn project(
        &mut self,
        cx: &mut Box<Context>,
        pairs: Pairs<'_>,
    ) -> Result<Vec<Emitted>, Failure> {
        let all = AllPairs {
            keys: copied(pairs.keys),
            key_of_pair: pairs.key_of_pair.to_vec(),
            left: copied(pairs.left),
            left_timestamps: pairs.left_times.to_vec(),
            left_of_pair: pairs.left_of_pair.to_vec(),
            right: copied(pairs.right),
            right_timestamps: pairs.right_times.to_vec(),
            right_of_pair: pairs.right_of_pair.to_vec(),
            timestamps: pairs.timestamps.to_vec(),
        };
        match self.alone.call(cx, |logic| logic.project(&all))? {
            Ok(given) => emitted(given, pairs.len()),
            Err(poison) => refused(Some(poison)).map(|()| Vec::new()),
        }
    }
}

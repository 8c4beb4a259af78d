//! Which handles an operator has, and which of them `describe` declared. Nothing tells the names of
//! fields, so what is missing is found by type.

use std::any::type_name;
use std::cell::RefCell;

use crate::type_name::short;

thread_local! {
    /// The types of the handles of the operator that is being made.
    static MADE: RefCell<Option<Vec<&'static str>>> = const { RefCell::new(None) };
}

/// A handle as it was declared.
pub(crate) struct DeclaredHandle {
    /// What it is, in words: `state`.
    pub(crate) what: &'static str,
    pub(crate) name: String,
    /// Its type, with all paths.
    pub(crate) type_name: &'static str,
}

/// Every handle calls it when it is made.
pub(crate) fn made_handle<H>() {
    MADE.with_borrow_mut(|made| {
        if let Some(made) = made {
            made.push(type_name::<H>());
        }
    });
}

/// Makes an operator; gives the types of its handles too.
pub(crate) fn making<T>(make: impl FnOnce() -> T) -> (T, Vec<&'static str>) {
    MADE.set(Some(Vec::new()));
    let operator = make();
    (operator, MADE.take().unwrap_or_default())
}

/// What is to be said of the handles of an operator that are not declared.
pub(crate) fn undeclared(
    operator: &str,
    made: &[&'static str],
    declared: &[DeclaredHandle],
) -> Vec<String> {
    let mut mistakes = Vec::new();
    for (index, of_type) in made.iter().enumerate() {
        if made[..index].contains(of_type) {
            continue;
        }
        let count = made.iter().filter(|other| *other == of_type).count();
        let names = declared
            .iter()
            .filter(|handle| handle.type_name == *of_type);
        let names: Vec<_> = names.map(|handle| format!("`{}`", handle.name)).collect();
        if names.len() < count {
            mistakes.push(missing(operator, &short(of_type), count, &names));
        }
    }
    mistakes
}

fn missing(operator: &str, handle: &str, count: usize, declared: &[String]) -> String {
    let function = function(handle);
    let (has, declare) = match (count, declared) {
        (1, _) => (
            format!("has a handle of type `{handle}` that is not declared"),
            "it",
        ),
        (_, []) => (
            format!("has {count} handles of type `{handle}`, none of which is declared"),
            "them",
        ),
        (_, declared) => (
            format!(
                "has {count} handles of type `{handle}`, of which only {} {} declared",
                declared.join(", "),
                if declared.len() == 1 { "is" } else { "are" }
            ),
            if count - declared.len() == 1 {
                "the other one"
            } else {
                "the others"
            },
        ),
    };
    format!("`{operator}` {has}: declare {declare} in `describe`, by `d.{function}(…)`")
}

/// The function that declares a handle of a type: it is named as the type is.
fn function(handle: &str) -> String {
    let name = handle.split('<').next().unwrap_or(handle);
    let mut function = String::new();
    for char in name.chars() {
        if char.is_uppercase() && !function.is_empty() {
            function.push('_');
        }
        function.extend(char.to_lowercase());
    }
    function
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Aggregate, Aggregating, Broadcast, Counter, Describe, Gauge, Histogram, KeyedDescribe,
        List, Map, OperatorList, Reducing, SideOutput, Value,
    };

    crate::record! {
        #[derive(Clone, Default)]
        struct Sum { sum: i64 }
    }

    impl Aggregate for Sum {
        type In = i64;
        type Out = i64;

        fn add(&mut self, value: i64) {
            self.sum += value;
        }

        fn result(&self) -> i64 {
            self.sum
        }
    }

    /// Each handle can be declared by the function that a message names.
    #[test]
    fn the_function_that_declares_a_handle_is_named() {
        fn named<H, F>(_declare: F, function: &str) {
            let handle = short(type_name::<H>());
            assert_eq!(super::function(&handle), function);
        }
        named::<Aggregating<Sum>, _>(KeyedDescribe::aggregating::<Sum>, "aggregating");
        named::<Value<i64>, _>(KeyedDescribe::value::<i64>, "value");
        named::<Reducing<i64>, _>(KeyedDescribe::reducing::<i64>, "reducing");
        named::<List<i64>, _>(KeyedDescribe::list::<i64>, "list");
        named::<Map<i64, i64>, _>(KeyedDescribe::map::<i64, i64>, "map");
        named::<OperatorList<i64>, _>(Describe::operator_list::<i64>, "operator_list");
        named::<Broadcast<i64, i64>, _>(Describe::broadcast::<i64, i64>, "broadcast");
        named::<SideOutput<i64>, _>(Describe::side_output::<i64>, "side_output");
        named::<Counter, _>(Describe::counter, "counter");
        named::<Gauge, _>(Describe::gauge, "gauge");
        named::<Histogram, _>(Describe::histogram, "histogram");
    }
}

//! A switch for a stream: each line of data emits what the last line of control said, and `null`
//! as long as there was none.
//!
//! Input 0 is the data, input 1 the control; that one goes to all subtasks, which all keep what it
//! said under `switch` in broadcast state.

use weir_guest::{Broadcast, BroadcastProcess, Ctx, Describe, Level, Result, Row, operator};

/// Where in the state the last line of control is.
const SWITCH: &str = "switch";

#[derive(Default)]
struct Switch {
    settings: Broadcast<String, String>,
}

impl BroadcastProcess for Switch {
    type In = Vec<u8>;
    type BroadcastIn = String;
    type Out = String;

    fn describe(&mut self, d: &mut Describe) {
        d.broadcast("settings", &mut self.settings);
    }

    fn process(&mut self, _row: Row<Vec<u8>>, ctx: &mut Ctx<String>) -> Result<()> {
        match self.settings.get(SWITCH)? {
            Some(value) => ctx.emit(value),
            None => ctx.emit("null"),
        }
    }

    fn process_broadcast(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        // Few and far between, and nothing else tells that it has arrived.
        ctx.log(Level::Info, format_args!("{SWITCH} is now `{}`", row.value));
        self.settings.put(SWITCH, row.value.to_owned())
    }
}

operator!(Switch);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn each_line_emits_what_the_switch_says() {
        let mut switch = Harness::open::<Switch, _>("null").unwrap();
        assert_eq!(switch.rows(["a"]).unwrap().main(), ["null"]);
        assert!(switch.broadcast(["on", "off"]).unwrap().main().is_empty());
        let logs = switch.logs();
        assert!(logs[0].ends_with("switch is now `on`"), "{logs:?}");
        assert_eq!(logs.len(), 2);
        assert_eq!(switch.rows(["b", "c"]).unwrap().main(), ["off", "off"]);
        switch.restart().unwrap();
        assert_eq!(switch.rows(["d"]).unwrap().main(), ["off"]);
        // An empty line is a value too.
        switch.broadcast([""]).unwrap();
        assert_eq!(switch.rows(["e"]).unwrap().main(), [""]);
        assert_eq!(switch.held("settings"), 1);
    }

    #[test]
    fn data_and_control_are_two_inputs() {
        let switch = Harness::open::<Switch, _>("null").unwrap();
        assert_eq!(switch.descriptor().inputs, 2);
    }
}

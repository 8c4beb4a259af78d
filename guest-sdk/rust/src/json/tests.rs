//! JSON rows, state and configuration in an operator.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::*;
use crate::testing::Harness;
use crate::{Ctx, Env, KeyedDescribe, KeyedProcess, Row, Value};

#[derive(Deserialize)]
struct Payment {
    cents: u64,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Account {
    payments: u64,
    cents: u64,
}

#[derive(Deserialize)]
struct Config {
    at_least: u64,
}

/// Sums up the payments of a user that are not too small.
#[derive(Default)]
struct Accounts {
    account: Value<Json<Account>>,
    at_least: u64,
}

impl KeyedProcess for Accounts {
    type In = Json<Payment>;
    type Out = Json<Account>;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("account", &mut self.account).prefetch();
    }

    fn open(&mut self, env: Env) -> Result<()> {
        let config: Option<Config> = env.config_as()?;
        self.at_least = config.map_or(0, |config| config.at_least);
        Ok(())
    }

    fn process(&mut self, row: Row<Json<Payment>>, ctx: &mut Ctx<Json<Account>>) -> Result<()> {
        if row.cents < self.at_least {
            return Ok(());
        }
        let Json(account) = self.account.get_mut()?.get_or_insert_default();
        account.payments += 1;
        account.cents += row.cents;
        ctx.emit(&*account)
    }
}

#[test]
fn rows_state_and_configuration_are_json() {
    let mut accounts = Harness::open::<Accounts, _>(r#"{"at_least":5}"#).unwrap();
    assert_eq!(accounts.descriptor().states[0].format, "json");
    let rows = [
        ("sann", r#"{"cents":7}"#),
        ("sann", r#"{"cents":4}"#),
        ("sann", r#" {"shop":"a","cents":5} "#),
    ];
    let expected = [
        r#"{"payments":1,"cents":7}"#,
        r#"{"payments":2,"cents":12}"#,
    ];
    assert_eq!(accounts.keyed(rows).unwrap().main(), expected);
}

#[test]
fn what_is_not_the_expected_json_is_a_bad_row() {
    let mut accounts = Harness::open::<Accounts, _>("null").unwrap();
    let rows = [("sann", r#"{"cents":7}"#), ("sann", r#"{"cents":"7"}"#)];
    let (row, message) = accounts.keyed(rows).unwrap().poisoned.unwrap();
    assert_eq!(row, 1);
    let expected = "the row: not the expected JSON: invalid type: string \"7\", expected u64";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn configuration_of_another_type_fails_the_start() {
    let error = Harness::open::<Accounts, _>("{}").err().unwrap();
    let expected = "the `config:` of this operator in the job file is `{}`, and does not fit: \
                    missing field `at_least`";
    assert_eq!(error, expected);

    let error = |json: &str| config::<u64>(json).unwrap_err().to_string();
    let expected = "the `config:` of this operator in the job file is `\"three\"`, and does not \
                    fit: invalid type: string \"three\", expected u64";
    assert_eq!(error("\"three\""), expected);
    let long = error(&format!("[{}\"ß\"]", "1,".repeat(MAX_SHOWN)));
    let cut = format!(
        "`[{}1…`, and does not fit: ",
        "1,".repeat(MAX_SHOWN / 2 - 1)
    );
    assert!(long.contains(&cut), "{long}");
}

#[test]
fn configuration_that_is_missing_is_asked_for() {
    let error = config::<Config>("null").err().unwrap().to_string();
    let begin = "this operator has no `config:` in the job file, and needs one";
    assert!(error.starts_with(begin), "{error}");
    assert!(!error.contains("line 1"), "{error}");
    assert!(config::<Option<Config>>("null").unwrap().is_none());
}

#[test]
fn a_value_is_emitted_by_itself_or_as_json_text() {
    fn written<T>(value: impl EncodeAs<T>) -> String {
        let mut out = Vec::new();
        value.encode_as(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }
    let account = || Account {
        payments: 1,
        cents: 7,
    };
    let expected = r#"{"payments":1,"cents":7}"#;
    assert_eq!(written::<Json<Account>>(account()), expected);
    assert_eq!(written::<Json<Account>>(&account()), expected);
    assert_eq!(written::<Json<Account>>(Json(account())), expected);
    assert_eq!(written::<String>(Json(account())), expected);
    assert_eq!(written::<String>(Json(&account())), expected);
}

#[test]
fn state_that_cannot_be_written_fails_the_call_and_is_named() {
    /// JSON has no objects with such keys.
    #[derive(Default)]
    struct Pairs {
        pairs: Value<Json<HashMap<(u8, u8), u8>>>,
    }
    impl KeyedProcess for Pairs {
        type In = String;
        type Out = String;
        fn describe(&mut self, d: &mut KeyedDescribe) {
            d.value("pairs", &mut self.pairs);
        }
        fn process(&mut self, _row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
            self.pairs.set(Json(HashMap::from([((1, 2), 3)])))
        }
    }
    let mut pairs = Harness::open::<Pairs, _>("null").unwrap();
    let error = pairs.keyed([("a", "row")]).unwrap_err();
    let expected = "state `pairs` cannot be written: no JSON can be made of the value: \
                    key must be a string";
    assert_eq!(error, expected);
}

//! Per user and item: what becomes of an item that was put into the cart. Rows are
//! `uuid,itemCode,behavior,price`.
//!
//! An `add` remembers the item; a `pay` or `del` afterwards tells what became of it and forgets it.
//! `config: { lang: zh }` tells it in Chinese.

use std::fmt;

use ad_log::{BEHAVIOR, ITEM, USER};
use serde::Deserialize;
use weir_guest::{Csv, Ctx, Env, KeyedDescribe, KeyedProcess, Result, Row, Value, bail, operator};

/// The `config:` of the operator.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    lang: Lang,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Lang {
    #[default]
    En,
    Zh,
}

#[derive(Default)]
struct Cart {
    /// The item, as long as it is in the cart.
    item: Value<String>,
    lang: Lang,
}

impl KeyedProcess for Cart {
    type In = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("item", &mut self.item).prefetch();
    }

    fn open(&mut self, env: Env) -> Result<()> {
        let config: Option<Config> = env.config_as()?;
        self.lang = config.unwrap_or_default().lang;
        Ok(())
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let (user, item, behavior) = (row.text(USER)?, row.text(ITEM)?, row.text(BEHAVIOR)?);
        let in_cart = self.item.get()?.is_some();
        let deed = match (&*behavior, in_cart) {
            ("add", false) => {
                self.item.set(item.clone().into_owned())?;
                Deed::Added
            }
            ("pay", true) => {
                self.item.clear()?;
                Deed::Paid
            }
            ("del", true) => {
                self.item.clear()?;
                Deed::Removed
            }
            ("add", true) | ("pay" | "del", false) => return Ok(()),
            (other, _) => bail!("{BEHAVIOR}: `{other}` is none of add, pay, del"),
        };
        ctx.emit(
            Told {
                lang: self.lang,
                user: &user,
                deed,
                item: &item,
            }
            .to_string(),
        )
    }
}

#[derive(Clone, Copy)]
enum Deed {
    Added,
    Paid,
    Removed,
}

/// A deed in words.
struct Told<'a> {
    lang: Lang,
    user: &'a str,
    deed: Deed,
    item: &'a str,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, item, .. } = self;
        match (self.lang, self.deed) {
            (Lang::En, Deed::Added) => write!(f, "user {user} added {item}"),
            (Lang::En, Deed::Paid) => write!(f, "user {user} paid {item}"),
            (Lang::En, Deed::Removed) => write!(f, "user {user} removed {item}"),
            (Lang::Zh, Deed::Added) => write!(f, "用户:{user} 加购了: {item}商品"),
            (Lang::Zh, Deed::Paid) => write!(f, "用户:{user} 支付了: {item}商品"),
            (Lang::Zh, Deed::Removed) => write!(f, "用户:{user} 取消了: {item}商品"),
        }
    }
}

operator!(Cart);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, Input};

    fn row(line: &str) -> Input {
        Input::row(line).key(line.split(',').take(2))
    }

    #[test]
    fn an_item_is_added_once_and_then_paid_or_removed() {
        let mut cart = Harness::open::<Cart, _>("null").unwrap();
        let rows = [
            "u1,i1,pay,7",
            "u1,i1,add,7",
            "u1,i1,add,7",
            "u2,i1,add,7",
            "u1,i2,add,7",
        ];
        let out = cart.batch(0, rows.map(row)).unwrap();
        let told = ["user u1 added i1", "user u2 added i1", "user u1 added i2"];
        assert_eq!(out.main(), told);
        assert_eq!(cart.held("item"), 3);

        cart.restart().unwrap();
        let rows = ["u1,i1,pay,7", "u1,i1,del,7", "u2,i1,del,7", "u1,i1,add,7"];
        let out = cart.batch(0, rows.map(row)).unwrap();
        let told = ["user u1 paid i1", "user u2 removed i1", "user u1 added i1"];
        assert_eq!(out.main(), told);
        assert_eq!(cart.held("item"), 2);
    }

    #[test]
    fn it_is_told_in_chinese_where_that_is_wanted() {
        let mut cart = Harness::open::<Cart, _>(r#"{"lang":"zh"}"#).unwrap();
        let rows = ["u1,i1,add,7", "u1,i1,pay,7", "u1,i1,add,7", "u1,i1,del,7"];
        let out = cart.batch(0, rows.map(row)).unwrap();
        let told = [
            "用户:u1 加购了: i1商品",
            "用户:u1 支付了: i1商品",
            "用户:u1 加购了: i1商品",
            "用户:u1 取消了: i1商品",
        ];
        assert_eq!(out.main(), told);
    }

    #[test]
    fn what_the_configuration_or_a_row_misspells_is_told() {
        let error = Harness::open::<Cart, _>(r#"{"lang":"fr"}"#).err().unwrap();
        assert!(error.contains("expected `en` or `zh`"), "{error}");
        let error = Harness::open::<Cart, _>(r#"{"language":"zh"}"#)
            .err()
            .unwrap();
        assert!(error.contains("unknown field `language`"), "{error}");
        let mut cart = Harness::open::<Cart, _>("null").unwrap();
        let out = cart
            .batch(0, [row("u1,i1,add,7"), row("u1,i1,buy,7")])
            .unwrap();
        let message = "column 2 (behavior): `buy` is none of add, pay, del";
        assert_eq!(out.poisoned, Some((1, message.to_owned())));
        assert_eq!(cart.held("item"), 1);
    }
}

//! Names of types as their author writes them, for messages.

/// The name of a type without the paths in it: `Value<String>`.
pub(crate) fn short_type_name<T: ?Sized>() -> String {
    short(std::any::type_name::<T>())
}

/// A name of a type without the paths in it.
pub(crate) fn short(name: &str) -> String {
    let is_name = |char: char| char.is_alphanumeric() || char == '_';
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find("::") {
        // What leads here is a path, back to where another name could not go on.
        let (before, after) = rest.split_at(at);
        let path = before.trim_end_matches(is_name);
        out.push_str(path);
        rest = &after[2..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_left_out_wherever_they_are() {
        assert_eq!(short("i64"), "i64");
        assert_eq!(short("alloc::string::String"), "String");
        let map = "weir_guest::state::map::Map<alloc::string::String, \
                   core::option::Option<(my_crate::Rule, [u8; 4])>>";
        assert_eq!(short(map), "Map<String, Option<(Rule, [u8; 4])>>");
        assert_eq!(short("&a::B<dyn c::D>"), "&B<dyn D>");
        assert_eq!(short_type_name::<Vec<String>>(), "Vec<String>");
    }
}

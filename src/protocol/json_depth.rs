//! Measures how deep the JSON of a Socket.IO packet is nested. socket.io's encoder is recursive, so
//! an app that echoes 20,000 nested arrays would overflow its stack.

/// Whether the JSON in a Socket.IO packet is nested deeper than `most` levels; 0 allows any depth.
/// The result is arbitrary for text that is not JSON, because socket.io's parser rejects that.
pub fn exceeds(packet: &[u8], most: usize) -> bool {
    // Each level needs a bracket, and counting brackets is many times faster than tracking depth.
    if most == 0 || packet.len() <= most || brackets(packet) <= most {
        return false;
    }
    depth_exceeds(json(packet), most)
}

/// The number of opening brackets, including those in strings.
fn brackets(text: &[u8]) -> usize {
    text.iter().filter(|byte| is_opening(**byte)).count()
}

/// `[` and `{` differ only in the bit 0x20, and no other byte becomes `{` when it is set.
fn is_opening(byte: u8) -> bool {
    byte | 0x20 == b'{'
}

/// Skips the packet's type, number of attachments and namespace. A quote in a namespace must not be
/// taken for a string; the id that may follow consists of digits and is harmless.
fn json(packet: &[u8]) -> &[u8] {
    let Some((kind @ b'0'..=b'9', mut rest)) = packet.split_first() else { return packet };
    if matches!(kind, b'5' | b'6') {
        rest = text_after(rest, b'-');
    }
    if rest.first() == Some(&b'/') {
        rest = text_after(rest, b',');
    }
    rest
}

/// The text after the first `byte`, or an empty slice if there is none.
fn text_after(text: &[u8], byte: u8) -> &[u8] {
    let at = text.iter().position(|each| *each == byte);
    at.and_then(|at| text.get(at.saturating_add(1)..)).unwrap_or(&[])
}

fn depth_exceeds(json: &[u8], most: usize) -> bool {
    let mut depth: usize = 0;
    let mut is_string = false;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_string = !is_string,
            b'\\' if is_string => {
                bytes.next();
            }
            b'[' | b'{' if !is_string => {
                depth = depth.saturating_add(1);
                if depth > most {
                    return true;
                }
            }
            b']' | b'}' if !is_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn counts_levels_and_not_brackets() {
        assert!(!exceeds(nested(10).as_bytes(), 10));
        assert!(exceeds(nested(11).as_bytes(), 10));
        assert!(!exceeds(nested(11).as_bytes(), 0));
        let objects = r#"{"a":"#.repeat(11) + "1" + &"}".repeat(11);
        assert!(exceeds(objects.as_bytes(), 10) && !exceeds(objects.as_bytes(), 11));
        let wide = format!("[{}]", vec!["[{}]"; 1000].join(","));
        assert!(!exceeds(wide.as_bytes(), 3) && exceeds(wide.as_bytes(), 2));
    }

    #[test]
    fn ignores_brackets_in_strings() {
        let text = format!(r#"["{}","\"{}\\",{}]"#, "[".repeat(50), "{".repeat(50), nested(4));
        assert!(!exceeds(text.as_bytes(), 5));
        assert!(exceeds(text.as_bytes(), 4));
    }

    #[test]
    fn finds_the_json_behind_any_header() {
        for header in
            ["2", "23", "2/a,", "2/a,12", "51-", "51-/a,7", "3/\"a\\,1", "2/a[[[,", "61-/\","]
        {
            let deep = format!("{header}{}", nested(11));
            assert!(exceeds(deep.as_bytes(), 10), "{header}");
            let good = format!("{header}{}", nested(10));
            assert!(!exceeds(good.as_bytes(), 10), "{header}");
        }
        for broken in ["", "5[[[[[[[[[[[[[[[[", "2/[[[[[[[[[[[[[[[[[", "\"[[[[[[[[[[[[[[[[[["] {
            assert!(!exceeds(broken.as_bytes(), 10), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_parser(json in any_json(), most in 1usize..8) {
            let packet = format!("2{json}");
            prop_assert_eq!(exceeds(packet.as_bytes(), most), depth_of(&json) > most);
        }

        #[test]
        fn never_panics(bytes: Vec<u8>, most in 0usize..4) {
            let _ = exceeds(&bytes, most);
        }
    }

    /// JSON whose strings contain quotes and brackets; [`depth_of`] measures its depth recursively.
    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = "[a\\[\\]{}\"\\\\]{0,6}".prop_map(Json::Text);
        let (depth, size) = if cfg!(miri) { (3, 6) } else { (8, 32) };
        leaf.prop_recursive(depth, size, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::List),
                ("[a\\[{\"\\\\]{0,3}", inner)
                    .prop_map(|(key, value)| Json::Object(key, Box::new(value))),
            ]
        })
    }

    #[derive(Debug, Clone)]
    enum Json {
        Text(String),
        List(Vec<Json>),
        Object(String, Box<Json>),
    }

    fn quoted(text: &str) -> String {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }

    impl std::fmt::Display for Json {
        fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self {
                Json::Text(text) => out.write_str(&quoted(text)),
                Json::List(all) => {
                    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                    write!(out, "[{}]", all.join(","))
                }
                Json::Object(key, value) => write!(out, "{{{}:{value}}}", quoted(key)),
            }
        }
    }

    fn depth_of(json: &Json) -> usize {
        match json {
            Json::Text(_) => 0,
            Json::List(all) => 1 + all.iter().map(depth_of).max().unwrap_or(0),
            Json::Object(_, value) => 1 + depth_of(value),
        }
    }
}

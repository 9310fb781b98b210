//! JSONP polling: payloads as calls of a JavaScript function, which a script tag loads, and POSTs as
//! HTML forms. It is how browsers without CORS poll. Source: engine.io, `transports/polling-jsonp`.
//!
//! A script tag of any website can load a script with the user's cookies, so
//! `lib/admission/origin/jsonp.js` decides which requests may use this form.

use super::payload::repair_utf8;

/// The most digits of a callback's index. Clients count their callbacks from 0.
const MAX_DIGITS: usize = 20;

/// The function that an answer calls: `___eio[<digits>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback(Box<str>);

impl Callback {
    /// The callback that the parameter `j` names. Only its digits count, so that a request cannot
    /// put code into the answer.
    pub fn new(index: &str) -> Self {
        Self(index.chars().filter(char::is_ascii_digit).take(MAX_DIGITS).collect())
    }

    /// The script that calls the function with a payload, which is UTF-8.
    pub fn call(&self, payload: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(payload);
        // JSON allows these two separators in strings; JavaScript did not before 2019.
        let json = serde_json::Value::from(text).to_string();
        let json = json.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
        format!("___eio[{}]({json});", self.0).into_bytes()
    }
}

/// The payload in the field `d` of a form; `None` unless there is exactly one such field.
pub fn read_form(body: &[u8]) -> Option<Vec<u8>> {
    let mut fields = body.split(|byte| *byte == b'&').filter_map(|pair| pair.strip_prefix(b"d="));
    match (fields.next(), fields.next()) {
        (Some(value), None) => Some(unescape_newlines(&repair_utf8(decode_component(value)))),
        _ => None,
    }
}

/// Decodes `+` and `%` sequences. A `%` without two hexadecimal digits stands for itself.
fn decode_component(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*first),
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Undoes the client's escapes. It writes a newline as `\n`, because a form would turn it into two
/// characters, and the two characters `\n` as `\\n`.
fn unescape_newlines(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return out,
            [b'\\', b'\\', b'n', after @ ..] => {
                out.extend_from_slice(b"\\n");
                after
            }
            [b'\\', b'n', after @ ..] => {
                out.push(b'\n');
                after
            }
            [first, after @ ..] => {
                out.push(*first);
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(index: &str, payload: &str) -> String {
        String::from_utf8(Callback::new(index).call(payload.as_bytes())).unwrap()
    }

    #[test]
    fn calls_the_function_with_a_string() {
        assert_eq!(called("0", "4a\"b\\c\n\u{1}"), r#"___eio[0]("4a\"b\\c\n\u0001");"#);
        assert_eq!(
            called("7", "4\u{2028}\u{2029}\u{20ac}"),
            "___eio[7](\"4\\u2028\\u2029\u{20ac}\");"
        );
    }

    #[test]
    fn takes_only_digits_of_the_index() {
        assert_eq!(called("1](alert(2))//", "6"), r#"___eio[12]("6");"#);
        assert_eq!(called("", "6"), r#"___eio[]("6");"#);
        assert_eq!(called(&"9".repeat(1000), "6").len(), MAX_DIGITS + r#"___eio[]("6");"#.len());
    }

    #[test]
    fn reads_the_field_of_a_form() {
        let cases: [(&[u8], Option<&str>); 9] = [
            (b"d=4a", Some("4a")),
            (b"x=1&d=4a+b%20c%C3%A9&y", Some("4a b c\u{e9}")),
            (b"d=4%zz%4", Some("4%zz%4")),
            (b"d=4%ff", Some("4\u{fffd}")),
            (b"d=4a%5Cnb%5C%5Cnc", Some("4a\nb\\nc")),
            (b"d=", Some("")),
            (b"d=1&d=2", None),
            (b"e=4a", None),
            (b"", None),
        ];
        for (body, expected) in cases {
            assert_eq!(read_form(body).as_deref(), expected.map(str::as_bytes), "{body:?}");
        }
    }
}

//! Nesting depth. For valid JSON in any kind of packet, the scan agrees with a parser.

use serde_json::Value;
use upwire::protocol::json_depth::exceeds;

/// The possible headers before the JSON of a packet.
const HEADS: [&str; 5] = ["", "2", "212", "2/chat[room],", "51-/a,3"];

pub fn check(data: &[u8]) {
    let Some((choice, json)) = data.split_first() else { return };
    let most = 1 + usize::from(choice >> 3) * 3;
    let head = HEADS[usize::from(choice & 7) % HEADS.len()];
    let packet = [head.as_bytes(), json].concat();
    let verdict = exceeds(&packet, most);
    assert!(!exceeds(&packet, 0), "0 must allow any depth");
    assert!(
        !verdict || exceeds(&packet, most - 1) || most == 1,
        "a smaller limit must be exceeded as well"
    );
    // A parser takes only so much; without a head a first digit would be the packet's type.
    let is_whole = head.is_empty() && json.first().is_some_and(u8::is_ascii_digit);
    if let (Ok(value), false) = (serde_json::from_slice::<Value>(json), is_whole) {
        assert_eq!(verdict, depth(&value) > most, "{value}");
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

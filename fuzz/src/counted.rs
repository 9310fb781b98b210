//! A second implementation of revision 3's payloads, which accepts only what a server must write.

/// The packets of a payload that is text.
pub fn split_text(payload: &[u8]) -> Vec<Vec<u8>> {
    let text = std::str::from_utf8(payload).expect("a payload of text is UTF-8");
    let mut units: Vec<u16> = text.encode_utf16().collect();
    let mut packets = Vec::new();
    while !units.is_empty() {
        let colon = units.iter().position(|unit| *unit == 58).expect("a length has a colon");
        let length: String = char::decode_utf16(units.drain(..=colon)).flatten().collect();
        let length: usize = length.trim_end_matches(':').parse().expect("a length is a number");
        let packet: Vec<u16> = units.drain(..length).collect();
        packets.push(String::from_utf16(&packet).expect("a packet is text").into_bytes());
    }
    packets
}

/// The packets of a payload that is bytes, and whether each is text.
pub fn split_bytes(mut payload: &[u8]) -> Vec<(bool, Vec<u8>)> {
    let mut packets = Vec::new();
    while let [tag, rest @ ..] = payload {
        assert!(*tag <= 1, "tag {tag}");
        let end = rest.iter().position(|byte| *byte == 255).expect("a length has an end");
        let digits = &rest[..end];
        assert!(!digits.is_empty() && digits.iter().all(|digit| *digit <= 9));
        let length = digits.iter().fold(0, |length, digit| length * 10 + usize::from(*digit));
        let (packet, after) = rest[end + 1..].split_at(length);
        packets.push((*tag == 0, packet.to_vec()));
        payload = after;
    }
    packets
}

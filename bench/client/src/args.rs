//! The command line: a scenario, then `--name value` pairs.

use std::str::FromStr;

use crate::fault::{Fault, Result};

pub const USAGE: &str = "upwire-bench-client \
    <echo|paced|binary|fanout|storm|upgrade|polling|probe|soak> --port N [--connections N] [--size BYTES] \
    [--outstanding N] [--rate PER_SECOND] [--in-flight N] [--settled 0|1] [--interval-us N] \
    [--replaced PER_SECOND]";

pub struct Args {
    pub scenario: String,
    pairs: Vec<(String, String)>,
}

impl Args {
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut words = words.into_iter();
        let scenario = words.next().ok_or_else(|| Fault::Usage(USAGE.to_owned()))?;
        let mut pairs = Vec::new();
        while let Some(name) = words.next() {
            let value = words.next().filter(|_| name.starts_with("--"));
            let value = value.ok_or_else(|| Fault::Usage(format!("{name}? {USAGE}")))?;
            pairs.push((name[2..].to_owned(), value));
        }
        Ok(Self { scenario, pairs })
    }

    pub fn number<T: FromStr>(&self, name: &str) -> Result<T> {
        self.pairs
            .iter()
            .find(|(given, _)| given == name)
            .and_then(|(_, value)| value.parse().ok())
            .ok_or_else(|| Fault::Usage(format!("--{name} needs a number; {USAGE}")))
    }
}

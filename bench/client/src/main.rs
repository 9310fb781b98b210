//! Load client of the bench: one thread, one epoll loop ([`driver`]), prebuilt frames, coalesced
//! writes. It must cost less than the server it measures, and it checks every message: a figure
//! counts only if nothing was lost, doubled or reordered.
//!
//! From the wire upwards: [`poller`] and [`socket`] → [`http`] and [`frame`] → [`channel`] (a WebSocket) → [`link`]
//! (a Socket.IO client) → [`crowd`] (many of them) → one file per scenario: [`echo`], [`binary`], [`fanout`],
//! [`storm`], [`upgrade`], [`polling`], [`probe`], [`soak`].

mod args;
mod binary;
mod channel;
mod crowd;
mod driver;
mod echo;
mod engine_io;
mod fanout;
mod fault;
mod frame;
mod http;
mod link;
mod loopback;
mod poller;
mod polling;
mod probe;
mod soak;
mod socket;
mod storm;
mod template;
mod upgrade;

use std::process::ExitCode;
use std::time::Duration;

use args::Args;
use driver::Scenario;
use fault::{Fault, Result};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            println!(r#"{{"event":"failed","message":{}}}"#, json_string(&fault.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args = Args::parse(std::env::args().skip(1))?;
    let mut scenario = scenario(&args)?;
    driver::drive(scenario.as_mut())
}

fn scenario(args: &Args) -> Result<Box<dyn Scenario>> {
    let port = args.number("port")?;
    let connections = || args.number::<u16>("connections");
    let size = || args.number("size");
    let in_flight = || args.number("in-flight");
    let echo = |load| echo::Echo::new(port, connections()?, size()?, load);
    let (scenario, descriptors): (Box<dyn Scenario>, usize) = match args.scenario.as_str() {
        "echo" => {
            let load = echo::Load::Outstanding(args.number("outstanding")?);
            (Box::new(echo(load)?), connections()?.into())
        }
        "paced" => {
            let load = echo::Load::PerSecond(args.number("rate")?);
            (Box::new(echo(load)?), connections()?.into())
        }
        "binary" => {
            let binary = binary::Binary::new(port, connections()?, size()?)?;
            (Box::new(binary), connections()?.into())
        }
        "fanout" => {
            let fanout =
                fanout::Fanout::new(port, connections()?, size()?, args.number("outstanding")?)?;
            (Box::new(fanout), connections()?.into())
        }
        "storm" => (Box::new(storm::Storm::new(port, in_flight()?)), in_flight()?),
        "upgrade" => {
            let settled = args.number::<u8>("settled")? == 1;
            (Box::new(upgrade::Upgrade::new(port, in_flight()?, settled)), 3 * in_flight()?)
        }
        "polling" => {
            let polling = polling::Polling::new(port, connections()?, size()?)?;
            (Box::new(polling), 2 * usize::from(connections()?))
        }
        "probe" => {
            let interval = Duration::from_micros(args.number("interval-us")?);
            (Box::new(probe::Probe::new(port, connections()?, interval)), connections()?.into())
        }
        "soak" => {
            let (rate, replaced) = (args.number("rate")?, args.number("replaced")?);
            let soak = soak::Soak::new(port, connections()?, size()?, rate, replaced)?;
            (Box::new(soak), connections()?.into())
        }
        unknown => return Err(Fault::Usage(format!("{unknown}? {}", args::USAGE))),
    };
    loopback::allow_descriptors(descriptors)?;
    Ok(scenario)
}

fn json_string(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\u{20}'.. => quoted.push(character),
            _ => quoted.push(' '),
        }
    }
    quoted.push('"');
    quoted
}

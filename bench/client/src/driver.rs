//! The only loop of the process: readiness, timer, and commands from the bench's runner.
//!
//! Commands are lines on standard input, answers are lines of JSON on standard output:
//!
//! | command | answer |
//! |---|---|
//! | – | `{"event":"ready"}` once everything is connected |
//! | `go` | none: the load starts |
//! | `mark` | `{"event":"mark","count":…,"cpu_us":…}`; the samples start over |
//! | `until N` | `{"event":"until",…}` once `N` messages have been received and verified since the
//! start |
//! | `stop` | no new messages; `{"event":"done",…}` once nothing is outstanding, then the process ends |
//!
//! A fault is `{"event":"failed","message":…}`, after which the process ends with 1. It also ends
//! when standard input closes, so that nothing outlives a killed runner.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use rustix::stdio::stdin;
use rustix::time::{ClockId, clock_gettime};

use crate::fault::{Fault, Result};
use crate::poller::{Poller, Readiness, Ticker, unpack};
use crate::socket::Scratch;

const STDIN: u64 = u64::MAX;
const TICK: u64 = u64::MAX - 1;

/// How long outstanding echoes may take once the load has stopped: in fan-out, stock works off long
/// queues.
const DRAIN: Duration = Duration::from_secs(30);

/// How long to wait for messages that must not come, such as duplicates.
const LINGER: Duration = Duration::from_millis(50);

/// The parts of the process that all scenarios share.
pub struct Io {
    pub poller: Poller,
    pub scratch: Scratch,
}

/// One kind of load. The scenario defines its own tokens.
pub trait Scenario {
    fn open(&mut self, io: &mut Io) -> Result<()>;
    fn is_connected(&self) -> bool;
    fn start(&mut self, io: &mut Io) -> Result<()>;
    fn ready(&mut self, io: &mut Io, token: u64, readiness: Readiness) -> Result<()>;
    /// The time between calls to `tick` after the start, where the load is paced.
    fn interval(&self) -> Option<Duration> {
        None
    }
    fn tick(&mut self, _io: &mut Io, _due: u64) -> Result<()> {
        Ok(())
    }
    /// The pause after each pass over the sockets, once connected.
    fn nap(&self) -> Option<Duration> {
        None
    }
    fn stop(&mut self);
    fn is_drained(&self) -> bool;
    /// Messages received and verified, connections completed, or pages fetched.
    fn count(&self) -> u64;
    /// The progress so far, for the message when it takes too long.
    fn progress(&self) -> String;
    /// The times measured since the last mark, in microseconds, where the scenario measures times.
    fn samples(&mut self) -> Option<&mut Vec<u32>> {
        None
    }
}

enum Stage {
    Connecting,
    Running,
    Draining { deadline: Instant },
    Lingering { until: Instant },
}

struct Driver<'a> {
    scenario: &'a mut dyn Scenario,
    io: Io,
    stage: Stage,
    ticker: Option<Ticker>,
    until: Option<u64>,
    line: String,
}

pub fn drive(scenario: &mut dyn Scenario) -> Result<()> {
    let io = Io { poller: Poller::new()?, scratch: Scratch::new() };
    io.poller.watch(stdin(), STDIN, false)?;
    let stage = Stage::Connecting;
    Driver { scenario, io, stage, ticker: None, until: None, line: String::new() }.run()
}

impl Driver<'_> {
    fn run(&mut self) -> Result<()> {
        let mut events = Poller::events();
        self.scenario.open(&mut self.io)?;
        loop {
            let wait = match self.stage {
                Stage::Lingering { .. } => Duration::from_millis(10),
                _ => Duration::from_secs(1),
            };
            self.io.poller.wait(&mut events, wait)?;
            for event in events.drain(..) {
                match unpack(event) {
                    (STDIN, _) => self.read_commands()?,
                    (TICK, _) => {
                        let due = self.ticker.as_ref().map_or(Ok(0), Ticker::expirations)?;
                        self.scenario.tick(&mut self.io, due)?;
                    }
                    (token, readiness) => self.scenario.ready(&mut self.io, token, readiness)?,
                }
            }
            if self.advance()? {
                return Ok(());
            }
            if let (Stage::Running, Some(nap)) = (&self.stage, self.scenario.nap()) {
                thread::sleep(nap);
            }
        }
    }

    /// Acts on the state reached; returns true at the end.
    fn advance(&mut self) -> Result<bool> {
        if self.until.is_some_and(|count| self.scenario.count() >= count) {
            self.until = None;
            self.say("until");
        }
        match self.stage {
            Stage::Connecting if self.scenario.is_connected() => {
                self.stage = Stage::Running;
                self.say("ready");
            }
            Stage::Draining { .. } if self.scenario.is_drained() => {
                self.stage = Stage::Lingering { until: Instant::now() + LINGER };
            }
            Stage::Draining { deadline } if Instant::now() > deadline => {
                return Err(Fault::Verify(format!("still missing: {}", self.scenario.progress())));
            }
            Stage::Lingering { until } if Instant::now() > until => {
                self.say("done");
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    fn read_commands(&mut self) -> Result<()> {
        let mut bytes = [0; 256];
        let read = rustix::io::read(stdin(), &mut bytes).map_err(Fault::io("read commands"))?;
        if read == 0 {
            return Err(Fault::Usage("standard input was closed".to_owned()));
        }
        self.line.push_str(&String::from_utf8_lossy(&bytes[..read]));
        while let Some(end) = self.line.find('\n') {
            let command: String = self.line.drain(..=end).collect();
            self.obey(command.trim())?;
        }
        Ok(())
    }

    fn obey(&mut self, command: &str) -> Result<()> {
        match command.split_once(' ').unwrap_or((command, "")) {
            ("go", "") => {
                if let Some(interval) = self.scenario.interval() {
                    let ticker = Ticker::every(interval)?;
                    self.io.poller.watch(&ticker, TICK, false)?;
                    self.ticker = Some(ticker);
                }
                self.scenario.start(&mut self.io)
            }
            ("mark", "") => {
                self.say("mark");
                if let Some(samples) = self.scenario.samples() {
                    samples.clear();
                }
                Ok(())
            }
            ("until", count) => {
                let count = count.parse();
                self.until = Some(count.map_err(|_| Fault::Usage(command.to_owned()))?);
                Ok(())
            }
            ("stop", "") => {
                if let Some(ticker) = self.ticker.take() {
                    self.io.poller.unwatch(&ticker)?;
                }
                self.scenario.stop();
                self.stage = Stage::Draining { deadline: Instant::now() + DRAIN };
                Ok(())
            }
            _ => Err(Fault::Usage(format!("unknown command {command:?}"))),
        }
    }

    fn say(&mut self, event: &str) {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = cpu.tv_sec * 1_000_000 + cpu.tv_nsec / 1000;
        let count = self.scenario.count();
        let mut line = format!(r#"{{"event":"{event}","count":{count},"cpu_us":{cpu}"#);
        if let Some(samples) = self.scenario.samples().filter(|samples| !samples.is_empty()) {
            samples.sort_unstable();
            let (n, last) = (samples.len(), samples.len() - 1);
            let (p50, p99, max) = (samples[last / 2], samples[last * 99 / 100], samples[last]);
            let _ = write!(
                line,
                r#","samples":{{"n":{n},"p50_us":{p50},"p99_us":{p99},"max_us":{max}}}"#
            );
        }
        println!("{line}}}");
    }
}

//! Random histories: what a driver does to a log until the power fails.

use freshet_log::{AppendError, LogError};
use freshet_sim::{Dice, FakeDisk};
use freshet_types::LeaderEpoch;

use crate::machine::{Machine, Setup, ask};
use crate::model::Model;

/// One log through many boots.
pub(crate) struct History {
    pub(crate) disk: FakeDisk,
    pub(crate) model: Model,
    setup: Setup,
    dice: Dice,
    epoch: LeaderEpoch,
    /// What was done, for a panic to tell.
    story: Vec<String>,
}

impl Drop for History {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.story.join("\n"));
        }
    }
}

/// The power failed, so this boot is over.
struct Dark;

impl History {
    pub(crate) fn new(seed: u64, setup: Setup) -> Self {
        Self {
            disk: FakeDisk::new(seed),
            model: Model::default(),
            setup,
            dice: Dice::new(seed).of("history"),
            epoch: 0,
            story: vec![format!("seed {seed}")],
        }
    }

    fn tell(&mut self, what: impl Into<String>) {
        self.story.push(what.into());
    }

    /// Boots, compares, works for a while with the power failing somewhere, and crashes.
    pub(crate) fn boot_and_crash(
        &mut self,
        boot: u64,
        prepare: impl Fn(&FakeDisk),
    ) -> Result<(), String> {
        let dice = self.dice.of(boot);
        self.disk.set_short_io(dice.below(3, "short") * 20);
        self.disk.set_cold(dice.below(3, "cold") * 40);
        prepare(&self.disk);
        let early = dice.chance(15, "early");
        self.tell(format!("boot {boot}, early {early}"));
        if early {
            // While it opens and recovers.
            self.disk.power_off_during(1 + dice.below(8, "early off"));
        }
        if let Some(machine) = self.boot()? {
            if !early {
                self.disk.power_off_during(1 + dice.below(120, "off"));
            }
            self.work(&machine, dice);
            self.note(&machine);
            self.end(machine, dice);
        }
        self.disk = self.disk.crash();
        Ok(())
    }

    /// The last boot: everything must be there, and the log must work.
    pub(crate) fn boot_and_finish(mut self) -> Result<(), String> {
        self.disk.set_short_io(0);
        let machine = self.boot()?.ok_or("the power fails for no reason")?;
        let bytes = self.model.next_batch(self.dice, self.epoch);
        let answer = machine.send(bytes, self.epoch).wait();
        answer.map_err(|error| error.to_string())?;
        let flushed = machine.seen.wait_flushed(self.model.end());
        flushed.map_err(|error| error.to_string())?;
        self.model.compare(machine.view())?;
        machine.leave();
        Ok(())
    }

    /// `None` when the power failed meanwhile.
    fn boot(&mut self) -> Result<Option<Machine>, String> {
        let machine = match Machine::boot(&self.disk, &self.setup) {
            Ok(machine) => machine,
            Err(_) if !self.disk.is_on() => {
                self.tell("dark while it opens");
                return Ok(None);
            }
            Err(error) => return Err(format!("does not open: {error}")),
        };
        let compared = self.check(&machine);
        if !self.disk.is_on() {
            machine.leave();
            return Ok(None);
        }
        compared?;
        self.epoch += 1;
        Ok(Some(machine))
    }

    fn check(&mut self, machine: &Machine) -> Result<(), String> {
        // A boot that ends in the dark is no proof of what the disk has: compare a copy of it.
        let mut model = self.model.clone();
        model.reconcile(machine.view())?;
        for sent in model.retries() {
            let answer = machine.send(sent.bytes.clone(), self.epoch).wait();
            let appended = answer.map_err(|error| format!("retry refused: {error}"))?;
            if !appended.duplicate || appended.base_offset != sent.base {
                return Err(format!("a retry of {} went to {appended:?}", sent.base));
            }
        }
        if self.disk.is_on() {
            let (start, end) = (model.start.1, model.end());
            self.tell(format!("found {start}..{end}"));
            self.model = model;
        }
        Ok(())
    }

    fn work(&mut self, machine: &Machine, dice: Dice) {
        for step in 0..60_u64 {
            if self.step(machine, dice.of(step)).is_err() {
                return;
            }
        }
    }

    fn step(&mut self, machine: &Machine, dice: Dice) -> Result<(), Dark> {
        match dice.below(100, "step") {
            0..60 => self.burst(machine, dice),
            60..75 => {
                self.tell("wait until flushed");
                let flushed = machine.seen.wait_flushed(self.model.end());
                self.settle(flushed)
            }
            75..82 => {
                self.tell("roll");
                let rolled = ask(|done| machine.log.roll(done));
                self.settle(rolled)
            }
            82..88 => {
                self.tell("flush");
                let flushed = ask(|done| machine.log.flush(done));
                self.settle(flushed)
            }
            88..94 => self.trim(machine, dice),
            94..97 => self.truncate(machine, dice),
            _ => {
                self.tell("retain");
                self.setup.clock.advance(1000);
                let now = freshet_env::Clock::wall(&*self.setup.clock);
                let end = self.model.safe_end;
                let retained = ask(|done| machine.log.retain(now, end, done));
                self.settle(retained)
            }
        }
    }

    /// Some appends without waiting in between.
    fn burst(&mut self, machine: &Machine, dice: Dice) -> Result<(), Dark> {
        let mut answers = Vec::new();
        for i in 0..1 + dice.below(5, "burst") {
            let base = self.model.end();
            let bytes = self.model.next_batch(dice.of(i), self.epoch);
            let sent = self.model.newest();
            self.tell(format!("append {sent}"));
            answers.push((base, machine.send(bytes, self.epoch)));
        }
        let mut dark = false;
        for (base, answer) in answers {
            match answer.wait() {
                Ok(appended) => {
                    assert_eq!((appended.base_offset, appended.duplicate), (base, false))
                }
                Err(AppendError::Log(LogError::Offline { .. })) => dark = true,
                Err(error) => panic!("refused: {error}"),
            }
        }
        if dark {
            assert!(!self.disk.is_on(), "offline with a healthy disk");
            return Err(Dark);
        }
        Ok(())
    }

    fn trim(&mut self, machine: &Machine, dice: Dice) -> Result<(), Dark> {
        let (_, start) = self.model.start;
        let room = self.model.end() - start;
        let to = start + dice.below(room as u64 + 1, "trim") as i64 / 2;
        self.model.start.1 = to;
        self.tell(format!("trim to {to}"));
        let trimmed = ask(|done| machine.log.trim(to, done));
        if let Ok(start) = trimmed {
            assert_eq!(start, to);
            self.note(machine);
            self.model.trimmed(to);
        }
        self.settle(trimmed)
    }

    fn truncate(&mut self, machine: &Machine, dice: Dice) -> Result<(), Dark> {
        let (_, start) = self.model.start;
        let room = self.model.end() - start;
        let to = self.model.end() - dice.below(room as u64 + 1, "truncate") as i64 / 3;
        let Some(to) = self.model.batch_start(to) else {
            return Ok(());
        };
        self.tell(format!("truncate to {to}"));
        self.note(machine);
        self.model.safe_end = self.model.safe_end.min(to);
        let cut = ask(|done| machine.log.truncate(to, done));
        machine.seen.cut(to);
        if let Ok(end) = cut {
            assert_eq!(end, to);
            self.model.cut(to);
        }
        self.settle(cut)
    }

    /// Commands fail only in the dark.
    fn settle<T>(&self, answer: Result<T, LogError>) -> Result<(), Dark> {
        match answer {
            Ok(_) => Ok(()),
            Err(error) => {
                assert!(!self.disk.is_on(), "{error}");
                Err(Dark)
            }
        }
    }

    /// What was told to be durable has to be from now on.
    fn note(&mut self, machine: &Machine) {
        let flushed = machine.seen.told().flushed.min(self.model.end());
        self.model.safe_end = self.model.safe_end.max(flushed);
    }

    fn end(&mut self, machine: Machine, dice: Dice) {
        if self.disk.is_on() && dice.chance(30, "stop") {
            machine.writers.stop().unwrap_or_else(|error| {
                assert!(!self.disk.is_on(), "{error}");
            });
            if self.disk.is_on() {
                self.model.safe_end = self.model.end();
            }
        } else {
            // The process dies with the machine; its threads find a dead disk.
            let crashed = self.disk.crash();
            machine.leave();
            self.disk = crashed;
        }
    }
}

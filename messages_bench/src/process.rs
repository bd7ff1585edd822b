//! What a process has used: CPU time and memory, from `/proc`.

use std::fs;
use std::ops::{Add, Sub};
use std::time::Duration;

/// The kernel tells CPU time to user space in hundredths of a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// CPU time used so far, or between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cpu {
    /// In the program itself.
    pub user: Duration,
    /// In the kernel on its behalf.
    pub system: Duration,
}

impl Cpu {
    /// The CPU time of a process; `None` when there is none.
    pub fn of(pid: u32) -> Option<Self> {
        parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The CPU time of a process and everything that it has started and that lives: of a Postgres, whose
    /// every connection is a process. None at all when there is no such process.
    pub fn of_all(pid: u32) -> Self {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
        children.map(Self::of_all).fold(Self::of(pid).unwrap_or_default(), |a, b| a + b)
    }

    /// Both parts together.
    pub fn total(self) -> Duration {
        self.user + self.system
    }
}

impl Add for Cpu {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { user: self.user + other.user, system: self.system + other.system }
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

fn parse_stat(stat: &str) -> Option<Cpu> {
    // The name of the program may hold spaces and parentheses; the fields begin behind the last.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().skip(11);
    let mut time = || Some(TICK * fields.next()?.parse().ok()?);
    Some(Cpu { user: time()?, system: time()? })
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Memory {
    /// The memory of a process; `None` when there is none.
    pub fn of(pid: u32) -> Option<Self> {
        parse_status(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }
}

fn parse_status(status: &str) -> Option<Memory> {
    let kilobytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(Memory { resident: kilobytes("VmRSS")? << 10, peak: kilobytes("VmHWM")? << 10 })
}

/// The processes of a server.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    /// Of the server itself, one for each node.
    pub nodes: Vec<u32>,
    /// What else it uses, by name; their children count as well.
    pub beside: Vec<(String, u32)>,
}

impl Processes {
    /// The memory of all nodes together; `None` when it is not known.
    pub fn memory(&self) -> Option<Memory> {
        let add = |a: Memory, b: Memory| Memory {
            resident: a.resident + b.resident,
            peak: a.peak + b.peak,
        };
        self.nodes.iter().filter_map(|pid| Memory::of(*pid)).reduce(add)
    }
}

/// The server and the bench at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The nodes of the server, as far as their processes are known.
    pub nodes: Vec<Cpu>,
    /// What else it uses.
    pub beside: Vec<(String, Cpu)>,
    /// The bench itself.
    pub own: Cpu,
}

impl Snapshot {
    /// Takes the CPU times now.
    pub fn take(processes: &Processes) -> Self {
        let of = |pid: &u32| Cpu::of(*pid).unwrap_or_default();
        let beside = |(name, pid): &(String, u32)| (name.clone(), Cpu::of_all(*pid));
        Self {
            nodes: processes.nodes.iter().map(of).collect(),
            beside: processes.beside.iter().map(beside).collect(),
            own: of(&std::process::id()),
        }
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        let beside = self.beside.into_iter().zip(earlier.beside);
        Self {
            nodes: self.nodes.iter().zip(earlier.nodes).map(|(now, then)| *now - then).collect(),
            beside: beside.map(|((name, now), (_, then))| (name, now - then)).collect(),
            own: self.own - earlier.own,
        }
    }

    /// The nodes together; `None` when none is known.
    pub fn server(&self) -> Option<Cpu> {
        self.nodes.iter().copied().reduce(|a, b| a + b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_may_hold_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 123 45 0 0 20 0 3 0 99";
        let cpu = parse_stat(stat).expect("a right line");
        assert_eq!(cpu.user, Duration::from_millis(1230));
        assert_eq!(cpu.system, Duration::from_millis(450));
        assert_eq!(parse_stat("garbage"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let memory = Memory { resident: 1 << 20, peak: 2 << 20 };
        assert_eq!(parse_status(status), Some(memory));
        assert!(Memory::of(std::process::id()).is_some());
    }
}

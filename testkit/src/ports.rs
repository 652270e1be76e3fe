//! Free loopback ports that stay ours.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

use crate::environment::{cache_dir, random};

/// Below Linux's default range for outgoing connections (32768 and up): else any client could take the port of a
/// broker while that is down.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// A loopback port reserved until drop: it was free, and no other process that uses this room gets it meanwhile.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a free port.
    pub fn reserve() -> Result<Self> {
        let dir = cache_dir()?.join("ports");
        fs::create_dir_all(&dir)?;
        for _ in 0..1000 {
            let number = RANGE.start + (random() % u64::from(RANGE.end - RANGE.start)) as u16;
            let lock = File::create(dir.join(number.to_string()))?;
            if lock.try_lock().is_ok() && is_free(number) {
                return Ok(Self { number, _lock: lock });
            }
        }
        bail!("no free port between {} and {} in 1000 tries", RANGE.start, RANGE.end)
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:<number>`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}

/// Whether the loopback port can be bound now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_differ_and_are_free() {
        let ports: Vec<_> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        let numbers: std::collections::BTreeSet<_> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        assert!(numbers.into_iter().all(is_free));
    }
}

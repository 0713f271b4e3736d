//! Failed logins, and for how long the next one has to wait. A plain table: the time is an argument.
//!
//! A guess counts against its user, against its peer and against both together *before* it is tried, so that many at once
//! do not slip through; a right password takes its own count back and no other. The delay of a user is short: a guesser at
//! another address must not keep its owner out for long. The others are longer.
//!
//! A login that is remembered for its peer is not delayed. But then a guesser at the same address could try any number of
//! passwords while it has to wait, and the right one would be let in. So beyond some refused attempts in one wait,
//! remembered logins of that user wait there too.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use crate::model::AccessRefusal;

/// Failures without a delay.
const FREE: u32 = 10;
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_USER_DELAY: Duration = Duration::from_secs(5);
const LONGEST_PEER_DELAY: Duration = Duration::from_secs(60);
/// Failures are forgotten when nothing was tried for this long.
const FORGET: Duration = Duration::from_secs(15 * 60);
/// Users and peers that are remembered.
const MOST: usize = 8192;
/// Refused attempts of one wait after which remembered logins wait too. A client that was set up wrongly makes fewer.
const MANY_REFUSED: u32 = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum GuessKey {
    /// A digest of the name: a client can send long ones.
    User(u64),
    /// Of an IPv6 address its network: one client has as many addresses as it likes.
    Peer(IpAddr),
    Both(u64, IpAddr),
}

impl GuessKey {
    fn longest(self) -> Duration {
        match self {
            Self::User(_) => LONGEST_USER_DELAY,
            Self::Peer(_) | Self::Both(..) => LONGEST_PEER_DELAY,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct GuessCount {
    failures: u32,
    /// Attempts that were refused since the last one that was tried.
    refused: u32,
    until: Duration,
    last: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Guesses {
    entries: HashMap<GuessKey, GuessCount>,
}

/// A login that is being tried.
#[derive(Debug)]
pub(super) struct Guess {
    counted: Vec<(GuessKey, u32)>,
}

impl Guesses {
    /// Counts an attempt. `user` is a digest of the name.
    ///
    /// # Errors
    /// `TooManyGuesses` while the user or the peer has to wait; that is not counted.
    pub(super) fn begin(&mut self, user: u64, peer: Option<IpAddr>, now: Duration) -> Result<Guess, AccessRefusal> {
        let peer = peer.map(network);
        let keys = [Some(GuessKey::User(user)), peer.map(GuessKey::Peer), peer.map(|peer| GuessKey::Both(user, peer))];
        let keys: Vec<GuessKey> = keys.into_iter().flatten().collect();
        for key in &keys {
            if self.entries.get(key).is_some_and(|entry| now.saturating_sub(entry.last) >= FORGET) {
                self.entries.remove(key);
            }
        }
        let until = keys.iter().filter_map(|key| self.entries.get(key)).map(|entry| entry.until).max();
        if let Some(wait) = until.map(|until| until.saturating_sub(now)).filter(|wait| !wait.is_zero()) {
            if let Some(both) = keys.last().and_then(|key| self.entries.get_mut(key)) {
                both.refused = both.refused.saturating_add(1);
            }
            return Err(AccessRefusal::TooManyGuesses { wait });
        }
        self.make_room(keys.len(), now);
        let counted = keys.into_iter().map(|key| {
            let entry = self.entries.entry(key).or_default();
            entry.failures = entry.failures.saturating_add(1);
            entry.refused = 0;
            entry.last = now;
            entry.until = now + delay(entry.failures, key.longest());
            (key, entry.failures)
        });
        Ok(Guess { counted: counted.collect() })
    }

    /// Asked before a remembered login is let in.
    ///
    /// # Errors
    /// `TooManyGuesses` while somebody at the same address tries one password after the other.
    pub(super) fn check_remembered(&self, user: u64, peer: Option<IpAddr>, now: Duration) -> Result<(), AccessRefusal> {
        let entry = peer.map(network).and_then(|peer| self.entries.get(&GuessKey::Both(user, peer)));
        match entry {
            Some(entry) if entry.refused > MANY_REFUSED && entry.until > now => {
                Err(AccessRefusal::TooManyGuesses { wait: entry.until - now })
            }
            _ => Ok(()),
        }
    }

    /// The password was right.
    pub(super) fn succeeded(&mut self, attempt: Guess, now: Duration) {
        for (key, failures) in attempt.counted {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            // Another attempt that began meanwhile keeps its delay.
            if entry.failures == failures {
                entry.until = now;
            }
            entry.failures = entry.failures.saturating_sub(1);
            if entry.failures == 0 {
                self.entries.remove(&key);
            }
        }
    }

    /// Drops entries that are forgotten, and then those whose last attempt is oldest.
    fn make_room(&mut self, wanted: usize, now: Duration) {
        if self.entries.len() + wanted <= MOST {
            return;
        }
        self.entries.retain(|_, entry| now.saturating_sub(entry.last) < FORGET);
        while self.entries.len() + wanted > MOST {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last).map(|(key, _)| *key);
            let Some(oldest) = oldest else { return };
            self.entries.remove(&oldest);
        }
    }
}

fn delay(failures: u32, longest: Duration) -> Duration {
    match failures.saturating_sub(FREE) {
        0 => Duration::ZERO,
        beyond => FIRST_DELAY.saturating_mul(1 << (beyond - 1).min(16)).min(longest),
    }
}

/// The address that counts.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn wait(guesses: &mut Guesses, user: u64, peer: IpAddr, now: Duration) -> Option<Duration> {
        match guesses.begin(user, Some(peer), now) {
            Err(AccessRefusal::TooManyGuesses { wait }) => Some(wait),
            Err(other) => panic!("{other}"),
            Ok(_) => None,
        }
    }

    #[test]
    fn a_guesser_waits_longer_and_longer() {
        let mut guesses = Guesses::default();
        for _ in 0..=FREE {
            assert_eq!(wait(&mut guesses, 1, HERE, at(0)), None);
        }
        let (mut now, mut waits) = (at(0), Vec::new());
        for _ in 0..9 {
            let one = wait(&mut guesses, 1, HERE, now).unwrap();
            waits.push(one.as_millis());
            now += one;
            assert_eq!(wait(&mut guesses, 1, HERE, now), None, "the time has passed");
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    }

    #[test]
    fn a_user_is_not_shut_out_for_long_by_others() {
        let mut guesses = Guesses::default();
        let mut now = at(0);
        for _ in 0..100 {
            if let Some(one) = wait(&mut guesses, 1, HERE, now) {
                now += one;
            }
        }
        while wait(&mut guesses, 1, HERE, now).is_none() {}
        let one = wait(&mut guesses, 1, THERE, now);
        assert!(one.is_none_or(|one| one <= LONGEST_USER_DELAY), "{one:?}");
        assert_eq!(wait(&mut guesses, 2, THERE, now), None, "neither the user nor the peer has failed");
        now += at(1);
        assert!(wait(&mut guesses, 3, HERE, now).is_some(), "the peer waits whatever user it names");
    }

    #[test]
    fn a_right_password_takes_back_its_own_count_only() {
        let mut guesses = Guesses::default();
        for _ in 0..FREE {
            assert_eq!(wait(&mut guesses, 1, HERE, at(0)), None);
        }
        for _ in 0..5 {
            let attempt = guesses.begin(1, Some(HERE), at(0)).unwrap();
            guesses.succeeded(attempt, at(0));
        }
        assert_eq!(wait(&mut guesses, 1, HERE, at(0)), None);
        assert!(wait(&mut guesses, 1, HERE, at(0)).is_some(), "the wrong ones still count");
        assert_eq!(wait(&mut guesses, 1, HERE, at(0) + FORGET), None, "and are forgotten");
        assert_eq!(wait(&mut guesses, 1, HERE, at(1) + FORGET), None);
    }

    #[test]
    fn a_remembered_login_waits_only_while_its_own_address_guesses() {
        let mut guesses = Guesses::default();
        for _ in 0..=FREE {
            assert_eq!(wait(&mut guesses, 1, HERE, at(0)), None);
        }
        for refused in 0..=MANY_REFUSED {
            assert!(guesses.check_remembered(1, Some(HERE), at(0)).is_ok(), "{refused} is what a wrong set-up may do");
            assert!(wait(&mut guesses, 1, HERE, at(0)).is_some());
        }
        assert!(guesses.check_remembered(1, Some(HERE), at(0)).is_err());
        for (user, peer) in [(1, THERE), (2, HERE)] {
            assert!(guesses.check_remembered(user, Some(peer), at(0)).is_ok());
        }
        assert!(guesses.check_remembered(1, Some(HERE), at(1)).is_ok(), "the wait is over");
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_newest_entries() {
        let mut guesses = Guesses::default();
        for user in 0..MOST as u64 * 2 {
            guesses.begin(user, None, Duration::from_millis(user)).unwrap();
            assert!(guesses.entries.len() <= MOST);
        }
        assert!(guesses.entries.contains_key(&GuessKey::User(MOST as u64 * 2 - 1)));
        assert!(!guesses.entries.contains_key(&GuessKey::User(0)));
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let same = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9"].map(|text| network(text.parse().unwrap()));
        assert_eq!(same[0], same[1]);
        assert_ne!(same[0], network("2001:db8:1:3::1".parse().unwrap()));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), HERE);
    }
}

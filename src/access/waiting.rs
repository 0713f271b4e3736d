//! Logins that wait for their turn: so many in all, and no address takes the last places.
//!
//! An address may have one more place while it has fewer than are free. So one address alone gets half of them, the next
//! one half of the rest: a flood from one place leaves room for logins from others.
//!
//! Must never: wait, or decide whether a login is right.

use std::{collections::HashMap, net::IpAddr};

use parking_lot::Mutex;

use super::guesses::network;
use crate::model::AccessRefusal;

const PLACES: usize = 64;

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// By address; of an IPv6 address its network. None: calls whose address is unknown, and new passwords.
    of: HashMap<Option<IpAddr>, usize>,
}

#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Taken>);

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct WaitingPlace<'a> {
    waiting: &'a Waiting,
    peer: Option<IpAddr>,
}

impl Waiting {
    /// # Errors
    /// `Busy`.
    pub(super) fn begin(&self, peer: Option<IpAddr>) -> Result<WaitingPlace<'_>, AccessRefusal> {
        let peer = peer.map(network);
        let mut taken = self.0.lock();
        let own = taken.of.get(&peer).copied().unwrap_or_default();
        if own >= PLACES.saturating_sub(taken.all) {
            return Err(AccessRefusal::Busy);
        }
        taken.of.insert(peer, own + 1);
        taken.all += 1;
        Ok(WaitingPlace { waiting: self, peer })
    }
}

impl Drop for WaitingPlace<'_> {
    fn drop(&mut self) {
        let mut taken = self.waiting.0.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.of.get_mut(&self.peer) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.of.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(waiting: &Waiting, peer: Option<IpAddr>) -> Vec<WaitingPlace<'_>> {
        std::iter::from_fn(|| waiting.begin(peer).ok()).collect()
    }

    #[test]
    fn an_address_leaves_places_to_others() {
        let waiting = Waiting::default();
        let address = |n: u8| Some(IpAddr::from([10, 0, 0, n]));
        let counts: Vec<usize> = {
            let places: Vec<_> = [None, address(1), address(2), address(3)].map(|peer| fill(&waiting, peer)).into();
            assert!(waiting.begin(address(4)).is_ok(), "there is room for one more");
            places.iter().map(Vec::len).collect()
        };
        assert_eq!(counts, [32, 16, 8, 4]);
        assert_eq!(fill(&waiting, address(1)).len(), 32, "places come back");
        assert!(waiting.0.lock().of.is_empty(), "and no former holder is kept");
    }

    #[test]
    fn addresses_of_one_network_share() {
        let waiting = Waiting::default();
        let places = fill(&waiting, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(places.len(), 32);
        assert!(waiting.begin(Some("2001:db8::2".parse().unwrap())).is_err());
    }
}

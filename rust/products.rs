//! Sums of a block of features with all of the other side, over rows that come in windows, and who may be best.

use std::sync::Arc;

use rayon::prelude::*;

use crate::accumulator::{Accumulator, RUN};
use crate::bounds::{Bounds, Extremes};
use crate::given::Shares;
use crate::groups::GroupedRows;
use crate::leaders::Leaders;
use crate::lines::UNTOUCHED;
use crate::nominees::{Desk, Nominees};
use crate::packed::{BLOCK, PackedRows};
use crate::pair_sums::Pair;
use crate::roster::{NONE, Roster};
use crate::sparse::{Column, Csr};

/// Sums of some features of one side, the *guests*, with all of the other, the *hosts*.
pub struct Products<B> {
    /// Of A and B.
    rosters: Arc<[Roster; 2]>,
    standings: [Vec<f64>; 2],
    /// Hosts and guests are A and B, or B and A in the last round.
    swapped: bool,
    top: usize,
    /// Guests still to come, last first.
    waiting: Vec<u32>,
    guests: Vec<u32>,
    /// Guest to its place among these, or `NONE`.
    places: Vec<u32>,
    /// By guest and host.
    sums: Vec<f32>,
    /// Of every guest, the most terms of a sum that were added in float32 in one window.
    longest: Vec<usize>,
    windows: usize,
    /// Guests whose sums have been looked at.
    seen: usize,
    nominees: Nominees<B>,
    /// The most of them, with those carried over from the first round.
    most: usize,
    carried: Vec<Pair>,
}

/// What is to be done before the sums can go on.
pub enum Step<B> {
    /// Another pass over the rows.
    Feed(Box<Products<B>>),
    /// These pairs are to be settled, and what they score is to be learned.
    Settle(Vec<Pair>, Box<Products<B>>),
    /// The last pairs.
    Done(Vec<Pair>),
}

impl<B: Bounds> Products<B> {
    /// With `room` bytes for sums beside those of one guest, and for `most` nominees beside those of one guest.
    pub fn new(rosters: Arc<[Roster; 2]>, top: usize, room: usize, most: usize) -> Self {
        let [a, b] = rosters.each_ref().map(Roster::len);
        let standings = rosters.each_ref().map(Roster::standings);
        let most = most + 2 * a.max(b);
        let mut new = Self {
            nominees: Nominees::new(&standings[0], &standings[1], top, most),
            standings,
            rosters,
            swapped: false,
            top,
            waiting: (0..b as u32).rev().collect(),
            guests: Vec::new(),
            places: vec![NONE; b],
            sums: Vec::new(),
            longest: Vec::new(),
            windows: 0,
            seen: 0,
            most,
            carried: Vec::new(),
        };
        new.invite(room);
        new
    }

    fn hosts(&self) -> &Roster {
        &self.rosters[usize::from(self.swapped)]
    }

    fn guests(&self) -> &Roster {
        &self.rosters[usize::from(!self.swapped)]
    }

    /// As many of those that wait as there is room for.
    fn invite(&mut self, room: usize) {
        let n_hosts = self.hosts().len();
        let most = 1 + room / (4 * n_hosts.max(1));
        for &guest in &self.guests {
            self.places[guest as usize] = NONE;
        }
        self.guests = self.waiting.split_off(self.waiting.len().saturating_sub(most));
        self.guests.reverse();
        for (place, &guest) in (0..).zip(&self.guests) {
            self.places[guest as usize] = place;
        }
        self.sums.clear();
        self.sums.resize(self.guests.len() * n_hosts, UNTOUCHED);
        self.longest.clear();
        self.longest.resize(self.guests.len(), 0);
        (self.windows, self.seen) = (0, 0);
    }

    /// Take the next rows; with `groups`, those of a group.
    pub fn feed(&mut self, a: Csr, b: Csr, groups: Option<GroupedRows>) {
        if self.sums.is_empty() {
            return;
        }
        let (host, guest) = if self.swapped { (b, a) } else { (a, b) };
        let (hosts, guests) = (self.hosts(), self.guests());
        let place = |feature| Some(self.places[guests.candidate(feature)? as usize]).filter(|&place| place != NONE);
        let columns = guest.select(self.guests.len(), place);
        let blocks = PackedRows::blocks(hosts, host, |row| groups.is_none_or(|rows| rows.has(row)));
        self.add(&blocks, |place, _| columns.feature(place));
    }

    /// Take off what the groups' means bring in, from the shares of A and B: to the sums it is one more window.
    pub fn feed_groups(&mut self, shares: &[Shares; 2], n_groups: usize) {
        if self.sums.is_empty() {
            return;
        }
        let [of_hosts, of_guests] = if self.swapped { [&shares[1], &shares[0]] } else { [&shares[0], &shares[1]] };
        let hosts = self.hosts();
        let rows = of_hosts.rows(n_groups, -1.0);
        let blocks = PackedRows::blocks_of_candidates(hosts, rows.csr(hosts.len()));
        self.add(&blocks, |_, guest| of_guests.column(guest));
    }

    /// Add the products of the hosts' rows and every guest's column, which comes by its place and its number.
    fn add<'c>(&mut self, blocks: &[PackedRows], column: impl Fn(usize, u32) -> Column<'c> + Sync) {
        self.windows += 1;
        let sides = usize::from(self.swapped);
        let (hosts, guests) = (&self.rosters[sides], &self.rosters[1 - sides]);
        let of_guests = self.sums.par_chunks_mut(hosts.len()).zip(&mut self.longest);
        of_guests.enumerate().with_min_len(16).for_each_init(
            Accumulator::new,
            |accumulator, (place, (sums, longest))| {
                let guest = self.guests[place];
                let (column, scale) = (column(place, guest), guests.scale(guest));
                *longest = (*longest).max(column.len().min(RUN));
                for (block, sums) in blocks.iter().zip(sums.chunks_mut(BLOCK)) {
                    let updates =
                        accumulator.add::<false>(block, column, (block, &[]), |value| guests.weight(scale, value));
                    accumulator.pour(block, column.rows, updates, sums);
                }
            },
        );
    }

    /// After a pass, or once nominees are settled.
    pub fn step(mut self: Box<Self>, room: usize) -> Step<B> {
        if self.hosts().len() > 0 {
            let apart = Extremes::of(&self.hosts().means);
            self.seen = self.nominees.visit(self.seen, self.guests.len(), |desk, accumulator, place| {
                self.look(desk, accumulator, place, apart);
            });
            if self.seen < self.guests.len() {
                return Step::Settle(self.take(), self);
            }
        }
        if self.waiting.is_empty() && !self.swapped {
            let bars = self.nominees.bars();
            let pairs = self.take();
            self.swap(&bars);
            if self.waiting.is_empty() {
                return Step::Done(pairs);
            }
            let fits = pairs.len() + 2 * self.hosts().len() <= self.most;
            let most = if fits { self.most - pairs.len() } else { self.most };
            let [a, b] = &self.standings;
            self.nominees = Nominees::new(b, a, self.top, most);
            if !fits {
                return Step::Settle(pairs, self);
            }
            self.carried = pairs;
        }
        if self.waiting.is_empty() {
            return Step::Done(self.take());
        }
        self.invite(room);
        Step::Feed(self)
    }

    /// What the settled nominees say of the hosts.
    pub fn learn(&mut self, leaders: &[Leaders; 2]) {
        if !self.swapped {
            self.nominees.learn(&leaders[0]);
        }
    }

    /// Let the epilogue look at the sums of a guest.
    fn look(&self, desk: &mut Desk<B>, accumulator: &mut Accumulator, place: usize, apart: Extremes) {
        let (hosts, guests, guest) = (self.hosts(), self.guests(), self.guests[place]);
        let sums = &self.sums[place * hosts.len()..][..hosts.len()];
        let standing = self.standings[usize::from(!self.swapped)][guest as usize];
        let pass = B::pass(guest, self.longest[place] + self.windows, standing);
        desk.epilogue.contenders.start();
        for (number, sums) in sums.chunks(BLOCK).enumerate() {
            accumulator.sums[..sums.len()].copy_from_slice(sums);
            desk.epilogue.sweep(number, sums.len(), &mut accumulator.sums, pass, None);
        }
        let contenders = &mut desk.epilogue.contenders;
        let mut nominate = |host| desk.of_guests.push(Pair::new(hosts.metric, !self.swapped, guest, host));
        if f64::from(contenders.bar_b) <= guests.best_apart(guest, apart) {
            let touched = |host: u32| sums[host as usize].to_bits() != UNTOUCHED.to_bits();
            for (score, feature) in guests.best_untouched(guest, hosts, self.top, touched) {
                contenders.raise_b(score as f32 - B::SHARP);
                nominate(hosts.candidate(feature as i32).expect("a host"));
            }
        }
        let bar = contenders.bar_b;
        contenders.of_b.iter().filter(|(upper, _)| *upper >= bar).for_each(|&(_, host)| nominate(host));
        if self.swapped {
            contenders.of_a.clear(); // the hosts have theirs
        }
    }

    /// All that is nominated so far.
    fn take(&mut self) -> Vec<Pair> {
        let (metric, swapped, bars) = (self.hosts().metric, self.swapped, self.nominees.bars());
        let carried = std::mem::take(&mut self.carried);
        self.nominees.take(&bars, carried, |host, guest| Pair::new(metric, swapped, host, guest))
    }

    /// Hosts whose best are known are done; the others become guests.
    fn swap(&mut self, bars: &[f32]) {
        let apart = Extremes::of(&self.guests().means);
        let alone = |&host: &u32| f64::from(bars[host as usize]) <= self.hosts().best_apart(host, apart);
        self.waiting = (0..self.hosts().len() as u32).rev().filter(alone).collect();
        self.places = vec![NONE; self.hosts().len()];
        self.swapped = true;
        (self.guests, self.sums, self.seen) = (Vec::new(), Vec::new(), 0);
        self.nominees = Nominees::none();
    }
}

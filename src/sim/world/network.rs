//! Everything outside the poll loop: this host's kernel, the path, the servers, and the agenda
//! between them.

use super::client::Client;
use super::path::Devices;
use super::server::Servers;
use super::setup::World;
use super::site::Site;
use super::socket::Fault;
use super::wire::{Agenda, Happening, Id, Out, Segment, To, Tuple};
use crate::sim::random::Random;
use crate::units::{Moment, Span};

#[derive(Debug)]
pub struct Network {
    pub client: Client,
    pub servers: Servers,
    pub devices: Devices,
    agenda: Agenda,
    random: Random,
    out: Out,
}

impl Network {
    /// `is_sent_to`: whether servers get a request, and reply to that.
    pub fn new(world: &World, is_sent_to: bool, start: Moment, random: &mut Random) -> Network {
        let mut fork = || Random::new(random.word());
        let rtt = Span(2 * world.path.delay.0);
        let site = |(index, setup): (u32, _)| {
            Site::new(Clone::clone(setup), index, start, rtt, is_sent_to)
        };
        let sites: Vec<Site> = (0..).zip(&world.servers).map(site).collect();
        let mut network = Network {
            client: Client::new(world.host.clone(), fork()),
            servers: Servers::new(sites, world.balance, fork()),
            devices: Devices::new(world.path.clone(), start),
            agenda: Agenda::default(),
            random: fork(),
            out: Out::default(),
        };
        network.servers.begin(&mut network.out);
        if let Some(after) = world.host.kills_at {
            network.out.at(start + after, Happening::Kill);
        }
        network.flush(start);
        network
    }

    /// When something happens next.
    pub fn next_due(&self) -> Option<Moment> {
        self.agenda.next_due()
    }

    /// Applies everything that happens until `now`.
    pub fn advance(&mut self, now: Moment) {
        while let Some((at, happening)) = self.agenda.pop(now) {
            match happening {
                Happening::Arrives(segment) => match segment.to {
                    To::Client => self.client.arrive(at, &segment, &mut self.out),
                    To::Server => {
                        let tuple = self.client.tuple(segment.id);
                        self.servers.arrive(at, &segment, tuple, &mut self.out);
                    }
                },
                Happening::Timer { id, at: To::Client, timer, generation } => {
                    self.client.timer(at, id, timer, generation, &mut self.out);
                }
                Happening::Timer { id, at: To::Server, timer, generation } => {
                    self.servers.timer(at, id, timer, generation, &mut self.out);
                }
                Happening::Server { index, chore } => {
                    self.servers.on_chore(at, index, chore, &mut self.out);
                }
                Happening::Kill => self.client.kill_all(at, &mut self.out),
            }
            self.flush(at);
        }
    }

    /// `socket()` and `connect()`.
    ///
    /// # Errors
    /// What fails at once.
    pub fn dial(&mut self, now: Moment, tuple: Tuple) -> Result<Id, Fault> {
        let dialed = self.client.dial(now, tuple, &mut self.out);
        self.flush(now);
        dialed
    }

    /// A system call that may send something.
    pub fn call(&mut self, now: Moment, call: impl FnOnce(&mut Client, &mut Out)) {
        call(&mut self.client, &mut self.out);
        self.flush(now);
    }

    /// Sends segments over the path, and schedules what is due later.
    fn flush(&mut self, now: Moment) {
        for index in 0..self.out.segments.len() {
            let segment = self.out.segments[index];
            let tuple = self.client.tuple(segment.id);
            let passage = self.devices.pass(now, &segment, tuple, &mut self.random);
            for at in passage.arrivals.into_iter().flatten() {
                self.agenda.add(at, Happening::Arrives(segment));
            }
            if let Some((at, body)) = passage.answer {
                let answer = Segment::new(segment.id, segment.to.reverse(), body);
                self.agenda.add(at, Happening::Arrives(answer));
            }
        }
        self.out.segments.clear();
        for (at, happening) in self.out.later.drain(..) {
            self.agenda.add(at, happening);
        }
    }
}

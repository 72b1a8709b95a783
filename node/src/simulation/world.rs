//! Time, links, the log and the nodes.

use super::broken::{Rule, apply_broken};
use super::client::Client;
use super::invariants;
use super::session::Session;
use crate::files::Files;
use crate::scheduler::{Action, Scheduler, Task, Work};
use std::collections::{BTreeMap, BTreeSet};
use trine_consensus::state_machine::packable;
use trine_consensus::testing::TestCluster;
use trine_proto::catalog::Catalog;
use trine_proto::command::{Command, NodeCommandKind};
use trine_proto::ids::{LogIndex, Party, SegmentId, TableId, TransactionId};
use trine_proto::status::SqlError;

/// Milliseconds during which things fail.
const FAULTS_UNTIL: u64 = 60_000;
/// Milliseconds after which everything must be in order again.
const HEALED_AFTER: u64 = 90_000;
/// How long nodes wait for a party that is down.
pub(super) const PARTY_WAIT: u64 = 10_000;
/// How long a staged part waits for its commit.
const STAGED_KEEP: u64 = 20_000;
/// Clients of a run.
const CLIENTS: usize = 14;
/// Work at one time at a node.
const RUNNING_MAX: usize = 2;

/// What happens next to whom. `life` is the one of the node when the event was made: a crash in between
/// makes it void.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A node reads the log.
    Apply(usize),
    /// A node offers a report to the log.
    Propose { node: usize, life: u64, report: u64 },
    /// A node tries to meet both others for an attempt.
    Meet { node: usize, life: u64, task: Task, deadline: u64 },
    /// Three have met: their protocol is over.
    Finish(Task),
    /// An attempt ends at a node.
    End { node: usize, life: u64, task: Task, how: How },
    /// A node whose attempt was lost looks whether all are back.
    AfterLoss { node: usize, life: u64, task: Task, deadline: u64 },
    /// A client goes on.
    Client(usize),
    /// Something fails.
    Fault,
    /// A node looks for staged parts that nobody commits.
    Janitor(usize),
}

/// How an attempt ended at one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Done,
    Lost,
    Stopped,
}

/// One node: what survives a crash, and what does not.
pub(super) struct Node {
    pub(super) up: bool,
    pub(super) life: u64,
    /// Durable.
    pub(super) catalog: Catalog,
    /// Durable.
    pub(super) disk: BTreeSet<(TableId, SegmentId)>,
    pub(super) scheduler: Option<Scheduler>,
    pub(super) running: BTreeSet<Task>,
    /// On their way into the log, with the attempt whose end they tell.
    pub(super) reports: BTreeMap<u64, (Command, Option<Task>)>,
    seen: BTreeMap<SegmentId, u64>,
    /// What its clock is ahead.
    skew: u64,
}

/// Everything.
pub(super) struct World {
    seed: u64,
    state: u64,
    pub(super) now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    numbers: u64,
    pub(super) cluster: TestCluster,
    log: Vec<Command>,
    pub(super) nodes: [Node; 3],
    cut: [[bool; 3]; 3],
    pub(super) sessions: BTreeMap<Task, Session>,
    clients: Vec<Client>,
    /// How often a catalog, a disk or a client's knowledge has changed.
    pub(super) changes: u64,
    /// Digest of the log at every position that some node has reached.
    pub(super) digests: BTreeMap<LogIndex, [u8; 32]>,
    /// Commits that a client was told of.
    pub(super) acknowledged: BTreeMap<TransactionId, LogIndex>,
    /// How often a node has begun an attempt.
    pub(super) begun: BTreeMap<(Task, usize), u32>,
    /// Tables that are or were packed, by transaction.
    pub(super) packs: BTreeMap<TransactionId, TableId>,
    /// Rows of a table at a position.
    pub(super) rows: BTreeMap<(TableId, LogIndex), u64>,
    /// What does not hold in this run.
    pub(super) rule: Option<Rule>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let node = || Node {
            up: true,
            life: 0,
            catalog: Catalog::default(),
            disk: BTreeSet::new(),
            scheduler: None,
            running: BTreeSet::new(),
            reports: BTreeMap::new(),
            seen: BTreeMap::new(),
            skew: 0,
        };
        let mut world = Self {
            seed,
            state: seed,
            now: 0,
            queue: BTreeMap::new(),
            numbers: 0,
            cluster: TestCluster::seeded(1),
            log: Vec::new(),
            nodes: [node(), node(), node()],
            cut: [[false; 3]; 3],
            sessions: BTreeMap::new(),
            clients: Vec::new(),
            changes: 0,
            digests: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            begun: BTreeMap::new(),
            packs: BTreeMap::new(),
            rows: BTreeMap::new(),
            rule: None,
        };
        world.log.push(Command::Genesis(world.cluster.info.clone()));
        for keyed in [false, true] {
            let create = super::client::create_table(&mut world, keyed);
            world.log.push(create);
        }
        if seed.is_multiple_of(3) {
            world.fill();
        }
        for node in 0..3 {
            world.boot(node);
            world.after(1, Event::Apply(node));
            world.after(1_000, Event::Janitor(node));
        }
        for number in 0..CLIENTS {
            let client = Client::new(&mut world);
            world.clients.push(client);
            let begin = world.below(FAULTS_UNTIL * 9 / 10);
            world.after(500 + begin, Event::Client(number));
        }
        world.after(1_000, Event::Fault);
        world
    }

    /// The same with a rule that does not hold.
    pub(super) fn with_broken(seed: u64, rule: Rule) -> Self {
        let mut world = Self::new(seed);
        world.rule = Some(rule);
        world
    }

    /// Small batches that were loaded before it all began: enough of them to be packed.
    fn fill(&mut self) {
        for _ in 0..trine_consensus::limits::PACK_SEGMENTS_MIN {
            let (id, command) = super::client::loaded(self);
            self.log.push(command);
            for node in &mut self.nodes {
                node.disk.insert((TableId(super::client::PLAIN), SegmentId(id)));
            }
        }
    }

    /// Runs to the end; a broken promise is a panic that names seed, time and promise.
    pub(super) fn run(&mut self) {
        if let Err(broken) = self.try_run() {
            panic!("{broken}");
        }
    }

    /// The same; a broken promise is an error.
    pub(super) fn try_run(&mut self) -> Result<(), String> {
        while let Some(((time, _), event)) = self.queue.pop_first() {
            if time > FAULTS_UNTIL + HEALED_AFTER {
                break;
            }
            self.now = time;
            let told = event.clone();
            let before = self.changes;
            self.happen(event);
            // Most of the time a node looks at the log and finds nothing new.
            if self.changes > before
                && let Err(broken) = invariants::always(self)
            {
                let (seed, now) = (self.seed, self.now);
                return Err(format!("seed {seed}, at {now} ms, after {told:?}: {broken}"));
            }
        }
        let seed = self.seed;
        invariants::healed(self).map_err(|e| format!("seed {seed}, when all was healed: {e}"))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Apply(node) => self.read_log(node),
            Event::Propose { node, life, report } if self.alive(node, life) => {
                self.offer(node, report);
            }
            Event::Meet { node, life, task, deadline } if self.alive(node, life) => {
                self.meet(node, task, deadline);
            }
            Event::Finish(task) => self.finish(task),
            Event::End { node, life, task, how } if self.alive(node, life) => {
                self.end(node, task, how);
            }
            Event::AfterLoss { node, life, task, deadline } if self.alive(node, life) => {
                self.after_loss(node, task, deadline);
            }
            Event::Client(number) => {
                let mut client = self.clients[number].clone();
                let again = client.step(self);
                self.clients[number] = client;
                if let Some(pause) = again {
                    self.after(pause, Event::Client(number));
                }
            }
            Event::Fault => self.fail_something(),
            Event::Janitor(node) => self.clean(node),
            // Of a life that is over.
            _ => {}
        }
    }

    // -- the log ---------------------------------------------------------------------------------

    /// Whether a node reaches enough others to append and to read.
    pub(super) fn has_quorum(&self, node: usize) -> bool {
        self.nodes[node].up && (0..3).any(|other| other != node && self.reaches(node, other))
    }

    pub(super) fn append(&mut self, command: Command) {
        self.log.push(command);
    }

    fn read_log(&mut self, node: usize) {
        let pause = 5 + self.below(60);
        self.after(pause, Event::Apply(node));
        if !self.has_quorum(node) {
            return;
        }
        let from = usize::try_from(self.nodes[node].catalog.applied.0).unwrap();
        let count = 1 + usize::try_from(self.below(4)).unwrap();
        let (rule, who) = (self.rule, (node, self.now.is_multiple_of(5)));
        for (place, command) in self.log.iter().enumerate().skip(from).take(count) {
            let index = LogIndex(place as u64 + 1);
            apply_broken(rule, who, &mut self.nodes[node].catalog, index, command);
        }
        if self.log.len() > from {
            self.applied(node);
        }
    }

    /// What the runner does after an apply: files first, then attempts.
    fn applied(&mut self, node: usize) {
        self.changes += 1;
        let own = &mut self.nodes[node];
        let Files { listed, gone } = Files::of(&own.catalog);
        let ended = |id: &SegmentId| {
            let mut all = own.catalog.tables.values().flat_map(|t| &t.segments);
            all.any(|s| s.id == *id && s.valid_to.is_some())
        };
        let too_early = self.rule == Some(Rule::ReplacedFilesStay);
        own.disk.retain(|key| {
            let needed = listed.contains(key) && !(too_early && ended(&key.1));
            needed || !(gone.contains(&key.1) || too_early && ended(&key.1))
        });
        let Some(scheduler) = &mut own.scheduler else { return };
        let actions = scheduler.catalog(&own.catalog);
        self.perform(node, actions);
    }

    pub(super) fn perform(&mut self, node: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start(task) => self.start(node, task),
                Action::Stop(task) => self.stop(node, task),
                Action::Recover(task) => self.report(node, retry(task), None),
            }
        }
    }

    /// Puts a node's word on its way into the log.
    pub(super) fn report(&mut self, node: usize, kind: NodeCommandKind, of: Option<Task>) {
        let command = self.cluster.node(Party::ALL[node], kind);
        self.numbers += 1;
        let report = self.numbers;
        self.nodes[node].reports.insert(report, (command, of));
        let life = self.nodes[node].life;
        let pause = self.below(30);
        self.after(pause, Event::Propose { node, life, report });
    }

    fn offer(&mut self, node: usize, report: u64) {
        let life = self.nodes[node].life;
        let appended = self.has_quorum(node) && self.below(8) > 0;
        let answered = appended && self.below(5) > 0;
        if appended && let Some((command, _)) = self.nodes[node].reports.get(&report) {
            let command = command.clone();
            self.append(command);
        }
        if !answered && self.rule == Some(Rule::ReportsAreRepeated) {
            self.nodes[node].reports.remove(&report);
            return;
        }
        if !answered {
            self.after(500, Event::Propose { node, life, report });
            return;
        }
        if let Some((_, Some(task))) = self.nodes[node].reports.remove(&report) {
            self.ended(node, task);
        }
    }

    /// The scheduler hears that an attempt is over.
    pub(super) fn ended(&mut self, node: usize, task: Task) {
        let own = &mut self.nodes[node];
        own.running.remove(&task);
        let Some(scheduler) = &mut own.scheduler else { return };
        let actions = scheduler.ended(task, &own.catalog);
        self.perform(node, actions);
    }

    // -- faults ----------------------------------------------------------------------------------

    fn fail_something(&mut self) {
        if self.now > FAULTS_UNTIL {
            return self.heal();
        }
        let pause = 100 + self.below(3_000);
        self.after(pause, Event::Fault);
        let node = usize::try_from(self.below(3)).unwrap();
        let other = (node + 1) % 3;
        match self.below(8) {
            0 | 1 => self.crash(node),
            2 | 3 => self.boot(node),
            4 => self.set_link(node, other, true),
            5 | 6 => self.set_link(node, other, false),
            _ => self.nodes[node].skew += self.below(2 * STAGED_KEEP),
        }
    }

    fn heal(&mut self) {
        for node in 0..3 {
            self.set_link(node, (node + 1) % 3, false);
            self.boot(node);
        }
    }

    fn crash(&mut self, node: usize) {
        let own = &mut self.nodes[node];
        own.up = false;
        own.life += 1;
        own.scheduler = None;
        own.running.clear();
        own.reports.clear();
        own.seen.clear();
        self.break_sessions_of(&[node]);
    }

    /// Starts a node that is down.
    fn boot(&mut self, node: usize) {
        let own = &mut self.nodes[node];
        if own.scheduler.is_some() {
            return;
        }
        own.up = true;
        let mut scheduler = Scheduler::new(Party::ALL[node], RUNNING_MAX);
        if self.rule == Some(Rule::RestartsAskAnew) {
            // As if nothing had been under way when it came up.
            scheduler.catalog(&Catalog::default());
        }
        own.scheduler = Some(scheduler);
        self.applied(node);
    }

    fn set_link(&mut self, a: usize, b: usize, cut: bool) {
        self.cut[a][b] = cut;
        self.cut[b][a] = cut;
        if cut {
            // A node whose control connection ends gives up every attempt.
            self.break_sessions_of(&[a, b]);
        }
    }

    /// Whether two nodes reach each other.
    pub(super) fn reaches(&self, a: usize, b: usize) -> bool {
        self.nodes[a].up && self.nodes[b].up && !self.cut[a][b]
    }

    /// Whether a node reaches both others.
    pub(super) fn reaches_all(&self, node: usize) -> bool {
        (0..3).all(|other| other == node || self.reaches(node, other))
    }

    fn alive(&self, node: usize, life: u64) -> bool {
        self.nodes[node].up && self.nodes[node].life == life
    }

    // -- staged parts that nobody commits --------------------------------------------------------

    fn clean(&mut self, node: usize) {
        self.after(2_000, Event::Janitor(node));
        let own = &self.nodes[node];
        if !own.up {
            return;
        }
        if let Some(table) = packable(&own.catalog).first().copied() {
            self.report(node, NodeCommandKind::Pack(table), None);
        }
        let own = &self.nodes[node];
        let stored = own.disk.iter().map(|(_, segment)| *segment).collect();
        let staged = crate::janitor::unresolved(stored, &own.catalog);
        let time = self.now + own.skew;
        let seen = &mut self.nodes[node].seen;
        seen.retain(|segment, _| staged.contains(segment));
        for segment in &staged {
            seen.entry(*segment).or_insert(time);
        }
        // Where the last of Commit and Abort wins, impatient timers show it soon.
        let impatient = self.rule == Some(Rule::FirstWins);
        let keep = if impatient { STAGED_KEEP / 10 } else { STAGED_KEEP };
        let old: Vec<SegmentId> = seen
            .iter()
            .filter(|(_, since)| time - **since > keep)
            .map(|(segment, _)| *segment)
            .collect();
        for segment in old {
            if self.rule == Some(Rule::OnlyTheLogDeletes) {
                self.nodes[node].disk.retain(|(_, kept)| *kept != segment);
                self.changes += 1;
                continue;
            }
            let error = SqlError::new("57014", "never committed");
            let transaction = TransactionId(segment.0);
            self.report(node, NodeCommandKind::Abort { transaction, error }, None);
        }
    }

    // -- time and choices ------------------------------------------------------------------------

    pub(super) fn after(&mut self, pause: u64, event: Event) {
        self.numbers += 1;
        self.queue.insert((self.now + pause, self.numbers), event);
    }

    /// From 0 to `bound` - 1 (splitmix64).
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    pub(super) fn id(&mut self) -> [u8; 16] {
        let words = [self.below(u64::MAX), self.below(u64::MAX)];
        let mut id = [0; 16];
        id[..8].copy_from_slice(&words[0].to_le_bytes());
        id[8..].copy_from_slice(&words[1].to_le_bytes());
        id
    }
}

/// The command that asks for the next attempt.
pub(super) const fn retry(task: Task) -> NodeCommandKind {
    let attempt = task.attempt;
    match task.work {
        Work::Query(job) => NodeCommandKind::JobRetry { job, attempt },
        Work::Validation(transaction) => NodeCommandKind::ValidationRetry { transaction, attempt },
    }
}

//! The watches of a node: which keys are watched, when each is looked at next, and who is reported. It is one task, which runs while
//! anything is watched; the streams of its readers are `watch`.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kademlia_dynamic::protocol::entropy::Entropy;
use kademlia_dynamic::protocol::store::{Class, ValueDigest};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::clock;
use super::events::{Event, EventKind, EventStream};
use super::messages::{Answer, FindCopy, LookupKey, Priority, StartLookup};
use super::outcome::{Error, GetResult};
use super::shared::Shared;
use super::watch::{
    Change, Inbox, MAX_CHANGE_BYTES, MAX_CHANGES, MAX_INTERVAL, MAX_WATCH_LOOKUPS, MAX_WATCHED, MIN_INTERVAL, Watch,
};

/// How long the task sleeps at most, since timers stand still while the machine sleeps.
const LONGEST_NAP: Duration = Duration::from_secs(60);
/// Looks that begin within [`TICK`] at most, so that a reader can take what they show: half of what may wait for it. A large value
/// counts as several.
const LOOKS_PER_TICK: usize = MAX_CHANGES / 2;
const TICK: Duration = Duration::from_millis(10);
/// A key that a further reader asks for is not looked at again within this time.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// By what part the intervals are spread.
const JITTER: f64 = 0.1;
/// Looks in a row that found nothing, before a key counts as absent although not all of its nearest nodes answered.
const ABSENCES: u32 = 2;

/// The way to the task.
#[derive(Default)]
pub(super) struct Watches(RefCell<Option<UnboundedSender<Request>>>);

struct Request {
    keys: Vec<Arc<str>>,
    answer: Answer<Watch>,
}

impl Watches {
    /// Begins to watch `keys`.
    pub(super) fn add(&self, shared: &Rc<Shared>, keys: Vec<Arc<str>>, answer: Answer<Watch>) {
        let request = Request { keys, answer };
        let request = match &*self.0.borrow() {
            None => request,
            Some(task) => match task.send(request) {
                Ok(()) => return,
                // The task has ended with its last reader.
                Err(unsent) => unsent.0,
            },
        };
        let (task, requests) = unbounded_channel();
        let sent = task.send(request);
        debug_assert!(sent.is_ok(), "the receiver is here");
        self.0.replace(Some(task));
        shared.lifetime.spawn(Task::new(shared).run(requests));
    }
}

/// All that is watched.
struct Task {
    shared: Rc<Shared>,
    entropy: Box<dyn Entropy>,
    keys: HashMap<Arc<str>, Watched>,
    /// The keys that are not being looked at, by when they are next.
    due: BTreeSet<(Instant, Arc<str>)>,
    readers: BTreeMap<u64, Reader>,
    /// The number of the reader that came last.
    last: u64,
    looks: FuturesUnordered<Look>,
    /// When the present tick began, and how many looks have begun in it.
    tick: (Instant, usize),
    ended: UnboundedSender<u64>,
}

type Look = Pin<Box<dyn Future<Output = (Arc<str>, Seen)>>>;

struct Watched {
    readers: BTreeSet<u64>,
    /// `None` while it is looked at.
    due: Option<Instant>,
    /// Whether it may have changed since that look began.
    again: bool,
    /// The time to the next look.
    interval: Duration,
    /// When it was looked at last, and what was seen then: the value's digest, or that there is none.
    looked: Option<Instant>,
    state: Option<Option<ValueDigest>>,
    absences: u32,
}

impl Watched {
    /// Not looked at yet.
    fn due(at: Instant) -> Self {
        let (readers, due, interval) = (BTreeSet::new(), Some(at), MIN_INTERVAL);
        Self { readers, due, again: false, interval, looked: None, state: None, absences: 0 }
    }
}

struct Reader {
    inbox: Arc<Inbox>,
    keys: HashSet<Arc<str>>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// What a look at a key has shown.
enum Seen {
    Value(Change),
    /// No value. Whether all of the nearest nodes said so.
    Absent {
        surely: bool,
    },
    /// Nothing: no node answered, or the lookup failed.
    Unknown,
}

impl Task {
    fn new(shared: &Rc<Shared>) -> Self {
        Self {
            shared: shared.clone(),
            entropy: shared.entropy(7),
            keys: HashMap::new(),
            due: BTreeSet::new(),
            readers: BTreeMap::new(),
            last: 0,
            looks: FuturesUnordered::new(),
            tick: (clock::now(), 0),
            ended: unbounded_channel().0,
        }
    }

    /// Runs until the last reader has gone. It ends with the node, too: then it is dropped.
    async fn run(mut self, mut requests: UnboundedReceiver<Request>) {
        let kinds = [EventKind::ValueStored, EventKind::Published, EventKind::Superseded];
        let mut events: EventStream = self.shared.events.subscribe(kinds, std::future::pending());
        let (sender, mut ended) = unbounded_channel();
        self.ended = sender;
        loop {
            let wake = self.next_look();
            tokio::select! {
                biased;
                Some(number) = ended.recv() => self.forget(number),
                Some(request) = requests.recv() => self.admit(request),
                Some((key, seen)) = self.looks.next() => self.looked(&key, seen),
                Some(event) = events.next() => self.heard(&event),
                () = tokio::time::sleep(wake) => {}
            }
            if self.readers.is_empty() && requests.is_empty() {
                return;
            }
            self.look();
        }
    }

    /// How long nothing is to be done.
    fn next_look(&self) -> Duration {
        let Some((at, _)) = self.due.first().filter(|_| self.looks.len() < MAX_WATCH_LOOKUPS) else {
            return LONGEST_NAP;
        };
        let (now, (began, looks)) = (clock::now(), self.tick);
        let at = if looks < LOOKS_PER_TICK { *at } else { (*at).max(began + TICK) };
        at.saturating_duration_since(now).min(LONGEST_NAP)
    }

    fn admit(&mut self, Request { keys, answer }: Request) {
        let keys: HashSet<Arc<str>> = keys.into_iter().collect();
        let watched: usize = self.readers.values().map(|reader| reader.keys.len()).sum();
        // The caller may have gone: then its stream is dropped, which ends it again.
        if watched + keys.len() > MAX_WATCHED {
            return drop(answer.send(Err(Error::Busy { what: "keys that can be watched", limit: MAX_WATCHED })));
        }
        self.last += 1;
        let (number, inbox, now) = (self.last, Arc::new(Inbox::default()), clock::now());
        for key in &keys {
            let watched = self.keys.entry(key.clone()).or_insert_with(|| {
                self.due.insert((now, key.clone()));
                Watched::due(now)
            });
            watched.readers.insert(number);
            // Another reader may have had it shown. It is looked at again, once for all that come together; a look that is under
            // way serves this one, too.
            let at = watched.looked.map_or(now, |looked| now.max(looked + FRESH_FOR));
            if watched.due.is_some_and(|due| at < due) {
                self.schedule(key, at);
            }
        }
        self.readers.insert(number, Reader { inbox: inbox.clone(), keys });
        let _ = answer.send(Ok(Watch::new(inbox, number, self.ended.clone())));
    }

    /// This reader has gone.
    fn forget(&mut self, number: u64) {
        let Some(mut reader) = self.readers.remove(&number) else { return };
        for key in reader.keys.drain() {
            let Entry::Occupied(mut entry) = self.keys.entry(key) else { continue };
            entry.get_mut().readers.remove(&number);
            if entry.get().readers.is_empty() {
                let (key, watched) = entry.remove_entry();
                watched.due.map(|at| self.due.remove(&(at, key)));
            }
        }
    }

    /// A value that is stored here may have changed.
    fn heard(&mut self, event: &Event) {
        let (Event::ValueStored { key, .. } | Event::Published { key } | Event::Superseded { key, .. }) = event else {
            return;
        };
        let Some((key, _)) = self.keys.get_key_value(key.as_str()) else { return };
        self.schedule(&key.clone(), clock::now());
    }

    /// Has `key` looked at then, or once the look that is under way has ended.
    fn schedule(&mut self, key: &Arc<str>, at: Instant) {
        let Some(watched) = self.keys.get_mut(key) else { return };
        match &mut watched.due {
            None => watched.again = true,
            Some(due) => {
                self.due.remove(&(*due, key.clone()));
                *due = at;
                self.due.insert((at, key.clone()));
            }
        }
    }

    /// Looks at what is due, as far as lookups are free.
    fn look(&mut self) {
        let now = clock::now();
        if now.saturating_duration_since(self.tick.0) >= TICK {
            self.tick = (now, 0);
        }
        while self.looks.len() < MAX_WATCH_LOOKUPS && self.tick.1 < LOOKS_PER_TICK {
            let Some((_, key)) = self.due.first().filter(|(at, _)| *at <= now).cloned() else { return };
            self.due.pop_first();
            self.tick.1 += 1;
            if let Some(watched) = self.keys.get_mut(&key) {
                (watched.due, watched.again) = (None, false);
                self.looks.push(Box::pin(look_at(self.shared.clone(), key)));
            }
        }
    }

    /// A look at `key` has ended.
    fn looked(&mut self, key: &Arc<str>, seen: Seen) {
        // Its last reader may have gone, and another one come.
        let Some(watched) = self.keys.get_mut(key).filter(|watched| watched.due.is_none()) else { return };
        let state = match seen {
            Seen::Value(change) => Some(change),
            Seen::Absent { surely } => {
                watched.absences += 1;
                (surely || watched.absences >= ABSENCES).then(|| Change::Absent { key: key.clone() })
            }
            Seen::Unknown => None,
        };
        let now = clock::now();
        watched.looked = Some(now);
        // Where nothing was learned, it is tried again as soon as it would have been.
        let (mut changed, learned) = (false, state.is_some());
        if let Some(change) = state {
            let state = change.state();
            if state.is_some() {
                watched.absences = 0;
            }
            self.tick.1 += change.bytes() / (MAX_CHANGE_BYTES / MAX_CHANGES);
            changed = watched.state.replace(state) != Some(state);
            for number in &watched.readers {
                if let Some(reader) = self.readers.get(number) {
                    reader.inbox.push(&change);
                }
            }
        }
        watched.interval = match (learned, changed) {
            (false, _) => watched.interval,
            (true, true) => MIN_INTERVAL,
            (true, false) => (watched.interval * 2).min(MAX_INTERVAL),
        };
        let pause = if watched.again { Duration::ZERO } else { self.entropy.jitter(watched.interval, JITTER) };
        let at = now + pause;
        watched.due = Some(at);
        self.due.insert((at, key.clone()));
    }
}

/// Looks at `key`: here where it is published or held, otherwise in the network.
async fn look_at(shared: Rc<Shared>, key: Arc<str>) -> (Arc<str>, Seen) {
    let handles = &shared.handles;
    let copy = handles.store.find_copy(FindCopy(key.clone())).await.ok().flatten();
    if let Some(copy) = copy.filter(|copy| copy.class != Class::Cached && shared.is_kept_up(copy)) {
        let (value, expires_in) = (copy.value, Some(copy.ttl_left));
        return (key.clone(), Seen::Value(Change::Value { key, value, holder: None, expires_in }));
    }
    if !shared.joined.is_open() {
        return (key, Seen::Unknown);
    }
    let (reply, answered) = oneshot::channel();
    let lookup = StartLookup::foreground(LookupKey::Value(key.clone()), reply);
    handles.lookups.start(StartLookup { priority: Priority::Background, ..lookup });
    let seen = match shared.answered(answered, shared.patience()).await {
        Ok(Ok(found)) => match found.traced_get().result {
            GetResult::Found { value, holder, expires_in, .. } => {
                Seen::Value(Change::Value { key: key.clone(), value: Arc::new(value), holder, expires_in })
            }
            GetResult::NotFound { unheard, .. } => Seen::Absent { surely: unheard == 0 },
            GetResult::Unsupported { .. } | GetResult::NoneAnswered { .. } => Seen::Unknown,
        },
        _ => Seen::Unknown,
    };
    (key, seen)
}

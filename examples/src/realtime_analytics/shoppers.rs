//! Shoppers: the messages they cause, at a steady rate. Some come late, some twice, some are broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::queries::{EVENTS, TRANSACTIONS};

/// Pages, and how often they are seen among a hundred.
const PAGES: &[(&str, u64)] = &[
    ("/", 24),
    ("/search", 16),
    ("/espresso-machine", 13),
    ("/hand-grinder", 10),
    ("/travel-mug", 8),
    ("/filter-paper", 7),
    ("/beans-ethiopia", 6),
    ("/cart", 6),
    ("/checkout", 4),
    ("/account", 3),
    ("/help", 3),
];
/// What is done there, the same way.
const EVENT_TYPES: &[(&str, u64)] = &[("page_view", 74), ("click", 16), ("add_to_cart", 7), ("purchase", 3)];
const METHODS: &[(&str, u64)] = &[("card", 60), ("paypal", 20), ("transfer", 12), ("voucher", 8)];
const AGENTS: &[(&str, u64)] = &[("Firefox/145.0", 30), ("Chrome/142.0", 45), ("Safari/26.1", 25)];
const USERS: u64 = 150;
const MERCHANTS: u64 = 40;

/// Of a hundred messages: late ones, such as come again, and broken ones.
const LATE: u64 = 5;
const DUPLICATED: u64 = 2;
const MALFORMED: u64 = 1;

/// What was produced so far.
#[derive(Debug, Default)]
pub(crate) struct Produced {
    /// Messages of users' events.
    pub(crate) events: AtomicU64,
    /// Messages of transactions.
    pub(crate) transactions: AtomicU64,
    /// Of both: whose time was long ago.
    pub(crate) late: AtomicU64,
    /// Of both: sent once more.
    pub(crate) duplicated: AtomicU64,
    /// Of both: that cannot be read.
    pub(crate) malformed: AtomicU64,
    /// The shoppers' time, in seconds after 1970.
    pub(crate) event_time_seconds: AtomicI64,
}

/// The shoppers.
pub(crate) struct Shoppers {
    dice: Dice,
    rate: f64,
    speed: f64,
    counts: Arc<Produced>,
    /// How often each user has begun a new session.
    sessions: Vec<u64>,
    transactions: u64,
    /// Somebody with a stolen card, and how many payments are still to come.
    thief: (u64, u64),
}

impl Shoppers {
    /// As many as the arguments ask for.
    pub(crate) fn new(arguments: &Arguments) -> Self {
        Self {
            dice: Dice(arguments.seed),
            rate: f64::from(arguments.rate),
            speed: f64::from(arguments.speed),
            counts: Arc::default(),
            sessions: vec![0; usize::try_from(USERS).unwrap_or(0)],
            transactions: 0,
            thief: (0, 0),
        }
    }

    /// What they have produced, while they go on.
    pub(crate) fn counts(&self) -> Arc<Produced> {
        Arc::clone(&self.counts)
    }

    /// Produces until the process ends. A broker that does not answer makes them wait.
    pub(crate) async fn go_shopping(mut self, client: ClientConfig) {
        let producer: ThreadedProducer<DefaultProducerContext> = match client.create() {
            Ok(producer) => producer,
            Err(error) => return eprintln!("nothing is produced: {error}"),
        };
        let (started, first_second) = (Instant::now(), seconds_since_1970());
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let mut sent = 0.0;
        loop {
            ticks.tick().await;
            let elapsed = started.elapsed().as_secs_f64();
            while sent < elapsed * self.rate {
                // Each message has its own moment, whenever the tick comes.
                #[expect(clippy::cast_possible_truncation, reason = "seconds")]
                let now = first_second + (sent / self.rate * self.speed) as i64;
                self.counts.event_time_seconds.store(now, Ordering::Relaxed);
                self.send_one(&producer, now);
                sent += 1.0;
            }
        }
    }

    fn send_one(&mut self, producer: &ThreadedProducer<DefaultProducerContext>, now: i64) {
        let is_late = self.dice.below(100) < LATE;
        // Mostly within the delay of the watermark; every twentieth of them may be too late to count.
        let seconds_late = if self.dice.below(20) == 0 { 3600 } else { 210 };
        let late_seconds = if is_late { 30 + self.dice.below(seconds_late) } else { 0 };
        let at = now - i64::try_from(late_seconds).unwrap_or(0);
        let is_transaction = self.thief.1 > 0 || self.dice.below(5) == 0;
        let (topic, key, value) = match is_transaction {
            true => self.transaction(at),
            false => self.event(at),
        };
        let mut text = value.to_string();
        let is_malformed = self.dice.below(100) < MALFORMED;
        if is_malformed {
            text = self.broken(value, text);
        }
        let copies = if self.dice.below(100) < DUPLICATED { 2 } else { 1 };
        for _ in 0..copies {
            // A full queue is a broker that does not keep up: what does not fit is not sent.
            if producer.send(BaseRecord::<str, str>::to(topic).key(&key).payload(&text)).is_ok() {
                let count = if is_transaction { &self.counts.transactions } else { &self.counts.events };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        let counts = &self.counts;
        counts.late.fetch_add(is_late.into(), Ordering::Relaxed);
        counts.duplicated.fetch_add(copies - 1, Ordering::Relaxed);
        counts.malformed.fetch_add(is_malformed.into(), Ordering::Relaxed);
    }

    fn event(&mut self, at: i64) -> (&'static str, String, Value) {
        let user = self.dice.below(USERS);
        let session = usize::try_from(user).ok().and_then(|user| self.sessions.get_mut(user));
        let session = session.map_or(0, |number| {
            *number += u64::from(self.dice.below(25) == 0);
            *number
        });
        let user_id = format!("user-{user:03}");
        let value = json!({
            "user_id": user_id,
            "session_id": format!("session-{user:03}-{session}"),
            "event_type": self.dice.among(EVENT_TYPES),
            "page_url": self.dice.among(PAGES),
            "timestamp": at,
            "user_agent": self.dice.among(AGENTS),
            "ip_address": format!("192.0.2.{}", user % 250 + 1),
            "properties": {"campaign": format!("autumn-{}", user % 4), "language": if user.is_multiple_of(3) { "de" } else { "en" }},
        });
        (EVENTS, user_id, value)
    }

    fn transaction(&mut self, at: i64) -> (&'static str, String, Value) {
        self.transactions += 1;
        if self.thief.1 == 0 && self.dice.below(60) == 0 {
            self.thief = (self.dice.below(USERS), 4 + self.dice.below(5));
        }
        let is_thief = self.thief.1 > 0;
        let user = if is_thief { self.thief.0 } else { self.dice.below(USERS) };
        self.thief.1 = self.thief.1.saturating_sub(1);
        let cents = if is_thief { 20_000 + self.dice.below(120_000) } else { 300 + self.dice.below(18_000) };
        let user_id = format!("user-{user:03}");
        let value = json!({
            "transaction_id": format!("t-{at}-{:07}", self.transactions),
            "user_id": user_id,
            "amount": format!("{}.{:02}", cents / 100, cents % 100).parse::<f64>().unwrap_or(0.0),
            "currency": "EUR",
            "merchant_id": format!("shop-{:02}", self.dice.below(MERCHANTS)),
            "timestamp": at,
            "payment_method": self.dice.among(METHODS),
        });
        (TRANSACTIONS, user_id, value)
    }

    /// The ways in which messages break.
    fn broken(&mut self, mut value: Value, text: String) -> String {
        match self.dice.below(4) {
            // Cut off on the way.
            0 => text.chars().take(25).collect(),
            1 => "<html>502 Bad Gateway</html>".to_string(),
            2 => String::new(),
            // A field of another type.
            _ => {
                value["timestamp"] = json!("yesterday");
                value.to_string()
            }
        }
    }
}

/// Chance that can be repeated (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end.max(1)
    }

    /// One of them, each as often as its weight says.
    fn among(&mut self, weighted: &[(&'static str, u64)]) -> &'static str {
        let mut at = self.below(weighted.iter().map(|(_, weight)| weight).sum());
        for (name, weight) in weighted {
            if at < *weight {
                return name;
            }
            at -= weight;
        }
        ""
    }
}

fn seconds_since_1970() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(0)
}

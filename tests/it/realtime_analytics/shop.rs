//! What is sent to the pipeline: a minute of a small shop after another, some of it late, twice or broken.

use millstream_tests::dice::Dice;
use serde_json::{Value, json};

/// The first second of the shop: 2026-01-01 23:20, so that days change on the way.
const OPENED: u64 = 1_767_309_600;
/// Users, of whom half are on either partition.
const USERS: u64 = 24;

/// A message and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) partition: i32,
    pub(super) key: String,
    pub(super) value: String,
}

/// What is sent in a minute.
#[derive(Debug, Default)]
pub(super) struct Minute {
    pub(super) events: Vec<Message>,
    pub(super) transactions: Vec<Message>,
}

/// An event, as it was meant.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) user_id: String,
    pub(super) session_id: String,
    pub(super) event_type: String,
    pub(super) page_url: String,
    pub(super) at_seconds: i64,
}

/// A transaction, as it was meant.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) user_id: String,
    pub(super) cents: i64,
    pub(super) merchant_id: String,
    pub(super) payment_method: String,
    pub(super) at_seconds: i64,
}

/// The shop, and everything that happened in it.
pub(super) struct Shop {
    dice: Dice,
    minutes: u64,
    transaction_ids: u64,
    /// To be sent again in the next minute.
    again: Minute,
    pub(super) events: Vec<Event>,
    pub(super) transactions: Vec<Transaction>,
    /// When it closed: what happened before is in windows that are over.
    pub(super) closed_at_seconds: i64,
}

impl Shop {
    pub(super) fn new(dice: Dice) -> Self {
        let (events, transactions) = (Vec::new(), Vec::new());
        Self {
            dice,
            minutes: 0,
            transaction_ids: 0,
            again: Minute::default(),
            events,
            transactions,
            closed_at_seconds: 0,
        }
    }

    /// The next minute.
    pub(super) fn minute(&mut self) -> Minute {
        let mut minute = std::mem::take(&mut self.again);
        let start = OPENED + self.minutes * 60;
        self.minutes += 1;
        for number in 0..30 {
            // Some are late, by less than ten minutes.
            let late = if self.dice.below(10) == 0 { self.dice.below(240) } else { 0 };
            let event = self.event(start + number * 2 - late);
            self.sent(&mut minute, event, |minute| &mut minute.events);
        }
        // In most minutes somebody pays too often.
        let thief = (self.dice.below(3) > 0).then(|| self.dice.below(USERS));
        for number in 0..15 {
            // By less than five minutes.
            let late = if self.dice.below(10) == 0 { self.dice.below(120) } else { 0 };
            let user = thief.filter(|_| number % 2 == 0).unwrap_or_else(|| self.dice.below(USERS));
            let transaction = self.transaction(start + number * 4 - late, user);
            self.sent(&mut minute, transaction, |minute| &mut minute.transactions);
        }
        minute
    }

    /// What comes a day later, and ends all windows before it.
    pub(super) fn closing_time(&mut self) -> Minute {
        let mut minute = std::mem::take(&mut self.again);
        let at = OPENED + self.minutes * 60 + 86_400;
        self.closed_at_seconds = i64::try_from(at).expect("seconds of a shop");
        let event = json!({
            "user_id": "guard", "session_id": "guard", "event_type": "page_view", "page_url": "/closed", "timestamp": at,
        });
        let (user_id, page_url) = ("guard".to_string(), "/closed".to_string());
        self.events.push(Event {
            session_id: user_id.clone(),
            event_type: "page_view".to_string(),
            page_url,
            at_seconds: self.closed_at_seconds,
            user_id,
        });
        minute.events.push(message(0, &event));
        let transaction = self.transaction(at, 0);
        minute.transactions.push(transaction);
        minute
    }

    fn event(&mut self, at: u64) -> Message {
        let user = self.dice.below(USERS);
        let event = Event {
            user_id: format!("u{user}"),
            session_id: format!("s{user}-{}", self.minutes / 17),
            event_type: ["page_view", "page_view", "page_view", "click"][self.below(4)].to_string(),
            page_url: format!("/page/{}", self.dice.below(7)),
            at_seconds: i64::try_from(at).expect("seconds of a shop"),
        };
        let value = json!({
            "user_id": event.user_id, "session_id": event.session_id, "event_type": event.event_type,
            "page_url": event.page_url, "timestamp": at, "user_agent": "tests", "ip_address": "192.0.2.1",
            "properties": {"a": "b"},
        });
        self.events.push(event);
        message(user, &value)
    }

    fn transaction(&mut self, at: u64, user: u64) -> Message {
        self.transaction_ids += 1;
        let transaction = Transaction {
            user_id: format!("u{user}"),
            cents: i64::try_from(100 + self.dice.below(120_000)).expect("cents"),
            merchant_id: format!("m{}", self.dice.below(9)),
            payment_method: ["card", "paypal", "transfer"][self.below(3)].to_string(),
            at_seconds: i64::try_from(at).expect("seconds of a shop"),
        };
        let (units, cents) = (transaction.cents / 100, transaction.cents % 100);
        let amount: Value = serde_json::from_str(&format!("{units}.{cents:02}")).expect("a number");
        let value = json!({
            "transaction_id": format!("t{}", self.transaction_ids), "user_id": transaction.user_id, "amount": amount,
            "currency": "EUR", "merchant_id": transaction.merchant_id, "timestamp": at,
            "payment_method": transaction.payment_method,
        });
        self.transactions.push(transaction);
        message(user, &value)
    }

    /// Puts a message into the minute; some come again, and some broken ones come with them.
    fn sent(&mut self, minute: &mut Minute, message: Message, topic: impl Fn(&mut Minute) -> &mut Vec<Message>) {
        match self.dice.below(40) {
            0 => topic(minute).push(message.clone()),
            1 => topic(&mut self.again).push(message.clone()),
            2 => {
                let broken = [
                    message.value[..self.below(12)].to_string(),
                    "<html>502 Bad Gateway</html>".to_string(),
                    message.value.replace("\"timestamp\":", "\"timestamp\":\"yesterday\",\"was\":"),
                    message.value.replace("\"user_id\":", "\"user\":"),
                ];
                let value = broken[self.below(broken.len())].clone();
                topic(minute).push(Message { value, ..message.clone() });
            }
            _ => {}
        }
        topic(minute).push(message);
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.dice.below(end as u64)).expect("below a small number")
    }
}

fn message(user: u64, value: &Value) -> Message {
    Message { partition: i32::from(user % 2 == 1), key: format!("u{user}"), value: value.to_string() }
}

//! The page on the terminal: figures of each query, and what they found last.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use millstream::{Error, Result};
use ratatui::backend::TermionBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::termion::event::Key;
use ratatui::termion::input::TermRead;
use ratatui::termion::raw::IntoRawMode;
use ratatui::termion::screen::IntoAlternateScreen;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Cell, Padding, Paragraph, Row, Table};
use ratatui::{Frame, Terminal};
use tokio::sync::Notify;

use super::board::{Board, News, QueryNews};
use super::queries::NAMES;

/// How long a picture stays.
const PICTURE: Duration = Duration::from_millis(200);
const ACCENT: Color = Color::Cyan;
const QUIET: Color = Color::DarkGray;
/// What each query does with its results.
const SINKS: [&str; 4] = ["update → console", "update → SQLite", "append → Parquet", "append → Kafka"];

/// The page. The terminal is as it was when this is dropped.
pub(crate) struct Page {
    over: Arc<AtomicBool>,
    left: Arc<Notify>,
    painter: Option<JoinHandle<()>>,
}

impl Page {
    /// Takes the terminal, and paints in a thread of its own.
    pub(crate) fn open(board: Arc<Board>) -> Result<Self> {
        let no_terminal = |e: io::Error| Error::unavailable(format!("the terminal cannot be used (try --plain): {e}"));
        let screen = io::stdout().into_raw_mode().and_then(IntoAlternateScreen::into_alternate_screen);
        let mut terminal = Terminal::new(TermionBackend::new(screen.map_err(no_terminal)?)).map_err(no_terminal)?;
        terminal.hide_cursor().map_err(no_terminal)?;
        let (over, left) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let is_over = Arc::clone(&over);
        let painter = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                // A terminal that is gone for a moment, or for good, is nothing to stop the queries for.
                let _ = terminal.draw(|frame| paint(frame, &board));
                std::thread::park_timeout(PICTURE);
            }
        });
        let asked = Arc::clone(&left);
        std::thread::spawn(move || {
            // Keys come as bytes now, Ctrl-C too.
            let keys = ratatui::termion::get_tty().into_iter().flat_map(TermRead::keys).flatten();
            for key in keys {
                if matches!(key, Key::Char('q') | Key::Ctrl('c') | Key::Esc) {
                    asked.notify_one();
                }
            }
        });
        Ok(Self { over, left, painter: Some(painter) })
    }

    /// Returns when somebody has pressed q, Esc or Ctrl-C.
    pub(crate) async fn left(&self) {
        self.left.notified().await;
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(painter) = self.painter.take() {
            painter.thread().unpark();
            let _ = painter.join();
            // What gives the terminal back may still be on its way.
            let _ = io::stdout().flush();
        }
    }
}

fn paint(frame: &mut Frame<'_>, board: &Board) {
    let news = board.news();
    let rows =
        [Constraint::Length(4), Constraint::Length(7), Constraint::Fill(1), Constraint::Fill(1), Constraint::Length(1)];
    let [head, queries, above, below, foot] = Layout::vertical(rows).areas(frame.area());
    let halves = [Constraint::Fill(1), Constraint::Fill(1)];
    let [pages, alerts] = Layout::horizontal(halves).areas(above);
    let [sessions, recommendations] = Layout::horizontal(halves).areas(below);
    paint_head(frame, head, board, &news);
    paint_queries(frame, queries, &news);
    paint_pages(frame, pages, &news);
    paint_alerts(frame, alerts, &news);
    paint_sessions(frame, sessions, &news);
    paint_recommendations(frame, recommendations, &news);
    let keys =
        Line::from(vec![" q ".black().on_cyan(), " or ".fg(QUIET), " Ctrl-C ".black().on_cyan(), " ends it".fg(QUIET)]);
    frame.render_widget(keys, foot);
    frame.render_widget(Line::from(format!("results: {} ", board.output)).fg(QUIET).right_aligned(), foot);
}

fn paint_head(frame: &mut Frame<'_>, area: Rect, board: &Board, news: &News) {
    let seconds = board.started.elapsed().as_secs();
    let clock = format!(" {:02}:{:02}:{:02} ", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let block = panel(" Millstream · real-time analytics ").title(Line::from(clock.bold()).right_aligned());
    let of = |count: &std::sync::atomic::AtomicU64| thousands(count.load(Ordering::Relaxed));
    let mut lines = vec![Line::from(vec!["Kafka ".fg(QUIET), board.kafka.clone().into()])];
    if let Some(produced) = board.produced() {
        lines[0].extend([
            "   shoppers' time ".fg(QUIET),
            clock_of_seconds(produced.event_time_seconds.load(Ordering::Relaxed)).fg(ACCENT),
            format!(", {} times the clock", board.speed).fg(QUIET),
        ]);
        lines.push(Line::from(vec![
            "produced ".fg(QUIET),
            of(&produced.events).bold(),
            " events, ".fg(QUIET),
            of(&produced.transactions).bold(),
            " transactions, of them ".fg(QUIET),
            of(&produced.late).yellow(),
            " late, ".fg(QUIET),
            of(&produced.duplicated).yellow(),
            " twice, ".fg(QUIET),
            of(&produced.malformed).yellow(),
            " broken".fg(QUIET),
        ]));
    } else {
        let read: u64 = news.queries.values().map(|query| query.input_rows).sum();
        lines.push(Line::from(vec!["read ".fg(QUIET), thousands(read).bold(), " rows".fg(QUIET)]));
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn paint_queries(frame: &mut Frame<'_>, area: Rect, news: &News) {
    let head =
        ["query", "", "batch", "rows/s", "watermark", "state rows", "too late", "latency", "rows of the last batches"];
    let rows = NAMES.iter().zip(SINKS).map(|(name, sink)| {
        let nothing = QueryNews::default();
        let query = news.queries.get(*name).unwrap_or(&nothing);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate to look at")]
        let rate = query.rows_per_second() as u64;
        Row::new([
            Cell::from(name.bold()),
            Cell::from(sink.fg(QUIET)),
            right(query.batch_id.to_string()),
            right(thousands(rate)),
            Cell::from(clock_of(&query.watermark).fg(ACCENT)),
            right(thousands(query.state_rows)),
            right(thousands(query.late_rows)),
            right(format!("{} ms", query.latency_ms)),
            Cell::from(bars(query).fg(ACCENT)),
        ])
    });
    let widths = [
        Constraint::Length(15),
        Constraint::Length(16),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(10),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Fill(1),
    ];
    let head = head.into_iter().enumerate().map(|(at, name)| match at {
        2 | 3 | 5..=7 => right(name.to_string()),
        _ => Cell::from(name),
    });
    let table = Table::new(rows, widths).header(Row::new(head).fg(QUIET)).block(panel(" Queries "));
    frame.render_widget(table.column_spacing(2), area);
}

fn paint_pages(frame: &mut Frame<'_>, area: Rect, news: &News) {
    let (start, pages) = news.top_pages().unwrap_or(("", Vec::new()));
    let most = pages.first().map_or(1, |page| page.views.max(1));
    let rows = pages.iter().map(|page| {
        let width = usize::try_from(page.views * 12 / most).unwrap_or(0);
        Row::new([
            Cell::from(page.page_url.clone()),
            right(page.views.to_string()),
            Cell::from("█".repeat(width).fg(ACCENT)),
            right(page.visitors.to_string()),
            right(page.sessions.to_string()),
            right(format!("{:.2}", page.views_per_visitor)),
        ])
    });
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(5),
        Constraint::Length(12),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(5),
    ];
    let head = Row::new([
        Cell::from("page"),
        right("views".into()),
        Cell::from(""),
        right("visitors".into()),
        right("sessions".into()),
        right("each".into()),
    ]);
    let title = format!(" Top pages, five minutes from {} ", clock_of(start));
    frame.render_widget(Table::new(rows, widths).header(head.fg(QUIET)).block(panel(title)), area);
}

fn paint_alerts(frame: &mut Frame<'_>, area: Rect, news: &News) {
    let rows = news.alerts.iter().map(|alert| {
        let color = if alert.score >= 90 { Color::Red } else { Color::Yellow };
        Row::new([
            Cell::from(clock_of(&alert.window_start).fg(ACCENT)),
            Cell::from(alert.user_id.clone()),
            right(alert.payments.to_string()),
            right(format!("{:.2}", alert.total)),
            right(alert.merchants.to_string()),
            Cell::from(alert.methods.join(" ").fg(QUIET)),
            Cell::from(Line::from(alert.score.to_string()).right_aligned().style(Style::new().fg(color).bold())),
        ])
    });
    let widths = [
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(4),
        Constraint::Length(8),
        Constraint::Length(5),
        Constraint::Fill(1),
        Constraint::Length(5),
    ];
    let head = Row::new([
        Cell::from("minute"),
        Cell::from("user"),
        right("paid".into()),
        right("total".into()),
        right("shops".into()),
        Cell::from("by"),
        right("score".into()),
    ]);
    let title = format!(" Fraud alerts ({}) ", thousands(news.alerts_raised));
    frame.render_widget(Table::new(rows, widths).header(head.fg(QUIET)).block(panel(title)), area);
}

fn paint_sessions(frame: &mut Frame<'_>, area: Rect, news: &News) {
    let rows = news.sessions.iter().map(|session| {
        Row::new([
            Cell::from(clock_of(&session.window_start).fg(ACCENT)),
            Cell::from(session.session_id.clone()),
            right(session.events.to_string()),
            right(format!("{}:{:02}", session.duration_seconds / 60, session.duration_seconds % 60)),
            Cell::from(session.pages.join(" → ").fg(QUIET)),
        ])
    });
    let widths = [
        Constraint::Length(8),
        Constraint::Length(14),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Fill(1),
    ];
    let head = Row::new([
        Cell::from("window"),
        Cell::from("session"),
        right("events".into()),
        right("length".into()),
        Cell::from("pages"),
    ]);
    let written = news.queries.get("sessions").map_or(0, |query| query.output_rows);
    let title = format!(" Latest sessions ({} in the lake) ", thousands(written));
    frame.render_widget(Table::new(rows, widths).header(head.fg(QUIET)).block(panel(title)), area);
}

fn paint_recommendations(frame: &mut Frame<'_>, area: Rect, news: &News) {
    let rows = news.recommendations.iter().map(|of| {
        let average = of.average_amount.map(|amount| format!("{amount:.2}"));
        Row::new([
            Cell::from(clock_of(&of.window_start).fg(ACCENT)),
            Cell::from(of.user_id.clone()),
            right(of.pages.len().to_string()),
            right(average.unwrap_or_else(|| "–".to_string())),
            Cell::from(if of.merchants.is_empty() { "–".to_string() } else { of.merchants.join(" ") }.fg(QUIET)),
        ])
    });
    let widths = [
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(5),
        Constraint::Length(8),
        Constraint::Fill(1),
    ];
    let head = Row::new([
        Cell::from("window"),
        Cell::from("user"),
        right("pages".into()),
        right("average".into()),
        Cell::from("shops"),
    ]);
    frame.render_widget(Table::new(rows, widths).header(head.fg(QUIET)).block(panel(" Latest recommendations ")), area);
}

fn panel<'a>(title: impl Into<Line<'a>>) -> Block<'a> {
    let title: Line<'a> = title.into();
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().fg(QUIET))
        .title(title.fg(ACCENT).bold())
        .padding(Padding::horizontal(1))
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(Span::from(text)).right_aligned())
}

/// Rows of the last batches as a row of bars.
fn bars(query: &QueryNews) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = query.batches.iter().copied().max().unwrap_or(0).max(1);
    let level = |rows: &u64| LEVELS[usize::try_from(rows * 7 / most).unwrap_or(0).min(7)];
    query.batches.iter().map(level).collect()
}

/// `12,345`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The time of day of an ISO-8601 time.
fn clock_of(time: &str) -> String {
    time.get(11..19).unwrap_or("–").to_string()
}

/// The time of day of so many seconds after 1970.
fn clock_of_seconds(seconds: i64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

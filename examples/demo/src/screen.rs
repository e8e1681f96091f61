//! The picture in the terminal: an alternate screen, whole frames, and the terminal as it was on every way out.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, event, execute, queue};
use tokio::sync::mpsc;

use crate::grid::{Grid, Ink};

/// The smallest picture.
const LEAST: (usize, usize) = (80, 24);
/// Wider, and lines are hard to follow.
const MOST_WIDTH: usize = 110;

/// The terminal while the picture is in it. Dropping it gives the terminal back.
pub(crate) struct Screen {
    drawn: Option<Grid>,
    colours: bool,
}

impl Screen {
    /// Takes the terminal over. The keys Ctrl-C, `q` and Esc come as messages.
    pub(crate) fn enter() -> io::Result<(Self, mpsc::UnboundedReceiver<()>)> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            before(panic);
        }));
        terminal::enable_raw_mode()?;
        let screen = Self {
            drawn: None,
            colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok((screen, watch_keys()))
    }

    /// Whether there is a terminal to draw in.
    pub(crate) fn is_there() -> bool {
        io::stdout().is_terminal() && std::env::var("TERM").map_or(true, |term| term != "dumb")
    }

    /// The size of the picture to draw.
    pub(crate) fn size() -> (usize, usize) {
        let (width, height) = terminal::size().unwrap_or((80, 24));
        (
            usize::from(width).clamp(LEAST.0, MOST_WIDTH),
            usize::from(height).max(LEAST.1),
        )
    }

    /// Shows a picture; writes only the rows that changed, all in one frame.
    pub(crate) fn draw(&mut self, grid: Grid) -> io::Result<()> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        queue!(out, BeginSynchronizedUpdate)?;
        let same_size = self
            .drawn
            .as_ref()
            .is_some_and(|drawn| drawn.width() == grid.width() && drawn.rows().len() == grid.rows().len());
        if !same_size {
            self.drawn = None;
            queue!(out, Clear(ClearType::All))?;
        }
        for (number, row) in grid.rows().iter().enumerate() {
            if self
                .drawn
                .as_ref()
                .is_some_and(|drawn| drawn.rows().get(number) == Some(row))
            {
                continue;
            }
            queue!(
                out,
                cursor::MoveTo(0, u16::try_from(number).unwrap_or(u16::MAX)),
                Clear(ClearType::CurrentLine)
            )?;
            for run in Grid::runs(row) {
                queue!(
                    out,
                    cursor::MoveToColumn(u16::try_from(run.column).unwrap_or(u16::MAX))
                )?;
                if run.bold {
                    queue!(out, SetAttribute(Attribute::Bold))?;
                }
                if self.colours {
                    queue!(out, SetForegroundColor(colour(run.ink)))?;
                }
                queue!(out, Print(run.text), SetAttribute(Attribute::Reset), ResetColor)?;
            }
        }
        queue!(out, EndSynchronizedUpdate)?;
        self.drawn = Some(grid);
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Gives the terminal back. Doing it twice does no harm.
fn leave() {
    // Nothing can be done about a terminal that is gone.
    let _ = execute!(
        io::stdout(),
        EndSynchronizedUpdate,
        cursor::Show,
        LeaveAlternateScreen
    );
    let _ = terminal::disable_raw_mode();
}

/// In raw mode Ctrl-C is a key like any other.
fn watch_keys() -> mpsc::UnboundedReceiver<()> {
    let (ends, end) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while !ends.is_closed() {
            match event::poll(Duration::from_millis(100)) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(_) => return,
            }
            let Ok(Event::Key(key)) = event::read() else {
                continue;
            };
            let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            let quit = control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc);
            if quit && key.kind != KeyEventKind::Release && ends.send(()).is_err() {
                return;
            }
        }
    });
    end
}

/// The terminal's own colours, so that the picture is readable on every background.
fn colour(ink: Ink) -> Color {
    match ink {
        Ink::Text => Color::Reset,
        Ink::Dim | Ink::Faint => Color::DarkGrey,
        Ink::Good => Color::DarkGreen,
        Ink::Busy => Color::DarkCyan,
        Ink::Waiting => Color::DarkYellow,
        Ink::Bad => Color::DarkRed,
        Ink::Accent => Color::DarkBlue,
    }
}

//! Where the story goes: a picture in the terminal or plain lines, a log file, frames for the SVG.
#![allow(clippy::print_stdout, clippy::print_stderr)] // This is the one place that prints, and printing is its job.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::args::Args;
use crate::screen::Screen;
use crate::story::{Line, Story};
use crate::svg::Recorder;
use crate::view::picture;
use crate::words::seconds;

/// Pictures are not drawn more often.
const FRAME: Duration = Duration::from_millis(60);

/// All outputs of one run.
pub(crate) struct Output {
    screen: Option<Screen>,
    interrupts: mpsc::UnboundedReceiver<()>,
    log: Option<BufWriter<File>>,
    recorder: Option<Recorder>,
    lines_told: usize,
    drawn_at: Option<Instant>,
}

impl Output {
    /// Opens what the command line asks for.
    pub(crate) fn open(args: &Args) -> io::Result<Self> {
        // First what can fail without a terminal to be given back.
        let log = args
            .log
            .as_ref()
            .map(File::create)
            .transpose()?
            .map(BufWriter::new);
        if let Some(path) = &args.svg {
            File::create(path)?;
        }
        let (screen, interrupts) = if args.plain || !Screen::is_there() {
            (None, watch_signals())
        } else {
            let (screen, mut keys) = Screen::enter()?;
            let (ends, end) = mpsc::unbounded_channel();
            let mut signals = watch_signals();
            tokio::spawn(async move {
                tokio::select! { _ = keys.recv() => {}, _ = signals.recv() => {} }
                let _ = ends.send(());
            });
            (Some(screen), end)
        };
        let recorder = args.svg.as_ref().map(|_| Recorder::default());
        Ok(Self {
            screen,
            interrupts,
            log,
            recorder,
            lines_told: 0,
            drawn_at: None,
        })
    }

    /// Ready when the user has had enough. Cancel-safe.
    pub(crate) async fn interrupted(&mut self) {
        if self.interrupts.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Shows how the story stands.
    pub(crate) fn show(&mut self, story: &Story) {
        for line in story.log.iter().skip(self.lines_told) {
            self.tell(line);
        }
        self.lines_told = story.log.len();
        if let Some(recorder) = &mut self.recorder {
            recorder.look(story);
        }
        let due = self.drawn_at.is_none_or(|at| at.elapsed() >= FRAME) || story.over;
        if let (Some(screen), true) = (&mut self.screen, due) {
            let (width, height) = Screen::size();
            self.drawn_at = Some(Instant::now());
            // A terminal that cannot be written to is noticed by whoever sits in front of it.
            let _ = screen.draw(picture(story, width, height));
        }
    }

    fn tell(&mut self, line: &Line) {
        let text = format!(
            "{:>7.2}  {:<8}  {}",
            seconds(line.at_ms),
            line.tag.name(),
            line.text
        );
        if self.screen.is_none() {
            say(&text);
        }
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "{text}");
        }
    }

    /// Gives the terminal back, leaves the last picture and the summary in it, and writes the files.
    pub(crate) fn close(mut self, args: &Args, story: &Story, summary: &[String]) -> io::Result<()> {
        if self.screen.take().is_some() {
            for line in story.log.iter().filter(|line| line.tag.is_headline()) {
                say(&format!("{:>7.2}  {}", seconds(line.at_ms), line.text));
            }
        }
        for line in summary {
            say(line);
            if let Some(log) = &mut self.log {
                writeln!(log, "{line}")?;
            }
        }
        if let Some(log) = &mut self.log {
            log.flush()?;
        }
        if let (Some(recorder), Some(path)) = (self.recorder, &args.svg) {
            let svg = recorder.finish(story);
            std::fs::write(path, &svg)?;
            say(&format!(
                "picture: {} ({} KB)",
                path.display(),
                svg.len().div_ceil(1024)
            ));
        }
        Ok(())
    }
}

/// A line on standard output; without a reader (a closed pipe) there is nobody to tell.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Something that went wrong before there was a story.
pub(crate) fn complain(why: &str) {
    eprintln!("freshsocket-demo: {why}");
}

/// Ctrl-C, and the wish of the system.
fn watch_signals() -> mpsc::UnboundedReceiver<()> {
    let (ends, end) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        terminated().await;
        let _ = ends.send(());
    });
    end
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut hang_up)) =
        (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}

#[cfg(not(unix))]
async fn terminated() {
    let _ = tokio::signal::ctrl_c().await;
}

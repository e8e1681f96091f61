//! A picture of characters: what the view draws on, and the terminal and the SVG read from.

/// A colour by its meaning. Each output has its own palette.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Ink {
    #[default]
    Text,
    /// Less important.
    Dim,
    /// Rulers and empty bars.
    Faint,
    Good,
    Busy,
    Waiting,
    Bad,
    Accent,
}

/// One character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) symbol: char,
    pub(crate) ink: Ink,
    pub(crate) bold: bool,
}

const EMPTY: Cell = Cell {
    symbol: ' ',
    ink: Ink::Text,
    bold: false,
};

/// Rows of cells, all of one width. Drawing outside of it is cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    width: usize,
    rows: Vec<Vec<Cell>>,
}

/// Neighbouring cells of one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) column: usize,
    pub(crate) text: String,
    pub(crate) ink: Ink,
    pub(crate) bold: bool,
}

impl Grid {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            rows: vec![vec![EMPTY; width]; height],
        }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// Writes a text and says in which column it ended.
    pub(crate) fn put(&mut self, row: usize, column: usize, text: &str, ink: Ink) -> usize {
        self.write(row, column, text, ink, false)
    }

    pub(crate) fn put_bold(&mut self, row: usize, column: usize, text: &str, ink: Ink) -> usize {
        self.write(row, column, text, ink, true)
    }

    /// Writes a text that ends at the right edge, one column from it.
    pub(crate) fn put_right(&mut self, row: usize, text: &str, ink: Ink) {
        let column = self.width.saturating_sub(text.chars().count() + 1);
        self.put(row, column, text, ink);
    }

    /// Shortens what is too long for its row, so that one sees it was.
    pub(crate) fn put_cut(&mut self, row: usize, column: usize, text: &str, ink: Ink) -> usize {
        let room = self.width.saturating_sub(column + 1);
        if text.chars().count() <= room {
            return self.put(row, column, text, ink);
        }
        let kept: String = text.chars().take(room.saturating_sub(1)).collect();
        self.put(row, column, &format!("{kept}…"), ink)
    }

    fn write(&mut self, row: usize, column: usize, text: &str, ink: Ink, bold: bool) -> usize {
        let mut at = column;
        for symbol in text.chars() {
            if let Some(cell) = self.rows.get_mut(row).and_then(|row| row.get_mut(at)) {
                *cell = Cell { symbol, ink, bold };
            }
            at += 1;
        }
        at
    }

    /// The runs of a row, without trailing blanks.
    pub(crate) fn runs(row: &[Cell]) -> Vec<Run> {
        let end = row
            .iter()
            .rposition(|cell| cell.symbol != ' ')
            .map_or(0, |last| last + 1);
        let mut runs: Vec<Run> = Vec::new();
        for (column, cell) in row[..end].iter().enumerate() {
            match runs.last_mut() {
                // A blank looks the same in every ink.
                Some(run) if cell.symbol == ' ' || (run.ink == cell.ink && run.bold == cell.bold) => {
                    run.text.push(cell.symbol);
                }
                _ => runs.push(Run {
                    column,
                    text: cell.symbol.into(),
                    ink: cell.ink,
                    bold: cell.bold,
                }),
            }
        }
        runs
    }

    /// The characters alone.
    #[cfg(test)]
    pub(crate) fn text(&self) -> Vec<String> {
        let line = |row: &Vec<Cell>| {
            row.iter()
                .map(|cell| cell.symbol)
                .collect::<String>()
                .trim_end()
                .to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

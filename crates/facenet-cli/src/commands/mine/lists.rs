//! `facenet mine --stream`: hardest negatives of a mapped file, printed as they are found.

use facenet_train::miner::Neighbour;
use facenet_train::{Event, Observer, Stage};
use serde::Serialize;

use crate::args::MineArgs;
use crate::batch;
use crate::failure::Failure;
use crate::miner::Mining;
use crate::progress::Console;
use crate::report::Output;
use crate::stream;

/// Bytes of lines that are printed at once.
const PRINTED: usize = 1 << 16;

/// A line of `mine --stream --json`.
#[derive(Debug, Serialize)]
struct List {
    row: u32,
    /// Rows of other labels, the nearest first.
    nearest: Vec<u32>,
    /// Their squared L2.
    sq_l2: Vec<f64>,
}

/// The last line.
#[derive(Debug, Serialize)]
struct Found {
    /// What searched: always the CPU.
    device: &'static str,
    rows: usize,
    /// Rows with a NaN or an infinity; they have no line.
    masked_rows: usize,
    dim: usize,
    hardest_negatives: usize,
}

pub(crate) fn run(args: &MineArgs, mining: &Mining, output: Output) -> Result<(), Failure> {
    let (file, labels) = batch::map(&args.embeddings)?;
    let embeddings = file.embeddings();
    let (mut console, mut printer) = (Console::new(output), Printer::new(output.json));
    let mut progress = |done: u64, total: u64| {
        let (stage, done, total) = (Stage::Mine, done as usize, total as usize);
        console.event(&Event::Progress { stage, done, total });
    };
    let mut print = |row: u32, list: &[Neighbour]| printer.print(row, list);
    mining.visit_hardest(embeddings, &labels, &mut progress, &mut print)?;
    let n_printed = printer.finish()?;
    let found = Found {
        device: "cpu",
        rows: labels.len(),
        masked_rows: labels.len() - n_printed,
        dim: embeddings.dim(),
        hardest_negatives: args.rule.hardest_negatives,
    };
    output.result(&text(args, &found), &found)
}

fn text(args: &MineArgs, found: &Found) -> String {
    format!(
        "{}: {} rows, {} of them left out for a NaN or an infinity; nearest {} of other labels of \
         each of the others",
        args.embeddings.display(),
        found.rows,
        found.masked_rows,
        found.hardest_negatives,
    )
}

/// Lines on their way to stdout. After a failure nothing more is printed.
struct Printer {
    json: bool,
    lines: String,
    n_printed: usize,
    result: Result<(), Failure>,
}

impl Printer {
    fn new(json: bool) -> Self {
        Self {
            json,
            lines: String::new(),
            n_printed: 0,
            result: Ok(()),
        }
    }

    fn print(&mut self, row: u32, list: &[Neighbour]) {
        self.n_printed += 1;
        if self.result.is_err() {
            return;
        }
        match line(self.json, row, list) {
            Ok(line) => self.lines += &line,
            Err(failure) => self.result = Err(failure),
        }
        if self.lines.len() >= PRINTED {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.result.is_ok() {
            self.result = stream::put(self.lines.as_bytes());
        }
        self.lines.clear();
    }

    /// Prints the rest; the number of rows printed.
    fn finish(mut self) -> Result<usize, Failure> {
        self.flush();
        self.result.map(|()| self.n_printed)
    }
}

/// A row and its list: an object, or numbers of rows with a colon after the first.
fn line(json: bool, row: u32, list: &[Neighbour]) -> Result<String, Failure> {
    if !json {
        let nearest: Vec<String> = list.iter().map(|near| format!(" {}", near.index)).collect();
        return Ok(format!("{row}:{}\n", nearest.concat()));
    }
    let list = List {
        row,
        nearest: list.iter().map(|near| near.index).collect(),
        sq_l2: list.iter().map(|near| near.sq_l2).collect(),
    };
    serde_json::to_string(&list)
        .map(|line| line + "\n")
        .map_err(|error| Failure::resources(format!("cannot write JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_row_and_its_list() {
        let list = [(2, 0.25), (4, 9.0)].map(|(index, sq_l2)| Neighbour { index, sq_l2 });
        let found = |json, list: &[Neighbour]| line(json, 7, list).unwrap_or_default();
        assert_eq!(found(false, &list), "7: 2 4\n");
        assert_eq!(found(false, &[]), "7:\n");
        let expected = "{\"row\":7,\"nearest\":[2,4],\"sq_l2\":[0.25,9.0]}\n";
        assert_eq!(found(true, &list), expected);
    }
}

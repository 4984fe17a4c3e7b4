//! The command line: which rows, how long, and where what is measured lies.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// The rows, as they are asked for.
pub const ROWS: [&str; 25] = [
    "P1", "P2", "P3", "P5", "P6", "P7", "P8", "P9", "P10", "P11", "P12", "P13", "P14", "P15", "P16", "P17",
    "P18", "P19", "P20", "P21", "P22", "P23", "P24", "backlog", "modes",
];

/// What a measurement needs to know.
#[derive(Debug)]
pub struct Setup {
    pub rows: Vec<String>,
    /// A tenth of the load and three runs: to see that it works.
    pub quick: bool,
    /// Runs of each side.
    pub runs: usize,
    /// The measured component.
    pub guest: PathBuf,
    /// The component of P16.
    pub http_guest: PathBuf,
    /// The components of P19: one message at a time, and many.
    pub sql_guest: PathBuf,
    pub sql_batch_guest: PathBuf,
    /// The component of P12 and P13.
    pub orders: PathBuf,
    /// A Python with confluent-kafka, for P3.
    pub python: PathBuf,
    /// A folder with what P6 and P7 use of npm.
    pub node: PathBuf,
    /// The worker.
    pub pelton: PathBuf,
    /// Where databases are made, and the filled ledger is kept.
    pub work_dir: PathBuf,
}

impl Setup {
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let (mut rows, mut quick) = (Vec::new(), false);
        for arg in args {
            match ROWS.iter().find(|row| row.eq_ignore_ascii_case(&arg)) {
                Some(row) => rows.push((*row).to_owned()),
                None if arg == "--quick" => quick = true,
                None => bail!("no row `{arg}`; there are {}, and `--quick`", ROWS.join(", ")),
            }
        }
        if rows.is_empty() {
            rows = ROWS.map(str::to_owned).to_vec();
        }
        Ok(Self {
            rows,
            quick,
            runs: if quick { 3 } else { 7 },
            guest: path("BENCH_GUEST")?,
            http_guest: path("BENCH_HTTP_GUEST")?,
            sql_guest: path("BENCH_SQL_GUEST")?,
            sql_batch_guest: path("BENCH_SQL_BATCH_GUEST")?,
            orders: path("BENCH_ORDERS")?,
            python: path("BENCH_PYTHON")?,
            node: path("BENCH_NODE")?,
            pelton: path("BENCH_PELTON")?,
            work_dir: path("BENCH_DIR")?,
        })
    }

    pub fn wants(&self, row: &str) -> bool {
        self.rows.iter().any(|wanted| wanted == row)
    }
}

fn path(variable: &str) -> Result<PathBuf> {
    let value = std::env::var_os(variable);
    value.map(PathBuf::from).with_context(|| format!("{variable} is not set: run script/bench"))
}

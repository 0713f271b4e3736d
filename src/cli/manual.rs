//! `datacoord completions` and `datacoord man`: made from the definition of the arguments, so that they can't be wrong.

use std::io;

use anyhow::Context as _;
use clap::CommandFactory as _;

use super::args::{Cli, CompletionsFlags, ManFlags};

pub(super) fn completions(flags: &CompletionsFlags) {
    clap_complete::generate(flags.shell, &mut Cli::command(), "datacoord", &mut io::stdout());
}

pub(super) fn pages(flags: &ManFlags) -> anyhow::Result<()> {
    let Some(folder) = &flags.folder else {
        return clap_mangen::Man::new(Cli::command()).render(&mut io::stdout()).context("writing the page");
    };
    let failed = || format!("writing pages into {}", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    clap_mangen::generate_to(Cli::command(), folder).with_context(failed)
}

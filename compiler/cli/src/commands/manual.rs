//! Shell completions and man pages, made from the definitions of the arguments.

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::console::{Console, Failure};
use crate::files::write_whole;
use clap::CommandFactory;

/// Prints the completions of a shell.
pub fn completions(args: &CompletionsArgs, console: &mut Console) -> Result<bool, Failure> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "edict", &mut out);
    console.out().write_all(&out)?;
    Ok(true)
}

/// Writes a man page for `edict` and each of its commands.
pub fn man(args: &ManArgs, console: &mut Console) -> Result<bool, Failure> {
    std::fs::create_dir_all(&args.folder).map_err(|e| Failure::write(&args.folder, e))?;
    let mut root = Cli::command();
    root.build();
    let mut pages = vec![root.clone()];
    pages.extend(root.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help").cloned());
    for command in pages {
        let name = command.get_display_name().unwrap_or("edict").replace(' ', "-");
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        write_whole(&args.folder.join(format!("{name}.1")), &page)?;
        console.remark(&format!("{name}.1"));
    }
    Ok(true)
}

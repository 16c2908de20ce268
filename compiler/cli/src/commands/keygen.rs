//! `edict keygen`: a key that signs tables.
//!
//! The private key goes into a new file that only its owner can read; the public one is the result.

use crate::args::KeygenArgs;
use crate::console::{Console, Failure};
use crate::signing;

/// Makes a key, or shows the public part of one.
pub fn run(args: &KeygenArgs, console: &mut Console) -> Result<bool, Failure> {
    let key = if args.public { signing::read(&args.key)? } else { signing::create(&args.key)? };
    writeln!(console.out(), "{}", signing::public(&key))?;
    if !args.public {
        console.remark(&format!(
            "{}: a private key; keep it from everybody, and put the public one into `signers` of edictd.ron",
            args.key.display()
        ));
    }
    Ok(true)
}

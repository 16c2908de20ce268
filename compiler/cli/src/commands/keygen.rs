//! `edict keygen`: a key that signs tables.
//!
//! The private key goes into a new file that only its owner can read; the public one is the result.

use crate::args::{KeygenArgs, ResultFormat};
use crate::console::{Console, Failure};
use crate::signing;
use serde_json::json;

/// Makes a key, or shows the public part of one.
pub fn run(args: &KeygenArgs, console: &mut Console) -> Result<bool, Failure> {
    let key = if args.public { signing::read(&args.key)? } else { signing::create(&args.key)? };
    let public = signing::public(&key);
    match args.format {
        ResultFormat::Human => writeln!(console.out(), "{public}")?,
        ResultFormat::Json => {
            let object = json!({ "public": public.to_string(), "key": args.key.display().to_string() });
            writeln!(console.out(), "{object}")?;
        }
    }
    if !args.public {
        console.remark(&format!(
            "{}: a private key; keep it from everybody, and put the public one into `signers` of edictd.ron",
            args.key.display()
        ));
    }
    Ok(true)
}

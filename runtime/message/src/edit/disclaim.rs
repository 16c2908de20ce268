//! Adding a disclaimer. Under construction: nothing is edited yet, the message stays as it is.

use super::{Edit, Order, Untouched};
use crate::mime;

/// Edits that add a disclaimer, or why the message stays as it is.
///
/// # Errors
/// [`Untouched`] says why nothing is edited.
pub fn disclaim(message: &[u8], order: &Order<'_>) -> Result<Vec<Edit>, Untouched> {
    if order.text.is_none() && order.html.is_none() {
        return Err(Untouched::Empty);
    }
    if mime::walk(message).malformed {
        return Err(Untouched::Malformed);
    }
    Err(Untouched::NoText)
}

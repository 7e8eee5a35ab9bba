//! Evidence → Diagnosis, as data: counts and names in, candidates out, the same for a live run and a
//! saved one. Nothing here prints, and there is no prose but in the table of causes.
//!
//! * [`causes`]: `CAUSES`, one record a cause: how it looks, how to check it, how to fix it.

pub mod causes;

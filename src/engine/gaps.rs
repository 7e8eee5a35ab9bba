//! placeholder until the gaps branch lands
use crate::units::Moment;
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gaps {}
impl Gaps {
    pub fn count(&self) -> u32 {
        0
    }
    pub fn earliest(&self, at: Moment) -> Moment {
        at
    }
}

//! Looks for faster schedules: compiles candidates, compares their bits, and only then times them.
//!
//! A *task* is one schedule of a kernel's list with the sizes of a model that it serves. The search ([`search`]) changes one field
//! of the best schedule at a time ([`space`]); what is legal, the lowering says. A bench ([`bench`]) judges candidates on a device:
//! small inputs against the interpreter that defines the language, then the sizes of the model against the shipped schedule's
//! bytes, then the clock. Every verdict goes into a journal ([`journal`]), so that a run that was ended goes on where it was.
pub mod bench;
pub mod cases;
pub mod cpu;
pub mod cuda;
pub mod device;
pub mod journal;
pub mod keep;
pub mod model;
pub mod plant;
pub mod reference;
pub mod search;
pub mod space;
pub mod task;
pub mod timing;

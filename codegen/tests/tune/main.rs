//! `kgen tune`: bits come before time, a run that was ended goes on, and the command says what it found.
mod command;
mod judged;

//! Shared helpers of the test ladder.

//! The looker.

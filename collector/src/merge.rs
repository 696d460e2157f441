//! Readings become a snapshot.

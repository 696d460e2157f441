//! One small HTTP client.

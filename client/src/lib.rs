//! Client library and the trine command

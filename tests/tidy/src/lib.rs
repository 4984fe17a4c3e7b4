//! Nothing: the rules of the sources are tests.

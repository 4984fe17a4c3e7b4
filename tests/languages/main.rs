//! Languages suite: handlers as their authors make them, from the command line as typed. Each is compiled from source by the
//! language's own tools, which `script/languages` installs.

mod cases;
mod dev;
mod forms;
mod project;
mod refused;
mod usual;

//! The example programs are in the folders beside this one; this library is empty on purpose, because a
//! package needs a target that always builds.

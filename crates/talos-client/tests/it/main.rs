//! What users of the client see, against files and against a simulated cluster.

mod talosconfig;

//! What all areas need to make types of their own out of messages.

/// Makes an enum out of the numbers of one on the wire: what is not known stays visible as `Other`.
///
/// The text of each variant is the one of the API, in lower case.
macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $number:literal as $text:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A number that this library does not know, from a newer node.
            Other(i32),
        }

        impl $name {
            pub(crate) fn from_wire(number: i32) -> Self {
                match number {
                    $($number => Self::$variant,)+
                    other => Self::Other(other),
                }
            }

            /// The number on the wire.
            pub fn as_i32(self) -> i32 {
                match self {
                    $(Self::$variant => $number,)+
                    Self::Other(other) => other,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$variant => f.pad($text),)+
                    Self::Other(other) => f.pad(&other.to_string()),
                }
            }
        }
    };
}

/// Makes a type out of a message whose fields are traps: accessors do the conversion, and the message stays
/// within reach.
macro_rules! wraps {
    ($(#[$meta:meta])* pub struct $name:ident($message:ty);) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            raw: $message,
        }

        impl $name {
            /// The message as it came.
            pub fn as_inner(&self) -> &$message {
                &self.raw
            }

            /// The message as it came.
            pub fn into_inner(self) -> $message {
                self.raw
            }
        }

        impl From<$message> for $name {
            fn from(raw: $message) -> Self {
                Self { raw }
            }
        }
    };
}

pub(crate) use {wire_enum, wraps};

//! One shape for all calls with options: a request that is filled in and then sent.

/// Makes the request type of an RPC.
///
/// ```text
/// request! {
///     /// What of a log to send; made by [`Node::logs`](crate::Node::logs).
///     pub struct LogsRequest(proto::LogsRequest) {
///         /// Documentation of a setter, whose body changes `message`.
///         fn follow(message, follow: bool) {
///             message.follow = follow;
///         }
///     }
///
///     /// Documentation of `send`.
///     send(target, message) -> ByteStream {
///         // A block of an async function that returns `Result<ByteStream>`. `target` is a `Target` with
///         // the options of this call.
///     }
/// }
/// ```
///
/// What is required goes into the method that makes the request, by `LogsRequest::new(target, message)`;
/// setters are for the rest. The message may be of any type that is `Clone` and `Debug`: one of our own where
/// the one of the wire has values that must not be sent. Setters that make values of the request invalid do
/// not exist; where the input cannot be checked by its type, `send` checks it before it calls.
macro_rules! request {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($message:ty) {
            $(
                $(#[$setter_meta:meta])*
                fn $setter:ident($slot:ident $(, $argument:ident: $type:ty)* $(,)?) $body:block
            )*
        }

        $(#[$send_meta:meta])*
        send($target:ident, $sent:ident) -> $reply:ty $send:block
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        #[must_use = "nothing is asked for before `send`"]
        pub struct $name {
            target: $crate::call::Target,
            message: $message,
        }

        impl $name {
            pub(crate) fn new(target: &$crate::call::Target, message: $message) -> Self {
                Self { target: target.clone(), message }
            }

            /// The node that is asked.
            #[cfg(feature = "workflows")]
            #[allow(dead_code, reason = "for those that workflows follow")]
            pub(crate) fn asked(&self) -> Option<$crate::Node> {
                $crate::Node::of_target(&self.target)
            }

            $(
                $(#[$setter_meta])*
                pub fn $setter(mut self $(, $argument: $type)*) -> Self {
                    let $slot = &mut self.message;
                    $body
                    self
                }
            )*

            /// With these options for this call. What they leave open is as for the handle.
            pub fn with_options(mut self, options: $crate::CallOptions) -> Self {
                self.target = self.target.with_options(options);
                self
            }

            /// With this limit on the time of the call as a whole, retries included; see
            /// [`CallOptions::timeout`](crate::CallOptions::timeout).
            pub fn with_timeout(self, timeout: std::time::Duration) -> Self {
                self.with_options($crate::CallOptions::new().timeout(timeout))
            }

            /// With a point in time by which the call must be over, retries included; see
            /// [`CallOptions::deadline`](crate::CallOptions::deadline).
            pub fn with_deadline(self, deadline: tokio::time::Instant) -> Self {
                self.with_options($crate::CallOptions::new().deadline(deadline))
            }

            $(#[$send_meta])*
            pub async fn send(self) -> $crate::Result<$reply> {
                let Self { target: $target, message: $sent } = self;
                $send
            }
        }
    };
}

pub(crate) use request;

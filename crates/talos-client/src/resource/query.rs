//! Which resources a list or a watch is about.

use talos_proto::cosi::resource::{IdQuery, LabelQuery, LabelTerm, label_term::Operation};

/// Conditions on labels, all of which a resource has to meet. Several of them given to a list or a watch are
/// alternatives.
///
/// ```
/// use talos_client::resource::Labels;
///
/// let query = Labels::new().equal("zone", "b").not_exists("retired").less_than_number("rack", 10);
/// # let _ = query;
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Labels(LabelQuery);

impl Labels {
    /// No conditions: every resource meets them.
    pub fn new() -> Self {
        Self::default()
    }

    /// There is a label of this key.
    pub fn exists(self, key: impl Into<String>) -> Self {
        self.term(key, Operation::Exists, [], false)
    }

    /// There is no label of this key.
    pub fn not_exists(self, key: impl Into<String>) -> Self {
        self.term(key, Operation::Exists, [], true)
    }

    /// The label has this value.
    pub fn equal(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.term(key, Operation::Equal, [value.into()], false)
    }

    /// The label has another value, or does not exist.
    pub fn not_equal(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.term(key, Operation::Equal, [value.into()], true)
    }

    /// The label has one of these values.
    pub fn one_of(self, key: impl Into<String>, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.term(key, Operation::In, values.into_iter().map(Into::into), false)
    }

    /// The label has none of these values, or does not exist.
    pub fn none_of(
        self,
        key: impl Into<String>,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.term(key, Operation::In, values.into_iter().map(Into::into), true)
    }

    /// The label exists and comes before this text in the order of bytes.
    pub fn less_than(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.term(key, Operation::Lt, [value.into()], false)
    }

    /// The label exists and is this text or comes before it in the order of bytes.
    pub fn at_most(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.term(key, Operation::Lte, [value.into()], false)
    }

    /// The label exists and is a smaller number.
    pub fn less_than_number(self, key: impl Into<String>, value: i64) -> Self {
        self.term(key, Operation::LtNumeric, [value.to_string()], false)
    }

    /// The label exists and is this number or a smaller one.
    pub fn at_most_number(self, key: impl Into<String>, value: i64) -> Self {
        self.term(key, Operation::LteNumeric, [value.to_string()], false)
    }

    /// The label exists and is a larger number.
    pub fn more_than_number(self, key: impl Into<String>, value: i64) -> Self {
        self.term(key, Operation::LteNumeric, [value.to_string()], true)
    }

    fn term(
        mut self,
        key: impl Into<String>,
        operation: Operation,
        value: impl IntoIterator<Item = String>,
        invert: bool,
    ) -> Self {
        self.0.terms.push(LabelTerm {
            key: key.into(),
            op: operation.into(),
            value: value.into_iter().collect(),
            invert,
        });
        self
    }
}

/// What a list or a watch asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pub(crate) labels: Vec<LabelQuery>,
    pub(crate) ids: Option<IdQuery>,
}

impl Query {
    pub(crate) fn labels(&mut self, labels: Labels) {
        self.labels.push(labels.0);
    }

    pub(crate) fn ids_matching(&mut self, regexp: String) {
        self.ids = Some(IdQuery { regexp });
    }
}

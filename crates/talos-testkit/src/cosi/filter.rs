//! Label and id queries.

use regex::Regex;
use talos_proto::cosi::resource::label_term::Operation;
use talos_proto::cosi::resource::{IdQuery, LabelQuery, LabelTerm, Resource};
use tonic::Status;

use crate::node::resources::collection::id_of;

/// Which resources a list or a watch is about: those that satisfy every term of any of the queries.
#[derive(Debug)]
pub(super) struct Filter {
    queries: Vec<Vec<Term>>,
    id: Option<Regex>,
}

#[derive(Debug)]
struct Term {
    key: String,
    operation: Operation,
    values: Vec<String>,
    invert: bool,
}

impl Filter {
    pub(super) fn new(queries: Vec<LabelQuery>, id: Option<&IdQuery>) -> Result<Self, Status> {
        let id = id.map(|query| query.regexp.as_str());
        let id = id.filter(|regexp| !regexp.is_empty()).map(Regex::new);
        let id = id
            .transpose()
            .map_err(|error| Status::invalid_argument(format!("failed to compile regexp: {error}")))?;
        let terms = |query: LabelQuery| query.terms.into_iter().map(Term::new).collect();
        Ok(Self {
            queries: queries.into_iter().map(terms).collect::<Result<_, _>>()?,
            id,
        })
    }

    pub(super) fn matches(&self, resource: &Resource) -> bool {
        let labels = |key: &str| Some(resource.metadata.as_ref()?.labels.get(key)?.as_str());
        let id = |regex: &Regex| regex.is_match(id_of(resource));
        let all = |terms: &Vec<Term>| terms.iter().all(|term| term.matches(labels(&term.key)));
        self.id.as_ref().is_none_or(id) && (self.queries.is_empty() || self.queries.iter().any(all))
    }
}

impl Term {
    #[expect(deprecated, reason = "the server still knows NOT_EXISTS")]
    fn new(term: LabelTerm) -> Result<Self, Status> {
        let unsupported = || Status::unimplemented(format!("unsupported label query operator: {}", term.op));
        let operation = Operation::try_from(term.op).map_err(|_| unsupported())?;
        let comparing = match operation {
            Operation::Exists | Operation::NotExists | Operation::In => false,
            Operation::Equal
            | Operation::Lt
            | Operation::Lte
            | Operation::LtNumeric
            | Operation::LteNumeric => true,
        };
        if comparing && term.value.is_empty() {
            // The real server panics and reports this.
            return Err(Status::internal(
                "runtime error: index out of range [0] with length 0",
            ));
        }
        Ok(Self {
            key: term.key,
            operation,
            values: term.value,
            invert: term.invert,
        })
    }

    #[expect(deprecated, reason = "the server still knows NOT_EXISTS")]
    fn matches(&self, label: Option<&str>) -> bool {
        let first = self.values.first().map(String::as_str).unwrap_or_default();
        let plain = match (self.operation, label) {
            (Operation::Exists, label) => label.is_some(),
            (Operation::NotExists, label) => label.is_none(),
            (Operation::Equal | Operation::In, None) => false,
            (Operation::Equal, Some(label)) => label == first,
            (Operation::In, Some(label)) => self.values.iter().any(|value| value == label),
            // Comparisons with a missing label are false, inverted or not.
            (Operation::Lt | Operation::Lte | Operation::LtNumeric | Operation::LteNumeric, None) => {
                return false;
            }
            (Operation::Lt, Some(label)) => label < first,
            (Operation::Lte, Some(label)) => label <= first,
            // What is no number compares with nothing, inverted or not.
            (Operation::LtNumeric | Operation::LteNumeric, Some(label)) => {
                let (Ok(label), Ok(first)) = (label.parse::<f64>(), first.parse::<f64>()) else {
                    return false;
                };
                match self.operation {
                    Operation::LtNumeric => label < first,
                    _ => label <= first,
                }
            }
        };
        plain != self.invert
    }
}

#[cfg(test)]
mod tests {
    use talos_proto::cosi::resource::Metadata;

    use super::*;

    fn term(key: &str, op: Operation, value: &[&str], invert: bool) -> LabelTerm {
        let value = value.iter().map(|value| (*value).to_owned()).collect();
        LabelTerm {
            key: key.to_owned(),
            op: op.into(),
            value,
            invert,
        }
    }

    fn matches(queries: &[&[LabelTerm]]) -> bool {
        let labels = [("zone".to_owned(), "b".to_owned())].into();
        let metadata = Metadata {
            labels,
            ..Metadata::default()
        };
        let resource = Resource {
            metadata: Some(metadata),
            spec: None,
        };
        let queries = queries
            .iter()
            .map(|terms| LabelQuery {
                terms: terms.to_vec(),
            })
            .collect();
        Filter::new(queries, None).unwrap().matches(&resource)
    }

    #[test]
    fn terms_are_joined_by_and_queries_by_or() {
        let yes = || term("zone", Operation::Equal, &["b"], false);
        let no = || term("zone", Operation::Equal, &["x"], false);
        assert!(matches(&[]));
        assert!(matches(&[&[no()], &[yes()]]));
        assert!(!matches(&[&[no(), yes()]]));
    }

    #[test]
    #[expect(deprecated, reason = "the server still knows NOT_EXISTS")]
    fn every_operator_and_its_inverse() {
        let cases = [
            (term("zone", Operation::Exists, &[], false), true),
            (term("rack", Operation::Exists, &[], false), false),
            (term("rack", Operation::NotExists, &[], false), true),
            (term("zone", Operation::In, &["a", "b"], false), true),
            (term("zone", Operation::Lt, &["c"], false), true),
            (term("zone", Operation::Lte, &["b"], false), true),
            (term("zone", Operation::Lt, &["b"], false), false),
            (term("zone", Operation::Equal, &["x"], true), true),
            (term("rack", Operation::Equal, &["x"], true), true),
            (term("rack", Operation::In, &["x"], true), true),
            (term("rack", Operation::Lt, &["x"], true), false),
        ];
        for (term, expected) in cases {
            assert_eq!(matches(&[std::slice::from_ref(&term)]), expected, "{term:?}");
        }
    }

    #[test]
    fn numbers_compare_as_numbers() {
        let resource = |value: &str| Resource {
            metadata: Some(Metadata {
                labels: [("n".to_owned(), value.to_owned())].into(),
                ..Metadata::default()
            }),
            spec: None,
        };
        let matches = |op, than: &str, invert, value: &str| {
            let terms = vec![term("n", op, &[than], invert)];
            let filter = Filter::new(vec![LabelQuery { terms }], None).unwrap();
            filter.matches(&resource(value))
        };
        assert!(matches(Operation::LtNumeric, "10", false, "9"));
        assert!(!matches(Operation::Lt, "10", false, "9"), "as text");
        assert!(!matches(Operation::LtNumeric, "10", false, "10"));
        assert!(matches(Operation::LteNumeric, "10", false, "10"));
        assert!(matches(Operation::LteNumeric, "10", true, "11"));
        for invert in [true, false] {
            assert!(!matches(Operation::LtNumeric, "10", invert, "nine"));
        }
    }

    #[test]
    fn ids_match_anywhere_unless_anchored() {
        let filter = |regexp: &str| {
            let query = IdQuery {
                regexp: regexp.to_owned(),
            };
            Filter::new(Vec::new(), Some(&query))
        };
        let matches = |regexp: &str, id: &str| {
            let metadata = Metadata {
                id: id.to_owned(),
                ..Metadata::default()
            };
            filter(regexp).unwrap().matches(&Resource {
                metadata: Some(metadata),
                spec: None,
            })
        };
        assert!(matches("d[ab]", "sda") && matches("", "x") && !matches("^d", "sda"));
        let status = filter("(").unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(
            status.message().starts_with("failed to compile regexp: "),
            "{status}"
        );
    }

    #[test]
    fn what_the_server_does_not_know_is_said() {
        let unknown = LabelTerm {
            op: 99,
            ..LabelTerm::default()
        };
        let status = Filter::new(vec![LabelQuery { terms: vec![unknown] }], None).unwrap_err();
        assert_eq!(status.message(), "unsupported label query operator: 99");
    }
}

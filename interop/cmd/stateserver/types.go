package main

import (
	"regexp"
	"slices"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The messages of cosi.resource in JSON form.

type metadata struct {
	Namespace   string            `json:"namespace"`
	Type        string            `json:"type"`
	ID          string            `json:"id"`
	Version     string            `json:"version"`
	Owner       string            `json:"owner"`
	Phase       string            `json:"phase"`
	Created     *string           `json:"created,omitempty"`
	Updated     *string           `json:"updated,omitempty"`
	Finalizers  []string          `json:"finalizers,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type spec struct {
	ProtoSpec string `json:"proto_spec,omitempty"`
	YamlSpec  string `json:"yaml_spec,omitempty"`
}

type resource struct {
	Metadata metadata `json:"metadata"`
	Spec     spec     `json:"spec"`
}

type options struct {
	Owner             string       `json:"owner"`
	ExpectedPhase     *string      `json:"expected_phase"`
	BootstrapContents bool         `json:"bootstrap_contents"`
	BootstrapBookmark bool         `json:"bootstrap_bookmark"`
	TailEvents        int          `json:"tail_events"`
	Aggregated        bool         `json:"aggregated"`
	StartFromBookmark []byte       `json:"start_from_bookmark"`
	LabelQuery        []labelQuery `json:"label_query"`
	IDQuery           *struct {
		Regexp string `json:"regexp"`
	} `json:"id_query"`
}

type labelQuery struct {
	Terms []struct {
		Key    string   `json:"key"`
		Op     string   `json:"op"`
		Value  []string `json:"value"`
		Invert bool     `json:"invert"`
	} `json:"terms"`
}

type request struct {
	Namespace   string    `json:"namespace"`
	Type        string    `json:"type"`
	ID          *string   `json:"id"`
	APIVersion  int       `json:"api_version"`
	Options     options   `json:"options"`
	Resource    *resource `json:"resource"`
	NewResource *resource `json:"new_resource"`
}

// kind names a collection, key a resource in it.
type kind struct{ namespace, typ string }

type key struct {
	kind
	id string
}

func (r *request) kind() kind { return kind{r.Namespace, r.Type} }

func (r *request) key() key {
	id := ""
	if r.ID != nil {
		id = *r.ID
	}
	return key{r.kind(), id}
}

func (m *metadata) key() key { return key{kind{m.Namespace, m.Type}, m.ID} }

// filter decides which resources a query wants.
func (o *options) filter() (func(*resource) bool, error) {
	var pattern *regexp.Regexp
	if o.IDQuery != nil && o.IDQuery.Regexp != "" {
		var err error
		if pattern, err = regexp.Compile(o.IDQuery.Regexp); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "failed to compile regexp: %v", err)
		}
	}
	for _, query := range o.LabelQuery {
		for _, term := range query.Terms {
			if len(term.Value) == 0 && term.Op != "EXISTS" && term.Op != "NOT_EXISTS" && term.Op != "IN" {
				return nil, status.Errorf(codes.Internal, "%s without a value", term.Op)
			}
		}
	}
	return func(r *resource) bool {
		if pattern != nil && !pattern.MatchString(r.Metadata.ID) {
			return false
		}
		matches := func(query labelQuery) bool { return query.matches(r.Metadata.Labels) }
		return len(o.LabelQuery) == 0 || slices.ContainsFunc(o.LabelQuery, matches)
	}, nil
}

func (q *labelQuery) matches(labels map[string]string) bool {
	for _, term := range q.Terms {
		value, there := labels[term.Key]
		var matched bool
		switch term.Op {
		case "EXISTS":
			matched = there
		case "NOT_EXISTS":
			matched = !there
		case "EQUAL":
			matched = there && value == term.Value[0]
		case "IN":
			matched = there && slices.Contains(term.Value, value)
		default:
			if matched = there && compares(term.Op, value, term.Value[0]); !there {
				// A comparison never holds for a label that is not there, inverted or not.
				return false
			}
		}
		if matched == term.Invert {
			return false
		}
	}
	return true
}

func compares(op, left, right string) bool {
	switch op {
	case "LT":
		return left < right
	case "LTE":
		return left <= right
	}
	a, errA := strconv.ParseInt(left, 10, 64)
	b, errB := strconv.ParseInt(right, 10, 64)
	if errA != nil || errB != nil {
		return false
	}
	return a < b || (op == "LTE_NUMERIC" && a == b)
}

package main

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	running     = "running"
	tearingDown = "tearingDown"
	undefined   = "undefined"
)

// change is one entry of a collection's history.
type change struct {
	typ      string
	resource *resource
	old      *resource
}

type collection struct {
	resources map[string]*resource
	// history holds every change since the start; a position in it is what a bookmark carries.
	history []change
}

// store is a state. Resources in it are never written to once they are stored.
type store struct {
	mutex       sync.Mutex
	collections map[kind]*collection
	// changed is closed and replaced at every change.
	changed chan struct{}
}

func newStore() *store {
	return &store{collections: map[kind]*collection{}, changed: make(chan struct{})}
}

// of gives a collection; the mutex is held.
func (s *store) of(k kind) *collection {
	found := s.collections[k]
	if found == nil {
		found = &collection{resources: map[string]*resource{}}
		s.collections[k] = found
	}
	return found
}

// record notes a change; the mutex is held.
func (s *store) record(k key, made change) {
	found := s.of(k.kind)
	if made.typ == "DESTROYED" {
		delete(found.resources, k.id)
	} else {
		found.resources[k.id] = made.resource
	}
	found.history = append(found.history, made)
	close(s.changed)
	s.changed = make(chan struct{})
}

func missing(k key) error {
	return status.Errorf(codes.NotFound, "resource %s(%s/%s@undefined) doesn't exist", k.typ, k.namespace, k.id)
}

// find gives a resource; the mutex is held.
func (s *store) find(k key) (*resource, error) {
	if found := s.of(k.kind).resources[k.id]; found != nil {
		return found, nil
	}
	return nil, missing(k)
}

func (s *store) get(k key) (*resource, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.find(k)
}

func (s *store) list(k kind, o options) ([]*resource, error) {
	wanted, err := o.filter()
	if err != nil {
		return nil, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.of(k).sorted(wanted), nil
}

// sorted gives the wanted resources by id.
func (c *collection) sorted(wanted func(*resource) bool) []*resource {
	var all []*resource
	for _, found := range c.resources {
		if wanted(found) {
			all = append(all, found)
		}
	}
	slices.SortFunc(all, func(a, b *resource) int { return strings.Compare(a.Metadata.ID, b.Metadata.ID) })
	return all
}

func now() *string {
	text := time.Now().UTC().Format(time.RFC3339Nano)
	return &text
}

func (s *store) create(wanted *resource, owner string) (*resource, error) {
	if wanted == nil {
		return nil, status.Error(codes.Unknown, "metadata is missing")
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	k := wanted.Metadata.key()
	if _, err := s.find(k); err == nil {
		return nil, status.Errorf(codes.AlreadyExists, "resource %s(%s/%s) already exists", k.typ, k.namespace, k.id)
	}
	made := *wanted
	made.Metadata.Version, made.Metadata.Owner, made.Metadata.Phase = "1", owner, running
	made.Metadata.Created = now()
	made.Metadata.Updated = made.Metadata.Created
	s.record(k, change{typ: "CREATED", resource: &made})
	return &made, nil
}

// owned finds a resource that owner may change; the mutex is held.
func (s *store) owned(k key, owner string) (*resource, error) {
	current, err := s.find(k)
	if err == nil && current.Metadata.Owner != owner {
		err = status.Errorf(codes.PermissionDenied, "resource %s is owned by %q", k.id, current.Metadata.Owner)
	}
	return current, err
}

func (s *store) update(wanted *resource, o options) (*resource, error) {
	if wanted == nil {
		return nil, status.Error(codes.Unknown, "metadata is missing")
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	current, err := s.owned(wanted.Metadata.key(), o.Owner)
	if err != nil {
		return nil, err
	}
	if current.Metadata.Version != wanted.Metadata.Version {
		return nil, status.Errorf(codes.FailedPrecondition, "version conflict: %s is at %s, not at %s",
			current.Metadata.ID, current.Metadata.Version, wanted.Metadata.Version)
	}
	if o.ExpectedPhase != nil && *o.ExpectedPhase != current.Metadata.Phase {
		return nil, status.Errorf(codes.InvalidArgument, "phase conflict: %s is %s", current.Metadata.ID, current.Metadata.Phase)
	}
	made := *wanted
	made.Metadata.Created = current.Metadata.Created
	made.Metadata.Owner = current.Metadata.Owner
	return s.replace(current, made), nil
}

// replace stores a new version; the mutex is held.
func (s *store) replace(current *resource, made resource) *resource {
	version, _ := strconv.Atoi(current.Metadata.Version)
	made.Metadata.Version = strconv.Itoa(version + 1)
	made.Metadata.Updated = now()
	made.Metadata.Labels = maps.Clone(made.Metadata.Labels)
	s.record(made.Metadata.key(), change{typ: "UPDATED", resource: &made, old: current})
	return &made
}

func (s *store) destroy(k key, owner string) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	current, err := s.owned(k, owner)
	if err != nil {
		return err
	}
	if len(current.Metadata.Finalizers) > 0 {
		return status.Errorf(codes.FailedPrecondition, "%s has pending finalizers %v", k.id, current.Metadata.Finalizers)
	}
	s.record(k, change{typ: "DESTROYED", resource: current})
	return nil
}

func (s *store) teardown(k key, owner string) (bool, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	current, err := s.owned(k, owner)
	if err != nil {
		return false, err
	}
	if current.Metadata.Phase != tearingDown {
		made := *current
		made.Metadata.Phase = tearingDown
		current = s.replace(current, made)
	}
	return len(current.Metadata.Finalizers) == 0, nil
}

func (s *store) teardownAndDestroy(ctx context.Context, k key, owner string) error {
	if _, err := s.teardown(k, owner); err != nil {
		return err
	}
	for {
		s.mutex.Lock()
		changed := s.changed
		s.mutex.Unlock()
		err := s.destroy(k, owner)
		if status.Code(err) != codes.FailedPrecondition {
			return err
		}
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-changed:
		}
	}
}

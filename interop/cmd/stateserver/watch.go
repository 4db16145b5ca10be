package main

import (
	"context"
	"encoding/binary"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// cookie marks the bookmarks of this process.
const cookie = 0x696e7465726f7021

type event struct {
	Type     string    `json:"event_type"`
	Resource *resource `json:"resource,omitempty"`
	Old      *resource `json:"old,omitempty"`
	Bookmark []byte    `json:"bookmark,omitempty"`
}

// bookmark stands behind the change with the position.
func bookmark(position int) []byte {
	data := binary.BigEndian.AppendUint64(nil, cookie)
	return binary.BigEndian.AppendUint64(data, uint64(position))
}

// position is where a bookmark stands, in a history of the length.
func position(data []byte, length int) (int, error) {
	if len(data) != 16 || binary.BigEndian.Uint64(data) != cookie || binary.BigEndian.Uint64(data[8:]) > uint64(length) {
		return 0, status.Error(codes.FailedPrecondition, "invalid watch bookmark")
	}
	return int(binary.BigEndian.Uint64(data[8:])), nil
}

// tombstone stands for a resource that is not there.
func tombstone(k key) *resource {
	return &resource{Metadata: metadata{Namespace: k.namespace, Type: k.typ, ID: k.id, Version: undefined, Phase: running}}
}

func (r *request) checkWatch() error {
	o := &r.Options
	tail, resume := o.TailEvents > 0, o.StartFromBookmark != nil
	switch {
	case r.ID != nil && o.BootstrapContents:
		return status.Error(codes.Unimplemented, "bootstrap contents is not implemented for resource watch")
	case r.ID != nil && len(o.LabelQuery) > 0:
		return status.Error(codes.Unimplemented, "label query is not implemented for resource watch")
	case tail && resume, o.BootstrapContents && (tail || resume):
		return status.Error(codes.Unknown, "cannot use these watch options together")
	}
	return nil
}

// start gives the events that a watch begins with, and its position in the history.
func (s *store) start(r *request, wanted func(*resource) bool) ([]event, int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	found := s.of(r.kind())
	end := len(found.history)
	switch o := &r.Options; {
	case o.StartFromBookmark != nil:
		at, err := position(o.StartFromBookmark, end)
		return nil, at, err
	case o.TailEvents > 0:
		return nil, s.tail(found, r, o.TailEvents), nil
	case r.ID != nil:
		if current := found.resources[*r.ID]; current != nil {
			return []event{{Type: "CREATED", Resource: current}}, end, nil
		}
		return []event{{Type: "DESTROYED", Resource: tombstone(r.key())}}, end, nil
	case o.BootstrapContents:
		var events []event
		for _, current := range found.sorted(wanted) {
			events = append(events, event{Type: "CREATED", Resource: current})
		}
		return append(events, event{Type: "BOOTSTRAPPED", Resource: tombstone(r.key()), Bookmark: bookmark(end)}), end, nil
	case o.BootstrapBookmark:
		return []event{{Type: "NOOP", Resource: tombstone(r.key()), Bookmark: bookmark(end)}}, end, nil
	}
	return nil, end, nil
}

// tail finds the position before the last events.
func (s *store) tail(found *collection, r *request, events int) int {
	at := len(found.history)
	for ; at > 0 && events > 0; at-- {
		if r.ID == nil || found.history[at-1].resource.Metadata.ID == *r.ID {
			events--
		}
	}
	return at
}

func (s *server) watch(ctx context.Context, r *request, reply func(any) error) error {
	if err := r.checkWatch(); err != nil {
		return err
	}
	wanted, err := r.Options.filter()
	if err != nil {
		return err
	}
	first, at, err := s.store.start(r, wanted)
	if err != nil {
		return err
	}
	send := func(events ...event) error { return reply(map[string][]event{"event": events}) }
	if err := send(); err != nil {
		return err
	}
	for _, event := range first {
		if event.Type == "BOOTSTRAPPED" && r.APIVersion < 1 {
			continue
		}
		if err := send(event); err != nil {
			return err
		}
	}
	for {
		s.store.mutex.Lock()
		fresh, changed := s.store.of(r.kind()).history[at:], s.store.changed
		s.store.mutex.Unlock()
		for _, made := range fresh {
			at++
			seen, ok := made.seenBy(r, wanted)
			if !ok {
				continue
			}
			seen.Bookmark = bookmark(at)
			if err := send(seen); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// seenBy is what a watcher with a filter sees of a change.
func (c change) seenBy(r *request, wanted func(*resource) bool) (event, bool) {
	if r.ID != nil && *r.ID != c.resource.Metadata.ID {
		return event{}, false
	}
	is, was := wanted(c.resource), c.old != nil && wanted(c.old)
	switch {
	case c.typ != "UPDATED" && is:
		return event{Type: c.typ, Resource: c.resource}, true
	case c.typ != "UPDATED":
		return event{}, false
	case is && was:
		return event{Type: "UPDATED", Resource: c.resource, Old: c.old}, true
	case is:
		return event{Type: "CREATED", Resource: c.resource}, true
	case was:
		return event{Type: "DESTROYED", Resource: c.resource}, true
	}
	return event{}, false
}

package main

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talos-interop/internal/conn"
	"talos-interop/internal/probe"
	"talos-interop/internal/protos"
)

const state = "cosi.resource.State/"

func (w *world) cosi() []probe.Step {
	list := func(t *probe.T, request string) []protos.Value {
		return t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, state+"List", request).Whole()
	}
	ids := func(values []protos.Value) []string {
		var ids []string
		for _, value := range values {
			ids = append(ids, value.At("resource.metadata.id").String())
		}
		return ids
	}
	return append([]probe.Step{
		{Name: "cosi.definitions", Run: func(t *probe.T) {
			values := list(t, `{"namespace":"meta","type":"ResourceDefinitions.meta.cosi.dev"}`)
			t.Check(slices.IsSorted(ids(values)), "not sorted")
			for _, value := range values {
				var spec struct {
					Type             string   `yaml:"type"`
					DefaultNamespace string   `yaml:"defaultNamespace"`
					AllAliases       []string `yaml:"allAliases"`
				}
				t.Must(yaml.Unmarshal([]byte(value.At("resource.spec.yaml_spec").String()), &spec), "reading a definition")
				t.Check(strings.ToLower(spec.Type) == value.At("resource.metadata.id").String(), "%s", value)
				t.Check(spec.DefaultNamespace != "" && len(spec.AllAliases) > 0, "%s", value)
			}
			t.Check(len(values) >= 194, "%d definitions", len(values))
			t.See("%d definitions", len(values))
		}},
		{Name: "cosi.Get", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, state+"Get",
				`{"namespace":"runtime","type":"MachineStatuses.runtime.talos.dev","id":"machine"}`)
			t.Check(reply.At("resource.metadata.phase").String() == "running", "%s", reply)
			t.Check(reply.At("resource.metadata.version").Int() >= 1, "%s", reply)
			t.Check(len(reply.At("resource.spec.proto_spec").Bytes()) > 0, "no protobuf spec")
			t.Check(strings.Contains(reply.At("resource.spec.yaml_spec").String(), "stage: running"), "%s", reply)
			t.See("version %s", reply.At("resource.metadata.version"))
		}},
		{Name: "cosi.Get.missing", Run: func(t *probe.T) {
			t.Refused(conn.ToNode(t.Context, w.planes[0].address), w.admin, state+"Get",
				`{"namespace":"runtime","type":"MachineStatuses.runtime.talos.dev","id":"nope"}`, codes.NotFound,
				"resource MachineStatuses.runtime.talos.dev(runtime/nope@undefined) doesn't exist")
		}},
		{Name: "cosi.Get.unknown-type", Run: func(t *probe.T) {
			t.Refused(conn.ToNode(t.Context, w.planes[0].address), w.admin, state+"Get",
				`{"namespace":"runtime","type":"Nopes.runtime.talos.dev","id":"x"}`, codes.PermissionDenied,
				`resource type "Nopes.runtime.talos.dev" is not supported`)
		}},
		{Name: "cosi.Get.unknown-namespace", Run: func(t *probe.T) {
			t.Refused(conn.ToNode(t.Context, w.planes[0].address), w.admin, state+"Get",
				`{"namespace":"nope","type":"MachineStatuses.runtime.talos.dev","id":"x"}`, codes.PermissionDenied,
				`namespace "nope" is not supported`)
		}},
		{Name: "cosi.List", Run: func(t *probe.T) {
			values := list(t, `{"namespace":"runtime","type":"Services.v1alpha1.talos.dev"}`)
			t.Check(slices.IsSorted(ids(values)) && slices.Contains(ids(values), "apid"), "%v", ids(values))
			t.See("%d resources", len(values))
		}},
		{Name: "cosi.List.id-query", Run: func(t *probe.T) {
			values := list(t, `{"namespace":"runtime","type":"Services.v1alpha1.talos.dev","options":{"id_query":{"regexp":"^(apid|kubelet)$"}}}`)
			t.Check(slices.Equal(ids(values), []string{"apid", "kubelet"}), "%v", ids(values))
			_, err := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, state+"List",
				`{"namespace":"runtime","type":"Services.v1alpha1.talos.dev","options":{"id_query":{"regexp":"("}}}`).All()
			t.Status(err, codes.InvalidArgument, "failed to compile regexp")
		}},
		{Name: "cosi.List.label-query", Run: func(t *probe.T) {
			query := func(term string) string {
				return `{"namespace":"runtime","type":"Services.v1alpha1.talos.dev","options":{"label_query":[{"terms":[` + term + `]}]}}`
			}
			all := len(list(t, `{"namespace":"runtime","type":"Services.v1alpha1.talos.dev"}`))
			with := len(list(t, query(`{"key":"no.such/label","op":"EXISTS"}`)))
			without := len(list(t, query(`{"key":"no.such/label","op":"EXISTS","invert":true}`)))
			in := len(list(t, query(`{"key":"no.such/label","op":"IN","value":["a","b"]}`)))
			t.Check(with == 0 && in == 0 && without == all, "%d with, %d in, %d without the label, %d in all", with, in, without, all)
			t.See("%d without the label, none with it", without)
		}},
		{Name: "cosi.List.wrong-case", Run: func(t *probe.T) {
			values := list(t, `{"namespace":"runtime","type":"services.v1alpha1.talos.dev"}`)
			t.Check(len(values) == 0, "%d resources", len(values))
			t.See("an empty list")
		}},
		{Name: "cosi.MachineConfig", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, state+"Get",
				`{"namespace":"config","type":"MachineConfigs.config.talos.dev","id":"v1alpha1"}`)
			var text string
			t.Must(yaml.Unmarshal([]byte(reply.At("resource.spec.yaml_spec").String()), &text), "reading the string scalar")
			t.Check(strings.Contains(text, "machine:"), "no machine section")
			t.Check(reply.At("resource.metadata.annotations").Present(), "no annotations")
			t.See("a string scalar of %d lines", strings.Count(text, "\n"))
		}},
		w.write("Create", `{"resource":{"metadata":{"namespace":"runtime","type":"MachineStatuses.runtime.talos.dev","id":"x","version":"1","phase":"running"},"spec":{"yaml_spec":"{}"}}}`),
		w.write("Update", `{"new_resource":{"metadata":{"namespace":"runtime","type":"MachineStatuses.runtime.talos.dev","id":"machine","version":"1","phase":"running"},"spec":{"yaml_spec":"{}"}}}`),
		w.write("Destroy", `{"namespace":"runtime","type":"MachineStatuses.runtime.talos.dev","id":"machine"}`),
		w.write("Teardown", `{"namespace":"runtime","type":"MachineStatuses.runtime.talos.dev","id":"machine"}`),
		w.write("TeardownAndDestroy", `{"namespace":"runtime","type":"MachineStatuses.runtime.talos.dev","id":"machine"}`),
	}, w.watches()...)
}

func (w *world) write(rpc, request string) probe.Step {
	return probe.Step{Name: "cosi." + rpc, Run: func(t *probe.T) {
		t.Refused(conn.ToNode(t.Context, w.planes[0].address), w.admin, state+rpc, request,
			codes.PermissionDenied, "write access is not allowed")
	}}
}

func (w *world) watches() []probe.Step {
	kind := `"namespace":"runtime","type":"MetaKeys.runtime.talos.dev","api_version":1`
	write := func(t *probe.T, key, value string) {
		t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"MetaWrite",
			`{"key":`+key+`,"value":"`+base64.StdEncoding.EncodeToString([]byte(value))+`"}`)
	}
	remove := func(t *probe.T, key string) {
		t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"MetaDelete", `{"key":`+key+`}`)
	}
	watch := func(t *probe.T, ctx context.Context, options string) *probe.Stream {
		stream := t.Server(conn.ToNode(ctx, w.planes[0].address), w.admin, state+"Watch", `{`+kind+options+`}`)
		t.Check(len(stream.Next().At("event").List()) == 0, "the first message has events")
		return stream
	}
	event := func(t *probe.T, stream *probe.Stream, kind, id string) protos.Value {
		events := stream.Next().At("event").List()
		t.Check(len(events) == 1, "%d events", len(events))
		t.Check(events[0].At("event_type").String() == kind && events[0].At("resource.metadata.id").String() == id,
			"%s of %q, %s of %q was expected", events[0].At("event_type"), events[0].At("resource.metadata.id"), kind, id)
		return events[0]
	}
	return []probe.Step{
		{Name: "cosi.Watch.kind", Run: func(t *probe.T) {
			ctx, cancel := context.WithCancel(t.Context)
			defer cancel()
			write(t, "13", "before")
			stream := watch(t, ctx, `,"options":{"bootstrap_contents":true,"id_query":{"regexp":"^0x0d$"}}`)
			event(t, stream, "CREATED", "0x0d")
			marked := event(t, stream, "BOOTSTRAPPED", "")
			t.Check(len(marked.At("bookmark").Bytes()) == 16, "bookmark %s", marked.At("bookmark"))
			write(t, "13", "after")
			changed := event(t, stream, "UPDATED", "0x0d")
			t.Check(changed.At("old.metadata.version").Int() < changed.At("resource.metadata.version").Int(), "%s", changed)
			remove(t, "13")
			event(t, stream, "DESTROYED", "0x0d")
			cancel()
			_, err := stream.All()
			t.Check(status.Code(err) == codes.Canceled, "after cancelling: %v", err)
			t.See("created, bootstrapped, updated, destroyed")
		}},
		{Name: "cosi.Watch.resume", Run: func(t *probe.T) {
			ctx, cancel := context.WithCancel(t.Context)
			defer cancel()
			stream := watch(t, ctx, "")
			write(t, "14", "one")
			bookmark := event(t, stream, "CREATED", "0x0e").At("bookmark").String()
			cancel()
			write(t, "14", "two")
			resumed := watch(t, t.Context, `,"options":{"start_from_bookmark":"`+bookmark+`"}`)
			event(t, resumed, "UPDATED", "0x0e")
			remove(t, "14")
			event(t, resumed, "DESTROYED", "0x0e")
			t.See("what happened after the bookmark came")
		}},
		{Name: "cosi.Watch.bad-bookmark", Run: func(t *probe.T) {
			stream := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, state+"Watch",
				`{`+kind+`,"options":{"start_from_bookmark":"AAAAAAAAAAAAAAAAAAAAAA=="}}`)
			_, err := stream.All()
			t.Status(err, codes.FailedPrecondition, "invalid watch bookmark")
		}},
		{Name: "cosi.Watch.one", Run: func(t *probe.T) {
			ctx, cancel := context.WithCancel(t.Context)
			defer cancel()
			stream := watch(t, ctx, `,"id":"0x0e"`)
			missing := event(t, stream, "DESTROYED", "0x0e")
			t.Check(missing.At("resource.metadata.version").String() == "undefined", "%s", missing)
			write(t, "14", "there")
			event(t, stream, "CREATED", "0x0e")
			remove(t, "14")
			event(t, stream, "DESTROYED", "0x0e")
			t.See("a tombstone, created, destroyed")
		}},
		{Name: "cosi.Watch.bookmark-only", Run: func(t *probe.T) {
			ctx, cancel := context.WithCancel(t.Context)
			defer cancel()
			stream := watch(t, ctx, `,"options":{"bootstrap_bookmark":true}`)
			noop := event(t, stream, "NOOP", "")
			t.Check(len(noop.At("bookmark").Bytes()) == 16, "bookmark %s", noop.At("bookmark"))
			t.See("NOOP with a bookmark")
		}},
		{Name: "cosi.Watch.one-with-labels", Run: func(t *probe.T) {
			_, err := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, state+"Watch",
				`{`+kind+`,"id":"0x0e","options":{"label_query":[{"terms":[{"key":"a"}]}]}}`).All()
			t.Status(err, codes.Unimplemented, "label query is not implemented for resource watch")
		}},
		{Name: "cosi.Watch.conflict", Run: func(t *probe.T) {
			_, err := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, state+"Watch",
				`{`+kind+`,"options":{"tail_events":1,"bootstrap_contents":true}}`).All()
			t.Status(err, codes.Unknown, "cannot use")
		}},
	}
}

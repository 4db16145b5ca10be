package main

import (
	"google.golang.org/grpc/codes"

	"talos-interop/internal/conn"
	"talos-interop/internal/probe"
)

func (w *world) roles() []probe.Step {
	return []probe.Step{
		{Name: "roles.reader", Run: func(t *probe.T) {
			node := conn.ToNode(t.Context, w.planes[1].address)
			t.Call(node, w.reader, version, "")
			t.Call(node, w.reader, machine+"ServiceList", "")
			for _, path := range []string{machine + "Reboot", machine + "Reset", machine + "EtcdDefragment", machine + "MetaWrite"} {
				t.Refused(node, w.reader, path, "", codes.PermissionDenied, "not authorized")
			}
		}},
		{Name: "roles.reader.streams", Run: func(t *probe.T) {
			node := conn.ToNode(t.Context, w.planes[1].address)
			t.Check(len(t.Server(node, w.reader, machine+"Dmesg", "").Whole()) > 0, "no kernel messages")
			for _, path := range []string{machine + "Read", machine + "Copy", machine + "EtcdSnapshot", machine + "Kubeconfig"} {
				_, err := t.Server(node, w.reader, path, "").All()
				t.Status(err, codes.PermissionDenied, "not authorized")
			}
		}},
		{Name: "roles.reader.sensitive", Run: func(t *probe.T) {
			node := conn.ToNode(t.Context, w.planes[1].address)
			t.Refused(node, w.reader, state+"Get", `{"namespace":"config","type":"MachineConfigs.config.talos.dev","id":"v1alpha1"}`,
				codes.PermissionDenied, "not authorized")
			t.Call(node, w.reader, state+"Get", `{"namespace":"runtime","type":"MachineStatuses.runtime.talos.dev","id":"machine"}`)
		}},
		{Name: "roles.reader.apply", Run: func(t *probe.T) {
			t.Refused(conn.ToNode(t.Context, w.planes[1].address), w.reader, machine+"ApplyConfiguration", `{"mode":"AUTO"}`,
				codes.PermissionDenied, "not authorized")
		}},
	}
}

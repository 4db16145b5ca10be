package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talos-interop/internal/conn"
	"talos-interop/internal/probe"
)

// maintenance resets the last control plane node, looks at it in maintenance mode, and gives it its
// configuration again.
func (w *world) maintenance() []probe.Step {
	var config string
	var target member
	var channel *grpc.ClientConn
	var leaf *x509.Certificate
	return []probe.Step{
		{Name: "machine.Reset", Run: func(t *probe.T) {
			target = w.planes[len(w.planes)-1]
			config = w.machineConfig(t, target.address)
			reply := t.Call(conn.ToNode(t.Context, target.address), w.admin, machine+"Reset", `{"reboot":true}`)
			t.Check(len(reply.At("messages.0.actor_id").String()) == 36, "%s", reply)
			t.See("accepted")
		}},
		{Name: "maintenance.enter", Run: func(t *probe.T) {
			t.Check(config != "", "the step that resets failed")
			endpoint := w.current.Endpoints[w.endpoints[target.hostname]]
			var err error
			channel, err = conn.Dial([]string{endpoint}, conn.Insecure(func(seen *x509.Certificate) { leaf = seen }), w.log)
			t.Must(err, "dialling")
			for {
				reply, err := t.Unary(t.Context, channel, version, "")
				if err == nil {
					t.Check(!reply.At("messages.0.features").Present(), "features %s", reply.At("messages.0.features"))
					break
				}
				pause(t)
			}
			reply := t.Call(t.Context, channel, state+"Get", `{"namespace":"runtime","type":"MachineStatuses.runtime.talos.dev","id":"machine"}`)
			t.Check(strings.Contains(reply.At("resource.spec.yaml_spec").String(), "stage: maintenance"), "%s", reply)
			t.See("Version and MachineStatus without a certificate")
		}},
		{Name: "maintenance.certificate", Run: func(t *probe.T) {
			t.Check(leaf != nil, "no certificate was seen")
			t.Check(leaf.Subject.CommonName == "maintenance-service.talos.dev", "the certificate is that of %s", leaf.Subject)
			sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
			t.See("%s, fingerprint of %d characters", leaf.Subject.CommonName, len(base64.StdEncoding.EncodeToString(sum[:])))
		}},
		{Name: "maintenance.denied", Run: func(t *probe.T) {
			for _, rpc := range []string{"Reboot", "Shutdown", "Reset", "MetaWrite", "Bootstrap"} {
				t.Refused(t.Context, channel, machine+rpc, "", codes.PermissionDenied, "not authorized")
			}
		}},
		{Name: "maintenance.sensitive", Run: func(t *probe.T) {
			t.Refused(t.Context, channel, state+"Get", `{"namespace":"config","type":"MachineConfigs.config.talos.dev","id":"v1alpha1"}`,
				codes.PermissionDenied, "not authorized")
		}},
		{Name: "maintenance.node-ignored", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), channel, state+"Get",
				`{"namespace":"runtime","type":"MachineStatuses.runtime.talos.dev","id":"machine"}`)
			t.Check(strings.Contains(reply.At("resource.spec.yaml_spec").String(), "stage: maintenance"), "another node answered: %s", reply)
			t.See("the machine that was dialled answered")
		}},
		{Name: "maintenance.codes", Run: func(t *probe.T) {
			allowed := []codes.Code{codes.OK, codes.PermissionDenied, codes.Unimplemented, codes.InvalidArgument}
			for _, rpc := range []string{"Version", "Hostname", "ServiceList", "EtcdMemberList", "EtcdStatus", "Rollback", "EtcdRemoveMemberByID", "GenerateClientConfiguration"} {
				_, err := t.Unary(t.Context, channel, machine+rpc, "")
				t.Check(slices.Contains(allowed, status.Code(err)), "%s: %v", rpc, err)
			}
			t.Refused(t.Context, channel, machine+"EtcdMemberList", "", codes.Unimplemented, "")
		}},
		{Name: "maintenance.ApplyConfiguration", Run: func(t *probe.T) {
			// The default mode is allowed here.
			reply := t.Call(t.Context, channel, machine+"ApplyConfiguration", apply(config, ""))
			t.Check(reply.At("messages.0.mode").String() == "NO_REBOOT", "%s", reply)
			t.Must(channel.Close(), "closing")
			t.See("mode %s", reply.At("messages.0.mode"))
		}},
		{Name: "maintenance.leave", Run: func(t *probe.T) {
			t.Check(config != "", "the step that resets failed")
			for {
				ctx, cancel := context.WithCancel(conn.ToNode(t.Context, target.address))
				reply, err := t.Unary(ctx, w.admin, state+"Get", `{"namespace":"runtime","type":"MachineStatuses.runtime.talos.dev","id":"machine"}`)
				cancel()
				if err == nil && strings.Contains(reply.At("resource.spec.yaml_spec").String(), "stage: running") {
					break
				}
				pause(t)
			}
			reply := t.Call(conn.ToNode(t.Context, target.address), w.admin, version, "")
			t.Check(reply.At("messages.0.features.rbac").String() == "true", "%s", reply)
			t.See("running, with certificates again")
		}},
	}
}
